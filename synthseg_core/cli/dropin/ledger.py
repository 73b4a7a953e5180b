"""What ``synthseg dataset`` has done: one JSON file that says from which input, with which settings, into which files.

A scan counts as done only while all of that still holds, so a changed option, model or scan, or a deleted output, is
computed again, and nothing else is. The file is replaced atomically after every scan; a lock keeps a second process
away. Paths in it are relative to its folder, so a data set can be moved as a whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from synthseg_core.errors import InputError, OutputError, UsageError
from synthseg_core.system.atomic import write_text
from synthseg_core.system.file_identity import sha256_of
from synthseg_core.system.settings import read_mapping

FORMAT = "synthseg dataset 1"
_EXPECTED = f"a record of the format {FORMAT!r}"
_REMEDY = "give another file with --checkpoint, or remove this one to compute everything again"


@dataclass(frozen=True)
class Identity:
    """Which content a file had.

    Parameters
    ----------
    size_bytes, mtime_ns
        As the file system says; equality of both is taken as equality of the content.
    sha256
        Decides when only the time differs, for instance after copying.
    """

    size_bytes: int
    mtime_ns: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Identity:
        """Read a file and return its identity."""
        status = path.stat()
        return cls(status.st_size, status.st_mtime_ns, sha256_of(path))

    def still_true_of(self, path: Path) -> bool:
        """Say whether a file, which must exist, has the same content still."""
        status = path.stat()
        if status.st_size != self.size_bytes:
            return False
        return status.st_mtime_ns == self.mtime_ns or sha256_of(path) == self.sha256


@dataclass(frozen=True)
class Entry:
    """One finished scan.

    Parameters
    ----------
    scan
        Its content when it was read.
    settings
        All options and weights that the outputs depend on.
    outputs
        Files that were asked for, and their sizes in bytes; ``None`` for one that this scan does not need.
    version
        Version of this package, for information.
    """

    scan: Identity
    settings: Mapping[str, Any]
    outputs: Mapping[Path, int | None]
    version: str


class Ledger:
    """The finished scans of one data set; make it with :func:`opened`.

    Parameters
    ----------
    path
        The JSON file.
    content
        Its ``scans`` part.
    """

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        self.path = path
        self._scans = content

    def __len__(self) -> int:
        return len(self._scans)

    def why_not_done(
        self, scan: Path, segmentation: Path, settings: Mapping[str, Any], wanted: Sequence[Path]
    ) -> str | None:
        """Say why a scan has to be computed; ``None`` if all its outputs are there and up to date.

        Parameters
        ----------
        scan
            The input, which must exist.
        segmentation
            The output that the entry goes by.
        settings
            What the outputs would depend on now.
        wanted
            Outputs that must be among the recorded ones.
        """
        entry = self._entry(segmentation)
        if entry is None:
            return "new"
        if entry.settings != settings:
            return "other options or weights"
        if not set(wanted) <= set(entry.outputs):
            return "more outputs wanted"
        if not all(_has_size(path, size) for path, size in entry.outputs.items()):
            return "output missing or changed"
        return None if entry.scan.still_true_of(scan) else "scan changed"

    def version_of(self, segmentation: Path) -> str | None:
        """Return the version of this package that made the outputs of a scan."""
        entry = self._entry(segmentation)
        return None if entry is None else entry.version

    def add(self, segmentation: Path, entry: Entry) -> None:
        """Record a finished scan on disk."""
        stored = asdict(entry) | {"outputs": {self._relative(path): size for path, size in entry.outputs.items()}}
        self._scans[self._relative(segmentation)] = stored
        # ASCII, because file names may hold bytes that are no text.
        write_text(self.path, json.dumps({"format": FORMAT, "scans": self._scans}, indent=1) + "\n")

    def _entry(self, segmentation: Path) -> Entry | None:
        stored = self._scans.get(self._relative(segmentation))
        return None if stored is None else _entry(stored, self.path.parent)

    def _relative(self, path: Path) -> str:
        return os.path.relpath(path, self.path.parent)


@contextmanager
def opened(path: Path) -> Iterator[Ledger]:
    """Read a ledger, or begin an empty one, and keep other processes from using it meanwhile.

    Parameters
    ----------
    path
        Absolute path of the JSON file, which need not exist.

    Raises
    ------
    UsageError
        If another process uses it.
    InputError
        If it holds something else than a ledger.
    OutputError
        If its folder cannot be written to.
    """
    with _locked(path):
        yield Ledger(path, _read(path))


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    content = read_mapping(path, "record", _REMEDY, is_json=True)
    try:
        if "processed_images" in content:
            raise _no_ledger(path, "a list of paths by the reference command, without options and inputs")
        if content["format"] != FORMAT:
            raise _no_ledger(path, f"the format {content['format']!r}")
        for stored in content["scans"].values():
            _entry(stored, path.parent)
    except (TypeError, KeyError, AttributeError) as error:
        raise _no_ledger(path, f"no readable record ({error!r})") from error
    return content["scans"]


def _entry(stored: Mapping[str, Any], folder: Path) -> Entry:
    """Make an entry of its JSON form; paths become absolute."""
    outputs = {Path(os.path.normpath(folder / path)): size for path, size in stored["outputs"].items()}
    return Entry(Identity(**stored["scan"]), dict(stored["settings"]), outputs, str(stored["version"]))


def _has_size(path: Path, size: int | None) -> bool:
    return size is None or (path.is_file() and path.stat().st_size == size)


def _no_ledger(path: Path, found: str) -> InputError:
    return InputError(path, found=found, expected=_EXPECTED, remedy=_REMEDY)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock file beside the ledger; it is removed at the end, and that of a killed process counts for nothing."""
    lock = FileLock(path.with_name(f".{path.name}.lock"), blocking=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise UsageError(
            path,
            found="another process that works on this data set",
            expected="one at a time",
            remedy="wait for it, or give this run a --checkpoint and outputs of its own",
        ) from error
    except OSError as error:
        raise OutputError(
            path.parent,
            found=f"no way to write there ({error.strerror})",
            expected="a writable folder for the record of finished scans",
            remedy="correct the permissions, or choose another place with --out or --checkpoint",
        ) from error
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)  # while it is held: afterwards it may be the next one's
        lock.release()
