from io import BytesIO
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from synthseg_core.images.affines import voxel_size
from synthseg_core.images.mosaic import (
    RasVolume,
    blended,
    box_around,
    indexed_png,
    jpeg,
    lettered,
    plan_mosaic,
)
from synthseg_core.images.volume import Volume
from tests.phantoms.scans import all_orientations, oblique_affine, reoriented

EDGES = (2.0, 3.0, 5.0)
SHAPE = (20, 16, 12)
ROWS = ({"axial": 1}, {"coronal": 1}, {"sagittal": 1})


def marked():
    """One block of voxels in the left upper front quarter, with another value at its left front upper corner."""
    data = np.zeros(SHAPE, np.uint8)
    data[2:9, 9:15, 6:11] = 1
    data[2, 14, 10] = 2
    return Volume(data, oblique_affine(EDGES))


def planned(volume, rows=ROWS, width=400, box=None):
    return plan_mosaic(volume, np.array([(0, size) for size in volume.data.shape]) if box is None else box, rows, width)


@pytest.mark.parametrize(("axes", "flips"), all_orientations())
def test_a_marked_voxel_appears_where_it_should_whatever_the_orientation_also_oblique(axes, flips):
    volume = RasVolume.of(reoriented(marked(), axes, flips))
    np.testing.assert_array_equal(volume.data, marked().data)
    np.testing.assert_allclose(volume.affine, marked().affine, atol=1e-9)
    box = box_around(volume.data == 2, volume.voxel_size, margin_mm=4)
    mosaic = planned(volume, box=box)
    seen = mosaic.classes(volume.data)
    for tile in mosaic.tiles:
        part = seen[tile.top : tile.top + tile.height, tile.left : tile.left + tile.width]
        rows, columns = np.nonzero(part == 2)
        others = np.nonzero(part == 1)
        assert rows.size
        assert rows.mean() < others[0].mean()  # at the upper end
        right_of_others = columns.mean() > others[1].mean()
        assert right_of_others == (tile.plane.name != "sagittal")  # left of the head, or front


def test_pictures_have_the_proportions_of_the_head():
    volume = RasVolume.of(marked())
    mosaic = planned(volume)
    scale = {(t.width / (SHAPE[t.plane.across] * EDGES[t.plane.across])) for t in mosaic.tiles}
    scale |= {(t.height / (SHAPE[t.plane.up] * EDGES[t.plane.up])) for t in mosaic.tiles}
    assert max(scale) / min(scale) == pytest.approx(1, abs=0.03)
    assert max(scale) <= 2.02
    assert voxel_size(volume.affine) == pytest.approx(EDGES)


def test_planes_side_by_side_fit_the_width_and_slices_are_spread_over_the_box():
    volume = RasVolume.of(marked())
    mosaic = planned(volume, ({"axial": 3, "sagittal": 2}, {"coronal": 1}), width=200)
    assert mosaic.width <= 204
    axial = [tile.index for tile in mosaic.tiles if tile.plane.name == "axial"]
    assert axial == sorted(set(axial))
    assert axial[1] in (5, 6)
    first_row = [tile for tile in mosaic.tiles if tile.top == 0]
    assert [tile.plane.name for tile in first_row] == ["axial"] * 3 + ["sagittal"] * 2
    assert all(a.left + a.width < b.left for a, b in pairwise(first_row))


def test_contours_are_the_outermost_pixels_of_each_class_and_grey_values_are_clipped():
    volume = RasVolume.of(marked())
    mosaic = planned(volume, ({"axial": 1},), width=40)
    classes = np.zeros((mosaic.height, mosaic.width), np.uint8)
    classes[5:10, 6:12] = 3
    rim = mosaic.contours(classes)
    assert (rim == 3).sum() == 5 * 6 - 3 * 4
    assert not rim[6:9, 7:11].any()
    grey = mosaic.grey(np.linspace(-100, 100, volume.data.size).reshape(SHAPE), (0.0, 50.0))
    assert {grey.min(), grey.max()} <= {0, 255}
    assert not mosaic.grey(np.ones(SHAPE), (1.0, 1.0)).any()


def test_box_keeps_inside_the_volume_and_is_everything_without_a_mask():
    mask = np.zeros(SHAPE, bool)
    mask[0, 8, 5] = True
    assert box_around(mask, EDGES, 6.0).tolist() == [[0, 4], [6, 11], [4, 7]]
    assert box_around(mask & False, EDGES).tolist() == [[0, 20], [0, 16], [0, 12]]


def test_letters_are_written_into_every_slice():
    volume = RasVolume.of(marked())
    mosaic = planned(volume, ({"axial": 2}, {"sagittal": 2}), width=600)
    black = np.zeros((mosaic.height, mosaic.width), np.uint8)
    written = lettered(black, mosaic, volume)
    for tile in mosaic.tiles:
        middle = slice(tile.top + tile.height // 2 - 8, tile.top + tile.height // 2 + 8)
        for columns in (slice(tile.left, tile.left + 20), slice(tile.left + tile.width - 20, tile.left + tile.width)):
            assert written[middle, columns].max() > 200
        assert written[tile.top : tile.top + 14, tile.left : tile.left + 40].max() > 200
    assert not lettered(black, mosaic, volume, positions=False)[:14].any()


def test_files_hold_what_was_drawn():
    classes = np.array([[0, 1], [2, 3]], np.uint8)
    image = Image.open(BytesIO(indexed_png(classes, {1: (1.0, 0.5, 0.0), 3: (0, 0, 1)}))).convert("RGBA")
    assert [image.getpixel(place)[3] for place in ((0, 0), (1, 0), (0, 1), (1, 1))] == [0, 255, 0, 255]
    assert image.getpixel((1, 0))[:3] == (255, 128, 0)
    mixed = blended(np.full((2, 2), 100, np.uint8), classes, {1: (1.0, 0.0, 0.0)}, 0.5)
    assert mixed[0, 1].tolist() == [178, 50, 50]
    assert mixed[1, 1].tolist() == [100, 100, 100]
    assert Image.open(BytesIO(jpeg(mixed))).size == (2, 2)
