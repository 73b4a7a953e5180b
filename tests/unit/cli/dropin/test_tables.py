"""CSV tables of the reference command."""

from __future__ import annotations

import csv
import errno
import math
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthseg_core.cli.dropin.tables import SharedTable, format_row, score_text, single_scan_table, volume_text
from synthseg_core.errors import OutputError
from synthseg_core.system import tables


@pytest.mark.parametrize(
    ("volume", "text"),
    [
        (0.0, "0.0"),
        (1234.5671, "1234.567"),
        (2.0, "2.0"),
        (44201.741, "44201.742"),
        # NumPy >= 2.3 prints these as 2.2375328e+06.
        (2237532.75, "2237532.8"),
        (4360591.0, "4360591.0"),
        (math.nan, "nan"),
    ],
)
def test_volumes_are_float32_with_three_decimals(volume, text):
    assert volume_text(volume) == text


def test_volumes_after_cropping_are_float64():
    assert volume_text(44201.7413, double=True) == "44201.741"


@given(st.floats(0, 1e8), st.booleans())
def test_volume_text_gives_the_rounded_number_back_without_exponent(volume, double):
    kind = np.float64 if double else np.float32
    text = volume_text(volume, double=double)
    assert "e" not in text
    assert kind(text) == np.around(kind(volume), 3)


@given(st.floats(0, 1))
def test_scores_have_four_decimals(score):
    assert len(score_text(score).split(".")[1]) == 4
    assert abs(float(score_text(score)) - score) <= 5.001e-5


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=2))
def test_rows_parse_back_and_end_with_crlf(cells):
    text = format_row(cells)
    assert text.endswith("\r\n")
    assert next(csv.reader([text], strict=True)) == cells or "\r" in text[:-2] or "\n" in text[:-2]


def test_shared_table_has_the_reference_bytes(tmp_path):
    table = SharedTable(tmp_path / "v.csv", ("left cerebral white matter", "csf"))
    table.path.write_text("an earlier run\n")
    table.start()
    table.add("sub-01", ["1.5", "0.0"])
    table.add("a,b.mgz", ["2.0", "nan"])
    expected = b'subject,left cerebral white matter,csf\r\nsub-01,1.5,0.0\r\n"a,b.mgz",2.0,nan\r\n'
    assert table.path.read_bytes() == expected
    assert [p.name for p in tmp_path.iterdir()] == ["v.csv"]


def test_names_that_are_no_utf8_keep_their_bytes(tmp_path):
    table = SharedTable(tmp_path / "v.csv", ("csf",))
    table.start()
    table.add(os.fsdecode(b"caf\xe9"), ["1.0"])
    assert table.path.read_bytes() == b"subject,csf\r\ncaf\xe9,1.0\r\n"


def test_single_scan_table_has_an_empty_first_header_cell():
    assert single_scan_table("sub-05.nii", ["csf"], ["3.0"]) == ",csf\r\nsub-05.nii,3.0\r\n"


def test_a_row_that_does_not_fit_on_the_disk_leaves_no_part(tmp_path, monkeypatch):
    table = SharedTable(tmp_path / "v.csv", ("csf",))
    table.start()
    before = table.path.read_bytes()
    whole_write = os.write

    def full_disk(descriptor, data):
        whole_write(descriptor, data[:3])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tables.os, "write", full_disk)
    with pytest.raises(OutputError, match="No space left"):
        table.add("sub-01", ["1.0"])
    assert table.path.read_bytes() == before

    monkeypatch.setattr(tables.os, "write", lambda descriptor, data: whole_write(descriptor, data[:3]))
    with pytest.raises(OutputError, match="bytes written"):
        table.add("sub-01", ["1.0"])
    assert table.path.read_bytes() == before


def test_appending_to_a_table_that_vanished_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="No such file"):
        SharedTable(tmp_path / "gone.csv", ("csf",)).add("sub-01", ["1.0"])
