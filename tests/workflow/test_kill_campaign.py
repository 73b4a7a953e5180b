"""Kills at random moments: the same command finishes, with the bytes of a run that nobody killed."""

import random
import shutil
import signal
import sys

import psutil
import pytest

from tests.phantoms.scans import phantom, write_nifti
from tests.phantoms.trees import contents, make_tree
from tests.workflow.kills import Kill, draw, incomplete, results, run_and_kill, temporaries
from tests.workflow.runs import app, run, snakemake_command

UNSTABLE = (".work", ".logs")
STAGES = ("--model", "tiny-random-cortex", "--parc", "--qc")
ALL = ("front", "head", "job", "family", "heads")
# Everything but an interrupt of the command itself, which has a status of its own.
STATUSES = {"job": (0,), "worker": (0,), "head": (0, 1, 2, 137, 143), "family": (-9,), "heads": (-9,)}


@pytest.fixture(scope="module")
def bids(tmp_path_factory):
    folder = make_tree(
        tmp_path_factory.mktemp("campaign") / "bids",
        ["dataset_description.json"],
        b'{"Name": "x", "BIDSVersion": "1.11.1"}',
    )
    for number in range(1, 6):
        scan = phantom((2.0, 2.0, 2.5), shape=(17, 21 + number, 15), seed=number)
        write_nifti(folder / f"sub-0{number}/anat/sub-0{number}_T1w.nii.gz", scan)
    return folder


def everything(out):
    """Bytes of the derivatives and of what stages hand on to each other."""
    return contents(out, without=UNSTABLE), contents(out / ".work" / "decisions"), contents(out / ".work" / "settings")


def statuses_of(kill):
    """Exit status that a kill may lead to."""
    if kill.target == "front" and kill.number != signal.SIGKILL:
        early = (-kill.number,) if not kill.files else ()  # while Python itself starts
        return 130, 0, *early
    if kill.target == "front":
        return (-9,)
    return STATUSES[kill.target]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed", "kills", "targets", "words"),
    [
        (11, 11, (*ALL, "worker"), ("--save-posteriors", "--save-resampled")),
        (12, 10, (*ALL, "worker"), ("--save-posteriors",)),
        (13, 8, ALL, ("--no-worker", "--participant-label", "01", "02")),
    ],
)
def test_killed_runs_continue_to_the_same_bytes(bids, tmp_path, seed, kills, targets, words):
    command = [*app(bids, bids.parent / f"out-{seed}"), *STAGES, *words]
    whole = bids.parent / f"whole-{seed}"
    done = run([*app(bids, whole), *STAGES, *words], tmp_path)
    assert done.returncode == 0, done.stdout
    expected = everything(whole)
    out, rng, struck = bids.parent / f"out-{seed}", random.Random(seed), 0
    while struck < kills:
        kill = draw(rng, targets, max(2, len(results(whole)) - len(results(out))))
        about = f"seed {seed}, kill {struck}: {kill}"
        sys.stdout.write(f"{about}\n")  # shown where the test fails
        status, hit = run_and_kill(command, out, tmp_path / "log", kill)
        struck += hit
        said = f"{about}: status {status}\n{(tmp_path / 'log').read_text()}"
        assert status in (statuses_of(kill) if hit else (0,)), said
        assert incomplete(out) == [], said
        if status == 0:
            assert everything(out) == expected, said
            shutil.rmtree(out)
    done = run(command, tmp_path)
    assert done.returncode == 0, done.stdout
    assert everything(out) == expected
    assert temporaries(out) == []
    again = run(command, tmp_path)
    assert "Nothing to be done" in again.stdout
    assert everything(out) == expected


@pytest.mark.slow
def test_plain_snakemake_continues_after_unlocking(bids, tmp_path):
    """Of a killed Snakemake without the front door the jobs live on; they do no harm to the next run."""

    def plain(name, *words):
        (tmp_path / name).mkdir(exist_ok=True)
        stages = {"parcellate": {"enabled": True}, "qc": {"enabled": True}, "segment": {"model": "tiny-random-cortex"}}
        config = {"input": str(bids), "output": str(bids.parent / name), "device": "cpu", **stages}
        return snakemake_command(tmp_path / name, config, *words)

    done = run(plain("plain-whole"), tmp_path / "plain-whole")
    assert done.returncode == 0, done.stdout
    whole, out, rng, struck = bids.parent / "plain-whole", bids.parent / "plain-out", random.Random(14), 0
    while struck < 4:
        left = max(2, len(results(whole)) - len(results(out)))
        kill = Kill("head", signal.SIGKILL, rng.randrange(1, left), rng.uniform(0.0, 0.6))
        status, hit = run_and_kill(plain("plain-out"), out, tmp_path / "plain-out" / "log", kill)
        assert incomplete(out) == [], kill
        if not hit:  # it had ended before
            assert status == 0, kill
            shutil.rmtree(out)
            continue
        assert status == -9, kill
        struck += 1
        assert run(plain("plain-out", "--unlock"), tmp_path / "plain-out").returncode == 0
    done = run(plain("plain-out"), tmp_path / "plain-out")
    assert done.returncode == 0, done.stdout
    assert everything(out) == everything(whole)
    assert temporaries(out) == []


@pytest.mark.slow
@pytest.mark.parametrize("target", ["front", "head"])
def test_nothing_outlives_a_killed_run_for_long(bids, tmp_path, target):
    """Snakemake ends with the front door, after the jobs that run; jobs and worker end with Snakemake."""
    family = []
    kill = Kill(target, signal.SIGKILL, 20, 0.2)
    command = [*app(bids, bids.parent / f"out-{target}"), *STAGES]
    status, hit = run_and_kill(command, bids.parent / f"out-{target}", tmp_path / "log", kill, family)
    assert hit
    assert status == (-9 if target == "front" else 137)
    assert {"head", "worker"} <= {role for role, _ in family}
    _, alive = psutil.wait_procs([process for _, process in family], timeout=60)
    assert alive == []
