"""Calls of the front door that cannot work: status 2, one line, and nothing of an earlier run is touched."""

from __future__ import annotations

import pytest

from tests.phantoms.scans import phantom, write_nifti
from tests.phantoms.trees import contents
from tests.workflow.runs import app, run


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Folder of a run over two scans."""
    folder = tmp_path_factory.mktemp("finished run")
    for seed, name in enumerate(("sub-01", "sub-02")):
        write_nifti(
            folder / f"in/{name}/anat/{name}_T1w.nii.gz", phantom((2.0, 2.0, 2.5), shape=(17, 21, 15), seed=seed)
        )
    assert front_door(folder).returncode == 0
    return folder


def front_door(folder, *words):
    return run(app(folder / "in", folder / "out", "--skip-bids-validation", *words), folder)


def results(folder):
    """Everything but Snakemake's own files, what it said, what was asked for, the lock, and what dry runs write."""
    own = (".snakemake/", "preview/", "parts/", "requests/", "run.json", "snakemake.log", "events.jsonl")
    aside = tuple(f".work/{name}" for name in own)
    found = contents(folder / "out")
    return {
        name: text for name, text in found.items() if not name.startswith(aside) and not name.endswith(".preview.json")
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--rerun", "--device", "cuda:77"), "--device: found"),
        (("--rerun", "--", "--bogus"), "unrecognized arguments: --bogus"),
        (("--suffixes", "bold"), "no usable scan; other kinds: T1w 2"),
    ],
)
def test_a_call_that_cannot_work_costs_no_result(finished, words, message):
    before = results(finished)
    done = front_door(finished, *words)
    assert done.returncode == 2, done.stdout
    assert message in done.stdout
    assert results(finished) == before


def test_a_dry_run_with_other_settings_changes_neither_results_nor_status(finished):
    before = results(finished)
    done = front_door(finished, "--dry-run", "--save-posteriors", "--participant-label", "02")
    assert done.returncode == 0, done.stdout
    assert results(finished) == before
    status = run([*app(finished, finished)[:1], "status", finished / "out"], finished)
    assert (status.returncode, "2 done" in status.stdout) == (0, True), status.stdout
