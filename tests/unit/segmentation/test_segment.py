"""Whole segmentations in process: user-made models, spacings, options, parcels, scores, doubts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from synthseg_core.errors import InputError, ModelError
from synthseg_core.images.affines import is_sheared
from synthseg_core.images.reading import Scan
from synthseg_core.images.volume import Volume
from synthseg_core.labels.table import LabelTable
from synthseg_core.models import loading
from synthseg_core.models.loading import Models, load_models
from synthseg_core.models.registry import load_card
from synthseg_core.quirks import NATIVE, REFERENCE
from synthseg_core.segmentation import quality as quality_module
from synthseg_core.segmentation.conform import conform
from synthseg_core.segmentation.posteriors import network_posteriors
from synthseg_core.segmentation.segment import Segmentation, segment_scan
from synthseg_core.segmentation.segmenter import SegmentOptions, conform_config, segmenter_of
from synthseg_core.segmentation.volumes import voxel_volume
from synthseg_core.system import memory
from synthseg_core.system.timing import Timer
from tests.phantoms.models import COARSE, PARCELLATION, ROBUST, STRUCTURE_LABELS, TINY, TinyModel, write_family
from tests.phantoms.parcels import parcel_posteriors
from tests.phantoms.scans import phantom, reoriented, tilted_affine

FITTING, RESAMPLED = (1.0, 1.0, 1.0), (1.1, 0.8, 2.4)
LEFT_PARCELS, RIGHT_PARCELS = {1001, 1005}, {2001, 2005}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def models(folder) -> dict[str, Models]:
    return {model.name: load_models(load_card(model.write(folder))) for model in (TINY, COARSE, ROBUST)}


@pytest.fixture(scope="module")
def whole(folder) -> Models:
    return load_models(load_card(write_family(folder)), parcellation=True, quality=True)


@pytest.fixture(autouse=True)
def small_cube(monkeypatch):
    """The quality network's cube has 224 voxels an edge; a smaller one shows the same and is quick."""
    monkeypatch.setattr(quality_module, "BOX_EDGE_MM", 48)


def _scan(volume: Volume, **facts) -> Scan:
    return Scan(volume, volume.voxel_size, Path("phantom.nii.gz"), **facts)


def _segment(models: Models, voxel_size=RESAMPLED, shape=(19, 26, 11), times=None, **options) -> Segmentation:
    return segment_scan(_scan(phantom(voxel_size, shape)), models, SegmentOptions(**options), times)


def _values(volume: Volume) -> set[int]:
    return {int(value) for value in np.unique(volume.data)}


@pytest.mark.parametrize("voxel_size", [FITTING, RESAMPLED])
def test_model_with_a_list_of_labels_of_its_own(models, voxel_size):
    result = _segment(models["tiny"], voxel_size)
    assert _values(result.label_map) == set(STRUCTURE_LABELS)
    assert result.label_map.data.dtype == np.int32
    assert result.labels.labels == STRUCTURE_LABELS
    assert [row.label for row in result.volumes.rows] == [None, 3, 16, 42]
    assert result.warnings == ()
    assert result.quality is None


@pytest.mark.parametrize("voxel_size", [FITTING, RESAMPLED, (2.0, 2.0, 2.0), (0.7, 3.1, 1.4)])
@pytest.mark.parametrize("name", ["tiny", "coarse"])
def test_answers_on_the_own_grid_at_1_mm_and_at_the_models_spacing(models, name, voxel_size):
    source = reoriented(phantom(voxel_size, (19, 26, 11)), (1, 2, 0), (True, False, False))
    result = segment_scan(_scan(source), models[name])
    native = result.label_map_on(result.record.source)
    assert native.shape == source.shape
    np.testing.assert_array_equal(native.affine, source.affine)
    isotropic = result.label_map_on(result.record.isotropic_grid(1.0))
    np.testing.assert_allclose(isotropic.voxel_size, 1, rtol=1e-6)
    extents = np.array(source.shape) * source.voxel_size
    assert (np.abs(np.array(isotropic.shape) - extents) <= 1).all()
    edge = 2.0 if name == "coarse" else 1.0
    np.testing.assert_allclose(result.label_map.voxel_size, edge, rtol=1e-6)
    for answer in (native, isotropic, result.label_map):
        assert answer.data.dtype == np.int32
        assert _values(answer) <= set(STRUCTURE_LABELS)


def _centre_of(volume: Volume, label: int) -> np.ndarray:
    voxels = np.argwhere(volume.data == label).mean(axis=0)
    return volume.affine[:3, :3] @ voxels + volume.affine[:3, 3]


@pytest.mark.parametrize("name", ["tiny", "coarse"])
def test_answers_lie_at_the_same_place_in_the_world(models, name):
    source = reoriented(phantom((1.1, 1.6, 1.3), (26, 24, 22)), (2, 0, 1), (False, True, True))
    result = segment_scan(_scan(source), models[name])
    native = result.label_map_on(result.record.source)
    isotropic = result.label_map_on(result.record.isotropic_grid(1.0))
    for label in (3, 42):
        for answer in (isotropic, result.label_map):
            assert np.linalg.norm(_centre_of(native, label) - _centre_of(answer, label)) < 0.5


def test_a_fitting_scan_is_answered_on_its_own_voxels(models):
    """Nothing is interpolated: the label map, the posteriors' argmax and the native map are one."""
    result = _segment(models["tiny"], FITTING)
    native = result.label_map_on(result.record.source)
    np.testing.assert_array_equal(native.data, result.label_map.data)
    np.testing.assert_array_equal(result.label_map_on(result.record.isotropic_grid(1.0)).data, native.data)
    values = np.array(STRUCTURE_LABELS)[result.posteriors.data.argmax(axis=-1)]
    np.testing.assert_array_equal(values, native.data)
    assert result.resampled is None


def test_the_1_mm_grid_of_a_resampled_scan_is_the_networks(models):
    result = _segment(models["tiny"], RESAMPLED)
    isotropic = result.label_map_on(result.record.isotropic_grid(1.0))
    np.testing.assert_array_equal(isotropic.data, result.label_map.data)
    np.testing.assert_allclose(isotropic.affine, result.label_map.affine, atol=1e-9)
    assert result.resampled is not None
    assert result.resampled.shape == result.label_map.shape
    np.testing.assert_array_equal(result.resampled.affine, result.label_map.affine)


def test_native_labels_are_not_a_copy_of_the_nearest_voxel(models):
    """Labels come from interpolated posteriors: that differs from picking the nearest label, but seldom."""
    result = _segment(models["coarse"], FITTING, (26, 24, 22))
    native = result.label_map_on(result.record.source)
    to_grid = np.linalg.inv(result.label_map.affine) @ native.affine
    index = np.stack(np.meshgrid(*[np.arange(n) for n in native.shape], indexing="ij"))
    place = np.einsum("ab,bijk->aijk", to_grid[:3, :3], index) + to_grid[:3, 3, None, None, None]
    near = [np.clip(np.rint(p), 0, n - 1).astype(int) for p, n in zip(place, result.label_map.shape, strict=True)]
    agreement = (result.label_map.data[tuple(near)] == native.data).mean()
    assert 0.8 < agreement < 0.999


def test_posteriors(models):
    for name in ("tiny", "robust"):
        result = _segment(models[name], RESAMPLED)
        posteriors = result.posteriors
        assert posteriors.data.shape == (*result.label_map.shape, 4)
        assert posteriors.data.dtype == np.float32
        np.testing.assert_array_equal(posteriors.affine, result.label_map.affine)
        np.testing.assert_allclose(posteriors.data.sum(axis=-1), 1, atol=1e-5)
        assert posteriors.data.min() >= 0


def test_volumes_are_those_of_the_posteriors_and_labels(models):
    for name, edge in (("tiny", 1.0), ("coarse", 2.0)):
        result = _segment(models[name], RESAMPLED)
        rows = {row.label: row for row in result.volumes.rows}
        for channel, label in enumerate(STRUCTURE_LABELS[1:], start=1):
            soft = result.posteriors.data[..., channel].sum(dtype=np.float64) * edge**3
            assert rows[label].soft_mm3 == pytest.approx(soft, rel=1e-6)
            assert rows[label].hard_mm3 == (result.label_map.data == label).sum() * edge**3
        assert rows[None].name == "total intracranial"
        assert rows[None].soft_mm3 == pytest.approx(sum(rows[label].soft_mm3 for label in STRUCTURE_LABELS[1:]))


def test_volumes_of_a_scan_within_the_tolerance_use_its_own_voxels(models):
    result = _segment(models["tiny"], (1.04, 0.97, 1.0))
    assert not result.record.resampled
    rows = {row.label: row for row in result.volumes.rows}
    assert rows[3].hard_mm3 == pytest.approx((result.label_map.data == 3).sum() * 1.04 * 0.97)


def test_crop(models):
    whole, cropped = _segment(models["tiny"], RESAMPLED), _segment(models["tiny"], RESAMPLED, crop=(8, 16, 8))
    assert cropped.label_map.shape == whole.label_map.shape
    (i, j, k), stop = cropped.record.crop
    assert [b - a for a, b in zip((i, j, k), stop, strict=True)] == [8, 16, 8]
    outside = np.ones(cropped.record.grid_shape, bool)
    outside[i : i + 8, j : j + 16, k : k + 8] = False
    outside = cropped.record.to_source_order(outside)
    assert not cropped.label_map.data[outside].any()
    assert cropped.label_map.data.any()
    assert (cropped.posteriors.data[outside] == np.array([1, 0, 0, 0])).all()
    native = cropped.label_map_on(cropped.record.source)
    assert native.shape == (19, 26, 11)
    assert native.data.any()


def test_fast_neither_averages_nor_searches_components(models, monkeypatch):
    from synthseg_core.segmentation import posteriors, segmenter

    calls, real = [], segmenter.clean_up
    monkeypatch.setattr(posteriors, "_average_with_mirror", lambda *args, **kwargs: calls.append("average"))
    monkeypatch.setattr(segmenter, "clean_up", lambda *args: (calls.append(args[3]), real(*args))[1])
    for options in ({}, {"fast": True}):
        _segment(models["tiny"], FITTING, **options)
    _segment(models["robust"], FITTING)
    assert calls == ["average", "topology", "threshold", "threshold"]


def test_fast_leaves_a_card_without_clean_up_alone(folder):
    raw = replace(TINY, name="raw", inference={"clean_up": "none", "flip_average": False})
    loaded = load_models(load_card(raw.write(folder)))
    results = [_segment(loaded, FITTING, fast=fast) for fast in (False, True)]
    np.testing.assert_array_equal(results[0].channel_posteriors, results[1].channel_posteriors)


def test_ct_window(models):
    volume = phantom(FITTING, (19, 26, 17))
    hounsfield = Volume(volume.data * 10 - 1000, volume.affine)
    windowed = Volume(np.clip(hounsfield.data, 0, 80), volume.affine)
    ct = segment_scan(_scan(hounsfield), models["tiny"], SegmentOptions(ct=True))
    expected = segment_scan(_scan(windowed), models["tiny"])
    np.testing.assert_array_equal(ct.label_map.data, expected.label_map.data)
    plain = segment_scan(_scan(hounsfield), models["tiny"])
    assert not np.array_equal(plain.label_map.data, expected.label_map.data)
    assert "--ct" in " ".join(plain.warnings)


def test_parcels_and_scores(whole):
    times = Timer()
    result = _segment(whole, RESAMPLED, times=times)
    alone = segment_scan(_scan(phantom(RESAMPLED, (19, 26, 11))), replace(whole, parcellation=None, quality=None))
    plain, parcels = alone.label_map.data, result.label_map.data
    assert set(np.unique(parcels[plain == 3])) <= LEFT_PARCELS
    assert set(np.unique(parcels[plain == 42])) <= RIGHT_PARCELS
    np.testing.assert_array_equal(parcels[(plain != 3) & (plain != 42)], plain[(plain != 3) & (plain != 42)])
    np.testing.assert_array_equal(result.channel_posteriors, alone.channel_posteriors)
    rows = {row.label: row for row in result.volumes.rows}
    assert list(rows) == [None, 3, 16, 42, 1001, 1005, 2001, 2005]
    for cortex, group in ((3, LEFT_PARCELS), (42, RIGHT_PARCELS)):
        assert sum(rows[label].soft_mm3 for label in group) == pytest.approx(rows[cortex].soft_mm3, rel=1e-6)
        assert sum(rows[label].hard_mm3 for label in group) == rows[cortex].hard_mm3
    assert rows[None].soft_mm3 == pytest.approx(alone.volumes.rows[0].soft_mm3)
    assert [score.name for score in result.quality] == ["cortex", "stem"]
    assert all(0 <= score.score <= 1 for score in result.quality)
    assert list(times.seconds) == ["conform", "network", "clean-up", "parcels", "quality"]


def test_parcels_lie_where_the_network_puts_them(whole):
    """Voxel by voxel: the most probable parcel of the side, on the unpadded grid."""
    volume = phantom(FITTING, (19, 26, 11))
    scan, models = _scan(volume), replace(whole, quality=None)
    result = segment_scan(scan, models)
    image = conform(scan, conform_config(models.segmentation.card, SegmentOptions())).image
    table = models.segmentation.card.labels
    raw = parcel_posteriors(models.parcellation, image, result.decision, table, blur=True)
    raw = result.record.unpad(raw)
    plain = segment_scan(scan, replace(whole, parcellation=None, quality=None)).label_map.data
    expected = plain.copy()
    expected[plain == 3] = np.array([1001, 1005])[raw[1:3].argmax(axis=0)][plain == 3]
    expected[plain == 42] = np.array([2001, 2005])[raw[3:5].argmax(axis=0)][plain == 42]
    np.testing.assert_array_equal(result.label_map.data, expected)


def test_asking_for_parcels_and_scores_changes_nothing_else(whole):
    """In fast mode the reference's segmentation depends on what else was asked for; ours only with its quirk."""
    alone = replace(whole, parcellation=None, quality=None)
    only_scores = replace(whole, parcellation=None)
    for quirks, same in ((NATIVE, True), (replace(NATIVE, flags_change_blur=True), False)):
        results = [_segment(m, FITTING, fast=True, quirks=quirks) for m in (alone, only_scores)]
        first, second = (result.channel_posteriors for result in results)
        assert np.array_equal(first, second) is same


def test_scores_change_the_blur_of_parcels_only_in_the_reference(whole):
    without = replace(whole, quality=None)
    for quirks, same in ((NATIVE, True), (replace(NATIVE, flags_change_blur=True), False)):
        tables = [_segment(m, FITTING, quirks=quirks).volumes.soft_mm3 for m in (without, whole)]
        assert np.array_equal(*tables) is same


def test_decision_is_taken_before_clean_up_on_the_padded_grid(models):
    result = _segment(models["tiny"], FITTING)
    assert result.decision.shape == result.record.padded_shape
    assert result.decision.dtype == np.uint8
    decided = np.array(STRUCTURE_LABELS)[result.record.unpad(result.decision)]
    labels = result.label_map.data
    assert (decided == labels).mean() > 0.5
    assert (decided != labels).any()


def test_reference_mode_runs_on_the_references_grid(models):
    result = _segment(models["tiny"], RESAMPLED, quirks=REFERENCE)
    assert result.record.grid.shift != (0, 0, 0)
    assert _values(result.label_map) == set(STRUCTURE_LABELS)


def test_warnings_of_every_source_are_passed_on(models, folder):
    """Scan, conforming, weights and result; in this order."""
    model = replace(TINY, name="doubtful", plausible_total_ml=(700.0, 2500.0))
    loaded = load_models(load_card(model.write(folder)))
    weights = replace(loaded.segmentation.weights, warnings=("the weights are odd",))
    loaded = replace(loaded, segmentation=replace(loaded.segmentation, weights=weights))
    volume = phantom(FITTING, (19, 26, 17))
    scan = _scan(Volume(volume.data * (2000 / volume.data.max()) - 1000, volume.affine), warnings=("the scan is odd",))
    found = segment_scan(scan, loaded).warnings
    assert found[0] == "the scan is odd"
    assert "--ct" in found[1]
    assert found[2] == "the weights are odd"
    assert "ml, outside 700 to 2500 ml" in found[3]


def _silent(folder: Path) -> Models:
    """A model that sees background everywhere: a head of zeros with a large offset for channel 0."""
    model = replace(TINY, name="silent")
    card = model.write(folder)
    loaded = load_models(load_card(card))
    runner = loaded.segmentation.runners[0]
    runner.head_weight.zero_()
    runner.head_bias.copy_(runner.head_bias.new_tensor([50.0, 0.0, 0.0, 0.0]))
    return loaded


@pytest.mark.parametrize("fast", [True, False])
def test_empty_segmentation_is_a_warning(folder, fast):
    result = _segment(_silent(folder), FITTING, fast=fast)
    assert result.warnings == ("the segmentation is empty: no structure was found",)
    assert not result.label_map.data.any()
    assert (result.posteriors.data[..., 0] == 1).all()
    assert not result.label_map_on(result.record.source).data.any()
    assert {row.hard_mm3 for row in result.volumes.rows} == {0.0}


def test_scan_that_would_not_fit_in_memory(models, monkeypatch):
    with pytest.raises(InputError, match=r"phantom.nii.gz: found a field of view that needs about .*voxels"):
        _segment(models["tiny"], FITTING, memory_bytes=1000)
    monkeypatch.setattr(memory, "physical_bytes", lambda: 1000)
    with pytest.raises(InputError, match="at most 0.0 GiB"):
        _segment(models["tiny"], FITTING)


def test_network_that_would_not_fit_is_refused_before_it_runs(models, monkeypatch):
    """The conformed scan fits in the budget, the posteriors do not."""
    ran = []
    monkeypatch.setattr(
        "synthseg_core.segmentation.synthseg.network_posteriors", lambda *args, **kwargs: ran.append(args)
    )
    budget = segmenter_of(models["tiny"].segmentation).network_bytes((24, 32, 24), SegmentOptions()) - 1
    with pytest.raises(InputError, match=r"24 x 32 x 24 voxels of 1 mm for model tiny"):
        _segment(models["tiny"], FITTING, (19, 26, 17), memory_bytes=budget)
    assert not ran


def _without_memory_on_gpus(monkeypatch):
    """Let networks that are on a GPU find no memory; where there is no GPU, what says that it is on one counts."""

    def exhausted(model, *args, **kwargs):
        if model.device is not None and model.device.type == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return network_posteriors(model, *args, **kwargs)

    monkeypatch.setattr("synthseg_core.segmentation.synthseg.network_posteriors", exhausted)


def test_a_scan_that_does_not_fit_on_the_gpu_is_segmented_on_the_cpu(whole, monkeypatch):
    _without_memory_on_gpus(monkeypatch)
    parts = {name: getattr(whole, name) for name in ("segmentation", "parcellation", "quality")}
    there = Models(**{name: replace(model, device=torch.device("cuda")) for name, model in parts.items()})
    loaded, inner = [], loading._load
    monkeypatch.setattr(loading, "_load", lambda parts: loaded.append(parts.card.task) or inner(parts))
    found, expected = _segment(there, FITTING), _segment(whole, FITTING)
    assert sorted(loaded) == ["parcellation", "quality", "segmentation"], "each is loaded once"
    assert found.warnings == (*expected.warnings, "the GPU's memory did not suffice: segmented on the CPU")
    np.testing.assert_array_equal(found.label_map.data, expected.label_map.data)
    assert found.quality == expected.quality


def test_a_gpu_error_of_a_model_on_the_cpu_is_told_and_not_tried_again(models, monkeypatch):
    calls = []

    def exhausted(*args, **kwargs):
        calls.append(args)
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("synthseg_core.segmentation.synthseg.network_posteriors", exhausted)
    with pytest.raises(InputError, match="too little memory on the GPU for this scan"):
        _segment(models["tiny"], FITTING)
    assert len(calls) == 1


def test_options_reach_the_conforming(models):
    card = models["coarse"].segmentation.card
    config = conform_config(card, SegmentOptions(ct=True, crop=(8, 8, 8), quirks=REFERENCE, memory_bytes=5))
    assert (config.grid.voxel_size_mm, config.ct, config.crop, config.memory_bytes) == (2.0, True, (8, 8, 8), 5)
    assert config.quirks == REFERENCE
    assert config.intensity == card.intensity


def test_defaults_are_the_own_ways():
    options = SegmentOptions()
    assert options.quirks == NATIVE
    assert not options.fast
    assert not options.ct
    assert options.crop is None


@pytest.mark.parametrize("shape", [(19, 26, 1), (1, 20, 20), (30, 2, 30), (200, 3, 4)])
def test_thin_stacks(models, shape):
    result = _segment(models["tiny"], (1.0, 1.0, 1.0), shape)
    assert result.label_map_on(result.record.source).shape == shape


def test_parcels_without_a_cortex_are_refused(folder):
    table = "label\tname\tside\tcounterpart\ttopology_class\n0\tbackground\tneutral\t0\t0\n5\ta\tneutral\t5\t1\n"
    one = TinyModel(
        name="no-cortex",
        table=table,
        networks=(replace(TINY.networks[0], config=replace(TINY.networks[0].config, out_channels=2)),),
        companions={"parcellation": "parcels.yaml"},
    )
    PARCELLATION.write(folder)
    loaded = load_models(load_card(one.write(folder)), parcellation=True)
    with pytest.raises(ModelError, match="no label 3 and no label 42"):
        _segment(loaded, FITTING)


def test_same_scan_same_answer(models):
    first, second = (_segment(models["tiny"], RESAMPLED) for _ in range(2))
    np.testing.assert_array_equal(first.channel_posteriors, second.channel_posteriors)
    assert first.volumes == second.volumes


def test_scan_is_left_alone(models):
    volume = phantom(FITTING, (19, 26, 17))
    before = volume.data.copy()
    segment_scan(_scan(volume), models["tiny"], SegmentOptions(ct=True))
    np.testing.assert_array_equal(volume.data, before)


def test_labels_without_sides_or_order(folder):
    """Any list of labels will do: large values, one structure, no pairs."""
    table = "label\tname\tside\tcounterpart\n0\tnothing\tneutral\t0\n60001\tlesion\tneutral\t60001\n"
    spec = replace(TINY.networks[0], config=replace(TINY.networks[0].config, out_channels=2))
    lesions = TinyModel(name="lesions", table=table, networks=(spec,), inference={"clean_up": "threshold"})
    loaded = load_models(load_card(lesions.write(folder)))
    assert isinstance(loaded.segmentation.card.labels, LabelTable)
    result = _segment(loaded, RESAMPLED)
    assert _values(result.label_map) == {0, 60001}
    assert _values(result.label_map_on(result.record.source)) == {0, 60001}


@pytest.mark.parametrize("name", ["tiny", "coarse"])
def test_tilted_scan(models, name):
    """Outputs on the scan's own grid and at 1 mm come from one answer; only the latter have perpendicular axes."""
    shape = (24, 26, 18)
    affine = tilted_affine((1.0, 1.0, 1.4), 20, shape)
    result = segment_scan(_scan(Volume(phantom(shape=shape).data, affine)), models[name])
    native, isotropic = (result.label_map_on(g) for g in (result.record.source, result.record.isotropic_grid(1.0)))
    assert native.shape == shape
    np.testing.assert_array_equal(native.affine, affine)
    assert result.resampled is not None
    for volume in (isotropic, result.label_map, result.posteriors, result.resampled):
        assert not is_sheared(volume.affine)
    np.testing.assert_allclose(isotropic.voxel_size, 1)
    whole = np.prod(result.label_map.shape) * voxel_volume(result.record.grid)
    soft = sum(row.soft_mm3 for row in result.volumes.rows[1:])
    assert soft == pytest.approx(result.posteriors.data[..., 1:].sum() * voxel_volume(result.record.grid), rel=1e-5)
    assert 0 < soft < whole
    for label in (3, 42):
        assert np.linalg.norm(_centre_of(native, label) - _centre_of(isotropic, label)) < 1.5


def test_tilted_scan_in_the_name_of_the_reference(models):
    """Nothing is straightened, and a voxel counts as a box of its edges."""
    shape = (24, 26, 18)
    affine = tilted_affine((1.0, 1.0, 1.0), 20, shape)
    scan = _scan(Volume(phantom(shape=shape).data, affine))
    result = segment_scan(scan, models["tiny"], SegmentOptions(quirks=REFERENCE))
    assert result.label_map.shape == shape
    np.testing.assert_array_equal(result.label_map.affine, affine)
    hard = {row.label: row.hard_mm3 for row in result.volumes.rows}
    assert hard[3] == pytest.approx(np.count_nonzero(result.label_map.data == 3))
