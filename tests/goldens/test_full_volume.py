"""Complete runs on a whole scan against stored runs of the reference command."""

from __future__ import annotations

import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from synthseg_core.cli.main import main
from tests.goldens.command_agreement import (
    assert_labels_agree,
    assert_scores_agree,
    assert_volumes_agree,
    tolerance_of,
)

pytestmark = [pytest.mark.golden, pytest.mark.weights, pytest.mark.slow]

# Stored cases by run; scores leave segmentations of full (not fast) models alone.
RUNS = {"qc": ("qc", "default"), "parc_qc": ("parc_qc",), "parc": ("parc",)} | {
    name: (name,) for name in ("fast", "robust", "v1")
}


def index_of(goldens: Path) -> dict:
    return json.loads((goldens / "full_volume/index.json").read_text())


def test_every_stored_case_is_run(goldens):
    assert set(index_of(goldens)) == {case for cases in RUNS.values() for case in cases}


@pytest.mark.parametrize("run", RUNS)
def test_full_volume(run, goldens, test_data, reference_weights, tmp_path):
    index = index_of(goldens)
    flags = [flag for flag in index[run]["flags"] if flag != "--qc"]
    options = ["--o", tmp_path / "seg.nii.gz", "--vol", tmp_path / "volumes", *flags]
    if "--qc" in index[run]["flags"]:
        options += ["--qc", tmp_path / "qc"]
    options += ["--cpu", "--threads", min(2, os.cpu_count() or 1), "--weights", reference_weights]
    assert main(["predict", "--i", str(test_data / "images/chris_t1.nii.gz"), *map(str, options)]) == 0

    image = nib.load(tmp_path / "seg.nii.gz")
    labels = np.asarray(image.dataobj)
    for case in RUNS[run]:
        stored, tolerance = goldens / "full_volume", tolerance_of(index[case]["flags"])
        arrays = np.load(stored / f"{case}.npz")
        assert list(labels.shape) == index[case]["shape"]
        np.testing.assert_array_equal(image.affine, arrays["affine"])
        assert_labels_agree(labels[1::2, 1::2, 1::2], arrays["seg_strided"], tolerance)
        assert_volumes_agree(tmp_path / "volumes.csv", stored / f"{case}_volumes.csv", tolerance)
        if (stored / f"{case}_qc.csv").exists():
            assert_scores_agree(tmp_path / "qc.csv", stored / f"{case}_qc.csv", tolerance)
        check_counts(labels, index[case]["labels"], 1 - tolerance.equal_labels)


def check_counts(labels: np.ndarray, counts: dict[str, int], share: float) -> None:
    """Compare the number of voxels of every label; together they may differ by the share of unequal voxels."""
    found = dict(zip(*(array.tolist() for array in np.unique(labels, return_counts=True)), strict=True))
    every = set(found) | {int(label) for label in counts}
    changed = sum(abs(found.get(label, 0) - counts.get(str(label), 0)) for label in every)
    assert changed / 2 <= share * labels.size
