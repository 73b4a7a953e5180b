"""Opening files: what follows compressed data, and that no library speaks to the user."""

from __future__ import annotations

import gzip
import subprocess
import sys

import numpy as np
import pytest

from synthseg_core.errors import InputError
from synthseg_core.images.opening import open_image, read_voxels
from synthseg_core.images.reading import read_scan
from tests.phantoms.headers import VOXELS, mgh_bytes, nifti_bytes, write_raw

FOLLOWED = ("something follows the compressed data; it is left aside, as gunzip does",)


@pytest.mark.parametrize(("name", "content"), [("x.nii.gz", nifti_bytes()), ("x.mgz", mgh_bytes())])
@pytest.mark.parametrize(("behind", "said"), [(b"text\n", FOLLOWED), (bytes(512), ()), (b"\x1f", FOLLOWED)])
def test_what_follows_compressed_data(tmp_path, name, content, behind, said):
    scan = read_scan(write_raw(tmp_path / name, content, behind))
    np.testing.assert_array_equal(scan.volume.data, VOXELS)
    assert scan.warnings == said


def test_several_members(tmp_path):
    content = nifti_bytes()
    (tmp_path / "x.nii.gz").write_bytes(gzip.compress(content[:90_000]) + gzip.compress(content[90_000:]))
    assert read_scan(tmp_path / "x.nii.gz").warnings == ()


def test_wrong_checksum_is_damage(tmp_path):
    path = write_raw(tmp_path / "x.nii.gz", nifti_bytes())
    path.write_bytes(path.read_bytes()[:-8] + bytes(8))
    with pytest.raises(InputError, match="a damaged or truncated file"):
        read_scan(path)


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
def test_parts_are_read_in_the_type_of_the_file(tmp_path, name):
    opened = open_image(write_raw(tmp_path / name, nifti_bytes()))
    part, notes = read_voxels(opened, (slice(None), 3, slice(4, 9)), dtype=None)
    assert (part.dtype, notes) == (np.int16, [])
    np.testing.assert_array_equal(part, VOXELS[:, 3, 4:9])


HEADERS = """
import numpy as np
from pathlib import Path
from synthseg_core.errors import InputError
from synthseg_core.images.reading import read_scan
from tests.phantoms.headers import nifti_bytes, write_raw
import sys

rng, path = np.random.default_rng(int(sys.argv[2])), Path(sys.argv[1]) / "x.nii"
good = np.frombuffer(nifti_bytes(), np.uint8)
for _ in range(400):
    content = good.copy()
    content[rng.integers(4, 352, 3)] = rng.integers(0, 256, 3)
    try:
        read_scan(write_raw(path, content.tobytes()), memory_bytes=2**28)
    except InputError:
        pass
"""


def test_headers_of_random_bytes_make_no_library_speak(tmp_path):
    """Whatever a header holds, nothing reaches the user but our own words: all warnings of Python are shown here."""
    words = [sys.executable, "-W", "always", "-c", HEADERS, str(tmp_path), "7"]
    run = subprocess.run(words, check=False, capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
