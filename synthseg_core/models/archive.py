"""Unpack archives of model folders from the network, which may hold anything.

Only plain files and folders are taken, under names that stay inside; an archive with a link, a device, an absolute
name or ``..`` is refused as a whole, and so is one that grows beyond all bounds. Owners and rights are not taken over.
"""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from synthseg_core.errors import InputError, SynthSegError
from synthseg_core.system.atomic import output_error, remove_abandoned_once, temporary_name

_BLOCK_BYTES = 1 << 20
_MOST_MEMBERS = 10_000
_MOST_BYTES = 32 << 30  # five folds with all that training keeps take about 6 GB
_MOST_TIMES = 200  # an archive of weights hardly shrinks; bombs grow by a thousand
_SMALL_BYTES = 64 << 20  # what may grow as it likes
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError)


@dataclass(frozen=True)
class _Member:
    """One entry; ``fault`` says in a phrase why it is refused."""

    name: str
    is_folder: bool
    fault: str
    size_bytes: int


@contextmanager
def unpacked(archive: Path, place: Path) -> Iterator[Path]:
    """Yield a folder with the content of an archive, which is gone when the block ends.

    Parameters
    ----------
    archive
        ``.tar``, ``.tar.gz`` or ``.zip``, recognised by content.
    place
        Where to unpack, under a temporary name; what a killed process left there is removed by a later one.

    Raises
    ------
    InputError
        If the archive is damaged or holds what has no place in one.
    OutputError
        If it cannot be written.
    """
    try:
        place.mkdir(parents=True, exist_ok=True)
        remove_abandoned_once(place.absolute())
        folder = temporary_name(place / "unpacked")
        folder.mkdir()
        try:
            _unpack(archive, folder)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except SynthSegError:
        raise
    except OSError as error:
        raise output_error(place, error) from error


def model_folder(folder: Path) -> Path:
    """Return the folder that holds ``plans.json``, the topmost one; ``InputError`` if there is none or several."""
    found = sorted(folder.rglob("plans.json"), key=lambda path: len(path.parts))
    if not found or (len(found) > 1 and len(found[0].parts) == len(found[1].parts)):
        raise InputError(
            "archive",
            found=f"{len(found) or 'no'} plans.json",
            expected="one trained nnU-Net",
            remedy="unpack it, and import the folder that is meant",
        )
    return found[0].parent


def _unpack(archive: Path, folder: Path) -> None:
    budget = _Budget(archive, archive.stat().st_size)
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                for entry in zipped.infolist():
                    member = _of_zip(entry)
                    _take(member, lambda entry=entry: zipped.open(entry), folder, budget)
        else:
            _unpack_tar(archive, folder, budget)
    except _DAMAGE as error:
        raise budget.refused(f"a damaged or truncated archive ({str(error) or type(error).__name__})") from error
    except RuntimeError as error:  # zipfile: encrypted
        raise budget.refused(f"an archive that cannot be read ({error})") from error
    except OSError as error:
        if isinstance(error, (zlib.error, EOFError)) or error.errno is None:  # gzip: a bad checksum
            raise budget.refused(f"a damaged archive ({error})") from error
        raise


def _unpack_tar(archive: Path, folder: Path, budget: _Budget) -> None:
    """Unpack from front to back; gzip's checksum stands at the very end, so all of it is read."""
    with archive.open("rb") as raw:
        is_gzip = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        stream = gzip.GzipFile(fileobj=raw) if is_gzip else raw
        with tarfile.open(fileobj=stream, mode="r|" if is_gzip else "r|*") as tar:
            for info in tar:
                _take(_of_tar(info), lambda info=info: tar.extractfile(info), folder, budget)
        while is_gzip and (block := stream.read(_BLOCK_BYTES)):
            budget.written(len(block))


class _Budget:
    """Counts what comes out of an archive, and stops what does not end."""

    def __init__(self, archive: Path, archive_bytes: int) -> None:
        self._archive = archive
        self._most = min(_MOST_BYTES, max(_MOST_TIMES * archive_bytes, _SMALL_BYTES))
        self._members, self._bytes = 0, 0

    def member(self) -> None:
        self._members += 1
        if self._members > _MOST_MEMBERS:
            raise self.refused(f"more than {_MOST_MEMBERS} entries")

    def written(self, count: int) -> None:
        self._bytes += count
        if self._bytes > self._most:
            raise self.refused(f"more than {self._most / 1e6:.0f} MB when unpacked")

    def refused(self, found: str) -> InputError:
        return InputError(
            self._archive,
            found=found,
            expected="a .tar.gz or .zip of a model folder, plain files and folders alone",
            remedy="download it again from its publisher; nothing of it was kept",
        )


def _take(member: _Member, opened: Callable[[], IO[bytes] | None], folder: Path, budget: _Budget) -> None:
    """Write one entry into a folder that is empty but for entries before it."""
    budget.member()
    parts = PurePosixPath(member.name).parts
    fault = member.fault or _fault_of_name(member.name)
    if fault:
        raise budget.refused(f"{fault}: {member.name[:80]!r}")
    target = folder.joinpath(*parts)
    if member.is_folder:
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o644)
    except FileExistsError as error:
        raise budget.refused(f"an entry that occurs twice: {member.name[:80]!r}") from error
    with os.fdopen(descriptor, "wb") as out, _source(opened()) as source:
        received = 0
        while block := source.read(_BLOCK_BYTES):
            budget.written(len(block))
            received += len(block)
            out.write(block)
    if received != member.size_bytes:
        raise budget.refused(f"{received} instead of {member.size_bytes} bytes: {member.name[:80]!r}")


def _source(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # what is no plain file was refused
    return stream


def _fault_of_name(name: str) -> str:
    """Say what is wrong with the name of an entry; empty if nothing is."""
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or name.startswith(("/", "\\")):
        return "an entry outside of the archive's folder"
    if ".." in path.parts or "\\" in name or ":" in path.parts[0] or not name.isprintable():
        return "a name that leads elsewhere"
    return ""


def _of_tar(info: tarfile.TarInfo) -> _Member:
    fault = "" if info.isdir() or info.isreg() else "a link, device or pipe"
    fault = "a sparse file" if info.sparse is not None else fault
    return _Member(info.name, info.isdir(), fault, info.size)


def _of_zip(entry: zipfile.ZipInfo) -> _Member:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    fault = "" if kind in (0, stat.S_IFREG, stat.S_IFDIR) else "a link, device or pipe"
    fault = "an encrypted entry" if entry.flag_bits & 1 else fault
    return _Member(entry.filename, entry.is_dir(), fault, entry.file_size)
