"""Tissues of the head around the segmentations of a dataset: a job of its own, made once, and nobody else's fault."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest

from synthseg_core.models.card_file import read_card
from synthseg_core.models.weights import find_weights
from synthseg_core.system.tables import read_tsv
from tests.phantoms.models import TinyModel
from tests.phantoms.trees import contents
from tests.workflow.runs import app, planned, run
from tests.workflow.trial import stem, t1w, write_dataset

HEAD_TABLE = """\
label\tname\tside\tcounterpart
0\tbackground\tneutral\t0
16\tsoft tissue\tneutral\t16
15\tskull\tneutral\t15
1\tgrey matter\tneutral\t1
"""
UNSTABLE = (".work", ".logs")


def head_model(folder, seed):
    """Write a model of a head with random weights, and return its card."""
    return TinyModel(folder.name, table=HEAD_TABLE, inference={"clean_up": "none"}, seed=seed).write(folder)


class Study:
    """Two scans, and a model of the head that labels everything."""

    def __init__(self, folder):
        self.folder = folder
        self.bids, self.out = write_dataset(folder / "bids", "1", "2"), folder / "out"
        self.card = head_model(folder / "head", seed=3)
        self.said = ""

    def run(self, *words, status=0):
        """Run, and return the jobs."""
        done = run(app(self.bids, self.out, *words), self.folder)
        self.said = done.stdout
        assert done.returncode == status, done.stdout
        return {rule: count for rule, count in planned(done.stdout).items() if rule != "all"}

    def head(self, subject, ending):
        """Path of what the stage makes of a scan."""
        return self.out / f"{stem(subject)}_seg-synthseghead_dseg{ending}"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The tests of this module follow each other on it."""
    study = Study(tmp_path_factory.mktemp("heads"))
    assert study.run() == {"describe": 1, "segment": 2}
    return study


def _labels(path):
    return np.asarray(nib.load(path).dataobj).astype(int)


def test_heads_are_added_later_without_segmenting_again(study):
    before = contents(study.out, without=UNSTABLE)
    assert study.run("--merge-head", study.card) == {"describe": 1, "merge_head": 2}
    after = contents(study.out, without=UNSTABLE)
    of_scans = {name for name in after if name.startswith("sub-") and after[name] != before.get(name)}
    assert of_scans == {str(study.head(n, e).relative_to(study.out)) for n in "12" for e in (".nii.gz", ".json")}
    brain = _labels(study.out / f"{stem('1')}_seg-synthseg_dseg.nii.gz")
    merged = _labels(study.head("1", ".nii.gz"))
    np.testing.assert_array_equal(merged[brain > 0], brain[brain > 0])
    around = set(np.unique(merged[brain == 0])) - {0}
    assert around
    assert around <= {601, 615, 616}
    assert nib.load(study.head("1", ".nii.gz")).affine.tolist() == nib.load(study.bids / t1w("1")).affine.tolist()
    rows = {int(row["index"]): row["name"] for row in read_tsv(study.out / "seg-synthseghead_dseg.tsv")}
    assert {615: "head: skull", 2: "left cerebral white matter"}.items() <= rows.items()
    assert set(np.unique(merged)) <= set(rows)
    assert "615" in (study.out / "seg-synthseghead_LUT.txt").read_text()
    sidecar = json.loads(study.head("1", ".json").read_text())
    assert sidecar["Sources"] == [f"bids:raw:{t1w('1')}", f"bids::{stem('1')}_seg-synthseg_dseg.nii.gz"]
    assert sidecar["Model"]["WeightsSHA256"] == find_weights(read_card(study.card)).sha256
    assert sidecar["SegmentationModel"]["Name"] == "tiny-random"


def test_nothing_is_done_twice(study):
    before = contents(study.out, without=UNSTABLE)
    assert study.run("--merge-head", study.card) == {}
    assert contents(study.out, without=UNSTABLE) == before
    assert study.run() == {"describe": 1}  # nobody asks for heads: they stay
    assert study.head("1", ".nii.gz").is_file()
    assert study.run("--merge-head", study.card) == {"describe": 1}


@pytest.mark.slow
def test_a_lost_head_and_another_model_make_heads_again(study):
    study.run("--merge-head", study.card)  # also where no other test came before
    study.head("2", ".json").unlink()
    assert study.run("--merge-head", study.card) == {"merge_head": 1}
    other = head_model(study.folder / "other", seed=4)
    assert study.run("--merge-head", other) == {"describe": 1, "merge_head": 2}
    assert "model was" in study.said
    assert study.run("--merge-head", other, "--fast") == {"segment": 2, "merge_head": 2}
    assert study.run("--merge-head", other, "--fast") == {}


@pytest.mark.slow
def test_a_broken_scan_costs_no_other(study):
    words = ("--merge-head", study.card)
    broken = study.bids / t1w("3")
    broken.parent.mkdir(parents=True)
    broken.write_bytes((study.bids / t1w("1")).read_bytes()[:1500])
    shutil.copytree(study.bids / "sub-1", study.bids / "sub-4")
    (study.bids / t1w("4")).with_name("sub-1_T1w.nii.gz").rename(study.bids / t1w("4"))
    study.run(*words, status=1)
    assert study.head("4", ".nii.gz").is_file()
    assert not study.head("3", ".nii.gz").exists()


def test_a_model_that_cannot_be_used_is_known_before_any_job(study):
    assert study.run("--merge-head", "siam-0.3", status=2) == {}
    assert "siam-0.3" in study.said
    assert study.run("--merge-head", "tiny-random-parc", status=2) == {}
    assert "expected one for segmentation" in study.said
