"""``synthseg translate dataset --pictures``: folders of two microscopes, and every refusal."""

from __future__ import annotations

import json

import numpy as np
import pytest

from synthseg_core.cli.main import main
from synthseg_core.translation.dataset import open_dataset
from tests.phantoms.pictures import cells, nnunet_folder, save


@pytest.fixture
def folders(tmp_path):
    """A BIDS dataset of SEM with sizes of pixels, and a dataset of nnU-Net of TEM."""
    for number in range(1, 5):
        name = f"sub-rat{number}/micr/sub-rat{number}_sample-1_SEM.png"
        save(tmp_path / "bids" / name, cells((60, 80), number)[0])
        save(tmp_path / "bids" / "derivatives" / name, cells((60, 80), number)[1])
    (tmp_path / "bids" / "SEM.json").write_text(json.dumps({"PixelSize": [0.1, 0.1], "PixelSizeUnits": "um"}))
    nnunet_folder(tmp_path / "Dataset001_TEM", count=4, dark=True)
    return tmp_path


def _words(folders, *more, out="out"):
    domains = ("--domain", "SEM", folders / "bids", "--domain", "TEM", folders / "Dataset001_TEM")
    return [str(word) for word in ("translate", "dataset", "--pictures", *domains, "--out", folders / out, *more)]


def test_two_microscopes(folders, capsys):
    assert main(_words(folders, "--pixel-size", "TEM", "0.05", "--spacing", "0.1")) == 0
    data = open_dataset(folders / "out")
    assert (data.domains, data.plane, data.neighbours) == (("SEM", "TEM"), "picture", 0)
    assert data.spacing_mm == pytest.approx(1e-4)
    assert sum(data.count("SEM", split) for split in ("train", "val", "test")) == 4
    assert data.image("SEM", "train", 0).shape == (1, 60, 80)
    assert 20 <= data.image("TEM", "train", 0).shape[1] <= 25
    assert {stack.subject for stack in data.stacks if stack.domain == "SEM"} == {f"sub-rat{n}" for n in range(1, 5)}
    assert "SEM, train: 2 images of 2 subjects" in capsys.readouterr().out


def test_scales_and_unknown_sizes(folders, capsys):
    (folders / "bids" / "SEM.json").unlink()
    assert main(_words(folders, "--scale", "SEM", "0.5")) == 0
    assert open_dataset(folders / "out").image("SEM", "train", 0).shape == (1, 30, 40)
    assert open_dataset(folders / "out").spacing_mm is None
    assert "note: no sizes of pixels are known; they are taken as equal in both domains" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "found no size of its pixels; expected one for every picture"),
        (["--pixel-size", "TEM", "0.2"], "--spacing: found pixels of several sizes, µm: SEM 0.1, TEM 0.2"),
        (["--pixel-size", "TEM", "small"], "--pixel-size: found small; expected numbers"),
        (["--pixel-size", "LM", "1"], "--pixel-size: found LM; expected SEM or TEM"),
        (["--scale", "TEM", "1", "2", "3"], "--scale: found 3 numbers"),
        (["--paired"], "--paired: found pictures; expected scans"),
        (["--ct", "TEM"], "--ct: found pictures; expected scans"),
        (["--subject-pattern", "("], "--subject-pattern: found ("),
    ],
)
def test_refusals(folders, capsys, words, message):
    assert main(_words(folders, *words)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (folders / "out").exists()


def test_files_that_are_no_grey_pictures_stop_it(folders, capsys):
    picture, labels = cells()
    save(folders / "bids" / "colour.png", np.stack([picture, picture, 255 - picture], axis=-1))
    save(folders / "bids" / "mask.png", labels * 127)
    assert main(_words(folders, "--pixel-size", "TEM", "0.1", "--pixel-size", "SEM", "0.1")) == 2
    error = capsys.readouterr().err
    assert "colour.png: found a picture in colours" in error
    assert "mask.png: found few different whole numbers in regions" in error
    assert "nothing written: 2 unusable files" in error
    save(folders / "bids" / "masks" / "mask.png", labels * 127)
    (folders / "bids" / "colour.png").unlink()
    (folders / "bids" / "mask.png").unlink()
    words = ("--pixel-size", "TEM", "0.1", "--exclude", "masks")
    assert main(_words(folders, *words)) == 0
