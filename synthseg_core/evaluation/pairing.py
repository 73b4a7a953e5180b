"""Which segmentation is compared with which reference: from a table, or from folders, by name.

BIDS names match if all entities that a raw scan can have are equal, and those that derivatives add (``space``, ``seg``,
``res`` and so on) do not contradict each other more than elsewhere. Other names match if they are equal, or one goes on
after the other with an underscore: ``case7.nii.gz`` and ``case7_synthseg.nii.gz``. Nothing is paired by order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from synthseg_core.bids.names import DERIVED, BidsName, parse_name
from synthseg_core.errors import InputError, UsageError
from synthseg_core.images.formats import READABLE, extension
from synthseg_core.images.label_maps import stem
from synthseg_core.system.delimited import absolute, read_records
from synthseg_core.system.words import counted

# Suffixes of BIDS for label maps: several labels, or one.
_SUFFIXES = ("dseg", "mask")
_REQUIRED, _OPTIONAL = ("reference", "segmentation"), ("scan", "model", "mask", "posteriors")
_MODEL = "segmentation"  # the name of the only model


@dataclass(frozen=True)
class Pair:
    """A segmentation and its reference.

    Parameters
    ----------
    scan
        Name of the scan, for tables; the same for every model.
    model
        Name of what made the segmentation.
    reference, segmentation
        Label maps.
    mask
        Voxels to leave out, those that are not 0; ``None``: none.
    posteriors
        Of the segmentation, 4-D; ``None``: none.
    """

    scan: str
    model: str
    reference: Path
    segmentation: Path
    mask: Path | None = None
    posteriors: Path | None = None


@dataclass(frozen=True)
class Pairing:
    """All pairs, and the files that have no partner."""

    pairs: tuple[Pair, ...]
    unmatched: tuple[Path, ...] = ()


def pairs_from_table(path: Path) -> Pairing:
    """Return the pairs that a table lists.

    Parameters
    ----------
    path
        CSV or TSV with the columns ``reference`` and ``segmentation``, and any of ``scan``, ``model``, ``mask``
        and ``posteriors``; paths are relative to the folder of the table.

    Raises
    ------
    InputError
        If a column or file is missing, or a model has two segmentations of one scan.
    """
    header, records = (found := read_records(path))[:1], found[1:]
    columns = [cell.lower() for record in header for cell in record.cells]
    if missing := [column for column in _REQUIRED if column not in columns]:
        raise _table(path, f"the columns {', '.join(columns) or 'none'}", f"also {' and '.join(missing)}")
    pairs: list[Pair] = []
    for record in records:
        if record.problem or len(record.cells) > len(columns):
            problem = record.problem or f"{len(record.cells)} cells for {len(columns)} columns"
            raise _table(path, f"{problem} on line {record.line}", "a cell for each column")
        cells = dict(zip(columns, record.cells, strict=False))
        pairs.append(_listed_pair(path, record.line, cells))
    if not pairs:
        raise _table(path, "no rows", "a row for each pair")
    _require_single(path, pairs)
    return Pairing(tuple(pairs))


def pairs_from_folders(
    reference: Path,
    segmentations: Mapping[str, Path],
    wanted: Mapping[str, str] | None = None,
    wanted_of_segmentations: Mapping[str, str] | None = None,
) -> Pairing:
    """Match the label maps of folders by name; two single files are a pair whatever they are called.

    Parameters
    ----------
    reference
        Folder of true label maps, a BIDS derivative dataset, or one file.
    segmentations
        Name of each model and where its segmentations are, of the same kinds.
    wanted
        BIDS entities that references must have; an empty label: must not have.
    wanted_of_segmentations
        Those of segmentations; ``None``: the same.

    Raises
    ------
    InputError
        If there are no files, or it is not clear which one is meant.
    """
    truths = _files(reference, wanted or {})
    if reference.is_file() and all(folder.is_file() for folder in segmentations.values()):
        return Pairing(tuple(Pair(stem(reference), name, reference, file) for name, file in segmentations.items()))
    _require_one_a_scan(truths)
    pairs: list[Pair] = []
    unmatched: list[Path] = []
    for model, folder in segmentations.items():
        offered = _files(folder, (wanted if wanted_of_segmentations is None else wanted_of_segmentations) or {})
        partners = [(truth, _partner(truth, offered)) for truth in truths]
        taken = Counter(path for _, path in partners if path is not None)
        if doubled := [path for path, times in taken.items() if times > 1]:
            first, second = [truth.path for truth, path in partners if path == doubled[0]][:2]
            raise _unclear(doubled[0], f"a name that fits {first.name} and {second.name}")
        pairs += [Pair(truth.scan, model, truth.path, path) for truth, path in partners if path is not None]
        unmatched += [truth.path for truth, path in partners if path is None]
        unmatched += [other.path for other in offered if other.path not in taken]
    return Pairing(tuple(pairs), tuple(unmatched))


def with_masks(pairing: Pairing, masks: Path) -> Pairing:
    """Return the pairs with masks: one file for all, or those of a folder, matched with references by name.

    Raises
    ------
    InputError
        If a reference has no mask, or it is not clear which one is meant.
    """
    if masks.is_file():
        return Pairing(tuple(replace(pair, mask=masks) for pair in pairing.pairs), pairing.unmatched)
    offered = _files(masks, {}, ("mask",))

    def masked(pair: Pair) -> Pair:
        mask = _partner(_named(pair.reference), offered)
        if mask is None:
            raise InputError(
                masks,
                found=f"no mask for {pair.reference.name}",
                expected="one for each reference, with the same name",
                remedy="add it, or list the pairs with their masks in a table (--pairs)",
            )
        return replace(pair, mask=mask)

    return Pairing(tuple(map(masked, pairing.pairs)), pairing.unmatched)


def with_posteriors(pairing: Pairing, posteriors: Mapping[str, Path]) -> Pairing:
    """Return the pairs with the posteriors of their segmentations: a file, or those of a folder, matched by name.

    Parameters
    ----------
    pairing
        The pairs.
    posteriors
        By name of the model; other models have none.

    Raises
    ------
    InputError
        If a segmentation of such a model has no posteriors, or it is not clear which ones are meant.
    UsageError
        If there is no such model.
    """
    models = {pair.model for pair in pairing.pairs}
    if unknown := sorted(set(posteriors) - models):
        raise UsageError(
            "--posteriors",
            found=f"the name {unknown[0]}",
            expected=f"models that are compared: {', '.join(sorted(models))}",
            remedy="write NAME=PATH with the name of a model",
        )
    offered = {model: _files(place, {}, ("probseg",)) for model, place in posteriors.items()}

    def found(pair: Pair) -> Pair:
        if pair.model not in offered:
            return pair
        place = posteriors[pair.model]
        own = place if place.is_file() else _partner(_named(pair.segmentation), offered[pair.model])
        if own is None:
            raise InputError(
                place,
                found=f"no posteriors for {pair.segmentation.name}",
                expected="a 4-D image for each segmentation, with the same name",
                remedy="add it, or list the pairs with their posteriors in a table (--pairs)",
            )
        return replace(pair, posteriors=own)

    return Pairing(tuple(map(found, pairing.pairs)), pairing.unmatched)


@dataclass(frozen=True)
class _Named:
    """A label map and its name, taken apart where it is BIDS."""

    path: Path
    name: BidsName | None

    @property
    def scan(self) -> str:
        """The name without what says which kind of label map it is."""
        if self.name is None:
            return stem(self.path)
        kept = {key: label for key, label in self.name.entities.items() if key not in DERIVED or key == "space"}
        return str(BidsName(kept, "x")).removesuffix("_x")

    @property
    def raw(self) -> dict[str, str]:
        """Entities of the raw scan."""
        assert self.name is not None
        return {key: label for key, label in self.name.entities.items() if key not in DERIVED}


def _files(folder: Path, wanted: Mapping[str, str], suffixes: Sequence[str] = _SUFFIXES) -> list[_Named]:
    """Return the label maps of a folder: those of a derivative dataset, or all files that can be read.

    Of a dataset those with the first of the suffixes that it has.
    """
    if folder.is_file():
        return [_named(folder)]
    if not folder.is_dir():
        raise InputError(folder, found="no such file or folder", expected="label maps", remedy="check the path")
    in_dataset = any(folder.glob("sub-*/"))
    paths = folder.glob("sub-*/**/*") if in_dataset else folder.iterdir()
    images = (path for path in paths if extension(path) in READABLE and not path.name.startswith("."))
    named = [_named(path) for path in sorted(images)]
    if in_dataset:
        by_suffix = {suffix: [one for one in named if one.name and one.name.suffix == suffix] for suffix in suffixes}
        named = next(filter(None, by_suffix.values()), [])
    named = [one for one in named if one.name is None or _has(one.name, wanted)]
    if not named:
        asked = " with" + "".join(f" {key}={label}" for key, label in wanted.items()) if wanted else ""
        files = f"files that end in {', '.join(READABLE)}"
        raise InputError(
            folder,
            found=f"no label maps{asked}",
            expected="*_dseg.nii.gz in folders of participants" if in_dataset else files,
            remedy="check the folder and --filter",
        )
    return named


def _named(path: Path) -> _Named:
    try:
        name = parse_name(path.name)
    except InputError:
        return _Named(path, None)
    return _Named(path, name if "sub" in name.entities else None)


def _has(name: BidsName, wanted: Mapping[str, str]) -> bool:
    return all(name.entities.get(key, "") == label for key, label in wanted.items())


def _partner(truth: _Named, offered: Sequence[_Named]) -> Path | None:
    """Return the segmentation that a reference is compared with; ``None`` if there is none."""
    fitting = [other for other in offered if _fits(truth, other)]
    if len(fitting) > 1:
        marks = [_likeness(truth, other) for other in fitting]
        fitting = [other for other, mark in zip(fitting, marks, strict=True) if mark == max(marks)]
    if len(fitting) > 1:
        first, second = fitting[:2]
        raise _unclear(truth.path, f"two segmentations that fit, {first.path.name} and {second.path.name}")
    return fitting[0].path if fitting else None


def _fits(truth: _Named, other: _Named) -> bool:
    if truth.name is None or other.name is None:
        first, second = stem(truth.path), stem(other.path)
        return first == second or second.startswith(f"{first}_") or first.startswith(f"{second}_")
    spaces = {one.name.entities["space"] for one in (truth, other) if one.name and "space" in one.name.entities}
    return truth.raw == other.raw and len(spaces) < 2


def _likeness(truth: _Named, other: _Named) -> tuple[int, int]:
    """Say how alike two names are that both fit; larger is better."""
    if truth.name is None or other.name is None:
        return (int(stem(truth.path) == stem(other.path)), -abs(len(stem(truth.path)) - len(stem(other.path))))
    equal = sum(truth.name.entities.get(key) == other.name.entities.get(key) for key in DERIVED)
    return (equal, 0)


def _require_one_a_scan(truths: Iterable[_Named]) -> None:
    """Refuse two references of one scan, for instance on its own grid and at 1 mm."""
    seen: dict[str, Path] = {}
    for truth in truths:
        if truth.scan in seen:
            raise _unclear(truth.path, f"a second reference of one scan, beside {seen[truth.scan].name}")
        seen[truth.scan] = truth.path


def _listed_pair(table: Path, line: int, cells: Mapping[str, str]) -> Pair:
    paths: dict[str, Path | None] = {}
    for column in (*_REQUIRED, "mask", "posteriors"):
        text = cells.get(column, "")
        path = absolute(table.parent / Path(text).expanduser()) if text else None
        if (path is None and column in _REQUIRED) or (path is not None and not path.is_file()):
            raise _table(table, f"{text or 'an empty cell'} in column {column} on line {line}", "a file that exists")
        paths[column] = path
    reference, segmentation = paths["reference"], paths["segmentation"]
    assert reference is not None
    assert segmentation is not None
    return Pair(
        cells.get("scan") or _named(reference).scan,
        cells.get("model") or _MODEL,
        reference,
        segmentation,
        paths["mask"],
        paths["posteriors"],
    )


def _require_single(table: Path, pairs: Sequence[Pair]) -> None:
    (scan, model), times = Counter((pair.scan, pair.model) for pair in pairs).most_common(1)[0]
    if times > 1:
        raise _table(
            table,
            f"{counted(times, 'row')} for scan {scan} and model {model}",
            "one; columns scan and model tell them apart",
        )


def require_all_matched(pairing: Pairing) -> None:
    """Refuse files without a partner.

    Raises
    ------
    UsageError
        If there are any, or no pair at all.
    """
    if not pairing.pairs:
        raise UsageError(
            "pairs",
            found="no segmentation whose name fits a reference",
            expected="equal names, or BIDS names of the same scans",
            remedy="rename the files, or list the pairs in a table (--pairs)",
        )
    if pairing.unmatched:
        names = ", ".join(path.name for path in pairing.unmatched[:3])
        more = f" and {len(pairing.unmatched) - 3} more" if len(pairing.unmatched) > 3 else ""
        raise UsageError(
            "pairs",
            found=f"{counted(len(pairing.unmatched), 'label map')} without partner: {names}{more}",
            expected="a segmentation of every model for every reference",
            remedy="add what is missing, or leave them out with --unmatched skip",
        )


def _unclear(path: Path, found: str) -> InputError:
    return InputError(
        path,
        found=found,
        expected="one that is meant",
        remedy="choose with --filter or --segmentation-filter KEY=LABEL, or list pairs (--pairs)",
    )


def _table(path: Path, found: str, expected: str) -> InputError:
    return InputError(path, found=found, expected=expected, remedy="correct the table")
