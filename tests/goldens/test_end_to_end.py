"""Complete runs of ``synthseg predict`` against stored runs of the reference command."""

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

pytestmark = [pytest.mark.golden, pytest.mark.weights]

# Stored cases by run. Two long runs serve two cases each: scores leave segmentations of full (not fast) models alone.
RUNS = {
    "default": ("default",),
    "qc": ("qc", "default"),
    "v1": ("v1",),
    "v1_qc": ("v1_qc", "v1"),
    "parc_qc": ("parc_qc",),
    "fast": ("fast",),
    "robust": ("robust",),
    "robust_parc_qc": ("robust_parc_qc",),
    "default_other_image": ("default_other_image",),
    "ct": ("ct",),
    "ct_fast_parc": ("ct_fast_parc",),
    "crop_64": ("crop_64",),
}
# The same networks on other paths or combinations; the rest runs every time.
SLOW = ("qc", "v1_qc", "parc_qc", "robust_parc_qc", "default_other_image", "ct")
THREADS = str(min(2, os.cpu_count() or 1))


def index_of(goldens: Path) -> dict:
    return json.loads((goldens / "end_to_end/index.json").read_text())


def test_every_stored_case_is_run(goldens):
    assert set(index_of(goldens)) == {case for cases in RUNS.values() for case in cases}
    assert set(SLOW) < set(RUNS)


@pytest.mark.parametrize("run", [pytest.param(run, marks=pytest.mark.slow) if run in SLOW else run for run in RUNS])
def test_end_to_end(run, goldens, reference_weights, tmp_path):
    facts = {case: index_of(goldens)[case] for case in RUNS[run]}
    options = ["--o", tmp_path / "seg.nii.gz", "--vol", tmp_path / "volumes", *facts[run]["flags"]]
    if (goldens / f"end_to_end/{run}_qc.csv").exists():
        options += ["--qc", tmp_path / "qc"]
    if any("posteriors" in case for case in facts.values()):
        options += ["--post", tmp_path / "post.nii.gz", "--resample", tmp_path / "res.nii.gz"]
    options += ["--cpu", "--threads", THREADS, "--weights", reference_weights]
    assert main(["predict", "--i", str(goldens / facts[run]["input"]), *map(str, options)]) == 0
    for case in RUNS[run]:
        check_case(tmp_path, goldens / "end_to_end", case, facts[case])


def check_case(folder: Path, stored: Path, case: str, facts: dict) -> None:
    tolerance, arrays = tolerance_of(facts["flags"]), np.load(stored / f"{case}.npz")
    segmentation = nib.load(folder / "seg.nii.gz")
    check_header(segmentation, facts)
    np.testing.assert_array_equal(segmentation.affine, arrays["affine"])
    assert_labels_agree(np.asarray(segmentation.dataobj), arrays["seg"], tolerance)
    assert_volumes_agree(folder / "volumes.csv", stored / f"{case}_volumes.csv", tolerance)
    if (stored / f"{case}_qc.csv").exists():
        assert_scores_agree(folder / "qc.csv", stored / f"{case}_qc.csv", tolerance)
    if "posteriors" in facts:
        check_posteriors(nib.load(folder / "post.nii.gz"), facts["posteriors"], arrays["post_strided"])
        resampled = nib.load(folder / "res.nii.gz")
        assert list(resampled.shape) == facts["resampled"]["shape"]
        assert resampled.get_data_dtype() == facts["resampled"]["dtype"]


def check_header(image: nib.Nifti1Image, facts: dict) -> None:
    assert list(image.shape) == facts["shape"]
    assert image.get_data_dtype() == facts["dtype"]
    assert int(image.header["sform_code"]) == facts["sform_code"]
    assert int(image.header["qform_code"]) == facts["qform_code"]
    np.testing.assert_array_equal(image.header.get_zooms(), np.float32(facts["zooms"]))


def check_posteriors(image: nib.Nifti1Image, facts: dict, expected: np.ndarray) -> None:
    assert list(image.shape) == facts["shape"]
    assert image.get_data_dtype() == facts["dtype"]
    np.testing.assert_array_equal(image.header.get_zooms(), np.float32(facts["zooms"]))
    difference = np.abs(np.asarray(image.dataobj[::4, ::4, ::4]) - expected).max(axis=-1)
    # The network's tolerance, but for single voxels that a component gains or loses.
    assert np.mean(difference <= 5e-5) >= 0.999
