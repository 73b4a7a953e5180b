"""Fixed draws: the same every time, centred on what is scored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from synthseg_core.evaluation.draws import FixedDraws
from synthseg_core.labels.lists import GenerationLabels
from synthseg_core.synth.maps import LabelMaps, read_label_maps
from synthseg_core.synth.recipe import CropSpec, Recipe
from tests.phantoms.label_maps import write_list, write_maps

SHAPE = (40, 44, 36)


RECIPE = replace(Recipe(), crop=CropSpec((24, 32, 16), 8))


REMAP = "from_min\tfrom_max\tto\n1002\t1002\t2\n41\t41\t41\n24\t24\tignore\n"


@pytest.fixture
def folder(tmp_path) -> Path:
    """Label maps, their list, and a remap table."""
    write_maps(tmp_path / "maps", count=3, shape=SHAPE)
    write_list(tmp_path / "list.tsv")
    (tmp_path / "remap.tsv").write_text(REMAP)
    return tmp_path


@pytest.fixture
def maps(folder) -> LabelMaps:
    return read_label_maps(folder / "maps", GenerationLabels.read(folder / "list.tsv"))


def test_draws_are_the_same_every_time(maps):
    first, second = (FixedDraws(maps, RECIPE, count=2).scan(1) for _ in range(2))
    np.testing.assert_array_equal(first.scan.volume.data, second.scan.volume.data)
    np.testing.assert_array_equal(first.truth, second.truth)
    np.testing.assert_array_equal(first.scan.volume.affine, second.scan.volume.affine)


def test_crops_are_centred_on_the_target(maps):
    recipe = replace(RECIPE, flip_probability=0.0)
    crops = FixedDraws(maps, replace(recipe, crop=CropSpec((16, 16, 8), 8)), count=3)
    wholes = FixedDraws(maps, replace(recipe, crop=CropSpec(SHAPE, None)), count=3)
    for crop, whole in zip(crops, wholes, strict=True):
        centre = np.argwhere(whole.truth > 0).mean(axis=0)
        inside = np.linalg.inv(crop.scan.volume.affine) @ whole.scan.volume.affine @ [*centre, 1]
        np.testing.assert_allclose(inside[:3], (np.array(crop.truth.shape) - 1) / 2, atol=2)
