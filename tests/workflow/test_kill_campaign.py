"""Kills at random moments: the same command finishes, with the bytes of a run that nobody killed."""

import random
import shutil
import signal
import sys

import pytest

from tests.phantoms import phantom, write_nifti
from tests.trees import contents, make_tree
from tests.workflow.kills import draw, incomplete, results, run_and_kill, temporaries
from tests.workflow.runs import app, run

UNSTABLE = ("work", "logs")
STAGES = ("--model", "tiny-random-cortex", "--parc", "--qc")
ALL = ("front", "head", "job", "family", "heads")
# Everything but an interrupt of the command itself, which has a status of its own.
STATUSES = {"job": (0,), "worker": (0,), "head": (0, 1, 2), "family": (-9,), "heads": (-9,)}


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
    return contents(out, without=UNSTABLE), contents(out / "work" / "decisions"), contents(out / "work" / "settings")


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
        (11, 12, (*ALL, "worker"), ("--save-posteriors", "--save-resampled")),
        (12, 12, (*ALL, "worker"), ("--save-posteriors",)),
        (13, 10, ALL, ("--no-worker", "--participant-label", "01", "02")),
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
