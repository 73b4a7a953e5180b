"""Runs about single participants beside each other, and beside runs about the whole dataset."""

import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack

import pytest

from synthseg_core.app.configuration import checked
from synthseg_core.app.gather import running_text
from synthseg_core.app.layout import Layout
from synthseg_core.app.parts import describe_once, forget_parts, part_folder, work_lock
from synthseg_core.app.plan import Plan, Selection
from synthseg_core.errors import UsageError
from tests.phantoms.trees import contents, make_tree

ALL = Selection()


def about(*participants, sessions=()):
    return Selection(participants, tuple(sessions))


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "out", tmp_path / "out" / ".work")


def lock(layout, selection, **options):
    return work_lock(layout, selection, together=True, **options)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (about("01"), about("02")),
        (about("01", "02"), about("03", "04")),
        (about("01", sessions=["a"]), about("01", sessions=["b"])),
        (about(sessions=["a"]), about(sessions=["b"])),
    ],
)
def test_parts_that_have_no_scan_in_common(layout, one, other):
    with lock(layout, one) as first, lock(layout, other) as second:
        assert first.folder != second.folder
        assert len(set(first.descriptors + second.descriptors)) == 4
        assert running_text(layout).startswith("2 runs are going on: process")
    assert running_text(layout) == "No run is going on."


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (about("01"), about("01")),
        (about("01", "02"), about("02", "03")),
        (about("01"), about("01", sessions=["a"])),
        (about("01"), about(sessions=["a"])),
        (about("01"), ALL),
        (ALL, about("01")),
        (ALL, ALL),
    ],
)
def test_runs_that_have_a_scan_in_common(layout, one, other):
    with (
        lock(layout, one),
        pytest.raises(UsageError, match=f"a run by process {os.getpid()} on .* since .*; wait for it") as refusal,
        lock(layout, other),
    ):
        pass
    assert "work" in refusal.value.subject
    with lock(layout, other):  # nothing is left of either
        pass


def test_a_part_that_does_not_run_here_is_a_whole_run(layout):
    """On SLURM, whose jobs outlive the run that submitted them."""
    with work_lock(layout, about("01"), together=False) as held:
        assert held.folder == layout.work


def test_many_parts_begin_at_once(layout):
    """A part that looks who else is there is in nobody's way."""
    code = (
        "import sys, time; from pathlib import Path; from synthseg_core.app.layout import Layout\n"
        "from synthseg_core.app.parts import work_lock; from synthseg_core.app.plan import Selection\n"
        f"out = Path({str(layout.output)!r}); print(flush=True); sys.stdin.readline()\n"
        "with work_lock(Layout(out, out / 'work'), Selection((sys.argv[1],)), together=True): time.sleep(0.2)"
    )
    runs = [
        subprocess.Popen([sys.executable, "-c", code, str(n)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for n in range(6)
    ]
    with ExitStack() as stack:
        for run in runs:
            stack.enter_context(run)
            run.stdout.readline()
        for run in runs:
            run.stdin.write(b"\n")
            run.stdin.flush()
        for run in runs:
            run.stdin.close()
            assert run.wait(60) == 0


def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return str(process.pid)


def leave_record(layout, selection, pid, host):
    folder = part_folder(layout, selection)
    record = {"pid": pid, "host": host, "started": "today", "participants": list(selection.participants)}
    make_tree(folder, ["run.json"], json.dumps(record).encode())


def test_a_part_that_was_killed(layout):
    leave_record(layout, about("01"), dead_pid(), socket.gethostname())
    with lock(layout, about("02")) as held:
        assert not held.after_crash
    with lock(layout, ALL) as held:
        assert held.after_crash
        forget_parts(layout)
        held.cleared = True
    with lock(layout, ALL) as held:
        assert not held.after_crash


def test_a_part_waits_for_what_a_killed_run_about_the_whole_left_running(layout, capsys):
    record = {"pid": dead_pid(), "host": socket.gethostname(), "started": "today"}
    make_tree(layout.work, ["run.json"], json.dumps(record).encode())
    code = f"import fcntl, time; f = open({str(layout.lock)!r}); fcntl.flock(f, 2); print(flush=True); time.sleep(0.5)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        with lock(layout, about("01")):
            assert holder.wait(1) == 0
    assert "waiting for the jobs" in capsys.readouterr().out
    with lock(layout, ALL) as held:  # which has to clear what it left behind
        assert held.after_crash


def test_a_part_that_another_computer_recorded(layout):
    leave_record(layout, about("01"), "1", "elsewhere")
    with lock(layout, about("02")):
        pass
    for selection in (about("01"), about(sessions=["a"]), ALL):
        with pytest.raises(UsageError, match=r"on elsewhere since today.*--unlock"), lock(layout, selection):
            pass
    with lock(layout, about("01"), force=True) as held:
        assert held.after_crash


def test_notes_are_kept_where_those_of_the_whole_run_are(layout):
    for _ in range(2):
        with lock(layout, about("01")) as held:
            note = held.folder / ".snakemake" / "metadata" / "x"
            note.write_text("x")
    assert (layout.work / ".snakemake" / "metadata" / "x").read_text() == "x"
    forget_parts(layout)
    assert (layout.work / ".snakemake" / "metadata" / "x").is_file()


def test_names_of_many_participants_stay_short(layout):
    labels = [f"{number:03}" for number in range(300)]
    folder = part_folder(layout, about(*labels))
    assert len(folder.name) < 80
    assert folder == part_folder(layout, about(*reversed(labels)))
    assert folder != part_folder(layout, about(*labels[:-1]))


@pytest.mark.parametrize("head", [{}, {"merge_head": {"model": "siam-0.3"}}])
def test_files_of_the_dataset_are_written_once_for_all_parts(tmp_path, head):
    bids = make_tree(tmp_path / "bids", ["sub-01/anat/sub-01_T1w.nii.gz"])
    config = {"input": str(bids), "output": str(tmp_path / "out"), "segment": {"model": "tiny-random"}, **head}
    plan = Plan.from_config(checked(config))
    describe_once(plan)
    assert all(path.is_file() for path in plan.dataset_files)
    before = contents(plan.layout.output, without=(".work",))
    times = {path: path.stat().st_mtime_ns for path in plan.dataset_files}
    describe_once(Plan.from_config(checked(config)))
    assert times == {path: path.stat().st_mtime_ns for path in plan.dataset_files}
    plan.dataset_files[0].unlink()
    describe_once(Plan.from_config(checked(config)))
    assert contents(plan.layout.output, without=(".work",)) == before
