"""What a file is: its kind by its first bytes, never by its name, its SHA-256, and whether it is still the same."""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict, dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

HEAD_BYTES = 4096
_BLOCK_BYTES = 1 << 20


class FileKind(Enum):
    """Kind of a file; the value is how messages call it."""

    HDF5 = "an HDF5 file"
    SAFETENSORS = "a safetensors file"
    EMPTY = "an empty file"
    ANNEX_POINTER = "a git-annex pointer, a line of text in place of the data"
    LFS_POINTER = "a git-lfs pointer, a few lines of text in place of the data"
    WEB_PAGE = "a web page in place of the data"
    ZIP = "a zip archive, perhaps a PyTorch checkpoint"
    GZIP = "a gzip archive"
    PICKLE = "a Python pickle, which is never opened"
    NIFTI = "uncompressed NIfTI"
    MGH = "uncompressed MGH"
    DICOM = "a DICOM file"
    TEXT = "a text file"
    UNKNOWN = "data of an unknown kind"


_MAGIC = (
    (b"\x89HDF\r\n\x1a\n", FileKind.HDF5),
    (b"PK\x03\x04", FileKind.ZIP),
    (b"\x1f\x8b", FileKind.GZIP),
    (b"\x80\x02", FileKind.PICKLE),
    (b"\x80\x04", FileKind.PICKLE),
    (b"version https://git-lfs", FileKind.LFS_POINTER),
    (b"\x00\x00\x00\x01", FileKind.MGH),  # its version, the only one there is
)
# sizeof_hdr of NIfTI-1 and NIfTI-2 in both byte orders.
_NIFTI_STARTS = tuple(size.to_bytes(4, order) for size in (348, 540) for order in ("little", "big"))


def kind_of_bytes(head: bytes) -> FileKind:
    """Recognise a file by its first bytes; ``HEAD_BYTES`` of them are enough."""
    if not head:
        return FileKind.EMPTY
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if _is_safetensors(head):
        return FileKind.SAFETENSORS
    if head.startswith(_NIFTI_STARTS):
        return FileKind.NIFTI
    return FileKind.DICOM if head[128:132] == b"DICM" else _kind_of_text(head)


def kind_of_file(path: Path) -> FileKind:
    """Recognise a file by its first bytes."""
    with path.open("rb") as stream:
        return kind_of_bytes(stream.read(HEAD_BYTES))


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 lower-case hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


@dataclass(frozen=True)
class SeenFile:
    """A file as it was when it was last looked at: enough to know without reading that it is still the same.

    Parameters
    ----------
    size_bytes, mtime_ns, ctime_ns, inode
        As the file system tells them. Renaming a file changes its ``ctime_ns``, renaming a folder above it the inode
        that its path leads to. No device: its number depends on the computer and on the order of mounting.
    sha256
        Of the content; empty where nobody has needed it yet.
    """

    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    sha256: str = ""

    @classmethod
    def at(cls, path: str) -> SeenFile | None:
        """Look at a file, not into it; ``None`` if it is not there."""
        try:
            state = os.stat(path)  # noqa: PTH116 -- tens of thousands of paths that are text already
        except OSError:
            return None
        return cls(state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)

    @classmethod
    def from_content(cls, content: Any) -> SeenFile | None:
        """Read what :meth:`content` wrote; ``None`` for anything else."""
        try:
            return cls(**content)
        except TypeError:
            return None

    def content(self) -> dict[str, int | str]:
        """Return the form for files."""
        return asdict(self)

    def is_still(self, other: SeenFile) -> bool:
        """Say whether another look found the same file, unchanged."""
        return self._state() == other._state()

    def older_than(self, time_ns: int) -> bool:
        """Say whether neither content nor place of the file has changed since a time."""
        return max(self.mtime_ns, self.ctime_ns) < time_ns

    def read_sha256(self, path: str) -> str:
        """Return the SHA-256 of the file at ``path`` as it was seen; empty if it cannot be read."""
        return _sha256_of_seen(path, self._state())

    def _state(self) -> tuple[int, int, int, int]:
        return self.size_bytes, self.mtime_ns, self.ctime_ns, self.inode


@cache
def _sha256_of_seen(path: str, _state: tuple[int, int, int, int]) -> str:
    """Read a file once in the life of this process, as long as it stays as it is."""
    try:
        return sha256_of(Path(path))
    except OSError:
        return ""


@dataclass(frozen=True)
class FileIdentity:
    """What can be said about a file without knowing its name.

    Parameters
    ----------
    kind
        By its first bytes.
    size_bytes, sha256
        Of the whole file.
    """

    kind: FileKind
    size_bytes: int
    sha256: str

    def difference(self, size_bytes: int | None, sha256: str | None) -> str | None:
        """Say in a phrase how this file differs from an expected one; ``None`` if it does not, or nothing is known."""
        if self.kind not in (FileKind.HDF5, FileKind.SAFETENSORS, FileKind.UNKNOWN) and sha256 not in (
            None,
            self.sha256,
        ):
            return f"{self.kind.value} ({self.size_bytes} bytes)"
        if size_bytes is not None and self.size_bytes != size_bytes:
            return f"{self.size_bytes} bytes instead of {size_bytes}"
        if sha256 is not None and self.sha256 != sha256:
            return f"SHA-256 {self.sha256[:12]}... instead of {sha256[:12]}..."
        return None


def identify(path: Path) -> FileIdentity:
    """Read a whole file and return its identity."""
    return FileIdentity(kind_of_file(path), path.stat().st_size, sha256_of(path))


def _is_safetensors(head: bytes) -> bool:
    """Eight bytes of header length, then a JSON object."""
    return len(head) > 8 and head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") < 100_000_000


def _kind_of_text(head: bytes) -> FileKind:
    if b"\0" in head:
        return FileKind.UNKNOWN
    text = head.lstrip().lower()
    if b"annex/objects/" in text[:512]:
        return FileKind.ANNEX_POINTER
    if text.startswith((b"<!doctype html", b"<html", b"<?xml", b"<head")):
        return FileKind.WEB_PAGE
    try:
        head.decode("utf-8", errors="strict")
    except UnicodeDecodeError:
        return FileKind.UNKNOWN
    return FileKind.TEXT
