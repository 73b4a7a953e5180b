"""What is made again after a change, and what is not: one dataset that is changed step by step."""

import os
import shutil
import time
from pathlib import Path

import pytest

import synthseg_core
from synthseg_core.system.tables import read_tsv
from tests.phantoms.trees import contents
from tests.workflow.runs import app, planned, run
from tests.workflow.trial import stem, t1w, write_dataset, write_scan

pytestmark = pytest.mark.slow
UNSTABLE = (".work", ".logs")
CORTEX = ("--model", "tiny-random-cortex")
EVERYTHING = (*CORTEX, "--qc", "--parc")


class Trial:
    """A dataset and its derivatives."""

    def __init__(self, folder):
        self.folder = folder
        self.bids = write_dataset(folder / "bids", "1", "2", "3")
        self.out = folder / "out"
        self.said = ""

    def run(self, *words, level="participant"):
        """Run, require that all goes well, and return the jobs."""
        done = run(app(self.bids, self.out, *words, level=level), self.folder)
        self.said = done.stdout
        assert done.returncode == 0, done.stdout
        return {rule: count for rule, count in planned(done.stdout).items() if rule != "all"}

    def derivatives(self):
        """Bytes of everything but logs and work."""
        return contents(self.out, without=UNSTABLE)


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    """The tests of this module follow each other on it."""
    trial = Trial(tmp_path_factory.mktemp("changes"))
    assert trial.run(*CORTEX) == {"describe": 1, "segment": 3}
    return trial


def changed(before, after):
    """Names that are new or have other content; nothing may go away."""
    assert set(before) <= set(after)
    return {name for name in after if before.get(name) != after[name]}


def of_scans(names):
    """Subjects whose files are among them."""
    return {name.split("/")[0] for name in names if name.startswith("sub-")}


def test_nothing_is_done_twice(trial):
    before = trial.derivatives()
    assert trial.run(*CORTEX) == {}
    assert trial.derivatives() == before


def test_another_file_of_a_scan_remakes_this_scan_and_the_group(trial):
    before = trial.derivatives()
    write_scan(trial.bids, "2", seed=77)
    assert trial.run(*CORTEX) == {"segment": 1}
    names = changed(before, trial.derivatives())
    assert of_scans(names) == {"sub-2"}
    assert "group_seg-synthseg_volumes.tsv" in names


def test_neither_times_nor_places_of_scans_count_but_whose_file_it_is(trial):
    before = trial.derivatives()
    ahead = time.time() + 7200
    first, second = (trial.bids / t1w(label) for label in ("1", "2"))
    os.utime(first, (ahead, ahead))
    os.utime(trial.out / f".work/decisions/{stem('1')}_decision.npz", (ahead, ahead))
    trial.bids.rename(trial.folder / "moved")
    trial.bids.symlink_to(trial.folder / "moved")
    assert trial.run(*CORTEX) == {}
    assert trial.derivatives() == before
    first.rename(trial.folder / "x")
    second.rename(first)
    (trial.folder / "x").rename(second)
    trial.run(*CORTEX, level="group")
    assert "outdated: " in trial.said
    assert trial.run(*CORTEX) == {"segment": 2}
    assert "made from another file of the scan" in trial.said
    assert of_scans(changed(before, trial.derivatives())) == {"sub-1", "sub-2"}
    first.rename(trial.folder / "x")
    second.rename(first)
    (trial.folder / "x").rename(second)
    second.unlink()
    second.symlink_to("../.git/annex/objects/gone")
    assert trial.run(*CORTEX) == {"segment": 1}
    assert [row["participant_id"] for row in read_tsv(trial.out / "group_seg-synthseg_volumes.tsv")] == [
        f"sub-{label}" for label in "123"
    ]
    assert "kept: " in trial.said
    second.unlink()
    write_scan(trial.bids, "2", seed=77)
    trial.run(*CORTEX)
    assert trial.derivatives() == before


def test_outputs_of_earlier_versions_go_on_where_they_stopped_and_after_being_renamed(trial):
    before = trial.derivatives()
    names = [(trial.out / name, trial.out / name.removeprefix(".")) for name in UNSTABLE]
    for hidden, former in names:
        hidden.rename(former)
    assert trial.run(*CORTEX) == {}
    assert not any(hidden.exists() for hidden, _ in names)
    for hidden, former in names:
        former.rename(hidden)
    assert trial.run(*CORTEX) == {}
    assert trial.derivatives() == before


def test_another_subject_is_one_scan_more(trial):
    before = trial.derivatives()
    write_scan(trial.bids, "4", seed=4)
    assert trial.run(*CORTEX) == {"segment": 1}
    assert of_scans(changed(before, trial.derivatives())) == {"sub-4"}


def test_scores_and_parcels_can_be_asked_for_later(trial):
    before = trial.derivatives()
    assert trial.run(*CORTEX, "--qc") == {"describe": 1, "qc": 4}
    assert trial.run(*EVERYTHING) == {"describe": 1, "parcellate": 4}
    names = {name for name in changed(before, trial.derivatives()) if name.startswith("sub-")}
    assert all("_desc-qc_" in name or "_seg-synthsegparc_" in name for name in names)


@pytest.mark.parametrize(
    ("name", "jobs"),
    [
        ("_seg-synthseg_res-1mm_dseg.nii.gz", {"segment": 1, "parcellate": 1, "qc": 1}),
        ("_desc-brain_mask.json", {"segment": 1, "parcellate": 1, "qc": 1}),
        ("_seg-synthsegparc_volumes.tsv", {"parcellate": 1}),
        ("_desc-qc_scores.json", {"qc": 1}),
    ],
)
def test_what_is_deleted_comes_back_with_what_depends_on_it(trial, name, jobs):
    before = trial.derivatives()
    (trial.out / f"{stem('3')}{name}").unlink()
    assert trial.run(*EVERYTHING) == jobs
    assert trial.derivatives() == before


def test_another_threshold_changes_the_group_tables_only(trial):
    before = trial.derivatives()
    assert trial.run(*EVERYTHING, "--qc-threshold", "0.999") == {}
    assert {name.partition(".")[0] for name in changed(before, trial.derivatives())} == {"group_qc"}
    assert {row["flag"] for row in read_tsv(trial.out / "group_qc.tsv")} == {"low"}
    assert trial.run(*EVERYTHING) == {}
    assert trial.derivatives() == before


def test_without_scores_and_parcels_everything_stays(trial):
    before = trial.derivatives()
    assert set(trial.run(*CORTEX)) <= {"describe"}
    assert of_scans(changed(before, trial.derivatives())) == set()
    assert set(trial.run(*EVERYTHING)) <= {"describe"}
    assert trial.derivatives() == before


def test_group_needs_no_scans(trial):
    before = trial.derivatives()
    trial.bids.rename(trial.folder / "away")
    for path in trial.out.glob("group_*"):
        path.unlink()
    trial.run(*EVERYTHING, level="group")
    (trial.folder / "away").rename(trial.bids)
    assert trial.derivatives() == before


def test_another_option_remakes_what_depends_on_it_and_says_so(trial):
    before = trial.derivatives()
    assert trial.run(*EVERYTHING, "--fast") == {"segment": 4, "parcellate": 4, "qc": 4}
    assert "segment: fast was false, is true" in trial.said
    assert of_scans(changed(before, trial.derivatives())) == {"sub-1", "sub-2", "sub-3", "sub-4"}
    assert trial.run(*EVERYTHING) == {"segment": 4, "parcellate": 4, "qc": 4}
    assert trial.derivatives() == before


def test_parts_side_by_side_make_what_one_run_makes(trial):
    """At the same time, into one output folder with one work folder; the group level afterwards."""
    from concurrent.futures import ThreadPoolExecutor

    apart = trial.folder / "apart"

    def part(label):
        return run(app(trial.bids, apart, *CORTEX, "--participant-label", label), trial.folder)

    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(part, ("1", "2", "3", "4")))
    assert [done.returncode for done in parts] == [0] * 4, "\n".join(done.stdout for done in parts)
    assert not list(apart.glob("group_*"))
    gathered = run(app(trial.bids, apart, *CORTEX, level="group"), trial.folder)
    assert gathered.returncode == 0, gathered.stdout
    shutil.rmtree(trial.out)
    trial.run(*CORTEX)
    assert contents(apart, without=UNSTABLE) == trial.derivatives()
    whole = run(app(trial.bids, apart, *CORTEX), trial.folder)
    assert planned(whole.stdout) == {}


def test_other_weights_remake_everything_but_another_place_of_them_nothing(tmp_path):
    trial = Trial(tmp_path)
    name = "tiny-random-cortex.safetensors"
    known = next(Path(synthseg_core.__file__).parent.rglob(name)).read_bytes()
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / name).write_bytes(known)
    place = (*CORTEX, "--weights", tmp_path / "weights")
    assert trial.run(*CORTEX) == {"describe": 1, "segment": 3}
    assert trial.run(*place) == {}
    (tmp_path / "weights" / name).write_bytes(known[:-2] + bytes(2))
    assert trial.run(*place)["segment"] == 3
    assert "weights_sha256 was" in trial.said
    assert trial.run(*CORTEX)["segment"] == 3


def test_a_row_with_another_model_or_kind_remakes_its_scan_there_and_back(tmp_path):
    trial = Trial(tmp_path)
    table = tmp_path / "scans.csv"
    names = {str(number): f"bids/sub-{number}/anat/sub-{number}_T1w.nii.gz" for number in (1, 2, 3)}

    def run_with(**cells):
        lines = [f"{path},{subject},{cells.get(f's{subject}', ',')}" for subject, path in names.items()]
        table.write_text("\n".join(["path,subject,model,ct", *lines]) + "\n")
        done = run(app(table, trial.out, *CORTEX), tmp_path)
        assert done.returncode == 0, done.stdout
        return {rule: count for rule, count in planned(done.stdout).items() if rule not in ("all", "describe")}

    assert run_with() == {"segment": 3}
    before = trial.derivatives()
    assert run_with(s2=",true") == {"segment": 1}
    assert of_scans(changed(before, trial.derivatives())) == {"sub-2"}
    assert run_with(s2=",true", s3="tiny-random,") == {"segment": 1}
    assert run_with(s3="tiny-random,") == {"segment": 1}
    assert run_with() == {"segment": 1}
    assert trial.derivatives() == before
