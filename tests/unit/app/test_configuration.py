"""Keys of the configuration: schema, config/README.md and config/config.yaml agree; wrong values are told by key."""

import re
from collections.abc import Collection, Iterator, Mapping

import pytest
import yaml

from synthseg_core.app.configuration import checked
from synthseg_core.bids.search import LAYOUTS, SUFFIXES
from synthseg_core.errors import UsageError
from tests.pages import ROOT, SPAN, rows

SCHEMAS = {name: f"workflow/schemas/{name}.schema.yaml" for name in ("config", "train", "translate", "scans", "shards")}
NOTHING = (None, [], {})


def load(path):
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def parts(schema: Mapping, name: str = "") -> Iterator[tuple[str, Mapping]]:
    """Every key of a schema, those inside others by a dotted name, with what the schema says of it."""
    for key, part in schema.get("properties", {}).items():
        yield f"{name}{key}", part
        yield from parts(part, f"{name}{key}.")


def leaves(values: Mapping, name: str = "", whole: Collection[str] = ()) -> dict[str, object]:
    """Values of a configuration by dotted names; those of the names in ``whole`` are not taken apart."""
    found: dict[str, object] = {}
    for key, value in values.items():
        inside = isinstance(value, dict) and value and f"{name}{key}" not in whole
        found |= leaves(value, f"{name}{key}.", whole) if inside else {f"{name}{key}": value}
    return found


def defaults(schema_name: str, prefix: str = "") -> dict[str, object]:
    return {
        prefix + key: part["default"] for key, part in parts(load(SCHEMAS[schema_name])) if "properties" not in part
    }


def uncommented(path: str) -> dict:
    """A configuration file with its commented keys."""
    return yaml.safe_load(re.sub(r"(?m)^( *)# ( *\w+: )", r"\1\2", (ROOT / path).read_text(encoding="utf-8")))


ALL = {**defaults("config"), **defaults("train", "training."), **defaults("translate", "translation.")}


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_key_is_described_and_no_other_is_taken(name):
    schema = load(SCHEMAS[name])
    assert [key for key, part in parts(schema) if not part.get("description")] == []
    objects = [("", schema), *((key, part) for key, part in parts(schema) if "properties" in part)]
    assert [key for key, part in objects if part.get("additionalProperties") is not False] == []


@pytest.mark.parametrize("name", ["config", "train", "translate"])
def test_every_key_has_a_default_that_fits(name):
    assert [key for key, part in parts(load(SCHEMAS[name])) if "default" not in part] == []
    assert leaves(checked({}))  # the defaults fit the schema, or this is an error


def test_the_page_has_every_key_with_its_default():
    page = (ROOT / "config" / "README.md").read_text(encoding="utf-8")
    tables = re.findall(r"(?m)^\| key \| default \| meaning \|\n(?:\|.*\|\n)+", page)
    stated = {SPAN.findall(row[0])[0]: row[1] for row in rows("\n".join(tables)) if SPAN.fullmatch(row[0])}
    assert set(stated) == set(ALL)
    for key, cell in stated.items():
        span = SPAN.fullmatch(cell)
        if span:
            assert yaml.safe_load(span[1]) == ALL[key], key
        else:
            assert ALL[key] in NOTHING, key


def test_the_shipped_files_show_every_key_with_its_default():
    shown = leaves(uncommented("config/config.yaml"), whole=defaults("config"))
    assert shown == defaults("config")
    training = {f"training.{key}" for key in defaults("train")}
    shown = leaves(uncommented("config/train.yaml"), whole=training)
    assert {key for key in shown if key.startswith("training.")} == training
    translation = {f"translation.{key}" for key in defaults("translate")}
    shown = leaves(uncommented("config/translate.yaml"), whole=translation)
    assert {key for key in shown if key.startswith("translation.")} == translation


def test_shipped_files_fit():
    assert checked(load("config/config.yaml")) == checked({})
    assert checked(load("config/train.yaml"))["training"]["train"]["preset"] == "tiny"


def test_what_the_schema_lists_is_what_the_code_has():
    properties = load(SCHEMAS["config"])["properties"]
    assert properties["layout"]["enum"] == list(LAYOUTS)
    assert properties["suffixes"]["default"] == list(SUFFIXES)


WRONG = {
    "path_column": [3],
    "bids_filter_file": [["a.json"], {"t1w": {}}],
    "bids_database": [True],
    "derivatives": ["one", [""], [1]],
    "exclude_participants": ["01", [1], ["sub-01"], ["a b"]],
    "participants": [[5]],
    "sessions": [["ses-1"]],
    "layout": ["csv"],
    "worker": ["yes", 1],
    "segment.posteriors": ["all", 1],
    "resample.enabled": ["true"],
    "resample.voxel_size": [1],
    "parcellate.enabled": [None],
    "parcellate.model": ["synthseg-parc-2.0"],
    "qc.enabled": [1],
    "qc.threshold": ["0.5", -0.1, 1.5, None],
    "resample": [True, None],
    "qc": [[]],
    "parcellate": ["yes"],
}
CASES = [(key, value) for key, values in WRONG.items() for value in values]


@pytest.mark.parametrize(("key", "value"), CASES, ids=[f"{key}: {value!r}" for key, value in CASES])
def test_a_wrong_value_is_told_by_its_key(key, value):
    outer, _, inner = key.partition(".")
    with pytest.raises(UsageError) as caught:
        checked({outer: {inner: value} if inner else value})
    message = str(caught.value)
    assert "\n" not in message
    known = key in ALL or not inner
    assert key in message if known else f"'{inner}' was unexpected" in message


@pytest.mark.parametrize("threshold", [0, 1, 0.65])
def test_limits_of_the_threshold_are_taken(threshold):
    assert checked({"qc": {"threshold": threshold}})["qc"] == {"enabled": False, "threshold": threshold}
