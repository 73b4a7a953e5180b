"""Parcels from a stored decision: those of a run that makes all at once, on every grid, and nothing else moved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from synthseg_core.errors import InputError
from synthseg_core.images.reading import Scan
from synthseg_core.images.resampling import resample_classes
from synthseg_core.images.volume import Volume
from synthseg_core.models.loading import Models, load_companion, load_models
from synthseg_core.models.registry import load_card
from synthseg_core.segmentation import quality as quality_module
from synthseg_core.segmentation.class_maps import ClassMaps, MadeFrom, read_class_maps, write_class_maps
from synthseg_core.segmentation.conform import conform_to
from synthseg_core.segmentation.parcellate import LabelMapOn, ScanParcels, parcellate_scan, require_same_file
from synthseg_core.segmentation.parcels import Target, needed_voxels
from synthseg_core.segmentation.quality import quality_scores
from synthseg_core.segmentation.segment import Segmentation, decision_of, segment_scan
from synthseg_core.segmentation.segmenter import SegmentOptions, conform_config
from synthseg_core.system import memory
from synthseg_core.system.words import counted
from tests.phantoms.models import STRUCTURE_LABELS, write_family
from tests.phantoms.parcels import parcel_posteriors
from tests.phantoms.scans import phantom, reoriented, tilted_affine

FITTING, RESAMPLED, FINE = (1.0, 1.0, 1.0), (1.1, 0.8, 2.4), (0.6, 0.7, 1.3)
SHAPE = (19, 26, 15)
PARCELS_OF = {3: (1001, 1005), 42: (2001, 2005)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Models:
    card = load_card(write_family(tmp_path_factory.mktemp("models")))
    return load_models(card, parcellation=True, quality=True)


@pytest.fixture(autouse=True)
def small_cube(monkeypatch):
    """The quality network's cube has 224 voxels an edge; a smaller one shows the same and is quick."""
    monkeypatch.setattr(quality_module, "BOX_EDGE_MM", 48)


def _scan(voxel_size=FITTING, shape=SHAPE, values=None) -> Scan:
    volume = reoriented(phantom(voxel_size, shape), (1, 2, 0), (True, False, True))
    if values is not None:
        volume = Volume(values(volume.data), volume.affine)
    return Scan(volume, volume.voxel_size, Path("phantom.nii.gz"))


def _decision(result: Segmentation, folder: Path, **options) -> ClassMaps:
    """What is left after a stop: the file, read again."""
    path = folder / "decision.npz"
    write_class_maps(path, decision_of(result, MadeFrom("whole", STRUCTURE_LABELS, "w", "s", **options)))
    return read_class_maps(path)


def _maps(result: Segmentation) -> tuple[LabelMapOn, LabelMapOn]:
    grids = result.record.source, result.record.isotropic_grid(1.0)
    native, one_mm = (LabelMapOn(result.label_map_on(grid), grid) for grid in grids)
    return native, one_mm


def _staged(scan: Scan, models: Models, folder: Path, **options) -> tuple[Segmentation, ScanParcels]:
    """Segment without companions, store the decision, and divide the cortex afterwards."""
    segmented = segment_scan(scan, replace(models, parcellation=None, quality=None), SegmentOptions(**options))
    kept = {name: value for name, value in options.items() if name in ("fast", "ct")}
    decision = _decision(segmented, folder, **kept)
    card = models.segmentation.card
    assert models.parcellation is not None
    return segmented, parcellate_scan(scan, decision, card, models.parcellation, _maps(segmented))


@pytest.mark.parametrize(
    ("voxel_size", "options"),
    [
        (FITTING, {}),
        (RESAMPLED, {}),
        (FINE, {"fast": True}),
        (RESAMPLED, {"crop": (8, 16, 8)}),
        (FITTING, {"ct": True}),
    ],
)
def test_staged_is_the_same_as_all_at_once(whole, tmp_path, voxel_size, options):
    """Label map and parcel volumes to the last bit; scores too."""
    scan = _scan(voxel_size)
    together = segment_scan(scan, whole, SegmentOptions(**options))
    segmented, staged = _staged(scan, whole, tmp_path, **options)
    np.testing.assert_array_equal(staged.label_map.data, together.label_map.data)
    np.testing.assert_array_equal(staged.label_map.affine, together.label_map.affine)
    parcels = [row for row in together.volumes.rows if row.label is not None and row.label > 1000]
    assert staged.volumes.rows == tuple(parcels)
    assert sum(row.soft_mm3 for row in parcels) > 0
    stored = read_class_maps(tmp_path / "decision.npz")
    assert whole.quality is not None
    assert quality_scores(whole.quality, stored.channels, whole.segmentation.card.labels) == together.quality
    np.testing.assert_array_equal(segmented.decision, together.decision)


@pytest.mark.parametrize("voxel_size", [FITTING, RESAMPLED, FINE])
def test_nothing_but_the_cortex_changes_and_all_of_it_does(whole, tmp_path, voxel_size):
    segmented, staged = _staged(_scan(voxel_size), whole, tmp_path)
    for before, after in zip(_maps(segmented), staged.maps, strict=True):
        labels = before.volume.data
        np.testing.assert_array_equal(after.affine, before.grid.affine)
        structures = ~np.isin(labels, list(PARCELS_OF))
        np.testing.assert_array_equal(after.data[structures], labels[structures])
        for cortex, parcels in PARCELS_OF.items():
            assert (labels == cortex).any()
            assert set(np.unique(after.data[labels == cortex])) == set(parcels)
    assert staged.warnings == segmented.warnings


def test_a_map_on_the_networks_grid_is_its_label_map(whole, tmp_path):
    """Nothing is interpolated there."""
    _, staged = _staged(_scan(RESAMPLED), whole, tmp_path)
    np.testing.assert_array_equal(staged.maps[1].data, staged.label_map.data)


def test_the_most_probable_parcel_of_the_side_wins_after_interpolation(whole, tmp_path):
    """Against all channels resampled whole; where the network's nearest voxel has another parcel it is not copied."""
    _check_winners(_scan((0.45, 0.7, 0.6), (24, 26, 25)), whole, tmp_path)


def test_the_same_on_sheared_axes(whole, tmp_path):
    affine = tilted_affine((0.9, 0.8, 1.3), 20, SHAPE)
    volume = Volume(phantom(shape=SHAPE).data, affine)
    _check_winners(Scan(volume, volume.voxel_size, Path("phantom.nii.gz")), whole, tmp_path)


def _check_winners(scan, whole, folder):
    segmented, staged = _staged(scan, whole, folder)
    record, card = segmented.record, whole.segmentation.card
    image = conform_to(record, scan, conform_config(card, SegmentOptions())).image
    raw = parcel_posteriors(whole.parcellation, image, segmented.decision, card.labels, blur=True)
    dense = np.stack(list(resample_classes(record.unpad(raw), record.samplings(record.source))))
    labels, found = (record.orientation.to_ras(one.data) for one in (_maps(segmented)[0].volume, staged.maps[0]))
    for cortex, channels in ((3, [1, 2]), (42, [3, 4])):
        inside = labels == cortex
        candidates = dense[channels][:, inside]
        chosen = np.searchsorted(np.array(PARCELS_OF[cortex]), found[inside])
        lost = candidates.max(axis=0) - np.take_along_axis(candidates, chosen[None], axis=0)[0]
        assert lost.max() < 1e-6
    if record.straightened:
        return
    nearest = [np.where(rule.lower_weight > 0.5, rule.lower, rule.upper) for rule in record.samplings(record.source)]
    copied = record.orientation.to_ras(staged.label_map.data)[np.ix_(*nearest)]
    both = (found > 1000) & (copied > 1000)
    assert (found != copied)[both].mean() > 0.01


def test_other_storage_orders_give_the_same_parcels(whole, tmp_path):
    plain = phantom(FINE, SHAPE)
    turned = reoriented(plain, (2, 0, 1), (False, True, True))
    first, second = (
        _staged(Scan(volume, volume.voxel_size, Path("x.nii")), whole, tmp_path)[1].maps[0]
        for volume in (plain, turned)
    )
    expected = reoriented(first, (2, 0, 1), (False, True, True))
    np.testing.assert_array_equal(second.data, expected.data)


def test_only_the_surroundings_of_the_cortex_are_kept(whole, tmp_path):
    """The cortex itself where nothing is interpolated; a voxel further where something is."""
    for voxel_size, most in ((FITTING, 1.0), (FINE, 3.0)):
        segmented, _ = _staged(_scan(voxel_size), whole, tmp_path)
        cortex = np.isin(segmented.structures, list(PARCELS_OF))
        record = segmented.record
        targets = [
            Target(record.orientation.to_ras(one.volume.data), record.samplings(one.grid)) for one in _maps(segmented)
        ]
        needed = needed_voxels(segmented.structures.shape, targets)
        assert needed.sum() <= most * cortex.sum()


def test_cortex_without_any_answer_stays_cortex_and_is_reported(whole, tmp_path):
    """A parcellation network that is sure of background everywhere."""
    silent = load_companion(whole.segmentation.card, "parcellation")
    runner = silent.runners[0]
    runner.head_weight.zero_()
    runner.head_bias.copy_(runner.head_bias.new_tensor([200.0, 0.0, 0.0, 0.0, 0.0]))
    segmented, staged = _staged(_scan(FINE), replace(whole, parcellation=silent), tmp_path)
    before, after = _maps(segmented)[0].volume.data, staged.maps[0].data
    np.testing.assert_array_equal(after, before)
    count = int(np.isin(segmented.structures, list(PARCELS_OF)).sum())
    assert staged.warnings[0] == f"{counted(count, 'voxel')} of the cortex without a parcel, left as cortex"
    assert "no structure was found" in staged.warnings[1]


def test_scan_without_cortex(whole, tmp_path):
    segmented = segment_scan(_scan(), replace(whole, parcellation=None, quality=None))
    bare = replace(
        _decision(segmented, tmp_path),
        channels=np.zeros_like(segmented.decision),
        structures=np.zeros_like(segmented.structures, dtype=np.uint8),
        cortex_mm3={"left": 0.0, "right": 0.0},
    )
    staged = parcellate_scan(_scan(), bare, whole.segmentation.card, whole.parcellation)
    assert not staged.label_map.data.any()
    assert {row.soft_mm3 for row in staged.volumes.rows} == {0.0}
    assert "empty" in staged.warnings[-1]


def test_companion_alone_is_the_one_that_comes_with_the_others(whole):
    alone = load_companion(whole.segmentation.card, "parcellation")
    assert whole.parcellation is not None
    assert (alone.card, alone.weights) == (whole.parcellation.card, whole.parcellation.weights)


def _refused(scan: Scan, decision: ClassMaps, models: Models, maps=()) -> str:
    with pytest.raises(InputError) as caught:
        parcellate_scan(scan, decision, models.segmentation.card, models.parcellation, maps)
    assert "give files of the same scan, or segment it again" in str(caught.value)
    return str(caught.value)


def test_scans_and_maps_of_other_heads_are_refused(whole, tmp_path):
    scan = _scan()
    segmented, _ = _staged(scan, whole, tmp_path)
    decision = read_class_maps(tmp_path / "decision.npz")
    assert "26 x 15 x 17 voxels; expected 26 x 15 x 19" in _refused(_scan(shape=(17, 26, 15)), decision, whole)
    moved = Volume(scan.volume.data, scan.volume.affine + np.diag([0, 0, 0.01], 1))
    assert "another position" in _refused(replace(scan, volume=moved), decision, whole)
    native, one_mm = _maps(segmented)
    other = replace(native, volume=replace(native.volume, data=native.volume.data[:-1]), source="d.nii.gz")
    assert _refused(scan, decision, whole, (one_mm, other)).startswith("d.nii.gz: found 25 x 15 x 19")


def test_another_file_on_the_same_grid_is_refused(whole, tmp_path):
    _staged(_scan(), whole, tmp_path)
    decision = read_class_maps(tmp_path / "decision.npz")
    require_same_file(decision, _scan(), "s")
    with pytest.raises(InputError, match=r"phantom.nii.gz: found another file than the one that was segmented; "):
        require_same_file(decision, _scan(), "t")


def test_scan_that_would_not_fit_in_memory(whole, tmp_path, monkeypatch):
    _staged(_scan(), whole, tmp_path)
    decision = read_class_maps(tmp_path / "decision.npz")
    monkeypatch.setattr(memory, "physical_bytes", lambda: 1000)
    with pytest.raises(InputError, match=r"phantom.nii.gz: .*needs about .* \(parcels by model parcels\)"):
        parcellate_scan(_scan(), decision, whole.segmentation.card, whole.parcellation)
