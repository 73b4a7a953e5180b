"""``synthseg translate dataset``: from two contrasts of a BIDS dataset to a folder, and every refusal."""

from __future__ import annotations

import json

import numpy as np
import pytest

from synthseg_core.cli.main import main
from synthseg_core.images.volume import Volume
from synthseg_core.translation.dataset import open_dataset
from tests.phantoms.scans import phantom, write_nifti
from tests.phantoms.trees import contents, make_tree

SHAPE = (22, 26, 20)


@pytest.fixture(scope="module")
def bids(tmp_path_factory):
    """Five participants with T1w and FLAIR."""
    root = make_tree(tmp_path_factory.mktemp("bids"), ["dataset_description.json"])
    for number in range(1, 6):
        for suffix, sign in (("T1w", 1), ("FLAIR", -1)):
            scan = phantom(shape=SHAPE, seed=number)
            data = scan.data if sign > 0 else np.where(scan.data > 30, 200 - scan.data, scan.data)
            name = f"sub-{number:02d}/anat/sub-{number:02d}_{suffix}.nii.gz"
            write_nifti(root / name, Volume(data, scan.affine))
    (root / "participants.tsv").write_text(
        "participant_id\tsite\n" + "".join(f"sub-{n:02d}\t{'abc'[n % 3]}\n" for n in range(1, 6))
    )
    return root


def _words(bids, out, *more):
    domains = ["--domain", "T1w", bids, "--domain", "FLAIR", bids]
    filters = ["--filter", "T1w", "suffix=T1w", "--filter", "FLAIR", "suffix=FLAIR"]
    return [str(word) for word in ("translate", "dataset", *domains, *filters, "--out", out, *more)]


def test_two_contrasts_of_a_dataset(bids, tmp_path, capsys):
    assert main(_words(bids, tmp_path / "out", "--paired")) == 0
    data = open_dataset(tmp_path / "out")
    assert (data.domains, data.plane, data.spacing_mm, data.neighbours) == (("T1w", "FLAIR"), "axial", 1.0, 1)
    splits = {stack.subject: stack.split for stack in data.stacks}
    assert sorted(splits.values()) == ["test", "train", "train", "train", "val"]
    assert all(splits[stack.subject] == stack.split for stack in data.stacks)
    out = capsys.readouterr().out
    assert "T1w, train: " in out
    assert "left out, with too little head" in out
    facts = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert facts["options"]["splits"] == {"by": "subject", "ratios": [0.8, 0.1, 0.1]}
    assert main(_words(bids, tmp_path / "again", "--paired")) == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "again")


def test_sites_stay_together(bids, tmp_path):
    words = ("--split-by", "site", "--plane", "coronal", "--neighbours", "0", "--seed", "3")
    assert main(_words(bids, tmp_path / "out", *words)) == 0
    data = open_dataset(tmp_path / "out")
    splits = {stack.subject: stack.split for stack in data.stacks}
    assert splits["sub-01"] == splits["sub-04"]
    assert splits["sub-02"] == splits["sub-05"]
    assert len(set(splits.values())) == 3
    assert data.plane == "coronal"


def test_a_table_of_splits_and_participants(bids, tmp_path):
    table, people = tmp_path / "splits.tsv", tmp_path / "people.txt"
    table.write_text("participant_id\tsplit\nsub-01\ttrain\nsub-03\ttest\n")
    people.write_text("01\n03\n")
    assert main(_words(bids, tmp_path / "out", "--splits", table, "--participants", people)) == 0
    assert {s.subject: s.split for s in open_dataset(tmp_path / "out").stacks} == {"sub-01": "train", "sub-03": "test"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--filter", "T2w", "acq=x"], "--filter: found T2w; expected T1w or FLAIR"),
        (["--filter", "T1w", "acq"], "--filter: found acq; expected KEY=LABEL"),
        (["--filter", "T1w", "acq=thick"], "T1w: found no scan"),
        (["--participants", "99"], "expected scans in both domains"),
        (["--ratios", "0.8", "0.1", "0.2"], "ratios: found 0.8 0.1 0.2"),
        (["--spacing", "0"], "--spacing: found 0 mm"),
        (["--coverage", "2"], "coverage: found 2"),
        (["--neighbours", "-1"], "--neighbours: found -1"),
        (["--domain", "third", "x"], "expected two domains"),
        (["--split-by", "site", "--site-column", "scanner"], "no scanner of sub-01"),
    ],
)
def test_refusals_before_anything_is_read(bids, tmp_path, capsys, words, message):
    assert main(_words(bids, tmp_path / "out", *words)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_leaking_splits_are_refused(bids, tmp_path, capsys):
    table = tmp_path / "splits.tsv"
    rows = "".join(f"sub-{n:02d}\tT1w\ttrain\n" for n in range(1, 6))
    table.write_text(f"participant_id\tdomain\tsplit\n{rows}sub-02\tFLAIR\ttest\n")
    assert main(_words(bids, tmp_path / "out", "--splits", table)) == 2
    assert (
        "found sub-02 in train and in test; expected a subject in one split, in both domains" in capsys.readouterr().err
    )


def test_files_that_are_no_scans_stop_it_before_anything_is_written(bids, tmp_path, capsys):
    scan = phantom(shape=SHAPE)
    write_nifti(tmp_path / "in" / "blank.nii", Volume(np.zeros(SHAPE), scan.affine))
    write_nifti(tmp_path / "in" / "labels.nii", Volume(np.rint(scan.data / 40), scan.affine), "uint8")
    words = ["--domain", "x", tmp_path / "in", "--domain", "T1w", bids, "--filter", "T1w", "suffix=T1w"]
    assert main([str(word) for word in ("translate", "dataset", *words, "--out", tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "blank.nii: found 0 in every voxel" in error
    assert "labels.nii: found few different whole numbers" in error
    assert "nothing written: 2 unusable files" in error
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written_is_told_before_anything_is_read(bids, tmp_path, capsys):
    (tmp_path / "file").write_text("no folder")
    assert main(_words(bids, tmp_path / "file" / "out")) == 2
    assert "expected a writable file" in capsys.readouterr().err
