"""docs/training.md against the program: commands can be typed, settings can be read, tables are right."""

from __future__ import annotations

import shlex
import sys

import pytest

from synthseg_core.cli.demo.heads import write_heads
from synthseg_core.cli.main import build_parser
from synthseg_core.cli.train_settings import read_train_settings
from synthseg_core.synth.recipe_file import read_recipe
from synthseg_core.training import loop
from synthseg_core.training.experiment import Experiment, preset_names
from tests.pages import ROOT, SPAN, blocks, rows, sections
from tests.workflow.runs import run

PAGE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
SECTIONS = sections(PAGE)


def _commands() -> list[list[str]]:
    return [shlex.split(line) for block in blocks(PAGE, "bash") for line in _lines(block)]


def _lines(block: str) -> list[str]:
    return block.replace("\\\n", " ").splitlines()


@pytest.mark.parametrize("words", _commands(), ids=" ".join)
def test_commands_can_be_typed_as_they_stand(words):
    if words[0] == "python":
        assert run([sys.executable, *words[1:2], "--help"], ROOT).returncode == 0
        return
    words = words[1:] if words[0] == "synthseg" else words[words.index("train") :]
    build_parser(words[0]).parse_args(words)


def test_the_settings_file_is_one(tmp_path):
    (text,) = blocks(PAGE, "yaml")
    (tmp_path / "settings.yaml").write_text(text)
    words = ["train", "--config", str(tmp_path / "settings.yaml"), "--maps", "maps", "--out", "run"]
    found = read_train_settings(build_parser("train").parse_args(words)).experiment
    assert found.recipe.crop.shape == (96, 96, 96)
    assert found.recipe.map_step == read_recipe("default_2mm").map_step
    assert found.training.steps == 20_500
    assert found.training.network.levels == 4


def test_presets_are_as_the_table_says():
    named = {}
    for names, what, steps, _ in rows(SECTIONS["How long"]):
        for name in SPAN.findall(names):
            named[name] = (what, int(steps.replace(" ", "")))
    assert set(named) == set(preset_names())
    for name, (what, steps) in named.items():
        experiment = Experiment.preset(name)
        network, shape = experiment.training.network, experiment.recipe.crop.shape
        assert experiment.training.steps == steps
        features = network.features
        widths = f"{features} features" if isinstance(features, int) else f"widths {features[0]} to {max(features)}"
        assert f"{widths}, {network.levels} levels" in what
        assert shape is not None or "whole maps" in what
        assert shape is None or (f"{shape[0]}³" if len(set(shape)) == 1 else " x ".join(map(str, shape))) in what


def test_the_python_lines_start_a_training(tmp_path, monkeypatch):
    (text,) = blocks(PAGE, "python")
    write_heads(tmp_path / "label_maps", 1, voxel_size_mm=2.0)
    monkeypatch.chdir(tmp_path)
    called = []
    monkeypatch.setattr(loop, "run_training", lambda config, *rest, **more: called.append((config, more)))
    exec(compile(text, "docs/training.md", "exec"), {})
    ((config, more),) = called
    assert config.steps == 100
    assert len(more["validate"].seeds) == 4
