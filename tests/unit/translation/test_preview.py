"""The picture of a training: a row for each kind of image, whatever their number."""

from __future__ import annotations

import pytest
import torch

from synthseg_core.translation.preview import write_preview
from synthseg_core.translation.validation import Examples


@pytest.mark.parametrize("count", [1, 8])
def test_picture(tmp_path, count):
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("matplotlib")
    both = torch.rand(count, 3, 9, 9) * 2 - 1, torch.rand(2, 3, 9, 9) * 2 - 1
    write_preview(tmp_path / "preview.png", Examples(both, both, both), ("t1", "t2"), "step 3")
    with image.open(tmp_path / "preview.png") as picture:
        assert picture.height > 600
