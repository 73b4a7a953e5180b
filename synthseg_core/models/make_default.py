"""For developers, in a checkout: a trained model folder becomes a model that the package carries, perhaps the default.

``make default-weights FROM=FOLDER`` calls ``python -m synthseg_core.models.make_default FOLDER/card.yaml --name NAME``;
with ``--beside``, as ``make head-weights`` and ``make scout-weights`` have it, the default stays as it is.
``make default-qc`` trains a quality model for the default one and calls it with the card of that.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from synthseg_core.errors import SynthSegError
from synthseg_core.labels.table import LabelTable
from synthseg_core.models.card import ModelCard
from synthseg_core.models.card_file import card_text, read_card
from synthseg_core.models.registry import DEFAULT_FILE, DEFAULT_MODEL, load_card, resources_folder
from synthseg_core.models.store import Condition, verify
from synthseg_core.system.atomic import write_bytes, write_text

NAME = "default-2mm"
LICENCE = "Apache-2.0"
MAX_BYTES = 20_000_000
_PUBLISHED = "synthseg-2.0"
# What a card of weights that are given away has to say about them.
FACTS = ("maps", "recipe", "command", "hardware", "steps", "hours", "loss", "dice")
QUALITY_FACTS = (*FACTS[:-1], "segmenter", "quality")


def adopt(card_path: Path, name: str = NAME, *, title: str | None = None, resources: Path | None = None) -> ModelCard:
    """Copy a trained model into the package's resources, byte for byte, and make it the default.

    Parameters
    ----------
    card_path
        Card of a model folder, as training exports it.
    name
        Of the model in the package; one of that name is replaced.
    title
        For lists and for descriptions of datasets; ``None``: that of the card.
    resources
        The package's resource folder; ``None``: that of the package that runs.

    Returns
    -------
    ModelCard
        The card in the package.

    Raises
    ------
    ModelError
        If the card does not say how the model was trained and how good it is; or the weights are not those of the
        card, not complete, or too large.
    """
    adopted = carry(card_path, name, title=title, resources=resources)
    write_text((resources or resources_folder()) / "models" / DEFAULT_FILE, f"{name}\n")
    return adopted


def adopt_quality(card_path: Path, *, title: str | None = None, resources: Path | None = None) -> ModelCard:
    """Copy a trained quality model into the package's resources, as the companion of the default model.

    Parameters
    ----------
    card_path
        Card of a model folder, as the task ``quality`` exports it.
    title, resources
        As for :func:`adopt`.

    Returns
    -------
    ModelCard
        The card of the default model, which names the other one now.

    Raises
    ------
    ModelError
        If :func:`adopt` would refuse it, or it was trained for another model than the default one.
    """
    card, resources = read_card(card_path), resources or resources_folder()
    default = load_card(DEFAULT_MODEL)
    name = f"{default.name}-qc"
    judged, wanted = dict(card.training.get("segmenter") or {}), default.weights.sha256
    if card.task != "quality" or judged.get("weights_sha256") != wanted:
        found = f"a model for {card.task}, trained for {judged.get('model', 'nothing')}"
        expected = f"one for quality, trained for {default.name} as it is now"
        raise card.fault(found, expected, "run make default-qc")
    adopted = _carried(replace(card, title=title or card.title), name, QUALITY_FACTS, resources)
    named = replace(default, companions={**default.companions, "quality": adopted.name})
    write_text(default.source, card_text(named, _table_name(default.labels, default.name, resources)))
    return read_card(default.source)


def carry(
    card_path: Path, name: str | None = None, *, title: str | None = None, resources: Path | None = None
) -> ModelCard:
    """Copy a trained model into the package's resources and leave the default as it is.

    Parameters
    ----------
    card_path, title, resources
        As for :func:`adopt`.
    name
        Of the model in the package; ``None``: that of the card.

    Raises
    ------
    ModelError
        As :func:`adopt`.
    """
    card, resources = read_card(card_path), resources or resources_folder()
    name = name or card.name
    known = replace(
        card,
        title=title or card.title,
        plausible_total_ml=card.plausible_total_ml or _plausible_total_ml(card),
        companions=card.companions or _known_companions(card, resources / "models" / f"{name}.yaml"),
    )
    return _carried(known, name, FACTS, resources)


def _carried(card: ModelCard, name: str, facts: Sequence[str], resources: Path) -> ModelCard:
    """Write weights, label table and card into the package's resources, and return the card there."""
    content = _checked_weights(card, facts)
    licence = LICENCE if card.weights.licence == "unspecified" else card.weights.licence
    target = resources / "weights" / f"{name}.safetensors"
    carried = replace(
        card,
        name=name,
        weights=replace(card.weights, file=f"../weights/{target.name}", licence=licence),
        source=resources / "models" / f"{name}.yaml",
    )
    table = _table_name(card.labels, name, resources)
    write_bytes(target, content)
    write_text(carried.source, card_text(carried, table))
    return read_card(carried.source)


def _known_companions(card: ModelCard, replaced: Path) -> Mapping[str, str]:
    """Return the companions of the model that a card replaces, if the card has the same labels and voxel size."""
    if not replaced.is_file():
        return {}
    before = read_card(replaced)
    same = before.labels.labels == card.labels.labels and before.grid.voxel_size_mm == card.grid.voxel_size_mm
    return before.companions if same else {}


def main(argv: Sequence[str] | None = None) -> int:
    """Adopt the model that the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m synthseg_core.models.make_default",
        description="Make a trained model the package's default one.",
    )
    parser.add_argument("card", type=Path, metavar="CARD", help="card of the model folder")
    parser.add_argument("--name", help=f"name in the package (default: {NAME}, with --beside that of the card)")
    parser.add_argument("--title", help="one line for lists (default: that of the card)")
    parser.add_argument("--quality", action="store_true", help="the card is that of a quality model for the default")
    parser.add_argument("--beside", action="store_true", help="carry it and leave the default as it is")
    options = parser.parse_args(argv)
    try:
        if options.beside:
            card = carry(options.card, options.name, title=options.title)
            sys.stdout.write(f"{card.name} is carried now: {card.source}\n")
            return 0
        if options.quality:
            card = adopt_quality(options.card, title=options.title)
        else:
            card = adopt(options.card, options.name or NAME, title=options.title)
    except SynthSegError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(f"{card.name} is the default model now: {card.source}\n")
    for task, name in card.companions.items():
        sys.stdout.write(f"{name} adds {task} to it{'' if options.quality else '; retrain it: make default-qc'}\n")
    return 0


def _checked_weights(card: ModelCard, facts: Sequence[str]) -> bytes:
    """Return the content of the weights file; refuse what should not be given away."""
    if missing := [fact for fact in facts if fact not in card.training]:
        remedy = "add it to the card; 'synthseg validate --record' adds the figures"
        raise card.fault(f"no {', '.join(missing)} below 'training'", f"all of {', '.join(facts)}", remedy)
    stored = verify(card)
    if stored.condition is not Condition.PUBLISHED or stored.path is None:
        found = f"weights that are {stored.condition.value} ({stored.detail})"
        raise card.fault(found, "the file that the card describes, with its checksum", "export the model again")
    content = stored.path.read_bytes()
    if len(content) > MAX_BYTES:
        found, remedy = f"{len(content)} bytes of weights", "export 16-bit weights, or train a smaller network"
        raise card.fault(found, f"at most {MAX_BYTES}", remedy)
    return content


def _plausible_total_ml(card: ModelCard) -> tuple[float, float] | None:
    """Return the range of the published model with the same structures inside the skull."""
    published = load_card(_PUBLISHED)
    return published.plausible_total_ml if published.total_labels == card.total_labels else None


def _table_name(labels: LabelTable, name: str, resources: Path) -> str:
    """Return what to call the package's table with these labels in a card; write one if there is none."""
    for known in LabelTable.builtin_names():
        if replace(LabelTable.builtin(known), name=labels.name) == labels:
            return known
    write_text(resources / "labels" / f"{name}.tsv", labels.to_tsv())
    return f"../labels/{name}.tsv"


if __name__ == "__main__":
    sys.exit(main())
