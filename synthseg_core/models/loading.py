"""Load models: a card and its weights become networks on a device; a process that stays keeps them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch

from synthseg_core.models.arrays import load_state
from synthseg_core.models.card import ModelCard
from synthseg_core.models.families import FAMILIES
from synthseg_core.models.registry import companion, scout_of
from synthseg_core.models.weights import FoundWeights, Place, examine, find_weights, locate
from synthseg_core.networks.basic_unet import BasicUNet
from synthseg_core.networks.basic_unet_inference import BasicUNetRunner
from synthseg_core.networks.building import Network, network_of
from synthseg_core.networks.config import NetworkSpec
from synthseg_core.networks.nnunet import NnUNet
from synthseg_core.networks.nnunet_inference import NnUNetRunner
from synthseg_core.networks.regressor import Regressor
from synthseg_core.networks.regressor_inference import RegressorRunner
from synthseg_core.networks.unet import UNet
from synthseg_core.networks.unet_inference import UNetRunner
from synthseg_core.system.timing import current

if TYPE_CHECKING:
    import torch


Model = TypeVar("Model")
Runner = UNetRunner | RegressorRunner | NnUNetRunner | BasicUNetRunner

# A network -> what runs it in bounded memory.
_RUNNERS: dict[type, Callable[[Any], Runner]] = {
    UNet: UNetRunner,
    Regressor: RegressorRunner,
    NnUNet: NnUNetRunner,
    BasicUNet: BasicUNetRunner,
}


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

    def load(self, parts: _Parts, make: Callable[[_Parts], Model]) -> Model:
        """Return the model made of these parts; a second thread that asks for it waits for the first."""
        if not self.capacity:
            return make(parts)
        with self._lock:
            model = next((model for other, model in self._models if other == parts), None) or make(parts)
            others = [pair for pair in self._models if pair[0] != parts]
            self._models = [*others, (parts, model)][-self.capacity :]
        return model


@dataclass(frozen=True)
class _Parts:
    """What a loaded model is made of."""

    card: ModelCard
    weights: FoundWeights
    device: torch.device | None
    scout: _Parts | None = None


_State = tuple[Path, Place, int, int, int, int]


def _state_of(path: Path, place: Place) -> _State:
    state = path.stat()
    return path, place, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns


@dataclass(frozen=True)
class LoadedModel:
    """A model on its device.

    Parameters
    ----------
    card
        What the model is.
    weights
        Where its arrays came from, with checksum.
    runners
        One for each network of the card, in order; none where the family has them loaded in turn (:meth:`stream`).
    device
        Where the networks are, or go to; ``None``: the CPU.
    scout
        The model that finds the brain first, where the card names one.
    """

    card: ModelCard
    weights: FoundWeights
    runners: tuple[Runner, ...] = ()
    device: torch.device | None = None
    scout: LoadedModel | None = None

    def stream(self, specs: Sequence[NetworkSpec]) -> Iterator[Runner]:
        """Load networks one after the other; each may be forgotten before the next one comes."""
        for spec in specs:
            yield _runner(spec, self.weights.path, self.device)

    @property
    def is_on_cpu(self) -> bool:
        """Whether its networks are on the CPU, or go there."""
        return self.device is None or self.device.type == "cpu"

    def on_cpu(self) -> LoadedModel:
        """Return the same model on the CPU, its weights read again; itself where it is there."""
        return self if self.is_on_cpu else shelf.load(self._cpu_parts(), _load)

    def _cpu_parts(self) -> _Parts:
        return _Parts(self.card, self.weights, None, self.scout and self.scout._cpu_parts())


@dataclass(frozen=True)
class Models:
    """A segmentation model with the models that add parcels and quality scores to its answer."""

    segmentation: LoadedModel
    parcellation: LoadedModel | None = None
    quality: LoadedModel | None = None

    @property
    def companions(self) -> frozenset[str]:
        """Tasks of the models that follow the segmentation."""
        return frozenset(task for task in ("parcellation", "quality") if getattr(self, task) is not None)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is doubtful about the weights, one line each."""
        return tuple(line for model in self._loaded for line in model.weights.warnings)

    @property
    def _loaded(self) -> list[LoadedModel]:
        return [model for model in (self.segmentation, self.parcellation, self.quality) if model is not None]

    def on_cpu(self) -> Models:
        """Return the same models on the CPU."""
        return Models(**{model.card.task: model.on_cpu() for model in self._loaded})


def load_models(
    card: ModelCard,
    *,
    weights: Path | None = None,
    device: torch.device | None = None,
    parcellation: bool = False,
    quality: bool = False,
) -> Models:
    """Load a segmentation model and the companions that are asked for.

    All cards and files are found and checked before the first array is read, so that a missing file costs no time.

    Parameters
    ----------
    card
        Of a segmentation model.
    weights
        Folder with weights files; ``None``: the usual places. Those of a scout may lie in both.
    device
        Where to put the networks; ``None``: the CPU.
    parcellation
        Load the companion that divides the cortex, too.
    quality
        Load the companion that predicts quality, too.

    Raises
    ------
    ModelError
        If the card is not a segmentation model or does not offer what is asked for.
    WeightsError
        If weights are missing or do not fit.
    """
    if card.task != "segmentation":
        raise card.fault(f"a model for {card.task}", "a segmentation model", "see 'synthseg models list'")
    wanted = {"parcellation": parcellation, "quality": quality}
    companions = {task: companion(card, task) for task, asked in wanted.items() if asked}
    with current().phase("load"):
        cards = {card.task: card, **companions}
        parts = {task: _parts_of(one, weights, device) for task, one in cards.items()}
        return Models(**{task: shelf.load(one, _load) for task, one in parts.items()})


def load_companion(
    card: ModelCard, task: str, *, weights: Path | None = None, device: torch.device | None = None
) -> LoadedModel:
    """Load only the model that adds ``task`` to a segmentation model; the rest is as in :func:`load_models`."""
    return load_model(companion(card, task), weights=weights, device=device)


def load_model(card: ModelCard, *, weights: Path | None = None, device: torch.device | None = None) -> LoadedModel:
    """Load a model of any task on its own; the rest is as in :func:`load_models`."""
    with current().phase("load"):
        return shelf.load(_parts_of(card, weights, device), _load)


def load_network(spec: NetworkSpec, path: Path, device: torch.device | None = None) -> Network:
    """Return one network with its arrays, in evaluation mode; ``WeightsError`` if an array is missing or misshapen."""
    arrays = load_state(path, spec)
    with torch.device("meta"):
        net = network_of(spec.config)
    state = {name: torch.from_numpy(array) for name, array in arrays.items()}
    counters = {name: torch.zeros((), dtype=torch.long) for name in net.state_dict() if name not in state}
    net.load_state_dict(state | counters, assign=True)
    return net.to(device or torch.device("cpu")).eval()


shelf: ModelShelf[LoadedModel] = ModelShelf()
"""Where loaded models stay for the next scan; nothing does until its capacity is raised."""


def _parts_of(card: ModelCard, folder: Path | None, device: torch.device | None) -> _Parts:
    """Find what a model is made of, its scout included."""
    found, first = shelf.find(card, folder), scout_of(card)
    if first is None:
        return _Parts(card, found, device)
    there = folder is not None and locate(first, folder) is not None
    return _Parts(card, found, device, _parts_of(first, folder if there else None, device))


def _load(parts: _Parts) -> LoadedModel:
    card, found, device = parts.card, parts.weights, parts.device
    if FAMILIES[card.family].streamed:
        return LoadedModel(card, found, (), device)
    scout = None if parts.scout is None else _load(parts.scout)
    runners = tuple(_runner(spec, found.path, device) for spec in card.networks)
    return LoadedModel(card, found, runners, device, scout)


def _runner(spec: NetworkSpec, path: Path, device: torch.device | None) -> Runner:
    net = load_network(spec, path, device)
    return _RUNNERS[type(net)](net)
