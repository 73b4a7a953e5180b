"""What a search did not list, in lines."""

import pytest

from synthseg_core.bids.tally import Tally, formats_in, image_in, kinds_text, nearest
from tests.phantoms.trees import make_tree

DICOM = b"\0" * 128 + b"DICM"


def test_lines():
    tally = Tally(without=["sub-3", "sub-2"])
    tally.other.update({"MEGRE": 4, "CT": 1})
    tally.ignored["FLASH"] = 1
    assert tally.lines() == [
        "5 images of other kinds, not taken: MEGRE 4, CT 1; --suffixes takes them",
        "1 image left out by .bidsignore: FLASH 1",
        "2 participants without a scan of these kinds: sub-2, sub-3",
    ]
    assert tally.lines(["sub-1", "sub-2"])[-1] == "1 participant without a scan of these kinds: sub-2"
    assert Tally().lines() == []


def test_parts_of_a_scan_lead_to_the_scan():
    tally = Tally()
    tally.other["MP2RAGE"] = 2
    assert "UNIT1 image that was made of them is segmented, also from a derivative dataset with" in tally.lines()[1]


def test_many_kinds_are_cut():
    assert kinds_text({f"k{n}": 1 for n in range(10)}).endswith("k7 1, 2 more kinds")


@pytest.mark.parametrize(
    ("label", "meant"),
    [
        ("sub-1", "sub-01"),
        ("sub-AB", "sub-ab"),
        ("sub-7", "sub-P007"),
        ("sub-contrl3", "sub-control3"),
        ("sub-77", ""),
        ("sub-02", ""),
        ("ses-1", ""),
        ("sub-zz", ""),
    ],
)
def test_label_that_was_perhaps_meant(label, meant):
    assert nearest(label, {"sub-01", "sub-ab", "sub-P007", "sub-control3", "ses-pre", ""}) == meant


def test_images_below_a_folder(tmp_path):
    make_tree(tmp_path, ["a/notes.txt", "a/b/x.nii.gz"])
    assert image_in(tmp_path) == "a/b/x.nii.gz"
    assert image_in(tmp_path / "a/b/x.nii.gz") == ""
    assert not formats_in(tmp_path)


def test_formats_below_a_folder(tmp_path):
    make_tree(tmp_path, ["a.img", "a.hdr", "b.nrrd", "c.dcm"])
    make_tree(tmp_path, ["series/IM-0001-0001", "series/1.2.840.113619.2", "series/x.dat"], DICOM)
    make_tree(tmp_path, ["series/README"], b"text")
    assert formats_in(tmp_path) == {".img": 1, ".nrrd": 1, "DICOM": 3}
