"""Flip averaging, blur, robust chain, parcels and scores, each against the plain forward pass of the modules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from synthseg_core.errors import ModelError
from synthseg_core.images.reading import Scan
from synthseg_core.images.volume import Volume
from synthseg_core.labels.table import LabelTable
from synthseg_core.models.card import GridSpec
from synthseg_core.models.loading import LoadedModel, Models, load_models
from synthseg_core.models.registry import load_card
from synthseg_core.quirks import REFERENCE
from synthseg_core.segmentation import quality as quality_module
from synthseg_core.segmentation.conform import ConformConfig, Conformed, plan
from synthseg_core.segmentation.posteriors import network_posteriors
from synthseg_core.segmentation.quality import quality_box, quality_scores, raw_quality
from synthseg_core.segmentation.segmenter import NetworkAnswer, SegmentOptions
from synthseg_core.segmentation.synthseg import (
    SynthSegSegmenter,
    blurred_answer,
)
from tests.phantoms.models import PARCELLATION, ROBUST, TINY, write_family
from tests.phantoms.parcels import parcel_posteriors
from tests.phantoms.scans import nested_ellipsoids

SHAPE = (24, 16, 32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def tiny(folder) -> LoadedModel:
    return load_models(load_card(TINY.write(folder))).segmentation


@pytest.fixture(scope="module")
def robust(folder) -> LoadedModel:
    return load_models(load_card(ROBUST.write(folder))).segmentation


@pytest.fixture(scope="module")
def whole(folder) -> Models:
    return load_models(load_card(write_family(folder)), parcellation=True, quality=True)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    data = nested_ellipsoids(SHAPE)
    return (data - data.min()) / np.ptp(data)


def _softmax(model: LoadedModel, x: torch.Tensor, network: int = -1) -> np.ndarray:
    with torch.inference_mode():
        return torch.softmax(model.runners[network].net(x[None].float())[0], dim=0).numpy()


def _plain(model: LoadedModel, image: np.ndarray) -> np.ndarray:
    return _softmax(model, torch.from_numpy(image[None].astype(np.float32)))


def _blur(posteriors: np.ndarray, sigma: float = 0.5) -> np.ndarray:
    d = torch.arange(-1.0, 2.0) ** 2
    kernel = torch.exp(-(d[:, None, None] + d[:, None] + d) / (2 * sigma**2))
    kernel /= kernel.sum()
    return functional.conv3d(torch.from_numpy(posteriors)[:, None], kernel[None, None], padding=1)[:, 0].numpy()


def _answer(model: LoadedModel, image: np.ndarray, *, flip: bool = False, off_centre: int = 0) -> NetworkAnswer:
    posteriors = network_posteriors(model, image, flip_average=flip, off_centre=off_centre)
    return blurred_answer(posteriors, model.card.inference.posterior_sigma_voxels)


def _conformed(image: np.ndarray) -> Conformed:
    """An image that already is as the network wants it."""
    volume = Volume(image, np.eye(4))
    scan = Scan(volume, volume.voxel_size, Path("phantom.nii.gz"))
    return Conformed(image, plan(scan, ConformConfig(GridSpec(1.0, 8, 16))))


def _unblurred(model: LoadedModel, image: np.ndarray, *, flip: bool = False, off_centre: int = 0) -> np.ndarray:
    return network_posteriors(model, image, flip_average=flip, off_centre=off_centre).numpy()


def _mirrored(posteriors: np.ndarray) -> np.ndarray:
    """Mirror left to right and exchange the channels of right (1) and left cortex (2)."""
    return posteriors[[0, 2, 1, 3], ::-1]


def test_without_flip_and_blur_the_network_speaks(tiny, image):
    found = blurred_answer(network_posteriors(tiny, image, flip_average=False), 0.0)
    np.testing.assert_allclose(found.posteriors, _plain(tiny, image), atol=2e-5)
    assert found.posteriors.dtype == np.float32
    np.testing.assert_array_equal(found.class_map, found.posteriors.argmax(axis=0))
    assert found.parcel_map is found.class_map
    assert found.class_map.dtype == np.uint8


def test_flip_average(tiny, image):
    expected = (_plain(tiny, image) + _mirrored(_plain(tiny, image[::-1].copy()))) / 2
    found = _unblurred(tiny, image, flip=True)
    np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize("off_centre", [-1, 1, -3])
def test_flip_average_about_the_middle_of_the_scan(tiny, image, off_centre):
    """The mirrored image moves so that the scan stays where it was; rows without a counterpart become zero."""
    rows = len(image)
    counterpart = rows - 1 + off_centre - np.arange(rows)
    inside = (counterpart >= 0) & (counterpart < rows)
    moved = image[counterpart % rows]
    answer = _plain(tiny, moved)[[0, 2, 1, 3]][:, counterpart % rows]
    expected = (_plain(tiny, image) + answer) / 2
    expected[:, ~inside] = 0
    found = _unblurred(tiny, image, flip=True, off_centre=off_centre)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert (~inside).sum() == abs(off_centre)


def test_flip_average_then_blur(tiny, image):
    expected = _blur((_plain(tiny, image) + _mirrored(_plain(tiny, image[::-1].copy()))) / 2)
    found = _answer(tiny, image, flip=True)
    np.testing.assert_allclose(found.posteriors, expected, atol=2e-5)
    np.testing.assert_array_equal(found.class_map, found.posteriors.argmax(axis=0))


def test_mirrored_image_gives_mirrored_posteriors_bit_for_bit(tiny, image):
    first = _answer(tiny, image, flip=True)
    second = _answer(tiny, image[::-1], flip=True)
    np.testing.assert_array_equal(second.posteriors, _mirrored(first.posteriors))
    without = _answer(tiny, image[::-1])
    assert not np.array_equal(without.posteriors, _mirrored(first.posteriors))


def test_width_of_the_blur_is_the_cards(folder, image):
    model = replace(TINY, name="wide", inference={"posterior_sigma_voxels": 0.8, "flip_average": False})
    wide = load_models(load_card(model.write(folder))).segmentation
    found = _answer(wide, image)
    np.testing.assert_allclose(found.posteriors, _blur(_plain(wide, image), 0.8), atol=2e-5)


def test_blur_of_width_zero_is_none(folder, image):
    model = replace(TINY, name="sharp", inference={"posterior_sigma_voxels": 0.0})
    sharp = load_models(load_card(model.write(folder))).segmentation
    found = _answer(sharp, image)
    np.testing.assert_allclose(found.posteriors, _plain(sharp, image), atol=2e-5)


def test_image_is_left_alone(tiny, image):
    before = image.copy()
    _answer(tiny, image, flip=True)
    np.testing.assert_array_equal(image, before)


# Section 8 of the behaviour of the reference, row by row: sigma, fast, companions -> whether posteriors, map for the
# parcels and map for the scores are blurred; None: no such output.
BOTH = ("parcellation", "quality")
TABLE = [
    ("default", (0.5, False, ()), (True, None, None)),
    ("default parc", (0.5, False, ("parcellation",)), (True, True, None)),
    ("default qc", (0.5, False, ("quality",)), (True, None, True)),
    ("default parc qc", (0.5, False, BOTH), (True, True, True)),
    ("fast", (0.5, True, ()), (True, None, None)),
    ("fast parc", (0.5, True, ("parcellation",)), (False, True, None)),
    ("fast qc", (0.5, True, ("quality",)), (False, None, True)),
    ("fast parc qc", (0.5, True, BOTH), (False, True, False)),
    ("robust", (0.0, True, ()), (False, None, None)),
    ("robust parc", (0.0, True, ("parcellation",)), (False, False, None)),
    ("robust qc", (0.0, True, ("quality",)), (False, None, False)),
    ("robust parc qc", (0.0, True, BOTH), (False, False, False)),
]


@pytest.mark.parametrize(("given", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_blur_of_the_reference(folder, image, given, expected):
    """Each tensor of each row of the table is the blurred or the unblurred one, as it says."""
    sigma, fast, companions = given
    inference = {"posterior_sigma_voxels": sigma, "flip_average": False}
    models = load_models(load_card(replace(TINY, name="as-told", inference=inference).write(folder)))
    conformed = _conformed(image)
    options = SegmentOptions(fast=fast, quirks=REFERENCE)
    found = SynthSegSegmenter(models.segmentation).answer(conformed, options, companions)
    sharp = _plain(models.segmentation, image)
    blurred = _blur(sharp)
    np.testing.assert_allclose(found.posteriors, blurred if expected[0] else sharp, atol=2e-5)
    decided = {True: blurred.argmax(axis=0), False: sharp.argmax(axis=0)}
    assert (decided[True] != decided[False]).mean() > 0.01
    for class_map, is_blurred in ((found.parcel_map, expected[1]), (found.class_map, expected[2])):
        if is_blurred is not None:
            assert (class_map != decided[is_blurred]).mean() < 1e-3


@pytest.mark.parametrize("companions", [(), BOTH])
def test_own_blur_does_not_depend_on_what_else_is_asked(tiny, image, companions):
    conformed = _conformed(image)
    found = SynthSegSegmenter(tiny).answer(conformed, SegmentOptions(fast=True), companions)
    np.testing.assert_array_equal(found.posteriors, _answer(tiny, image).posteriors)
    assert found.parcel_map is found.class_map


def test_robust_chain(robust, image):
    """Groups of the first network, one-hot, denoised, one-hot, beside the image: image first."""
    x = torch.from_numpy(image[None].astype(np.float32))

    def hot(posteriors: np.ndarray) -> torch.Tensor:
        groups = posteriors.argmax(axis=0)
        return torch.from_numpy(np.stack([groups == g for g in range(3)]).astype(np.float32))

    first = hot(_softmax(robust, x, 0))
    denoised = hot(_softmax(robust, first, 1))
    expected = _softmax(robust, torch.cat([x, denoised]), 2)
    found = _unblurred(robust, image)
    assert float((first != denoised).float().mean()) > 0.02
    # A voxel whose groups are nearly tied may fall either way; the random networks carry that further.
    differs = np.abs(found - expected).max(axis=0) > 1e-4
    assert differs.mean() < 0.002


def test_parcels(whole, image):
    rng = np.random.default_rng(0)
    decision = rng.integers(0, 4, image.shape).astype(np.uint8)
    table = whole.segmentation.card.labels
    cortex = (decision == 1) | (decision == 2)
    x = torch.from_numpy(np.stack([image, ~cortex, cortex]).astype(np.float32))
    expected = _softmax(whole.parcellation, x)
    sharp = parcel_posteriors(whole.parcellation, image, decision, table, blur=False)
    blurred = parcel_posteriors(whole.parcellation, image, decision, table, blur=True)
    assert sharp.dtype == np.float32
    np.testing.assert_allclose(sharp, expected, atol=2e-5)
    np.testing.assert_allclose(blurred, _blur(expected), atol=2e-5)


def test_parcels_of_a_model_without_blur(folder, whole, image):
    """A card may set the width to zero; asking for the blur then changes nothing."""
    model = replace(PARCELLATION, name="unblurred", inference={"posterior_sigma_voxels": 0.0, "clean_up": "none"})
    unblurred = replace(whole.parcellation, card=load_card(model.write(folder)))
    decision = np.zeros(image.shape, np.uint8)
    table = whole.segmentation.card.labels
    found = [parcel_posteriors(unblurred, image, decision, table, blur=blur) for blur in (False, True)]
    np.testing.assert_array_equal(*found)


def test_parcels_need_a_cortex(whole, image):
    table = LabelTable("mine", (0, 5), ("background", "all"), ("neutral",) * 2, (0, 5))
    with pytest.raises(ModelError, match="mine: found no label 3 and no label 42 .*; ask for parcels only with"):
        parcel_posteriors(whole.parcellation, image, np.zeros(image.shape, np.uint8), table, blur=True)


def _scored(whole: Models, decision: np.ndarray) -> torch.Tensor:
    table = whole.segmentation.card.labels
    groups = np.array(table.qc_groups)[quality_box(decision, 32).extract(decision)]
    hot = torch.from_numpy(np.stack([groups == g for g in range(3)]).astype(np.float32))
    with torch.inference_mode():
        return whole.quality.runners[0].net(hot[None])[0]


def test_scores(whole, monkeypatch):
    """The regressor sees groups, not channels, inside the cube around the structures; a small cube to be quick."""
    monkeypatch.setattr(quality_module, "BOX_EDGE_MM", 32)
    decision = np.zeros((24, 40, 36), np.uint8)
    decision[3:20, 5:33, 4:30] = np.random.default_rng(1).integers(0, 4, (17, 28, 26))
    table = whole.segmentation.card.labels
    raw = raw_quality(whole.quality, decision, table)
    np.testing.assert_allclose(raw, _scored(whole, decision), atol=2e-5)
    scores = quality_scores(whole.quality, decision, table)
    assert [(score.group, score.name) for score in scores] == [(1, "cortex"), (2, "stem")]
    np.testing.assert_allclose([score.score for score in scores], np.clip(raw[1:], 0, 1).round(4), atol=1e-9)


def test_scores_need_a_regressor(tiny):
    with pytest.raises(ModelError, match=r"tiny.yaml: found no regressor; expected a quality model"):
        raw_quality(tiny, np.zeros((8, 8, 8), np.uint8), tiny.card.labels)
