"""Label maps of stock nnU-Net v2 and of SIAM's steps around it (tolerances: README of the reference folder)."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from synthseg_core.images.reading import read_scan
from synthseg_core.models.loading import Models, load_models
from synthseg_core.models.nnunet_import import import_nnunet
from synthseg_core.models.registry import load_card
from synthseg_core.segmentation.segment import segment_scan
from synthseg_core.segmentation.segmenter import SegmentOptions

pytestmark = [pytest.mark.golden]

# mode -> least share of equal voxels, least Dice of any label
GATES = {"exact": (0.9998, 0.999), "float32": (0.996, 0.99)}
QUICK = (
    "plain4",
    "resenc5__thin",
    "resenc5__thick",
    "resenc5__odd",
    "resenc18__thin",
    "resenc18__zero",
    "wrapper__resenc18__odd",
)
FLOAT32 = ("plain4__zero_border", "resenc5__thick_0p8_0p8_5")


def _cases() -> list[dict[str, Any]]:
    """Return all but the record of what SIAM does wrong; one that skips where there is no reference."""
    folder = os.environ.get("SYNTHSEG_REFERENCE")
    if not folder:
        return [{"id": "none"}]
    cases = json.loads((Path(folder) / "siam" / "index.json").read_text())["cases"]
    return [case for case in cases if case.get("wrapper", {}).get("variant") != "upstream"]


def _marked(case: dict[str, Any]) -> Any:
    return pytest.param(case, id=case["id"], marks=() if case["id"].startswith((*QUICK, "none")) else pytest.mark.slow)


@pytest.fixture(scope="module")
def imported(reference, tmp_path_factory) -> dict[tuple[str, str], Models]:
    """Every folder, for axes as stored and for RAS."""
    store = tmp_path_factory.mktemp("imported")
    found = {}
    for name in ("resenc18", "resenc5", "plain4"):
        for orientation in ("stored", "RAS"):
            source = reference / "siam" / "models" / name
            card = import_nnunet(source, store, name=f"{name}-{orientation}", orientation=orientation)
            found[name, orientation] = load_models(load_card(card))
    return found


def _compare(case: dict[str, Any], imported: dict[tuple[str, str], Models], reference: Path, mode: str) -> None:
    folder, wrapper = reference / "siam", case.get("wrapper")
    models = imported[case["model"].partition("/")[2], "RAS" if wrapper else "stored"]
    options = SegmentOptions(mode=mode, voxel_size_mm=(wrapper or {}).get("voxelsize") or None)
    result = segment_scan(read_scan(folder / case["input"]), models, options)
    stored = nib.load(folder / case["expected"])
    expected, found = np.asarray(stored.dataobj), result.label_map.data
    np.testing.assert_allclose(result.label_map.affine, stored.affine, atol=1e-6)
    assert found.shape == expected.shape
    share, dice = GATES[mode]
    assert (found == expected).mean() >= share
    for label in np.unique(expected):
        here, there = found == label, expected == label
        assert 2 * (here & there).sum() / (here.sum() + there.sum()) >= dice, f"label {label}"


@pytest.mark.parametrize("case", [_marked(case) for case in _cases()])
def test_label_maps_of_stock_nnunet(case, imported, reference):
    _compare(case, imported, reference, "exact")


@pytest.mark.parametrize("case", [pytest.param(c, id=c["id"]) for c in _cases() if c["id"] in (*FLOAT32, "none")])
def test_label_maps_in_float32(case, imported, reference):
    _compare(case, imported, reference, "float32")
