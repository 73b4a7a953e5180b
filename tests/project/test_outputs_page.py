"""docs/outputs.md and docs/questions.md against the program: names of files, labels, the volume of a brain."""

from __future__ import annotations

from synthseg_core.bids.names import PRODUCTS
from synthseg_core.labels.table import LabelTable
from synthseg_core.models.registry import load_card
from synthseg_core.reports import LONG_NAME, SCANS_NAME, WIDE_NAME
from tests.pages import ROOT, rows, sections

SECTIONS = sections((ROOT / "docs" / "outputs.md").read_text(encoding="utf-8"))


def test_tables_of_labels():
    table = LabelTable.builtin("segmentation_2.0")
    names = dict(zip(table.names, table.labels, strict=True))
    cells = [row for row in rows(SECTIONS["Labels"]) if row[1].isdecimal()]
    pairs = {row[0]: row[1:] for row in cells if len(row) == 3}
    alone = {row[0].removesuffix(" (not in 1.0)"): int(row[1]) for row in cells if len(row) == 2}
    stated = {
        f"{side} {name}": int(v)
        for name, values in pairs.items()
        for side, v in zip(("left", "right"), values, strict=True)
    }
    assert stated | alone == names
    assert set(names) - set(LabelTable.builtin("segmentation_1.0").names) == {"csf"}
    parcels = LabelTable.builtin("parcellation_2.0").labels[1:]
    assert (parcels[0], parcels[33], parcels[34], parcels[67]) == (1001, 1035, 2001, 2035)


def test_files_of_the_derivative_dataset():
    text = SECTIONS["The derivative dataset"]
    assert all(f"`*_space-T1w{product.ending('T1w')}`" in text for product in PRODUCTS.values())
    assert all(f"`{name}.tsv`" in text for name in (SCANS_NAME, WIDE_NAME, LONG_NAME))


def test_plausible_volume_is_that_of_the_card():
    low, high = load_card("synthseg-2.0").plausible_total_ml
    assert f"{low:g} to {high:g} ml for 2.0" in (ROOT / "docs" / "questions.md").read_text(encoding="utf-8")
