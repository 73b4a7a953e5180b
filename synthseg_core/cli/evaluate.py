"""``synthseg evaluate``: compare segmentations with reference label maps, and models with one another."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthseg_core import __version__
from synthseg_core.errors import InputError, UsageError
from synthseg_core.system.paths import resource, resource_names
from synthseg_core.system.words import counted

if TYPE_CHECKING:
    from synthseg_core.evaluation.comparison import Structure
    from synthseg_core.evaluation.evaluate import Evaluation
    from synthseg_core.evaluation.pairing import Pairing
    from synthseg_core.evaluation.results import Results

_RESAMPLE = ("never", "segmentation", "reference")  # as in evaluation.evaluate, which loads scipy
_ALTERNATIVES = ("two-sided", "less", "greater")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    _add_pairs(parser.add_argument_group("what is compared"))
    _add_measures(parser.add_argument_group("how"))
    out = parser.add_argument_group("outputs")
    out.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for tables, pictures and the page")
    out.add_argument("--no-page", action="store_true", help="tables only: no box plots and no evaluation.html")
    out.add_argument("--jobs", "--threads", type=int, metavar="N", help="pairs at once (default: all cores)")


def _add_pairs(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--reference", type=Path, metavar="PATH", help="true label maps: a folder, a dataset, or a file")
    group.add_argument(
        "--segmentation",
        nargs="+",
        metavar="[NAME=]PATH",
        help="segmentations, matched with the references by name; several models as NAME=PATH",
    )
    group.add_argument(
        "--pairs",
        type=Path,
        metavar="TABLE",
        help="instead: columns reference, segmentation [scan, model, mask, posteriors]",
    )
    group.add_argument(
        "--filter", nargs="+", default=[], metavar="KEY=LABEL", help="only files with these entities, such as res=1mm"
    )
    group.add_argument(
        "--segmentation-filter",
        nargs="+",
        default=[],
        metavar="KEY=LABEL",
        help="only segmentations with these entities, such as seg=synthseg",
    )
    group.add_argument(
        "--unmatched",
        choices=("refuse", "skip"),
        default="refuse",
        help="what to do if a file has no partner (default: %(default)s)",
    )
    group.add_argument(
        "--posteriors",
        nargs="+",
        default=[],
        metavar="[NAME=]PATH",
        help="4-D posteriors of a model too, for soft Dice: a folder, matched by name, or a file",
    )
    group.add_argument(
        "--posterior-labels",
        nargs="+",
        metavar="N|TABLE",
        help="label of each of their channels, background included: values, or a label table such as segmentation_2.0",
    )
    group.add_argument(
        "--masks", type=Path, metavar="PATH", help="voxels to leave out (not 0): a folder, matched by name, or a file"
    )


def _add_measures(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--labels",
        nargs="+",
        metavar="N|TABLE",
        help="structures: values, a label table such as segmentation_2.0, or a TSV with label and name (default: all)",
    )
    names = ", ".join(resource_names("groupings", ".tsv"))
    group.add_argument(
        "--groups", nargs="+", default=[], metavar="NAME|TSV", help=f"sums of structures too: {names}, or a table"
    )
    group.add_argument("--no-surfaces", action="store_true", help="no surface distances, which take most of the time")
    group.add_argument(
        "--resample",
        choices=_RESAMPLE,
        default="never",
        help="what goes to the other one's grid, with nearest neighbours (default: %(default)s)",
    )
    group.add_argument(
        "--compatibility",
        choices=("none", "reference"),
        default="none",
        help="reference: Dice and absent structures as SynthSeg's evaluation has them; needs --labels",
    )
    group.add_argument("--tests", action="store_true", help="tests between models must be possible, or nothing starts")
    group.add_argument(
        "--alternative", choices=_ALTERNATIVES, default="two-sided", help="of these tests (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Match, compare, and write everything."""
    _check_words(args)
    from synthseg_core.evaluation.comparison_tables import write_tables
    from synthseg_core.evaluation.evaluate import evaluate, require_labels
    from synthseg_core.system.progress import CountLine

    pairing = _pairing(args)
    if any(pair.posteriors for pair in pairing.pairs) and not args.posterior_labels:
        raise UsageError(
            "--posterior-labels",
            found="none",
            expected="the label of each channel of the posteriors",
            remedy="name the label table of the model, such as segmentation_2.0, or a file of its own",
        )
    evaluation = _evaluation(args)
    tested = _tested(args, pairing)
    if not args.no_page:
        from synthseg_core.evaluation.page import require_page
        from synthseg_core.images.figures import require_matplotlib

        require_matplotlib("--out", "add --no-page")
        require_page()
    if args.labels:
        wanted = [label for structure in evaluation.structures or () for label in structure.labels]
        require_labels(pairing.pairs, wanted, evaluation.resample, every=_are_values(args.labels))
    args.out.mkdir(parents=True, exist_ok=True)
    with CountLine("comparing") as progress:
        results = evaluate(pairing.pairs, evaluation, jobs=_jobs(args.jobs), progress=progress)
    for failure in results.failures:
        print(f"synthseg evaluate: FAILED {failure.line()}", file=sys.stderr)
    if not results.compared:
        return 2 if len(pairing.pairs) == 1 else 1
    facts = _facts(args, pairing, results)
    write_tables(args.out, results, facts, args.alternative if tested else None)
    if not args.no_page:
        from synthseg_core.evaluation.page import write_page

        write_page(args.out, results, facts, args.alternative if tested else None)
    _sum_up(args.out, results)
    return 1 if results.failures else 0


def _check_words(args: argparse.Namespace) -> None:
    """Refuse combinations that say nothing."""
    if (args.pairs is None) == (args.reference is None) or (args.reference is None) != (not args.segmentation):
        raise UsageError(
            "evaluate",
            found="no pairs" if args.pairs is None else "a table of pairs and folders",
            expected="--reference with --segmentation, or --pairs",
            remedy="say what is compared with what",
        )
    if args.compatibility == "reference" and not args.labels:
        raise UsageError(
            "--compatibility",
            found="reference without --labels",
            expected="the structures that are asked for, since absent ones count",
            remedy="add --labels, for instance --labels segmentation_2.0",
        )
    if args.jobs is not None and args.jobs < 1:
        raise UsageError("--jobs", found=str(args.jobs), expected="1 or more", remedy="give a number of processes")


def _pairing(args: argparse.Namespace) -> Pairing:
    from synthseg_core.evaluation.pairing import (
        Pairing,
        pairs_from_folders,
        pairs_from_table,
        require_all_matched,
        with_masks,
        with_posteriors,
    )

    if args.pairs is not None:
        return pairs_from_table(args.pairs)
    wanted, further = _entities(args.filter), _entities(args.segmentation_filter)
    pairing = pairs_from_folders(args.reference, _models(args.segmentation), wanted, wanted | further)
    if args.unmatched == "skip" and pairing.pairs:
        for path in pairing.unmatched:
            print(f"synthseg evaluate: note: {path} has no partner and is left out", file=sys.stderr)
        pairing = Pairing(pairing.pairs)
    require_all_matched(pairing)
    if args.posteriors:
        models = {pair.model for pair in pairing.pairs}
        named = [word if "=" in word or len(models) > 1 else f"{min(models)}={word}" for word in args.posteriors]
        pairing = with_posteriors(pairing, _models(named))
    return pairing if args.masks is None else with_masks(pairing, args.masks)


def _models(words: Sequence[str]) -> dict[str, Path]:
    """Return name and place of each model; without a name that of the folder."""
    models: dict[str, Path] = {}
    for word in words:
        name, separator, place = word.partition("=")
        path = Path(place if separator and not Path(word).exists() else word)
        name = name if str(path) == place else path.resolve().name.partition(".")[0]
        if name in models or not name:
            raise UsageError(
                "--segmentation",
                found=f"the name {name or '(none)'} twice" if name else "no name",
                expected="a name for each model",
                remedy="write NAME=PATH",
            )
        models[name] = path
    return models


def _entities(words: Sequence[str]) -> dict[str, str]:
    for word in words:
        if "=" not in word:
            raise UsageError("--filter", found=word, expected="KEY=LABEL, such as res=1mm", remedy="correct the words")
    return {key: label for key, _, label in (word.partition("=") for word in words)}


def _evaluation(args: argparse.Namespace) -> Evaluation:
    from synthseg_core.evaluation.comparison import Options, Structure
    from synthseg_core.evaluation.evaluate import Evaluation
    from synthseg_core.labels.known import known_entries
    from synthseg_core.labels.table import LabelTable

    names = {value: entry.name for value, entry in known_entries().items()}
    for table in map(LabelTable.builtin, ("parcellation_2.0", "segmentation_2.0")):
        names |= dict(zip(table.labels, table.names, strict=True))
    empty = "reference" if args.compatibility == "reference" else "absent"
    return Evaluation(
        _structures(args.labels, names) if args.labels else None,
        tuple(Structure(name, labels) for word in args.groups for name, labels in _groups(word).items()),
        names,
        Options(surfaces=not args.no_surfaces, empty=empty),
        args.resample,
        _channels(args.posterior_labels or ()),
    )


def _channels(words: Sequence[str]) -> tuple[int, ...]:
    """Return the labels of the channels of posteriors."""
    from synthseg_core.labels.table import LabelTable

    if _are_values(words):
        return tuple(map(int, words))
    tables = (LabelTable.builtin(w) if w in LabelTable.builtin_names() else LabelTable.read(Path(w)) for w in words)
    return tuple(label for table in tables for label in table.labels)


def _structures(words: Sequence[str], names: Mapping[int, str]) -> tuple[Structure, ...]:
    """Return the structures of values, of a table of the package, or of a user's table; background left out."""
    from synthseg_core.evaluation.comparison import Structure, single_structures
    from synthseg_core.labels.table import LabelTable
    from synthseg_core.system.tables import read_tsv

    if _are_values(words):
        return tuple(single_structures(list(dict.fromkeys(map(int, words))), dict(names)))
    found: dict[int, str] = {}
    for word in words:
        if word in LabelTable.builtin_names():
            table = LabelTable.builtin(word)
            found |= dict(zip(table.labels, table.names, strict=True))
        else:
            found |= {_value(row["label"], word): row["name"] for row in read_tsv(Path(word), ("label", "name"))}
    return tuple(Structure(name, (value,)) for value, name in found.items() if value != 0)


def _are_values(words: Sequence[str]) -> bool:
    return all(word.isdecimal() for word in words)


def _value(text: str, table: str) -> int:
    if not text.strip().isdecimal():
        raise InputError(table, found=f"{text!r} as label", expected="a whole number", remedy="correct the table")
    return int(text)


def _groups(word: str) -> dict[str, tuple[int, ...]]:
    """Return the sums of a grouping of the package, or of a table with the columns group, label and name."""
    from synthseg_core.reports.volumes import read_sums

    known = word in resource_names("groupings", ".tsv")
    sums = read_sums(resource("groupings", f"{word}.tsv") if known else Path(word))
    return {one.name: tuple(_value(label, word) for label, _ in one.members) for one in sums}


def _tested(args: argparse.Namespace, pairing: Pairing) -> bool:
    """Say whether there is something to test: several models, and enough scans."""
    from synthseg_core.evaluation.statistics import LEAST_SCANS

    models, scans = ({getattr(pair, key) for pair in pairing.pairs} for key in ("model", "scan"))
    possible = len(models) > 1 and len(scans) >= LEAST_SCANS
    if not possible and args.tests:
        raise UsageError(
            "--tests",
            found=f"{counted(len(models), 'model')} and {counted(len(scans), 'scan')}",
            expected=f"at least two models and {LEAST_SCANS} scans",
            remedy="add scans or models, or leave out --tests",
        )
    if len(models) > 1 and not possible:
        print(
            f"synthseg evaluate: note: no tests between models, which need {LEAST_SCANS} scans; there are {len(scans)}",
            file=sys.stderr,
        )
    return possible


def _jobs(asked: int | None) -> int:
    return asked or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else asked or os.cpu_count() or 1


def _facts(args: argparse.Namespace, pairing: Pairing, results: Results) -> dict[str, Any]:
    """Return what the tables were made from, and how."""
    return {
        "version": __version__,
        "models": list(results.models),
        "scans": len(results.scans),
        "pairs": len(pairing.pairs),
        "failed": len(results.failures),
        "options": {
            "surfaces": not args.no_surfaces,
            "resample": args.resample,
            "compatibility": args.compatibility,
            "alternative": args.alternative,
            "masks": any(pair.mask for pair in pairing.pairs),
        },
    }


def _sum_up(folder: Path, results: Results) -> None:
    from synthseg_core.evaluation.results import MEAN, MEASURES
    from synthseg_core.evaluation.statistics import summarise

    for model in results.models:
        dice = summarise(results.values(model, MEASURES[0])[MEAN])
        print(f"{model}: mean Dice {dice.mean:.4f} over {counted(dice.scans, 'scan')}")
    print(f"written to {folder}")
