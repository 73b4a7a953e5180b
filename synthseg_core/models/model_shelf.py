"""Loaded models, and what is known about weights files, kept from one scan to the next."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from synthseg_core.models.card import ModelCard
from synthseg_core.models.weights import FoundWeights, Place, examine, find_weights, locate

if TYPE_CHECKING:
    import torch

Model = TypeVar("Model")


class ModelShelf(Generic[Model]):
    """The models that were used last, so that a process that sees many scans loads them once.

    Models are told apart by all that their answers depend on: the whole card, path and checksum of the weights, the
    device. Nothing is kept until :attr:`capacity` is raised.
    """

    def __init__(self) -> None:
        self.capacity = 0
        self._lock = threading.Lock()
        self._models: list[tuple[_Parts, Model]] = []
        self._checked: dict[_State, tuple[ModelCard, FoundWeights]] = {}

    def find(self, card: ModelCard, folder: Path | None) -> FoundWeights:
        """Find a model's weights; a file that nobody has touched since its last check is not read again."""
        located = locate(card, folder) if self.capacity else None
        if located is None:
            return find_weights(card, folder)
        state = _state_of(*located)
        known, found = self._checked.get(state, (None, None))
        if found is None or known != card:
            found = examine(card, *located)
            self._checked[state] = card, found
        return found

    def load(self, parts: _Parts, make: Callable[[ModelCard, FoundWeights, torch.device | None], Model]) -> Model:
        """Return the model made of these parts; a second thread that asks for it waits for the first."""
        if not self.capacity:
            return make(*parts)
        with self._lock:
            model = next((model for other, model in self._models if other == parts), None) or make(*parts)
            others = [pair for pair in self._models if pair[0] != parts]
            self._models = [*others, (parts, model)][-self.capacity :]
        return model


_Parts = tuple[ModelCard, FoundWeights, "torch.device | None"]
_State = tuple[Path, Place, int, int, int, int]


def _state_of(path: Path, place: Place) -> _State:
    state = path.stat()
    return path, place, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns
