"""What stands on a terminal while a command runs; as a program, the recording in ``docs/terminal.md``.

python -m tests.phantoms.recording
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.phantoms.terminal import Terminal

PAGE = Path(__file__).resolve().parents[2] / "docs" / "terminal.md"
_MARK = "<!-- recorded: python -m tests.phantoms.recording -->\n"
_COMMAND = "synthseg-bids bids out participant --model tiny-random --device cpu --n-cpus 2"
_BLOCK = 65536


def record(
    command: Sequence[str], cwd: Path, environment: Mapping[str, str], *, columns: int = 110
) -> tuple[int, list[list[str]]]:
    """Run a command on a terminal of its own.

    Returns
    -------
    :
        Its exit status, and every screen that one could have seen, the last one at the end; without empty lines below.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
    with subprocess.Popen(command, cwd=cwd, env=environment, start_new_session=True, **streams) as process:
        os.close(theirs)
        terminal, screens = Terminal(), [[""]]
        while text := _read(ours):
            terminal.write(text)
            screen = "\n".join(terminal.screen()).rstrip().split("\n")
            if screen != screens[-1]:
                screens.append(screen)
    os.close(ours)
    return process.returncode, screens[1:]


def _read(descriptor: int) -> str:
    try:
        return os.read(descriptor, _BLOCK).decode(errors="replace").replace("\r\n", "\n")
    except OSError:  # nobody has the other end any more
        return ""


def main() -> None:
    """Record a run over eight phantoms of which one cannot be segmented, and write it into the page."""
    from tests.workflow.runs import ENVIRONMENT
    from tests.workflow.trial import BAD_SCANS, t1w, write_dataset

    with tempfile.TemporaryDirectory() as folder:
        bids = write_dataset(Path(folder) / "bids", *(f"0{number}" for number in range(1, 9)))
        BAD_SCANS["constant"][0](bids / t1w("03"))
        status, screens = record(_COMMAND.split(), Path(folder), ENVIRONMENT)
        lines = [[line.replace(folder, "/data") for line in screen] for screen in screens]
    moments = [screen[-1] for screen in lines if re.match(r"planning|\d+ of \d+ scans? done", screen[-1])]
    shown = [moments[len(moments) * part // 6] for part in range(6)]
    blocks = [["$ " + _COMMAND, *lines[-1]], list(dict.fromkeys(shown))]
    text = PAGE.read_text(encoding="utf-8")
    before, *_, after = text.split(_MARK)
    texts = ["\n".join(["```text", *block, "```\n"]) for block in blocks]
    recorded = "\nThe status line at some moments:\n\n".join(texts)
    PAGE.write_text(f"{before}{_MARK}\n{recorded}\n{_MARK}{after}", encoding="utf-8")
    sys.stdout.write(f"exit status {status}; {PAGE}\n")


if __name__ == "__main__":
    main()
