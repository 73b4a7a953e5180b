"""Model cards written as YAML are read back as they were."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from synthseg_core.models.card import ModelCard
from synthseg_core.models.card_file import card_text, read_card
from synthseg_core.models.registry import load_card, registered_models
from tests.phantoms.models import ROBUST, TINY

TRAINING = {
    "data": "16 label maps: 01 to 16",
    "recipe": {"preset": "official", "bias_field_std": 0.7, "tiny": 1e-07, "large": 1e22, "whole": 2.0, "count": -3},
    "command": 'synthseg train --maps "DIR" --out # no comment: {x: y}',
    "hours": 1.25,
    "steps": 20500,
    "finished": True,
    "nothing": None,
    "odd texts": ["no", "1e3", "null", "0x10", "12:30", "- a", "ü\n\ttab", "", "~", "=", "2001-01-01"],
    "dice": {"left cerebral cortex": 0.5, "3rd ventricle": float("inf")},
    "empty": {},
}


def _written(card: ModelCard, folder: Path) -> ModelCard:
    table = folder / "labels.tsv"
    table.write_text(card.labels.to_tsv())
    path = folder / "card.yaml"
    path.write_text(card_text(card, table.name), encoding="utf-8")
    return read_card(path)


def _same(card: ModelCard, written: ModelCard) -> bool:
    labels = replace(written.labels, name=card.labels.name)
    return replace(written, source=card.source, labels=labels) == card


@pytest.mark.parametrize("name", registered_models())
def test_registered_cards_survive(name, tmp_path):
    card = load_card(name)
    assert _same(card, _written(card, tmp_path))


@pytest.mark.parametrize("model", [TINY, ROBUST], ids=["tiny", "robust"])
def test_a_users_card_survives(model, tmp_path):
    card = read_card(model.write(tmp_path / "made"))
    card = replace(
        card,
        grid=replace(card.grid, voxel_size_mm=2.0, answer_voxel_size_mm=1.0),
        plausible_total_ml=(700.0, 2500.5),
        notes="Two\nlines: with a colon",
        training=TRAINING,
    )
    written = _written(card, tmp_path)
    assert _same(card, replace(written, training=card.training))
    assert yaml.safe_load((tmp_path / "card.yaml").read_text(encoding="utf-8"))["training"] == TRAINING


def test_text_is_the_same_every_time_and_holds_no_path(tmp_path):
    card = read_card(TINY.write(tmp_path))
    assert card_text(card, "labels.tsv") == card_text(card, "labels.tsv")
    assert str(tmp_path) not in card_text(card, "labels.tsv")
