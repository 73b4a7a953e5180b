"""What is seen of a run, on a terminal and in a log."""

import io
import json
import signal
import time

import pytest

from synthseg_core.app.layout import Layout
from synthseg_core.app.screen import RunScreen, explain
from synthseg_core.app.snakemake import ChildEnd
from synthseg_core.bids.scan_row import ScanRow
from synthseg_core.errors import Failure, InputError
from synthseg_core.system.atomic import write_text
from tests.phantoms.terminal import Terminal


def path(number):
    return f"sub-{number:02}/anat/sub-{number:02}_T1w.nii.gz"


def stem(number):
    return f"sub-{number:02}/anat/sub-{number:02}_space-T1w"


class Run:
    """A run of which a test tells the events."""

    def __init__(self, folder, stream, scans=8, stages=("segment",), **options):
        self.seconds = 0.0
        self.layout = Layout(folder, folder / "work")
        self.events = folder / "events.jsonl"
        rows = [ScanRow(stem(n), f"sub-{n:02}", "", "T1w", path(n), f"/{path(n)}") for n in range(1, scans + 1)]
        self.screen = RunScreen(
            {row.scan: row for row in rows},
            self.layout,
            self.events,
            stream=stream,
            clock=lambda: self.seconds,
            **options,
        )
        numbers = [
            (n + scans * place, stage, stem(n)) for place, stage in enumerate(stages) for n in range(1, scans + 1)
        ]
        self.tell("plan", jobs=[*numbers, (0, "describe", "")])

    def tell(self, event, *jobs, **values):
        with self.events.open("a") as file:
            for entry in [{"job": job} for job in jobs] or [values]:
                file.write(json.dumps({"event": event, **entry}) + "\n")
        self.screen.look()

    def wait(self, seconds):
        self.seconds += seconds
        self.screen._line._drawn = -1.0
        self.screen.look()

    def warn(self, number, *warnings):
        write_text(self.layout.derivative(stem(number), "sidecar"), json.dumps({"Warnings": warnings}))

    def fail(self, number, found):
        error = InputError(path(number), found=found, expected="a scan", remedy="convert it again")
        write_text(self.layout.reason("segment", stem(number)), json.dumps(Failure.of(error).record()))
        self.tell("failed", number)


def test_a_terminal_shows_one_line_and_the_failures(tmp_path):
    terminal = Terminal()
    run = Run(tmp_path, terminal)
    run.tell("begun", 0, 1, 2)
    run.wait(1)
    assert terminal.shown()[-1] == "0 of 8 scans done; now files of the dataset, sub-01_T1w.nii.gz, sub-02_T1w.nii.gz"
    run.warn(1, "the field of view is small", "dark")
    run.tell("done", 0, 1)
    run.wait(59)
    assert terminal.shown()[-1] == (
        "1 of 8 scans done; 1 doubtful; about 7 min left; now sub-02_T1w.nii.gz; "
        "last warning: sub-01_T1w.nii.gz: the field of view is small (and 1 more)"
    )
    run.fail(2, "an empty file (0 bytes)")
    run.wait(5)
    assert terminal.screen()[0] == (
        "[2/8] FAILED sub-02/anat/sub-02_T1w.nii.gz: InputError: found an empty file (0 bytes); expected a scan; "
        "convert it again"
    )
    assert "1 of 8 scans done; 1 failed; 1 doubtful; about 3 min left;" in terminal.shown()[-1]
    run.screen.close()
    assert terminal.screen()[1:] == [""]


def test_what_waits_in_a_queue_does_not_fill_the_line(tmp_path):
    terminal = Terminal()
    run = Run(tmp_path, terminal)
    run.tell("begun", *range(1, 9))
    run.wait(1)
    names = ", ".join(f"sub-0{number}_T1w.nii.gz" for number in (1, 2, 3))
    assert terminal.shown()[-1] == f"0 of 8 scans done; now {names} and 5 more"
    run.screen.close()


def test_a_log_has_a_line_for_each_scan_that_ends(tmp_path):
    log = io.StringIO()
    run = Run(tmp_path, log, stages=("segment", "qc"))
    run.warn(1, "dark")
    run.tell("done", 1, 2, 3, 9)
    for _ in range(5):
        run.wait(60)
    run.fail(4, "no file")
    run.screen.close()
    assert log.getvalue() == (
        "[1/8] sub-01/anat/sub-01_T1w.nii.gz: doubtful: dark\n"
        "[2/8] FAILED sub-04/anat/sub-04_T1w.nii.gz: InputError: found no file; expected a scan; convert it again\n"
    )


def test_what_is_tried_again_has_not_failed(tmp_path):
    log = io.StringIO()
    run = Run(tmp_path, log)
    run.tell("failed", 1)
    run.tell("again", 1)
    run.wait(60)
    assert log.getvalue() == ""
    run.tell("failed", 1, 0)
    run.wait(60)
    assert log.getvalue().splitlines() == [
        f"[1/8] FAILED {path(1)}: not run yet",
        f"[2/8] FAILED files of the dataset: the step describe failed; see {tmp_path / '.logs'}",
    ]


def test_what_snakemake_says_is_shown_if_asked_for(tmp_path):
    stream, log = io.StringIO(), tmp_path / "snakemake.log"
    run = Run(tmp_path, stream, log=log)
    log.write_text("Building DAG of jobs...\nhalf a li")
    run.screen.look()
    assert stream.getvalue() == "Building DAG of jobs...\n"


def test_nobody_reads_any_more(tmp_path):
    class Gone(Terminal):
        def write(self, _text):
            raise BrokenPipeError

    run = Run(tmp_path, Gone())
    run.fail(1, "no file")
    run.wait(5)
    run.screen.close()
    assert run.screen.failed == {stem(1)}


def test_ten_thousand_scans_take_a_moment(tmp_path):
    stream = Terminal()
    run = Run(tmp_path, stream, scans=10_000)
    with run.events.open("a") as file:
        for number in range(1, 10_001):
            for event in ("begun", "done"):
                file.write(json.dumps({"event": event, "job": number}) + "\n")
    begin = time.process_time()
    for _ in range(1000):
        run.screen.look()
    assert time.process_time() - begin < 5
    run.wait(1)
    assert "10000 of 10000 scans done" in stream.shown()[-1]


OF_JOBS = "WorkflowError:\nAt least one job did not complete successfully."
FAULT = "WorkflowError:\nError recording metadata for finished job ([Errno 13] Permission denied)"


@pytest.mark.parametrize(
    ("end", "errors", "failed", "said"),
    [
        (ChildEnd(0, interrupted=False), [], set(), ""),
        (ChildEnd(1, interrupted=True), [FAULT], set(), ""),
        (
            ChildEnd(1, interrupted=False),
            ["WorkflowError:\nAt least one job did not complete successfully."],
            {"a"},
            "",
        ),
        (ChildEnd(1, interrupted=False), [FAULT, FAULT], {"a"}, "metadata for finished job"),
        (ChildEnd(2, interrupted=False), [], set(), "unrecognized arguments: --nonsense"),
        (ChildEnd(-signal.SIGKILL, interrupted=False), [], set(), "killed (SIGKILL), perhaps for want of memory"),
    ],
)
def test_why_snakemake_did_not_end_well(tmp_path, end, errors, failed, said):
    run, log = Run(tmp_path, io.StringIO()), tmp_path / "snakemake.log"
    log.write_text("usage: snakemake\n\nsnakemake: error: unrecognized arguments: --nonsense\n")
    run.screen.errors, run.screen.failed = errors, failed
    text = "\n".join(explain(end, run.screen, log))
    assert said in text
    assert bool(said) == (str(log) in text)
    assert text.count("metadata") <= 1
