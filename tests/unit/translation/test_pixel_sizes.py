"""Sizes of pixels from sidecars of BIDS: the nearest that applies, units, and what cannot be used."""

from __future__ import annotations

import json

import pytest

from synthseg_core.errors import InputError
from synthseg_core.translation.pixel_sizes import pixel_size_um

NAME = "sub-01/micr/sub-01_sample-2_stain-X_SEM"


def _sidecar(root, name, **content):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(json.dumps(content))


def test_the_nearest_sidecar_that_applies(tmp_path):
    picture = tmp_path / f"{NAME}.png"
    assert pixel_size_um(picture, tmp_path) is None
    _sidecar(tmp_path, "TEM.json", PixelSize=[9, 9])
    _sidecar(tmp_path, "sub-02_SEM.json", PixelSize=[8, 8])
    assert pixel_size_um(picture, tmp_path) is None
    _sidecar(tmp_path, "SEM.json", PixelSize=[100, 200], PixelSizeUnits="nm")
    assert pixel_size_um(picture, tmp_path) == pytest.approx((0.2, 0.1))
    _sidecar(tmp_path, "sub-01/micr/sub-01_sample-2_SEM.json", PixelSize=[0.5, 0.5, 3])
    assert pixel_size_um(picture, tmp_path) == (0.5, 0.5)
    _sidecar(tmp_path, f"{NAME}.json", PixelSize=[1e-3, 1e-3], PixelSizeUnits="mm")
    assert pixel_size_um(picture, tmp_path) == pytest.approx((1, 1))


def test_any_picture_may_have_a_sidecar_of_its_name(tmp_path):
    _sidecar(tmp_path, "slide 7.json", PixelSize=0.25)
    assert pixel_size_um(tmp_path / "slide 7.ome.tif", tmp_path) == (0.25, 0.25)


def test_sidecars_above_the_folder_do_not_count(tmp_path):
    _sidecar(tmp_path, "SEM.json", PixelSize=[1, 1])
    assert pixel_size_um(tmp_path / f"{NAME}.png", tmp_path / "sub-01") is None


@pytest.mark.parametrize(
    "content",
    [{"PixelSize": [0, 1]}, {"PixelSize": "1"}, {"PixelSize": [1, 1], "PixelSizeUnits": "inch"}, {"PixelSize": []}],
)
def test_sizes_that_cannot_be_used(tmp_path, content):
    _sidecar(tmp_path, "a.json", **content)
    with pytest.raises(InputError, match=r"a\.json: found PixelSize .* expected two positive numbers, in mm, um or nm"):
        pixel_size_um(tmp_path / "a.png", tmp_path)
