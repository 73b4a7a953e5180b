"""BIDS filter files, as they are understood before pybids is asked."""

import json

import pytest

from synthseg_core.bids.filters import read_queries
from synthseg_core.bids.search import Search

SEARCH = Search(suffixes=("T1w", "T2w", "FLAIR"))


def queries(tmp_path, filters):
    (tmp_path / "f.json").write_text(json.dumps(filters))
    return {query.name: query.filters for query in read_queries(tmp_path / "f.json", SEARCH)}


def test_tabs_are_fine_in_json(tmp_path):
    (tmp_path / "f.json").write_text('{\n\t"t1w": {\n\t\t"run": null\n\t}\n}')
    assert read_queries(tmp_path / "f.json", Search())[0].filters["run"] == (None,)


@pytest.mark.parametrize(
    ("entity", "value", "meant"),
    [
        ("session", None, (None,)),
        ("session", "Query.NONE", (None,)),
        ("session", "<Query.NONE: 1>", (None,)),
        ("session", "*", ("*",)),
        ("session", "Query.ANY", ("*",)),
        ("session", ["Query.NONE", "ses-a"], (None, "a")),
        ("ses", "ses-a", ("a",)),
        ("subject", "sub-01", ("01",)),
        ("acquisition", "acq-x", ("x",)),
        ("run", 2, (2,)),
    ],
)
def test_values(tmp_path, entity, value, meant):
    found = queries(tmp_path, {"t1w": {entity: value}})["t1w"]
    key = {"ses": "session"}.get(entity, entity)
    assert found[key] == meant


def test_optional_entities_ask_for_nothing(tmp_path):
    assert "session" not in queries(tmp_path, {"t1w": {"session": "Query.OPTIONAL"}})["t1w"]


@pytest.mark.parametrize(
    ("filters", "others"),
    [
        ({"t1w": {}}, ("T2w", "FLAIR")),
        ({"T2w": {"session": None}, "flair": {}}, ("T1w",)),
        ({"mine": {"suffix": "T1w"}}, ("T2w", "FLAIR")),
        ({"t1w": {"suffix": "T2w"}}, ("FLAIR",)),
        ({"bold": {"task": "rest"}}, SEARCH.suffixes),
        ({"mine": {"run": 1}}, ()),
        ({"mine": {"suffix": "*"}}, ()),
    ],
)
def test_kinds_that_are_not_named_stay(tmp_path, filters, others):
    left = queries(tmp_path, filters).get("scans", {})
    assert left.get("suffix", ()) == others
