"""The command that describes a derivative dataset."""

import json

import pytest

from synthseg_core.cli import describe
from synthseg_core.cli.main import main


@pytest.fixture
def described(tmp_path):
    def run(*words, raw=None, model=("tiny-random",)):
        source = tmp_path / "raw"
        source.mkdir(exist_ok=True)
        if raw is not None:
            (source / "dataset_description.json").write_text(raw if isinstance(raw, str) else json.dumps(raw))
        dataset = tmp_path / "out" / "set"
        assert main(["describe", str(dataset), "--model", *map(str, model), "--source", str(source), *words]) == 0
        return dataset

    return run


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("", None),
        ("docker://some/where:0.1", {"Type": "docker", "URI": "docker://some/where:0.1", "Tag": "0.1"}),
        ("localhost:5000/where", {"Type": "docker", "URI": "localhost:5000/where"}),
    ],
)
def test_container(described, monkeypatch, image, expected):
    monkeypatch.setenv(describe.CONTAINER_VARIABLE, image)
    content = json.loads((described() / "dataset_description.json").read_text())
    assert content["GeneratedBy"][0].get("Container") == expected


def test_address_of_the_code_comes_from_the_package(described, monkeypatch):
    from email.message import Message

    package = Message()
    package["Project-URL"] = "Issues, https://host/issues"
    package["Project-URL"] = "Source, https://host/code"
    monkeypatch.setattr(describe, "metadata", lambda name: package)
    content = json.loads((described() / "dataset_description.json").read_text())
    assert content["GeneratedBy"][0]["CodeURL"] == "https://host/code"
