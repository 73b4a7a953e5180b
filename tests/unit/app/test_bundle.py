"""The workflow's own files: in a checkout, in a wheel, and profiles by name."""

import pytest

from synthseg_core.app import bundle
from synthseg_core.app.bundle import Profile
from synthseg_core.errors import UsageError
from tests.phantoms.trees import make_tree


def test_profiles_by_name_and_by_path(tmp_path):
    assert Profile.named("default").folder.name == "default"
    make_tree(tmp_path, ["mine/config.yaml"])
    assert Profile.named(str(tmp_path / "mine")).folder == tmp_path / "mine"
    with pytest.raises(UsageError, match="found nowhere; expected default"):
        Profile.named("nowhere")


def test_installation_without_the_workflow(tmp_path, monkeypatch):
    monkeypatch.setattr(bundle, "_PACKAGE", tmp_path / "a" / "b" / "c")
    with pytest.raises(UsageError, match="no workflow in"):
        bundle.snakefile()
