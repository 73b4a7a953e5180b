"""Tables that translate labels of other programs."""

from __future__ import annotations

import numpy as np
import pytest

from synthseg_core.errors import InputError
from synthseg_core.labels.remap import Remap

HEADER = "from_min\tfrom_max\tto\tnote\n"
TABLE = f"{HEADER}3\t3\t3\t\n1100\t1199\t3\tcortex\n24\t24\tignore\tpart of the fluid\n16\t16\t16\t\n"


def _read(tmp_path, text) -> Remap:
    path = tmp_path / "remap.tsv"
    path.write_text(text)
    return Remap.read(path)


def test_ranges_become_labels_others_background_and_some_are_left_out(tmp_path):
    remap = _read(tmp_path, TABLE)
    assert remap.labels == (3, 16)
    labels, ignore = remap.apply(np.array([[[0, 3, 1099, 1100, 1150, 1199, 1200, 24, 16, 5000]]]))
    assert labels.tolist() == [[[0, 3, 0, 3, 3, 3, 0, 0, 16, 0]]]
    assert np.flatnonzero(ignore).tolist() == [7]
    assert labels.dtype == np.int32


def test_maps_without_large_values(tmp_path):
    labels, ignore = _read(tmp_path, TABLE).apply(np.zeros((2, 2, 2), dtype=np.uint8))
    assert not labels.any()
    assert not ignore.any()


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("1150\t1300\t42\t", "value 1150 in two ranges"),
        ("7\t5\t42\t", "the range 7 to 5"),
        ("-7\t-5\t42\t", "the range -7 to -5"),
        ("5\t5\t-2\t", "for label -2"),
        ("5\t5\tcortex\t", "invalid literal"),
    ],
)
def test_tables_that_contradict_themselves(tmp_path, row, said):
    with pytest.raises(InputError, match=said):
        _read(tmp_path, TABLE + row + "\n")


@pytest.mark.parametrize("rows", ["", "3\t3\tignore\t\n", "3\t3\t0\t\n"])
def test_tables_without_labels(tmp_path, rows):
    with pytest.raises(InputError, match="no range that becomes a label"):
        _read(tmp_path, HEADER + rows)


def test_table_of_the_labelled_scan(test_data):
    """31 structures: all of the 2.0 list but the fluid, which FreeSurfer labels in part only."""
    remap = Remap.read(test_data / "labelled" / "remap.tsv")
    assert len(remap.labels) == 31
    assert 24 not in remap.labels
