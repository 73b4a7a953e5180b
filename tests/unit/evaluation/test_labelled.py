"""Scans whose labels are known, read from files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from synthseg_core.errors import InputError
from synthseg_core.evaluation.labelled import read_labelled_scan
from synthseg_core.labels.remap import Remap
from tests.phantoms.label_maps import label_volume, write_list, write_maps
from tests.phantoms.scans import write_nifti

SHAPE = (40, 44, 36)


REMAP = "from_min\tfrom_max\tto\n1002\t1002\t2\n41\t41\t41\n24\t24\tignore\n"


@pytest.fixture
def folder(tmp_path) -> Path:
    """Label maps, their list, and a remap table."""
    write_maps(tmp_path / "maps", count=3, shape=SHAPE)
    write_list(tmp_path / "list.tsv")
    (tmp_path / "remap.tsv").write_text(REMAP)
    return tmp_path


def _labelled(folder: Path, truth=None) -> tuple[Path, Path, Path]:
    label_map = label_volume(shape=(19, 23, 17)) if truth is None else truth
    values = label_map.data.copy()
    values[values == 2] = 1002
    image = write_nifti(folder / "scan.nii.gz", replace(label_map, data=label_map.data * 3.0 + 5))
    return image, write_nifti(folder / "labels.nii.gz", replace(label_map, data=values), "int32"), folder / "remap.tsv"


def test_a_labelled_scan_from_files(folder):
    image, label_map, remap = _labelled(folder)
    case = read_labelled_scan(image, label_map, Remap.read(remap))
    expected = label_volume(shape=(19, 23, 17)).data
    assert case.name == "scan"
    np.testing.assert_array_equal(case.truth, np.where(np.isin(expected, (2, 41)), expected, 0))
    np.testing.assert_array_equal(case.ignore, expected == 24)


def test_label_maps_on_another_grid_are_refused(folder):
    image, label_map, remap = _labelled(folder)
    moved = label_volume(shape=(19, 23, 17))
    moved.affine.setflags(write=True)
    moved.affine[0, 3] += 1
    for other in (moved, label_volume(shape=(19, 23, 18))):
        write_nifti(label_map, other, "int32")
        with pytest.raises(InputError, match="another grid than that of scan.nii.gz"):
            read_labelled_scan(image, label_map, Remap.read(remap))
