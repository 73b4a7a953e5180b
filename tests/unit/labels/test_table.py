"""Label tables: reading, pairing of sides, and every contradiction that is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from synthseg_core.errors import InputError, ModelError
from synthseg_core.labels.table import CORTEX_LABELS, LabelTable

FOUR = {
    "name": "four",
    "labels": (0, 7, 2, 90),
    "names": ("background", "left lobe", "right lobe", "fluid"),
    "sides": ("neutral", "left", "right", "neutral"),
    "counterparts": (0, 2, 7, 90),
}
HEADER = "label\tname\tside\tcounterpart"
ROWS = "0\tbackground\tneutral\t0\n7\tleft lobe\tleft\t2\n2\tright lobe\tright\t7\n90\tfluid\tneutral\t90\n"


def _write(tmp_path, text):
    path = tmp_path / "labels.tsv"
    path.write_text(text)
    return path


def test_four_classes_with_scattered_values():
    table = LabelTable(**FOUR)
    assert len(table) == 4
    assert table.flip_channels == (0, 2, 1, 3)
    assert table.channel_of(90) == 3


def test_unknown_label_has_no_channel():
    with pytest.raises(ValueError):
        LabelTable(**FOUR).channel_of(5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": (0, 7, 7, 90)}, "a label that occurs twice"),
        ({"labels": (7, 0, 2, 90), "sides": FOUR["sides"]}, "a first row that is not label 0"),
        (dict.fromkeys(("labels", "names", "sides", "counterparts"), ()), "a first row that is not label 0"),
        ({"labels": (0, 7, -2, 90)}, "a negative label"),
        ({"labels": (0, 7, 2, 2**31)}, "label 2147483648"),
        ({"sides": ("neutral", "left", "right", "starboard")}, "side 'starboard' for label 90"),
        ({"counterparts": (0, 3, 7, 90)}, "counterpart 3 of label 7, which is not in the table"),
        ({"counterparts": (0, 2, 90, 90)}, "label 7 paired with 2, but not the other way round"),
        ({"sides": ("neutral", "left", "left", "neutral")}, "left label 7 paired with left label 2"),
        ({"sides": ("neutral", "neutral", "neutral", "neutral")}, "neutral label 7 paired with neutral label 2"),
        ({"counterparts": (0, 7, 2, 90)}, "left label 7 paired with left label 7"),
    ],
)
def test_contradictions_are_named(change, message):
    with pytest.raises(ModelError, match=message) as caught:
        LabelTable(**{**FOUR, **change})
    assert caught.value.subject == "four"
    assert caught.value.remedy == "correct the label table"


def test_read_without_optional_columns(tmp_path):
    table = LabelTable.read(_write(tmp_path, f"# where it is from\n{HEADER}\n{ROWS}"))
    assert table.labels == FOUR["labels"]
    assert table.names == FOUR["names"]
    assert table.topology_classes == ()
    assert table.qc_groups == ()
    assert table.name.endswith("labels.tsv")


def test_read_with_optional_columns(tmp_path):
    text = f"{HEADER}\ttopology_class\tqc_group\n" + "".join(
        f"{row}\t{number}\t{number + 1}\n" for number, row in enumerate(ROWS.splitlines())
    )
    table = LabelTable.read(_write(tmp_path, text))
    assert table.topology_classes == (0, 1, 2, 3)
    assert table.qc_groups == (1, 2, 3, 4)


def test_read_without_rows(tmp_path):
    with pytest.raises(ModelError, match="a first row that is not label 0"):
        LabelTable.read(_write(tmp_path, f"{HEADER}\n"))


def test_read_what_is_not_an_integer(tmp_path):
    with pytest.raises(ModelError, match=r"labels.tsv: found label: invalid literal .*'9o'; expected integers"):
        LabelTable.read(_write(tmp_path, f"{HEADER}\n{ROWS}".replace("90\tfluid", "9o\tfluid")))


def test_read_without_a_required_column(tmp_path):
    with pytest.raises(InputError, match="expected also counterpart"):
        LabelTable.read(_write(tmp_path, "label\tname\tside\n0\tbackground\tneutral\n"))


@pytest.mark.parametrize(
    ("name", "count"),
    [("segmentation_1.0", 32), ("segmentation_2.0", 33), ("parcellation_2.0", 69), ("qc_2.0", 9), ("head", 40)],
)
def test_builtin_tables(name, count):
    assert name in LabelTable.builtin_names()
    table = LabelTable.builtin(name)
    assert len(table) == count
    assert list(table.labels) == sorted(table.labels)


def test_the_head_begins_with_the_structures_of_the_brain():
    head, brain = LabelTable.builtin("head"), LabelTable.builtin("segmentation_2.0")
    for column in ("labels", "names", "sides", "counterparts", "topology_classes", "qc_groups"):
        assert getattr(head, column)[: len(brain)] == getattr(brain, column)
    tissues = slice(len(brain), None)
    assert set(head.sides[tissues]) == {"neutral"}
    assert set(head.topology_classes[tissues]) == set(head.qc_groups[tissues]) == {0}


@pytest.mark.parametrize("name", ["segmentation_1.0", "segmentation_2.0"])
def test_builtin_classes_do_not_mix_sides(name):
    table = LabelTable.builtin(name)
    for number in set(table.topology_classes) - {0}:
        sides = {side for side, its in zip(table.sides, table.topology_classes, strict=True) if its == number}
        assert len(sides) == 1


@pytest.mark.parametrize("name", ["segmentation_1.0", "segmentation_2.0"])
def test_cortex(name):
    table = LabelTable.builtin(name)
    for side, channel in table.cortex_channels().items():
        assert table.names[channel] == f"{side} cerebral cortex"
        assert table.sides[channel] == side
        assert table.labels[channel] == CORTEX_LABELS[side]


def test_table_without_cortex():
    with pytest.raises(ModelError, match=r"four: found no label 3 and no label 42 \(cerebral cortex\)"):
        LabelTable(**FOUR).cortex_channels()


@pytest.mark.parametrize("name", LabelTable.builtin_names())
def test_tables_are_written_as_they_were_read(tmp_path, name):
    table = LabelTable.builtin(name)
    written = LabelTable.read(_write(tmp_path, table.to_tsv()))
    assert replace(written, name=table.name) == table
