"""Grids, crops and padding worked by hand; the record and the way back."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from synthseg_core.errors import InputError
from synthseg_core.images.affines import Orientation
from synthseg_core.images.reading import Scan
from synthseg_core.images.volume import Volume
from synthseg_core.models.card import GridSpec, IntensitySpec
from synthseg_core.quirks import NATIVE, REFERENCE
from synthseg_core.segmentation.conform import ConformConfig, conform, plan, reference_positions, scan_at
from synthseg_core.segmentation.record import ConformRecord, label_map_on
from synthseg_core.segmentation.volumes import voxel_volume
from synthseg_core.system import memory
from tests.phantoms.scans import (
    HEAD_MM3,
    nested_ellipsoids,
    oblique_affine,
    phantom,
    reoriented,
    tilted_affine,
    world_head,
)

SMALL = GridSpec(1.0, 8, 16)


def scan_of(volume: Volume, header_voxel_size=None) -> Scan:
    return Scan(volume, header_voxel_size or volume.voxel_size, Path("phantom.nii.gz"))


def test_reference_counts_follow_arange():
    assert len(reference_positions(10, 1.0000001)) == 11
    assert len(reference_positions(12, 5.0)) == 60
    np.testing.assert_allclose(reference_positions(3, 2.0), [-0.25, 0.25, 0.75, 1.25, 1.75, 2.25])


def test_resampling_is_a_small_blur_and_linear_interpolation():
    """The same computed by other means: fine axes are blurred by a quarter of the step, thick ones are not."""
    volume = phantom((0.4, 0.8, 2.0), (31, 22, 12))
    blurred = gaussian_filter(volume.data, (0.25 / 0.4, 0.25 / 0.8, 0))
    positions = [
        (n - 1) / 2 + (np.arange(m) - (m - 1) / 2) / f
        for n, m, f in zip(volume.shape, (13, 18, 24), (0.4, 0.8, 2.0), strict=True)
    ]
    expected = map_coordinates(blurred, np.meshgrid(*positions, indexing="ij"), order=1, mode="nearest")
    found = conform(scan_of(volume), ConformConfig(grid=SMALL)).resampled
    assert found is not None
    np.testing.assert_allclose(found.data, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("size", "resampled"), [(1.04, False), (1.0499, False), (1.06, True), (0.96, False), (0.94, True)]
)
@pytest.mark.parametrize("quirks", [NATIVE, REFERENCE])
def test_tolerance(size, resampled, quirks):
    record = plan(scan_of(phantom((1.0, size, 1.0))), ConformConfig(grid=SMALL, quirks=quirks))
    assert record.resampled == resampled


def test_tolerance_is_a_setting():
    scan = scan_of(phantom((1.0, 1.2, 1.0)))
    assert not plan(scan, ConformConfig(grid=SMALL, tolerance_mm=0.25)).resampled
    assert plan(scan_of(phantom((1.0, 1.01, 1.0))), ConformConfig(grid=SMALL, tolerance_mm=0.0)).resampled


def test_who_decides_about_resampling():
    scan = scan_of(phantom((1.2, 1.2, 1.2)), header_voxel_size=(1.0, 1.0, 1.0))
    native, reference = (plan(scan, ConformConfig(grid=SMALL, quirks=q)) for q in (NATIVE, REFERENCE))
    assert native.resampled
    assert native.grid_voxel_size == (1.0, 1.0, 1.0)
    assert not reference.resampled
    assert reference.grid_voxel_size == (1.0, 1.0, 1.0)
    np.testing.assert_array_equal(reference.grid_affine, scan.volume.affine)


def test_header_that_asks_for_resampling_a_fitting_scan():
    scan = scan_of(phantom(), header_voxel_size=(1.2, 1.2, 1.2))
    result = conform(scan, ConformConfig(grid=SMALL, quirks=REFERENCE))
    assert result.record.resampled
    assert result.resampled is not None
    np.testing.assert_allclose(result.record.grid_affine, scan.volume.affine, atol=1e-7)


@pytest.mark.parametrize(
    ("shape", "crop", "start", "core", "padded", "pad_start"),
    [
        ((19, 23, 17), None, None, (19, 23, 17), (24, 24, 24), (2, 0, 3)),
        ((9, 10, 11), None, None, (9, 10, 11), (16, 16, 16), (3, 3, 2)),
        ((19, 23, 17), (16, 9, 40), (1, 3, 0), (16, 16, 17), (16, 16, 40), (0, 0, 11)),
    ],
)
def test_crop_and_padding_by_hand(shape, crop, start, core, padded, pad_start):
    volume = Volume(nested_ellipsoids(shape), oblique_affine())
    result = conform(scan_of(volume), ConformConfig(grid=SMALL, crop=crop))
    record = result.record
    assert (record.crop and record.crop[0]) == start
    assert record.core_shape == core
    assert record.padded_shape == result.image.shape == padded
    assert record.pad_start == pad_start
    assert record.unpad(result.image).shape == core


def test_intensities_by_hand():
    data = np.zeros((10, 10, 10))
    data.flat[:] = np.arange(1000)
    result = conform(scan_of(Volume(data, np.eye(4))), ConformConfig(grid=SMALL, intensity=IntensitySpec((10.0, 90.0))))
    low, high = 99.9, 899.1
    np.testing.assert_allclose(
        result.record.unpad(result.image), np.clip((data - low) / (high - low), 0, 1), atol=1e-12
    )
    assert result.image.sum() == pytest.approx(result.record.unpad(result.image).sum())


def test_source_is_left_alone():
    volume = phantom((1.0, 1.0, 1.0))
    before = volume.data.copy()
    conform(scan_of(volume), ConformConfig(grid=SMALL, ct=True))
    np.testing.assert_array_equal(volume.data, before)


def test_ct_window_comes_before_the_percentiles():
    data = np.linspace(-1000, 2000, 1000).reshape(10, 10, 10)
    scan = scan_of(Volume(data, np.eye(4)))
    image = conform(scan, ConformConfig(grid=SMALL, ct=True, intensity=IntensitySpec((0.0, 100.0)))).image[
        3:13, 3:13, 3:13
    ]
    np.testing.assert_allclose(image, np.clip(data, 0, 80) / 80, atol=1e-12)


@pytest.mark.parametrize(
    ("lowest", "ct", "said"), [(-1000, False, "use --ct"), (0, True, "Hounsfield"), (-1000, True, ""), (0, False, "")]
)
def test_doubts_about_ct(lowest, ct, said):
    data = np.linspace(lowest, 300, 1000).reshape(10, 10, 10)
    warnings = conform(scan_of(Volume(data, np.eye(4))), ConformConfig(grid=SMALL, ct=ct)).warnings
    assert said in " ".join(warnings)
    assert bool(warnings) == bool(said)


def _nearly_constant():
    data = np.zeros((20, 20, 20))
    data[3, 4, 5] = 1
    return scan_of(Volume(data, np.eye(4)))


@pytest.mark.parametrize(("ct", "remedy"), [(False, "scan of a head"), (True, "Hounsfield units")])
def test_no_contrast_is_refused(ct, remedy):
    with pytest.raises(InputError, match=rf"phantom.nii.gz: found 0 at both .* percentiles; .*{remedy}"):
        conform(_nearly_constant(), ConformConfig(grid=SMALL, ct=ct))


def test_no_contrast_gives_zeros_and_a_warning_in_the_reference():
    result = conform(_nearly_constant(), ConformConfig(grid=SMALL, quirks=REFERENCE))
    assert not result.image.any()
    assert "no contrast" in result.warnings[0]


def test_field_of_view_that_does_not_fit():
    scan = scan_of(phantom((5.0, 5.0, 5.0)))
    with pytest.raises(
        InputError, match=r"found a field of view that needs about 0.0 GiB \(96 x 120 x 88 voxels of 1 mm\)"
    ):
        conform(scan, ConformConfig(grid=SMALL, memory_bytes=10_000_000))


def test_physical_memory_is_the_default_budget(monkeypatch):
    monkeypatch.setattr(memory, "physical_bytes", lambda: 1_000_000)
    with pytest.raises(InputError, match="at most 0.0 GiB"):
        plan(scan_of(phantom((5.0, 5.0, 5.0))), ConformConfig(grid=SMALL))


def test_container_limit_counts(monkeypatch, tmp_path):
    unlimited, limited = tmp_path / "max", tmp_path / "limit"
    unlimited.write_text("max\n")
    limited.write_text("12345\n")
    monkeypatch.setattr(memory, "_CGROUP_LIMITS", (unlimited, tmp_path / "missing"))
    assert memory.physical_bytes() > 12345
    monkeypatch.setattr(memory, "_CGROUP_LIMITS", (unlimited, limited))
    assert memory.physical_bytes() == 12345


@pytest.mark.parametrize("quirks", [NATIVE, REFERENCE])
@pytest.mark.parametrize("voxel_size", [(0.5, 0.5, 0.5), (1.0, 1.0, 1.0), (1.0, 1.0, 3.0)])
def test_memory_estimate_bounds_the_peak(voxel_size, quirks):
    scan = scan_of(phantom(voxel_size, (70, 80, 60)))
    asked = []
    real = memory.require
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "require", lambda needed, *rest: (asked.append(needed), real(needed, *rest)))
        tracemalloc.start()
        conform(scan, ConformConfig(grid=SMALL, quirks=quirks))
        peak = tracemalloc.get_traced_memory()[1] + scan.volume.data.nbytes
        tracemalloc.stop()
    assert peak <= asked[0] * 1.05
    assert peak >= asked[0] * 0.4


@pytest.mark.parametrize("crop", [None, (16, 8, 8)])
@pytest.mark.parametrize("quirks", [NATIVE, REFERENCE])
def test_record_survives_json(crop, quirks):
    volume = reoriented(phantom((1.3, 0.8, 2.0)), (2, 0, 1), (True, False, True))
    record = plan(scan_of(volume), ConformConfig(grid=SMALL, crop=crop, quirks=quirks))
    again = ConformRecord.from_json(json.loads(json.dumps(record.to_json())))
    assert again.to_json() == record.to_json()
    assert again.orientation == record.orientation == Orientation((1, 2, 0), (False, True, True))
    np.testing.assert_array_equal(again.grid_affine, record.grid_affine)
    assert (again.crop, again.pad, again.source_shape) == (record.crop, record.pad, record.source_shape)


def test_paste_puts_background_outside_the_crop():
    record = plan(scan_of(phantom()), ConformConfig(grid=SMALL, crop=(8, 8, 8)))
    posteriors = np.full((3, 8, 8, 8), 0.25, np.float32)
    labels = np.full((8, 8, 8), 7, np.int32)
    whole, pasted = record.paste_posteriors(posteriors), record.paste_labels(labels)
    inside = pasted == 7
    assert pasted.shape == record.grid_shape
    assert inside.sum() == 512
    assert (whole[:, inside] == 0.25).all()
    assert (whole[0, ~inside] == 1).all()
    assert (whole[1:, ~inside] == 0).all()


def test_paste_without_crop_returns_its_argument():
    record = plan(scan_of(phantom()), ConformConfig(grid=SMALL))
    array = np.zeros((2, *record.grid_shape))
    assert record.paste_posteriors(array) is array
    assert record.paste_labels(array) is array


def _ball_posteriors(affine, shape, centre, radius):
    """Two soft classes, from world coordinates: outside and inside a ball."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"))
    world = np.einsum("ij,j...->i...", affine[:3, :3], index) + affine[:3, 3, None, None, None]
    distance = np.linalg.norm(world - np.reshape(centre, (3, 1, 1, 1)), axis=0)
    inside = 1 / (1 + np.exp(distance - radius))
    return np.stack([1 - inside, inside]).astype(np.float32), distance


@pytest.mark.parametrize("quirks", [NATIVE, REFERENCE])
@pytest.mark.parametrize("grid", [SMALL, GridSpec(2.0, 8, 16)])
@pytest.mark.parametrize("crop", [None, (24, 16, 24)])
def test_native_labels_lie_where_the_posteriors_do(quirks, grid, crop):
    volume = reoriented(phantom((1.3, 0.8, 2.0), (22, 30, 14)), (1, 2, 0), (True, False, True))
    record = plan(scan_of(volume), ConformConfig(grid=grid, crop=crop, quirks=quirks))
    centre = volume.affine[:3, :3] @ ((np.array(volume.shape) - 1) / 2) + volume.affine[:3, 3]
    grid_affine = record.orientation.affine_to_ras(record.grid_affine, record.grid.shape)
    posteriors, _ = _ball_posteriors(grid_affine, record.grid_shape, centre + np.array([1.5, -1.0, 0.7]), 6.0)
    if record.crop is not None:
        posteriors = posteriors[(slice(None), *(slice(a, b) for a, b in zip(*record.crop, strict=True)))]
    found = label_map_on(record.source, posteriors, record, (0, 17)).data
    _, distance = _ball_posteriors(volume.affine, volume.shape, centre + np.array([1.5, -1.0, 0.7]), 6.0)
    assert found.shape == volume.shape
    assert found.dtype == np.int32
    # Linear interpolation of a curved boundary moves it by less than half a millimetre here.
    assert (found[distance < 5.5] == 17).all()
    assert (found[distance > 6.5] == 0).all()


def test_label_map_at_another_voxel_size():
    record = plan(scan_of(phantom((1.0, 1.2, 1.5), (30, 28, 20))), ConformConfig(grid=GridSpec(2.0, 8, 16)))
    target = record.isotropic_grid(1.0)
    posteriors = np.zeros((2, *record.core_shape), np.float32)
    posteriors[1, :, :, record.core_shape[2] // 2 :] = 1
    posteriors[0] = 1 - posteriors[1]
    found = label_map_on(target, posteriors, record, (0, 5))
    assert found.shape == target.shape == (30, 34, 30)
    np.testing.assert_array_equal(found.affine, target.affine)
    expected = np.zeros(target.shape)
    # Sample 7 of 15 lies at 14.5 mm, its edge with sample 6 at 13.5 mm.
    expected[:, :, 14:] = 5
    np.testing.assert_array_equal(found.data, expected)


def test_to_source_order_leaves_channels_first():
    volume = reoriented(phantom(), (2, 0, 1), (True, False, True))
    record = plan(scan_of(volume), ConformConfig(grid=SMALL))
    ras = record.orientation.to_ras(volume.data)
    stacked = record.to_source_order(np.stack([ras, -ras]))
    np.testing.assert_array_equal(stacked[0], volume.data)
    np.testing.assert_array_equal(stacked[1], -volume.data)


@pytest.mark.parametrize("quirks", [NATIVE, REFERENCE])
def test_resampled_volume_keeps_its_place_in_the_world(quirks):
    affine = oblique_affine((1.4, 0.7, 2.5), degrees=20)
    shape = (20, 30, 12)
    gradient = np.array([0.3, -0.5, 0.8])
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"))
    ramp = np.einsum("i,ij,j...->...", gradient, affine[:3, :3], index) + gradient @ affine[:3, 3]
    resampled = conform(scan_of(Volume(ramp, affine)), ConformConfig(grid=SMALL, quirks=quirks)).resampled
    assert resampled is not None
    index = np.stack(np.meshgrid(*[np.arange(n) for n in resampled.shape], indexing="ij"))
    expected = (
        np.einsum("i,ij,j...->...", gradient, resampled.affine[:3, :3], index) + gradient @ resampled.affine[:3, 3]
    )
    inner = (slice(5, -5),) * 3
    np.testing.assert_allclose(resampled.data[inner], expected[inner], atol=1e-9)


def test_a_tenth_of_the_memory_is_left_to_others(monkeypatch):
    monkeypatch.setattr(memory, "physical_bytes", lambda: 1000)
    memory.require(900, "x.nii", "30 x 30 x 1 voxels")
    with pytest.raises(InputError, match=r"x.nii: found a field of view that needs about"):
        memory.require(901, "x.nii", "30 x 30 x 1 voxels")


def test_box_of_what_is_not_background_worked_by_hand():
    """11, 7 and 10 voxels, one to spare each: 16, 8 and 16, of which the last would reach beyond the edge."""
    data = np.zeros((44, 20, 40))
    data[20:31, 5:12, 30:40] = np.random.default_rng(0).uniform(50, 100, (11, 7, 10))
    config = ConformConfig(grid=SMALL, autocrop=True)
    found, whole = (
        conform(scan_of(Volume(data, np.eye(4))), c) for c in (config, ConformConfig(grid=SMALL))
    )  # fmt: skip
    record = found.record
    assert record.crop == ((18, 5, 28), (34, 13, 40))
    assert (record.padded_shape, record.pad_start) == ((16, 16, 16), (0, 4, 2))
    np.testing.assert_array_equal(record.unpad(found.image), whole.record.unpad(whole.image)[18:34, 5:13, 28:40])
    assert found.image.sum() == pytest.approx(whole.image.sum())
    assert record.paste_labels(np.ones(record.core_shape, int)).shape == data.shape
    assert ConformRecord.from_json(json.loads(json.dumps(record.to_json()))).crop == record.crop


@pytest.mark.parametrize("quirks", [NATIVE, REFERENCE])
def test_a_scan_without_background_is_taken_whole(quirks):
    volume = phantom((1.5, 0.8, 2.0))
    config = ConformConfig(grid=SMALL, quirks=quirks)
    found, whole = (conform(scan_of(volume), replace(config, autocrop=auto)) for auto in (True, False))
    assert found.record.crop is not None
    assert found.record.core_shape == whole.record.core_shape
    np.testing.assert_array_equal(found.image, whole.image)


def test_nothing_but_background_is_not_cropped():
    scan = scan_of(Volume(np.zeros((20, 20, 20)), np.eye(4)))
    assert conform(scan, ConformConfig(grid=SMALL, quirks=REFERENCE, autocrop=True)).record.crop is None


@pytest.mark.parametrize("size", [1e12, 1e30, 1e38])
def test_a_grid_beyond_all_bounds_is_refused_before_its_samples_are_counted(size):
    """The reference takes any voxel size."""
    scan = scan_of(phantom((1.0, 1.0, size)))
    with pytest.raises(InputError, match="voxels of 1 mm"):
        plan(scan, ConformConfig(grid=SMALL, quirks=REFERENCE))


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 1e308])
@pytest.mark.parametrize("voxel_size", [(1.0, 1.0, 1.0), (1.3, 0.8, 2.0)])
def test_values_beyond_all_bounds_in_the_reference_say_nothing_of_their_own(value, voxel_size, recwarn):
    volume = phantom(voxel_size)
    volume.data[3:6], volume.data[9, 9, 9] = value, -np.inf
    conform(scan_of(volume), ConformConfig(grid=SMALL, quirks=REFERENCE))
    assert not recwarn.list


# --- tilted gantry ---------------------------------------------------------------------------------------------------

TILTED = (44, 50, 24)


def _tilted(degrees, voxel_size=(1.0, 1.0, 2.0), shape=TILTED) -> Scan:
    affine = tilted_affine(voxel_size, degrees, shape)
    return scan_of(Volume(world_head(affine, shape), affine))


def _inside(conformed) -> tuple[np.ndarray, np.ndarray]:
    """Where the head is on the network's grid, RAS, and the same as posteriors of two classes."""
    inside = (conformed.record.unpad(conformed.image) > 0.5).astype(np.float32)
    return inside, np.stack([1 - inside, inside])


@pytest.mark.parametrize("voxel_size", [(1.0, 1.0, 2.0), (1.0, 1.0, 1.0), (0.8, 0.9, 2.5)])
@pytest.mark.parametrize("degrees", [0, 10, 20, 30, -30])
def test_one_head_has_one_volume_whatever_the_tilt(degrees, voxel_size):
    """On the network's grid, on a grid of 1 mm and on the scan's own one; and it lies where it is in the world."""
    scan = _tilted(degrees, voxel_size)
    conformed = conform(scan, ConformConfig(grid=GridSpec(1.0, 8, 16)))
    record = conformed.record
    assert record.straightened == (degrees != 0)
    inside, posteriors = _inside(conformed)
    assert inside.sum() * voxel_volume(record.grid) == pytest.approx(HEAD_MM3, rel=0.03)
    for grid in (record.source, record.isotropic_grid(1.0)):
        labels = label_map_on(grid, posteriors, record, (0, 17))
        np.testing.assert_array_equal(labels.affine, grid.affine)
        assert np.count_nonzero(labels.data) * voxel_volume(grid) == pytest.approx(HEAD_MM3, rel=0.06)
        centre = labels.affine @ [*np.argwhere(labels.data).mean(axis=0), 1]
        np.testing.assert_allclose(centre[:3], 0, atol=0.3)
    native = label_map_on(record.source, posteriors, record, (0, 1)).data
    assert (native != (scan.volume.data > 50)).mean() < 0.01


@pytest.mark.parametrize("degrees", [0, 20])
def test_the_reference_takes_sheared_axes_as_they_are(degrees):
    scan = _tilted(degrees)
    conformed = conform(scan, ConformConfig(grid=GridSpec(1.0, 8, 16), quirks=REFERENCE))
    assert not conformed.record.straightened
    inside, _ = _inside(conformed)
    found = inside.sum() * voxel_volume(conformed.record.grid, REFERENCE)
    assert found == pytest.approx(HEAD_MM3 / np.cos(np.radians(degrees)), rel=0.03)


def test_crop_of_a_tilted_scan_comes_back_to_its_place():
    scan = _tilted(20)
    conformed = conform(scan, ConformConfig(grid=GridSpec(1.0, 8, 8), crop=(16, 16, 16)))
    record = conformed.record
    _, posteriors = _inside(conformed)
    native = label_map_on(record.source, posteriors, record, (0, 1))
    assert 0 < native.data.sum() * voxel_volume(record.source) < 18**3
    outside = scan.volume.data < 40
    assert not native.data[outside].any()


def test_tilted_scan_at_1_mm():
    """Straight, also where the edges are of 1 mm already; what the scan does not cover has its smallest value."""
    scan = _tilted(20, (1.0, 1.0, 1.0), (30, 30, 30))
    volume, interpolated = scan_at(scan, 1.0)
    assert interpolated
    np.testing.assert_allclose(volume.affine[:3, :3].T @ volume.affine[:3, :3], np.eye(3), atol=1e-9)
    expected = world_head(volume.affine, volume.shape)
    covered = np.linalg.inv(scan.volume.affine) @ volume.affine
    places = np.einsum("ab,bijk->aijk", covered[:3, :3], np.indices(volume.shape)) + covered[:3, 3, None, None, None]
    within = ((places > 0) & (places < 29)).all(axis=0)
    np.testing.assert_allclose(volume.data[within], expected[within], atol=12)
    assert np.abs(volume.data[within] - expected[within]).mean() < 1
    assert volume.data[((places < -1) | (places > 30)).any(axis=0)].max() == scan.volume.data.min()


def test_small_shear_is_left_alone():
    record = plan(_tilted(0.4, (1.0, 1.0, 1.0)), ConformConfig(grid=SMALL))
    assert not record.resampled
    assert record.grid.shape == record.source.shape


def test_record_of_a_tilted_scan_survives_json():
    record = plan(_tilted(20), ConformConfig(grid=SMALL))
    again = ConformRecord.from_json(json.loads(json.dumps(record.to_json())))
    assert again.straightened
    np.testing.assert_array_equal(again.source_sampling().matrix, record.source_sampling().matrix)
