"""Names of scans whose files have no BIDS names, from the paths of the files.

The rule: the words at the end of a file's name that speak of a contrast, such as ``T1`` or ``T2 FLAIR``, are the suffix
of the scan, and so is a folder that is called after one; all the rest of the path names the participant. So
``Smith Anna/T1.nii`` and ``Smith Anna/FLAIR.nii`` are two scans of one participant. Where no word speaks of a contrast,
each file is a participant of its own: two people must never become one.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from synthseg_core.bids.names import UNNAMED_SUFFIX, ScanName, derivative, label_from, parse_stem
from synthseg_core.bids.scan_row import ScanRow, named_row
from synthseg_core.bids.search import FOLDER_EXTENSIONS, scan_name
from synthseg_core.bids.tally import Tally
from synthseg_core.errors import InputError

# In lower case.
_CONTRASTS = frozenset(
    (
        *("t1", "t1w", "t1c", "t1ce", "t1gd", "t1n", "t2", "t2w", "t2f", "t2star", "t2starw", "flair", "t2flair"),
        *("pd", "pdw", "mprage", "mp2rage", "unit1", "spgr", "fspgr", "bravo", "flash", "swi", "stir", "fgatir", "ct"),
    )
)
# Words that say more about a scan, and nothing about a person.
_DETAILS = frozenset(
    (
        *("2d", "3d", "ax", "axial", "tra", "transversal", "sag", "sagittal", "cor", "coronal", "iso", "weighted"),
        *("brain", "head", "scan", "image", "img", "raw", "orig", "original", "native", "defaced", "se", "tse", "gre"),
        *("gd", "contrast", "pre", "post", "star"),
    )
)
_WORDS = re.compile(r"[^\W_]+")
_ASCII = re.compile(r"[0-9a-zA-Z]+")
_SHOWN = 3


@dataclass(frozen=True)
class PathName:
    """What a path says of a scan.

    Parameters
    ----------
    person
        The part of the path that names the participant.
    suffix
        Word for the contrast, as written; ``orig`` if there is none.
    """

    person: str
    suffix: str

    @property
    def has_contrast(self) -> bool:
        """Whether a word speaks of the contrast; otherwise the person is the whole path."""
        return self.suffix != UNNAMED_SUFFIX

    @property
    def label(self) -> str:
        """Label of the participant; empty if the path has neither letter nor digit."""
        return label_from(self.person)


def name_from_path(path: str) -> PathName:
    """Return what a file's path, relative to its dataset, says of the scan."""
    bare = _without_extension(path)
    *above, name = bare.split("/")
    rest, contrast = _split_name(name)
    folder = next((number for number in reversed(range(len(above))) if above[number].lower() in _CONTRASTS), None)
    if folder is not None:
        contrast = _joined(above.pop(folder), contrast)
    if above and label_from(rest) == label_from(above[-1]):
        rest = ""
    person = "/".join(filter(None, [*above, rest]))
    if not (contrast and label_from(person)):
        return PathName(bare, UNNAMED_SUFFIX)
    return PathName(person, label_from(contrast))


def former_label(path: str) -> str:
    """Return the label that earlier versions made of a whole path; empty if they could make none."""
    return ascii_label(_without_extension(path))


def ascii_label(text: str) -> str:
    """Return the unaccented Latin letters and the digits of any text."""
    return "".join(_ASCII.findall(text))


def former_stem(row: ScanRow) -> str:
    """Return the stem that earlier versions gave to a scan without a BIDS name; empty if it is the same, or none."""
    label = former_label(row.path)
    stem = ScanName({"sub": label}, UNNAMED_SUFFIX).stem if label else ""
    return stem if stem != row.scan else ""


def bids_name(path: str) -> ScanName | None:
    """Return the name of a file outside of BIDS datasets, if it is one of BIDS."""
    try:
        return scan_name(path.rpartition("/")[2], FOLDER_EXTENSIONS, "anat")
    except InputError:
        return None


def without_mixed_people(rows: Iterable[ScanRow], people: Mapping[str, str]) -> list[ScanRow]:
    """Refuse scans whose paths name people in different ways, but with the same letters and digits.

    Parameters
    ----------
    rows
        Of a plain folder.
    people
        By path, the persons of those scans that are named after their paths.
    """
    rows = list(rows)
    written: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.scan and row.path in people:
            written[row.participant_id].add(people[row.path])
    mixed = {label: " and ".join(sorted(texts)) for label, texts in written.items() if len(texts) > 1}
    return [_refused(row, mixed) if row.path in people else row for row in rows] if mixed else rows


def with_former_names(
    rows: Iterable[ScanRow], former_of: Callable[[ScanRow], str], results: Path | None, tally: Tally
) -> list[ScanRow]:
    """Return rows with the names of earlier versions where results have them, so that nothing is made again.

    Parameters
    ----------
    rows
        Of a plain folder or of a table.
    former_of
        Tells the stem that earlier versions gave to a scan; empty if it is the same.
    results
        Derivative dataset of earlier runs; ``None``: there is none.
    tally
        Is told which names stayed, and which results belong to nobody any more.
    """
    rows = list(rows)
    if results is None or not results.is_dir():
        return rows
    former: dict[str, list[ScanRow]] = defaultdict(list)
    for row in rows:
        if row.usable and (stem := former_of(row)):
            former[stem].append(row)
    made = {stem: own for stem, own in former.items() if _is_made(results, stem)}
    kept = {own[0]: stem for stem, own in made.items() if len(own) == 1 and not _is_made(results, own[0].scan)}
    _tell_names(tally, [(row.path, stem) for row, stem in kept.items()], made)
    return [_renamed(row, kept[row]) if row in kept else row for row in rows]


def _refused(row: ScanRow, mixed: dict[str, str]) -> ScanRow:
    if row.problem or row.participant_id not in mixed:
        return row
    label = row.participant_id
    return replace(row, problem=f"{mixed[label]} both become {label}; rename one, or list the scans in a table")


def _renamed(row: ScanRow, stem: str) -> ScanRow:
    own = named_row(parse_stem(stem), row.path, row.source)
    return replace(own, model=row.model, ct=row.ct)


def _is_made(results: Path, stem: str) -> bool:
    return (results / derivative(stem, "dseg")).is_file()


def _tell_names(tally: Tally, kept: Sequence[tuple[str, str]], made: dict[str, list[ScanRow]]) -> None:
    for path, stem in kept[:_SHOWN]:
        tally.notes.append(f"{path} keeps the name of its earlier results, {stem.partition('/')[0]}")
    if len(kept) > _SHOWN:
        tally.notes.append(f"so do {len(kept) - _SHOWN} more; another output folder gives them names by today's rules")
    for stem, rows in made.items():
        if len(rows) > 1:
            paths = " or ".join(row.path for row in rows)
            tally.notes.append(f"earlier results of {stem.partition('/')[0]} belong to {paths}: these are made again")


def _without_extension(path: str) -> str:
    extension = next((end for end in FOLDER_EXTENSIONS if path.lower().endswith(end)), "")
    return path[: len(path) - len(extension)]


def _joined(folder: str, words: str) -> str:
    """Return what folder and file say of the contrast, once if both say the same."""
    return words if words.lower().startswith(folder.lower()) else f"{folder} {words}"


def _split_name(name: str) -> tuple[str, str]:
    """Split a file's name before the words at its end that speak of the scan; without a contrast there are none."""
    start, contrast = len(name), False
    for word in reversed(list(_WORDS.finditer(name))):
        folded = word[0].lower()
        if folded not in _CONTRASTS and folded not in _DETAILS:
            break
        start, contrast = word.start(), contrast or folded in _CONTRASTS
    return (name[:start].rstrip(" _-.,"), name[start:]) if contrast else (name, "")
