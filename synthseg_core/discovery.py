"""Find the scans of a BIDS dataset or of a plain folder, fast; the standard library is enough.

Nothing is dropped in silence: what looks like a scan and cannot be taken comes back with the reason.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from synthseg_core.bids import UNNAMED_SUFFIX, ScanName, label_from, parse_name
from synthseg_core.bidsignore import IgnoreRule, is_ignored, read_bidsignore
from synthseg_core.errors import InputError
from synthseg_core.presence import is_allowed, is_folder

LAYOUTS = ("auto", "bids", "folder")
# Anatomical contrasts of BIDS 1.11.1; quantitative maps can be asked for by name.
SUFFIXES = ("T1w", "T2w", "T2starw", "FLAIR", "PDw", "inplaneT1", "inplaneT2", "FLASH", "UNIT1")
BIDS_EXTENSIONS = (".nii.gz", ".nii")
FOLDER_EXTENSIONS = (*BIDS_EXTENSIONS, ".mgz")
_COMPLEX_PARTS = ("phase", "real", "imag")


@dataclass(frozen=True)
class Search:
    """What to look for.

    Parameters
    ----------
    layout
        ``bids``, ``folder``, or ``auto``: BIDS where there is a ``dataset_description.json`` or a ``sub-`` folder.
    suffixes
        Suffixes that are taken from a BIDS dataset.
    datatypes
        Folders that are searched in a BIDS dataset.
    exclude
        Folders that are left out of a plain folder's search, such as the output.
    """

    layout: str = "auto"
    suffixes: tuple[str, ...] = SUFFIXES
    datatypes: tuple[str, ...] = ("anat",)
    exclude: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Candidate:
    """A file that may be a scan.

    Parameters
    ----------
    path
        Relative to the dataset, forward slashes.
    name
        ``None`` where the file has no usable name.
    problem
        Why it cannot be taken; empty for usable scans.
    """

    path: str
    name: ScanName | None
    problem: str = ""


def discover(root: Path, search: Search) -> list[Candidate]:
    """Return all candidates below ``root``, sorted by path.

    Raises
    ------
    InputError
        If ``root`` is no folder or the layout is unknown.
    """
    require_dataset(root)
    if search.layout not in LAYOUTS:
        raise InputError(
            "layout", found=search.layout, expected=" or ".join(LAYOUTS), remedy="correct the configuration"
        )
    as_bids = search.layout == "bids" or (search.layout == "auto" and looks_like_bids(root))
    found = _bids_candidates(root, search) if as_bids else _folder_candidates(root, search)
    legible = [_with_legible_path(candidate) for candidate in found]
    return sorted(_without_collisions(legible), key=lambda candidate: candidate.path)


def require_dataset(root: Path) -> None:
    """Refuse a dataset that is not there with ``InputError``."""
    if not (is_folder(root) and str(root).isprintable()):
        found, remedy = "no such folder", "check the path"
    elif not is_allowed(root, os.R_OK | os.X_OK):
        found, remedy = "no permission to look into it", "correct the permissions"
    else:
        return
    expected = "a BIDS dataset or a folder of scans, with a printable path"
    raise InputError(root, found=found, expected=expected, remedy=remedy)


def looks_like_bids(root: Path) -> bool:
    """Say whether a folder is a BIDS dataset, perhaps one without its description."""
    return (root / "dataset_description.json").exists() or bool(_folders(root, "sub-"))


def _bids_candidates(root: Path, search: Search) -> Iterator[Candidate]:
    rules = read_bidsignore(root)
    for subject in _folders(root, "sub-"):
        try:
            yield from list(_subject_candidates(root, subject, search, rules))
        except OSError as error:
            yield _unreadable(root, error)


def _subject_candidates(
    root: Path, subject: Path, search: Search, rules: tuple[IgnoreRule, ...]
) -> Iterator[Candidate]:
    """Search ``sub-*/[ses-*/]<datatype>``: a fixed depth, so that links to folders cannot loop."""
    for level in (subject, *_folders(subject, "ses-")):
        for datatype in search.datatypes:
            for file in _images(level / datatype):
                path = file.relative_to(root).as_posix()
                candidate = None if is_ignored(path, rules) else _bids_candidate(path, search)
                if candidate:
                    yield _with_file_problem(candidate, file)


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(file for file in folder.iterdir() if _is_image(file.name, BIDS_EXTENSIONS))


def _is_image(name: str, extensions: tuple[str, ...]) -> bool:
    return name.lower().endswith(extensions) and not name.startswith(".")


def _bids_candidate(path: str, search: Search) -> Candidate | None:
    """Judge one image by its path; ``None`` if nobody asked for it."""
    folder, _, file_name = path.rpartition("/")
    try:
        name = _scan_name(file_name, BIDS_EXTENSIONS, folder.rpartition("/")[2])
    except InputError as error:
        return Candidate(path, None, f"{error.found}; {error.remedy}")
    if name.suffix not in search.suffixes or name.entities.get("part") in _COMPLEX_PARTS:
        return None
    if name.folder != folder:
        return Candidate(path, None, f"the name belongs in {name.folder}; move or rename the file")
    return Candidate(path, name)


def _scan_name(file_name: str, extensions: tuple[str, ...], datatype: str) -> ScanName:
    parsed = parse_name(file_name)
    if parsed.extension.lower() not in extensions:
        raise InputError(
            file_name,
            found=f"the extension {parsed.extension}",
            expected=" or ".join(extensions),
            remedy="rename the file",
        )
    return ScanName(parsed.entities, parsed.suffix, datatype)


def _folder_candidates(root: Path, search: Search) -> Iterator[Candidate]:
    unreadable: list[OSError] = []
    seen = {folder.resolve() for folder in search.exclude}
    for folder, subfolders, names in os.walk(root, onerror=unreadable.append, followlinks=True):
        here = Path(folder).resolve()
        if here in seen:
            subfolders.clear()
            continue
        seen.add(here)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in names:
            if _is_image(name, FOLDER_EXTENSIONS):
                file = Path(folder, name)
                yield _with_file_problem(_folder_candidate(file.relative_to(root).as_posix()), file)
    yield from (_unreadable(root, error) for error in unreadable)


def _folder_candidate(path: str) -> Candidate:
    """Name a file by BIDS where its name is BIDS, otherwise by the letters and digits of its path."""
    try:
        return Candidate(path, _scan_name(path.rpartition("/")[2], FOLDER_EXTENSIONS, "anat"))
    except InputError:
        extension = next(e for e in FOLDER_EXTENSIONS if path.lower().endswith(e))
        label = label_from(path[: -len(extension)])
    if not label:
        return Candidate(path, None, "no letter or digit in the name; rename the file")
    return Candidate(path, ScanName({"sub": label}, UNNAMED_SUFFIX))


def _with_file_problem(candidate: Candidate, file: Path) -> Candidate:
    """Notice links to nowhere, for instance those of data sets whose files were not downloaded."""
    if candidate.problem or file.is_file():
        return candidate
    if file.is_symlink():
        return replace(candidate, problem="a link to a file that is not there; download it, for instance 'datalad get'")
    return replace(candidate, problem="not a regular file; put the scan there")


def _with_legible_path(candidate: Candidate) -> Candidate:
    """Keep line ends, tabs and undecodable bytes out of tables and command lines."""
    if candidate.path.isprintable():
        return candidate
    return Candidate(ascii(candidate.path), None, "a path with unprintable characters; rename it")


def _unreadable(root: Path, error: OSError) -> Candidate:
    path = Path(os.path.relpath(error.filename or root, root)).as_posix()
    return Candidate(path, None, f"a folder that cannot be read ({error.strerror}); correct its permissions")


def _without_collisions(candidates: list[Candidate]) -> Iterator[Candidate]:
    """Refuse all scans that would write the same files: which one came first must not decide."""
    paths: dict[str, list[str]] = defaultdict(list)
    for candidate in candidates:
        if candidate.name:
            paths[candidate.name.stem].append(candidate.path)
    for candidate in candidates:
        others = [path for path in paths[candidate.name.stem] if path != candidate.path] if candidate.name else []
        if others and not candidate.problem:
            yield replace(candidate, problem=f"same derivative names as {', '.join(others)}; rename or remove one")
        else:
            yield candidate


def _folders(folder: Path, prefix: str) -> list[Path]:
    with os.scandir(folder) as entries:
        return [folder / name for name in sorted(e.name for e in entries if e.name.startswith(prefix) and e.is_dir())]
