"""A run that names no model goes on with that of the runs before, and says so."""

from __future__ import annotations

import pytest

from synthseg_core.app.arguments import build_parser, config_values
from synthseg_core.app.configuration import write_config
from synthseg_core.app.continued import model_of_last_run, with_model
from synthseg_core.app.gather import layout_from
from synthseg_core.app.main import main
from synthseg_core.models.registry import default_model
from tests.phantoms.trees import make_tree


@pytest.fixture
def run(tmp_path):
    """Return the model that a command line ends up with, in an output folder that the fixture's caller prepares."""

    def model(*words: str) -> str:
        typed = [str(tmp_path / "in"), str(tmp_path / "out"), "participant", *words]
        return with_model(config_values(build_parser().parse_args(typed)))["segment"]["model"]

    return model


def note(folder, model) -> None:
    """Leave what a run leaves in its work folder."""
    write_config(folder / "run_config.yaml", {"segment": {"model": model}})


def test_first_run_takes_the_default(run, capsys):
    assert run() == run("--model", "default") == default_model()
    assert run("--model", "tiny-random") == "tiny-random"
    assert capsys.readouterr().err == ""


def test_model_of_the_runs_before_is_kept_and_told(run, tmp_path, capsys):
    note(tmp_path / "out" / ".work", "tiny-random")
    assert run("--fast") == "tiny-random"
    said = capsys.readouterr().err
    assert said.startswith(
        "model: tiny-random, that of the runs before; --model chooses another, for instance --model "
    )
    assert said.endswith(f" {default_model()}\n")
    assert run("--model", "default") == default_model()
    assert run("--model", "tiny-random-cortex") == "tiny-random-cortex"
    assert capsys.readouterr().err == ""


def test_default_that_was_used_before_needs_no_word(run, tmp_path, capsys):
    note(tmp_path / "out" / ".work", default_model())
    assert run() == default_model()
    assert capsys.readouterr().err == ""


def test_card_of_the_runs_before_is_kept_by_its_path(run, tmp_path):
    note(tmp_path / "out" / ".work", str(tmp_path / "card.yaml"))
    assert run() == str(tmp_path / "card.yaml")


def test_own_work_folders_ask_the_output(run, tmp_path):
    """A job of a cluster has a new work folder, and continues all the same."""
    note(tmp_path / "out" / ".work", "tiny-random")
    assert run("--work-dir", str(tmp_path / "w")) == "tiny-random"
    note(tmp_path / "w", "tiny-random-cortex")
    assert run("--work-dir", str(tmp_path / "w")) == "tiny-random-cortex"


@pytest.mark.parametrize("text", ["", "[1]", "segment: 3", "segment: {}", "segment: {model: default}", "segment: ["])
def test_notes_that_say_nothing(tmp_path, text):
    """Killed machines leave pieces; older versions did not note what was the default then."""
    make_tree(tmp_path, [".work/run_config.yaml"], text.encode())
    assert model_of_last_run(layout_from(tmp_path, None)) is None


def test_group_level_has_nothing_to_say_about_models(tmp_path, capsys):
    make_tree(tmp_path / "in", ["sub-1/anat/sub-1_T1w.nii.gz"], b"\x1f\x8b\x08\x00")
    note(tmp_path / "out" / ".work", "tiny-random")
    assert main([str(tmp_path / "in"), str(tmp_path / "out"), "group"]) == 0
    assert capsys.readouterr().err == ""
