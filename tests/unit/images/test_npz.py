"""Archives are looked at before their voxels are read."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from synthseg_core.errors import InputError
from synthseg_core.images.reading import read_scan


def test_archive_is_measured_before_it_is_read(tmp_path, monkeypatch):
    """Several volumes in one archive can only be read together."""
    path = tmp_path / "x.npz"
    np.savez(path, vol_data=np.random.default_rng(0).random((30, 40, 50, 3)))
    with monkeypatch.context() as patch:
        patch.setattr(np, "load", lambda *args, **kwargs: pytest.fail("read before it was measured"))
        with pytest.raises(InputError, match=r"30 x 40 x 50 voxels.*expected at most 0.0 GiB"):
            read_scan(path, memory_bytes=4 * 8 * 60_000 - 1)
    read_scan(path, memory_bytes=4 * 8 * 60_000)


def test_archive_that_promises_more_than_the_memory_holds(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (99999,) * 3})
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("vol_data.npy", header.getvalue())
    with pytest.raises(InputError, match="99999 x 99999 x 99999 voxels"):
        read_scan(tmp_path / "x.npz")


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_the_array_format(tmp_path, version):
    data = np.random.default_rng(0).random((20, 30, 25)).astype(np.float32)
    member = io.BytesIO()
    np.lib.format.write_array(member, np.asfortranarray(data), version=version)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("vol_data.npy", member.getvalue())
    np.testing.assert_array_equal(read_scan(tmp_path / "x.npz").volume.data, data)
