"""What a search saw and did not list: counts by kind, so that nothing is left out in silence.

The scan table lists every image that somebody may have meant. What is plainly something else, such as a map or a
functional scan, is counted here and told in a line.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from synthseg_core.bids.search import BIDS_EXTENSIONS, foreign_format, is_image
from synthseg_core.system.file_identity import FileKind, kind_of_file
from synthseg_core.system.words import counted

_KINDS_SHOWN = 8
_MP2RAGE = (
    "MP2RAGE images are parts of a scan; the UNIT1 image that was made of them is segmented, also from a derivative "
    "dataset with --derivatives"
)
_LABELS_SHOWN = 5
# Of a folder that is looked through only to say what is in it.
_MOST_LOOKED_AT = 2000
_MOST_SNIFFED = 20


@dataclass
class Tally:
    """Counts of what one search left out.

    Parameters
    ----------
    other
        Images of kinds that nobody asked for, by suffix.
    formats
        Images in formats that are not read, by extension.
    datatypes
        Folders of data types that are not searched, by name.
    folders
        Folders at the top that are no participants, by name.
    ignored
        Scans that ``.bidsignore`` leaves out, by suffix.
    overruled
        Scans that ``.bidsignore`` names and that are taken, since they are asked for by name.
    without
        Participants and sessions without any scan of the kinds that are searched.
    participants
        All participants, with ``sub-``.
    notes
        How the input was read, in whole lines.
    """

    other: Counter[str] = field(default_factory=Counter[str])
    formats: Counter[str] = field(default_factory=Counter[str])
    datatypes: Counter[str] = field(default_factory=Counter[str])
    folders: Counter[str] = field(default_factory=Counter[str])
    ignored: Counter[str] = field(default_factory=Counter[str])
    overruled: Counter[str] = field(default_factory=Counter[str])
    without: list[str] = field(default_factory=list[str])
    participants: set[str] = field(default_factory=set[str])
    notes: list[str] = field(default_factory=list[str])

    def lines(self, participants: Collection[str] = ()) -> list[str]:
        """Return one line for each kind of what was left out.

        Parameters
        ----------
        participants
            Those that a run is about, with ``sub-``; empty: all.
        """
        without = [label for label in self.without if not participants or label in participants]
        images = [
            (self.other, "of other kinds, not taken", "; --suffixes takes them"),
            (self.formats, "in formats that are not read", "; convert them to .nii.gz"),
            (self.ignored, "left out by .bidsignore", ""),
            (self.overruled, "taken although .bidsignore names their kind, which was asked for", ""),
        ]
        lines = [
            f"{counted(sum(counts.values()), 'image')} {what}: {kinds_text(counts)}{remedy}"
            for counts, what, remedy in images
            if counts
        ]
        if self.other["MP2RAGE"]:
            lines.append(_MP2RAGE)
        if without:
            lines.append(f"{counted(len(without), 'participant')} without a scan of these kinds: {_first(without)}")
        return [*self.notes, *lines]

    def parts(self) -> list[str]:
        """Return the same in few words, and which folders are not searched, for a message that there is no scan."""
        found = [
            (self.other, "other kinds: {}"),
            (self.formats, "formats that are not read: {}"),
            (self.ignored, ".bidsignore leaves out: {}"),
            (self.datatypes, "folders that are not searched: {}"),
            (self.folders, "other folders: {}"),
        ]
        return [*self.notes, *(text.format(kinds_text(counts)) for counts, text in found if counts)]


def kinds_text(counts: Mapping[str, int]) -> str:
    """Return kinds with their counts, the most frequent first and the first few of many."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    more = [f"{counted(len(ranked) - _KINDS_SHOWN, 'more kind')}"] if len(ranked) > _KINDS_SHOWN else []
    return ", ".join([*(f"{kind} {count}" for kind, count in ranked[:_KINDS_SHOWN]), *more])


def nearest(label: str, known: Collection[str]) -> str:
    """Return the known label that was perhaps meant, prefixes included; empty if none is near.

    ``sub-1`` may stand for ``sub-01`` or ``sub-P001`` and ``sub-ab`` for ``sub-AB``, but never for another number.
    """
    prefix, _, name = label.partition("-")
    alike = [other for other in known if other.startswith(f"{prefix}-") and _number(other) == _number(label)]
    same = [other for other in alike if _folded(other) == _folded(label)]
    names = sorted(other.partition("-")[2] for other in alike)
    near = get_close_matches(name, names, 1, 0.0 if name.isdigit() else 0.75)
    return next(iter(sorted(same) or [f"{prefix}-{other}" for other in near]), "")


def image_in(folder: Path) -> str:
    """Return the path of some image or DICOM file below a folder, relative to it; empty if there seems to be none."""
    return next(iter(_images_in(folder)), ("", ""))[0]


def formats_in(folder: Path) -> Counter[str]:
    """Count the images of a folder whose formats are not read, among its first few thousand files."""
    return Counter(kind for _, kind in _images_in(folder) if kind)


def _images_in(folder: Path) -> Iterator[tuple[str, str]]:
    """Return images with their formats if these are not read; what has no extension is looked into."""
    sniffed = 0
    for path in islice(_files_in(folder), _MOST_LOOKED_AT):
        name = path.rpartition("/")[2]
        kind = foreign_format(name)
        if not kind and not _has_extension(name) and sniffed < _MOST_SNIFFED:
            sniffed += 1
            kind = "DICOM" if _is_dicom(folder / path) else ""
        if kind or is_image(name, BIDS_EXTENSIONS):
            yield path, kind


def _files_in(folder: Path) -> Iterator[str]:
    for here, subfolders, names in os.walk(folder):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        place = "" if here == str(folder) else f"{os.path.relpath(here, folder)}/".replace(os.sep, "/")
        yield from (f"{place}{name}" for name in sorted(names))


def _has_extension(name: str) -> bool:
    """Say whether a name has an extension; the numbers in names of DICOM files are none."""
    return not name.rpartition(".")[2].isdigit() and "." in name


def _is_dicom(path: Path) -> bool:
    try:
        return path.is_file() and kind_of_file(path) is FileKind.DICOM
    except OSError:
        return False


def _number(label: str) -> str:
    return "".join(letter for letter in label if letter.isdigit()).lstrip("0")


def _folded(label: str) -> str:
    prefix, _, name = label.rpartition("-")
    return f"{prefix}-{name.lower().lstrip('0')}"


def _first(labels: Sequence[str]) -> str:
    more = [f"and {len(labels) - _LABELS_SHOWN} more"] if len(labels) > _LABELS_SHOWN else []
    return ", ".join([*sorted(labels)[:_LABELS_SHOWN], *more])
