"""Search a BIDS dataset, fast and without loading a dataset library.

Datasets have tens of thousands of folders, so each is listed once, paths stay text, and what follows ``sub-01_ses-2_``
in a name is judged once for all scans that share it. Whatever somebody may have meant as a scan, or as the folder of
some, comes back with a reason; what is plainly something else is counted.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

from synthseg_core.bids.names import ScanName, parse_name
from synthseg_core.bids.scan_row import NOT_DOWNLOADED, ScanRow, file_problem, folder_row, named_row, nameless_row
from synthseg_core.bids.search import (
    BIDS_EXTENSIONS,
    DATATYPES,
    OTHER_DATATYPES,
    Search,
    foreign_format,
    is_image,
    scan_name,
)
from synthseg_core.bids.stray_folders import NO_PARTICIPANTS, participant_like, session_like
from synthseg_core.bids.tally import Tally, image_in
from synthseg_core.errors import InputError

_LABEL = re.compile(r"[0-9a-zA-Z+]+")
# Keys that stand before or at the place of ``ses``: what follows cannot be judged alone.
_LEADING = ("tpl", "ses")
# What lies beside scans in every folder and is none: these are most files, so they are passed by first.
_SIDECARS = (".json", ".tsv", ".bval", ".bvec", ".tsv.gz", ".txt", ".hdr")
_SUBMODULE = re.compile(r"^\s*path\s*=\s*(.+?)\s*$", re.MULTILINE)

Content = Mapping[str, os.DirEntry[str]]


@dataclass(frozen=True)
class _Level:
    """A ``sub-`` or ``ses-`` folder.

    Parameters
    ----------
    path
        Relative to the dataset.
    session
        With ``ses-``; empty for the participant's own folder.
    """

    path: str
    participant: str
    session: str = ""

    @property
    def prefix(self) -> str:
        """How the names of files that belong here begin."""
        return f"{self.participant}_{self.session}_" if self.session else f"{self.participant}_"

    @property
    def is_regular(self) -> bool:
        """Whether names that begin with the prefix can be names of scans at all."""
        labels = (self.participant, self.session) if self.session else (self.participant,)
        return all(_LABEL.fullmatch(label[4:]) for label in labels)


@dataclass(frozen=True)
class BidsTree:
    """A dataset that is searched in ``sub-*/[ses-*/]<datatype>``: a fixed depth, so that linked folders cannot loop.

    Parameters
    ----------
    root
        Absolute.
    tally
        Is told what is left out.
    """

    root: str
    search: Search
    tally: Tally

    def rows(self) -> Iterator[ScanRow]:
        """Return a row for each image that is or looks like a scan, and for each folder that cannot be searched."""
        with os.scandir(self.root) as entries:
            content = {entry.name: entry for entry in entries}
        for name, entry in content.items():
            if name.startswith("sub-") and _is_folder(entry):
                yield from self._participant_rows(name)
            else:
                yield from self._top_rows(name, entry)

    def _participant_rows(self, name: str) -> Iterator[ScanRow]:
        self.tally.participants.add(name)
        is_empty = True
        for row in self._rows_or_problem(_Level(name, name)):
            is_empty = False
            yield row
        if is_empty:
            self.tally.without.append(name)

    def _top_rows(self, name: str, entry: os.DirEntry[str]) -> Iterator[ScanRow]:
        """Report what lies at the top of the dataset and may be a participant or a scan."""
        if _is_folder(entry):
            if meant := participant_like(Path(entry.path), self.search):
                row = self._renamable(name, entry, "a folder that is not called sub-<label>", f"sub-{meant}")
                yield replace(row, participant_id=f"sub-{meant}")
            elif not (name.startswith(".") or name in NO_PARTICIPANTS):
                self.tally.folders[name] += 1
        elif name.startswith("sub-") and entry.is_symlink() and not is_image(name, BIDS_EXTENSIONS):
            yield from self._broken_link(name, entry)
        elif is_image(name, BIDS_EXTENSIONS):
            yield from self._misplaced(name)

    def _rows_or_problem(self, level: _Level, datatype: str = "") -> Iterator[ScanRow]:
        """List one folder; what cannot be listed costs nothing but itself."""
        path = f"{level.path}/{datatype}" if datatype else level.path
        try:
            with os.scandir(f"{self.root}/{path}") as entries:
                content = {entry.name: entry for entry in entries}
        except OSError as error:
            yield unreadable(self.root, error)
            return
        if not content:
            yield self._empty(path)
        elif datatype:
            yield from self._datatype_rows(level, datatype, content)
        else:
            yield from self._level_rows(level, content)

    def _level_rows(self, level: _Level, content: Content) -> Iterator[ScanRow]:
        for name, entry in content.items():
            path = f"{level.path}/{name}"
            is_session = name.startswith("ses-") and not level.session
            if is_session or name in self.search.datatypes:
                inner = _Level(path, level.participant, name) if is_session else level
                if _is_folder(entry):
                    yield from self._rows_or_problem(inner, "" if is_session else name)
                else:
                    yield from self._broken_link(path, entry)
            elif is_image(name, BIDS_EXTENSIONS):
                yield from self._misplaced(path)
            elif not name.endswith(_SIDECARS):
                yield from self._odd_rows(level, name, entry)

    def _odd_rows(self, level: _Level, name: str, entry: os.DirEntry[str]) -> Iterator[ScanRow]:
        """Report what lies beside the folders of the data types and is none of them."""
        if name in (*DATATYPES, *OTHER_DATATYPES):
            self.tally.datatypes[name] += 1
        elif not _is_folder(entry):
            yield from self._foreign(f"{level.path}/{name}")
        elif not name.startswith(".") and (image := image_in(Path(entry.path))):
            path = f"{level.path}/{name}"
            meant = next((known for known in self.search.datatypes if known == name.lower()), "")
            meant = meant or ("" if level.session else session_like(name))
            if meant:
                yield self._renamable(path, entry, "a folder that BIDS does not know", meant)
            else:
                place = f"{level.path}/{self.search.datatypes[0]}"
                found = f"a folder that BIDS does not know, so {image} in it is not found; move its scans to {place}"
                yield folder_row(path, self.root, found)

    def _datatype_rows(self, level: _Level, datatype: str, content: Content) -> Iterator[ScanRow]:
        folder, prefix = f"{level.path}/{datatype}", level.prefix
        regular = level.is_regular
        dicom: Counter[str] = Counter()
        for name, entry in content.items():
            path = f"{folder}/{name}"
            if not is_image(name, BIDS_EXTENSIONS):
                if not (name.endswith(_SIDECARS) or name.startswith(".")):
                    yield from self._others(path, entry, dicom)
                continue
            tail = _tail(name[len(prefix) :], datatype, self.search) if regular and name.startswith(prefix) else None
            row = self._tailed_row(level, path, tail) if tail else self._row(path)
            if row:
                yield row if row.problem or _is_regular(entry) else replace(row, problem=file_problem(row.source))
        if dicom:
            yield folder_row(folder, self.root, f"{dicom['DICOM']} DICOM files; convert them with dcm2niix")

    def _others(self, path: str, entry: os.DirEntry[str], dicom: Counter[str]) -> Iterator[ScanRow]:
        """Report folders and images of other formats that lie among the scans."""
        if _is_folder(entry):
            if image := image_in(Path(entry.path)):
                above = path.rpartition("/")[0]
                found = f"a folder inside {above}, so {image} in it is not found; move its scans to {above}"
                yield folder_row(path, self.root, found)
        elif foreign_format(path) == "DICOM":
            dicom["DICOM"] += 1
        else:
            yield from self._foreign(path)

    def _foreign(self, path: str) -> Iterator[ScanRow]:
        """Report an image in a format that BIDS does not have, if it is perhaps a scan."""
        extension = foreign_format(path.rpartition("/")[2])
        if not extension:
            return
        suffix = path[: len(path) - len(extension)].rpartition("_")[2].rpartition("/")[2]
        if suffix in self.search.suffixes or self.search.meant(suffix):
            found = f"the format {extension}, which BIDS does not have; convert the file to .nii.gz"
            yield nameless_row(path, f"{self.root}/{path}", found)
        else:
            self.tally.formats[extension] += 1

    def _row(self, path: str) -> ScanRow | None:
        """Judge one image by its path relative to the dataset; ``None`` if nobody asked for it."""
        folder, _, file_name = path.rpartition("/")
        try:
            name = scan_name(file_name, BIDS_EXTENSIONS, folder.rpartition("/")[2])
        except InputError as error:
            return self._misnamed(path, error)
        return placed_row(self.root, path, name) if self.search.wants(name) else self._unwanted(path, name)

    def _misplaced(self, path: str) -> Iterator[ScanRow]:
        """Report an image that lies beside the folders of the data types."""
        try:
            name = scan_name(path.rpartition("/")[2], BIDS_EXTENSIONS, self.search.datatypes[0])
        except InputError as error:
            row = self._misnamed(path, error)
            if row:
                yield row
            return
        problem = f"not in the folder of a data type; move the file to {name.folder}"
        wanted = self.search.wants(name)
        row = nameless_row(path, f"{self.root}/{path}", problem) if wanted else self._unwanted(path, name)
        if row:
            yield row

    def _misnamed(self, path: str, error: InputError) -> ScanRow | None:
        """Report an image whose name is none of a scan, unless its suffix is that of something else, such as a mask."""
        suffix = _known_suffix(path.rpartition("/")[2])
        if suffix and not (suffix in self.search.suffixes or self.search.meant(suffix)):
            self.tally.other[suffix] += 1
            return None
        return nameless_row(path, f"{self.root}/{path}", f"{error.found}; {error.remedy}")

    def _unwanted(self, path: str, name: ScanName) -> ScanRow | None:
        """Count what nobody asked for, unless it was perhaps meant."""
        kind, problem = self.search.unwanted(name)
        if problem:
            return nameless_row(path, f"{self.root}/{path}", problem)
        self.tally.other[kind] += 1
        return None

    def _tailed_row(self, level: _Level, path: str, tail: _Tail) -> ScanRow | None:
        if tail.kind:
            self.tally.other[tail.kind] += 1
            return None
        source = f"{self.root}/{path}"
        if tail.problem:
            return nameless_row(path, source, tail.problem)
        scan = f"{path.rpartition('/')[0]}/{level.prefix[:-1]}{tail.stem}"
        return ScanRow(scan, level.participant, level.session, tail.suffix, path, source)

    def _renamable(self, path: str, entry: os.DirEntry[str], found: str, meant: str) -> ScanRow:
        image = image_in(Path(entry.path))
        return folder_row(path, self.root, f"{found}, so {image} in it is not found; rename the folder to {meant}")

    def _broken_link(self, path: str, entry: os.DirEntry[str]) -> Iterator[ScanRow]:
        if entry.is_symlink():
            found = "a link to a folder that is not there; correct the link, or fetch the folder ('datalad get')"
            yield folder_row(path, self.root, found)

    def _empty(self, path: str) -> ScanRow:
        if path in self._submodules:
            return folder_row(path, self.root, f"{NOT_DOWNLOADED}; fetch it, for instance 'datalad get {path}'")
        return folder_row(path, self.root, "an empty folder; copy its scans, or remove it")

    @cached_property
    def _submodules(self) -> frozenset[str]:
        """Folders that git fetches apart, such as participants that are datasets of DataLad."""
        try:
            text = Path(self.root, ".gitmodules").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return frozenset()
        return frozenset(_SUBMODULE.findall(text))


def placed_row(root: str, path: str, name: ScanName) -> ScanRow:
    """Return the row of an image whose name is known; ``path``, relative to ``root``, has to be where it belongs."""
    if name.folder == path.rpartition("/")[0]:
        return named_row(name, path, f"{root}/{path}")
    return nameless_row(path, f"{root}/{path}", f"the name belongs in {name.folder}; move or rename the file")


def unreadable(root: str, error: OSError) -> ScanRow:
    """Return the row of a folder that cannot be listed."""
    path = Path(os.path.relpath(error.filename or root, root)).as_posix()
    return folder_row(path, root, f"a folder that cannot be read ({error.strerror}); correct its permissions")


def _known_suffix(file_name: str) -> str:
    """Return the suffix of a file whose name is BIDS in form; empty if it is not."""
    try:
        parsed = parse_name(file_name)
    except InputError:
        return ""
    return parsed.suffix if parsed.extension.lower() in BIDS_EXTENSIONS else ""


@dataclass(frozen=True)
class _Tail:
    """What a name has after participant and session.

    Parameters
    ----------
    stem
        The same part of the stem.
    kind, problem
        Of scans that are not searched: what they are counted as, or why they are listed.
    """

    stem: str
    suffix: str
    kind: str = ""
    problem: str = ""


@lru_cache(maxsize=4096)
def _tail(text: str, datatype: str, search: Search) -> _Tail | None:
    """Judge the end of a file name; ``None`` if that cannot be done without its beginning."""
    try:
        name = scan_name(f"sub-0_{text}", BIDS_EXTENSIONS, datatype)
    except InputError:
        return None
    if any(key in name.entities for key in _LEADING):
        return None
    verdict = ("", "") if search.wants(name) else search.unwanted(name)
    return _Tail(name.stem.removeprefix(f"sub-0/{datatype}/sub-0"), name.suffix, *verdict)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_regular(entry: os.DirEntry[str]) -> bool:
    """Say whether an entry is a file; only links cost a look at the disk."""
    try:
        return entry.is_file()
    except OSError:
        return False
