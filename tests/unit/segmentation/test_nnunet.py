"""Scans on their way to an nnU-Net and back: any storage order, oblique or not, and the options of its family."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from synthseg_core.errors import InputError, UsageError
from synthseg_core.images.volume import Volume
from synthseg_core.models.loading import Models, load_models
from synthseg_core.models.nnunet_import import import_nnunet
from synthseg_core.models.nnunet_plan import NnUNetPlan
from synthseg_core.models.registry import load_card
from synthseg_core.segmentation import nnunet
from synthseg_core.segmentation.nnunet import NnUNetSegmenter, bounding_box, new_shape, normalised
from synthseg_core.segmentation.segment import segment_scan
from synthseg_core.segmentation.segmenter import SegmentOptions, segmenter_of
from tests.phantoms.nnunet import TrainedFolder
from tests.phantoms.scans import all_orientations, reoriented
from tests.unit.segmentation.planned import bordered, scan_of

PLAN = NnUNetPlan((1.0, 1.0, 1.0), (8, 8, 8))


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Models:
    """Two folds that see RAS, in a transposed order."""
    folder = tmp_path_factory.mktemp("trained")
    trained = TrainedFolder(folds=("0", "1"), transpose=(2, 0, 1), patch=(16, 20, 24)).write(folder / "phantom")
    return load_models(load_card(import_nnunet(trained, folder / "store", orientation="RAS")))


@pytest.fixture(scope="module")
def as_stored(models) -> Models:
    """The same, looking at axes as they are stored."""
    card = models.segmentation.card
    card = replace(card, plan=replace(card.plan, orientation="stored"))
    return Models(replace(models.segmentation, card=card))


def _segment(volume: Volume, models: Models, **options):
    return segment_scan(scan_of(volume), models, SegmentOptions(**options))


def test_every_storage_order_gives_the_same_answer(models):
    """48 orders of an oblique, anisotropic scan: the label map lies on the scan's grid and turns with it."""
    volume = bordered()
    expected = _segment(volume, models, folds=(0,)).label_map
    assert len(np.unique(expected.data)) > 2
    for axes, flips in all_orientations():
        turned = reoriented(volume, axes, flips)
        found = _segment(turned, models, folds=(0,)).label_map
        np.testing.assert_array_equal(found.affine, turned.affine)
        np.testing.assert_array_equal(found.data, reoriented(expected, axes, flips).data)


@pytest.mark.parametrize("degrees", [0.0, 20.0, -33.0])
def test_oblique_scans_keep_their_grid(models, degrees):
    """A rotation of the header turns nothing in the array."""
    straight, turned = (_segment(bordered(degrees=angle), models).label_map for angle in (0.0, degrees))
    np.testing.assert_array_equal(turned.data, straight.data)
    np.testing.assert_array_equal(turned.affine, bordered(degrees=degrees).affine)


def test_axes_as_stored(models, as_stored):
    """For scans in RAS there is no difference; for others there is."""
    volume = bordered()
    assert np.array_equal(_segment(volume, as_stored).label_map.data, _segment(volume, models).label_map.data)
    turned = reoriented(volume, (1, 0, 2), (False, True, False))
    assert not np.array_equal(_segment(turned, as_stored).label_map.data, _segment(turned, models).label_map.data)


def test_what_lies_outside_the_box_is_background(models):
    volume = bordered()
    result = _segment(volume, models)
    outside = np.ones(volume.shape, bool)
    outside[2:-1, 3:-2, 1:-4] = False
    assert not result.label_map.data[outside].any()
    # The network's axes are I, K, J: the slowest one as it is read, K, comes second.
    assert result.record.grid_shape == (round(18 * 1.3 / 1.1), round(21 * 0.9 / 0.9), round(14 * 1.1 / 1.0))
    resampled = result.resampled
    assert resampled is not None
    assert resampled.shape == result.record.grid.shape
    # The centre of the box and that of the network's grid are the same place.
    centre = volume.affine @ [2 + 8.5, 3 + 10, 1 + 6.5, 1]
    np.testing.assert_allclose(
        resampled.affine @ [*(np.array(resampled.shape) - 1) / 2, 1], [*centre[:3], 1], atol=1e-9
    )


def test_volumes_are_those_of_the_scan(models):
    """Hard volumes count the scan's voxels, soft ones the network's; both are mm^3 of the real head."""
    volume = bordered()
    result = _segment(volume, models, voxel_scale=1.4)
    for row in result.volumes.rows:
        assert row.hard_mm3 == pytest.approx(np.count_nonzero(result.label_map.data == row.label) * 1.3 * 0.9 * 1.1)
    box_mm3 = 18 * 21 * 14 * 1.3 * 0.9 * 1.1
    background = result.scores.soft_voxels()[0] * np.prod(result.record.grid.voxel_size)
    assert sum(row.soft_mm3 for row in result.volumes.rows) + background == pytest.approx(box_mm3)


def test_a_scale_is_a_scan_with_larger_voxels(models):
    """The network sees the scan that has them; the answer lies where the scan is, oblique or not."""
    volume = bordered((1.0, 0.8, 0.9))
    larger = Volume(volume.data, volume.affine @ np.diag([1.25, 1.25, 1.25, 1]))
    expected = _segment(larger, models).label_map.data
    found = _segment(volume, models, voxel_scale=1.25)
    np.testing.assert_array_equal(found.label_map.data, expected)
    np.testing.assert_array_equal(found.label_map.affine, volume.affine)


def test_voxels_of_a_given_edge(models):
    volume = bordered((1.0, 0.8, 0.9))
    cubic = bordered((1.4, 1.4, 1.4))
    found = _segment(volume, models, voxel_size_mm=1.4).label_map.data
    np.testing.assert_array_equal(found, _segment(cubic, models).label_map.data)


def test_no_resampling_where_voxels_are_fine_and_cubic(models):
    volume = bordered((0.8, 0.8, 0.8))
    result = _segment(volume, models, skip_resampling=True)
    assert result.record.grid_shape == (18, 21, 14)
    assert not result.warnings
    thick = bordered((0.8, 0.8, 2.0))
    result = _segment(thick, models, skip_resampling=True)
    expected = "resampled all the same: voxels of 0.8 x 0.8 x 2 mm are not isotropic and 0.6 to 1 mm"
    assert result.warnings[0] == expected
    np.testing.assert_array_equal(result.label_map.data, _segment(thick, models).label_map.data)


def test_folds(models):
    """Some, in any order; all; the first one for ``fast``."""
    volume = bordered()
    maps = {f: _segment(volume, models, folds=f).scores.posteriors for f in (None, (0,), (1,), (1, 0))}  # type: ignore[attr-defined]
    assert not np.array_equal(maps[(0,)], maps[(1,)])
    np.testing.assert_array_equal(maps[(1, 0)], maps[None])
    np.testing.assert_array_equal(_segment(volume, models, fast=True).scores.posteriors, maps[(0,)])
    with pytest.raises(UsageError, match="--folds: found 3, 5; expected some of 0, 1, the folds of phantom"):
        _segment(volume, models, folds=(0, 3, 5))


def test_one_network_at_a_time(models, monkeypatch):
    """A fold is gone before the next one is read."""
    import gc
    import weakref

    from synthseg_core.models import loading

    alive: list[weakref.ref] = []
    original = loading.load_network

    def load(*args):
        gc.collect()
        assert not [ref for ref in alive if ref() is not None]
        net = original(*args)
        alive.append(weakref.ref(net))
        return net

    monkeypatch.setattr(loading, "load_network", load)
    _segment(bordered(), models)
    assert len(alive) == 2


def test_crops_are_refused(models):
    for option in ({"crop": (8, 8, 8)}, {"autocrop": True}):
        with pytest.raises(UsageError, match="--crop: found it with model phantom; expected no crop"):
            _segment(bordered(), models, **option)


def test_memory_is_asked_for_before_it_is_needed(models, monkeypatch):
    monkeypatch.setattr(nnunet, "mean_logits", lambda *_, **__: pytest.fail("ran"))
    with pytest.raises(InputError, match="needs about"):
        _segment(bordered(), models, memory_bytes=2**10)


def test_the_estimate_counts_logits_and_maps(models):
    segmenter = segmenter_of(models.segmentation)
    assert isinstance(segmenter, NnUNetSegmenter)
    small, large = (segmenter.network_bytes((n, n, n), SegmentOptions()) for n in (200, 300))
    assert large - small == 2 * 2 * 4 * (300**3 - 200**3)
    single = segmenter.network_bytes((200, 200, 200), SegmentOptions(folds=(0,)))
    assert small - single == 2 * 4 * 200**3
    assert segmenter.network_bytes((200, 200, 200), SegmentOptions(mode="float32")) > small


def test_header_digits_are_used_where_they_agree_with_the_affine(models, monkeypatch):
    told = []
    monkeypatch.setattr(nnunet, "new_shape", lambda shape, spacing, wanted: told.append(spacing) or shape)
    volume = bordered((0.9, 0.9, 0.9))
    segmenter = segmenter_of(models.segmentation)
    segmenter.conform(scan_of(volume), SegmentOptions())
    segmenter.conform(replace(scan_of(volume), header_voxel_size=(2.0, 2.0, 2.0)), SegmentOptions())
    assert told[0] == (float(np.float32(0.9)),) * 3
    np.testing.assert_allclose(told[1], 0.9)


def test_bounding_box():
    data = np.zeros((6, 7, 8))
    assert bounding_box(data) == (slice(0, 6), slice(0, 7), slice(0, 8))
    data[2, 3:5, 7] = -1
    assert bounding_box(data) == (slice(2, 3), slice(3, 5), slice(7, 8))


def test_sizes_round_to_even():
    """Stock nnU-Net: 52.5 voxels become 52, 62.5 become 62."""
    assert new_shape((42, 50, 47), (0.9375,) * 3, (0.75,) * 3) == (52, 62, 59)
    assert new_shape((1, 1, 1), (0.1, 1.0, 1.0), (1.0, 1.0, 1.0)) == (1, 1, 1)


BLOCK = np.array([0, 0, 2, 4, 6, 12], np.float32).reshape(1, 2, 3)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, (BLOCK - 4) / BLOCK.std()),
        ({"inside_only": True}, np.where(BLOCK == 0, 0, (BLOCK - 6) / np.sqrt(14))),
        ({"normalisation": "rescale"}, BLOCK / 12),
        ({"normalisation": "rgb"}, BLOCK / 255),
        ({"normalisation": "none"}, BLOCK),
        (
            {
                "normalisation": "ct",
                "intensities": {"percentile_00_5": 1.0, "percentile_99_5": 5.0, "mean": 3.0, "std": 2.0},
            },
            (np.clip(BLOCK, 1, 5) - 3) / 2,
        ),
    ],
)
def test_intensities(change, expected):
    found = normalised(BLOCK.copy(), replace(PLAN, **change))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_intensities_of_what_is_flat():
    """Nothing is divided by zero."""
    for kind in ("zscore", "rescale"):
        np.testing.assert_array_equal(
            normalised(np.full((2, 3, 4), 7, np.float32), replace(PLAN, normalisation=kind)), 0
        )


def test_holes_count_as_inside():
    data = np.full((5, 5, 5), 3.0, np.float32)
    data[2, 2, 2] = 0
    found = normalised(data.copy(), replace(PLAN, inside_only=True))
    np.testing.assert_allclose(found, (data - data.mean()) / data.std(), atol=1e-5)


@pytest.mark.golden
def test_preprocessed_arrays_of_stock_nnunet(reference):
    """Geometry and intensities before the network, exactly as stock nnU-Net has them."""
    import json

    from synthseg_core.images.reading import read_scan
    from synthseg_core.models.nnunet_folder import NnUNetFolder

    folder = Path(reference) / "siam"
    for case in json.loads((folder / "intermediate" / "index.json").read_text()):
        stored = np.load(folder / case["file"])
        plan = NnUNetFolder.read(folder / case["model"]).plan("3d_fullres", "stored")
        segmenter = NnUNetSegmenter.__new__(NnUNetSegmenter)
        segmenter._plan = plan
        segmenter._folds = lambda options: ()  # type: ignore[method-assign]
        conformed = segmenter.conform(read_scan(folder / case["input"]), SegmentOptions())
        image = conformed.image.transpose(plan.axes)
        expected = stored["preprocessed"].reshape(image.shape)
        np.testing.assert_allclose(conformed.spacing, case["spacing_after_transpose"], atol=0)
        assert [[part.start, part.stop] for part in conformed.box] == case["bbox_used_for_cropping"]
        np.testing.assert_allclose(image, expected, atol=1e-5)
