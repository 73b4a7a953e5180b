"""Fields of view around a point: where their voxels lie in the world, and that air around the head changes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synthseg_core.images.reading import Scan
from synthseg_core.images.volume import Volume
from synthseg_core.models.card import GridSpec
from synthseg_core.segmentation.conform import ConformConfig, Conformed, conform
from synthseg_core.segmentation.field_of_view import _on_voxels, placed
from synthseg_core.segmentation.record import label_map_on, same_grid
from tests.phantoms.scans import all_orientations, oblique_affine, reoriented

SHAPE, VOXEL_MM = (41, 52, 38), (1.1, 0.9, 1.3)
MIDDLE_MM, FIELD = (1.37, -2.2, 3.05), (8, 16, 8)
FREE = ConformConfig(grid=GridSpec(2.0, 8, 8, answer_voxel_size_mm=1.0))
FIXED = ConformConfig(grid=GridSpec(2.0, 8, 8))


def head(shape=SHAPE, voxel_size=VOXEL_MM, degrees=12.0) -> Volume:
    """A bright blob in the dark, off the middle."""
    grid = np.meshgrid(*(np.arange(n, dtype=float) for n in shape), indexing="ij")
    far = sum(((x - c) / r) ** 2 for x, c, r in zip(grid, (22.0, 24.0, 21.0), (9.0, 13.0, 7.0), strict=True))
    return Volume(100 * np.exp(-far), oblique_affine(voxel_size, degrees))


def field(volume: Volume, middle_mm=MIDDLE_MM, shape=FIELD, config=FREE) -> Conformed:
    scan = Scan(volume, volume.voxel_size, Path("phantom.nii.gz"))
    return placed(conform(scan, config), middle_mm, shape, scan, config)


def world_of(found: Conformed, voxel: np.ndarray) -> np.ndarray:
    """Return where a voxel of the padded field of view lies in the world, mm."""
    record = found.record
    affine = record.orientation.affine_to_ras(record.grid_affine, record.grid.shape)
    return (affine @ [*(voxel - record.pad_start + record.crop[0]), 1])[:3]


def middle_of(volume: Volume) -> np.ndarray:
    return (volume.affine @ [*((np.array(volume.shape) - 1) / 2), 1])[:3]


@pytest.mark.parametrize(("axes", "flips"), all_orientations())
def test_middle_of_the_field_lies_at_the_point_whatever_the_storage(axes, flips):
    volume, expected = reoriented(head(), axes, flips), field(head())
    found = field(volume)
    assert found.image.shape == FIELD
    there = world_of(found, (np.array(FIELD) - 1) / 2)
    directions = oblique_affine((1.0, 1.0, 1.0), 12.0)[:3, :3]
    np.testing.assert_allclose(there, middle_of(head()) + directions @ MIDDLE_MM, atol=1e-9)
    np.testing.assert_allclose(found.image, expected.image, atol=1e-9)


def test_voxels_show_what_lies_there():
    """Of a ramp, which smoothing and linear interpolation keep."""
    volume = head()
    i, j, k = np.indices(SHAPE)
    ramp = Volume(1.0 * i + 2.0 * j - 3.0 * k, volume.affine)
    image = field(ramp).image
    places = np.linalg.inv(volume.affine) @ [*world_of(field(ramp), np.array([1, 13, 2])), 1]
    other = np.linalg.inv(volume.affine) @ [*world_of(field(ramp), np.array([6, 4, 5])), 1]
    middle = np.linalg.inv(volume.affine) @ [*world_of(field(ramp), (np.array(FIELD) - 1) / 2), 1]
    values = [place[:3] @ (1.0, 2.0, -3.0) for place in (places, other, middle)]
    seen = [image[1, 13, 2], image[6, 4, 5], image[3:5, 7:9, 3:5].mean()]
    assert (values[0] - values[2]) / (values[1] - values[2]) == pytest.approx(
        (seen[0] - seen[2]) / (seen[1] - seen[2]), rel=1e-6
    )


@pytest.mark.parametrize("air", [((3, 0), (0, 0), (0, 7)), ((10, 11), (12, 13), (14, 15)), ((1, 1), (0, 1), (2, 2))])
def test_air_around_the_head_changes_nothing(air):
    volume = head()
    dark = Volume(np.where(volume.data < 10, 0, volume.data), volume.affine)
    more = np.pad(dark.data, air)
    affine = dark.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ [before for before, _ in air]
    moved = Volume(more, affine)
    directions = oblique_affine((1.0, 1.0, 1.0), 12.0)[:3, :3]
    shift = directions.T @ (middle_of(dark) - middle_of(moved))
    wide = (32, 32, 32)  # leaves the scan on every side
    found, expected = field(moved, tuple(shift + MIDDLE_MM), wide), field(dark, shape=wide)
    np.testing.assert_allclose(found.image, expected.image, atol=1e-6)


@pytest.mark.parametrize("voxel_size", [VOXEL_MM, (2.0, 2.0, 2.0)])
@pytest.mark.parametrize("config", [FREE, FIXED])
def test_mirrored_scan_has_the_mirrored_field(voxel_size, config):
    volume = head(voxel_size=voxel_size, degrees=0.0)
    mirrored = Volume(volume.data[::-1].copy(), volume.affine)
    x, y, z = MIDDLE_MM
    expected, found = field(volume, config=config), field(mirrored, (-x, y, z), config=config)
    assert expected.symmetric
    np.testing.assert_allclose(found.image, expected.image[::-1], atol=1e-9)


@pytest.mark.parametrize("volume", [head(voxel_size=(2.0, 2.0, 2.0)), head()])
def test_scans_are_interpolated_once(volume):
    """A scan that is used as it is, or whose answer stays on the network's grid, keeps its voxels."""
    config = FREE if volume.voxel_size[0] > 1.9 else FIXED
    found = field(volume, config=config)
    scan = Scan(volume, volume.voxel_size, Path("phantom.nii.gz"))
    whole = conform(scan, config)
    assert same_grid(found.record.grid, whole.record.grid)
    start, stop = found.record.crop
    part = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    before, after = whole.record.unpad(whole.image)[part], found.record.unpad(found.image)
    inside = (after > 0) & (after < 1) & (before > 0) & (before < 1)
    assert inside.sum() > 100
    slope, offset = np.polyfit(before[inside], after[inside], 1)
    np.testing.assert_allclose(after[inside], slope * before[inside] + offset, atol=1e-9)


def test_field_beyond_the_scan_is_zero():
    found = field(head(), (-20.0, 0.0, 0.0), (16, 16, 16))
    start, stop = found.record.crop
    assert start[0] == 0
    assert found.record.pad_start[0] > 0
    outside = found.image.copy()
    found.record.unpad(outside)[...] = 0
    assert not outside.any()
    assert found.record.unpad(found.image).shape == tuple(b - a for a, b in zip(start, stop, strict=True))


def test_labels_come_back_to_their_place():
    """What is bright in the field of view is labelled; on the scan's grid that is what is bright in the scan."""
    volume = Volume(np.minimum(head().data, 50.0), head().affine)
    found = field(volume, shape=(24, 24, 24))
    bright = found.record.unpad(found.image)
    posteriors = np.stack([1 - bright, bright]).astype(np.float32)
    labels = label_map_on(found.record.source, posteriors, found.record, (0, 1)).data
    sure = np.abs(volume.data - 25) > 5
    assert ((labels == 1) == (volume.data > 25))[sure].all()
    assert 0.5 < labels.mean() / (volume.data > 25).mean() < 2


@pytest.mark.parametrize(("offset", "uncovered", "expected"), [
    (0.0, 4, 0.0), (0.4, 4, 0.0), (0.6, 4, 1.0), (2.5, 4, 2.0), (0.2, 3, 0.5), (1.2, 3, 1.5), (6.0, 23, 5.5)
])  # fmt: skip
def test_ties_between_voxels_go_towards_the_middle_on_both_sides(offset, uncovered, expected):
    assert _on_voxels(offset, uncovered) == expected
    assert _on_voxels(-offset, uncovered) == -expected
