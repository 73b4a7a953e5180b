"""Geometry that must hold for every scan: undoing, all 48 axis orders, mirrors, oblique grids."""

from __future__ import annotations

import itertools
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from nibabel.orientations import aff2axcodes, apply_orientation, io_orientation

from synthseg_core.images.affines import closest_ras, unit_columns, voxel_size
from synthseg_core.images.grids import centred_grid
from synthseg_core.images.reading import Scan, read_scan
from synthseg_core.images.resampling import centred_sampling, resample_axis
from synthseg_core.images.volume import Volume
from synthseg_core.images.writing import write_volume
from synthseg_core.models.card import GridSpec
from synthseg_core.quirks import NATIVE, REFERENCE
from synthseg_core.segmentation.conform import ConformConfig, conform, plan
from synthseg_core.segmentation.record import ConformRecord, label_map_on
from synthseg_core.segmentation.volumes import voxel_volume
from tests.phantoms.scans import all_orientations, nested_ellipsoids, oblique_affine, phantom, reoriented

GRID = GridSpec(1.0, 8, 16)
CONFIG = ConformConfig(grid=GRID)
relaxed = settings(deadline=None, max_examples=30)

# One slice is allowed, one voxel is not: it has no contrast.
shapes = st.tuples(*[st.integers(1, 24)] * 3).filter(lambda shape: np.prod(shape) >= 50)
voxel_sizes = st.tuples(*[st.floats(0.4, 6.0)] * 3)
orientations = st.sampled_from(all_orientations())
angles = st.floats(-25, 25)


def _rotation(angles_deg) -> np.ndarray:
    """Rotation by at most |a| + |b| + |c| degrees about three axes."""
    result = np.eye(3)
    for (i, j), angle in zip(((0, 1), (0, 2), (1, 2)), np.deg2rad(angles_deg), strict=True):
        turn = np.eye(3)
        turn[[i, i, j, j], [i, j, i, j]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        result = result @ turn
    return result


def _scan(volume: Volume) -> Scan:
    return Scan(volume, volume.voxel_size, Path("phantom.nii.gz"))


def _noise(shape, affine) -> Volume:
    return Volume(np.random.default_rng(int(np.prod(shape))).gamma(2.0, 50.0, shape), affine)


def _fake_posteriors(image: np.ndarray) -> np.ndarray:
    """Four classes computed voxel by voxel, so that they follow the image wherever it goes. (4, I, J, K)"""
    centres = np.array([0.0, 0.3, 0.6, 1.0]).reshape(4, 1, 1, 1)
    scores = np.exp(-((image - centres) ** 2) / 0.02) + 1e-3
    return (scores / scores.sum(axis=0)).astype(np.float32)


def _segment(volume: Volume, config: ConformConfig = CONFIG) -> tuple[np.ndarray, ConformRecord]:
    result = conform(_scan(volume), config)
    posteriors = _fake_posteriors(result.record.unpad(result.image))
    return label_map_on(result.record.source, posteriors, result.record, (0, 10, 11, 12)).data, result.record


@given(shape=shapes, sizes=voxel_sizes, orientation=orientations, turn=st.tuples(*[st.floats(-8, 8)] * 3))
@relaxed
def test_native_labels_have_exactly_the_source_grid(shape, sizes, orientation, turn):
    affine = np.eye(4)
    affine[:3, :3] = _rotation(turn) * sizes
    volume = reoriented(_noise(shape, affine), *orientation)
    labels, record = _segment(volume)
    assert labels.shape == volume.shape == record.source_shape
    np.testing.assert_array_equal(record.source.affine, volume.affine)


@given(shape=shapes, sizes=voxel_sizes, orientation=orientations, reference=st.booleans())
@relaxed
def test_unpadding_and_reordering_undo_conform(shape, sizes, orientation, reference):
    volume = reoriented(_noise(shape, oblique_affine(sizes)), *orientation)
    result = conform(_scan(volume), ConformConfig(grid=GRID, quirks=REFERENCE if reference else NATIVE))
    core = result.record.to_source_order(result.record.unpad(result.image))
    on_grid = volume if result.resampled is None else result.resampled
    assert core.shape == on_grid.shape
    # Intensities were clipped and stretched, so inner values map linearly.
    inner = (core > 0) & (core < 1)
    if inner.sum() > 2:
        slope, intercept = np.polyfit(on_grid.data[inner], core[inner], 1)
        np.testing.assert_allclose(on_grid.data[inner] * slope + intercept, core[inner], atol=1e-9)


@given(shape=shapes, sizes=voxel_sizes)
@relaxed
def test_grid_covers_the_scan_and_shares_its_centre(shape, sizes):
    affine = oblique_affine(sizes)
    grid = centred_grid(shape, affine, 1.0)
    extents = np.array(shape) * sizes
    assert (np.array(grid.shape) >= extents - 0.01).all()
    assert (np.array(grid.shape) < extents + 1.01).all()
    centres = [a[:3, :3] @ ((np.array(n) - 1) / 2) + a[:3, 3] for a, n in ((affine, shape), (grid.affine, grid.shape))]
    np.testing.assert_allclose(*centres, atol=1e-9)
    np.testing.assert_allclose(voxel_size(grid.affine), 1, rtol=1e-5)


@given(count=st.integers(1, 40), step=st.floats(0.1, 5.0), source=st.integers(1, 40))
@relaxed
def test_sampling_commutes_with_reversal_bit_for_bit(count, step, source):
    data = np.random.default_rng(count * source).normal(size=source)
    rule = centred_sampling(count, step, source)
    np.testing.assert_array_equal(resample_axis(data[::-1].copy(), rule, 0), resample_axis(data, rule, 0)[::-1])
    np.testing.assert_allclose(rule.total_weight, 1, rtol=1e-12)


def test_conform_commutes_with_all_reorientations_bit_for_bit():
    for sizes in ((1.0, 1.0, 1.0), (0.9, 1.3, 2.4)):
        volume = phantom(sizes)
        expected = conform(_scan(volume), CONFIG)
        for orientation in all_orientations():
            found = conform(_scan(reoriented(volume, *orientation)), CONFIG)
            np.testing.assert_array_equal(found.image, expected.image)
            assert found.record.pad == expected.record.pad


@pytest.mark.parametrize("sizes", [(1.0, 1.0, 1.0), (0.9, 1.3, 2.4)])
@pytest.mark.parametrize("crop", [None, (8, 16, 8)])
def test_native_labels_commute_with_all_reorientations(sizes, crop):
    volume, config = phantom(sizes), ConformConfig(grid=GRID, crop=crop)
    labels = Volume(_segment(volume, config)[0], volume.affine)
    assert len(np.unique(labels.data)) == 4
    for orientation in all_orientations():
        source = reoriented(volume, *orientation)
        np.testing.assert_array_equal(_segment(source, config)[0], reoriented(labels, *orientation).data)
        np.testing.assert_allclose(source.affine, reoriented(labels, *orientation).affine)


@pytest.mark.parametrize(("sizes", "shape"), [((1.0,) * 3, (18, 23, 17)), ((0.9, 1.3, 2.4), (20, 15, 9))])
def test_mirrored_scan_gives_the_mirrored_image(sizes, shape):
    """Exact when the padding is even; the affine stays, so this is a mirrored head, not another axis order."""
    volume = Volume(nested_ellipsoids(shape), oblique_affine(sizes))
    mirrored = Volume(volume.data[::-1].copy(), volume.affine)
    first, second = conform(_scan(volume), CONFIG), conform(_scan(mirrored), CONFIG)
    assert (first.record.padded_shape[0] - first.record.core_shape[0]) % 2 == 0
    np.testing.assert_array_equal(second.image, first.image[::-1])


@given(shape=shapes, sizes=voxel_sizes, axes=st.permutations(range(3)))
@relaxed
def test_soft_volumes_do_not_depend_on_the_axis_order(shape, sizes, axes):
    volume = _noise(shape, oblique_affine(sizes))
    found = []
    for source in (volume, reoriented(volume, axes, (False, False, False))):
        result = conform(_scan(source), CONFIG)
        voxels = _fake_posteriors(result.record.unpad(result.image)).sum(axis=(1, 2, 3), dtype=np.float64)
        found.append(voxels * voxel_volume(result.record.grid))
    np.testing.assert_array_equal(found[0], found[1])


@given(orientation=orientations, turn=st.tuples(angles, angles, angles), sizes=voxel_sizes)
@settings(deadline=None, max_examples=300)
def test_closest_ras_is_nibabels_up_to_25_degrees(orientation, turn, sizes):
    scale = 25 / max(25, np.abs(turn).sum())
    affine = np.eye(4)
    affine[:3, :3] = _rotation(np.array(turn) * scale)
    affine[:3, :3] *= sizes
    source = reoriented(Volume(np.arange(24.0).reshape(2, 3, 4), affine), *orientation)
    expected = apply_orientation(source.data, io_orientation(source.affine))
    found = closest_ras(unit_columns(source.affine))
    np.testing.assert_array_equal(found.to_ras(source.data), expected)
    np.testing.assert_array_equal(found.from_ras(found.to_ras(source.data)), source.data)
    assert aff2axcodes(found.affine_to_ras(source.affine, source.shape)) == ("R", "A", "S")


def test_thick_oblique_slices_are_oriented_by_direction():
    """The inverse of an affine with 1 x 6 mm voxels has its largest entries in the wrong places from 10 degrees on."""
    source = phantom((6.0, 1.0, 1.0), degrees=24)
    assert closest_ras(source.affine).axes == (1, 0, 2)
    for quirks, tolerance_mm in ((NATIVE, 0.05), (REFERENCE, 0.05), (NATIVE, 10.0)):
        record = plan(_scan(source), ConformConfig(grid=GRID, quirks=quirks, tolerance_mm=tolerance_mm))
        assert record.orientation.axes == (0, 1, 2)


def test_all_48_axis_orders_are_told_apart():
    seen = {closest_ras(reoriented(phantom(), *orientation).affine) for orientation in all_orientations()}
    assert len(seen) == 48


def test_files_keep_every_orientation(tmp_path):
    for number, (orientation, suffix) in enumerate(
        zip(all_orientations(), itertools.cycle([".nii.gz", ".mgz", ".nii"]))
    ):
        source = reoriented(phantom((1.0, 1.5, 0.8)), *orientation)
        path = tmp_path / f"{number}{suffix}"
        write_volume(path, source, dtype=np.float32)
        found = read_scan(path).volume
        np.testing.assert_allclose(found.affine, source.affine, atol=1e-4)
        np.testing.assert_array_equal(found.data, source.data.astype(np.float32))


def test_plan_does_not_touch_voxels():
    source = phantom()
    data = np.broadcast_to(np.float64(0), source.shape)
    record = plan(_scan(Volume(data, source.affine)), CONFIG)
    assert record.grid_shape == source.shape
