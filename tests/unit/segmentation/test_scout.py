"""The scout: where its box lies, in every orientation, and what becomes of intensities, records and answers."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from synthseg_core.app import stage_options
from synthseg_core.app.stage_options import definition_sha256
from synthseg_core.errors import InputError, ModelError
from synthseg_core.images.reading import Scan
from synthseg_core.images.volume import Volume
from synthseg_core.models.card import GridSpec, ScoutSpec
from synthseg_core.models.card_file import card_text, read_card
from synthseg_core.models.loading import LoadedModel, Models, load_models
from synthseg_core.models.registry import load_card
from synthseg_core.segmentation import scout as scout_module
from synthseg_core.segmentation.conform import ConformConfig, conform
from synthseg_core.segmentation.memory_estimate import scouting_bytes
from synthseg_core.segmentation.scout import NO_BRAIN, BrainBox, find_brain
from synthseg_core.segmentation.segment import segment_scan
from synthseg_core.segmentation.segmenter import SegmentOptions
from synthseg_core.segmentation.synthseg import SynthSegSegmenter
from tests.phantoms.models import PARCELLATION, TINY
from tests.phantoms.scans import all_orientations, oblique_affine, reoriented

# A coarse model: its random network is replaced by a threshold, so that the brain is known.
COARSE = replace(TINY, name="coarse", grid={"voxel_size_mm": 4.0, "multiple_voxels": 8, "minimum_voxels": 32})
FINE = replace(TINY, name="fine", grid={"voxel_size_mm": 2.0, "multiple_voxels": 8, "minimum_voxels": 8})
FIELD_MM = (48.0, 64.0, 48.0)
SHAPE, VOXEL_MM = (46, 53, 41), (2.0, 2.0, 2.0)
CENTRE, RADII = (29.0, 20.0, 24.0), (8.0, 10.0, 6.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def model(folder) -> LoadedModel:
    COARSE.write(folder)
    entry = f"scout: {{model: coarse.yaml, field_of_view_mm: {list(FIELD_MM)}, margin_mm: 4}}\n"
    card = FINE.write(folder).rename(folder / "scouted.yaml")
    card.write_text(card.read_text() + entry)
    return load_models(load_card(card)).segmentation


@pytest.fixture(autouse=True)
def threshold(monkeypatch):
    """Let the scout find what is brighter than half."""
    monkeypatch.setattr(scout_module, "_SMALLEST_BRAIN_ML", 5.0)
    monkeypatch.setattr(
        scout_module,
        "network_posteriors",
        lambda model, image, **rest: torch.from_numpy(np.stack([image < 0.5, image >= 0.5]).astype(np.float32)),
    )


def head(shape=SHAPE, centre=CENTRE, radii=RADII, voxel_size=VOXEL_MM, brain=100.0, fat=40.0, degrees=12.0) -> Scan:
    """A bright ellipsoid, which is the brain, in a dim one, all off the middle of a scan with air around it."""
    grid = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")

    def inside(scale):
        return sum(((x - c) / (r * scale)) ** 2 for x, c, r in zip(grid, centre, radii, strict=True)) < 1

    data = fat * inside(1.5) + (brain - fat) * inside(1.0)
    data += np.random.default_rng(2).normal(0, 0.5, shape)
    return scan_of(Volume(data, oblique_affine(voxel_size, degrees)))


def scan_of(volume: Volume) -> Scan:
    return Scan(volume, volume.voxel_size, Path("phantom.nii.gz"))


def conformed(model, scan, **options):
    return SynthSegSegmenter(model).conform(scan, SegmentOptions(**options))


def test_field_of_view_lies_around_the_brain(model):
    found = conformed(model, head())
    start, stop = found.record.crop
    wanted = [edge / 2 for edge in FIELD_MM]
    for axis in range(3):
        assert abs((start[axis] + stop[axis] - 1) / 2 - CENTRE[axis]) <= 1.5, "a scout's voxel is two of these"
        assert wanted[axis] - 1 <= stop[axis] - start[axis] <= wanted[axis]
    assert found.image.shape == found.record.padded_shape == (24, 32, 24)
    assert found.warnings == ()


def test_intensities_are_those_of_the_field_of_view(model):
    """With much air the upper percentile of a whole scan falls into the brain, and what is brighter is lost."""
    scan = head(shape=(80, 90, 70), fat=0.0)
    whole = conformed(replace(model, scout=None), scan)
    found = conformed(model, scan)
    bright = whole.record.unpad(whole.image)
    assert found.image.max() == 1
    assert (bright == 1).sum() > 1.5 * (found.image == 1).sum()


def test_box_grows_with_the_brain(model):
    found = conformed(model, head(radii=(15.0, 16.0, 12.0), shape=(60, 60, 50)))
    start, stop = found.record.crop
    for axis, radius in enumerate((15.0, 16.0, 12.0)):
        assert start[axis] <= CENTRE[axis] - radius - 1
        assert stop[axis] >= CENTRE[axis] + radius + 2
    assert all(n % 8 == 0 for n in found.record.padded_shape)


@pytest.mark.parametrize(("first_mm", "edge"), [(-12.0, 24), (-20.0, 24), (-23.0, 32), (-40.0, 48)])
def test_what_is_too_thin_for_the_tails_is_in_the_field_of_view(model, monkeypatch, first_mm, edge):
    tails = ((-12.0, -12.0, -12.0), (12.0, 12.0, 12.0))
    box = BrainBox(*tails, (-12.0, -12.0, first_mm), (12.0, 12.0, 12.0), *tails)
    monkeypatch.setattr(scout_module, "find_brain", lambda *rest: box)
    assert conformed(model, head()).record.padded_shape == (24, 32, edge)


@pytest.mark.parametrize("centre", [(2.0, 20.0, 24.0), (44.0, 50.0, 38.0)])
def test_box_ends_where_the_scan_does_and_is_padded(model, centre):
    found = conformed(model, head(centre=centre))
    start, stop = found.record.crop
    assert min(start) >= 0
    assert all(b <= n for b, n in zip(stop, SHAPE, strict=True))
    assert found.record.padded_shape == (24, 32, 24)
    outside = found.image.copy()
    found.record.unpad(outside)[...] = 0
    assert not outside.any()


def test_fields_of_view_that_the_scout_does_not_know_are_seen_from_further_away(model, monkeypatch):
    seen = []
    inner = scout_module.network_posteriors
    monkeypatch.setattr(
        scout_module, "network_posteriors", lambda *args, **rest: seen.append(args[1].shape) or inner(*args, **rest)
    )
    record = conformed(model, head(shape=(46, 90, 41))).record
    assert seen == [(32, 32, 32)] * 3
    assert abs((record.crop[0][1] + record.crop[1][1] - 1) / 2 - CENTRE[1]) <= 2


@pytest.mark.parametrize(("axes", "flips"), all_orientations())
def test_same_box_in_the_world_whatever_the_storage(model, axes, flips):
    scan = head()
    expected, found = conformed(model, scan), conformed(model, scan_of(reoriented(scan.volume, axes, flips)))
    assert found.record.crop == expected.record.crop
    np.testing.assert_allclose(found.image, expected.image, atol=1e-12)


@pytest.mark.parametrize("shape", [(46, 53, 41), (47, 52, 40), (48, 53, 41)])
@pytest.mark.parametrize("middle", [29.0, 28.5, 22.75])
def test_mirrored_scan_has_the_mirrored_box(model, shape, middle):
    scan = head(shape=shape, centre=(middle, 20.0, 24.0), degrees=0.0)
    mirrored = scan_of(Volume(scan.volume.data[::-1].copy(), scan.volume.affine))
    (first, *_), (last, *_) = conformed(model, scan).record.crop
    (other_first, *_), (other_last, *_) = conformed(model, mirrored).record.crop
    assert (other_first, other_last) == (shape[0] - last, shape[0] - first)


@pytest.mark.parametrize("voxel_size", [(1.0, 1.0, 1.0), (1.5, 2.0, 5.0)])
def test_scans_of_other_voxel_sizes(model, voxel_size):
    """The brain is given in the scan's voxels; the box holds it in mm."""
    centre = tuple(c * 2 / v for c, v in zip(CENTRE, voxel_size, strict=True))
    radii = tuple(r * 2 / v for r, v in zip(RADII, voxel_size, strict=True))
    shape = tuple(round(n * 2 / v) for n, v in zip(SHAPE, voxel_size, strict=True))
    record = conformed(model, head(shape, centre, radii, voxel_size)).record
    assert record.resampled
    for axis in range(3):
        middle = (record.crop[0][axis] + record.crop[1][axis] - 1) / 2
        offset_mm = (middle - (record.grid_shape[axis] - 1) / 2) * 2
        assert abs(offset_mm - (centre[axis] - (shape[axis] - 1) / 2) * voxel_size[axis]) <= 4


def test_a_scan_that_is_too_large_for_the_scout_is_refused_before_it_looks(model):
    scan = head()
    needed = scouting_bytes(model.scout.card, conformed(replace(model, scout=None), scan).record)
    assert conformed(model, scan, memory_bytes=needed).record.crop is not None
    with pytest.raises(InputError, match="46 x 53 x 41 voxels of 2 mm for coarse"):
        conformed(model, scan, memory_bytes=needed - 1)


def test_weights_of_the_scout_are_looked_for_in_the_folder_given_first(model, tmp_path):
    shutil.copy(model.weights.path, tmp_path)
    usual = load_models(model.card, weights=tmp_path).segmentation
    assert (usual.weights.path.parent, usual.scout.weights.path) == (tmp_path, model.scout.weights.path)
    shutil.copy(model.scout.weights.path, tmp_path)
    own = load_models(model.card, weights=tmp_path).segmentation
    assert own.scout.weights.path == tmp_path / model.scout.weights.path.name


def test_without_a_brain_the_whole_scan_is_segmented_and_a_line_says_so(model, monkeypatch):
    monkeypatch.setattr(scout_module, "_SMALLEST_BRAIN_ML", 1e6)
    found = conformed(model, head())
    assert found.record.crop is None
    assert found.warnings == (NO_BRAIN,)


def test_a_spot_in_the_dark_is_no_brain(model):
    """Of the scout's field of view it is so little that no contrast is left; of the scan it is enough."""
    data = np.zeros((60, 60, 12))
    data[20:26, 20:26, 3:10] = 100
    found = conformed(model, scan_of(Volume(data, oblique_affine(VOXEL_MM, 12.0))))
    assert found.warnings == (NO_BRAIN,)
    assert found.image.max() == 1


@pytest.mark.parametrize("options", [{"crop": (24, 24, 24)}, {"autocrop": True}])
def test_a_crop_that_was_asked_for_is_the_users(model, options):
    scan = head()
    np.testing.assert_array_equal(
        conformed(model, scan, **options).image, conformed(replace(model, scout=None), scan, **options).image
    )


def test_answer_covers_the_scan_and_is_background_beyond_the_field_of_view(model):
    scan = head()
    result = segment_scan(scan, Models(model))
    assert result.label_map.data.shape == SHAPE
    inner = tuple(slice(a, b) for a, b in zip(*result.record.crop, strict=True))
    outside = result.record.orientation.to_ras(result.label_map.data).copy()
    assert outside[inner].any()
    outside[inner] = 0
    assert not outside.any()
    assert result.posteriors.data.shape == (*SHAPE, 4)
    np.testing.assert_allclose(result.posteriors.data.sum(axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize("what", [PARCELLATION, None])
def test_other_models_are_no_scouts(model, folder, what):
    name = "scouted.yaml" if what is None else what.write(folder).name
    card = replace(model.card, scout=ScoutSpec(name, FIELD_MM))
    with pytest.raises(ModelError, match="as scout; expected a segmentation model of family synthseg without a scout"):
        load_models(replace(card, source=folder / "second.yaml"))


def test_card_keeps_its_scout_and_results_depend_on_it(model, tmp_path, monkeypatch):
    card = replace(model.card, source=tmp_path / "card.yaml", scout=replace(model.card.scout, model="scout-4mm"))
    (tmp_path / "labels.tsv").write_text(card.labels.to_tsv())
    card.source.write_text(card_text(card, "labels.tsv"))
    assert read_card(card.source).scout == card.scout
    digest = definition_sha256(card)
    assert digest != definition_sha256(replace(card, scout=None))
    assert digest != definition_sha256(replace(card, scout=replace(card.scout, margin_mm=20.0)))
    other = replace(load_card("scout-4mm"), weights=replace(load_card("scout-4mm").weights, sha256="0" * 64))
    monkeypatch.setattr(stage_options, "scout_of", lambda one: other if one is card else None)
    assert digest != definition_sha256(card), "other weights of the scout"


@pytest.mark.parametrize(
    "shift",
    [
        (20, -15, 10),
        pytest.param((0, 0, 0), marks=pytest.mark.slow),
        pytest.param((-25, 10, -5), marks=pytest.mark.slow),
    ],
)
def test_scout_of_the_package_finds_a_head(monkeypatch, shift):
    """A phantom of nested ellipsoids is enough of a head; with the real network, wherever it lies, and mirrored."""
    monkeypatch.undo()
    scout = load_models(load_card("scout-4mm")).segmentation
    centre = tuple(70 / 2 + 10 + part / 2 for part in shift)
    grid = np.meshgrid(*(np.arange(90.0) for _ in range(3)), indexing="ij")

    def inside(scale):
        radii = (36, 45, 38)
        return sum(((x - c) / (r * scale)) ** 2 for x, c, r in zip(grid, centre, radii, strict=True)) < 1

    image = 0.5 * inside(1.0) - 0.35 * inside(0.93) + 0.55 * inside(0.88)
    config = ConformConfig(grid=GridSpec(2.0, 8, 8))

    def found(data):
        scan = scan_of(Volume(data, np.diag([2.0, 2.0, 2.0, 1.0])))
        return find_brain(scout, conform(scan, config), scan, config)

    box = found(image)
    assert box is not None
    for middle_mm, middle in zip(box.middle_mm, centre, strict=True):
        assert abs(middle_mm / 2 + 44.5 - middle) < 6
    mirrored = found(image[::-1].copy())
    assert (mirrored.low_mm[0], mirrored.high_mm[0]) == pytest.approx((-box.high_mm[0], -box.low_mm[0]), abs=2e-3)


def test_lengths_are_checked():
    with pytest.raises(ModelError, match="expected positive lengths"):
        ScoutSpec("coarse", (0.0, 1.0, 1.0))
