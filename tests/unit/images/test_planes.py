import numpy as np
import pytest

from synthseg_core.images.planes import PLANES, cut, outlines
from synthseg_core.images.volume import Volume
from tests.phantoms.scans import all_orientations, reoriented

AXIAL, CORONAL, SAGITTAL = PLANES
SIZE = (1.0, 2.0, 5.0)


def spots():
    """A head with one bright voxel at its left, one at its front and one at its top; unequal axes and voxels."""
    data = np.zeros((5, 7, 4), dtype=np.int16)
    data[0, 3, 1], data[2, 6, 1], data[2, 3, 3] = 1, 2, 3
    affine = np.diag([*SIZE, 1.0])
    affine[:3, 3] = -2, -6, -5  # voxel (2, 3, 1) lies at the origin
    return Volume(data, affine)


def place(pixels, value):
    """Row and column, from the bottom and from the left, as shares of the picture."""
    (row,), (column,) = np.nonzero(pixels == value)
    rows, columns = pixels.shape
    return row / (rows - 1), column / (columns - 1)


@pytest.mark.parametrize(("axes", "flips"), all_orientations())
def test_sides_are_where_the_letters_say_whatever_the_orientation(axes, flips):
    head = reoriented(spots(), axes, flips)
    axial, coronal, sagittal = (cut(head, plane, (0, 0, 0)) for plane in PLANES)
    assert place(axial.pixels, 1) == (0.5, 1)
    assert AXIAL.letters == "RLPA"
    assert place(axial.pixels, 2) == (1, 0.5)
    assert place(coronal.pixels, 1)[1] == 1
    assert place(coronal.pixels, 3) == (1, 0.5)
    assert place(sagittal.pixels, 2)[1] == 0
    assert place(sagittal.pixels, 3) == (1, 0.5)
    assert axial.extent == (2.5, -2.5, -7, 7)
    assert coronal.extent == (2.5, -2.5, -7.5, 12.5)
    assert sagittal.extent == (7, -7, -7.5, 12.5)


def test_position_decides_the_slice_and_stays_inside():
    head = spots()
    assert 3 in cut(head, AXIAL, (0, 0, 8)).pixels
    assert 3 not in cut(head, AXIAL, (0, 0, 7)).pixels
    assert 3 in cut(head, AXIAL, (0, 0, 900)).pixels


def test_corners_surround_the_pixels():
    across, up = cut(spots(), SAGITTAL, (0, 0, 0)).corners_mm
    assert across.tolist() == [7, 5, 3, 1, -1, -3, -5, -7]
    assert up.tolist() == [-7.5, -2.5, 2.5, 7.5, 12.5]


def test_outlines_are_the_edges_between_labels():
    edges, labels = outlines(np.array([[0, 0, 4], [0, 3, 4]]))
    found = {(tuple(map(tuple, edge.tolist())), label) for edge, label in zip(edges, labels.tolist(), strict=True)}
    assert found == {
        (((2, 0), (2, 1)), 4),  # 0 | 4
        (((1, 1), (1, 2)), 3),  # 0 | 3
        (((2, 1), (2, 2)), 4),  # 3 | 4
        (((1, 1), (2, 1)), 3),  # 0 over 3
    }
    assert len(outlines(np.zeros((3, 2), dtype=int))[1]) == 0
