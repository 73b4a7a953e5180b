"""Translators from trainings and from datasets alone: domains, weights that translate, and none yet."""

from __future__ import annotations

import numpy as np
import pytest

from synthseg_core.errors import WeightsError
from synthseg_core.translation.card import read_translator
from synthseg_core.translation.dataset import Description, open_dataset
from synthseg_core.translation.dataset_writing import DatasetWriter
from synthseg_core.translation.export import domains_of, export_translator, write_matching
from synthseg_core.translation.stacks import ApplyOptions, StackTranslator
from synthseg_core.translation.training import TranslationRun, train_translator
from tests.phantoms.translation import Ellipses, tiny_config
from tests.unit.translation.test_dataset import made_stack

OPTIONS = {"ct": ["bright"], "ct_window_hu": [-10.0, 90.0]}


@pytest.fixture
def data(tmp_path):
    """Three subjects of each domain in train, with windows of their own, and one in val."""
    images = Ellipses(24)
    description = Description(images.domains, "coronal", 1.5, 0, options=OPTIONS)
    with DatasetWriter(tmp_path / "data", description) as writer:
        for domain in images.domains:
            for number in range(4):
                stack = made_stack(
                    domain,
                    "val" if number == 3 else "train",
                    slices=2,
                    subject=f"sub-{domain}{number}",
                    low=float(number),
                    high=100.0 + 10 * number,
                )
                writer.add(stack, [images.image(domain, "train", 2 * number + k)[0] for k in range(2)])
    return open_dataset(tmp_path / "data")


def test_domains_are_those_of_the_training_subjects(data):
    dark, bright = domains_of(data)
    assert (dark.name, dark.low, dark.high, dark.subjects) == ("dark", 1.0, 110.0, 3)
    assert dark.ct_window_hu is None
    assert bright.ct_window_hu == (-10.0, 90.0)


@pytest.mark.parametrize("validation", [2, 0])
def test_a_training_becomes_a_translator_that_translates(tmp_path, data, validation):
    config = tiny_config(steps=3, validation_images=validation)
    with pytest.raises(WeightsError, match="found no weights"):
        export_translator(tmp_path / "run", "toy", config, data, {})
    train_translator(TranslationRun(config, data, tmp_path / "run"))
    best = export_translator(tmp_path / "run", "toy", config, data, {}, best=True)
    written = export_translator(tmp_path / "run", "toy", config, data, {"steps": 3})
    assert best.weights is not None
    assert written.weights is not None
    card = read_translator(tmp_path / "run" / "translator")
    assert card == written
    assert (card.plane, card.spacing_mm, card.tile, card.training) == ("coronal", 1.5, 16, {"steps": 3})
    assert any("ICCV 2017" in paper for paper in card.citation)
    translator = StackTranslator(card, *card.direction("dark", None), "cpu")
    images = np.zeros((2, 20, 16), np.float32)
    assert next(translator.samples(images, ApplyOptions())).shape == images.shape


@pytest.mark.parametrize("method", ["histogram", "affine"])
def test_matching_is_measured_and_not_trained(tmp_path, data, method):
    write_matching(tmp_path / "run", "curve", method, data)
    card = read_translator(tmp_path / "run" / "translator")
    assert card.method == method
    translator = StackTranslator(card, *card.direction("dark", None), "cpu")
    dark, bright = (np.concatenate([data.image(name, "train", k) for k in range(6)]) for name in data.domains)
    matched = next(translator.samples(dark, ApplyOptions()))
    assert abs(matched.mean() - bright.mean()) < 0.4 * abs(dark.mean() - bright.mean())
