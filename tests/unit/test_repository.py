"""Files outside the package that must agree with it."""

import re
import tomllib
from pathlib import Path

import yaml

from synthseg_core.app.configuration import checked
from synthseg_core.discovery import LAYOUTS, SUFFIXES
from synthseg_core.scans import COLUMNS

ROOT = Path(__file__).resolve().parents[2]


def load(path):
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def test_the_version_is_the_same_everywhere():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for name, extra in (("core", ""), ("train", "[pictures]")):
        pip = next(entry["pip"] for entry in load(f"envs/{name}.yaml")["dependencies"] if isinstance(entry, dict))
        assert pip == [f"synthseg-bids{extra}=={version}"]
    assert load("CITATION.cff")["version"] == version
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()


def test_citation_lists_the_methods():
    citation = load("CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    dois = {entry["doi"] for entry in citation["references"]}
    assert {"10.1016/j.media.2023.102789", "10.1073/pnas.2216399120"} <= dois


def test_every_key_of_the_configuration_is_explained():
    schema = load("workflow/schemas/config.schema.yaml")
    page = (ROOT / "config" / "README.md").read_text()
    nested = [f"segment.{key}" for key in schema["properties"]["segment"]["properties"]]
    for key in [*schema["properties"], *nested]:
        if key not in ("segment", "training"):
            assert f"`{key}`" in page, key
    assert all("description" in part for part in schema["properties"].values())


def test_shipped_configuration_fits_and_shows_the_defaults():
    config = load("config/config.yaml")
    complete = checked(config)
    assert complete["suffixes"] == list(SUFFIXES)
    commented = yaml.safe_load(re.sub(r"(?m)^( *)# (\w+: )", r"\1\2", (ROOT / "config/config.yaml").read_text()))
    assert checked(commented) == complete
    assert set(commented) == set(complete)


def test_schemas_name_what_the_code_has():
    schema = load("workflow/schemas/scans.schema.yaml")
    assert tuple(schema["properties"]) == COLUMNS
    assert load("workflow/schemas/config.schema.yaml")["properties"]["layout"]["enum"] == list(LAYOUTS)


def test_every_key_of_a_profile_is_explained():
    page = (ROOT / "profiles" / "README.md").read_text()
    for path in (ROOT / "profiles").glob("*/config.yaml"):
        for key in load(path.relative_to(ROOT)):
            assert f"| `{key}` |" in page, key


def test_pinned_torch_is_what_make_asks_for():
    pins = (ROOT / "constraints.txt").read_text().split()
    assert "torch==2.13.0" in pins
    assert "torch==2.13.0" in (ROOT / "Makefile").read_text()
