"""``synthseg translate train``: a translator from a dataset; continued; settings; refusals."""

from __future__ import annotations

import pytest
import yaml

from synthseg_core.cli.main import main
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
