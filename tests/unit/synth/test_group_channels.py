"""Tissue groups as channels: exact where nothing changes them, right at borders, and the rest of a sample untouched."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from synthseg_core.errors import UsageError
from synthseg_core.labels.lists import GenerationLabels
from synthseg_core.synth.deformation import Warp, affine_matrix, whole
from synthseg_core.synth.draw import Draw
from synthseg_core.synth.generator import BrainGenerator
from synthseg_core.synth.group_channels import deformed_again, dilated, draw_groups, eroded, group_channels
from synthseg_core.synth.maps import LabelMaps
from synthseg_core.synth.randomness import generator
from synthseg_core.synth.recipe import CropSpec, GroupChannelsSpec, Recipe
from synthseg_core.synth.recipe_file import read_recipe, recipe_from_mapping, recipe_to_mapping

LABELS = GenerationLabels.builtin()
SHAPE = (22, 26, 18)
PLAIN = GroupChannelsSpec(deformation_probability=0, dilation_probability=0, erosion_probability=0)


def maps() -> LabelMaps:
    """Blocks of labels of every group, unequal on both sides."""
    indices = torch.zeros((1, *SHAPE), dtype=torch.uint8)
    positions = {value: LABELS.values.index(value) for value in (2, 41, 3, 42, 24, 7, 46, 17)}
    for number, position in enumerate(positions.values()):
        indices[0, 2 + 2 * number : 5 + 2 * number, 3 : 20 - number, 2 + number : 12] = position
    return LabelMaps(indices, (np.eye(4),), (1.0, 1.0, 1.0), ("map",), LABELS)


def recipe(groups: GroupChannelsSpec | None, **changes) -> Recipe:
    return Recipe(crop=CropSpec(shape=(12, 14, 10), multiple=None), group_channels=groups, **changes)


def groups_of(positions: torch.Tensor) -> torch.Tensor:
    return torch.tensor(LABELS.groups)[positions.long()]


def test_the_package_s_list_has_five_groups():
    assert LABELS.n_groups == 5
    by_name = dict(zip(LABELS.names, LABELS.groups, strict=True))
    assert (by_name["brain-stem"], by_name["left hippocampus"], by_name["left lateral-ventricle"]) == (1, 2, 3)


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_channels_that_nothing_changes_are_the_groups_of_the_labels(flip):
    sample = BrainGenerator(maps(), recipe(PLAIN, flip_probability=flip)).sample(5)
    targets = torch.tensor(LABELS.target_values)
    group_of_target = {value: LABELS.groups[LABELS.outputs.index(value)] for value in LABELS.target_values}
    expected = torch.tensor([group_of_target[int(value)] for value in targets])[sample.index_map.long()]
    assert sample.image.shape == (6, 12, 14, 10)
    assert torch.equal(sample.image[1:].argmax(0), expected)
    assert torch.equal(sample.image[1:].sum(0), torch.ones(12, 14, 10))
    assert len(expected.unique()) >= 4


def test_the_rest_of_a_sample_is_the_same_without():
    with_groups = BrainGenerator(maps(), recipe(GroupChannelsSpec())).sample(7)
    without = BrainGenerator(maps(), recipe(None)).sample(7)
    assert torch.equal(with_groups.image[:1], without.image)
    assert torch.equal(with_groups.index_map, without.index_map)
    assert replace(with_groups.draw, groups=None) == without.draw


def test_groups_of_whole_samples_differ_a_little_from_labels():
    sample = BrainGenerator(maps(), recipe(GroupChannelsSpec())).sample(11)
    plain = BrainGenerator(maps(), recipe(PLAIN)).sample(11)
    changed = (sample.image[1:] != plain.image[1:]).float().mean()
    assert 0.005 < changed < 0.4


def test_the_second_deformation_is_that_of_the_whole_map():
    """A window of the twice deformed map is that part of the whole one: what comes from outside of it is right."""
    positions = maps().indices[0]
    matrix = affine_matrix((3, -2, 1), (0.007, 0, 0, -0.007, 0, 0.005), (1.05, 0.95, 1.02))
    warp = Warp(SHAPE, matrix, (2.0, -1.5, 1.0))

    def pull(start, shape):
        return positions[tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))]

    everything = deformed_again(pull, warp, (0, 0, 0), SHAPE, torch.device("cpu"))
    assert torch.equal(everything, warp.pull(positions, whole(SHAPE)))
    part = deformed_again(pull, warp, (5, 6, 4), (9, 8, 7), torch.device("cpu"))
    assert torch.equal(part, everything[5:14, 6:14, 4:11])
    assert torch.equal(
        deformed_again(pull, None, (5, 6, 4), (9, 8, 7), torch.device("cpu")), positions[5:14, 6:14, 4:11]
    )


def test_dilation_and_erosion_by_a_ball():
    point = torch.zeros((5, 7, 6), dtype=torch.bool)
    point[2, 3, 2] = True
    grown = dilated(point, 1)
    assert grown.sum() == 7
    assert torch.equal(eroded(grown, 1), point)
    assert dilated(point, 2**0.5).sum() == 19
    assert torch.equal(dilated(point, 0), point)


def test_outside_of_the_volume_counts_as_inside_for_erosion():
    assert eroded(torch.ones((3, 4, 5), dtype=torch.bool), 1).all()
    corner = torch.zeros((4, 4, 4), dtype=torch.bool)
    corner[:2, :2, :2] = True
    assert eroded(corner, 1).sum() == 1


def test_each_channel_changes_by_itself():
    groups = torch.zeros((6, 7, 8), dtype=torch.uint8)
    groups[2:4, 2:5, 2:6] = 1
    draw = replace(draw_groups(PLAIN, 2, generator(1)), morphology=(1, 1))
    channels = group_channels(groups, draw, 1)
    assert (channels.sum(0) == 2).any()  # both grew: they overlap
    channels = group_channels(groups, replace(draw, morphology=(-1, -1)), 1)
    assert (channels.sum(0) == 0).any()  # both shrank: there is a gap


def test_how_often_channels_change():
    source = generator(3)
    draws = [draw_groups(GroupChannelsSpec(), 5, source) for _ in range(2000)]
    kinds = Counter(kind for draw in draws for kind in draw.morphology)
    shares = {kind: count / 10_000 for kind, count in kinds.items()}
    assert shares == pytest.approx({1: 0.45, -1: 0.45, 0: 0.1}, abs=0.02)
    assert np.mean([draw.deformed for draw in draws]) == pytest.approx(0.9, abs=0.02)
    assert max(abs(angle) for draw in draws for angle in draw.rotation_deg) <= 3


def test_a_draw_is_replayed_bit_for_bit():
    maker = BrainGenerator(maps(), recipe(GroupChannelsSpec()))
    sample = maker.sample(13)
    replayed = maker.apply(Draw.from_json(sample.draw.to_json()))
    assert torch.equal(replayed.image, sample.image)
    assert "groups" not in BrainGenerator(maps(), recipe(None)).draw(13).to_json()
    with pytest.raises(UsageError, match="other group channels"):
        maker.apply(replace(sample.draw, groups=None))


def test_a_list_without_groups_is_refused():
    bare = replace(LABELS, groups=())
    with pytest.raises(UsageError, match=r"without tissue groups; expected the column output_groups"):
        BrainGenerator(replace(maps(), labels=bare), recipe(GroupChannelsSpec()))


def test_a_recipe_file_may_ask_for_them(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("preset: robust_s2\ngroup_channels: {dilation_probability: 0.2}\n")
    found = read_recipe(path)
    assert found.group_channels == GroupChannelsSpec(dilation_probability=0.2)
    assert recipe_from_mapping(recipe_to_mapping(found)) == found
    assert "group_channels" not in recipe_to_mapping(read_recipe("robust_s1"))


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"dilation_probability": 0.6, "erosion_probability": 0.6}, "add up to 1 or less"),
        ({"radius_voxels": -1}, "0 or more"),
        ({"deformation_probability": 2}, "between 0 and 1"),
    ],
)
def test_impossible_settings_are_refused(settings, found):
    with pytest.raises(UsageError, match=found):
        GroupChannelsSpec(**settings)
