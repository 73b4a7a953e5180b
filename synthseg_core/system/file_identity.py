"""What a file is: its kind by its first bytes, never by its name, and its SHA-256."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

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
