"""Cards of translators: what a translator is for, what its images look like, and which weights it has.

A card is YAML with a safetensors file beside it; nothing in either is code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from synthseg_core.errors import ModelError, WeightsError
from synthseg_core.models.arrays import model_bytes
from synthseg_core.models.card_file import yaml_text
from synthseg_core.networks.translator_config import METHODS, TranslatorNetworks
from synthseg_core.system.atomic import write_bytes, write_text
from synthseg_core.system.paths import is_file
from synthseg_core.system.settings import about, build, read_mapping, to_content
from synthseg_core.translation.dataset import PICTURE
from synthseg_core.translation.matching import MATCHINGS, GreyValues

CARD_NAME, WEIGHTS_NAME = "translator.yaml", "translator.safetensors"
KIND = "translator"
_REMEDY = "give the card of a translator, which 'synthseg translate train' writes"


@dataclass(frozen=True)
class Domain:
    """One contrast of a translator.

    Parameters
    ----------
    name
        As in its dataset.
    low, high
        Values of a typical scan that become -1 and 1, the medians over the training scans; ``None``: not known.
    grey_values
        Its distribution.
    subjects
        How many it was learned from; 0: not known.
    ct_window_hu
        Values that become -1 and 1 where scans are in Hounsfield units; ``None``: those between percentiles do.
    """

    name: str
    low: float | None
    high: float | None
    grey_values: GreyValues
    subjects: int = 0
    ct_window_hu: tuple[float, float] | None = None


@dataclass(frozen=True)
class TranslatorWeights:
    """The file of a translator's arrays.

    Parameters
    ----------
    file
        Name, beside the card.
    size_bytes, sha256
        What it has to be.
    """

    file: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class TranslatorCard:
    """Everything known about a translator.

    Parameters
    ----------
    name
        Short name.
    method
        ``diffusion``, ``cycle``, ``histogram`` or ``affine``.
    domains
        The two contrasts; it translates from each to the other.
    plane
        Of its images: ``axial``, ``coronal``, ``sagittal``, or ``picture`` for 2D pictures.
    spacing_mm
        Edge of a pixel; ``None``: not known, images are taken as they are.
    source
        The card's file.
    networks
        Their shapes; ``None`` for methods without.
    tile
        Edge of the images that it was trained on, pixels; larger ones are translated in tiles of this size.
    weights
        Their file; ``None`` for methods without networks.
    training
        How it came about, for people.
    citation
        Papers to cite.
    notes
        What else a user should know.
    """

    name: str
    method: str
    domains: tuple[Domain, Domain]
    plane: str
    spacing_mm: float | None
    source: Path
    networks: TranslatorNetworks | None = None
    tile: int = 256
    weights: TranslatorWeights | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    citation: tuple[str, ...] = ()
    notes: str = ""

    def __post_init__(self) -> None:
        if self.method not in (*METHODS, *MATCHINGS):
            raise self.fault(f"method {self.method!r}", " or ".join((*METHODS, *MATCHINGS)))
        if (self.method in METHODS) != (self.networks is not None and self.weights is not None):
            raise self.fault(f"method {self.method} {'without' if self.method in METHODS else 'with'} networks",
                             "networks and weights for the methods that have some, and for them alone")  # fmt: skip
        if self.networks is not None and self.networks.method != self.method:
            raise self.fault(f"method {self.method} with networks for {self.networks.method}", "one method")
        if self.domains[0].name == self.domains[1].name:
            raise self.fault(f"two domains of the name {self.domains[0].name}", "two names")
        if self.spacing_mm is not None and not 0 < self.spacing_mm < 100:
            raise self.fault(f"spacing_mm {self.spacing_mm:g}", "a length above 0")

    @property
    def neighbours(self) -> int:
        """Slices on each side that are seen together with one."""
        return 0 if self.networks is None else self.networks.neighbours

    @property
    def is_for_scans(self) -> bool:
        """Whether its images are slices of scans, not pictures."""
        return self.plane != PICTURE

    @property
    def digest(self) -> str:
        """SHA-256 of the card's file, which names its weights by theirs."""
        return hashlib.sha256(self.source.read_bytes()).hexdigest()

    def direction(self, source: str | None, target: str | None) -> tuple[Domain, Domain]:
        """Return the domains to translate from and to; one name is enough.

        Raises
        ------
        ModelError
            If a name is unknown, both are the same, or none is given.
        """
        first, second = self.domains
        known = (first.name, second.name)
        expected = " or ".join(known)
        for name in (source, target):
            if name is not None and name not in known:
                raise self.fault(f"no domain {name}", expected, "correct the name")
        if source is None and target is None:
            raise self.fault("no direction", f"what to translate to, {expected}", "name it with --to")
        if source == target:
            raise self.fault(f"{source} as source and target", "two domains", "correct one of them")
        return (first, second) if first.name == source or second.name == target else (second, first)

    def fault(self, found: str, expected: str, remedy: str = "correct the card") -> ModelError:
        """Return an error about this card."""
        return ModelError(self.source, found=found, expected=expected, remedy=remedy)


def read_translator(path: Path | str) -> TranslatorCard:
    """Read a card, or that of a folder which holds one.

    Raises
    ------
    ModelError
        If there is none, it is of another kind, or contradicts itself.
    """
    path = Path(path)
    if path.is_dir():
        path = path / CARD_NAME
    if not is_file(path):
        raise ModelError(path, found="no such file", expected="the card of a translator", remedy=_REMEDY)
    content = read_mapping(path, "card of a translator", _REMEDY, error=ModelError)
    if content.pop("kind", None) != KIND:
        raise ModelError(path, found="another kind of file", expected="the card of a translator", remedy=_REMEDY)
    with about(str(path), ModelError):
        return build(TranslatorCard, {**content, "source": path}, str(path))


def write_translator(card: TranslatorCard, arrays: Mapping[str, np.ndarray] | None = None) -> TranslatorCard:
    """Write a card, and before it the weights beside it; return the card that names them.

    Parameters
    ----------
    card
        ``source`` says where; its ``weights`` are replaced if there are arrays.
    arrays
        By name; ``None`` for methods without networks.
    """
    if arrays is not None:
        content = model_bytes(arrays, {"name": card.name, "kind": KIND})
        weights = TranslatorWeights(WEIGHTS_NAME, len(content), hashlib.sha256(content).hexdigest())
        write_bytes(card.source.with_name(WEIGHTS_NAME), content)
        card = replace(card, weights=weights)
    absent = ({}, [], "", None)
    entries = {name: value for name, value in to_content(_without_source(card)).items() if value not in absent}
    write_text(card.source, yaml_text({"kind": KIND, "spacing_mm": None, **entries}))
    return card


def read_arrays(card: TranslatorCard) -> dict[str, np.ndarray]:
    """Return the arrays of a translator by name, after their checksum.

    Raises
    ------
    WeightsError
        If the file is missing, or is not the one that the card names.
    """
    from safetensors.numpy import load

    assert card.weights is not None
    path = card.source.with_name(card.weights.file)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(
            path, found="no readable file", expected=f"the weights of {card.source}", remedy="put it beside the card"
        ) from error
    if hashlib.sha256(content).hexdigest() != card.weights.sha256:
        raise WeightsError(
            path,
            found=f"{len(content)} bytes with another checksum",
            expected=f"the {card.weights.size_bytes} bytes that {card.source} names",
            remedy="copy card and weights together once more",
        )
    return load(content)


def _without_source(card: TranslatorCard) -> dict[str, Any]:
    return {name: value for name, value in vars(card).items() if name != "source"}
