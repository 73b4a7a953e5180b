"""Kinds of files by their first bytes, and how a file differs from an expected one."""

from __future__ import annotations

import hashlib

import pytest

from synthseg_core.system.file_identity import FileKind, SeenFile, identify, kind_of_bytes, sha256_of

HEADS = {
    FileKind.EMPTY: b"",
    FileKind.HDF5: b"\x89HDF\r\n\x1a\n",
    FileKind.ZIP: b"PK\x03\x04rest",
    FileKind.GZIP: b"\x1f\x8b\x08",
    FileKind.PICKLE: b"\x80\x04\x95",
    FileKind.LFS_POINTER: b"version https://git-lfs.github.com/spec/v1\n",
    FileKind.ANNEX_POINTER: b"../../.git/annex/objects/xx/yy/SHA256E-s1--0",
    FileKind.WEB_PAGE: b"  <!DOCTYPE html>",
    FileKind.SAFETENSORS: (40).to_bytes(8, "little") + b'{"a":1}',
    FileKind.NIFTI: (540).to_bytes(4, "big") + b"n+2\0",
    FileKind.MGH: (1).to_bytes(4, "big") + (16).to_bytes(4, "big"),
    FileKind.DICOM: bytes(128) + b"DICM",
    FileKind.TEXT: "Knäckebröd\n".encode(),
    FileKind.UNKNOWN: b"\xff\xfe\x01",
}


def test_every_kind_has_its_case():
    assert set(HEADS) == set(FileKind)


@pytest.mark.parametrize("kind", HEADS, ids=lambda kind: kind.name)
def test_kind(kind):
    assert kind_of_bytes(HEADS[kind]) is kind


def test_sha256_of_more_than_a_block(tmp_path):
    content = bytes(range(256)) * 5000
    (tmp_path / "a").write_bytes(content)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(content).hexdigest()


def test_differences(tmp_path):
    path = tmp_path / "weights.h5"
    path.write_bytes(HEADS[FileKind.HDF5] + b"data")
    identity = identify(path)
    assert identity.difference(None, None) is None
    assert identity.difference(12, sha256_of(path)) is None
    assert identity.difference(13, None) == "12 bytes instead of 13"
    assert "instead of 000000000000..." in (identity.difference(12, 64 * "0") or "")


def test_a_page_in_place_of_weights_is_called_one(tmp_path):
    path = tmp_path / "weights.h5"
    path.write_bytes(HEADS[FileKind.WEB_PAGE])
    assert "a web page" in (identify(path).difference(12, 64 * "0") or "")
    assert identify(path).difference(path.stat().st_size, sha256_of(path)) is None


def test_a_seen_file_is_known_again_without_reading(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"x")
    seen = SeenFile.at(str(path))
    assert seen.is_still(SeenFile.at(str(path)))
    assert SeenFile.from_content(seen.content()) == seen
    assert seen.read_sha256(str(path)) == sha256_of(path)
    path.rename(tmp_path / "b")
    assert SeenFile.at(str(path)) is None
    (tmp_path / "b").write_bytes(b"y")
    assert not seen.is_still(SeenFile.at(str(tmp_path / "b")))
    assert SeenFile.from_content({"size": 1}) is SeenFile.from_content(None) is None
