"""Pairs of predicted and true groups: their Dice, how they are made, and that they are kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from synthseg_core.errors import InputError
from synthseg_core.images.pairs import Case
from synthseg_core.images.volume import Volume
from synthseg_core.labels.lists import GenerationLabels
from synthseg_core.models.loading import load_models
from synthseg_core.models.registry import load_card
from synthseg_core.segmentation.quality import quality_box
from synthseg_core.segmentation.segmenter import segmenter_of
from synthseg_core.training.quality_pairs import Judge, KeptPairs, Pair, PairMaker, RealPairMaker, group_dice
from tests.phantoms.scans import all_orientations, oblique_affine, reoriented, write_nifti


def _pair(predicted, true, beyond=(0, 0, 0)) -> Pair:
    maps = (np.array(one, np.uint8).reshape(2, 2, 1) for one in (predicted, true))
    return Pair(*maps, np.array(beyond, np.int64))


def test_dice_by_hand():
    found = group_dice(_pair([0, 1, 1, 2], [0, 1, 2, 2]))
    np.testing.assert_allclose(found, [1, 2 / 3, 2 / 3], atol=1e-6)


def test_what_lies_beyond_the_cube_counts():
    found = group_dice(_pair([0, 1, 1, 2], [0, 1, 2, 2], beyond=(0, 0, 5)))
    np.testing.assert_allclose(found, [1, 2 / 3, 2 / 8], atol=1e-6)


def test_groups_that_neither_map_has_score_zero():
    assert group_dice(_pair([0, 0, 1, 1], [0, 0, 1, 1]))[2] == 0


class Boxes:
    """Scans of 64 voxels an edge, of which the brightness tells the class: a box on the left, one on the right."""

    def __init__(self):
        self.seeds = []

    def batch(self, seeds):
        self.seeds += seeds
        index = torch.zeros(1, 40, 44, 48, dtype=torch.uint8)
        index[0, 5:15, 10:30, 12:28] = 1
        index[0, 22:35, 10:30, 12:28] = 2
        return index.float()[None] / 2, index


@pytest.fixture(scope="module")
def model():
    return load_models(load_card("tiny-random-cortex")).segmentation


def test_truth_lies_where_the_prediction_does(model, monkeypatch):
    """A segmenter that answers with the truth, on its padded grid, is right everywhere."""
    groups = np.array([0, 1, 2], np.uint8)
    make = PairMaker(Boxes(), groups, Judge(model, 32))
    answers = []

    class Right:
        def conform(self, scan, options):
            return segmenter_of(model).conform(scan, options)

        def answer(self, conformed, options, companions):
            answers.append((options.fast, tuple(companions)))
            channels = np.round(conformed.image * 2).astype(np.uint8)
            return type("Answer", (), {"class_map": channels})

    monkeypatch.setattr(make._judge, "_segmenter", Right())
    monkeypatch.setattr(make._judge, "_predicted_groups", groups)
    pair = make(3)
    assert answers == [(False, ("quality",))]
    assert pair.predicted.shape == (32, 32, 32)
    np.testing.assert_array_equal(pair.predicted, pair.true)
    np.testing.assert_allclose(group_dice(pair)[1:], 1, atol=1e-4)
    # The boxes span 30 x 20 x 16 voxels, so the cube holds them all.
    assert np.count_nonzero(pair.true) == 10 * 20 * 16 + 13 * 20 * 16
    assert pair.beyond[1:].tolist() == [0, 0]


def test_truth_outside_of_the_field_of_view_counts(model, monkeypatch):
    """A scout's field of view may end inside a structure; what is cut off was not found."""
    groups = np.array([0, 1, 2], np.uint8)
    make = PairMaker(Boxes(), groups, Judge(model, 32))

    class Narrow:
        def conform(self, scan, options):
            found = segmenter_of(model).conform(scan, replace(options, crop=(24, 44, 48)))
            assert found.record.core_shape[0] == 24
            return found

        def answer(self, conformed, options, companions):
            return type("Answer", (), {"class_map": np.round(conformed.image * 2).astype(np.uint8)})

    monkeypatch.setattr(make._judge, "_segmenter", Narrow())
    monkeypatch.setattr(make._judge, "_predicted_groups", groups)
    pair = make(3)
    np.testing.assert_array_equal(pair.predicted, pair.true)
    assert pair.beyond[1:].tolist() == [3 * 20 * 16, 3 * 20 * 16]


def test_pairs_are_those_of_the_model(model):
    make = PairMaker(Boxes(), np.array([0, 1, 2], np.uint8), Judge(model, 32))
    pair, again = make(1), make(1)
    np.testing.assert_array_equal(pair.predicted, again.predicted)
    assert len(pair.beyond) == max(model.card.labels.qc_groups) + 1
    assert quality_box(pair.predicted, 32).extract(pair.predicted).shape == (32, 32, 32)


SIDES = GenerationLabels((0, 2, 41), 1, (0, 1, 2), (0, 2, 41))


@pytest.mark.parametrize(("axes", "flips"), all_orientations())
def test_truth_of_a_real_scan_lies_where_the_prediction_does(tmp_path, model, monkeypatch, axes, flips):
    """As above, with scan and label map in files of any orientation."""
    index = Boxes().batch([0])[1][0].numpy()
    labels = reoriented(Volume(np.array(SIDES.values, np.int32)[index], oblique_affine((1.0, 1.0, 1.0))), axes, flips)
    label_map = write_nifti(tmp_path / "map.nii.gz", labels, "int16")
    image = write_nifti(
        tmp_path / "scan.nii.gz", replace(labels, data=np.searchsorted(SIDES.values, labels.data) * 50.0)
    )
    groups = np.array([0, 1, 2], np.uint8)
    judge = Judge(model, 32)

    class Right:
        def conform(self, scan, options):
            return segmenter_of(model).conform(scan, options)

        def answer(self, conformed, options, companions):
            return type("Answer", (), {"class_map": np.round(conformed.image * 2).astype(np.uint8)})

    monkeypatch.setattr(judge, "_segmenter", Right())
    monkeypatch.setattr(judge, "_predicted_groups", groups)
    pair = RealPairMaker([Case(label_map, (("scan", image),))], SIDES, groups, judge)(0)
    np.testing.assert_array_equal(pair.predicted, pair.true)
    assert np.bincount(pair.true.ravel())[1:].tolist() == [10 * 20 * 16, 13 * 20 * 16]
    assert pair.beyond[1:].tolist() == [0, 0]


def test_values_that_the_list_lacks_are_refused_or_background(tmp_path, model):
    data = np.zeros((40, 40, 40), np.int32)
    data[5:20, 5:20, 5:20], data[25:30, 5:20, 5:20] = 2, 99
    label_map = write_nifti(tmp_path / "map.nii.gz", Volume(data, np.eye(4)), "int16")
    image = write_nifti(tmp_path / "scan.nii.gz", Volume(data.astype(np.float32), np.eye(4)))
    groups, cases = np.array([0, 1, 2], np.uint8), [Case(label_map, (("scan", image),))]
    judge = Judge(model, 32)
    with pytest.raises(InputError, match=r"map.nii.gz: found .*99"):
        RealPairMaker(cases, SIDES, groups, judge)(0)
    pair = RealPairMaker(cases, SIDES, groups, judge, "background")(0)
    assert np.bincount(pair.true.ravel(), minlength=3)[1:].sum() + pair.beyond[1:].sum() > 0
    assert 2 not in pair.true


def test_kept_pairs_are_made_once(tmp_path):
    made = []

    def make(seed):
        made.append(seed)
        return _pair([0, 1, 1, 2], [0, 1, 2, 2], beyond=(0, 0, seed))

    pairs = KeptPairs(make, tmp_path / "pairs")
    first, second = pairs(7), KeptPairs(make, tmp_path / "pairs")(7)
    assert made == [7]
    np.testing.assert_array_equal(first.predicted, second.predicted)
    np.testing.assert_array_equal(first.true, second.true)
    assert second.beyond.tolist() == [0, 0, 7]
