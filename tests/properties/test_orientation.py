"""A scan stored with other axes gives the same head; a mirrored head gives the mirrored answer.

With tiny random networks, which no symmetry protects: any shift by a voxel or by a bit shows.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import hypothesis.strategies as st
import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings

from synthseg_core.cli.main import main
from synthseg_core.images.reading import Scan
from synthseg_core.images.volume import Volume
from synthseg_core.models.loading import Models, load_models
from synthseg_core.models.registry import load_card
from synthseg_core.quirks import NATIVE
from synthseg_core.segmentation.segment import Segmentation, segment_scan
from synthseg_core.segmentation.segmenter import SegmentOptions
from tests.phantoms.models import COARSE, FLIPPED, ONE_SIDED, ROBUST, STRUCTURE_LABELS, TINY
from tests.phantoms.scans import all_orientations, nested_ellipsoids, oblique_affine, phantom, reoriented, write_nifti

FITTING, RESAMPLED = (1.0, 1.0, 1.0), (1.1, 0.8, 2.4)
SHAPES = {FITTING: (18, 23, 17), RESAMPLED: (18, 26, 9)}


@pytest.fixture(scope="module")
def cards(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {model.name: model.write(folder) for model in (TINY, COARSE, ONE_SIDED, ROBUST)}


@pytest.fixture(scope="module")
def models(cards) -> dict[str, Models]:
    return {name: load_models(load_card(card)) for name, card in cards.items()}


def _segment(volume: Volume, models: Models, **options) -> Segmentation:
    scan = Scan(volume, volume.voxel_size, Path("phantom.nii.gz"))
    return segment_scan(scan, models, SegmentOptions(**options))


def _native(result: Segmentation) -> Volume:
    return result.label_map_on(result.record.source)


def _assert_same(found: Volume, expected: Volume) -> None:
    np.testing.assert_array_equal(found.data, expected.data)
    np.testing.assert_allclose(found.affine, expected.affine, atol=1e-9)


@pytest.mark.parametrize("voxel_size", [FITTING, RESAMPLED], ids=["1 mm", "resampled"])
@pytest.mark.parametrize("name", ["tiny", "coarse"])
def test_segmentation_commutes_with_all_48_orientations_bit_for_bit(models, name, voxel_size):
    source = phantom(voxel_size, SHAPES[voxel_size])
    expected = _segment(source, models[name])
    native, own, posteriors = _native(expected), expected.label_map, expected.posteriors
    assert len(np.unique(native.data)) == len(STRUCTURE_LABELS)
    for orientation in all_orientations():
        turned = reoriented(source, *orientation)
        found = _segment(turned, models[name])
        _assert_same(_native(found), reoriented(native, *orientation))
        assert _native(found).shape == turned.shape
        _assert_same(found.label_map, reoriented(own, *orientation))
        channels = Volume(found.posteriors.data[..., 1], found.posteriors.affine)
        _assert_same(channels, reoriented(Volume(posteriors.data[..., 1], posteriors.affine), *orientation))
        assert found.volumes == expected.volumes


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("robust", {}),
        ("one-sided", {}),
        ("tiny", {"fast": True}),
        ("tiny", {"crop": (8, 16, 8)}),
        ("tiny", {"ct": True}),
    ],
)
@pytest.mark.parametrize("voxel_size", [FITTING, RESAMPLED], ids=["1 mm", "resampled"])
def test_every_way_to_segment_commutes(models, name, options, voxel_size):
    source = phantom(voxel_size, SHAPES[voxel_size])
    native = _native(_segment(source, models[name], **options))
    for orientation in all_orientations()[5::11]:
        found = _native(_segment(reoriented(source, *orientation), models[name], **options))
        _assert_same(found, reoriented(native, *orientation))


@given(
    shape=st.tuples(*[st.integers(8, 26)] * 3),
    voxel_size=st.tuples(*[st.floats(0.5, 3.0)] * 3),
    orientation=st.sampled_from(all_orientations()),
    degrees=st.floats(-16, 16),
)
@settings(deadline=None, max_examples=25)
def test_any_grid_commutes_and_is_given_back(models, shape, voxel_size, orientation, degrees):
    source = phantom(voxel_size, shape, degrees)
    turned = reoriented(source, *orientation)
    found = _native(_segment(turned, models["tiny"]))
    _assert_same(found, reoriented(_native(_segment(source, models["tiny"])), *orientation))
    assert found.shape == turned.shape
    np.testing.assert_array_equal(found.affine, turned.affine)


def _codes(image) -> tuple[int, int]:
    return int(image.header["sform_code"]), int(image.header["qform_code"])


@pytest.mark.parametrize("number", [0, 13, 30, 47])
@pytest.mark.parametrize("voxel_size", [FITTING, RESAMPLED], ids=["1 mm", "resampled"])
def test_files_have_exactly_the_grid_of_the_scan(cards, tmp_path, voxel_size, number):
    """Read back from disk with nibabel: shape, affine and form codes of the source, labels of the turned answer."""
    orientation = all_orientations()[number]
    source = phantom(voxel_size, SHAPES[voxel_size])
    straight = write_nifti(tmp_path / "straight.nii.gz", source)
    turned = write_nifti(tmp_path / "turned.nii.gz", reoriented(source, *orientation))
    for scan in (straight, turned):
        out = tmp_path / f"{scan.name}.dseg.nii.gz"
        assert main(["segment", str(scan), "--model", str(cards["tiny"]), "--dseg", str(out), "--threads", "1"]) == 0
        before, after = nib.load(scan), nib.load(out)
        assert after.shape == before.shape
        np.testing.assert_allclose(after.affine, before.affine, atol=1e-6)
        np.testing.assert_allclose(after.header.get_zooms(), before.header.get_zooms(), atol=1e-6)
        assert _codes(after) == _codes(before)
        assert after.get_data_dtype() == np.int32
        assert after.header.get_slope_inter() in ((None, None), (1.0, 0.0))
        assert after.header.get_xyzt_units()[0] == "mm"
    labels = Volume(np.asarray(nib.load(f"{straight}.dseg.nii.gz").dataobj), source.affine)
    found = np.asarray(nib.load(f"{turned}.dseg.nii.gz").dataobj)
    np.testing.assert_array_equal(found, reoriented(labels, *orientation).data)


@pytest.mark.parametrize("codes", [(1, 0), (0, 1), (4, 1), (2, 2)])
def test_form_codes_of_the_scan_stay(cards, tmp_path, codes):
    """Whichever form places the scan, places the segmentation, and says the same about the space."""
    source = phantom(FITTING, SHAPES[FITTING])
    image = nib.Nifti1Image(source.data.astype(np.float32), None)
    image.set_sform(source.affine, codes[0])
    image.set_qform(source.affine, codes[1])
    nib.save(image, tmp_path / "scan.nii.gz")
    out = tmp_path / "dseg.nii.gz"
    scan = str(tmp_path / "scan.nii.gz")
    assert main(["segment", scan, "--model", str(cards["tiny"]), "--dseg", str(out), "--threads", "1"]) == 0
    assert _codes(nib.load(out)) == codes
    np.testing.assert_allclose(nib.load(out).affine, nib.load(scan).affine, atol=1e-6)


def _swapped(labels: np.ndarray) -> np.ndarray:
    """Exchange left and right labels."""
    result = labels.copy()
    for label, other in FLIPPED.items():
        result[labels == label] = other
    return result


def _mirrored_pair(voxel_size, shape) -> tuple[Volume, Volume]:
    """A scan of a head, and a scan of the mirrored head on the same grid."""
    source = Volume(nested_ellipsoids(shape), oblique_affine(voxel_size))
    return source, Volume(source.data[::-1].copy(), source.affine)


def _left_right_padding(result: Segmentation) -> tuple[int, int]:
    before, stop = (corner[0] for corner in result.record.pad)
    return before, result.record.padded_shape[0] - stop


@pytest.mark.parametrize(
    ("name", "voxel_size", "shape", "padding"),
    [
        ("tiny", FITTING, (18, 23, 17), (3, 3)),
        ("tiny", FITTING, (16, 9, 33), (0, 0)),
        ("tiny", (0.9, 1.3, 2.4), (20, 15, 9), (3, 3)),
        ("tiny", FITTING, (19, 23, 17), (2, 3)),
        ("tiny", FITTING, (23, 20, 16), (0, 1)),
        ("tiny", (2.5, 2.0, 3.0), (21, 15, 9), (1, 2)),
        ("coarse", (2.0, 2.0, 2.0), (12, 15, 9), (2, 2)),
        ("coarse", FITTING, (18, 23, 17), (3, 4)),
        ("coarse", (2.0, 2.0, 2.0), (15, 13, 9), (0, 1)),
    ],
)
def test_mirrored_head_swaps_left_and_right_exactly(models, name, voxel_size, shape, padding):
    """The mirror of flip averaging stands in the middle of the scan, so this holds for even and for odd padding."""
    source, mirror = (_segment(volume, models[name]) for volume in _mirrored_pair(voxel_size, shape))
    assert _left_right_padding(source) == padding
    np.testing.assert_array_equal(_native(mirror).data, _swapped(_native(source).data)[::-1])
    np.testing.assert_array_equal(mirror.label_map.data, _swapped(source.label_map.data)[::-1])
    np.testing.assert_array_equal(mirror.channel_posteriors, source.channel_posteriors[[0, 2, 1, 3], ::-1])
    assert len(np.unique(_native(mirror).data)) == len(STRUCTURE_LABELS)


@given(
    shape=st.tuples(*[st.integers(8, 26)] * 3),
    voxel_size=st.just(FITTING) | st.tuples(*[st.floats(0.5, 3.0)] * 3),
    name=st.sampled_from(["tiny", "coarse"]),
)
@settings(deadline=None, max_examples=25)
def test_mirrored_head_on_any_grid(models, shape, voxel_size, name):
    """Posteriors always agree to the bit. Where two of them are equal the first class wins on both sides of the mirror:

    one voxel in one of 924 scans of up to 50 voxels an edge, when measured.
    """
    source, mirror = (_segment(volume, models[name]) for volume in _mirrored_pair(voxel_size, shape))
    np.testing.assert_array_equal(mirror.channel_posteriors, source.channel_posteriors[[0, 2, 1, 3], ::-1])
    assert (_native(mirror).data != _swapped(_native(source).data)[::-1]).sum() <= 1


def test_volumes_of_the_sides_are_exchanged(models):
    source, mirror = (_segment(volume, models["tiny"]) for volume in _mirrored_pair(RESAMPLED, (19, 26, 9)))
    before, after = ({row.label: row for row in result.volumes.rows} for result in (source, mirror))
    for label, other in ((3, 42), (42, 3), (16, 16)):
        assert after[label].hard_mm3 == before[other].hard_mm3
        assert after[label].soft_mm3 == pytest.approx(before[other].soft_mm3, rel=1e-9)


@pytest.mark.parametrize(("shape", "exact"), [((18, 23, 17), True), ((19, 23, 17), False)])
def test_the_reference_mirrors_the_padded_grid(models, shape, exact):
    """Its mirror stands half a voxel beside the scan when the padding is odd: pooling then pairs other voxels.

    Labels of a mirrored head then agree in part only; with these random networks, which amplify a shift as no trained
    one does, in 0.7 of the voxels.
    """
    quirks = replace(NATIVE, mirror_padded_grid=True)
    source, mirror = (_native(_segment(v, models["tiny"], quirks=quirks)) for v in _mirrored_pair(FITTING, shape))
    agreement = (mirror.data == _swapped(source.data)[::-1]).mean()
    assert agreement == 1 if exact else 0.6 < agreement < 0.9


@pytest.mark.parametrize(("shape", "exact"), [((20, 23, 17), True), ((21, 23, 17), False)])
def test_mirrored_head_with_a_crop(models, shape, exact):
    """A crop of an even number of voxels has no middle place in an odd number: the mirrored crop lies one voxel on."""
    results = [_segment(volume, models["tiny"], crop=(8, 16, 8)) for volume in _mirrored_pair(FITTING, shape)]
    (start, *_), (stop, *_) = results[0].record.crop
    assert (start == shape[0] - stop) is exact
    source, mirror = (_native(result) for result in results)
    assert np.array_equal(mirror.data, _swapped(source.data)[::-1]) is exact


def test_mirrored_head_with_every_storage_order(models):
    source, mirror = _mirrored_pair(FITTING, (19, 23, 17))
    expected = Volume(_swapped(_native(_segment(source, models["tiny"])).data)[::-1], source.affine)
    for orientation in all_orientations()[::7]:
        found = _native(_segment(reoriented(mirror, *orientation), models["tiny"]))
        _assert_same(found, reoriented(expected, *orientation))


def test_without_flip_averaging_a_network_has_a_favourite_side(models):
    """The control: it is the averaging that makes the sides equal."""
    source, mirror = (_segment(v, models["one-sided"]) for v in _mirrored_pair(FITTING, (18, 23, 17)))
    assert (_native(mirror).data != _swapped(_native(source).data)[::-1]).mean() > 0.1
