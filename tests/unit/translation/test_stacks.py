"""Stacks of slices: the same bytes for the same seed, no seams, neighbours, samples, weights of another shape."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from synthseg_core.errors import ModelError, UsageError
from synthseg_core.translation import stacks
from synthseg_core.translation.card import write_translator
from synthseg_core.translation.stacks import ApplyOptions, StackTranslator, mean_of_samples
from synthseg_core.translation.translator import ImageTranslator
from tests.phantoms.translation import NEEDS_EINOPS, cycle_card, matching_card, write_toy_translator

IMAGES = np.random.default_rng(0).uniform(-1, 1, (5, 37, 21)).astype(np.float32)
METHODS = pytest.mark.parametrize("method", ["cycle", pytest.param("diffusion", marks=NEEDS_EINOPS)])


def _translator(card):
    return StackTranslator(card, *card.direction(None, "bright"), "cpu")


def _translated(card, **options):
    (stack,) = _translator(card).samples(IMAGES, ApplyOptions(**options))
    return stack


@METHODS
def test_the_same_seed_gives_the_same_bytes_whatever_the_batch_size(tmp_path, method):
    card = write_toy_translator(tmp_path, method, neighbours=1)
    first = _translated(card, tile=16, batch_size=1)
    assert first.shape == IMAGES.shape
    assert first.dtype == np.float32
    assert first.tobytes() == _translated(card, tile=16, batch_size=7).tobytes()
    other = _translated(card, tile=16, seed=1)
    assert (first.tobytes() == other.tobytes()) == (method == "cycle")


def test_tiles_of_a_gpu_go_together_and_change_nothing_but_rounding(tmp_path, monkeypatch):
    card = write_toy_translator(tmp_path)
    one, several = _translator(card), _translator(card)
    several.device = torch.device("meta")  # takes the way of a GPU; data stay where they are
    sizes = []
    batch = StackTranslator._batch

    def spy(self, tiles, *rest):
        sizes.append(len(tiles))
        self.device = torch.device("cpu")
        try:
            return batch(self, tiles, *rest)
        finally:
            self.device = torch.device("meta")

    options = ApplyOptions(tile=16, batch_size=2)
    wanted = next(one.samples(IMAGES[:1], options))
    monkeypatch.setattr(StackTranslator, "_batch", spy)
    found = next(several.samples(IMAGES[:1], options))
    assert max(sizes) == 2
    assert found == pytest.approx(wanted, abs=1e-5)


class Identity(nn.Module):
    def forward(self, *inputs):
        return inputs[0] if len(inputs) == 1 else inputs[1]


@METHODS
@pytest.mark.parametrize(("tile", "overlap"), [(16, None), (16, 0), (8, 3), (None, None)])
def test_networks_that_change_nothing_leave_no_seams(tmp_path, monkeypatch, method, tile, overlap):
    """Bit for bit, by tiles of any size; a diffusion that guesses the source ends at it."""
    card = cycle_card(tmp_path, method, neighbours=1)
    monkeypatch.setattr(stacks, "_loaded", lambda *_: ImageTranslator(card.networks, Identity()))
    assert np.array_equal(_translated(card, tile=tile, overlap=overlap), IMAGES)


def test_neighbours_come_with_a_slice_and_end_where_the_scan_ends(tmp_path, monkeypatch):
    class Sum(nn.Module):
        def forward(self, images):
            return images * 0 + images.sum(1, keepdim=True) / 3

    card = cycle_card(tmp_path, neighbours=1)
    monkeypatch.setattr(stacks, "_loaded", lambda *_: ImageTranslator(card.networks, Sum()))
    padded = np.concatenate([IMAGES[:1], IMAGES, IMAGES[-1:]])
    wanted = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
    assert _translated(card) == pytest.approx(wanted, abs=1e-6)


def test_matching_needs_no_network(tmp_path):
    found = _translated(matching_card(tmp_path))
    assert found[IMAGES > 0.95] == pytest.approx(1.0, abs=0.05)
    assert _translator(matching_card(tmp_path)).steps == 0


def test_the_two_directions_are_two_networks(tmp_path):
    card = write_toy_translator(tmp_path)
    there = next(StackTranslator(card, *card.direction("dark", None), "cpu").samples(IMAGES, ApplyOptions()))
    back = next(StackTranslator(card, *card.direction("bright", None), "cpu").samples(IMAGES, ApplyOptions()))
    assert not np.allclose(there, back, atol=0.01)


@NEEDS_EINOPS
def test_samples_differ_and_are_summed_up_without_being_held(tmp_path):
    card = write_toy_translator(tmp_path, "diffusion")
    options = ApplyOptions(samples=3)
    samples = list(_translator(card).samples(IMAGES, options))
    assert not np.array_equal(samples[0], samples[1])
    found = mean_of_samples(_translator(card).samples(IMAGES, options), 3)
    assert found.mean == pytest.approx(np.mean(samples, 0), abs=1e-6)
    assert found.std == pytest.approx(np.std(samples, 0, ddof=1), abs=1e-6)
    assert mean_of_samples(iter(samples), 1).std is None


def test_progress_counts_slices_of_all_samples(tmp_path):
    seen = []
    list(
        _translator(write_toy_translator(tmp_path)).samples(IMAGES, ApplyOptions(samples=2), lambda *n: seen.append(n))
    )
    assert seen[0] == (1, 10)
    assert seen[-1] == (10, 10)


def test_weights_of_another_shape_and_impossible_options(tmp_path):
    card = write_toy_translator(tmp_path)
    arrays = {"cycle_forward.layers.0.weight": np.zeros((1, 1, 7, 7), np.float32)}
    other = write_translator(replace(card, source=tmp_path / "other" / "translator.yaml"), arrays)
    with pytest.raises(ModelError, match="arrays missing or of another shape"):
        _translator(other)
    with pytest.raises(UsageError, match="--samples: found 0"):
        ApplyOptions(samples=0)
