"""Jobs that are killed are tried once more; what else may be asked for while a run goes on."""

import re
import signal
import subprocess
import time

import psutil
import pytest

from synthseg_core.system.tables import read_tsv
from tests.phantoms.trees import contents
from tests.workflow.kills import incomplete, role, temporaries
from tests.workflow.runs import ENVIRONMENT, app, planned, run
from tests.workflow.trial import stem, t1w, write_dataset

PATIENCE_S = 300.0


def start(command, log):
    """Start a run whose output goes to a file."""
    with log.open("wb") as output:
        return subprocess.Popen(command, cwd=log.parent, env=ENVIRONMENT, stdout=output, stderr=subprocess.STDOUT)


def wait_for(process, name, *, other_than=None):
    """Return the first process of a run that has a role."""
    deadline = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < deadline:
        for one in psutil.Process(process.pid).children(recursive=True):
            try:
                if one != other_than and role(one) == name:
                    return one
            except psutil.Error:
                continue
        time.sleep(0.01)
    pytest.fail(f"the run ended or hung without a {name}: {process.poll()}")


def status_of(out, folder):
    return run([*app(folder, out)[:1], "status", out], folder)


def test_killed_job_is_tried_again_with_more_memory_while_others_look_on(tmp_path):
    bids, out = write_dataset(tmp_path / "bids", "1", "2"), tmp_path / "out"
    with start([*app(bids, out, "--mem", "12G"), "--", "--quiet", "host"], tmp_path / "log") as process:
        wait_for(process, "head")
        second = run(app(bids, out), tmp_path)
        victim = wait_for(process, "job")
        victim.suspend()  # or it ends while the others look on
        status = status_of(out, tmp_path)
        victim.kill()
        assert process.wait(PATIENCE_S) == 0, (tmp_path / "log").read_text()
    assert second.returncode == 2
    assert f"found a run by process {process.pid} on" in second.stdout
    assert f"A run is going on: process {process.pid} on" in status.stdout
    said = (tmp_path / "log").read_text()
    assert "Trying to restart job" in said
    assert {int(text) for text in re.findall(r"mem_mb=(\d+)", said)} == {500, 8000, 12000}  # as much as there is
    assert "2 done" in said
    done = status_of(out, tmp_path)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "No run is going on.")
    assert temporaries(out) == []


@pytest.mark.slow
def test_job_that_is_killed_every_time_is_missing_until_the_next_run(tmp_path):
    """What a former failure left as reason is not taken for the reason of this one."""
    bids, out = write_dataset(tmp_path / "bids"), tmp_path / "out"
    (bids / t1w("1")).parent.mkdir(parents=True)
    (bids / t1w("1")).write_bytes(b"")
    command = app(bids, out, "--no-worker")
    assert run(command, tmp_path).returncode == 2
    assert "an empty file" in (out / f".logs/segment/{stem('1')}.json").read_text()
    write_dataset(bids, "1")
    with start(command, tmp_path / "log") as process:
        first = wait_for(process, "job")
        wait_until_it_works(first)
        first.kill()
        second = wait_for(process, "job", other_than=first)
        wait_until_it_works(second)
        second.kill()
        assert process.wait(PATIENCE_S) == 1, (tmp_path / "log").read_text()
    row = read_tsv(out / "group_scans.tsv")[0]
    assert row["status"] == "missing"
    assert "ended without giving a reason" in row["reason"]
    assert incomplete(out) == []
    done = run(command, tmp_path)
    assert done.returncode == 0, done.stdout
    assert planned(done.stdout) == {"segment": 1, "all": 1}


def wait_until_it_works(job):
    """Return when a job has loaded its libraries."""
    deadline = time.monotonic() + PATIENCE_S
    while not any("torch" in mapped.path for mapped in job.memory_maps()) and time.monotonic() < deadline:
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_before_the_first_job(tmp_path, number):
    bids, out = write_dataset(tmp_path / "bids", "1"), tmp_path / "out"
    with start(app(bids, out), tmp_path / "log") as process:
        wait_for(process, "head")
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == 130
    assert (out / ".work/run.json").read_text() == ""
    assert run(app(bids, out), tmp_path).returncode == 0
    assert any(name.startswith("sub-1") for name in contents(out))


@pytest.mark.slow
def test_impatient_interrupts(tmp_path):
    """Ctrl-C again and again leaves nothing that the next run minds."""
    bids, out = write_dataset(tmp_path / "bids", "1", "2", "3"), tmp_path / "out"
    with start(app(bids, out), tmp_path / "log") as process:
        wait_for(process, "job")
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            time.sleep(0.1)
        assert process.returncode in (130, -signal.SIGINT)  # the latter if the last one met Python on its way out
    assert "synthseg-bids: interrupted" in (tmp_path / "log").read_text()
    assert incomplete(out) == []
    done = run(app(bids, out), tmp_path)
    assert done.returncode == 0, done.stdout
    assert "3 done" in done.stdout
    assert temporaries(out) == []
