"""Scans with their label maps: matching by name."""

from __future__ import annotations

import pytest

from synthseg_core.errors import GeometryError, InputError
from synthseg_core.images.pairs import Case, listed, listed_pairs, match
from synthseg_core.images.volume import Volume
from tests.phantoms.label_maps import label_volume
from tests.phantoms.scans import reoriented, write_nifti


@pytest.mark.parametrize(
    ("image", "label_map", "fits"),
    [
        ("sub-1_ses-a_T1w.nii", "sub-1_dseg.nii", True),
        ("sub-1_ses-a_T1w.nii", "sub-1_ses-b_dseg.nii", False),
        ("sub-1.nii", "sub-10.nii", False),
        ("x_T1.nii", "y_seg.nii", True),
        ("space-x_sub-1.nii", "sub-1.nii", True),
    ],
)
def test_names_that_disagree(tmp_path, image, label_map, fits):
    write_nifti(tmp_path / "a" / image, label_volume())
    write_nifti(tmp_path / "b" / label_map, label_volume())
    if fits:
        (case,) = match([tmp_path / "a"], tmp_path / "b")
        assert case.images == (("a", tmp_path / "a" / image),)
    else:
        with pytest.raises(InputError, match="check that both folders hold the same subjects"):
            match([tmp_path / "a"], tmp_path / "b")


def test_a_table_of_pairs_names_files_beside_it(tmp_path):
    table = tmp_path / "pairs.tsv"
    table.write_text(f"labels\timage\nmaps/1.nii\tscans/1.nii\n{tmp_path}/2.nii\tscans/2.nii\n")
    images, labels = listed_pairs(table)
    assert images == [tmp_path / "scans/1.nii", tmp_path / "scans/2.nii"]
    assert labels == [tmp_path / "maps/1.nii", tmp_path / "2.nii"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image\tlabels\na.nii\tn/a\n", "found no label map for a.nii"),
        ("image\tlabels\n", "found no rows"),
        ("image\na.nii\n", "expected also labels"),
    ],
)
def test_tables_without_label_maps(tmp_path, text, message):
    (tmp_path / "pairs.tsv").write_text(text)
    with pytest.raises(InputError, match=message):
        listed_pairs(tmp_path / "pairs.tsv")


def test_listed_pairs_share_a_place_whatever_their_axes(tmp_path):
    volume = label_volume()
    write_nifti(tmp_path / "maps/one.nii.gz", volume)
    write_nifti(tmp_path / "scan.nii.gz", reoriented(volume, (2, 0, 1), (True, False, True)))
    table = tmp_path / "table.tsv"
    table.write_text("labels\timage\tsite\nmaps/one.nii.gz\tscan.nii.gz\tA\n")
    assert listed(table) == (Case(tmp_path / "maps/one.nii.gz", (("scan", tmp_path / "scan.nii.gz"),)),)
    moved = volume.affine.copy()
    moved[0, 3] += 3 * volume.voxel_size[0]
    write_nifti(tmp_path / "scan.nii.gz", Volume(volume.data, moved))
    with pytest.raises(GeometryError, match=r"scan.nii.gz: found voxels that lie up to .* mm away"):
        listed(table)
    (tmp_path / "scan.nii.gz").unlink()
    with pytest.raises(InputError, match=r"scan.nii.gz: found no such file"):
        listed(table)
