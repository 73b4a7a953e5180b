"""The CSV of a data set: rows, checks, names of outputs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthseg_core.cli.dropin.dataset_table import (
    Columns,
    Row,
    Suffixes,
    outputs_of,
    read_table,
    refuse_duplicates,
    shortened,
    unreadable,
    unwritable,
)
from synthseg_core.errors import InputError, UsageError
from tests.phantoms.scans import phantom, write_nifti


def table(tmp_path: Path, text: str, columns: Columns | None = None):
    path = tmp_path / "scans.csv"
    path.write_bytes(text.encode())
    return read_table(path, columns or Columns())


def row(scan: str, line: int = 2) -> Row:
    return Row(line, Path(scan), False, {"path": scan})


def test_rows_keep_their_line_numbers_and_cells(tmp_path):
    text = '\ufeffpath,age\r\nb/../a.nii.gz,31\r\n\r\n,40\r\n"c,\nd.mgz",\r\n/abs/e.npz\r\nn/a,2\r\n'
    read = table(tmp_path, text)
    assert read.columns == ("path", "age")
    assert [(r.line, r.scan) for r in read.rows] == [
        (2, tmp_path / "a.nii.gz"),
        (5, tmp_path / "c,\nd.mgz"),
        (7, Path("/abs/e.npz")),
    ]
    assert read.rows[0].cells == {"path": "b/../a.nii.gz", "age": "31"}
    assert read.empty_lines == (4, 8)


def test_relative_paths_start_at_the_folder_of_the_csv(tmp_path, monkeypatch):
    (tmp_path / "study").mkdir()
    (tmp_path / "study/scans.csv").write_text("path\nsub/a.nii\n")
    monkeypatch.chdir(tmp_path)
    assert read_table(Path("study/scans.csv"), Columns()).rows[0].scan == tmp_path / "study/sub/a.nii"


def test_ct_column(tmp_path):
    text = "file,ct\na.nii,1\nb.nii,No\nc.nii,\nd.nii,TRUE\n"
    read = table(tmp_path, text, Columns("file", "ct", ct_default=True))
    assert [r.ct for r in read.rows] == [True, False, True, True]
    assert [r.ct for r in table(tmp_path, text, Columns("file")).rows] == [False] * 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the columns none; expected one column 'path'"),
        ("file\na.nii\n", "the columns file"),
        ("path,path\na.nii,b.nii\n", "one column 'path'"),
        ("PK\x03\x04", "a workbook or other binary file"),
    ],
)
def test_bad_tables(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        table(tmp_path, text)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.mgz", "a.npz"])
def test_outputs_beside_the_scan(name):
    wanted = Suffixes(posteriors="_posteriors", resampled="_resampled", quality="_qc.csv")
    outputs = outputs_of(row(f"/d/{name}"), Path("/d/scans.csv"), wanted, None)
    assert [path.name for path in outputs.paths()] == [
        "a_segm.nii.gz",
        "a_posteriors.nii.gz",
        "a_resampled.nii.gz",
        "a_volumes.csv",
        "a_qc.csv",
    ]
    assert {path.parent for path in outputs.paths()} == {Path("/d")}


def test_outputs_in_a_folder_of_their_own():
    inside = outputs_of(row("/data/raw/s1/a.nii"), Path("/data/raw/scans.csv"), Suffixes(), Path("/out"))
    assert inside.paths() == (Path("/out/s1/a_segm.nii.gz"), Path("/out/s1/a_volumes.csv"))
    outside = outputs_of(row("/other/a.nii"), Path("/data/raw/scans.csv"), Suffixes(), Path("/out"))
    assert outside.segmentation == Path("/out/other/a_segm.nii.gz")


parts = st.lists(st.sampled_from(["a", "b", "raw", "data", "a.b"]), min_size=1, max_size=4).map("/".join)


@given(st.sets(parts, min_size=2, max_size=6), st.sampled_from([None, Path("/out")]))
def test_different_scans_have_different_outputs(stems, folder):
    made = [outputs_of(row(f"/{stem}.mgz"), Path("/data/raw/s.csv"), Suffixes(), folder).paths() for stem in stems]
    # Outside and inside of the table's folder may only meet where a scan lies under a folder of the same name.
    flat = [path for paths in made for path in paths]
    assert len(set(flat)) == len(flat) or folder is not None


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("b.nii,b,c", "found 3 cells; expected 2, as in the header"),
        ("b.nii,2.5", "found '2.5' in column ct; expected 1 or "),
        ('"b.nii,1', "found quotes that cannot be understood"),
    ],
)
def test_a_bad_line_is_told_by_number_and_costs_no_other(tmp_path, line, reason):
    read = table(tmp_path, f"path,ct\na.nii,1\n{line}\nc.nii,0,\n", Columns(ct="ct"))
    assert [(r.line, r.scan.name, r.ct) for r in read.rows] == [(2, "a.nii", True), (4, "c.nii", False)]
    (error,) = read.bad_lines
    assert str(error).startswith(f"{tmp_path}/scans.csv: line 3: {reason}")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_tables_of_spreadsheets_are_read(tmp_path, separator, encoding, end):
    rows = [["site", "path", "ct"], ["Zürich", f'"a{separator}b ""x"".nii"', "yes"], [" Ö ", " c.nii ", ""]]
    path = tmp_path / "scans.csv"
    path.write_bytes("".join(separator.join(cells) + end for cells in rows).encode(encoding))
    read = read_table(path, Columns(ct="ct"))
    assert read.columns == ("site", "path", "ct")
    assert [(r.line, r.scan.name, r.ct, r.cells["site"]) for r in read.rows] == [
        (2, f'a{separator}b "x".nii', True, "Zürich"),
        (3, "c.nii", False, "Ö"),
    ]
    assert read.bad_lines == ()


def test_the_line_by_which_excel_knows_the_separator(tmp_path):
    read = table(tmp_path, "sep=;\npath;note\na.nii;x,y\n")
    assert [(r.line, r.scan.name, r.cells["note"]) for r in read.rows] == [(3, "a.nii", "x,y")]


def test_a_table_that_is_not_there_is_said_in_words(tmp_path):
    with pytest.raises(InputError, match=r"found no readable table \(No such file or directory\); expected text with"):
        read_table(tmp_path / "none.csv", Columns())


def test_duplicates_are_refused_with_all_their_lines(tmp_path):
    read = table(tmp_path, "path\na.nii\nb.mgz\na.nii\nb.nii.gz\n")
    prefixes = [outputs_of(r, read.path, Suffixes(), None).segmentation for r in read.rows]
    with pytest.raises(
        UsageError, match=r"a\.nii in lines 2, 4; b\.mgz and b\.nii\.gz with the same outputs in lines 3"
    ):
        refuse_duplicates(read, prefixes)
    refuse_duplicates(read, [Path(f"/{number}") for number in range(4)])


def test_unreadable_rows_are_found_before_the_run(tmp_path):
    good = write_nifti(tmp_path / "good.nii.gz", phantom())
    (tmp_path / "empty.nii").touch()
    (tmp_path / "folder.nii").mkdir()
    (tmp_path / "notes.md").write_text("x")
    rows = [row(str(tmp_path / name)) for name in ("good.nii.gz", "none.nii", "empty.nii", "folder.nii", "notes.md")]
    bad = unreadable(rows)
    assert [r.scan.name for r, _ in bad] == ["none.nii", "empty.nii", "folder.nii", "notes.md"]
    assert "no such file" in str(bad[0][1])
    assert good.is_file()


def test_long_lists_are_shortened():
    assert shortened(["a", "b"]) == "a; b"
    assert shortened([str(n) for n in range(13)]).endswith("8; 9; and 3 more")


def test_a_file_in_the_way_of_the_output_folder(tmp_path):
    (tmp_path / "derived").touch()
    scan = row(str(tmp_path / "s1/a.nii"))
    outputs = outputs_of(scan, tmp_path / "scans.csv", Suffixes(), tmp_path / "derived")
    assert "found not a directory; expected a place for the outputs of a.nii; " in str(unwritable(scan, outputs))
    assert unwritable(scan, outputs_of(scan, tmp_path / "scans.csv", Suffixes(), tmp_path / "other")) is None
