"""Scans that a table lists."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthseg_core.bids.discovery import looks_like_bids
from synthseg_core.bids.scan_table import find_scans, home_of, read_table, require_input, source_uri, write_table
from synthseg_core.bids.search import Search
from synthseg_core.errors import InputError, UsageError
from tests.phantoms.trees import make_tree

FILES = ["a.nii.gz", "b.nii", "c.mgz", "x y/a.nii", "sub-7/anat/sub-7_run-2_FLAIR.nii.gz"]


@pytest.fixture
def study(tmp_path):
    return make_tree(tmp_path / "study", FILES)


def scans(study, text, name="scans.csv", **search):
    table = study / name
    table.write_text(text)
    return find_scans(table, Search(**search))


def names(rows):
    return [row.scan.rpartition("/")[2] for row in rows if row.usable]


def problems(rows):
    return [row.problem for row in rows if row.problem]


def test_columns_name_the_scans(study):
    text = (
        "subject,session,suffix,run,path,age\n1,pre,T1w,2,a.nii.gz,31\nsub-1,ses-pre,FLAIR,,b.nii,31\n2,,,,x y/a.nii,\n"
    )
    rows = scans(study, text)
    assert problems(rows) == []
    assert names(rows) == ["sub-1_ses-pre_run-2_space-T1w", "sub-1_ses-pre_space-FLAIR", "sub-2_space-orig"]
    first = rows[0]
    assert first.scan == "sub-1/ses-pre/anat/sub-1_ses-pre_run-2_space-T1w"
    assert (first.participant_id, first.session_id, first.suffix) == ("sub-1", "ses-pre", "T1w")
    assert (first.path, first.source) == ("a.nii.gz", str(study / "a.nii.gz"))


@pytest.mark.parametrize(
    "header", ["Participant ID,Acquisition", "participant_id,acq", "sub,acquisition", "Subject-ID,ACQ"]
)
def test_headers_have_other_spellings(study, header):
    assert names(scans(study, f"path,{header}\na.nii.gz,1,x\n")) == ["sub-1_acq-x_space-orig"]


def test_names_without_columns(study):
    rows = scans(study, "path\na.nii.gz\nx y/a.nii\nsub-7/anat/sub-7_run-2_FLAIR.nii.gz\n")
    assert names(rows) == ["sub-a_space-orig", "sub-xya_space-orig", "sub-7_run-2_space-FLAIR"]


def test_columns_win_over_file_names_and_empty_cells_do_not(study):
    path = "sub-7/anat/sub-7_run-2_FLAIR.nii.gz"
    assert names(scans(study, f"path,subject,run,suffix\n{path},8,,T2w\n")) == ["sub-8_run-2_space-T2w"]
    assert names(scans(study, f"path,subject,run\n{path},n/a,5\n")) == ["sub-7_run-5_space-FLAIR"]


def test_numbers_that_pandas_wrote_with_a_point(study):
    assert names(scans(study, "path,subject,session\na.nii.gz,3.0,2.0\n")) == ["sub-3_ses-2_space-orig"]


@pytest.mark.parametrize(
    ("header", "column"), [("path,mask", None), ("PATH,image", None), ("image,label image", "image")]
)
def test_column_of_paths(study, header, column):
    assert [row.path for row in scans(study, f"{header}\na.nii.gz,b.nii\n", path_column=column)] == ["a.nii.gz"]


def test_only_column_that_looks_like_paths(study):
    assert [row.path for row in scans(study, "age,image\n3,\n4,b.nii\n")] == ["scans.csv, line 2", "b.nii"]


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("image,mask\na.nii,b.nii\n", None, "found image, mask; expected one column of paths"),
        ("x,y\n1,2\n", None, "none among x, y"),
        ("path\na.nii\n", "image", "none among path; expected one column 'image'"),
        ("path,path\na.nii,b.nii\n", None, "found path, path"),
        ("a.nii,1\n", None, "a path in line 1; expected the names of the columns"),
        ("path,subject,sub\na.nii,1,1\n", None, "the columns subject and sub for one thing"),
        ("", None, "none among no columns"),
    ],
)
def test_tables_whose_columns_are_not_clear(study, text, column, message):
    with pytest.raises(InputError, match=message):
        scans(study, text, path_column=column)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.txt", "# scans\n\na.nii.gz\r\n# another, of d.nii\nx y/a.nii\n"),
        ("scans.csv", '"a.nii.gz"\n"x y/a.nii"\n'),
        ("list.txt", "image\tage\na.nii.gz\t1\nx y/a.nii\n"),
    ],
)
def test_lists_of_paths(study, name, text):
    assert names(scans(study, text, name)) == ["sub-a_space-orig", "sub-xya_space-orig"]


def test_paths_in_lists_may_hold_separators(study):
    (study / "p,q.nii").touch()
    assert names(scans(study, "p,q.nii\n", "list.txt")) == ["sub-pq_space-orig"]


def test_paths_outside_of_the_table_s_folder(study):
    make_tree(study.parent / "other", ["d e.nii"])
    rows = scans(
        study, f"path,subject\n../other/d e.nii,1\n{study}/x y/../a.nii.gz,2\n{study.parent}/other/../study/b.nii,\n"
    )
    assert [row.path for row in rows] == [str(study.parent / "other/d e.nii"), "a.nii.gz", "b.nii"]
    assert [row.usable for row in rows] == [True] * 3
    assert source_uri(rows[0]) == (study.parent / "other/d e.nii").as_uri()
    assert source_uri(rows[1]) == "bids:raw:a.nii.gz"


def test_every_fault_is_told_with_its_line_and_costs_no_other(study):
    (study / "gone.nii").symlink_to("nowhere")
    (study / "folder.nii").mkdir()
    text = """\
path,subject,ct,model
a.nii.gz,1,,
,2,,

none.nii,3,,
notes.txt,4,,
gone.nii,5,,
folder.nii,6,,
b.nii,7,maybe,
c.mgz,8,,nonesuch
x y/a.nii,9,,tiny-random,extra
"x y/a.nii,10
x y/a.nii,--,,
"""
    rows = scans(study, text)
    assert names(rows) == ["sub-1_space-orig"]
    expected = [
        "line 3: no path",
        "line 5: no such file",
        "line 6: none of .nii.gz, .nii, .mgz, .mgh",
        "line 7: a link to a file that is not there",
        "line 8: not a regular file",
        "line 9: 'maybe' as ct; write 1 or true",
        "line 10: no model 'nonesuch'",
        "line 11: 5 cells, where the header has 4",
        "line 12: quotes that cannot be understood",
        "line 13: '--' as sub",
    ]
    assert [problem[: len(start)] for problem, start in zip(problems(rows), expected, strict=True)] == expected
    write_table(study / "out.tsv", rows)
    assert read_table(study / "out.tsv") == rows
    named = {row.problem.split(":")[0].removeprefix("line ") for row in rows if row.scan and row.problem}
    assert named == {"5", "6", "7", "8", "9", "10"}  # scans that fail; of the other lines nobody knows which they mean


@pytest.mark.parametrize(
    "fault", ["notes.txt,1,,", "b.nii,1,maybe,", "b.nii,1,,nonesuch", "a.nii.gz,1,maybe,", "b.nii,s_1,maybe,"]
)
@pytest.mark.parametrize("first", [True, False])
def test_a_line_that_is_not_understood_contradicts_no_other(study, fault, first):
    lines = [fault, "a.nii.gz,1,,"] if first else ["a.nii.gz,1,,", fault]
    rows = scans(study, "\n".join(["path,subject,ct,model", *lines]))
    assert names(rows) == ["sub-1_space-orig"]
    assert [row.path for row in rows if row.usable] == ["a.nii.gz"]
    assert len(problems(rows)) == 1
    write_table(study / "out.tsv", rows)
    assert read_table(study / "out.tsv") == tuple(rows)


@pytest.mark.parametrize("note", ['"first', '"1'])
def test_an_open_quote_does_not_take_in_other_scans_without_a_word(study, note):
    rows = scans(study, f'path,subject,note\na.nii.gz,1,{note}\nb.nii,2,"\nx y/a.nii,3,\n')
    assert names(rows) == ["sub-3_space-orig"]
    assert problems(rows) == ["line 2: a cell in quotes that takes in other lines (b.nii); close its quotation mark"]
    assert problems(scans(study, 'path,subject,note\na.nii.gz,1,"two\nlines, no scan"\n')) == []


def test_yes_and_no_as_pandas_writes_them_beside_empty_cells(study):
    assert [row.ct for row in scans(study, "path,ct\na.nii.gz,1.0\nb.nii,0.0\nc.mgz,\n")] == ["true", "false", ""]


def test_model_and_ct_of_single_scans(study):
    (study / "card.yaml").touch()
    text = "path,ct,model\na.nii.gz,Yes,default\nb.nii,0,card.yaml\nc.mgz,n/a,\n"
    assert [(row.model, row.ct) for row in scans(study, text)] == [
        ("default", "true"),
        (str(study / "card.yaml"), "false"),
        ("", ""),
    ]


def test_a_scan_that_is_listed_twice_is_taken_once(study):
    rows = scans(study, "path,subject\na.nii.gz,1\nb.nii,2\n./a.nii.gz,sub-1\n")
    assert names(rows) == ["sub-1_space-orig", "sub-2_space-orig"]
    assert problems(rows) == ["line 4: the same scan as in line 2; remove one"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a.nii.gz,1,", "a.nii.gz,2,"], "the same file as in line 3, but not the same scan"),
        (["a.nii.gz,1,", "a.nii.gz,1,tiny-random"], "the same file as in line 3"),
        (["a.nii.gz,1,", "b.nii,1,"], "same derivative names as line 3; tell the scans apart"),
        (["a.nii.gz,A_1,", "b.nii,A-1,"], "A-1 and A_1 both become sub-A1"),
    ],
)
def test_of_rows_that_contradict_each_other_none_is_taken(study, lines, message):
    rows = scans(study, "\n".join(["path,subject,model", *lines, "c.mgz,9,"]))
    assert names(rows) == ["sub-9_space-orig"]
    assert len(problems(rows)) == 2
    assert message in problems(rows)[0]


def test_problems_that_quote_undecodable_cells_can_be_written(study, tmp_path):
    table = study / "scans.csv"
    table.write_bytes("subject,path\nJosé,a.nii.gz\nJos,b.nii\n".encode("latin-1"))
    rows = find_scans(table, Search())
    assert len(problems(rows)) == 2
    write_table(tmp_path / "scans.tsv", rows)
    assert problems(read_table(tmp_path / "scans.tsv")) == problems(rows)


def test_contrasts_of_one_session_stay_apart(study):
    rows = scans(study, "path;subject;session;suffix\na.nii.gz;1;1;T1w\nb.nii;1;1;FLAIR\n")
    assert names(rows) == ["sub-1_ses-1_space-T1w", "sub-1_ses-1_space-FLAIR"]


def test_home_of_tables_and_folders(study):
    scans(study, "path\n")
    (study / "scans.lst").write_text("path\n")
    assert home_of(study / "scans.csv") == home_of(study / "scans.lst") == home_of(study) == study


def test_a_table_of_another_name_has_to_be_called_one(study):
    (study / "list").write_text("path\na.nii.gz\n")
    assert names(find_scans(study / "list", Search(layout="table"))) == ["sub-a_space-orig"]
    with pytest.raises(InputError, match="found a file; expected a BIDS dataset or a folder .*; give its folder, or a"):
        find_scans(study / "list", Search())


def test_inputs_that_are_not_there(study):
    require_input(study)
    (study / "s.csv").touch()
    require_input(study / "s.csv")
    require_input(study / "a.nii.gz", "table")
    for path, layout in (("none", "auto"), ("none.csv", "auto"), ("a.nii.gz", "auto"), ("s.csv", "bids")):
        with pytest.raises(InputError, match="no such folder|found a file"):
            require_input(study / path, layout)
    with pytest.raises(InputError, match="no such file; expected a table"):
        require_input(study / "none", "table")
    assert not looks_like_bids(study / "s.csv")


@pytest.mark.parametrize(
    "search", [{"filter_file": Path("f.json")}, {"database": Path("db")}, {"derivatives": (Path("d"),)}]
)
def test_filters_are_for_bids_datasets(study, search):
    with pytest.raises(UsageError, match="what is no BIDS dataset"):
        scans(study, "path\na.nii.gz\n", **search)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([*FILES, "none.nii", ""]), st.text("ab-_1", max_size=3)), max_size=8))
def test_every_line_has_one_row_and_names_are_unique(tmp_path_factory, lines):
    study = make_tree(tmp_path_factory.mktemp("study"), FILES)
    lines = [line for line in lines if any(line)]
    rows = scans(study, "\n".join(["path,subject", *(f"{path},{subject}" for path, subject in lines)]))
    assert len(rows) == len(lines)
    assert len(set(names(rows))) == len(names(rows))
