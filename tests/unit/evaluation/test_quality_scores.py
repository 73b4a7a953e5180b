"""Scoring a quality model: the command, its tables, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import yaml

from synthseg_core.cli.main import main
from synthseg_core.evaluation.quality_scores import summary
from synthseg_core.labels.table import LabelTable
from synthseg_core.models.card_file import read_card, rewrite_card
from synthseg_core.synth.recipe_file import recipe_to_mapping
from synthseg_core.system.tables import read_tsv
from synthseg_core.training.quality_validation import Agreement
from synthseg_core.training.tasks import prepare
from tests.unit.training.quality_models import quality_experiment, quality_inputs, segmenter_card
from tests.unit.training.tasks.small import CPU, first_model

GROUPS = LabelTable("groups", (0, 1), ("background", "all"), ("neutral",) * 2, (0, 1))


def test_figures_of_a_set():
    found = summary(Agreement(np.array([[1, 1], [0.4, 0.8]]), np.array([[1, 1], [0.5, 0.7]])), GROUPS)
    assert found == {
        "mean_absolute_error": 0.1,
        "spearman": 1.0,
        "pairs": 2,
        "groups": {"all": {"mean_absolute_error": 0.1, "spearman": 1.0, "dice": 0.6}},
    }


def test_what_cannot_be_ranked_has_no_figure():
    assert summary(Agreement(np.ones((2, 1)), np.ones((2, 1))), GROUPS)["spearman"] is None


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("judged")


@pytest.fixture(scope="module")
def words(folder):
    """The command, with models of random weights."""
    wanted, segmenter = quality_experiment(), segmenter_card(folder)
    found = prepare(wanted, quality_inputs(folder, wanted, segmenter), CPU)
    card = first_model(found, folder / "scores")
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe_to_mapping(wanted.recipe)))
    maps = sorted(str(path) for path in (folder / "maps").iterdir())
    data = ["--maps", *maps, "--recipe", str(folder / "recipe.yaml"), "--draws", "2"]
    return ["validate", "--model", str(card), "--segmenter", str(segmenter), *data, "--out", str(folder / "out")]


def test_command_writes_tables_and_records_in_the_card(folder, words, capsys):
    assert main([*words, "--cache", str(folder / "cache"), "--record", "--threads", "1"]) == 0
    said = capsys.readouterr().out
    assert "synthetic: mean absolute error" in said
    assert "with_faults: mean absolute error" in said
    found = json.loads((folder / "out" / "quality.json").read_text())
    rows = read_tsv(folder / "out" / "quality.tsv")
    assert len(rows) == 2 * 2 * 4
    errors = [abs(float(row["predicted"]) - float(row["true"])) for row in rows if row["set"] == "synthetic"]
    assert found["synthetic"]["mean_absolute_error"] == pytest.approx(np.mean(errors), abs=2e-4)
    assert found["segmenter"]["name"] == "segmenter"
    recorded = yaml.safe_load((folder / "scores" / "card.yaml").read_text())["training"]["quality"]
    assert recorded == {name: found[name] for name in ("synthetic", "with_faults")}
    (kept,) = (folder / "cache").iterdir()
    assert len(list(kept.iterdir())) == 2


def test_kept_pairs_give_the_same_figures(folder, words):
    assert main([*words, "--cache", str(folder / "cache"), "--threads", "1"]) == 0
    first = (folder / "out" / "quality.tsv").read_text()
    assert main([*words, "--threads", "1"]) == 0
    assert (folder / "out" / "quality.tsv").read_text() == first


def test_a_quality_model_judges_a_named_model(words, capsys):
    without = [word for word in words if word not in words[3:5]]
    assert main(without) == 2
    assert "--segmenter: found none for scores, a model for quality" in capsys.readouterr().err
    assert main([*words, "--fast"]) == 2
    assert "found --labelled, --fast or no --maps" in capsys.readouterr().err
    assert main(["validate", "--model", "tiny-random", *words[3:]]) == 2
    assert "--segmenter: found" in capsys.readouterr().err


def test_models_that_do_not_belong_together_are_refused(folder, words, capsys):
    card = read_card(folder / "segmenter" / "card.yaml")
    table = folder / "segmenter" / "more.tsv"
    more = replace(card.labels, qc_groups=(0, 1, 2, 3, 9), name=str(table))
    table.write_text(more.to_tsv())
    other = replace(card, labels=more, source=folder / "segmenter" / "more.yaml")
    rewrite_card(other)
    assert main([*words[:4], str(other.source), *words[5:]]) == 2
    assert "expected a qc_group column with groups 0 to 4" in capsys.readouterr().err
