"""``synthseg models``: list, fetch, verify, locate, import, combine and convert models and their weights."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synthseg_core.errors import SynthSegError, UsageError
from synthseg_core.models.archived import import_archive, install
from synthseg_core.models.card import ModelCard
from synthseg_core.models.card_file import read_card, yaml_text
from synthseg_core.models.combining import combine
from synthseg_core.models.download import Watcher, fetch, mirrors_of
from synthseg_core.models.families import flag_of
from synthseg_core.models.nnunet_plan import ORIENTATIONS
from synthseg_core.models.registry import default_model, known_by_folder, load_card, registered_models, stored_cards
from synthseg_core.models.store import Condition, convert, import_folder, verify
from synthseg_core.models.weights import cache_folder, find_weights, locate, stores
from synthseg_core.system.paths import is_file
from synthseg_core.system.progress import StatusLine
from synthseg_core.system.words import counted

_GOOD = (Condition.PUBLISHED, Condition.UNKNOWN)
_REDRAW_S = 0.1
_LICENCE_WIDTH = 32  # the whole text is in --licenses


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = _action(actions, "list", _list, "list models: task, classes, voxel size, weights, licence")
    listing.add_argument("models", nargs="*", metavar="MODEL", help="name, or path of a model card; default: all")
    listing.add_argument("--json", action="store_true", help="as JSON")
    listing.add_argument("--licenses", action="store_true", help="licence and papers to cite of each model")
    listing.add_argument("--training", action="store_true", help="data, recipe, command and measured Dice of each")
    _add_weights(listing)
    fetching = _action(actions, "fetch", _fetch, "download weights; a download that was interrupted goes on")
    fetching.add_argument("models", nargs="*", metavar="MODEL", help="name, or path of a model card")
    fetching.add_argument("--all", action="store_true", help="every model that is one file with a known checksum")
    fetching.add_argument("--to", type=Path, metavar="DIR", help="folder; default: $SYNTHSEG_MODELS, or the cache")
    verifying = _action(actions, "verify", _verify, "read weights and compare them with the published checksums")
    verifying.add_argument("models", nargs="*", metavar="MODEL", help="name, or path of a model card; default: all")
    _add_weights(verifying)
    locating = _action(actions, "path", _path, "print the path of the weights that would be used")
    locating.add_argument("model", metavar="MODEL", help="name, or path of a model card")
    _add_weights(locating)
    importing = _action(actions, "import", _import, "take weights from a folder: FreeSurfer's, or an nnU-Net's")
    importing.add_argument(
        "folder", type=Path, metavar="FOLDER", help="weights files, or a trained nnU-Net with plans.json and fold_0"
    )
    importing.add_argument("--link", action="store_true", help="link instead of copying (weights files)")
    importing.add_argument("--to", type=Path, metavar="DIR", help="folder; default: $SYNTHSEG_MODELS, or the cache")
    nnunet = importing.add_argument_group("of an nnU-Net")
    nnunet.add_argument("--name", help="what the model is called then (default: as the folder)")
    nnunet.add_argument(
        "--model", metavar="NAME", help="registered model that the folder belongs to (default: seen by its name)"
    )
    nnunet.add_argument("--folds", type=int, nargs="+", metavar="N", help="take these folds (default: all)")
    nnunet.add_argument(
        "--orientation",
        choices=ORIENTATIONS,
        help="axes that the network sees: as stored, as nnU-Net does (default), or RAS",
    )
    combining = _action(actions, "combine", _combine, "put a segmentation model and its companions into one folder")
    combining.add_argument("model", metavar="MODEL", help="segmentation model: name, or path of a model card")
    combining.add_argument("--parcellation", metavar="CARD", help="model that divides the cortex")
    combining.add_argument("--quality", metavar="CARD", help="model that predicts quality")
    combining.add_argument("--name", help="of the whole (default: that of the folder)")
    combining.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    converting = _action(actions, "convert", _convert, "write weights as .safetensors or as Keras .h5")
    converting.add_argument("model", metavar="MODEL", help="name, or path of a model card")
    converting.add_argument("output", type=Path, metavar="FILE", help="file to write; its extension is the format")
    converting.add_argument("--half", action="store_true", help="16-bit floats (.safetensors only)")
    _add_weights(converting)


def run(options: argparse.Namespace) -> int:
    """Run the chosen action."""
    return options.act(options)


class TerminalWatcher(Watcher):
    """Shows a progress line on a terminal; writes plain lines elsewhere."""

    def __init__(self) -> None:
        self._line = StatusLine(interval_s=_REDRAW_S)
        self._began, self._first = time.monotonic(), None

    def note(self, line: str) -> None:
        """Write a line, over the progress line if there is one."""
        self._line.say(line)
        self._began, self._first = time.monotonic(), None

    def progress(self, received_bytes: int, size_bytes: int | None) -> None:
        """Redraw the progress line, a few times a second."""
        self._first = received_bytes if self._first is None else self._first
        speed = (received_bytes - self._first) / max(time.monotonic() - self._began, 1e-3)
        text = _progress_text(received_bytes, size_bytes, speed)
        self._line.draw(text, at_once=received_bytes == size_bytes)

    def finish(self) -> None:
        """Take the progress line away."""
        self._line.close()


def _action(actions: Any, name: str, act: Any, summary: str) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
    parser.set_defaults(act=act)
    return parser


def _add_weights(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", type=Path, metavar="DIR", help="look in this folder of yours instead")


def _cards(names: Sequence[str]) -> list[ModelCard]:
    return [load_card(name) for name in names or {**registered_models(), **stored_cards()}]


def _megabytes(size_bytes: float) -> str:
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 1e5 else f"{size_bytes / 1e3:.0f} kB"


def _progress_text(received_bytes: int, size_bytes: int | None, bytes_per_s: float) -> str:
    whole = f" of {_megabytes(size_bytes)}, {100 * received_bytes // size_bytes} %" if size_bytes else ""
    return f"  {_megabytes(received_bytes)}{whole}, {_megabytes(bytes_per_s)}/s"


# list


def _list(options: argparse.Namespace) -> int:
    cards = _cards(options.models)
    if options.json:
        print(json.dumps([_record(card, options.weights) for card in cards], indent=2))
    elif options.licenses:
        print("\n\n".join(_licence_text(card) for card in cards))
    elif options.training:
        print("\n\n".join(_training_text(card) for card in cards))
    else:
        _print_table([_HEADER, *(_row(_record(card, options.weights)) for card in cards)])
    return 0


_HEADER = ("NAME", "TASK", "CLASSES", "VOXELS", "SIZE", "WEIGHTS", "LICENCE")


def _record(card: ModelCard, folder: Path | None) -> dict[str, Any]:
    """Return what ``list`` says about a model; files are located, not read."""
    found = locate(card, folder)
    weights = card.weights
    return {
        "name": card.name,
        "title": card.title,
        "task": card.task,
        "classes": len(card.labels),
        "voxel_size_mm": card.grid.voxel_size_mm,
        "answer_voxel_size_mm": card.grid.answer_mm,
        "default": card.name == default_model(),
        "file": weights.file,
        "size_bytes": weights.size_bytes or (found[0].stat().st_size if found else None),
        "sha256": weights.sha256,
        "licence": weights.licence,
        "mirrors": len(mirrors_of(weights)) + len(weights.archive.urls if weights.archive else ()),
        "present": found is not None,
        "path": str(found[0]) if found else None,
        "place": found[1].name if found else None,
        "card": str(card.source),
        "training": dict(card.training),
    }


def _row(record: dict[str, Any]) -> tuple[str, ...]:
    size = _megabytes(record["size_bytes"]) if record["size_bytes"] else "-"
    absent = "not fetched" if record["mirrors"] else "missing"
    edge, answer = (f"{record[key]:g} mm" for key in ("voxel_size_mm", "answer_voxel_size_mm"))
    edge = edge if edge == answer else f"{edge}, answers {answer}"
    classes, licence = str(record["classes"]), textwrap.shorten(record["licence"], _LICENCE_WIDTH, placeholder=" ...")
    name = f"{record['name']} (default)" if record["default"] else record["name"]
    return (name, record["task"], classes, edge, size, record["path"] or absent, licence)


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _licence_text(card: ModelCard) -> str:
    cited = "".join(f"\n  cite: {paper}" for paper in card.citation)
    return f"{card.name}: {card.title}\n  weights {card.weights.file}: {card.weights.licence}{cited}"


def _training_text(card: ModelCard) -> str:
    facts = yaml_text(card.training).rstrip("\n") if card.training else "nothing is recorded"
    return f"{card.name}: {card.title}\n{textwrap.indent(facts, '  ')}"


# fetch


def _fetch(options: argparse.Namespace) -> int:
    if bool(options.models) == options.all:
        raise UsageError(
            "models fetch",
            found="names and --all" if options.all else "no model",
            expected="names of models, or --all",
            remedy="see 'synthseg models list'",
        )
    cards = [card for card in _cards(options.models) if not _is_left_out(card, named=not options.all)]
    folder = options.to or cache_folder()
    failures = [error for card in cards if (error := _fetch_one(card, folder)) is not None]
    if len(cards) == 1 and failures:
        raise failures[0]
    for error in failures:
        print(f"synthseg models: error: {error}", file=sys.stderr)
    return 1 if failures else 0


def _is_left_out(card: ModelCard, *, named: bool) -> bool:
    """Say whether there is nothing to fetch for a model, and tell the user; a named one without file is an error."""
    found, archive = locate(card), card.weights.archive
    if card.weights.urls and card.weights.sha256 is None and not named:
        print(f"{card.name}: a file without a published checksum, which is fetched by name alone", file=sys.stderr)
        return True
    if card.weights.urls or (archive is not None and named and found is None):
        return False
    if archive is not None and found is None:
        print(f"{card.name}: an archive of gigabytes, which is fetched by name alone", file=sys.stderr)
        return True
    if found is None and named:
        return False
    why = "its card gives no address" if found is None else f"{found[0]} is there"
    print(f"{card.name}: nothing to fetch: {why}", file=sys.stderr)
    return True


def _fetch_one(card: ModelCard, folder: Path) -> SynthSegError | None:
    """Fetch one model; a failure is returned, so that the others have their turn."""
    target = folder / Path(card.weights.file).name
    watcher = TerminalWatcher()
    print(f"{card.name}: licence of the weights: {card.weights.licence}", file=sys.stderr)
    try:
        if card.weights.archive is not None:
            print(f"{card.name}: fetched: {install(card, folder, watcher=watcher)}")
            return None
        done = fetch(card.weights, target, watcher=watcher)
    except SynthSegError as error:
        return error
    finally:
        watcher.finish()
    print(f"{card.name}: {'fetched' if done.mirror else 'was there already'}: {done.path}")
    return None


# verify, path


def _verify(options: argparse.Namespace) -> int:
    results = [verify(card, options.weights) for card in _cards(options.models)]
    _print_table([(r.name, r.condition.value, str(r.path or "-"), r.detail) for r in results])
    return 0 if all(result.condition in _GOOD for result in results) else 1


def _path(options: argparse.Namespace) -> int:
    found = find_weights(load_card(options.model), options.weights)
    for warning in found.warnings:
        print(f"synthseg models: warning: {warning}", file=sys.stderr)
    print(found.path)
    return 0


# import, combine, convert


def _import(options: argparse.Namespace) -> int:
    folder = options.to or cache_folder()
    given = [flag_of(name) for name in ("name", "model", "folds", "orientation") if getattr(options, name) is not None]
    if is_file(options.folder) or is_file(options.folder / "plans.json"):
        return _import_nnunet(options, folder)
    if given:
        raise UsageError(
            ", ".join(given),
            found=f"no plans.json in {options.folder}",
            expected="a trained nnU-Net",
            remedy="name the folder that holds plans.json, dataset.json and fold_0",
        )
    published = [card for card in _cards(()) if card.weights.urls]
    outcomes = import_folder(options.folder, folder, published, link=options.link)
    for outcome in outcomes:
        where = f" to {outcome.target}" if outcome.target else ""
        verdict = "" if outcome.target or not outcome.models else "not taken, "
        print(f"{outcome.source}: {verdict}{outcome.detail}{where}")
    if all(outcome.target for outcome in outcomes if outcome.models):
        return 0
    print("synthseg models: weights of your own need no import: give their folder with --weights DIR", file=sys.stderr)
    return 1


def _combine(options: argparse.Namespace) -> int:
    given = {"parcellation": options.parcellation, "quality": options.quality}
    companions = {task: load_card(name) for task, name in given.items() if name}
    segmenter = load_card(options.model)
    card = combine(segmenter, companions, options.out, options.name or options.out.resolve().name)
    if card.grid.answer_mm != segmenter.grid.answer_mm:
        print(f"label maps have voxels of {card.grid.answer_mm:g} mm now, those of the network: parcels ask for it")
    print(f"model: {card.source}\nit offers: {', '.join(('segmentation', *card.companions))}")
    return 0


def _import_nnunet(options: argparse.Namespace, store: Path) -> int:
    from synthseg_core.models.nnunet_import import import_nnunet

    if options.link:
        raise UsageError("--link", found="an nnU-Net", expected="weights files", remedy="leave it out: it is converted")
    stem = options.folder.resolve().name.removesuffix(".zip").removesuffix(".gz").removesuffix(".tar")
    template = load_card(options.model) if options.model else known_by_folder(stem)
    card = (import_archive if is_file(options.folder) else import_nnunet)(
        options.folder,
        store,
        name=options.name,
        template=template,
        folds=options.folds,
        orientation=options.orientation,
    )
    made = read_card(card)
    print(f"{options.folder}: {counted(len(made.networks), 'fold')} written to {card.with_name(made.weights.file)}")
    print(f"use it as --model {made.name if store in stores() else card}")
    return 0


def _convert(options: argparse.Namespace) -> int:
    card = load_card(options.model)
    found = find_weights(card, options.weights)
    for warning in found.warnings:
        print(f"synthseg models: warning: {warning}", file=sys.stderr)
    convert(card, found.path, options.output, half=options.half)
    print(f"{card.name}: {found.path} written as {options.output}")
    return 0
