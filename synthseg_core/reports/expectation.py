"""What to expect of the weights that a demonstration uses, in the words of their card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from synthseg_core.models.card import ModelCard

_SETS = {"synthetic": "synthetic scans of heads that it was not trained on", "labelled": "labelled real scans"}


def expectation(card: ModelCard) -> list[str]:
    """Return lines of text: which weights, and their measured Dice where the card records it."""
    return [f"{card.name}: {card.title.removeprefix(f'{card.name}: ')}", *_measured(card.training.get("dice"))]


def _measured(dice: Any) -> Iterator[str]:
    """Return a line for each set of scans that the model was measured on."""
    scores = [(name, one["score"]) for name, one in _mapping(dice).items() if _mapping(one).get("score") is not None]
    for name, score in scores:
        yield f"mean Dice on {_SETS.get(name, name)}: {score:.2f} (1 is perfect, 0 no overlap)"
    if not scores:
        yield "its card records no measured Dice"


def _mapping(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
