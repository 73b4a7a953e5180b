"""Keys of JSON files beside tables: none is called like what pybids knows of a path."""

import json
from pathlib import Path

import bids.layout

from synthseg_core.bids.columns import (
    ENTITY_COLUMNS_KEY,
    ENTITY_NAMES,
    SCORE_COLUMNS,
    VOLUME_COLUMNS,
    column_meanings,
)
from synthseg_core.labels.viewers import LABEL_COLUMNS

CONFIGURATIONS = Path(bids.layout.__file__).parent / "config"


def test_every_entity_of_the_installed_pybids_is_known():
    files = [CONFIGURATIONS / f"{name}.json" for name in ("bids", "derivatives")]
    names = {entity["name"] for file in files for entity in json.loads(file.read_text())["entities"]}
    assert {"suffix", "run", "segmentation", "res"} <= names
    assert names <= ENTITY_NAMES


def test_no_table_of_a_scan_has_a_column_called_like_one():
    for columns in (VOLUME_COLUMNS, SCORE_COLUMNS, LABEL_COLUMNS):
        assert column_meanings(columns) == columns


def test_columns_called_like_one_are_explained_apart():
    columns = {"scan": {"Description": "a"}, "suffix": {"Description": "b"}, "run": {"Description": "c"}}
    assert column_meanings(columns) == {
        "scan": {"Description": "a"},
        ENTITY_COLUMNS_KEY: {"suffix": {"Description": "b"}, "run": {"Description": "c"}},
    }
