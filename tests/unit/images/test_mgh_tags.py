"""Colour tables in MGH files: the documented bytes, and what nibabel's reader of the same structure finds."""

from __future__ import annotations

import gzip
import struct

import nibabel as nib
import numpy as np
import pytest
from nibabel.freesurfer.io import _read_annot_ctab_new_format
from nibabel.freesurfer.mghformat import MGHHeader

from synthseg_core.images.mgh_tags import LabelColour, colour_table_tag
from synthseg_core.images.reading import read_scan
from synthseg_core.images.volume import Volume
from synthseg_core.images.writing import write_volume
from tests.phantoms.scans import oblique_affine

COLOURS = (
    LabelColour(0, "Unknown", (0, 0, 0)),
    LabelColour(17, "Left-Hippocampus", (220, 216, 20)),
    LabelColour(2035, "ctx-rh-insula", (255, 192, 32)),
)
LABELS = Volume(np.array([[[0, 17, 17], [2035, 0, 17]]], dtype=np.int32), oblique_affine())


def test_bytes_are_those_of_the_format():
    """Worked out by hand: tag 1, version -2, largest label + 1, origin; entries of number, name and colour."""
    expected = (
        b"\0\0\0\x01\xff\xff\xff\xfe\0\0\0\x12"  # tag 1, version -2, 18
        b"\0\0\0\x09synthseg\0\0\0\0\x01"  # origin of 9 bytes, 1 entry
        b"\0\0\0\x11\0\0\0\x11Left-Hippocampus\0"  # 17, a name of 17 bytes
        b"\0\0\0\xdc\0\0\0\xd8\0\0\0\x14\0\0\0\0"  # 220 216 20, opaque
    )
    assert colour_table_tag(COLOURS[1:2]) == expected


@pytest.fixture
def tail(tmp_path):
    """What an MGH file with a colour table has behind its scan parameters."""
    path = tmp_path / "labels.mgz"
    write_volume(path, LABELS, dtype=np.int32, colours=COLOURS)
    content = gzip.decompress(path.read_bytes())
    header = MGHHeader(content)
    return content[header.get_footer_offset() + MGHHeader._ftrdtype.itemsize :]


def test_a_file_carries_its_table_behind_the_scan_parameters(tail):
    assert tail == colour_table_tag(COLOURS)


def test_nibabel_reads_the_table_as_it_reads_those_of_annotations(tail, tmp_path):
    tag, version = struct.unpack(">2i", tail[:8])
    assert (tag, version) == (1, -2)
    (tmp_path / "table").write_bytes(tail[8:])
    with (tmp_path / "table").open("rb") as file:
        table, names = _read_annot_ctab_new_format(file, -version)
        assert file.read() == b""
    for one in COLOURS:
        assert table[one.label, :4].tolist() == [*one.rgb, 0]
    assert [name.decode().rstrip("\0") for name in names] == [one.name for one in COLOURS]


def test_voxels_and_geometry_are_as_without_a_table(tmp_path):
    write_volume(tmp_path / "with.mgz", LABELS, dtype=np.int32, colours=COLOURS)
    write_volume(tmp_path / "without.mgz", LABELS, dtype=np.int32)
    there, bare = (nib.load(tmp_path / f"{name}.mgz") for name in ("with", "without"))
    np.testing.assert_array_equal(np.asanyarray(there.dataobj), np.asanyarray(bare.dataobj))
    np.testing.assert_array_equal(there.affine, bare.affine)
    without = gzip.decompress((tmp_path / "without.mgz").read_bytes())
    assert gzip.decompress((tmp_path / "with.mgz").read_bytes()).startswith(without)
    np.testing.assert_array_equal(read_scan(tmp_path / "with.mgz").volume.data, LABELS.data)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".npz"])
def test_other_formats_have_no_place_for_one(tmp_path, suffix):
    write_volume(tmp_path / f"with{suffix}", LABELS, colours=COLOURS)
    write_volume(tmp_path / f"without{suffix}", LABELS)
    assert (tmp_path / f"with{suffix}").read_bytes() == (tmp_path / f"without{suffix}").read_bytes()
