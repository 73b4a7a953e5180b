"""Planes, overlays and letters in pictures: the sides of a phantom are found in the columns and rows of pixels."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from synthseg_core.errors import UsageError
from synthseg_core.images import figures
from synthseg_core.images.volume import Volume
from tests.phantoms.scans import all_orientations, reoriented

PIXELS = 120
COLOURS = {1: (1.0, 0.0, 0.0), 2: (0.0, 1.0, 0.0), 3: (0.0, 0.0, 1.0)}


def spots():
    """A head with label 1 at its left, 2 at its front and 3 at its top, about the origin."""
    data = np.zeros((9, 9, 9), dtype=np.int16)
    data[0, 3:6, 3:6], data[3:6, 8, 3:6], data[3:6, 3:6, 8] = 1, 2, 3
    affine = np.eye(4)
    affine[:3, 3] = -4
    return Volume(data, affine)


def drawn(draw):
    """Pixels of a panel that fills its figure, (rows from top, columns, 3), without its letters."""
    figure = figures.new_figure(1, 1)
    panel = figure.add_axes((0, 0, 1, 1))
    draw(panel)
    for text in panel.texts:
        text.set_visible(False)
    figure.set_dpi(PIXELS)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3] / 255


def centre(pixels, colour):
    """Middle of what has a colour: shares of the picture from its top and from its left."""
    rows, columns = np.nonzero(np.abs(pixels - colour).max(-1) < 0.1)
    return rows.mean() / PIXELS, columns.mean() / PIXELS


@pytest.mark.parametrize(("axes", "flips"), all_orientations()[::5])
@pytest.mark.parametrize("overlaid", [False, True])
def test_left_is_on_the_right_in_pixels(axes, flips, overlaid):
    pytest.importorskip("matplotlib", reason="the extra 'pictures' is not installed")
    head = reoriented(spots(), axes, flips)

    def draw(panel, view):
        if overlaid:
            figures.draw_scan(panel, Volume(np.zeros((9, 9, 9)), spots().affine), view, (0, 1))
            figures.overlay_labels(panel, head, view, COLOURS, opacity=1.0)
        else:
            figures.draw_labels(panel, head, view, COLOURS)

    axial, coronal, sagittal = (drawn(lambda panel, v=v: draw(panel, v)) for v in figures.views((0, 0, 0)))
    left, front, top = (np.array(COLOURS[label]) for label in (1, 2, 3))
    assert centre(axial, left) == pytest.approx((0.5, 1 - 1 / 18), abs=0.02)
    assert centre(axial, front) == pytest.approx((1 / 18, 0.5), abs=0.02)
    assert centre(coronal, left) == pytest.approx((0.5, 1 - 1 / 18), abs=0.02)
    assert centre(coronal, top) == pytest.approx((1 / 18, 0.5), abs=0.02)
    assert centre(sagittal, front) == pytest.approx((0.5, 1 / 18), abs=0.02)
    assert centre(sagittal, top) == pytest.approx((1 / 18, 0.5), abs=0.02)


def test_every_plane_has_its_letters_and_its_box():
    pytest.importorskip("matplotlib", reason="the extra 'pictures' is not installed")
    box = np.array([[-2.0, 3.0], [-1.0, 2.0], [-4.0, 1.0]])
    letters, limits = [], []
    for view in figures.views((0, 0, 0), box):
        panel = figures.new_figure(1, 1).add_axes((0, 0, 1, 1))
        figures.draw_scan(panel, spots(), view, (0, 3))
        figures.overlay_labels(panel, spots(), view, {})
        letters.append("".join(text.get_text() for text in panel.texts))
        limits.append((*panel.get_xlim(), *panel.get_ylim()))
    assert letters == ["RLPA", "RLIS", "APIS"]
    assert limits == [(3, -2, -1, 2), (3, -2, -4, 1), (2, -1, -4, 1)]


def test_heading_says_which_half_a_sagittal_plane_shows():
    assert [view.heading() for view in figures.views((-3, 1.5, 0))] == [
        "axial, z = 0 mm",
        "coronal, y = 1.5 mm",
        "sagittal, x = -3 mm (left)",
    ]
    assert figures.views((0, 0, 0))[2].heading() == "sagittal, x = 0 mm"


def test_labels_without_a_colour_are_transparent():
    found = figures.painted(np.array([[0, 1], [2, 7]]), {1: (1.0, 0.5, 0.0), 2: (0.0, 0.0, 1.0)}, 0.4)
    assert found.tolist() == [[[0, 0, 0, 0], [1, 0.5, 0, 0.4]], [[0, 0, 1, 0.4], [0, 0, 0, 0]]]


def test_same_figure_same_bytes():
    pytest.importorskip("matplotlib", reason="the extra 'pictures' is not installed")
    first, second = (figures.png(figures.new_figure(1, 1), 20) for _ in range(2))
    assert first == second
    assert first.startswith(b"\x89PNG")
    assert b"Matplotlib" not in first


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"^sheet: .*pip install 'synthseg-bids\[pictures\]', or give --no-picture$"):
        figures.require_matplotlib("sheet", "give --no-picture")
