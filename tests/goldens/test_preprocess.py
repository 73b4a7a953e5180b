"""Stored network inputs of the reference implementation: grid, crop, intensities, padding, resampled scan."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from synthseg_core.errors import InputError
from synthseg_core.images.reading import Scan, read_scan
from synthseg_core.images.writing import write_volume
from synthseg_core.quirks import NATIVE, REFERENCE
from synthseg_core.segmentation.conform import ConformConfig, Conformed, conform

pytestmark = pytest.mark.golden

PROCESSED = (
    "aniso_1x1x5", "constant", "crop_64", "crop_96_64_40", "crop_larger_than_image", "ct_data_without_flag", "ct_mode",
    "four_d_one_channel", "four_d_three_channels", "inf_voxel", "large_fov_subsampled", "las_1mm", "mgz_lia",
    "nan_voxels", "nan_voxels_resampled", "npz_identity", "oblique_pir_int16", "pixdim_disagrees_with_affine",
    "thin_first_axis", "tiny_fov", "tol_1p04", "tol_1p06",
)  # fmt: skip
# What the reference cannot do, and what we say about it when asked to copy the reference; None: it works here.
REFUSED = {
    "thin_8_slices": "only 8 slices",
    "thin_3_slices": "only 3 slices",
    "thin_after_reorientation_1mm": None,
    "two_d": "a 2-D image",
    "time_series_12": "20 x 20 x 20 x 12",
    "five_d": "20 x 20 x 20 x 2 x 3",
}
RESAMPLED = (
    "aniso_1x1x5", "ct_data_without_flag", "ct_mode", "four_d_one_channel", "four_d_three_channels",
    "large_fov_subsampled", "mgz_lia", "nan_voxels_resampled", "oblique_pir_int16", "thin_first_axis", "tiny_fov",
    "tol_1p06",
)  # fmt: skip


@lru_cache(maxsize=1)
def _index(goldens: Path) -> dict:
    return json.loads((goldens / "preprocess" / "index.json").read_text())


@lru_cache(maxsize=1)
def _conformed(goldens: Path, name: str) -> tuple[Scan, Conformed]:
    case = _index(goldens)[name]
    crop = case["crop"] and tuple(case["crop"] * 3 if len(case["crop"]) == 1 else case["crop"])
    scan = read_scan(goldens / case["input"], quirks=REFERENCE)
    return scan, conform(scan, ConformConfig(ct=case["ct"], crop=crop, quirks=REFERENCE))


def _stored(goldens: Path, name: str) -> dict[str, np.ndarray]:
    with np.load(goldens / "preprocess" / f"{name}.npz") as archive:
        return dict(archive)


def test_every_stored_case_is_tested(goldens):
    index = _index(goldens)
    assert {name for name, case in index.items() if case["outcome"] == "ok"} == set(PROCESSED)
    assert {name for name, case in index.items() if case["outcome"] == "error"} == set(REFUSED)
    assert {name for name, case in index.items() if case.get("resampled")} == set(RESAMPLED)


@pytest.mark.parametrize("name", PROCESSED)
def test_network_input(goldens, name):
    _, result = _conformed(goldens, name)
    stored = _stored(goldens, name)
    core = result.record.unpad(result.image)
    strided = core[(slice(None, None, int(stored["core_stride"])),) * 3]
    assert result.image.shape == tuple(stored["padded_shape"])
    np.testing.assert_allclose(strided, stored["core"], rtol=0, atol=1e-5, equal_nan=True)
    outside = result.image.copy()
    result.record.unpad(outside)[...] = 0
    assert not outside.any()


@pytest.mark.parametrize("name", PROCESSED)
def test_record(goldens, name):
    _, result = _conformed(goldens, name)
    record, stored = result.record, _stored(goldens, name)
    assert [*record.pad[0], *record.pad[1]] == stored["pad_idx"].tolist()
    np.testing.assert_array_equal(record.grid_affine, stored["affine"])
    np.testing.assert_array_equal(record.grid_voxel_size, stored["im_res"])
    assert record.grid_shape == tuple(stored["shape_before_crop"])
    assert record.resampled == _index(goldens)[name]["resampled"]
    if "crop_idx" in stored:
        assert record.crop is not None
        assert [*record.crop[0], *record.crop[1]] == stored["crop_idx"].tolist()


@pytest.mark.parametrize("name", RESAMPLED)
def test_resampled_scan(goldens, name):
    _, result = _conformed(goldens, name)
    stored, facts = _stored(goldens, name), _index(goldens)[name]["resampled_stats"]
    assert result.resampled is not None
    np.testing.assert_array_equal(result.resampled.affine, stored["resampled_affine"])
    values = result.resampled.data[np.isfinite(result.resampled.data)]
    found = {"mean": values.mean(), "std": values.std(), "min": values.min(), "max": values.max()}
    np.testing.assert_allclose([found[key] for key in facts], list(facts.values()), rtol=1e-9)
    if "resampled" in stored:
        np.testing.assert_allclose(result.resampled.data, stored["resampled"], rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("name", RESAMPLED)
def test_resampled_file(goldens, name, tmp_path):
    scan, result = _conformed(goldens, name)
    facts = _index(goldens)[name]["resampled_file"]
    assert result.resampled is not None
    write_volume(tmp_path / "resampled.nii.gz", result.resampled, like=scan, quirks=REFERENCE)
    image = nib.load(tmp_path / "resampled.nii.gz")
    header = image.header
    assert list(image.shape) == facts["shape"]
    assert header.get_data_dtype() == facts["dtype"]
    assert (int(header["sform_code"]), int(header["qform_code"])) == (facts["sform_code"], facts["qform_code"])
    assert (image.dataobj.slope, image.dataobj.inter) == pytest.approx((facts["slope"], facts["inter"]), rel=1e-6)


def test_scan_that_is_not_resampled_has_no_resampled_volume(goldens):
    assert _conformed(goldens, "tol_1p04")[1].resampled is None


@pytest.mark.parametrize(("name", "message"), REFUSED.items())
def test_limits_of_the_reference(goldens, name, message):
    path = goldens / _index(goldens)[name]["input"]
    if message is None:
        assert conform(read_scan(path, quirks=REFERENCE), ConformConfig(quirks=REFERENCE)).image.max() == 1
        return
    with pytest.raises(InputError, match=message) as caught:
        read_scan(path, quirks=REFERENCE)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["thin_8_slices", "thin_3_slices", "thin_after_reorientation_1mm", "time_series_12"])
def test_what_the_reference_refuses_works_natively(goldens, name):
    scan = read_scan(goldens / _index(goldens)[name]["input"], quirks=NATIVE)
    image = conform(scan, ConformConfig()).image
    assert scan.warnings
    assert (image.min(), image.max()) == (0, 1)


def test_nan_voxels_are_replaced_natively(goldens):
    scan = read_scan(goldens / _index(goldens)["nan_voxels"]["input"])
    assert np.isfinite(conform(scan, ConformConfig()).image).all()
