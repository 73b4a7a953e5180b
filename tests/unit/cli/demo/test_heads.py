"""Phantom heads: label maps that the generator accepts as they are, and scans of them."""

from __future__ import annotations

import numpy as np
import pytest

from synthseg_core.cli.demo.__main__ import main
from synthseg_core.cli.demo.heads import EXTENT_MM, head
from synthseg_core.images.reading import read_scan, read_stored
from synthseg_core.synth import GenerationLabels

COARSE_MM = 4.0


@pytest.fixture(scope="module")
def coarse() -> np.ndarray:
    return head(1, COARSE_MM).data


def test_heads_hold_every_structure_of_the_list_on_its_side():
    volume, labels = head(1, 2.0), GenerationLabels.builtin()
    values = set(np.unique(volume.data).tolist())
    assert values <= set(labels.values)
    assert set(labels.target_values) <= values
    half = (len(labels) - labels.n_neutral) // 2
    middle = len(volume.data) // 2
    assert not np.isin(volume.data[middle:], labels.values[labels.n_neutral :][:half]).any()
    assert not np.isin(volume.data[:middle], labels.values[labels.n_neutral :][half:]).any()


def test_heads_differ_and_so_do_their_halves(coarse):
    brain = coarse == 41
    assert 0.02 < (coarse != head(2, COARSE_MM).data).mean() < 0.3
    assert (brain != (coarse[::-1] == 2)).any()
    np.testing.assert_array_equal(coarse, head(1, COARSE_MM).data)


def test_a_head_is_the_same_at_any_voxel_size(coarse):
    fine = head(1, 2.0)
    assert fine.shape == tuple(extent / 2 for extent in EXTENT_MM)
    np.testing.assert_allclose(fine.affine @ [*np.subtract(fine.shape, 1) / 2, 1], [0, 0, 0, 1])
    for value in (2, 3, 16, 511):
        volumes = [(data == value).sum() * mm**3 for data, mm in ((coarse, COARSE_MM), (fine.data, 2.0))]
        assert volumes[0] == pytest.approx(volumes[1], rel=0.1)


def test_command_writes_maps_with_scans_on_their_grids(tmp_path, capsys):
    scans = tmp_path / "scans"
    words = ["heads", str(tmp_path / "maps"), "--count", "2", "--voxel-size", "4", "--scans", str(scans)]
    assert main(words) == 0
    written = capsys.readouterr().out.splitlines()
    assert [line.rpartition("/")[2] for line in written] == [
        f"sub-0{number}_{suffix}.nii.gz" for suffix in ("dseg", "T1w") for number in (1, 2)
    ]
    label_map, scan = read_stored(written[1]), read_scan(written[3]).volume
    np.testing.assert_allclose(scan.affine, label_map.affine)
    medians = [np.median(scan.data[label_map.data == value]) for value in (24, 3, 2)]
    assert medians == sorted(medians)
    assert medians[0] < 0.6 * medians[2]
