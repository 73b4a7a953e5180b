"""Profile ``slurm-gpu``: a job array of shards. A failing scan, a cancelled job, a killed head process."""

import base64
import json
import re
import shutil
import signal
import sys
from pathlib import Path

import psutil
import pytest

from synthseg_core.bids.scan_table import read_table
from synthseg_core.system.tables import read_tsv
from tests.slurm.runs import SCANS, break_scan, kill_family, make_site, wait_for
from tests.workflow.runs import planned, run

pytestmark = pytest.mark.slurm

# Two shards of at most two scans; they share the only GPU, so the second waits for the first.
ALLOCATION = {"partition": "gpu", "gres": "gpu:1", "cpus": 2, "mem_mb": 9000, "minutes": 10}
CHANGES = {
    "config.yaml": {"retries": 0, "latency-wait": 5},
    "shards.yaml": {"shards": 2, "scans_per_shard": 1, "allocation": ALLOCATION, "group": {"partition": "cpu"}},
}

LOCAL = ("--profile", "default")


@pytest.fixture
def site(cluster, tmp_path):
    return make_site(cluster, tmp_path, "slurm-gpu", CHANGES)


@pytest.fixture(scope="module")
def whole(session_cluster, tmp_path_factory):
    """An uninterrupted run."""
    site = make_site(session_cluster, tmp_path_factory.mktemp("whole"), "slurm-gpu", CHANGES)
    done = site.run()
    assert done.returncode == 0, done.stdout
    assert "3 scans in 2 shards" in done.stdout
    return site


def sharded(site):
    """Scans of each shard of the last run."""
    tables = sorted((site.out / ".work" / "shards").glob("*/scans.tsv"))
    return [[row.participant_id for row in read_table(table)] for table in tables]


def states(site):
    """State of each job in the queue, by the end of its name."""
    lines = (line.split("|") for line in site.cluster.jobs("%i|%j|%T"))
    return {(number, name.rpartition("-")[2]): state for number, name, state in lines}


def first_shard_runs(site):
    """Number of the first shard once it runs and the second waits."""
    known = {number: state for (number, name), state in states(site).items() if name == "shards"}
    running = [number for number, state in known.items() if state == "RUNNING"]
    return running[0] if running and "PENDING" in known.values() else None


def test_shards_run_in_allocations_of_their_own_with_one_worker_each(whole):
    assert sharded(whole) == [["sub-01", "sub-03"], ["sub-02"]]
    assert set(whole.segmented()) == set(SCANS)
    answered = (whole.out / ".work/shards/1/.snakemake/worker.log").read_text().splitlines()
    assert [json.loads(line)["status"] for line in answered] == [0, 0]
    assert [row["status"] for row in read_tsv(whole.out / "group_scans.tsv")] == ["done"] * 3


def test_second_run_submits_nothing(whole):
    before = whole.segmented()
    again = whole.run()
    assert again.returncode == 0, again.stdout
    assert "up to date" in again.stdout
    assert whole.segmented() == before


def test_script_of_a_shard_can_be_run_by_hand(whole):
    made = whole.out / "sub-02" / "anat" / "sub-02_space-T1w_seg-synthseg_volumes.tsv"
    made.unlink()
    done = run(["bash", whole.out / ".work/shards/2/job.sh"], whole.folder, PATH="/usr/bin:/bin")
    assert done.returncode == 0, done.stdout
    assert made.is_file()


def test_failing_scan_is_listed_and_costs_no_other(site):
    break_scan(site, "sub-01")
    done = site.run()
    assert done.returncode == 1, done.stdout
    table = {row["participant_id"]: row for row in read_tsv(site.out / "group_scans.tsv")}
    assert {name: row["status"] for name, row in table.items()} == {
        "sub-01": "failed",
        "sub-02": "done",
        "sub-03": "done",
    }
    assert "an empty file" in table["sub-01"]["reason"]


def test_scans_of_a_cancelled_shard_are_missing_and_only_they_are_made_next_time(whole, site):
    with site.running() as process:
        victim = wait_for(lambda: first_shard_runs(site), "a running shard", process)
        site.cluster.call("scancel", victim)
        assert process.wait(200) == 1, (site.folder / "background.log").read_text()
    assert "Shard 1 was cancelled" in (site.folder / "background.log").read_text()
    before = site.segmented()
    assert set(before) == {"sub-02"}
    done = site.run()
    assert done.returncode == 0, done.stdout
    assert sharded(site) == [["sub-01"], ["sub-03"]]
    assert site.segmented()["sub-02"] == before["sub-02"]
    assert site.results() == whole.results()


def test_outputs_that_a_killed_shard_began_are_made_again_by_a_local_run(whole, site):
    begun = site.out / ".work/.snakemake/incomplete"
    with site.running() as process:
        wait_for(lambda: [path for path in begun.glob("*") if "sub-01" in decoded(path)], "a job", process)
        kill_family(script_of(site, 1))
        assert process.wait(200) == 1, (site.folder / "background.log").read_text()
    noted = [decoded(path) for path in begun.glob("*")]
    assert {name for output in noted for name in SCANS if name in output} == {"sub-01"}
    left = {*SCANS} - {*site.segmented()} | {"sub-01"}  # which of a shard's scans comes first is Snakemake's
    assert "sub-02" not in left
    done = site.run(*LOCAL)
    assert done.returncode == 0, done.stdout
    assert planned(done.stdout)["segment"] == len(left)
    assert list(begun.glob("*")) == []
    assert site.results() == whole.results()


def script_of(site, number):
    """Process that runs the script of a shard."""
    words = ["bash", str(site.out / ".work" / "shards" / str(number) / "job.sh")]
    return next(process.pid for process in psutil.process_iter(["cmdline"]) if process.info["cmdline"] == words)


def decoded(path):
    """The output that a note of Snakemake is about."""
    return base64.urlsafe_b64decode(path.name).decode()


def test_jobs_of_a_killed_run_go_on_and_are_waited_for(whole, site):
    with site.running() as process:
        wait_for(lambda: first_shard_runs(site) and "group" in str(states(site)), "all jobs", process)
        kill_family(process.pid)
    status = run([Path(sys.executable).parent / "synthseg-bids", "status", site.out], site.folder, **site.environment)
    assert re.search(r"No run is going on. SLURM jobs that wait or run: [123] \(\d", status.stdout)
    refused = site.run("--no-wait")
    assert refused.returncode == 2
    assert "SLURM jobs of a former run" in refused.stdout
    done = site.run()
    assert done.returncode == 0, done.stdout
    assert "Waiting for jobs of a former run" in done.stdout
    assert "up to date" in done.stdout
    assert site.results() == whole.results()


def test_interrupt_cancels_the_jobs(site):
    with site.running() as process:
        wait_for(lambda: first_shard_runs(site), "a running shard", process)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    live = [state for state in states(site).values() if state != "COMPLETING"]
    assert live == []


def test_submitted_and_left_alone(whole, site):
    done = site.run("--no-wait")
    assert done.returncode == 0, done.stdout
    later = site.run()
    assert later.returncode == 0, later.stdout
    assert "up to date" in later.stdout
    assert site.results() == whole.results()


def test_local_run_knows_what_shards_made_with_other_options(site):
    def run_with(*words):
        done = site.run(*words)
        assert done.returncode == 0, done.stdout
        return done.stdout

    run_with(*LOCAL)
    before = site.results()
    run_with("--fast")
    assert site.results() != before
    assert planned(run_with(*LOCAL, "--fast", "--dry-run")) == {}
    assert planned(run_with(*LOCAL))["segment"] == len(SCANS)
    assert site.results() == before


def test_local_run_knows_of_which_rows_shards_made_their_results(site):
    table = site.folder / "scans.csv"
    other = site.folder / "bids" / "other.nii.gz"
    paths = [site.folder / "bids" / name / "anat" / f"{name}_T1w.nii.gz" for name in SCANS]
    shutil.copy2(paths[2], other)

    def run_with(rows, *words):
        lines = [f"{path},{name},{ct}" for name, (path, ct) in zip(SCANS, rows, strict=True)]
        table.write_text("\n".join(["path,subject,ct", *lines]) + "\n")
        done = site.run("--csv", table, *words)
        assert done.returncode == 0, done.stdout
        return done.stdout

    made = [(paths[0], ""), (paths[1], "true"), (paths[2], "")]
    assert "3 scans in 2 shards" in run_with(made)
    assert planned(run_with(made, *LOCAL, "--dry-run")) == {}
    for changed in ([(paths[0], "true"), *made[1:]], [made[0], (paths[1], ""), made[2]], [*made[:2], (other, "")]):
        assert planned(run_with(changed, *LOCAL, "--dry-run")).get("segment") == 1


def test_shard_that_never_ran_is_an_error_even_where_older_results_are(whole):
    before = whole.segmented()
    with whole.running("--rerun") as process:
        running = wait_for(lambda: first_shard_runs(whole), "a running shard", process)
        whole.cluster.call("scancel", running.replace("_1", "_2"))
        assert process.wait(200) == 2, (whole.folder / "background.log").read_text()
    said = (whole.folder / "background.log").read_text()
    assert "Shard 2 was cancelled" in said
    assert "Shard 1" not in said
    after = whole.segmented()
    assert {name for name in SCANS if after[name] != before[name]} == {"sub-01", "sub-03"}


@pytest.mark.parametrize("part", ["allocation", "group"])
def test_options_that_slurm_refuses_are_told_and_no_job_is_left(cluster, tmp_path, part):
    shards = CHANGES["shards.yaml"]
    wrong = {"shards.yaml": {**shards, part: {**shards[part], "partition": "nowhere"}}}
    done = make_site(cluster, tmp_path, "slurm-gpu", wrong).run()
    assert done.returncode == 2
    assert "sbatch: found" in done.stdout
    assert "nvalid partition" in done.stdout
    assert [line for line in cluster.jobs("%T") if line != "COMPLETING"] == []
