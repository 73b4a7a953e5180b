"""Naming rules of the reference command."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthseg_core.cli.dropin import names as names
from synthseg_core.cli.dropin.names import InputMode
from synthseg_core.errors import InputError

stems = st.text(st.characters(codec="ascii", categories=("L", "N"), include_characters="-_ "), min_size=1, max_size=12)
extensions = st.sampled_from([".nii.gz", ".nii", ".mgz", ".npz"])


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        ("scans.txt", InputMode.LIST),
        ("a.nii.txt", InputMode.LIST),
        ("folder/a.nii.gz", InputMode.IMAGE),
        ("a.mgz", InputMode.IMAGE),
        ("A.NII.GZ", InputMode.IMAGE),
        ("a.npz.backup", InputMode.IMAGE),
        ("study.nii.d", InputMode.IMAGE),
        ("study.nii/", InputMode.FOLDER),
        ("a.nii/b", InputMode.FOLDER),
        ("study", InputMode.FOLDER),
        ("list.TXT", InputMode.FOLDER),
        ("a.mgh", InputMode.FOLDER),
    ],
)
def test_mode_looks_for_extensions_anywhere_in_the_last_part(path, mode):
    assert names.input_mode(path) is mode


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sub-01.nii.gz", "sub-01_synthseg.nii.gz"),
        ("SUB-01.NII.GZ", "SUB-01_synthseg.NII.GZ"),
        ("sub-02.mgz", "sub-02_synthseg.mgz"),
        ("sub-03.npz", "sub-03_synthseg.npz"),
        ("x.nii.extra.nii.gz", "x_synthseg.nii.extra_synthseg.nii.gz"),
        ("x.mgz.npz", "x_synthseg.mgz_synthseg.npz"),
        ("scan_nii", "scan_nii"),
    ],
)
def test_suffix_goes_before_every_extension(name, expected):
    assert names.suffixed(name, "synthseg") == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("d.nii.gz/sub-01.nii.gz", "sub-01"),
        ("D.NII.GZ", "D"),
        ("s.nii", "s.nii"),
        ("s.mgz", "s.mgz"),
        ("a.nii.gz.b.nii.gz", "a.b"),
    ],
)
def test_subject_loses_only_nii_gz(path, expected):
    assert names.subject_name(path) == expected


@given(stem=stems, extension=extensions, suffix=st.sampled_from(["synthseg", "posteriors", "resampled"]))
def test_ordinary_names_take_one_suffix_and_keep_their_extension(stem, extension, suffix):
    assert names.suffixed(stem + extension, suffix) == f"{stem}_{suffix}{extension}"
    assert names.without_extension(Path("d") / (stem + extension)) == Path("d") / stem


@given(first=st.tuples(stems, extensions), second=st.tuples(stems, extensions))
def test_different_scans_of_a_folder_get_different_names(first, second):
    one, other = "".join(first), "".join(second)
    assert (names.suffixed(one, "synthseg") == names.suffixed(other, "synthseg")) == (one == other)


def test_csv_is_appended_once():
    assert names.csv_name("volumes") == "volumes.csv"
    assert names.csv_name("volumes.csv") == "volumes.csv"
    assert names.csv_name("volumes.tsv") == "volumes.tsv.csv"


def test_folder_lists_scans_sorted_and_nothing_else(tmp_path):
    for name in ("b.nii", "a.nii.gz", "c.mgz", "d.npz", "e.txt", ".hidden.nii.gz", "f.mgh", "G.NII.GZ", "H.Nii"):
        (tmp_path / name).touch()
    (tmp_path / "dicoms.nii").mkdir()
    assert [p.name for p in names.scans_in_folder(tmp_path)] == ["G.NII.GZ", "a.nii.gz", "b.nii", "c.mgz", "d.npz"]


def test_list_drops_empty_lines_and_strips_nothing(tmp_path):
    path = tmp_path / "scans.txt"
    path.write_bytes(b"\xef\xbb\xbfa.nii.gz\r\n\r\n b.nii \n\nc\x0bd.mgz\n")
    assert names.read_list(path) == ["a.nii.gz", " b.nii ", "c\x0bd.mgz"]


def test_missing_list_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="one path a line"):
        names.read_list(tmp_path / "none.txt")


@pytest.mark.parametrize(
    ("name", "prefix"),
    [("A.NII.GZ", "A"), ("a.b.npz", "a.b"), ("a.mgz", "a"), ("a.nii.nii", "a.nii"), ("a.hdr", "a.hdr")],
)
def test_prefix_of_data_set_outputs(name, prefix):
    assert names.without_extension(Path("d") / name) == Path("d") / prefix
