"""Phantom heads with parcels, and their list."""

from __future__ import annotations

import numpy as np

from synthseg_core.cli.demo.__main__ import main
from synthseg_core.cli.demo.heads import head
from synthseg_core.cli.demo.parcels import with_parcels
from synthseg_core.labels.lists import GenerationLabels


def test_parcels_divide_the_cortex_and_nothing_else():
    whole, divided = head(1, 4.0), with_parcels(head(1, 4.0))
    for cortex, first in ((3, 1000), (42, 2000)):
        parcels = (divided.data > first) & (divided.data < first + 1000)
        assert np.array_equal(parcels, whole.data == cortex)
    others = divided.data < 1000
    assert np.array_equal(divided.data[others], whole.data[others])


def test_parcels_go_from_back_to_front():
    divided = with_parcels(head(1, 4.0))
    places = [np.argwhere(divided.data == value)[:, 1].mean() for value in (1011, 1029, 1028)]
    assert places == sorted(places)


def test_the_command_writes_maps_and_a_list_that_fits(tmp_path):
    assert main(["heads", str(tmp_path), "--count", "1", "--voxel-size", "8", "--parcels"]) == 0
    labels = GenerationLabels.read(tmp_path / "labels.tsv", outputs="output_parcels")
    assert labels.target_values == (0, 1011, 1028, 1029, 2011, 2028, 2029)
    structures = GenerationLabels.read(tmp_path / "labels.tsv")
    assert structures.target_values == GenerationLabels.builtin().target_values
    assert (tmp_path / "maps" / "sub-01_dseg.nii.gz").is_file()
