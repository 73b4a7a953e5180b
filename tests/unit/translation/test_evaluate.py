"""Scores of translators: similarity by hand, there and back or with partners, anatomy, labels."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from synthseg_core.errors import ModelError
from synthseg_core.images.volume import Volume
from synthseg_core.translation import evaluate, stacks
from synthseg_core.translation.dataset import Description, open_dataset
from synthseg_core.translation.dataset_writing import DatasetWriter
from synthseg_core.translation.evaluate import (
    ScanScores,
    anatomy_rows,
    downstream_rows,
    l1,
    psnr_db,
    score_images,
    similarity,
    ssim,
)
from synthseg_core.translation.stacks import ApplyOptions, StackTranslator
from synthseg_core.translation.translator import ImageTranslator
from tests.phantoms.scans import phantom, write_nifti
from tests.phantoms.translation import Ellipses, cycle_card, matching_card
from tests.unit.translation.test_dataset import made_stack


def test_distances_by_hand():
    first, second = np.array([[0.0, 0.5]]), np.array([[0.1, 0.3]])
    assert l1(first, second) == pytest.approx(0.15)
    assert psnr_db(first, second) == pytest.approx(10 * np.log10(4 / 0.025))
    assert psnr_db(first, first) == np.inf


def test_structural_similarity_agrees_with_monai_away_from_the_edges():
    from monai.metrics.regression import SSIMMetric

    rng = np.random.default_rng(0)
    first = rng.uniform(-1, 1, (24, 31))
    second = np.clip(first + rng.normal(0, 0.2, first.shape), -1, 1)
    measure = SSIMMetric(spatial_dims=2, data_range=2.0, win_size=11, kernel_sigma=1.5)
    theirs = measure(*(torch.from_numpy(one)[None, None] for one in (first, second)))
    assert similarity(first, second)[5:-5, 5:-5].mean() == pytest.approx(float(theirs), abs=1e-5)
    assert ssim(first, first) == pytest.approx(1)


class Shift(nn.Module):
    def forward(self, images):
        return images + 0.1


@pytest.mark.parametrize("paired", [True, False])
def test_paired_images_are_compared_with_partners_and_others_with_themselves(tmp_path, monkeypatch, paired):
    images = Ellipses(24)
    with DatasetWriter(tmp_path, Description(images.domains, "axial", 2.0, paired=paired)) as writer:
        for domain in images.domains:
            stack = made_stack(domain, "test", slices=2)
            writer.add(stack, [images.image("dark", "val", number)[0] * 0.5 for number in range(2)])
    card = cycle_card(tmp_path / "card")
    monkeypatch.setattr(stacks, "_loaded", lambda *_: ImageTranslator(card.networks, Shift()))
    rows = score_images(open_dataset(tmp_path), "test", card, ApplyOptions(), "cpu")
    assert [row["domain"] for row in rows] == ["dark", "bright"]
    assert {row["compared"] for row in rows} == {"with its partner" if paired else "there and back"}
    assert float(rows[0]["l1"]) == pytest.approx(0.1 if paired else 0.2, abs=1e-3)
    assert rows[0]["images"] == 2


@pytest.mark.parametrize(
    ("changes", "found"),
    [({"plane": "coronal"}, "coronal slices of 2 mm"), ({"spacing_mm": 1.0}, "axial slices of 1 mm")],
)
def test_a_translator_for_another_plane_or_spacing_is_refused(tmp_path, changes, found):
    images = Ellipses(24)
    with DatasetWriter(tmp_path, Description(images.domains, "axial", 2.0)) as writer:
        for domain in images.domains:
            writer.add(made_stack(domain, "test", slices=1), [images.image("dark", "val", 0)[0]])
    message = f"found a translator for {found}; expected one for axial slices of 2 mm, as in the dataset"
    with pytest.raises(ModelError, match=message):
        score_images(open_dataset(tmp_path), "test", matching_card(tmp_path, **changes), ApplyOptions(), "cpu")


def test_scans_are_segmented_before_and_after(tmp_path, monkeypatch):
    """The stand-in for a model calls bright what lies above a level, which the translation moves."""
    scan = write_nifti(tmp_path / "sub-01_T1w.nii.gz", phantom((2.0,) * 3), "int16")

    labels = SimpleNamespace(labels=(0, 4, 7))
    models: Any = SimpleNamespace(segmentation=SimpleNamespace(card=SimpleNamespace(labels=labels)))
    monkeypatch.setattr(
        evaluate, "_segmented", lambda one, _: np.where(one.volume.data > 130, 4, 0) + 7 * (one.volume.data < -1e9)
    )
    card = matching_card(tmp_path)
    translator = StackTranslator(card, *card.direction("dark", None), "cpu")
    truth = Volume(np.where(phantom().data > 130, 4, 0).astype(np.int32), phantom((2.0,) * 3).affine)
    found = evaluate.score_scan(scan, truth, models, translator, ApplyOptions())
    assert found.name == "sub-01_T1w"
    assert found.before == {4: pytest.approx(1, abs=0.01)}
    assert found.after is not None
    assert found.after[4] == pytest.approx(found.agreement[4], abs=0.02)
    assert np.isnan(found.agreement[7])


def test_tables_flag_what_changed_and_leave_out_what_is_not_known():
    good = ScanScores("a", {4: 0.9, 7: float("nan")}, {4: 0.2}, {4: 0.8})
    bad = replace(good, name="b", agreement={4: 0.4, 7: 0.6}, before=None, after=None)
    rows = anatomy_rows([good, bad], {4: "ventricle"})
    assert [(row["scan"], row["name"], row["dice"], row["changed"]) for row in rows] == [
        ("a", "mean", "0.9000", "no"),
        ("a", "ventricle", "0.9000", None),
        ("b", "mean", "0.5000", "yes"),
        ("b", "ventricle", "0.4000", None),
        ("b", "", "0.6000", None),
    ]
    rows = downstream_rows([good, bad], {4: "ventricle"})
    assert [(row["name"], row["before"], row["after"]) for row in rows] == [
        ("mean", "0.2000", "0.8000"),
        ("ventricle", "0.2000", "0.8000"),
    ]
    assert ScanScores("c", {}).changed
