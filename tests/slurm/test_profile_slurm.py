"""Profile ``slurm``: one SLURM job a scan. A failing scan, a cancelled job, a killed head process."""

import signal
import time

import pytest

from synthseg_core.system.tables import read_tsv
from tests.slurm.runs import QUICK, SCANS, break_scan, kill_family, make_site, wait_for
from tests.workflow.runs import planned

pytestmark = pytest.mark.slurm


@pytest.fixture
def site(cluster, tmp_path):
    return make_site(cluster, tmp_path, "slurm", {"config.yaml": QUICK})


@pytest.fixture(scope="module")
def whole(session_cluster, tmp_path_factory):
    """An uninterrupted run."""
    site = make_site(session_cluster, tmp_path_factory.mktemp("whole"), "slurm", {"config.yaml": QUICK})
    done = site.run()
    assert done.returncode == 0, done.stdout
    return site


def segment_jobs(site, state="RUNNING"):
    """Numbers of the jobs that segment a scan and are in a state."""
    lines = (line.split("|") for line in site.cluster.jobs("%i|%T|%k"))
    return [number for number, now, comment in lines if now == state and comment.startswith("rule_segment")]


def test_every_scan_is_a_job_and_a_second_run_has_nothing_to_do(whole):
    assert set(whole.segmented()) == set(SCANS)
    folders = {path.parent.name for path in (whole.out / ".work/.snakemake/slurm_logs/rule_segment").rglob("*.log")}
    assert folders <= {f"{name}_anat_{name}_space-T1w" for name in SCANS}
    again = whole.run()
    assert again.returncode == 0, again.stdout
    assert planned(again.stdout) == {}


def test_failing_scan_is_listed_and_costs_no_other(cluster, tmp_path):
    site = make_site(cluster, tmp_path, "slurm", {"config.yaml": {**QUICK, "retries": 0}})
    break_scan(site, "sub-02")
    done = site.run()
    assert done.returncode == 1, done.stdout
    table = {row["participant_id"]: row for row in read_tsv(site.out / "group_scans.tsv")}
    assert {name: row["status"] for name, row in table.items()} == {
        "sub-01": "done",
        "sub-02": "failed",
        "sub-03": "done",
    }
    assert "an empty file" in table["sub-02"]["reason"]


def test_cancelled_job_is_tried_again(whole, site):
    with site.running() as process:
        victim = wait_for(lambda: segment_jobs(site), "a running job", process)[0]
        site.cluster.call("scancel", victim)
        assert process.wait(200) == 0, (site.folder / "background.log").read_text()
    assert "CANCELLED" in site.cluster.call("squeue", "--states=all", "--noheader", "--jobs", victim, "--format=%T")
    assert site.results() == whole.results()


def test_interrupt_cancels_the_jobs(site):
    with site.running() as process:
        wait_for(lambda: segment_jobs(site), "a running job", process)
        numbers = sorted(set(site.cluster.jobs("%A")))
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    # SLURM answers scancel before it has reached every job.
    deadline = time.monotonic() + 30
    while active := [state for state in site.cluster.jobs("%T") if state != "COMPLETING"]:
        assert time.monotonic() < deadline, active
        time.sleep(0.2)
    states = site.cluster.call(
        "squeue", "--states=all", "--noheader", "--jobs", ",".join(numbers), "--format=%T"
    ).split()
    assert len(states) == len(numbers)
    assert "CANCELLED" in states
    assert {*states} <= {"CANCELLED", "COMPLETED", "COMPLETING"}


def test_partition_for_one_run(cluster, tmp_path):
    quick = {key: value for key, value in QUICK.items() if key != "default-resources"}
    site = make_site(cluster, tmp_path, "slurm", {"config.yaml": quick})
    with site.running("--", "--default-resources", "slurm_partition=gpu") as process:
        wait_for(lambda: segment_jobs(site), "a running job", process)
        assert set(cluster.jobs("%P")) == {"gpu"}
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130


def test_killed_run_is_continued_when_its_jobs_have_ended(whole, site):
    with site.running() as process:
        wait_for(lambda: segment_jobs(site) and segment_jobs(site, "PENDING"), "a waiting job", process)
        wait_for(lambda: len(submitted(site)) == len(SCANS), "the last job", process)
        kill_family(process.pid)
    assert site.cluster.jobs() != []
    refused = site.run("--dry-run")
    assert refused.returncode == 2
    assert "SLURM jobs of a former run" in refused.stdout
    done = site.run()
    assert done.returncode == 0, done.stdout
    assert "Waiting for jobs of a former run" in done.stdout
    assert "segment" not in planned(done.stdout)  # the jobs that were left alone have done it
    assert site.results() == whole.results()


def submitted(site):
    """Jobs of this run that SLURM knows, whatever has become of them."""
    lines = site.cluster.call("squeue", "--states=all", "--noheader", "--format=%Z|%k").splitlines()
    pairs = (line.split("|") for line in lines)
    return [line for line, comment in pairs if line == str(site.out / ".work") and comment.startswith("rule_segment")]
