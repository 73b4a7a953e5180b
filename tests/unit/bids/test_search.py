"""Which suffixes are searched, and which other ones stand for them."""

import pytest

from synthseg_core.bids.search import Search, foreign_format


@pytest.mark.parametrize(
    ("suffix", "meant"), [("t1w", "T1w"), ("T1", "T1w"), ("flair", "FLAIR"), ("T2star", "T2starw"), ("T1map", "")]
)
def test_suffixes_that_stand_for_others(suffix, meant):
    assert Search().meant(suffix) == meant
    assert Search(suffixes=("CT",)).meant(suffix) == ""


def test_what_is_asked_for_by_name():
    assert not Search().by_name
    assert Search(suffixes=("CT",)).by_name
    assert Search(datatypes=("ct",)).by_name


FORMATS = {
    "a.MGZ": ".mgz",
    "a.img.gz": ".img.gz",
    "a.nii.bz2": ".nii.bz2",
    "a.IMA": "DICOM",
    "a.nii": "",
    "._a.img": "",
}


@pytest.mark.parametrize("name", FORMATS)
def test_formats_that_are_not_read(name):
    assert foreign_format(name) == FORMATS[name]
