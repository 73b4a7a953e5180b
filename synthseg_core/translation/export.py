"""A training, or a dataset alone, becomes a translator: a card with what its domains look like, and weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from synthseg_core.errors import WeightsError
from synthseg_core.training.checkpoint import BEST, LAST, read_checkpoint
from synthseg_core.translation.card import (
    CARD_NAME,
    WEIGHTS_NAME,
    Domain,
    TranslatorCard,
    TranslatorWeights,
    write_translator,
)
from synthseg_core.translation.config import TranslationConfig
from synthseg_core.translation.dataset import TranslationData
from synthseg_core.translation.matching import grey_values

TRANSLATOR_FOLDER = "translator"
_CITATIONS = {
    "cycle": (
        "Zhu et al., Unpaired image-to-image translation using cycle-consistent adversarial networks, ICCV 2017",
    ),
    "diffusion": (
        "Özbey et al., Unsupervised medical image translation with adversarial diffusion models, IEEE Transactions on"
        " Medical Imaging 2023",
        "Xiao et al., Tackling the generative learning trilemma with denoising diffusion GANs, ICLR 2022",
    ),
}
_NOTES = "Translated images are synthetic: for segmentation and for training, not for reading."


def export_translator(
    folder: Path,
    name: str,
    config: TranslationConfig,
    data: TranslationData,
    facts: Mapping[str, Any],
    *,
    best: bool = False,
) -> TranslatorCard:
    """Write ``folder/translator`` from the last average weights of a training, or from those that validated best.

    Parameters
    ----------
    folder
        Of the training.
    name
        Of the translator.
    config
        Of the training.
    data
        That it was trained on.
    facts
        For people: command, hardware, steps.
    best
        Take the weights with the best validation, where there is one. The last ones were better in segmentation
        wherever both were tried (docs/decisions/025-translators.md).

    Raises
    ------
    WeightsError
        If there are no weights yet.
    """
    method = config.networks.method
    arrays = {
        key: value.detach().cpu().float().numpy()
        for key, value in _weights(folder, best=best).items()
        if key.startswith(f"{method}_")
    }
    card = TranslatorCard(
        name,
        method,
        domains_of(data),
        data.plane,
        data.spacing_mm,
        folder / TRANSLATOR_FOLDER / CARD_NAME,
        networks=config.networks,
        tile=config.size,
        weights=TranslatorWeights(WEIGHTS_NAME, 0, ""),
        training=dict(facts),
        citation=_CITATIONS[method],
        notes=_NOTES,
    )
    return write_translator(card, arrays)


def write_matching(folder: Path, name: str, method: str, data: TranslationData) -> TranslatorCard:
    """Write ``folder/translator`` for a method without networks, which is measured and not trained.

    Parameters
    ----------
    folder
        To write to.
    name
        Of the translator.
    method
        ``histogram`` or ``affine``.
    data
        Whose training images are measured.
    """
    source = folder / TRANSLATOR_FOLDER / CARD_NAME
    card = TranslatorCard(name, method, domains_of(data), data.plane, data.spacing_mm, source, notes=_NOTES)
    return write_translator(card)


def domains_of(data: TranslationData) -> tuple[Domain, Domain]:
    """Return what both domains of a dataset look like in its training images."""
    first, second = (_domain(data, name) for name in data.domains)
    return first, second


def _domain(data: TranslationData, name: str) -> Domain:
    stacks = [stack for stack in data.stacks if (stack.domain, stack.split) == (name, "train")]
    low, high = (
        round(float(np.median([getattr(stack, end) for stack in stacks])), 6) if stacks else None
        for end in ("low", "high")
    )
    options = data.description.options
    window = options.get("ct_window_hu") if name in options.get("ct", ()) else None
    ct_window = (float(window[0]), float(window[1])) if window else None
    subjects = len({stack.subject for stack in stacks})
    return Domain(name, low, high, grey_values(data, name), subjects, ct_window)


def _weights(folder: Path, *, best: bool) -> Mapping[str, Any]:
    if best and (folder / BEST).is_file():
        return read_checkpoint(folder / BEST)["generators"]
    if (folder / LAST).is_file():
        return read_checkpoint(folder / LAST)["average"]["values"]
    raise WeightsError(folder, found="no weights", expected=LAST, remedy="train until the first checkpoint")
