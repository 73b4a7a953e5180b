"""The picture of a training: it appears when it is due, and shows the sides of the head where its letters say."""

from __future__ import annotations

import numpy as np
import pytest

from synthseg_core.training.config import Intervals
from synthseg_core.training.loop import run_training
from synthseg_core.training.run import RunOptions
from synthseg_core.training.snapshot import class_picture, write_snapshot
from tests.unit.training.training_source import Balls, tiny_config

pytest.importorskip("matplotlib", reason="the extra 'pictures' is not installed")


def test_snapshot_is_drawn_when_it_is_due(tmp_path):
    config = tiny_config(intervals=Intervals(log=1, checkpoint=100, validate=0, snapshot=3))
    run_training(config, Balls(), tmp_path, options=RunOptions(snapshot=class_picture))
    assert (tmp_path / "snapshot.png").read_bytes()[:4] == b"\x89PNG"


def test_left_of_the_head_is_on_the_right_of_the_picture(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr("synthseg_core.training.snapshot.png", lambda figure, _: figures.append(figure) or b"")
    image = np.zeros((8, 6, 4))
    image[:2] = 1  # a slab at the left
    truth = image.astype(int)
    write_snapshot(tmp_path, image, truth, np.zeros_like(truth))
    (figure,) = figures
    assert "left side of the head is on the right of the picture" in figure.get_suptitle()
    scan, labels, prediction = figure.axes[:3]
    assert [text.get_text() for text in scan.texts] == ["R", "L", "P", "A"]
    grey = scan.images[0].get_array()
    assert grey.shape == (6, 8)
    assert grey[:, -2:].all()
    assert not grey[:, :-2].any()
    assert (labels.images[0].get_array()[..., 3] == grey).all()
    assert not prediction.images[0].get_array().any()
