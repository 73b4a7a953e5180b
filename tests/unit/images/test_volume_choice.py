"""Which part of a stored array is the scan: by shapes alone, ours and the reference's rule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synthseg_core.errors import InputError
from synthseg_core.images.volume_choice import choose_like_reference, choose_volume

SCAN = Path("scan.nii.gz")


@pytest.mark.parametrize(
    ("stored", "volume"), [((3, 4, 5), None), ((3, 4, 5, 1), None), ((3, 4, 1), None), ((3, 4, 5, 1, 1), 0)]
)
def test_plain_scans_are_taken_whole(stored, volume):
    choice = choose_volume(stored, volume, SCAN)
    array = np.arange(np.prod(stored)).reshape(stored)
    assert array[choice.index].shape == choice.shape == stored[:3]
    assert choice.voxels == np.prod(stored)
    assert choice.warnings == ()


@pytest.mark.parametrize("stored", [(3, 4, 5, 6), (3, 4, 5, 1, 6)])
def test_one_volume_of_several(stored):
    array = np.arange(np.prod(stored)).reshape(stored)
    first = choose_volume(stored, None, SCAN)
    assert "holds 6 volumes; the first is used; --volume N chooses another, 0 to 5" in first.warnings[0]
    np.testing.assert_array_equal(array[first.index], array.reshape(3, 4, 5, 6)[..., 0])
    asked = choose_volume(stored, 4, SCAN)
    assert asked.warnings == ()
    np.testing.assert_array_equal(array[asked.index], array.reshape(3, 4, 5, 6)[..., 4])


@pytest.mark.parametrize(
    ("stored", "volume", "said"),
    [
        ((3, 4), None, "a 2-D image of shape 3 x 4"),
        ((3,), None, "a 1-D image"),
        ((3, 0, 5), None, "no voxels"),
        ((3, 4, 5, 2, 2), None, "a 5-D image"),
        ((3, 4, 5, 6), 6, "a number from 0 to 5"),
        ((3, 4, 5), -1, "number 0"),
    ],
)
def test_arrays_without_a_scan(stored, volume, said):
    with pytest.raises(InputError, match=said):
        choose_volume(stored, volume, SCAN)


def test_reference_takes_a_short_last_axis_for_channels():
    stored = (20, 21, 22, 1, 3)
    choice = choose_like_reference(stored, None, SCAN)
    array = np.arange(np.prod(stored)).reshape(stored)
    assert choice.shape == (20, 21, 22)
    np.testing.assert_array_equal(array[choice.index], array[:, :, :, 0, 0])
    assert "taken as 3 channels" in choice.warnings[0]
    assert choose_like_reference((20, 1, 21, 22), None, SCAN).warnings == ()


@pytest.mark.parametrize(
    ("stored", "said"),
    [((20, 21, 10), "only 10 slices"), ((20, 21, 22, 30), "an image of shape"), ((20, 21), "a 2-D image")],
)
def test_shapes_with_which_the_reference_fails(stored, said):
    with pytest.raises(InputError, match=said):
        choose_like_reference(stored, None, SCAN)
