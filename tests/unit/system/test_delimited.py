"""Tables that anybody may have written."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthseg_core.errors import InputError
from synthseg_core.system.delimited import Record, decoded, read_lines, read_records, split_lines, western, yes_or_no


def records(tmp_path, data):
    path = tmp_path / "table.csv"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return [(record.line, *record.cells) for record in read_records(path)]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_separators_and_line_ends(tmp_path, separator, end):
    lines = ["path; age ", "", '"a;b.nii";3', ";", " c.nii ;", ""]
    text = end.join(line.replace(";", separator) for line in lines)
    expected = [(1, "path", "age"), (3, f"a{separator}b.nii", "3"), (5, "c.nii", "")]
    assert records(tmp_path, text) == expected


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_encodings(tmp_path, encoding):
    assert records(tmp_path, "path;é\nä.nii;1\n".encode(encoding)) == [(1, "path", "é"), (2, "ä.nii", "1")]


def test_bytes_that_are_no_text_cost_nothing_else(tmp_path):
    assert records(tmp_path, b"path\na\xe9.nii\nb.nii\n") == [(1, "path"), (2, "a\udce9.nii"), (3, "b.nii")]


def test_stray_bytes_as_western_european_text():
    assert western("plain é") == "plain é"
    assert western(decoded("é\t".encode() + b"\xe9")) == "é\té"
    assert western(decoded(b"\x81")) is None


@pytest.mark.parametrize("character", ["\x85", "\u2028", "\u2029", "\v", "\f", "\x1c", "\x1e"])
def test_only_line_ends_end_lines(tmp_path, character):
    assert records(tmp_path, f"a{character}b;c\n1;2\n") == [(1, f"a{character}b".strip(), "c"), (2, "1", "2")]
    assert split_lines(f"a{character}b\r\nc\rd\n") == [f"a{character}b", "c", "d", ""]


def test_first_line_of_excel_names_the_separator(tmp_path):
    assert records(tmp_path, "sep=;\r\npath;note\r\na.nii;x,y\r\n") == [(2, "path", "note"), (3, "a.nii", "x,y")]


def test_cells_may_hold_line_ends(tmp_path):
    assert records(tmp_path, 'path,note\na.nii,"x\ny"\nb.nii,z\n')[1:] == [(2, "a.nii", "x\ny"), (4, "b.nii", "z")]


def test_quotes_that_do_not_close_cost_their_line_only(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('path,note\na.nii,"x\nb.nii,y\n"c.nii"d,z\n')
    read = read_records(path)
    assert [record.line for record in read if record.problem] == [2, 4]
    assert read[2] == Record(3, ("b.nii", "y"))


@pytest.mark.parametrize(
    ("content", "message"), [(b"PK\x03\x04rest", "a workbook"), (b"a\0b", "a workbook"), (None, "No such file")]
)
def test_what_is_no_text(tmp_path, content, message):
    path = tmp_path / "t.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=f"no readable table .{message}"):
        read_records(path)


def test_empty_tables(tmp_path):
    assert records(tmp_path, "") == records(tmp_path, "\n \n,,\n") == []


def test_lines(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("\ufeffa, b;c.nii\r\n\r\n# remark\n  d.nii  \n")
    assert read_lines(path) == [Record(1, ("a, b;c.nii",)), Record(4, ("d.nii",))]


def test_answers():
    assert [yes_or_no(word) for word in ("Yes", "1", "TRUE", "n", "0", "2")] == [True, True, True, False, False, None]


@settings(deadline=None)
@given(st.lists(st.lists(st.text('a;,\t"é \n', max_size=4), min_size=2, max_size=2), min_size=1, max_size=4))
def test_no_line_stops_the_reading(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("table") / "t.csv"
    path.write_text("path,b\n" + "\n".join(",".join(row) for row in rows))
    lines = [record.line for record in read_records(path)]
    assert lines == sorted(set(lines))
    assert lines[0] == 1
