"""``synthseg translate evaluate``: tables of images and of segmentations, and refusals."""

from __future__ import annotations

import pytest

from synthseg_core.cli.main import main
from synthseg_core.system.tables import read_tsv
from synthseg_core.translation.dataset import Description
from synthseg_core.translation.dataset_writing import DatasetWriter
from synthseg_core.translation.evaluate import ANATOMY_COLUMNS, DOWNSTREAM_COLUMNS, IMAGE_COLUMNS
from tests.phantoms.scans import phantom, write_nifti
from tests.phantoms.translation import Ellipses, write_toy_translator
from tests.unit.translation.test_dataset import made_stack


def _run(tmp_path, *words):
    write_toy_translator(tmp_path / "toy")
    fixed = ("--translator", tmp_path / "toy", "--device", "cpu", "--out", tmp_path / "out")
    return main(["translate", "evaluate", *map(str, (*words, *fixed))])


def test_images_of_a_split(tmp_path, capsys):
    images = Ellipses(20)
    with DatasetWriter(tmp_path / "data", Description(images.domains, "axial", 2.0)) as writer:
        for domain in images.domains:
            writer.add(made_stack(domain, "test", slices=1), [images.image(domain, "val", 0)[0]])
    assert _run(tmp_path, "--dataset", tmp_path / "data") == 0
    assert "dark, there and back: L1" in capsys.readouterr().out
    assert len(read_tsv(tmp_path / "out" / "images.tsv", IMAGE_COLUMNS)) == 2


def test_scans_and_their_labels(tmp_path, capsys):
    scan = write_nifti(tmp_path / "sub-01_T1w.nii.gz", phantom((2.0,) * 3), "int16")
    labels = phantom((2.0,) * 3)
    truth = write_nifti(
        tmp_path / "labels" / "sub-01_dseg.nii.gz", labels.__class__(2 * (labels.data > 90), labels.affine)
    )
    words = ("--scans", scan, "--labels", truth, "--model", "tiny-random", "--to", "bright")
    assert _run(tmp_path, *words) == 0
    assert "Dice of scan and translation" in capsys.readouterr().out
    anatomy = read_tsv(tmp_path / "out" / "anatomy.tsv", ANATOMY_COLUMNS)
    assert (anatomy[0]["scan"], anatomy[0]["name"]) == ("sub-01_T1w", "mean")
    assert anatomy[0]["changed"] in ("yes", "no")
    assert read_tsv(tmp_path / "out" / "downstream.tsv", DOWNSTREAM_COLUMNS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "found nothing to score"),
        (("--labels", "x.nii.gz", "--dataset", "x"), "them without --scans"),
        (("--scans", "x.nii.gz"), "found no direction"),
    ],
)
def test_one_line_each(tmp_path, capsys, words, message):
    assert _run(tmp_path, *words) == 2
    assert message in capsys.readouterr().err
