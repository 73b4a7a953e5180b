"""Pairs of tissue groups for the denoiser, and the model that it becomes."""

from __future__ import annotations

import pytest
import torch

from synthseg_core.errors import ModelError, UsageError
from synthseg_core.images.figures import require_matplotlib
from synthseg_core.models.loading import load_models
from synthseg_core.models.registry import load_card
from synthseg_core.synth.group_channels import eroded
from synthseg_core.training.tasks.denoiser import EROSION_MM, NoisyGroups, groups_picture
from tests.unit.training.tasks.small import denoiser_model, experiment, groups_model, prepared


class Cube:
    """A block of group 1 in a box with unequal edges; the image is the group."""

    def batch(self, seeds):
        truth = torch.zeros((len(seeds), 12, 16, 20), dtype=torch.uint8)
        truth[:, 2:11, 2:14, 2:17] = 1
        return truth[:, None].float(), truth


class Exact(torch.nn.Module):
    """Finds what the image says."""

    config = type("Config", (), {"out_channels": 2})

    def forward(self, images):
        return torch.cat([1 - images, images], 1)


def test_the_rim_of_all_tissue_is_missing_in_some_pairs():
    pairs = NoisyGroups(Cube(), Exact(), 2.0)
    found, truth = pairs.batch(range(200))
    assert found.shape == (200, 2, 12, 16, 20)
    assert torch.equal(found.sum(1), torch.ones_like(found[:, 0]))
    core = eroded(truth[0] > 0, 2.0)
    whole = (found[:, 1] == truth).flatten(1).all(1)
    rimless = (found[:, 1] == core).flatten(1).all(1)
    assert bool((whole ^ rimless).all())
    assert 15 <= int(rimless.sum()) <= 50  # 15 % of 200, within three standard deviations and more
    again = pairs.batch(range(200))[0]
    assert torch.equal(found, again)


def test_samples_are_what_the_first_network_makes_of_scans(tmp_path):
    groups = groups_model(tmp_path)
    found = prepared(tmp_path, experiment("tiny_denoiser"), group_segmenter=groups)
    images, truth = found.source.batch([5])
    assert images.shape == (1, 5, 24, 32, 24)
    assert torch.equal(images.sum(1), torch.ones_like(images[:, 0]))
    assert set(truth.unique().tolist()) <= {0, 1, 2, 3, 4}
    assert isinstance(found.source, NoisyGroups)
    assert found.source.radius_voxels == EROSION_MM / 4
    assert found.data["chain"]["group_segmenter"]["model"] == "groups"
    assert found.validate is not None


def test_the_model_is_for_denoising_and_segments_nothing(tmp_path):
    card = load_card(denoiser_model(tmp_path, groups_model(tmp_path)))
    assert (card.task, card.networks[0].role, card.networks[0].prefix) == ("denoising", "denoiser", "l2l")
    assert card.networks[0].config.in_channels == card.networks[0].config.out_channels == 5
    with pytest.raises(ModelError, match="a model for denoising; expected a segmentation model"):
        load_models(card)


def test_a_first_network_is_asked_for(tmp_path):
    with pytest.raises(UsageError, match="--group-segmenter: found none; expected a model, for the task denoiser"):
        prepared(tmp_path, experiment("tiny_denoiser"))


def test_targets_are_groups(tmp_path):
    wanted = experiment("tiny_denoiser", recipe={"output_column": "output"})
    with pytest.raises(UsageError, match="found output for the task denoiser; expected output_groups"):
        prepared(tmp_path, wanted, group_segmenter=groups_model(tmp_path))


def test_the_picture_shows_found_true_and_corrected_groups(tmp_path):
    pytest.importorskip("matplotlib", reason="the extra 'pictures' is not installed")
    require_matplotlib("picture")
    images, truth = NoisyGroups(Cube(), Exact(), 2.0).batch([0])
    groups_picture(tmp_path, images, truth, images, "Dice")
    assert (tmp_path / "snapshot.png").read_bytes()[:4] == b"\x89PNG"
