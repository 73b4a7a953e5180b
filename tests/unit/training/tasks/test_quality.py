"""Quality scores: what a training for them is made of, what becomes of it, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from synthseg_core.cli.demo.heads import write_heads, write_scans
from synthseg_core.errors import GeometryError, InputError, ModelError, UsageError
from synthseg_core.images.label_maps import read_ras_labels
from synthseg_core.labels.lists import GenerationLabels
from synthseg_core.labels.table import LabelTable
from synthseg_core.models.card_file import read_card, rewrite_card
from synthseg_core.models.combining import combine
from synthseg_core.models.loading import load_models
from synthseg_core.models.registry import load_card
from synthseg_core.segmentation.quality import quality_scores
from synthseg_core.training.experiment import PairSpec
from synthseg_core.training.quality_pairs import Pair, group_dice
from synthseg_core.training.tasks import prepare
from synthseg_core.training.tasks.quality import PAIRS, PairSource, groups_of_targets, groups_table
from tests.unit.training.quality_models import (
    VOXEL_SIZE_MM,
    labels_of,
    quality_experiment,
    quality_inputs,
    segmenter_card,
)
from tests.unit.training.tasks.small import CPU, experiment, first_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("quality")


@pytest.fixture(scope="module")
def segmenter(folder):
    return segmenter_card(folder)


@pytest.fixture(scope="module")
def found(folder, segmenter):
    wanted = quality_experiment()
    return prepare(wanted, quality_inputs(folder, wanted, segmenter), CPU)


def test_samples_are_one_hot_groups_and_their_dice(found):
    images, scores = found.source.batch([1, 2])
    assert images.shape == (2, 5, *found.sample_shape) == (2, 5, 56, 56, 56)
    assert torch.equal(images.sum(1), torch.ones(2, 56, 56, 56))
    assert scores.shape == (2, 5)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert found.measure == "1 - mean absolute error"


def test_the_same_seeds_give_the_same_samples_and_others_vary_the_same_pair(found):
    first, again = (found.source.batch([3, 4]) for _ in range(2))
    assert all(torch.equal(*both) for both in zip(first, again, strict=True))
    others = [found.source.batch([seed])[0] for seed in range(1, 13, 2)]
    assert any(not torch.equal(first[0][:1], other) for other in others)


def test_pairs_are_made_once_and_kept(folder, found):
    found.source.batch([0, 1, 2, 3])
    kept = {path: path.stat().st_mtime_ns for path in (folder / "run" / PAIRS).rglob("*.npz")}
    assert len(kept) == 2
    found.source.batch([4, 5])
    assert kept == {path: path.stat().st_mtime_ns for path in kept}


def test_the_card_says_what_it_judges(found, segmenter):
    card = load_card(segmenter)
    assert found.data["segmenter"] == {"model": "segmenter", "weights_sha256": card.weights.sha256}
    assert found.data["pairs"]["kept"] == 2
    assert found.model.kind.task == "quality"


def test_the_trained_model_joins_the_one_that_it_judges(tmp_path, found, segmenter):
    """Its scores for a class map are those of the network for that map's groups in the cube."""
    card = read_card(first_model(found, tmp_path / "scores"))
    assert (card.task, card.grid.voxel_size_mm, card.grid.answer_voxel_size_mm) == ("quality", 4.0, None)
    whole = combine(load_card(segmenter), {"quality": card}, tmp_path / "whole", "whole")
    models = load_models(load_card(whole.source), quality=True)
    channels = np.zeros((40, 48, 40), np.uint8)
    channels[5:30, 10:40, 6:33] = np.random.default_rng(0).integers(0, 5, (25, 30, 27))
    scores = quality_scores(models.quality, channels, models.segmentation.card.labels)
    assert len(scores) == 4
    assert {score.name for score in scores} == set(found.model.table.names[1:])


@pytest.fixture(scope="module")
def table(folder):
    """Two heads that are not among the others, with a scan each."""
    maps = write_heads(folder / "real", 2, VOXEL_SIZE_MM, first=5)
    scans = write_scans(maps, folder / "real")
    rows = [f"{image.name}\t{label_map.name}\n" for image, label_map in zip(scans, maps, strict=True)]
    (folder / "real/scans.tsv").write_text("".join(["image\tlabels\n", *rows]))
    return folder / "real/scans.tsv"


def test_real_scans_give_a_share_of_the_samples(tmp_path, folder, segmenter, table):
    wanted = quality_experiment(scans={"table": str(table), "share": 0.5}, pairs={"kept": 2, "fault_probability": 0.0})
    inputs = quality_inputs(folder, wanted, segmenter)
    made = prepare(wanted, replace(inputs, folder=tmp_path), CPU)
    assert made.data["scans"]["names"] == ["sub-05_T1w", "sub-06_T1w"]
    made.source.batch(range(12))
    kept = tmp_path / PAIRS / made.data["scans"]["pairs"]
    assert {path.name for path in kept.iterdir()} == {"0.npz", "1.npz"}
    stamps = [path.stat().st_mtime_ns for path in sorted(kept.iterdir())]
    first, again = (made.source.batch(range(6)) for _ in range(2))
    assert all(torch.equal(*both) for both in zip(first, again, strict=True))
    assert stamps == [path.stat().st_mtime_ns for path in sorted(kept.iterdir())]
    assert "scans" not in prepare(quality_experiment(), inputs, CPU).data


def test_every_sample_shows_a_real_scan_where_the_share_is_one(tmp_path, folder, segmenter, table):
    """What samples are then made of is the truth of the label maps, seen by counting the voxels of each group."""
    wanted = quality_experiment(
        scans={"table": str(table), "share": 1.0},
        pairs={"kept": 0, "fault_probability": 0.0, "partial_view_probability": 0.0},
    )
    made = prepare(wanted, replace(quality_inputs(folder, wanted, segmenter), folder=None), CPU)
    pair, spec = made.source._pair_of(4)
    assert spec.kept == 2
    label_map = read_ras_labels(table.with_name("sub-05_dseg.nii.gz"))
    labels = labels_of(wanted)
    group_of = dict(zip(labels.values, labels.groups, strict=True))
    counts = np.bincount(np.vectorize(group_of.get)(label_map.data).ravel(), minlength=5)
    assert np.bincount(pair.true.ravel(), minlength=5)[1:].tolist() == counts[1:].tolist()


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("scan\tlabels\nsub-05_T1w.nii.gz\tsub-05_dseg.nii.gz\n", "expected also image"),
        ("image\tlabels\nno.nii.gz\tsub-05_dseg.nii.gz\n", "no.nii.gz: found no such file"),
        ("image\tlabels\nsub-05_T1w.nii.gz\tn/a\n", "no label map for sub-05_T1w.nii.gz"),
        ("image\tlabels\n", "no rows"),
        ("image\tlabels\nsub-05_T1w.nii.gz\tother.nii.gz\n", "voxels"),
    ],
)
def test_tables_that_cannot_be_used_are_refused_before_anything_is_segmented(folder, segmenter, table, rows, words):
    write_heads(folder / "other", 1, 8.0)[0].replace(table.with_name("other.nii.gz"))
    bad = table.with_name("bad.tsv")
    bad.write_text(rows)
    wanted = quality_experiment(scans={"table": str(bad)})
    with pytest.raises((InputError, GeometryError), match=words):
        prepare(wanted, quality_inputs(folder, wanted, segmenter), CPU)


def test_real_scans_are_for_quality_alone(folder, table):
    with pytest.raises(UsageError, match="--scans: found it for the task segmentation"):
        prepare(experiment("tiny", scans={"table": str(table)}), quality_inputs(folder, experiment("tiny"), "x"), CPU)
    with pytest.raises(UsageError, match="scans, share: found 0; expected above 0, to 1"):
        quality_experiment(scans={"share": 0.0})


def test_published_groups_keep_their_names_and_others_are_called_by_their_members():
    table = LabelTable.builtin("segmentation_2.0")
    assert groups_table(table) == LabelTable.builtin("qc_2.0")
    groups = [0] * len(table)
    for label, group in ((17, 1), (53, 1), (4, 2), (16, 2), (24, 2)):
        groups[table.labels.index(label)] = group
    assert groups_table(replace(table, qc_groups=tuple(groups))).names == ("background", "hippocampus", "group 2")


def test_true_groups_follow_the_table_of_the_segmenter():
    groups = groups_of_targets(GenerationLabels.builtin(), load_card("default-2mm"))
    table = LabelTable.builtin("segmentation_2.0")
    assert dict(zip(table.labels, table.qc_groups, strict=True)) == dict(
        zip(GenerationLabels.builtin().target_values, groups.tolist(), strict=True)
    )


def test_new_pairs_are_asked_for_by_the_seeds_themselves():
    asked = []

    def pair(seed):
        asked.append(seed)
        groups = np.zeros((4, 4, 4), np.uint8)
        groups[1:3, 1:3, 1:3] = 1
        return Pair(groups, groups, np.zeros(2, np.int64))

    PairSource(pair, PairSpec(kept=0, partial_view_probability=0.0), 1.0).batch([7, 9])
    assert asked == [7, 9]


def test_validation_takes_pairs_as_they_are(found):
    net = _Constant(found.config.network.out_channels)
    table = found.validate(net)
    true = np.stack([group_dice(found.validate.pair(seed)) for seed in found.validate.seeds], axis=1)
    np.testing.assert_allclose(table, 1 - np.abs(0.5 - true), atol=1e-6)


class _Constant(torch.nn.Module):
    def __init__(self, count):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.full((count,), 0.5))

    def forward(self, images):
        return self.weight.expand(len(images), -1)


def test_another_voxel_size_is_refused(folder, segmenter):
    wanted = quality_experiment(recipe={"map_step": 2})
    with pytest.raises(GeometryError, match="found samples of 8 mm; expected 4 mm, at which segmenter works"):
        prepare(wanted, quality_inputs(folder, wanted, segmenter), CPU)


def test_structures_that_maps_lack_are_refused(folder):
    wanted = quality_experiment()
    with pytest.raises(UsageError, match="--segmenter: found synthseg-2.0, which segments .*; expected structures"):
        prepare(wanted, quality_inputs(folder, wanted, "synthseg-2.0"), CPU)


def test_models_without_groups_are_refused(tmp_path, folder, segmenter):
    card = load_card(segmenter)
    other = replace(card, labels=replace(card.labels, qc_groups=()))
    (card.source.parent / "plain.tsv").write_text(other.labels.to_tsv())
    plain = replace(
        other,
        labels=replace(other.labels, name=str(card.source.parent / "plain.tsv")),
        source=card.source.parent / "plain.yaml",
    )
    rewrite_card(plain)
    wanted = quality_experiment()
    with pytest.raises(ModelError, match="found no groups for quality scores; expected a qc_group column"):
        prepare(wanted, quality_inputs(folder, wanted, plain.source), CPU)


def test_networks_of_another_architecture_are_refused(folder, segmenter):
    wanted = replace(quality_experiment(), training=experiment("tiny").training)
    with pytest.raises(UsageError, match="found the architecture unet for the task quality; expected regressor"):
        prepare(wanted, quality_inputs(folder, wanted, segmenter), CPU)


def test_lists_hand_their_groups_on(segmenter):
    labels = labels_of(quality_experiment())
    assert load_card(segmenter).labels.qc_groups == tuple(range(labels.n_groups))
