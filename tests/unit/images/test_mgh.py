"""MGH headers: the geometry that FreeSurfer means, and voxel types."""

from __future__ import annotations

import numpy as np
import pytest

from synthseg_core.errors import InputError
from synthseg_core.images.reading import read_scan
from synthseg_core.images.writing import write_volume
from synthseg_core.quirks import NATIVE, REFERENCE
from tests.phantoms.headers import SHAPE, VOXELS, mgh_bytes, write_raw
from tests.phantoms.scans import oblique_affine

DOUBT = (
    "the header stores no orientation (goodRASFlag is 0); left and right cannot be known; the default of FreeSurfer is "
    "used"
)


@pytest.mark.parametrize("name", ["x.mgz", "x.mgh", "X.MGH"])
def test_geometry_of_the_file(tmp_path, name):
    scan = read_scan(write_raw(tmp_path / name.lower(), mgh_bytes()).rename(tmp_path / name))
    np.testing.assert_array_equal(scan.volume.data, VOXELS)
    assert scan.warnings == ()
    np.testing.assert_allclose(scan.volume.affine[:3, :3], oblique_affine((1.0, 1.2, 0.9))[:3, :3], atol=1e-5)
    centre = scan.volume.affine @ [*(np.array(SHAPE) / 2), 1]
    np.testing.assert_allclose(centre[:3], (3.0, 4.0, 5.0), atol=1e-4)


@pytest.mark.parametrize("quirks", [NATIVE, REFERENCE])
@pytest.mark.parametrize("flag", [0, -1])
def test_no_geometry_means_what_freesurfer_means(tmp_path, flag, quirks):
    """First axis to the left, second down, third to the front, 1 mm, the centre at the origin."""
    scan = read_scan(write_raw(tmp_path / "x.mgz", mgh_bytes(flag)), quirks=quirks)
    i, j, k = SHAPE
    expected = np.array([[-1, 0, 0, i / 2], [0, 0, 1, -k / 2], [0, -1, 0, j / 2], [0, 0, 0, 1]])
    np.testing.assert_array_equal(scan.volume.affine, expected)
    assert DOUBT in scan.warnings
    for name in ("result.mgz", "result.mgh"):
        write_volume(tmp_path / name, scan.volume, like=scan, dtype=np.float32)
        again = read_scan(tmp_path / name)
        np.testing.assert_array_equal(again.volume.affine, expected)
        np.testing.assert_array_equal(again.volume.data, VOXELS)


@pytest.mark.parametrize(("code", "name"), [(2, "long"), (5, "bitmap"), (6, "tensor"), (77, "unknown")])
def test_types_that_are_not_read(tmp_path, code, name):
    with pytest.raises(InputError, match=rf"found voxels of MGH type {code} \({name}\); expected uchar, .*; convert"):
        read_scan(write_raw(tmp_path / "x.mgz", mgh_bytes(code=code)))


@pytest.mark.parametrize(("start", "value"), [(3, 9), (7, 0)])
def test_damaged_header(tmp_path, start, value, capfd):
    """Another version, and no voxel along the first axis."""
    content = bytearray(mgh_bytes())
    content[start] = value
    with pytest.raises(InputError, match="damaged or truncated file"):
        read_scan(write_raw(tmp_path / "x.mgz", bytes(content)))
    assert capfd.readouterr().err == ""


def test_more_frames_than_other_formats_can_say(tmp_path, recwarn):
    content = bytearray(mgh_bytes())
    content[16:20] = (40_000).to_bytes(4, "big")
    (tmp_path / "x.mgh").write_bytes(content)
    scan = read_scan(tmp_path / "x.mgh", volume=0)
    np.testing.assert_array_equal(scan.volume.data, VOXELS)
    write_volume(tmp_path / "result.nii.gz", scan.volume, like=scan, dtype=np.float32)
    np.testing.assert_array_equal(read_scan(tmp_path / "result.nii.gz").volume.data, VOXELS)
    assert not recwarn.list


@pytest.mark.parametrize("dims", [(2**30, 2**30, 2**30, 4), (-5, -5, 56, 1)])
def test_dimensions_beyond_all_bounds(tmp_path, dims, recwarn):
    content = bytearray(mgh_bytes())
    content[4:20] = np.array(dims, ">i4").tobytes()
    (tmp_path / "x.mgh").write_bytes(content)
    with pytest.raises(InputError, match="needs about|no voxels|damaged"):
        read_scan(tmp_path / "x.mgh")
    assert not recwarn.list
