"""The contact sheet shows the sides of the head where its letters say, and tells left from right by colour."""

from __future__ import annotations

import numpy as np
import pytest

from synthseg_core.labels.lists import GenerationLabels
from synthseg_core.synth.contact_sheet import SheetRow, colours_of, write_contact_sheet
from tests.phantoms.heads import PAIRS

imread = pytest.importorskip("matplotlib.image", reason="the extra 'pictures' is not installed").imread
LEFT_THALAMUS, RIGHT_THALAMUS = 10, 49


def panels(path):
    """The six pictures of a sheet of one row, (6, rows from top, columns, 3)."""
    sheet = imread(path)[44:, :, :3]
    width = sheet.shape[1] // 6
    return np.stack([sheet[:, k * width : (k + 1) * width - 2] for k in range(6)])


def half_bright(axis, shape=(36, 36, 36)):
    """An image whose right (anterior, superior) half is bright, with a thalamus on each side."""
    image, labels = np.zeros(shape), np.full(shape, LEFT_THALAMUS)
    half = [slice(None)] * 3
    half[axis] = slice(shape[axis] // 2, None)
    image[tuple(half)] = 1
    labels[shape[0] // 2 :] = RIGHT_THALAMUS
    return image, labels


@pytest.mark.parametrize(
    ("axis", "panel", "side"),
    [(0, 0, "left"), (1, 0, "top"), (0, 2, "left"), (2, 2, "top"), (1, 4, "left"), (2, 4, "top")],
)
def test_right_anterior_and_superior_are_where_the_letters_say(tmp_path, axis, panel, side):
    """Radiological: what is right, and in sagittal planes what is anterior, is on the left of the picture."""
    image, labels = half_bright(axis)
    write_contact_sheet(tmp_path / "a.png", [SheetRow("x", image, labels, (1.0, 1.0, 1.0))], GenerationLabels.builtin())
    grey = panels(tmp_path / "a.png")[panel].mean(-1)
    rows, columns = (n // 2 for n in grey.shape)
    first, second = (grey[:, :columns], grey[:, columns:]) if side == "left" else (grey[:rows], grey[rows:])
    assert first.mean() > 0.9
    assert second.mean() < 0.1


@pytest.mark.parametrize("panel", [1, 3])
def test_labels_of_the_right_are_darker_and_on_the_left_of_the_picture(tmp_path, panel):
    image, labels = half_bright(0)
    write_contact_sheet(tmp_path / "a.png", [SheetRow("x", image, labels, (1.0, 1.0, 1.0))], GenerationLabels.builtin())
    green = panels(tmp_path / "a.png")[panel][..., 1]
    columns = green.shape[1] // 2
    assert np.median(green[:, :columns]) == pytest.approx(0.55 * 118 / 255, abs=0.01)
    assert np.median(green[:, columns:]) == pytest.approx(118 / 255, abs=0.01)


def test_colours_of_pairs_differ_in_darkness_only():
    labels = GenerationLabels.builtin(outputs="value")
    colours = colours_of(labels)
    assert 0 not in colours
    for left, right in PAIRS:
        assert colours[right] == pytest.approx([0.55 * share for share in colours[left]])
    assert len(set(colours.values())) == len(colours)
