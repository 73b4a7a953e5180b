"""Label tables in the forms of BIDS, FreeSurfer and ITK-SNAP, read back as those programs do."""

import re
import shlex

import pytest

from synthseg_core.labels.structures import structure
from synthseg_core.labels.table import LabelTable
from synthseg_core.labels.viewers import bids_table, freesurfer_table, itksnap_table, meanings, with_parcels
from synthseg_core.system.tables import read_tsv

STRUCTURES, PARCELS = LabelTable.builtin("segmentation_2.0"), LabelTable.builtin("parcellation_2.0")


@pytest.fixture
def entries():
    return with_parcels(meanings([STRUCTURES]), meanings([PARCELS]))


def read_back(tmp_path, text):
    (tmp_path / "table.tsv").write_text(text)
    return {int(row["index"]): row for row in read_tsv(tmp_path / "table.tsv")}


def test_every_structure_and_parcel_has_a_short_name_and_a_class():
    for table in (STRUCTURES, PARCELS):
        known = [structure(*pair) for pair in zip(table.labels, table.names, strict=True)]
        assert None not in known
        names = [entry.abbreviation for entry in known if entry]
        assert len(set(names)) == len(names)
        assert all(re.fullmatch("[0-9a-zA-Z]+", name) for name in names)
    classes = {
        label: structure(label, name).mapping for label, name in zip(STRUCTURES.labels, STRUCTURES.names, strict=True)
    }
    assert [classes[label] for label in (0, 2, 3, 4, 8, 10, 16, 24, 42, 60)] == [0, 2, 8, 3, 11, 9, 10, 3, 8, 9]


def test_sides_have_names_that_differ_by_a_letter():
    pairs = zip(STRUCTURES.labels, STRUCTURES.names, STRUCTURES.sides, STRUCTURES.counterparts, strict=True)
    names = dict(zip(STRUCTURES.labels, STRUCTURES.names, strict=True))
    for label, name, side, other in pairs:
        if side == "left":
            left, right = structure(label, name), structure(other, names[other])
            assert (left.abbreviation, left.mapping) == (f"L{right.abbreviation[1:]}", right.mapping)


def test_bids_table(tmp_path):
    rows = read_back(tmp_path, bids_table(meanings([STRUCTURES])))
    assert rows[10] == {
        "index": "10", "name": "left thalamus", "abbreviation": "LTh", "color": "#00760E", "mapping": "9",
        "hemisphere": "left", "counterpart": "49", "channel": "7",
    }  # fmt: skip
    assert [int(row["channel"]) for row in rows.values()] == list(range(33))


def test_parcels_stand_beside_the_structures(entries, tmp_path):
    rows = read_back(tmp_path, bids_table(entries))
    assert len(rows) == 33 + 68
    assert rows[2035]["name"] == "ctx-rh-insula"
    assert rows[2035]["color"] == rows[1035]["color"] == "#FFC020"
    assert {row["channel"] for row in rows.values()} == {"n/a"}
    assert rows[0]["name"] == "background"


def test_freesurfer_reads_its_table(entries):
    lines = [line.split() for line in freesurfer_table(entries).splitlines() if not line.startswith("#")]
    assert all(len(words) == 6 for words in lines)
    table = {int(number): (name, *map(int, colour)) for number, name, *colour in lines}
    assert table[0] == ("Unknown", 0, 0, 0, 0)
    assert table[16] == ("brain-stem", 119, 159, 176, 0)
    assert table[1001] == ("ctx-lh-bankssts", 25, 100, 40, 0)
    assert len(table) == 101


def test_itksnap_reads_its_table(entries):
    lines = [shlex.split(line) for line in itksnap_table(entries).splitlines() if not line.startswith("#")]
    assert lines[0] == ["0", "0", "0", "0", "0.00", "0", "0", "Clear Label"]
    assert lines[1] == ["2", "245", "245", "245", "1.00", "1", "1", "left cerebral white matter"]
    assert len(lines) == 101


def test_labels_of_ones_own(tmp_path):
    """A number that FreeSurfer uses for something else gives no false name or class."""
    mine = LabelTable("mine", (0, 10, 7001), ("background", "my tumour", "oedema"), ("neutral",) * 3, (0, 10, 7001))
    rows = read_back(tmp_path, bids_table(meanings([mine])))
    assert (rows[10]["abbreviation"], rows[10]["mapping"]) == ("n/a", "n/a")
    assert re.fullmatch("#[0-9A-F]{6}", rows[7001]["color"])


def test_tables_of_several_models(tmp_path):
    mine = LabelTable("mine", (0, 24, 10), ("background", "fluid", "left thalamus"), ("neutral",) * 3, (0, 24, 10))
    rows = read_back(tmp_path, bids_table(meanings([STRUCTURES, mine])))
    assert rows[24]["name"] == "csf / fluid"
    assert rows[10]["name"] == "left thalamus"
    assert {row["channel"] for row in rows.values()} == {"n/a"}
    assert list(rows) == sorted(STRUCTURES.labels)
