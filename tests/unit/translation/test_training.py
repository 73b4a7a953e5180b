"""Training of translators: resume to the bit, what is written, what is refused, and a toy that is learned."""

from __future__ import annotations

import pytest
import torch

from synthseg_core.errors import InputError, TrainingError, UsageError
from synthseg_core.system.tables import read_tsv
from synthseg_core.training.checkpoint import read_checkpoint
from synthseg_core.translation import training
from synthseg_core.translation.config import TranslationConfig
from synthseg_core.translation.training import TranslationRun, train_translator
from tests.phantoms.translation import NEEDS_EINOPS, Ellipses, tiny_config

METHODS = pytest.mark.parametrize("method", ["cycle", pytest.param("diffusion", marks=NEEDS_EINOPS)])


def _trained(folder, config, **options):
    return train_translator(TranslationRun(config, Ellipses(16), folder, {"subjects": "ellipses"}, **options))


@METHODS
def test_a_training_that_was_interrupted_ends_like_one_that_was_not(tmp_path, method, monkeypatch):
    config = tiny_config(method, steps=7, intervals={"log": 3})
    whole = _trained(tmp_path / "whole", config)
    real, calls = training.train_step, []

    def killed(*arguments):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(training, "train_step", killed)
    with pytest.raises(KeyboardInterrupt):
        _trained(tmp_path / "parts", config)
    monkeypatch.setattr(training, "train_step", real)
    assert read_checkpoint(tmp_path / "parts" / "last.pt")["step"] == 3
    again = _trained(tmp_path / "parts", config)
    assert (again.step, again.finished) == (whole.step, whole.finished) == (7, True)
    assert again.best_distance == whole.best_distance
    one, other = (read_checkpoint(tmp_path / name / "last.pt") for name in ("whole", "parts"))
    for part in ("generators", "discriminators"):
        assert all(torch.equal(one[part][name], other[part][name]) for name in one[part])
    assert all(torch.equal(value, other["average"]["values"][name]) for name, value in one["average"]["values"].items())
    rows = [read_tsv(tmp_path / name / "log.tsv", ("step", "cycle")) for name in ("whole", "parts")]
    assert [(row["step"], row["cycle"]) for row in rows[0]] == [(row["step"], row["cycle"]) for row in rows[1]]


def test_a_training_with_other_settings_or_data_is_not_gone_on_with(tmp_path):
    _trained(tmp_path, tiny_config(steps=3))
    with pytest.raises(UsageError, match="losses.cycle 0.5 instead of 2"):
        _trained(tmp_path, tiny_config(steps=3, losses={"cycle": 2}))
    with pytest.raises(UsageError, match="subjects"):
        train_translator(TranslationRun(tiny_config(steps=3), Ellipses(16), tmp_path, {"subjects": "others"}))


def test_more_steps_prolong_a_training(tmp_path):
    _trained(tmp_path, tiny_config(steps=3))
    assert _trained(tmp_path, tiny_config(steps=5)).step == 5


@NEEDS_EINOPS
def test_files_of_a_training(tmp_path):
    pytest.importorskip("matplotlib")
    outcome = _trained(tmp_path, tiny_config("diffusion", intervals={"snapshot": 3}), pictures=True)
    assert (tmp_path / "preview.png").stat().st_size > 5000
    validations = read_tsv(tmp_path / "validation.tsv", training.VALIDATION_COLUMNS)
    assert [row["step"] for row in validations] == ["3", "6"]
    best = min(validations, key=lambda row: float(row["distance"]))
    assert outcome.best_step == int(best["step"]) == read_checkpoint(tmp_path / "best.pt")["step"]
    log = read_tsv(tmp_path / "log.tsv", training.LOG_COLUMNS)
    assert all(float(log[0][name]) > 0 for name in ("adversarial", "cycle", "reconstruction", "penalty"))


def test_a_domain_without_images_and_a_loss_that_is_no_number(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="dark: found no images in train"):
        train_translator(TranslationRun(tiny_config(), Ellipses(16, number=0), tmp_path))
    config = tiny_config(generators={"learning_rate": 1e30, "schedule": {"kind": "constant"}})
    with pytest.raises(TrainingError, match="found a loss of .* at step"):
        _trained(tmp_path, config)


def test_validation_may_be_left_out(tmp_path):
    outcome = _trained(tmp_path, tiny_config(validation_images=0))
    assert outcome.best_distance is None
    assert not (tmp_path / "best.pt").exists()


@METHODS
def test_dark_ellipses_become_bright_ones(tmp_path, method):
    """The toy pair: losses fall, and the grey values of what is made are near those of the other domain."""
    config = TranslationConfig.preset("tiny").changed({"networks": {"method": method}, "device": "cpu", "steps": 40})
    train_translator(TranslationRun(config, Ellipses(32), tmp_path))
    log = read_tsv(tmp_path / "log.tsv", training.LOG_COLUMNS)
    assert float(log[-1]["cycle"]) < 0.6 * float(log[0]["cycle"])
    distances = [float(row["distance"]) for row in read_tsv(tmp_path / "validation.tsv", training.VALIDATION_COLUMNS)]
    assert min(distances) < 0.6
