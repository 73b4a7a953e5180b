"""Cards of translators: written and read back, directions, weights by checksum, contradictions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from synthseg_core.errors import ModelError, WeightsError
from synthseg_core.translation.card import CARD_NAME, WEIGHTS_NAME, read_arrays, read_translator, write_translator
from tests.phantoms.translation import cycle_card, matching_card

ARRAYS = {"cycle_forward.a": np.arange(6, dtype=np.float32).reshape(2, 3)}


def test_a_card_is_read_back_from_file_or_folder(tmp_path):
    card = write_translator(cycle_card(tmp_path), ARRAYS)
    assert card.weights is not None
    assert card.weights.size_bytes == (tmp_path / WEIGHTS_NAME).stat().st_size
    assert read_translator(tmp_path) == read_translator(tmp_path / CARD_NAME) == card
    found = read_arrays(read_translator(tmp_path))
    assert np.array_equal(found["cycle_forward.a"], ARRAYS["cycle_forward.a"])


def test_a_spacing_that_is_not_known_is_read_back(tmp_path):
    write_translator(replace(matching_card(tmp_path), plane="picture", spacing_mm=None))
    assert read_translator(tmp_path).spacing_mm is None


def test_the_same_card_gives_the_same_bytes(tmp_path):
    texts = []
    for name in ("one", "two"):
        write_translator(cycle_card(tmp_path / name), ARRAYS)
        texts.append([(tmp_path / name / file).read_bytes() for file in (CARD_NAME, WEIGHTS_NAME)])
    assert texts[0] == texts[1]


def test_methods_without_networks_have_no_weights(tmp_path):
    write_translator(matching_card(tmp_path))
    assert not (tmp_path / WEIGHTS_NAME).exists()
    card = read_translator(tmp_path)
    assert (card.networks, card.weights, card.neighbours) == (None, None, 0)


@pytest.mark.parametrize(
    ("source", "target", "names"),
    [
        ("dark", None, ("dark", "bright")),
        (None, "dark", ("bright", "dark")),
        ("bright", "dark", ("bright", "dark")),
        (None, "bright", ("dark", "bright")),
    ],
)
def test_directions(tmp_path, source, target, names):
    assert tuple(one.name for one in matching_card(tmp_path).direction(source, target)) == names


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("t1", None, "found no domain t1; expected dark or bright"),
        (None, None, "found no direction; expected what to translate to, dark or bright; name it with --to"),
        ("dark", "dark", "two domains"),
    ],
)
def test_directions_that_are_none(tmp_path, source, target, message):
    with pytest.raises(ModelError, match=message):
        matching_card(tmp_path).direction(source, target)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "magic"}, "method 'magic'"),
        ({"method": "cycle"}, "method cycle without networks"),
        ({"spacing_mm": -1.0}, "spacing_mm -1"),
    ],
)
def test_cards_that_contradict_themselves(tmp_path, changes, message):
    with pytest.raises(ModelError, match=message):
        replace(matching_card(tmp_path), **changes)


def test_two_domains_of_one_name(tmp_path):
    card = matching_card(tmp_path)
    with pytest.raises(ModelError, match="two domains of the name dark"):
        replace(card, domains=(card.domains[0], card.domains[0]))


def test_what_is_no_card(tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        read_translator(tmp_path)
    (tmp_path / CARD_NAME).write_text("name: default-2mm\nfamily: synthseg\n")
    with pytest.raises(ModelError, match="another kind of file"):
        read_translator(tmp_path)
    (tmp_path / CARD_NAME).write_text("kind: translator\nname: x\n")
    with pytest.raises(ModelError, match="found no method"):
        read_translator(tmp_path)


def test_weights_that_are_missing_or_others(tmp_path):
    card = write_translator(cycle_card(tmp_path), ARRAYS)
    content = (tmp_path / WEIGHTS_NAME).read_bytes()
    (tmp_path / WEIGHTS_NAME).write_bytes(content[:-1] + b"\x00\x01")
    with pytest.raises(WeightsError, match="another checksum"):
        read_arrays(card)
    (tmp_path / WEIGHTS_NAME).unlink()
    with pytest.raises(WeightsError, match="put it beside the card"):
        read_arrays(card)
