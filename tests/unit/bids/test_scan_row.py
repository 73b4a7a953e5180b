"""Rows of the scan table: files that cannot be scans, paths that no table can hold, and scans that clash."""

from __future__ import annotations

from dataclasses import replace

import pytest

from synthseg_core.bids.names import parse_stem
from synthseg_core.bids.scan_row import file_problem, legible, named_row, nameless_row, pointer_problem, without_clashes

STEM = "sub-01/ses-2/anat/sub-01_ses-2_run-1_space-T1w"


def row(path: str = "sub-01/ses-2/anat/sub-01_ses-2_run-1_T1w.nii.gz"):
    return named_row(parse_stem(STEM), path, f"/data/{path}")


def test_row_of_a_usable_name():
    found = row()
    assert (found.scan, found.participant_id, found.session_id, found.suffix) == (STEM, "sub-01", "ses-2", "T1w")
    assert found.usable


def test_row_without_a_name():
    found = nameless_row("odd.nii", "/data/odd.nii", "no usable name")
    assert (found.scan, found.path, found.usable) == ("", "odd.nii", False)


def test_what_is_wrong_with_a_file(tmp_path):
    (tmp_path / "scan.nii").write_bytes(b"")
    (tmp_path / "link.nii").symlink_to(tmp_path / "gone.nii")
    (tmp_path / "folder.nii").mkdir()
    assert file_problem(str(tmp_path / "scan.nii")) == ""
    assert "link to a file that is not there" in file_problem(str(tmp_path / "link.nii"))
    assert "not a regular file" in file_problem(str(tmp_path / "folder.nii"))
    assert "no such file" in file_problem(str(tmp_path / "nobody.nii"))


def test_links_of_git_annex_are_not_downloaded(tmp_path):
    (tmp_path / "scan.nii").symlink_to("../.git/annex/objects/x1/y2/MD5E-s1--a.nii/MD5E-s1--a.nii")
    (tmp_path / "link.nii").symlink_to("gone.nii")
    assert nameless_row("a", "/a", file_problem(str(tmp_path / "scan.nii"))).not_downloaded
    assert not nameless_row("a", "/a", file_problem(str(tmp_path / "link.nii"))).not_downloaded
    assert not row().not_downloaded


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        (b"/annex/objects/MD5E-s10--abc.nii.gz\n", "datalad get"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
        (b"", ""),
        (b"\x1f\x8b", ""),
    ],
)
def test_pointers_are_not_downloaded(tmp_path, content, remedy):
    (tmp_path / "scan.nii.gz").write_bytes(content)
    problem = pointer_problem(str(tmp_path / "scan.nii.gz"))
    assert bool(problem) == nameless_row("a", "/a", problem).not_downloaded == bool(remedy)
    assert remedy in problem
    assert pointer_problem(str(tmp_path / "gone")) == ""


@pytest.mark.parametrize(
    ("path", "participant", "session"),
    [
        ("sub-01/ses-2/anat/odd.nii", "sub-01", "ses-2"),
        ("sub-01/odd.nii", "sub-01", ""),
        ("sub-01", "sub-01", ""),
        ("sub-a_b/odd.nii", "", ""),
        ("x/sub-01/odd.nii", "", ""),
    ],
)
def test_rows_without_a_name_belong_to_whom_their_folders_say(path, participant, session):
    found = nameless_row(path, f"/data/{path}", "odd")
    assert (found.participant_id, found.session_id) == (participant, session)


@pytest.mark.parametrize("odd", ["a\tb.nii", "a\nb.nii", "caf\udce9.nii"])
def test_paths_that_no_table_can_hold(odd):
    found = legible(row(odd))
    assert not found.usable
    assert found.path.isprintable()
    assert found.source.isprintable()


def test_names_too_long_for_derivatives():
    long = replace(row(), scan=STEM + "x" * 200)
    assert "too long" in legible(long).problem
    assert legible(row()) == row()


def test_scans_that_would_write_the_same_files_are_all_refused():
    first, second, other = row("a.nii"), row("a.nii.gz"), replace(row("b.nii"), scan="sub-02/anat/sub-02_space-T1w")
    clashing = list(without_clashes([first, other, second]))
    assert [one.usable for one in clashing] == [False, True, False]
    assert "same derivative names as a.nii.gz" in clashing[0].problem
    assert "same derivative names as a.nii" in clashing[2].problem
