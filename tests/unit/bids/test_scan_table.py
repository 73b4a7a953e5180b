from contextlib import nullcontext
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthseg_core.bids.names import parse_stem
from synthseg_core.bids.scan_row import COLUMNS, ScanRow
from synthseg_core.bids.scan_table import absent_labels, find_scans, read_table, select, source_uri, write_table
from synthseg_core.bids.search import Search
from synthseg_core.errors import InputError
from tests.phantoms.trees import make_tree
from tests.strategies import scan_names


@pytest.fixture
def rows(tmp_path):
    root = make_tree(
        tmp_path / "bids",
        [
            "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz",
            "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz",
            "sub-02/anat/sub-02_T1w.nii.gz",
            "sub-02/anat/sub-02_T1w.nii",
            "sub-02/anat/sub-02_T1w_x.nii",
        ],
    )
    return find_scans(root, Search())


def test_rows_of_a_dataset(rows, tmp_path):
    first = rows[0]
    assert first.scan == "sub-01/ses-1/anat/sub-01_ses-1_space-T1w"
    assert (first.participant_id, first.session_id, first.suffix) == ("sub-01", "ses-1", "T1w")
    assert first.source == str(tmp_path / "bids" / first.path)
    assert [row.usable for row in rows] == [True, True, False, False, False]
    assert [bool(row.scan) for row in rows] == [True, True, True, True, False]


def test_table_is_read_as_written(rows, tmp_path):
    path = tmp_path / "scans.tsv"
    write_table(path, rows)
    assert path.read_text().splitlines()[0].split("\t") == list(COLUMNS)
    assert read_table(path) == rows


def test_table_that_says_the_same_is_left_alone(rows, tmp_path):
    path = tmp_path / "scans.tsv"
    write_table(path, rows)
    before = path.stat()
    write_table(path, rows)
    assert path.stat().st_ino == before.st_ino
    write_table(path, rows[:1])
    assert len(read_table(path)) == 1


@settings(deadline=None)
@given(st.lists(scan_names(), max_size=4), st.text(alphabet="ab '\"#\\é", max_size=5))
def test_any_table_is_read_as_written(tmp_path_factory, names, odd):
    found = {name.stem: name for name in names}.values()
    rows = tuple(
        ScanRow(name.stem, f"sub-{name.entities['sub']}", "", name.suffix, f"x{odd}.nii", f"/x{odd}.nii")
        for name in found
    )
    path = tmp_path_factory.mktemp("table") / "scans.tsv"
    write_table(path, rows)
    assert read_table(path) == rows


def test_selection(rows):
    assert [row.session_id for row in select(rows, ["01"])] == ["ses-1", "ses-2"]
    assert [row.participant_id for row in select(rows, sessions=["2"])] == ["sub-01"]
    assert select(rows, ["01"], ["3"]) == ()
    assert select(rows) == rows


def test_selection_without_some(rows):
    assert {row.participant_id for row in select(rows, exclude_participants=["01"])} == {"sub-02"}
    assert select(rows, ["01"], exclude_participants=["01"]) == ()


def test_labels_that_no_scan_has(rows):
    assert absent_labels(rows, ["01", "09"], ["1", "9"]) == ("sub-09", "ses-9")
    assert absent_labels(rows) == ()


def test_tables_of_users_may_lack_columns(rows, tmp_path):
    path = tmp_path / "scans.tsv"
    write_table(path, rows)
    lines = [line.split("\t") for line in path.read_text().splitlines()]
    short = ["\t".join(line[: COLUMNS.index("model")]) for line in lines]
    path.write_text("\n".join(short) + "\n")
    assert read_table(path) == rows


def test_names_of_sources():
    row = ScanRow("s", "", "", "", "sub-1/anat/a b#1.nii", "/in/sub-1/anat/a b#1.nii")
    assert source_uri(row) == "bids:raw:sub-1/anat/a%20b%231.nii"
    assert source_uri(replace(row, path="/other/a b.nii", source="/other/a b.nii")) == "file:///other/a%20b.nii"


def test_unknown_layout(tmp_path):
    with pytest.raises(InputError, match="auto or bids or folder or table"):
        find_scans(tmp_path, Search(layout="csv"))


@settings(deadline=None)
@given(scan_names(), st.sampled_from(["{0}", "{0}x", "x{0}", "{1}/{0}", "{0}/a"]), st.booleans())
def test_stems_are_checked_as_by_the_parser(tmp_path_factory, name, change, swap):
    """Stems are looked at without their labels, once for all participants: with the result of looking at each."""
    stem = change.format(name.stem, name.folder)
    stem = stem.replace("sub-", "sub-0", 1) if swap else stem
    path = tmp_path_factory.mktemp("table") / "scans.tsv"
    write_table(path, [ScanRow(stem, "", "", "", "a.nii", "/a.nii")])
    with pytest.raises(InputError) if not is_stem(stem) else nullcontext():
        read_table(path)


def is_stem(text):
    try:
        return parse_stem(text).stem == text
    except InputError:
        return False


def test_tables_that_cannot_be_used(rows, tmp_path):
    path = tmp_path / "scans.tsv"
    write_table(path, [rows[0], rows[0]])
    with pytest.raises(InputError, match="more than once"):
        read_table(path)
    for fault in (ScanRow("sub-1/x", "sub-1", "", "T1w", "a", "/a"), ScanRow("", "", "", "", "a", "/a")):
        write_table(path, [fault])
        with pytest.raises(InputError, match=r"no scan's derivatives|no stem"):
            read_table(path)
    write_table(path, [ScanRow(rows[0].scan, "sub-01", "", "T1w", "a", "a.nii")])
    with pytest.raises(InputError, match="no absolute source"):
        read_table(path)
    write_table(path, [replace(rows[0], ct="perhaps")])
    with pytest.raises(InputError, match="'perhaps' as ct of"):
        read_table(path)
    path.write_text("scan\nx\n")
    with pytest.raises(InputError, match="also participant_id"):
        read_table(path)
