"""Files outside the package that must agree with it."""

import re
import tomllib
from pathlib import Path

import yaml

from synthseg_core.bids.scan_row import COLUMNS

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def load(path):
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def environments():
    """The conda environments that rules name, by the rule file and the name in it."""
    files = sorted((ROOT / "workflow" / "rules").glob("*.smk"))
    return {(path, name) for path in files for name in re.findall(r'conda:\s+"(.+)"', path.read_text())}


def test_the_version_is_the_same_everywhere():
    for path in (ROOT / "envs").glob("*.yaml"):
        (pip,) = (entry["pip"] for entry in load(path)["dependencies"] if isinstance(entry, dict))
        extras = re.fullmatch(rf"synthseg-bids(?:\[(.+)\])?=={re.escape(PROJECT['version'])}", *pip)[1]
        assert set((extras or "pictures").split(",")) <= set(PROJECT["optional-dependencies"])
    assert load("CITATION.cff")["version"] == PROJECT["version"]
    assert f"## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text()


def test_conda_environments_are_those_that_rules_name():
    named = {(path.parent / name).resolve() for path, name in environments()}
    assert named == {path.resolve() for path in (ROOT / "envs").glob("*.yaml")}
    for path in named:
        assert load(path)["channels"][-1] == "nodefaults"
        python = next(entry for entry in load(path)["dependencies"] if str(entry).startswith("python "))
        assert python == f"python {PROJECT['requires-python']}"


def test_rules_that_run_commands_name_an_environment():
    for path in (ROOT / "workflow" / "rules").glob("*.smk"):
        for rule in re.split(r"(?m)^rule ", path.read_text())[1:]:
            assert ("conda:" in rule) == ("shell:" in rule), rule.split(":")[0]


def test_the_workflow_catalog_can_show_it():
    """The catalog's conditions for a standardised workflow, and the keys that it reads."""
    usage = load(".snakemake-workflow-catalog.yml")["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment", "report"}
    assert set(usage["mandatory-flags"]) == {"desc", "flags"}
    deployment = usage["software-stack-deployment"]
    assert set(deployment) == {"conda", "apptainer", "apptainer+conda"}
    assert deployment["conda"] == bool(environments())
    containers = any("container:" in path.read_text() for path in (ROOT / "workflow").rglob("*.smk"))
    assert deployment["apptainer"] == containers
    readme = (ROOT / "README.md").read_text().lower()
    assert "snakemake" in readme
    assert "workflow" in readme
    for place in ("workflow/Snakefile", "config/README.md", "config/config.yaml", "LICENSE"):
        assert (ROOT / place).is_file()
    rules = {path.name for path in (ROOT / "workflow" / "rules").glob("*.smk")}
    included = set(re.findall(r'include: "rules/(.+)"', (ROOT / "workflow" / "Snakefile").read_text()))
    assert rules == included


def test_citation_lists_the_methods():
    citation = load("CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    dois = {entry["doi"] for entry in citation["references"]}
    assert {"10.1016/j.media.2023.102789", "10.1073/pnas.2216399120"} <= dois


def test_schema_of_the_scan_table_names_its_columns():
    schema = load("workflow/schemas/scans.schema.yaml")
    assert tuple(schema["properties"]) == COLUMNS


def test_every_key_of_a_profile_is_explained():
    page = (ROOT / "profiles" / "README.md").read_text()
    for path in (ROOT / "profiles").glob("*/config.yaml"):
        for key in load(path.relative_to(ROOT)):
            assert f"| `{key}` |" in page, key


def test_pinned_torch_is_what_make_asks_for():
    pins = (ROOT / "constraints.txt").read_text().split()
    assert "torch==2.13.0" in pins
    assert "torch==2.13.0" in (ROOT / "Makefile").read_text()
