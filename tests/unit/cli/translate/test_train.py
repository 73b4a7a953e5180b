"""``synthseg translate train``: a translator from a dataset; continued; settings; refusals."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch
import yaml

from synthseg_core.cli.main import main
from synthseg_core.training import precision_race
from synthseg_core.training.checkpoint import read_checkpoint
from synthseg_core.training.precision_race import RaceResult
from synthseg_core.translation.card import read_translator
from synthseg_core.translation.dataset import Description
from synthseg_core.translation.dataset_writing import DatasetWriter
from tests.phantoms.translation import Ellipses
from tests.unit.translation.test_dataset import made_stack

FAST = {"networks": {"generator": {"features": 2, "blocks": 1}, "discriminator": {"features": 2}}, "size": 16}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder, images = tmp_path_factory.mktemp("data"), Ellipses(20)
    with DatasetWriter(folder, Description(images.domains, "axial", 2.0, neighbours=1)) as writer:
        for domain in images.domains:
            for split in ("train", "val"):
                stack = made_stack(domain, split, slices=3, subject=f"sub-{domain}{split}")
                writer.add(stack, [images.image(domain, split, number)[0] for number in range(3)])
    return folder


def _train(dataset, out, *words):
    settings = out.parent / "settings.yaml"
    settings.write_text(yaml.safe_dump(FAST))
    fixed = ("--preset", "tiny", "--config", settings, "--device", "cpu", "--no-preview")
    fixed += () if "--race" in words else ("--precision", "float32")
    words = tuple(word for word in words if word != "--race")
    return main(["translate", "train", "--dataset", str(dataset), "--out", str(out), *map(str, (*fixed, *words))])


def test_a_training_leaves_a_translator_and_goes_on(dataset, tmp_path, capsys):
    assert _train(dataset, tmp_path / "run", "--steps", 2, "--name", "toy") == 0
    card = read_translator(tmp_path / "run" / "translator")
    assert (card.name, card.method, card.neighbours, card.tile) == ("toy", "cycle", 1, 16)
    assert card.training["preset"] == "tiny"
    assert "use it: synthseg translate apply SCAN" in capsys.readouterr().out
    assert _train(dataset, tmp_path / "run", "--steps", 3, "--name", "toy") == 0
    assert "going on from last.pt" in capsys.readouterr().out


def test_other_settings_are_refused_in_one_line(dataset, tmp_path, capsys):
    assert _train(dataset, tmp_path / "run", "--steps", 1) == 0
    assert _train(dataset, tmp_path / "run", "--steps", 2, "--seed", 4) == 2
    assert "seed 0 instead of 4" in capsys.readouterr().err


def test_the_fastest_number_format_is_taken_and_kept(dataset, tmp_path, monkeypatch, capsys):
    """By the race of all trainings, over steps of this one; a training that goes on holds none."""

    def fastest(network, device, new_step):
        assert (network["method"], network["neighbours"], device.type) == ("cycle", 1, "cpu")
        result = precision_race.race(new_step, device)
        assert set(result.seconds) == {"float32", "bfloat16"}
        return RaceResult("bfloat16", result.seconds)

    monkeypatch.setattr(precision_race, "fastest", fastest)
    assert _train(dataset, tmp_path / "run", "--race", "--steps", 1) == 0
    assert "precision: bfloat16 (a small step took" in capsys.readouterr().out
    monkeypatch.setattr(precision_race, "fastest", lambda *_: pytest.fail("a second race"))
    assert _train(dataset, tmp_path / "run", "--race", "--steps", 2) == 0
    content = json.loads((tmp_path / "run" / "config.json").read_text())
    assert content["translation"]["precision"] == "bfloat16"


@pytest.mark.parametrize("method", ["histogram", "affine"])
def test_methods_without_training(dataset, tmp_path, method):
    assert _train(dataset, tmp_path / "run", "--method", method) == 0
    assert read_translator(tmp_path / "run" / "translator").method == method
    assert not (tmp_path / "run" / "last.pt").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--preset", "huge"), "expected one of full, medium, small, tiny"),
        (("--size", "17"), "crops of 17 pixels"),
        (("--budget", "soon"), "duration: found 'soon'"),
    ],
)
def test_one_line_each(dataset, tmp_path, capsys, words, message):
    assert _train(dataset, tmp_path / "run", *words) == 2
    assert message in capsys.readouterr().err


def test_a_folder_that_is_no_dataset(tmp_path, capsys):
    assert _train(tmp_path, tmp_path / "run") == 2
    assert "expected a translation dataset" in capsys.readouterr().err


@pytest.mark.slow
def test_two_processes_equal_one(dataset, tmp_path):
    """By torchrun, each with half of a batch: the weights of a training in one process, but for rounding.

    Of rounding Adam makes steps where gradients vanish, so what counts is the distance of another training.
    """
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(FAST))
    words = ["translate", "train", "--dataset", dataset, "--preset", "tiny", "--config", tmp_path / "settings.yaml"]
    words += ["--device", "cpu", "--precision", "float32", "--no-preview", "--steps", "3", "--batch-size", "2", "--out"]
    words = [str(word) for word in words]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*torchrun, "-m", "synthseg_core.cli.main", *words, str(tmp_path / "two")]
    alone = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=alone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("translator: ") == 1
    assert main([*words, str(tmp_path / "one")]) == 0
    assert main([*words, str(tmp_path / "other"), "--batch-size", "1"]) == 0
    one, two, other = (_kernels(tmp_path / name / "last.pt") for name in ("one", "two", "other"))
    assert (one - two).norm() < 0.1 * (one - other).norm()


def _kernels(path):
    """The weights of all convolutions of the generators; biases before a norm have no effect, and no gradient."""
    content = read_checkpoint(path)
    assert content["step"] == 3
    return torch.cat([value.flatten() for name, value in content["generators"].items() if name.endswith("weight")])
