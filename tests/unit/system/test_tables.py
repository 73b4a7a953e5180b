"""Tab-separated tables: reading back what was written, and clear refusals."""

from __future__ import annotations

import pytest

from synthseg_core.errors import InputError
from synthseg_core.system.tables import format_tsv, read_tsv


def _write(tmp_path, content):
    path = tmp_path / "table.tsv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_round_trip(tmp_path):
    rows = [{"scan": "sub-01", "volume_mm3": "1.5"}, {"scan": "größer\tals", "volume_mm3": 'a "quoted" one'}]
    assert read_tsv(_write(tmp_path, format_tsv(rows, ("scan", "volume_mm3")))) == rows


def test_absent_values_become_na():
    text = format_tsv([{"a": 1, "b": None, "extra": 5}, {"b": 0}], ("a", "b"))
    assert text == "a\tb\n1\tn/a\nn/a\t0\n"


def test_header_alone():
    assert format_tsv([], ("a", "b")) == "a\tb\n"


def test_remarks_blank_lines_windows_ends_and_byte_order_marks_are_skipped(tmp_path):
    path = _write(tmp_path, b"\xef\xbb\xbf# a remark\r\na\tb\r\n\r\n1\t2\r\n# another\r\n")
    assert read_tsv(path, required=("a",)) == [{"a": "1", "b": "2"}]


@pytest.mark.parametrize("content", ["", "# only a remark\n"])
def test_empty_file(tmp_path, content):
    assert read_tsv(_write(tmp_path, content)) == []
    with pytest.raises(InputError, match="found the columns none; expected also a"):
        read_tsv(_write(tmp_path, content), required=("a",))


def test_missing_columns_are_all_named(tmp_path):
    with pytest.raises(InputError, match=r"table.tsv: found the columns a, b; expected also c, d"):
        read_tsv(_write(tmp_path, "a\tb\n1\t2\n"), required=("c", "a", "d"))


@pytest.mark.parametrize("row", ["1", "1\t2\t3"])
def test_rows_of_another_length(tmp_path, row):
    with pytest.raises(InputError, match=f"found {row.count(chr(9)) + 1} cells in data row 2; expected 2"):
        read_tsv(_write(tmp_path, f"a\tb\n1\t2\n{row}\n"))


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="no readable table"):
        read_tsv(tmp_path / "nowhere.tsv")


def test_not_text(tmp_path):
    with pytest.raises(InputError, match="expected a UTF-8 TSV file"):
        read_tsv(_write(tmp_path, b"\xff\xfe\x00\x01"))
