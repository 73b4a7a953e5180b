"""Clean-up, label maps, parcels and volumes against stored results of the reference implementation."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from synthseg_core.images.affines import closest_ras
from synthseg_core.images.grids import Grid
from synthseg_core.labels.table import CORTEX_LABELS, LabelTable
from synthseg_core.quirks import REFERENCE
from synthseg_core.segmentation.cleanup import clean_up, label_map_from, unpad
from synthseg_core.segmentation.record import ConformRecord
from synthseg_core.segmentation.volumes import VolumeTable, parcel_volumes, soft_volumes, volume_table, voxel_volume
from tests.phantoms.parcels import divide_cortex

CASES = (
    *("default", "fast", "v1", "v1_fast", "parc", "parc_fast", "v1_parc", "oblique_pir", "las_parc"),
    *("cropped", "cropped_parc_fast", "no_topology", "all_background", "all_background_parc", "nan", "zero_background"),
)
PARCELS = "parcellation_2.0"


@dataclass(frozen=True)
class Result:
    """What the pipeline makes of one case, in the source's axis order."""

    seg: np.ndarray
    posteriors: np.ndarray
    volumes: VolumeTable


@cache
def _probabilities(path: Path, name: str) -> np.ndarray:
    """Channels-first posteriors; the stored integers are normalised over a contiguous last axis."""
    counts = np.load(path)[name].astype(np.float32)
    return np.ascontiguousarray(np.moveaxis(counts / counts.sum(-1, keepdims=True), -1, 0))


@pytest.fixture
def case(goldens, name):
    return json.loads((goldens / "postprocess" / "index.json").read_text())[name]


@pytest.fixture
def expected(goldens, name):
    return np.load(goldens / "postprocess" / f"{name}.npz")


@pytest.fixture
def result(goldens, case) -> Result:
    return _run(goldens / "postprocess", case)


def test_all_stored_cases_are_listed(goldens):
    assert sorted(json.loads((goldens / "postprocess" / "index.json").read_text())) == sorted(CASES)


@pytest.mark.golden
@pytest.mark.parametrize("name", CASES)
def test_case(result, case, expected):
    np.testing.assert_array_equal(result.seg, expected["seg"])
    strided = result.posteriors[:, ::3, ::3, ::3]
    np.testing.assert_allclose(np.moveaxis(strided, 0, -1), expected["post_strided"], rtol=0, atol=1e-6)
    _check_sums(result, case)
    _check_table(result.volumes, expected)


def _run(folder: Path, case: dict) -> Result:
    version = "1.0" if case["v1"] else "2.0"
    table = LabelTable.builtin(f"segmentation_{version}")
    record = _record(case)
    assert [*record.pad[0], *record.pad[1]] == case["pad_idx"]
    mode = "threshold" if case["fast"] or not case["topology"] else "topology"
    patch = clean_up(_posteriors(folder, case), table, record.pad, mode, REFERENCE)
    seg = label_map_from(patch, table)
    soft = soft_volumes(patch, voxel_volume(record.grid, REFERENCE))
    structures = [(table, soft, None)]
    if case["parc"]:
        parcels = LabelTable.builtin(PARCELS)
        answer = unpad(_probabilities(folder / "input_parc.npz", "parc"), record.pad)
        parcellation = divide_cortex(seg, answer, parcels, REFERENCE)
        seg = parcellation.label_map
        cortex = {side: soft[channel] for side, channel in table.cortex_channels().items()}
        structures.append((parcels, parcel_volumes(parcels, parcellation.soft_voxels, cortex), None))
    volumes = volume_table(*structures, total_intracranial=not case["v1"])
    return Result(
        seg=record.to_source_order(record.paste_labels(seg)),
        posteriors=record.to_source_order(record.paste_posteriors(patch)),
        volumes=volumes,
    )


def _posteriors(folder: Path, case: dict) -> np.ndarray:
    name = "seg_1" if case["v1"] else "seg_2"
    posteriors = _probabilities(folder / "inputs.npz", name).copy()
    if case["all_background"]:
        posteriors[:] = 0
        posteriors[0] = 1
    if case["nan_block"]:
        posteriors[:, 30:33, 30:33, 30:33] = np.nan
    if case["zero_background"]:
        posteriors[0][np.load(folder / "inputs.npz")[name][..., 0] <= 1] = 0
    return posteriors


def _record(case: dict) -> ConformRecord:
    affine = np.array(case["affine"])
    grid = Grid(tuple(case["seg_shape"]), affine, tuple(case["im_res"]))
    crop = case["crop_idx"] and (tuple(case["crop_idx"][:3]), tuple(case["crop_idx"][3:]))
    pad_start = tuple(case["pad_idx"][:3])
    return ConformRecord(grid, grid, closest_ras(affine), False, crop, pad_start, (64, 64, 64))


def _check_sums(result: Result, case: dict) -> None:
    """Sums per channel, not rounded; voxels outside a cropped patch count as background."""
    sums = soft_volumes(result.posteriors, float(np.prod(case["im_res"])))
    np.testing.assert_allclose(sums, case["volumes64"], rtol=1e-6, equal_nan=True)


def _check_table(volumes: VolumeTable, expected) -> None:
    """Columns of the printed table, which the reference sums in float32."""
    printed = [float(text) for text in expected["volumes_as_text"]]
    assert len(volumes.rows) == len(printed)
    np.testing.assert_allclose(volumes.soft_mm3, printed, rtol=1e-3, atol=5e-4, equal_nan=True)
    labels = [row.label for row in volumes.rows if row.label is not None]
    assert labels == sorted(labels)
    assert set(CORTEX_LABELS.values()) < set(labels)
