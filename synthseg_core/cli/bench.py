"""``synthseg bench``: time and memory of ``synthseg predict`` on one's own machine, kept, and compared.

Every run is a process of its own, the way a person runs it; sets of flags and the yardstick take turns, so that a
machine that becomes slower meanwhile is slower for all.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from synthseg_core import __version__
from synthseg_core.errors import UsageError
from synthseg_core.system.atomic import check_writable, write_json, write_text
from synthseg_core.system.memory import physical_bytes
from synthseg_core.system.settings import read_mapping, to_content

YARDSTICK = "yardstick"
_BEGIN, _END = "<!-- synthseg bench: begin -->", "<!-- synthseg bench: end -->"
_GIB = 2**30
# Runs a command and writes what it took as the last line of standard error. VmHWM is this process's alone; ru_maxrss
# would begin with the largest size of the one that started it.
_CHILD = """
import json, pathlib, re, sys, time
from synthseg_core.system.timing import collected
from synthseg_core.cli.main import main
with collected() as times:
    status = main(sys.argv[1:])
peak = re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())
torch = sys.modules.get("torch")
device = torch.cuda.max_memory_allocated() if torch and torch.cuda.is_available() else None
result = {"cpu_s": time.process_time(), "peak_bytes": int(peak[1]) * 1024, "device_bytes": device}
print("\\n" + json.dumps({**result, "phases_s": times.seconds}), file=sys.stderr)
sys.exit(status)
"""


@dataclass(frozen=True)
class Run:
    """One process.

    Parameters
    ----------
    wall_s, cpu_s
        Seconds from start to end, and of all its threads.
    peak_bytes, device_bytes
        Largest resident memory, and largest memory on the GPU; ``None`` where it is not known.
    phases_s
        Wall seconds by phase.
    """

    wall_s: float
    cpu_s: float | None = None
    peak_bytes: int | None = None
    device_bytes: int | None = None
    phases_s: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Series:
    """All runs with one set of flags.

    Parameters
    ----------
    name
        The flags, or ``yardstick``.
    scans
        That each run segments.
    runs
        In order.
    """

    name: str
    scans: int
    runs: tuple[Run, ...]

    def middle(self, what: str) -> float | None:
        """Return the median of a number of the runs; ``None`` where it is not known."""
        values = [value for run in self.runs if (value := getattr(run, what)) is not None]
        return median(values) if values else None

    @property
    def phases_s(self) -> dict[str, float]:
        """Medians of the seconds by phase."""
        names = dict.fromkeys(name for run in self.runs for name in run.phases_s)
        return {name: median(run.phases_s.get(name, 0.0) for run in self.runs) for name in names}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("scans", nargs="?", type=Path, metavar="SCAN", help="to segment: a scan, or a folder")
    parser.add_argument(
        "--with",
        dest="flags",
        action="append",
        metavar="FLAGS",
        help="flags of synthseg predict, in quotes, a single one as --with=--fast; again for another set "
        '(default: "--model default")',
    )
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="runs of each (default: %(default)s)")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: all cores)")
    parser.add_argument(
        "--yardstick",
        metavar="COMMAND",
        help="another program to run in turns and to compare with; {scan} and {out} stand for files",
    )
    parser.add_argument("--history", type=Path, metavar="JSON", help="append the result to this file")
    parser.add_argument(
        "--compare",
        nargs="+",
        type=Path,
        metavar="JSON",
        help="ratios to the last result there; two files without SCAN",
    )
    parser.add_argument("--page", type=Path, metavar="MD", help="write the table into this page, between its two marks")


def run(args: argparse.Namespace) -> int:
    """Measure, or compare what was measured before."""
    if args.scans is None:
        return _compare_files(args)
    _check(args)
    entry = measure(args.scans, args.flags or ["--model default"], args.repeat, args.threads, args.yardstick)
    print(table_of(entry))
    if args.compare:
        print(f"\nagainst {args.compare[0]}\n{comparison(_last(args.compare[0]), entry)}")
    if args.history is not None:
        known = read_mapping(args.history, "history of benchmarks", "give a new file") if args.history.exists() else {}
        write_json(args.history, {"results": [*known.get("results", []), entry]})
    if args.page is not None:
        _write_page(args.page, entry)
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse before anything runs what would be found out after minutes."""
    if not args.scans.exists():
        raise UsageError(str(args.scans), found="nothing there", expected="a scan or a folder", remedy="correct it")
    if args.repeat < 1:
        raise UsageError("--repeat", found=str(args.repeat), expected="1 or more", remedy="correct it")
    for path in (args.history, args.page):
        if path is not None:
            check_writable(path)
    if args.page is not None:
        _parts(args.page)
    if args.compare:
        _last(args.compare[0])


def measure(
    scans: Path, flags: Sequence[str], repeat: int, threads: int | None = None, yardstick: str | None = None
) -> dict[str, Any]:
    """Run every set of flags ``repeat`` times in turns and return the entry of the history.

    Parameters
    ----------
    scans
        A scan, or a folder of scans.
    flags
        Sets of flags of ``synthseg predict``.
    repeat
        Runs of each set.
    threads
        ``None``: all cores.
    yardstick
        Command of another program with ``{scan}`` and ``{out}`` in it.

    Raises
    ------
    UsageError
        If a run fails.
    """
    threads = threads or os.cpu_count() or 1
    names = [*flags, *([YARDSTICK] if yardstick else [])]
    runs: dict[str, list[Run]] = {name: [] for name in names}
    counts = dict.fromkeys(names, 1)
    for number in range(repeat):
        for name in names:
            with tempfile.TemporaryDirectory(prefix="synthseg-bench-") as folder:
                command = _command(name, yardstick, scans, Path(folder), threads)
                if sys.stderr.isatty():
                    print(f"{number + 1} of {repeat}: {name}", file=sys.stderr)
                runs[name].append(_run(command, timed=name != YARDSTICK))
                counts[name] = max(len([*Path(folder, "seg").glob("*")]), 1)
    series = [Series(name, counts[name], tuple(runs[name])) for name in names]
    return {
        "date": time.strftime("%Y-%m-%d"),
        "scans": scans.name,
        "threads": threads,
        "load_before": round(os.getloadavg()[0], 2),
        "machine": machine(),
        "series": to_content([asdict(one) for one in series]),
    }


def _command(name: str, yardstick: str | None, scans: Path, folder: Path, threads: int) -> list[str]:
    if name == YARDSTICK:
        assert yardstick is not None
        return [word.format(scan=scans, out=folder / "out.nii.gz") for word in shlex.split(yardstick)]
    out = folder / ("seg" if scans.is_dir() else "seg.nii.gz")
    words = [word.format(qc=folder / "qc.csv") for word in shlex.split(name)]
    files = ["--i", str(scans), "--o", str(out), "--vol", str(folder / "vol.csv")]
    return [sys.executable, "-c", _CHILD, "predict", *files, "--threads", str(threads), *words]


def _run(command: Sequence[str], *, timed: bool) -> Run:
    begin = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wall_s = time.perf_counter() - begin
    if done.returncode != 0:
        shown = shlex.join(command[3:] if timed else command)
        said = [line for line in done.stderr.splitlines() if line and not line.startswith("{")]
        raise UsageError(
            f"benchmark: {shown}",
            found=f"exit status {done.returncode}: {said[-1] if said else 'nothing said'}",
            expected="0",
            remedy="let that command run through first",
        )
    return Run(wall_s, **(json.loads(done.stderr.splitlines()[-1]) if timed else {}))


def machine() -> dict[str, Any]:
    """Return what the figures depend on: processor, cores, memory in GiB, versions."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(physical_bytes() / _GIB, 1),
        "python": platform.python_version(),
        "torch": version("torch"),
        "synthseg": __version__,
    }


def table_of(entry: Mapping[str, Any]) -> str:
    """Return the result as a Markdown table, with a line about the machine before it."""
    series = _series(entry)
    yardstick = next((one.middle("wall_s") for one in series if one.name == YARDSTICK), None)
    head = ["flags", "wall, s: median (min to max)", "CPU, s", "peak, GiB", "scans a minute", "phases, s"]
    rows = [_row(one, yardstick) for one in series]
    if yardstick is not None:
        head.insert(2, "yardstick / this")
    else:
        rows = [[*row[:2], *row[3:]] for row in rows]
    about = ", ".join(f"{name} {value}" for name, value in entry["machine"].items())
    text = f"{entry['date']}, {entry['scans']}, {entry['threads']} threads, load {entry['load_before']}; {about}"
    return f"{text}\n\n{_markdown(head, rows)}"


def _row(one: Series, yardstick: float | None) -> list[str]:
    walls = [run.wall_s for run in one.runs]
    middle = median(walls)
    peak, cpu = one.middle("peak_bytes"), one.middle("cpu_s")
    return [
        f"`{one.name}`",
        f"{middle:.1f} ({min(walls):.1f} to {max(walls):.1f})",
        "" if yardstick is None else f"{yardstick / middle:.2f}",
        "" if cpu is None else f"{cpu:.1f}",
        "" if peak is None else f"{peak / _GIB:.2f}",
        f"{60 * one.scans / middle:.1f}",
        ", ".join(f"{name} {seconds:.1f}" for name, seconds in one.phases_s.items()),
    ]


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def comparison(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return ratios old / new of medians, for sets of flags that both have; above 1: less than before.

    Parameters
    ----------
    old, new
        Entries of a history.
    """
    before = {one.name: one for one in _series(old)}
    rows = []
    for one in _series(new):
        if one.name not in before:
            rows.append([f"`{one.name}`", "not there before", "", ""])
            continue
        pairs = [(before[one.name].middle(what), one.middle(what)) for what in ("wall_s", "cpu_s", "peak_bytes")]
        rows.append([f"`{one.name}`", *(f"{a / b:.2f}" if a and b else "" for a, b in pairs)])
    differences = [
        f"{name}: {old['machine'].get(name)} before, {value} now"
        for name, value in new["machine"].items()
        if old["machine"].get(name) != value
    ]
    lines = [_markdown(["flags", "wall, before / now", "CPU", "peak"], rows)]
    return "\n".join([*lines, *(["", "other machine or versions: " + "; ".join(differences)] if differences else [])])


def _compare_files(args: argparse.Namespace) -> int:
    if not args.compare or len(args.compare) != 2:
        raise UsageError("SCAN", found="none", expected="a scan to segment, or --compare OLD NEW", remedy="give one")
    print(comparison(*(_last(path) for path in args.compare)))
    return 0


def _last(path: Path) -> Mapping[str, Any]:
    """Return the last entry of a history."""
    known = read_mapping(path, "history of benchmarks", "give a file that --history wrote").get("results")
    if not isinstance(known, list) or not known:
        raise UsageError(str(path), found="no results", expected="a file that --history wrote", remedy="give one")
    return known[-1]


def _series(entry: Mapping[str, Any]) -> list[Series]:
    return [Series(one["name"], one["scans"], tuple(Run(**run) for run in one["runs"])) for one in entry["series"]]


def _write_page(page: Path, entry: Mapping[str, Any]) -> None:
    before, after = _parts(page)
    write_text(page, f"{before}{_BEGIN}\n{table_of(entry)}\n{_END}{after}")


def _parts(page: Path) -> tuple[str, str]:
    """Return what stands before and after the marks of a page."""
    if not page.is_file():
        raise UsageError(str(page), found="no such file", expected="a page with two marks in it", remedy="make it")
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise UsageError(str(page), found="no marks", expected=f"{_BEGIN} and {_END}", remedy="put them in")
    return before, after
