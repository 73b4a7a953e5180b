"""Running many scans: isolation, order, overlap, messages, table of failures."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthseg_core.cli.batch import FailureTable, Steps, run_batch, run_one
from synthseg_core.errors import Failure, InputError
from synthseg_core.system.progress import Progress
from synthseg_core.system.tables import read_tsv
from tests.phantoms.terminal import Terminal


def broken(path: str) -> InputError:
    return InputError(path, found="zero bytes", expected="a scan", remedy="copy it again")


def steps(log: list, faults: dict[tuple[str, str], Exception], keep_results: int = 1) -> Steps[str, str, str]:
    """Steps on plain text that log what they do and raise on request."""

    def step(name: str, job: str) -> str:
        log.append((name, job))
        if (name, job) in faults:
            raise faults[name, job]
        return f"{name} {job}"

    return Steps(
        name=str,
        read=lambda job: step("read", job),
        compute=lambda job, scan: step("compute", job),
        write=lambda job, scan, result: [f"checked {step('write', job)}"],
        keep_results=keep_results,
    )


def run(jobs, faults, table: Path | None = None, stream: io.StringIO | None = None, keep_results: int = 1):
    log: list = []
    failures = FailureTable(table)
    failures.start()
    stream = stream or io.StringIO()
    succeeded = run_batch(jobs, steps(log, faults, keep_results), Progress(len(jobs), stream), failures)
    return succeeded, failures.failures, log, stream.getvalue()


@pytest.mark.parametrize("stage", ["read", "compute", "write"])
@pytest.mark.parametrize("bad", ["a", "b", "c"])
@pytest.mark.parametrize("error", [broken("b"), RuntimeError("out of\nmemory"), MemoryError()])
def test_one_broken_scan_never_costs_another(stage, bad, error):
    succeeded, failures, log, _ = run(["a", "b", "c"], {(stage, bad): error})
    assert succeeded == 2
    assert [failure.scan for failure in failures] == [bad]
    assert failures[0].error == type(error).__name__
    assert {job for step, job in log if step == "write"} >= {"a", "b", "c"} - {bad}


@given(st.lists(st.sampled_from(["fine", "read", "compute", "write"]), max_size=7), st.sampled_from([0, 1]))
def test_counts_and_order_hold_for_any_pattern_of_failures(fates, keep_results):
    jobs = [str(number) for number in range(len(fates))]
    faults = {(fate, job): broken(job) for fate, job in zip(fates, jobs, strict=True) if fate != "fine"}
    succeeded, failures, log, _ = run(jobs, faults, keep_results=keep_results)
    assert succeeded == fates.count("fine")
    assert [failure.scan for failure in failures] == [j for j, fate in zip(jobs, fates, strict=True) if fate != "fine"]
    for step in ("read", "compute", "write"):
        order = [job for name, job in log if name == step]
        assert order == sorted(order, key=int)


def test_writing_overlaps_with_the_next_computation_and_reading_runs_ahead():
    second_computing, first_written = threading.Event(), threading.Event()

    def compute(job, scan):
        if job == "b":
            second_computing.set()
            assert first_written.wait(10)
        return job

    def write(job, scan, result):
        if job == "a":
            assert second_computing.wait(10)
            first_written.set()
        return ()

    overlapping = Steps(name=str, read=str, compute=compute, write=write)
    assert run_batch(["a", "b"], overlapping, Progress(2, io.StringIO()), FailureTable(None)) == 2


def test_large_results_are_written_before_the_next_computation():
    _, _, log, _ = run(["a", "b"], {}, keep_results=0)
    assert log.index(("write", "a")) < log.index(("compute", "b"))


def test_interruption_stops_the_batch_and_keeps_what_was_finished():
    log: list = []
    plan = steps(log, {("compute", "b"): KeyboardInterrupt()})
    with pytest.raises(KeyboardInterrupt):
        run_batch(["a", "b", "c"], plan, Progress(3, io.StringIO()), FailureTable(None))
    assert ("write", "a") in log
    assert ("compute", "c") not in log


def test_run_one_lets_errors_out():
    assert run_one("a", steps([], {})) == ["checked write a"]
    with pytest.raises(InputError, match="zero bytes"):
        run_one("a", steps([], {("read", "a"): broken("a")}))


def test_log_has_plain_lines_and_the_traceback_of_unknown_errors_only():
    *_, text = run(["a", "b", "c"], {("read", "b"): broken("b"), ("compute", "c"): RuntimeError("odd")})
    assert "\r" not in text
    assert "\x1b" not in text
    lines = text.splitlines()
    assert lines[:2] == ["warning: a: checked write a", "[1/3] a"]
    assert lines[2] == "[2/3] FAILED b: found zero bytes; expected a scan; copy it again"
    assert lines[3].startswith("Traceback")
    assert lines[-1] == "[3/3] FAILED c: unknown error RuntimeError: odd"


def test_terminal_has_one_status_line_with_the_time_left():
    stream = Terminal()
    seconds = iter([0.0, 300.0])
    progress = Progress(3, stream, clock=lambda: next(seconds))
    progress.started("a")
    progress.finished("a", ["dark"])
    progress.started("b")
    progress.close()
    assert stream.shown() == ["[1/3] a", "warning: a: dark", "[2/3] b, about 10 min left"]
    assert stream.screen() == ["warning: a: dark", ""]


def test_failure_table_exists_only_after_a_failure(tmp_path):
    table = tmp_path / "failures.tsv"
    table.write_text("old")
    run(["a"], {}, table)
    assert not table.exists()
    faults = {("read", "a"): broken("/d/a\tb"), ("write", "c"): ValueError("one\ntwo")}
    run(["a", "b", "c"], faults, table)
    rows = read_tsv(table, required=FailureTable.COLUMNS)
    assert [(row["scan"], row["error"], row["found"]) for row in rows] == [
        ("a", "InputError", "zero bytes"),
        ("c", "ValueError", "one two"),
    ]
    assert rows[0]["remedy"] == "copy it again"
    assert rows[0]["subject"] == "/d/a b"


def test_failures_are_listed_at_the_end(tmp_path):
    table = FailureTable(tmp_path / "f.tsv")
    assert table.closing_lines(3) == []
    table.add(Failure.of(broken("a"), scan="a"))
    assert table.closing_lines(3) == [
        f"1 of 3 scans failed, also listed in {tmp_path}/f.tsv:",
        "  a: found zero bytes; expected a scan; copy it again",
    ]
    silent = FailureTable(None)
    silent.add(Failure.of(broken("a"), scan="a"))
    assert silent.closing_lines(1)[0] == "1 of 1 scan failed:"
