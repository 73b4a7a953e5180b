"""One builder of dataclasses from files, with one rule for every reader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from synthseg_core.errors import InputError, ModelError, SynthSegError, UsageError
from synthseg_core.system.settings import about, build, known_mapping, read_mapping, to_content, update


@dataclass(frozen=True)
class Rate:
    start: float = 0.1
    ends: tuple[float, float] | None = None

    def __post_init__(self):
        if self.start < 0:
            raise ModelError("start", found=str(self.start), expected="0 or more", remedy="correct it")


@dataclass(frozen=True)
class Whole:
    name: str
    rate: Rate = field(default_factory=Rate)
    counts: tuple[int, ...] = ()
    names: tuple[str | tuple[str, ...], ...] = ()
    by_task: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    here: Path = Path()


CONTENT = """
name: x
rate: {start: 1e-4, ends: [2, 3.5]}
counts: [1, 2]
names: [a, [b, c]]
by_task: {quality: q}
facts: {any: [1, {thing: null}]}
"""
WHOLE = Whole("x", Rate(1e-4, (2.0, 3.5)), (1, 2), ("a", ("b", "c")), {"quality": "q"}, {"any": [1, {"thing": None}]})


def test_text_that_yaml_gives_for_a_number_is_a_number():
    content = yaml.safe_load(CONTENT)
    assert content["rate"]["start"] == "1e-4"
    assert build(Whole, content, "here") == WHOLE
    assert update(Whole("y"), content, "here") == WHOLE


def test_what_is_of_the_kind_already_stays():
    rate, place = Rate(2.0), Path("a")
    made = build(Whole, {"name": "x", "rate": rate, "here": place}, "here")
    assert made.rate is rate
    assert made.here is place


def test_content_and_back():
    content = to_content(WHOLE)
    assert content["names"] == ["a", ["b", "c"]]
    assert content["facts"] == {"any": [1, {"thing": None}]}
    assert content["facts"]["any"] is not WHOLE.facts["any"]
    assert build(Whole, content, "here") == WHOLE


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (5, "here: found 5; expected entries with names"),
        ({}, "here: found no name; expected these entries; add them"),
        ({"nmae": 1, 2: 3}, "here: found unknown entries nmae, 2; expected some of name, rate"),
        ({"name": 1}, "here, name: found 1; expected a value of type str"),
        ({"name": "x", "rate": {"start": "fast"}}, "here, rate, start: found 'fast'; expected a number"),
        ({"name": "x", "rate": {"start": True}}, "here, rate, start: found True; expected a number"),
        ({"name": "x", "rate": {"start": -1}}, "here, rate: start: found -1.0; expected 0 or more"),
        ({"name": "x", "rate": {"ends": [1]}}, r"here, rate, ends: found \[1\]; expected a list of 2"),
        ({"name": "x", "counts": [1, 2.0]}, "here, counts 2: found 2.0; expected a value of type int"),
        ({"name": "x", "counts": [True]}, "here, counts 1: found True"),
        ({"name": "x", "by_task": ["q"]}, r"here, by_task: found \['q'\]; expected entries with names"),
        ({"name": "x", "by_task": {"q": 1}}, "here, by_task, q: found 1; expected a value of type str"),
    ],
)
def test_faults_name_the_entry(content, message):
    with pytest.raises(SynthSegError, match=message):
        build(Whole, content, "here")


def test_an_error_keeps_its_place_and_may_change_its_kind():
    with pytest.raises(ModelError, match="card, rate: found 1") as caught, about("card", ModelError):
        raise UsageError("card, rate", found="1", expected="2", remedy="correct it")
    assert type(caught.value) is ModelError
    with pytest.raises(UsageError, match="card, rate: found 1"), about("card, rate"):
        raise UsageError("rate", found="1", expected="2", remedy="correct it")


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.yaml", "a: 1\nb: [x]"), ("a.JSON", '{"a": 1, "b": ["x"]}'), ("a.yml", '\ufeff{"a": 1, "b": ["x"]}')],
)
def test_entries_of_a_file(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_mapping(tmp_path / name, "list") == {"a": 1, "b": ["x"]}


def test_json_by_request(tmp_path):
    path = tmp_path / "record"
    path.write_text("\ufeff{}", encoding="utf-8")
    assert read_mapping(path, "record", is_json=True) == {}
    path.write_text("a: 1")
    with pytest.raises(ModelError, match=r"record: found no readable list \(Expecting value.*expected JSON; look"):
        read_mapping(path, "list", "look", error=ModelError, is_json=True)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, r"no readable list \(No such file or directory\); expected YAML; look"),
        (b"a: [1", r"no readable list \(while parsing .*; look"),
        (b"\xff\xfe\x00", r"no readable list \(.*; expected YAML; look"),
        (b"when: 2001-99-99", r"no readable list \(month must be in 1..12"),
        (b"- a", "no entries with names; expected list in YAML; look"),
        (b"", "no entries with names"),
    ],
)
def test_files_without_entries(tmp_path, content, found):
    path = tmp_path / "a.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=f"a.yaml: found {found}"):
        read_mapping(path, "list", "look")


def test_what_may_stay_unknown(tmp_path):
    path = tmp_path / "a.json"
    assert known_mapping(path) == {}
    for content in (b"[1]", b"{", b"\xff"):
        path.write_bytes(content)
        assert known_mapping(path) == {}
    path.write_text('\ufeff{"a": 1}', encoding="utf-8")
    assert known_mapping(path) == {"a": 1}
