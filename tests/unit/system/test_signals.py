"""``synthseg models list | head``: no traceback, whether the pipe breaks while printing or while leaving."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from synthseg_core.system.signals import run_for_reader
from tests.phantoms.trees import make_tree

PRINT = (
    "import sys, synthseg_core.cli.segment as s; from synthseg_core.cli.main import main;"
    "s.run = lambda args: print('x\\n' * {lines}); sys.exit(main(['segment', 'a.nii']))"
)
HELP = "import sys; from synthseg_core.{module}.main import main; sys.exit(main(['--help']))"
APP = "import sys; from synthseg_core.app.main import main; sys.exit(main([*sys.argv[1:], '--model', 'tiny-random']))"


def _unread(code: str, *words: object) -> tuple[int, str]:
    """Status and messages of a program whose standard output is closed before it begins."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    waiting = f"import sys; sys.stdin.read(1); {code}"
    with subprocess.Popen([sys.executable, "-c", waiting, *map(str, words)], **pipes, text=True) as run:
        assert run.stdin is not None
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.close()
        run.stdin.close()
        said = run.stderr.read()
    return run.returncode, said


@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_reader_that_went_away(lines):
    assert _unread(PRINT.format(lines=lines)) == (141, "")


@pytest.mark.parametrize("module", ["cli", "app"])
def test_help_without_a_reader(module):
    """``argparse`` itself passes over a pipe that breaks while it prints."""
    status, said = _unread(HELP.format(module=module))
    assert status in (0, 141)
    assert said == ""


def test_the_app_without_a_reader(tmp_path):
    make_tree(tmp_path / "bids", ["dataset_description.json", "sub-01/anat/sub-01_T1w.nii.gz"], b"{}")
    assert _unread(APP, tmp_path / "bids", tmp_path / "out", "group") == (141, "")


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_streams_that_are_closed_from_the_start(tmp_path, closed):
    """What is said goes nowhere, also from other programs, and into no file that happens to get the number."""
    bids = make_tree(tmp_path / "bids", ["dataset_description.json", "sub-01/anat/sub-01_T1w.nii.gz"], b"{}")
    words = [str(bids), str(tmp_path / "out"), "group", "--model", "tiny-random"]
    code = (
        "import os, subprocess, sys; from synthseg_core.app.main import main\n"
        "status = main(sys.argv[1:]); print('said', file=sys.stderr); print('said'); sys.stdin.read()\n"
        f"made = open({str(tmp_path / 'made')!r}, 'w'); made.write(str(status)); made.close()\n"
        "subprocess.run(['sh', '-c', 'echo; echo >&2; cat'], check=True, close_fds=False)"
    )

    def close() -> None:
        for number in closed:
            os.close(number)

    run = subprocess.Popen([sys.executable, "-c", code, *words], stdin=subprocess.DEVNULL, preexec_fn=close)
    assert run.wait(60) == 0
    assert (tmp_path / "made").read_text() == "0"
    assert (tmp_path / "out" / "group_scans.tsv").read_text().startswith("participant_id")


@pytest.mark.parametrize("module", ["cli", "app"])
@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_errors_without_streams_keep_their_status(module, closed):
    code = f"import sys; from synthseg_core.{module}.main import main; sys.exit(main(sys.argv[1:]))"
    words = ["sh", "-c", f'"$0" -c "$1" "$2" "$3" "$4" {closed}', sys.executable, code, "group", "nowhere", "group"]
    run = subprocess.run(words, check=False, capture_output=True, text=True)
    assert run.returncode == 2, run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("error", [OSError("disk"), KeyboardInterrupt(), ValueError("bug")])
def test_other_errors_come_through(error):
    def fail() -> int:
        raise error

    with pytest.raises(type(error)):
        run_for_reader(fail)


def test_a_status_comes_through():
    assert [run_for_reader(lambda status=status: status) for status in (0, 1, 2)] == [0, 1, 2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_interpreter_is_left_changes_nothing(number):
    """What is registered first is called last: the signal comes after ours has been called."""
    code = (
        "import atexit, os, sys; from synthseg_core.system.signals import keep_status_on_leaving;"
        f"atexit.register(lambda: os.kill(os.getpid(), {int(number)}));"
        "keep_status_on_leaving(); sys.exit(1)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "")
