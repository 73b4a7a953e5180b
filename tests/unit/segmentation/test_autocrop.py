"""``--autocrop``: the brain is always in the box, what is cut is the scan's own, and answers lie where they would."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform

from synthseg_core.app.stage_options import SegmentSettings
from synthseg_core.cli.main import main
from synthseg_core.errors import ModelError
from synthseg_core.images.affines import Shape3
from synthseg_core.images.reading import Scan
from synthseg_core.images.volume import Volume
from synthseg_core.models.card import GridSpec
from synthseg_core.models.loading import LoadedModel, Models, load_models
from synthseg_core.models.registry import AUTOCROP, halved_edge, load_card, with_autocrop
from synthseg_core.segmentation import quality as quality_module
from synthseg_core.segmentation import scout as scout_module
from synthseg_core.segmentation.class_maps import MadeFrom, read_class_maps, write_class_maps
from synthseg_core.segmentation.conform import ConformConfig, conform
from synthseg_core.segmentation.parcellate import LabelMapOn, parcellate_scan
from synthseg_core.segmentation.quality import quality_scores
from synthseg_core.segmentation.record import ConformRecord
from synthseg_core.segmentation.scout import NO_BRAIN, UNSURE, BrainBox
from synthseg_core.segmentation.segment import decision_of, segment_scan
from synthseg_core.segmentation.segmenter import SegmentOptions
from synthseg_core.segmentation.synthseg import SynthSegSegmenter
from synthseg_core.synth import BrainGenerator, read_maps, read_recipe
from synthseg_core.synth.recipe import CropSpec
from tests.phantoms.models import STRUCTURE_LABELS, WHOLE, write_family
from tests.phantoms.scans import all_orientations, oblique_affine, reoriented, write_nifti

VOXEL_MM = (2.0, 2.0, 2.0)
SHAPE, CENTRE, RADII = (90, 103, 77), (58.0, 36.0, 40.0), (22.0, 27.0, 19.0)
# Label of fluid: around the brain, and in the maps down into the neck.
CSF = 24


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Models:
    """A model at 2 mm with companions, given the brain and a margin of 8 mm: the phantoms are small."""
    main = replace(WHOLE, grid={"voxel_size_mm": 2.0, "multiple_voxels": 16, "minimum_voxels": 8})
    folder = tmp_path_factory.mktemp("models")
    card = load_card(write_family(folder, main))
    for name in ("parcels.yaml", "scores.yaml"):
        path = folder / name
        path.write_text(path.read_text().replace("voxel_size_mm: 1.0", "voxel_size_mm: 2.0"))
    return load_models(replace(card, scout=replace(AUTOCROP, margin_mm=8.0)), parcellation=True, quality=True)


@pytest.fixture(scope="module")
def model(whole) -> LoadedModel:
    return whole.segmentation


@pytest.fixture(autouse=True)
def small_cube(monkeypatch):
    monkeypatch.setattr(quality_module, "BOX_EDGE_MM", 48)


@pytest.fixture
def threshold(monkeypatch):
    """Let the scout find what is brighter than half, of which no more than 5 ml are needed."""
    monkeypatch.setattr(scout_module, "_SMALLEST_BRAIN_ML", 5.0)
    monkeypatch.setattr(
        scout_module,
        "network_posteriors",
        lambda model, image, **rest: torch.from_numpy(np.stack([image < 0.5, image >= 0.5]).astype(np.float32)),
    )


def ellipsoid(shape, centre, radii) -> np.ndarray:
    grid = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    return sum(((x - c) / r) ** 2 for x, c, r in zip(grid, centre, radii, strict=True)) < 1


def head(shape: Shape3 = SHAPE, centre=CENTRE, radii=RADII, degrees=12.0) -> tuple[Scan, np.ndarray]:
    """A bright ellipsoid, the brain, in a dim one; and where the brain is."""
    brain = ellipsoid(shape, centre, radii)
    data = 30.0 * ellipsoid(shape, centre, [1.3 * r for r in radii]) + 70.0 * brain
    data += np.random.default_rng(2).normal(0, 0.5, shape)
    return scan_of(Volume(data, oblique_affine(VOXEL_MM, degrees))), brain


def scan_of(volume: Volume) -> Scan:
    return Scan(volume, volume.voxel_size, Path("phantom.nii.gz"))


def conformed(model, scan):
    return SynthSegSegmenter(model).conform(scan, SegmentOptions())


def inside(record: ConformRecord) -> np.ndarray:
    """Mask (I, J, K) of the crop on the whole grid, RAS."""
    return record.paste_labels(np.ones(record.core_shape, bool))


# What is cut


def test_the_cut_is_the_scans_own_voxels_with_the_intensities_of_the_whole(model, threshold):
    scan, _ = head()
    found, plain = conformed(model, scan), conformed(replace(model, scout=None), scan)
    start, stop = found.record.crop
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    np.testing.assert_array_equal(found.record.unpad(found.image), plain.record.unpad(plain.image)[box])
    assert found.record.whole_intensities
    assert found.warnings == plain.warnings == ()
    assert np.prod(found.record.padded_shape) < 0.5 * np.prod(plain.record.padded_shape)
    assert all(n % halved_edge(model.card) == 0 for n in found.record.padded_shape)
    assert ConformRecord.from_json(json.loads(json.dumps(found.record.to_json()))).to_json() == found.record.to_json()


def test_records_of_other_crops_are_what_they_were(model):
    scan, _ = head()
    config = ConformConfig(grid=model.card.grid, crop=(16, 16, 16))
    record = conform(scan, config).record
    assert "whole_intensities" not in record.to_json()
    assert not ConformRecord.from_json(record.to_json()).whole_intensities


@pytest.mark.parametrize("middle", [16.0, 40.5, 58.0, 75.0])
def test_mirrored_scan_has_the_mirrored_box_and_answer(model, middle, threshold):
    scan, _ = head(centre=(middle, 36.0, 40.0), degrees=0.0)
    mirrored = scan_of(Volume(scan.volume.data[::-1].copy(), scan.volume.affine))
    ours, theirs = conformed(model, scan).record.crop, conformed(model, mirrored).record.crop
    assert (theirs[0][0], theirs[1][0]) == (SHAPE[0] - ours[1][0], SHAPE[0] - ours[0][0])


@pytest.mark.parametrize(
    ("shape", "centre", "radii"),
    [
        (SHAPE, (4.0, 36.0, 40.0), RADII),
        (SHAPE, (80.0, 96.0, 70.0), RADII),
        (SHAPE, (0.0, 0.0, 0.0), (44.0, 54.0, 38.0)),
        ((60, 60, 24), (30.0, 30.0, 12.0), (28.0, 28.0, 12.0)),
        ((90, 150, 77), (46.0, 130.0, 40.0), RADII),
        ((140, 130, 120), (110.0, 40.0, 90.0), RADII),
    ],
)
def test_the_brain_is_in_the_box_with_the_margin(model, shape, centre, radii, threshold):
    """At and beyond the edge of the scan, as large as the scan, and with two heads' worth of air."""
    scan, brain = head(shape, centre, radii)
    record = conformed(model, scan).record
    assert inside(record)[brain].all()
    start, stop = record.crop
    for axis, edges in enumerate(np.argwhere(brain).min(axis=0)):
        assert start[axis] <= max(edges - 2, 0), "half of the margin is left to voxels of 4 mm"
    for axis, edges in enumerate(np.argwhere(brain).max(axis=0)):
        assert stop[axis] >= min(edges + 3, shape[axis])


@pytest.mark.parametrize(("axes", "flips"), all_orientations())
def test_same_box_in_the_world_whatever_the_storage(model, axes, flips, threshold):
    scan, brain = head()
    turned = scan_of(reoriented(scan.volume, axes, flips))
    expected, found = conformed(model, scan), conformed(model, turned)
    assert found.record.crop == expected.record.crop
    np.testing.assert_array_equal(found.image, expected.image)
    there = reoriented(Volume(brain, scan.volume.affine), axes, flips).data
    assert found.record.to_source_order(inside(found.record))[there].all()


def test_the_box_goes_by_what_may_be_brain_and_hangs_together_with_it(model, monkeypatch):
    """Where the brain is probable to a twentieth."""
    monkeypatch.setattr(scout_module, "_SMALLEST_BRAIN_ML", 1.0)
    background = np.ones((64, 64, 64), np.float32)
    background[30:34, 28:36, 30:35] = 0.2
    background[34:38, 28:36, 30:35] = 0.94
    background[40:42] = 0.94
    answer = torch.from_numpy(np.stack([background, 1 - background]))
    monkeypatch.setattr(scout_module, "network_posteriors", lambda *args, **rest: answer)
    scan, _ = head()
    config = ConformConfig(grid=model.card.grid)
    view = scout_module._view(model.scout, scan.volume.data, 4.0, scan, config)
    found = view.brain((0.0, 0.0, 0.0))
    assert (found.first_mm[0], found.last_mm[0]) == (-8.0, 8.0)
    assert (found.faint_first_mm[0], found.faint_last_mm[0]) == (-8.0, 24.0)
    assert (found.faint_first_mm[1], found.faint_last_mm[1]) == (-16.0, 16.0)


def test_looks_go_on_until_two_agree(model, monkeypatch):
    """The first one is never one of them; after seven nothing is cut."""

    def looks(*offsets):
        for shift in offsets:
            corners = ((-20.0, -20.0, -20.0 + shift), (20.0, 20.0, 20.0 + shift))
            yield BrainBox(*corners, *corners, *corners)

    def found(*offsets):
        monkeypatch.setattr(scout_module, "_looks", lambda *args: looks(*offsets))
        return conformed(model, head()[0])

    assert found(0.0, 0.0, 0.0).record.core_shape == (28, 28, 28)
    assert found(30.0, 20.0, 10.0, 4.5, 0.5, 0.5).record.core_shape == (28, 28, 32), "both of them, and 8 mm"
    for offsets in ((0.0, 0.0, 5.0), (0.0, 0.0, 5.0, 0.0, 5.0, 0.0, 5.0, 5.0)):
        unsure = found(*offsets)
        assert (unsure.record.crop, unsure.warnings) == (None, (UNSURE,))
    for offsets in ((), (0.0,), (0.0, 0.0)):
        assert found(*offsets).warnings == (NO_BRAIN,)


# Undone in every output


def test_answers_are_background_beyond_the_box(whole, threshold):
    scan, _ = head()
    result = segment_scan(scan, whole)
    covered = result.record.to_source_order(inside(result.record))
    assert 0.02 < covered.mean() < 0.5
    assert result.label_map.data.shape == SHAPE
    assert result.label_map.data[covered].any()
    assert not result.label_map.data[~covered].any()
    np.testing.assert_array_equal(result.posteriors.data[~covered][:, 0], 1)
    np.testing.assert_allclose(result.posteriors.data.sum(axis=-1), 1, atol=1e-5)
    finer = result.record.isotropic_grid(1.0)
    there = result.label_map_on(finer).data
    assert there.shape == finer.shape
    assert 4 < (there > 0).sum() / (result.label_map_on(result.record.source).data > 0).sum() < 12
    background, *others = result.posteriors_on(finer)
    np.testing.assert_allclose(background + sum(others), 1, atol=1e-5)


def test_parcels_and_scores_made_later_are_those_of_one_run(whole, tmp_path, threshold):
    """The record says that intensities are those of the whole scan: the decision alone would not."""
    scan, _ = head()
    at_once = segment_scan(scan, whole)
    apart = segment_scan(scan, Models(whole.segmentation))
    path = tmp_path / "decision.npz"
    write_class_maps(path, decision_of(apart, MadeFrom("whole", STRUCTURE_LABELS, "w", "s")))
    decision = read_class_maps(path)
    grid = apart.record.source
    card = load_card(whole.segmentation.card.source)
    later = parcellate_scan(
        scan, decision, card, whole.parcellation, [LabelMapOn(apart.label_map_on(grid), grid)]
    )  # fmt: skip
    np.testing.assert_array_equal(later.label_map.data, at_once.label_map.data)
    assert np.unique(later.label_map.data).max() > 1000
    assert quality_scores(whole.quality, decision.channels, card.labels) == at_once.quality


# Whole heads, the real network


@pytest.fixture(scope="module")
def scout() -> LoadedModel:
    return load_models(load_card("scout-4mm")).segmentation


def tilted(data: np.ndarray, degrees: float, order: int) -> np.ndarray:
    """Nod about the middle of the scan."""
    angle = np.deg2rad(degrees)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    middle = (np.array(data.shape) - 1) / 2
    return affine_transform(data, turn, middle - turn @ middle, order=order)


def versions(image: np.ndarray, brain: np.ndarray):
    """The head as it is; cut where the brain ends on three sides; with much air; with a tilted neck."""
    low, high = np.argwhere(brain).min(axis=0), np.argwhere(brain).max(axis=0) + 1
    cut = (slice(low[0], None), slice(None, high[1]), slice(None, high[2]))
    air = ((0, 80), (60, 0), (0, 60))
    yield "as it is", image, brain
    yield "cut", image[cut], brain[cut]
    yield "air", np.pad(image, air), np.pad(brain, air)
    yield "tilted", tilted(image, 25.0, 1), tilted(brain.astype(np.uint8), 25.0, 0) > 0


def missed(scout, image: np.ndarray, brain: np.ndarray) -> tuple[int, bool]:
    """Voxels of the brain outside of what a model at 2 mm would get, and whether the scout was unsure of it."""
    scan = scan_of(Volume(image.astype(float), np.diag([2.0, 2.0, 2.0, 1.0])))
    card = replace(with_autocrop(load_card("tiny-random")), grid=GridSpec(2.0, 4, 4))
    found = conformed(LoadedModel(card, scout.weights, scout=scout), scan)
    unsure = found.warnings == (UNSURE,)
    assert unsure == (found.record.crop is None)
    return int(np.count_nonzero(brain & ~inside(found.record))), unsure


@pytest.mark.slow
def test_brain_of_a_phantom_is_in_the_box_of_the_real_network(scout):
    shape, centre = (90, 90, 90), (45.0, 40.0, 48.0)
    skull = 0.5 * ellipsoid(shape, centre, (36, 45, 38)) - 0.35 * ellipsoid(shape, centre, (33.5, 42, 35))
    brain = ellipsoid(shape, centre, (32, 40, 33))
    for name, *head_and_brain in versions(skull + 0.55 * brain, brain):
        assert missed(scout, *head_and_brain) == (0, False), name


@pytest.mark.parametrize("seed", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in (4, 8, 21, 22, 32, 35, 38))])
def test_brain_of_a_synthetic_head_is_in_the_box_of_the_real_network(scout, test_data, seed):
    """Whole heads of any contrast; those draws of 40 for which the scout sees least of the brain.

    Fluid is not counted: in these maps it reaches down into the neck.
    """
    paths = [test_data / "training_label_maps" / f"training_seg_{number}.nii.gz" for number in (17, 18, 19, 20)]
    whole_heads = CropSpec(shape=None, multiple=None)
    recipe = replace(read_recipe("default_2mm"), crop=whole_heads, output_column="output")
    sample = BrainGenerator(read_maps(paths, recipe), recipe).sample(seed)
    values = sample.labels.numpy()
    for name, *head_and_brain in versions(sample.image[0].numpy(), (values != 0) & (values != CSF)):
        voxels, unsure = missed(scout, *head_and_brain)
        assert voxels == 0, name
        assert not (unsure and name == "as it is")


# The option


def test_settings_without_it_are_those_from_before():
    """Folders that were made before it came stay valid."""
    plain = SegmentSettings("tiny-random")
    former = {"model": "tiny-random", "weights": None, "fast": False, "ct": False}
    assert plain.digest() == hashlib.sha256(json.dumps(former).encode()).hexdigest()[:12]
    assert set(plain.settings()) == {"model", "definition_sha256", "weights_sha256", "fast", "ct"}


def test_settings_with_it_differ_in_both_directions():
    plain, cropping = SegmentSettings("tiny-random"), SegmentSettings("tiny-random", autocrop=True)
    assert cropping.flags() == [*plain.flags(), "--autocrop"]
    assert cropping.digest() != plain.digest()
    ours, theirs = plain.settings(), cropping.settings()
    assert theirs.pop("autocrop") is True
    assert theirs.pop("definition_sha256") != ours.pop("definition_sha256"), "the keys that both have tell"
    assert ours == theirs


def test_models_that_crop_themselves_stay_as_they_are():
    card = load_card("default-2mm")
    assert with_autocrop(card) is card
    plain, cropping = SegmentSettings("default-2mm"), SegmentSettings("default-2mm", autocrop=True)
    assert cropping.settings() == plain.settings()


def test_models_that_see_windows_refuse_it():
    with pytest.raises(ModelError, match="a request for --autocrop"):
        SegmentSettings("siam-0.3", autocrop=True).settings()


@pytest.fixture
def scan_file(tmp_path) -> Path:
    return write_nifti(tmp_path / "sub-01_T1w.nii.gz", head()[0].volume)


@pytest.fixture
def command(scan_file, whole) -> list[str]:
    return ["segment", str(scan_file), "--model", str(whole.segmentation.card.source)]


def test_the_command_says_what_found_the_brain_and_where(scan_file, command, tmp_path, capsys, threshold):
    out = [tmp_path / name for name in ("seg.nii.gz", "seg.json", "mask.nii.gz", "mask.json")]
    flags = ("--dseg", "--sidecar", "--mask", "--mask-sidecar")
    words = [str(word) for pair in zip(flags, out, strict=True) for word in pair]
    assert main([*command, "--autocrop", *words]) == 0
    assert capsys.readouterr().err == ""
    told = json.loads(out[1].read_text())
    found = told["Network"]["Scout"]
    scout_card = load_card("scout-4mm")
    assert (found["Name"], found["WeightsSHA256"]) == ("scout-4mm", scout_card.weights.sha256)
    start, stop = found["Box"]["StartVoxels"], found["Box"]["StopVoxels"]
    assert all(0 <= a < b for a, b in zip(start, stop, strict=True))
    assert told["Options"]["Autocrop"] is json.loads(out[3].read_text())["Options"]["Autocrop"] is True
    labels, mask = (np.asarray(nib.load(path).dataobj) for path in (out[0], out[2]))
    np.testing.assert_array_equal(labels > 0, mask > 0)
    plain = [str(word) for pair in zip(flags[:2], out[:2], strict=True) for word in pair]
    assert main([*command, *plain]) == 0
    told = json.loads(out[1].read_text())
    assert "Scout" not in told["Network"]
    assert "Autocrop" not in told["Options"]


def test_without_a_brain_the_whole_scan_is_segmented_and_a_line_says_so(
    scan_file, command, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(scout_module, "_SMALLEST_BRAIN_ML", 1e6)
    words = ["--dseg", str(tmp_path / "seg.nii.gz"), "--sidecar", str(tmp_path / "seg.json")]
    assert main([*command, "--autocrop", *words]) == 0
    assert capsys.readouterr().err == f"synthseg segment: warning: {scan_file}: {NO_BRAIN}\n"
    told = json.loads((tmp_path / "seg.json").read_text())
    assert NO_BRAIN in told["Warnings"]
    assert told["Network"]["Scout"]["Box"] is None


def test_two_crops_are_one_too_many(command, tmp_path, capsys):
    words = ["--dseg", str(tmp_path / "seg.nii.gz"), "--crop", "32"]
    assert main([*command, "--autocrop", *words]) == 2
    assert "--autocrop: found --crop as well; expected one of them" in capsys.readouterr().err
