"""Label tables over random contents: mirroring twice is nothing, text reads back."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from synthseg_core.labels.table import LabelTable
from synthseg_core.system.tables import format_tsv

COLUMNS = ("label", "name", "side", "counterpart", "topology_class", "qc_group")


@st.composite
def label_tables(draw) -> LabelTable:
    """Tables with any number of pairs and neutral structures, in any order, values not contiguous."""
    pairs, neutral = draw(st.integers(0, 6)), draw(st.integers(0, 5))
    values = draw(
        st.lists(st.integers(1, 5000), min_size=2 * pairs + neutral, max_size=2 * pairs + neutral, unique=True)
    )
    rows = [(value, "neutral", value) for value in values[2 * pairs :]]
    for left, right in zip(values[:pairs], values[pairs : 2 * pairs], strict=True):
        rows += [(left, "left", right), (right, "right", left)]
    rows = [(0, "neutral", 0), *draw(st.permutations(rows))]
    numbers = st.lists(st.integers(0, 9), min_size=len(rows), max_size=len(rows)).map(tuple)
    return LabelTable(
        name="drawn",
        labels=tuple(row[0] for row in rows),
        names=tuple(f"structure {row[0]}" for row in rows),
        sides=tuple(row[1] for row in rows),
        counterparts=tuple(row[2] for row in rows),
        topology_classes=draw(numbers),
        qc_groups=draw(numbers),
    )


@given(label_tables())
def test_mirroring_twice_is_nothing(table):
    flips = table.flip_channels
    assert [flips[flips[channel]] for channel in range(len(table))] == list(range(len(table)))
    assert flips[0] == 0
    assert all((flips[channel] == channel) == (side == "neutral") for channel, side in enumerate(table.sides))


@given(label_tables())
@settings(deadline=None)
def test_text_reads_back(table):
    fields = (table.labels, table.names, table.sides, table.counterparts, table.topology_classes, table.qc_groups)
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*fields, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.tsv"
        path.write_text(format_tsv(rows, COLUMNS))
        again = LabelTable.read(path)
    assert (again.labels, again.names, again.sides, again.counterparts) == fields[:4]
    assert (again.topology_classes, again.qc_groups) == fields[4:]


@given(label_tables())
def test_channel_of_finds_every_label(table):
    assert [table.channel_of(label) for label in table.labels] == list(range(len(table)))
