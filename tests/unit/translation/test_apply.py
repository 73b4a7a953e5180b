"""Scans translated: grid, type and sidecar; what is refused; the same bytes for the same seed."""

from __future__ import annotations

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from torch import nn

from synthseg_core.errors import GeometryError, InputError, ModelError
from synthseg_core.images.reading import read_scan
from synthseg_core.segmentation.sidecars import Origin
from synthseg_core.translation import stacks
from synthseg_core.translation.apply import slicing_for, stored_type, translate_scan, translated_sidecar
from synthseg_core.translation.contrast import Window
from synthseg_core.translation.dataset import PICTURE
from synthseg_core.translation.stacks import ApplyOptions, StackTranslator
from synthseg_core.translation.translator import ImageTranslator
from tests.phantoms.scans import phantom, reoriented, write_nifti
from tests.phantoms.translation import NEEDS_EINOPS, cycle_card, matching_card, write_toy_translator


def _scan(tmp_path, volume, dtype=np.int16, name="scan.nii.gz"):
    path = tmp_path / name
    return read_scan(write_nifti(path, volume, dtype))


def _translator(card, to="bright"):
    return StackTranslator(card, *card.direction(None, to), "cpu")


ODD = reoriented(phantom((1.1, 2.3, 0.9), shape=(31, 19, 37)), (2, 0, 1), (True, False, True))


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.uint8])
def test_shape_affine_and_type_survive_oblique_anisotropic_scans(tmp_path, plane, dtype):
    scan = _scan(tmp_path, ODD, dtype)
    card = replace(write_toy_translator(tmp_path / "toy"), plane=plane)
    result = translate_scan(scan, _translator(card), ApplyOptions())
    assert result.image.shape == scan.volume.shape
    assert np.array_equal(result.image.affine, scan.volume.affine)
    assert result.image.data.dtype == dtype
    assert result.target_window == Window(50, 250)
    assert 50 - 1e-3 <= result.image.data.min() < result.image.data.max() <= 250 + 1e-3


@pytest.mark.parametrize("plane", ["axial", "sagittal"])
def test_networks_that_change_nothing_give_the_scan_back(tmp_path, monkeypatch, plane):
    """Between the percentiles, on a scan whose pixels are those of the translator; oblique, any order of axes."""

    class Identity(nn.Module):
        def forward(self, images):
            return images

    volume = reoriented(phantom((2.0, 2.0, 2.0)), (1, 2, 0), (False, True, True))
    scan = _scan(tmp_path, volume, np.float32)
    card = replace(cycle_card(tmp_path, neighbours=1), plane=plane)
    card = replace(card, domains=(card.domains[0], replace(card.domains[1], low=None, high=None)))
    monkeypatch.setattr(stacks, "_loaded", lambda *_: ImageTranslator(card.networks, Identity()))
    result = translate_scan(scan, _translator(card), ApplyOptions(tile=8))
    window = result.source_window
    assert result.target_window == window
    wanted = np.clip(scan.volume.data, window.low, window.high)
    assert result.image.data == pytest.approx(wanted, abs=2e-4 * (window.high - window.low) / 100)


def test_planes_are_averaged_on_the_grid_of_the_scan(tmp_path):
    volume = reoriented(phantom((2.0,) * 3, shape=(31, 19, 37)), (2, 0, 1), (True, False, True))
    scan = _scan(tmp_path, volume, np.float32)
    translator = _translator(write_toy_translator(tmp_path / "toy"))
    planes = ("axial", "coronal", "sagittal")
    alone = [translate_scan(scan, translator, ApplyOptions(planes=(plane,))).image.data for plane in planes]
    found = translate_scan(scan, translator, ApplyOptions(planes=planes))
    assert found.planes == planes
    assert found.image.data == pytest.approx(np.mean(alone, axis=0), abs=1e-3)
    assert found.std is not None
    assert found.std.data == pytest.approx(np.std(alone, axis=0, ddof=1), abs=1e-2)
    plain = translate_scan(scan, translator, ApplyOptions())
    assert plain.planes == ("axial",)
    assert np.array_equal(plain.image.data, alone[0])


def test_a_plane_in_which_the_scan_is_too_coarse_is_refused(tmp_path):
    thick = _scan(tmp_path, phantom((1.0, 1.0, 9.0)))
    translator = _translator(matching_card(tmp_path))
    with pytest.raises(GeometryError, match="found voxels of 9 mm along coronal slices"):
        translate_scan(thick, translator, ApplyOptions(planes=("axial", "coronal")))


@NEEDS_EINOPS
def test_the_same_seed_gives_the_same_bytes_and_samples_a_spread(tmp_path):
    scan = _scan(tmp_path, phantom((2.0, 2.0, 2.0)))
    card = write_toy_translator(tmp_path / "toy", "diffusion", neighbours=1)
    found = [
        translate_scan(scan, _translator(card), ApplyOptions(seed=seed, samples=2, batch_size=size))
        for seed, size in ((3, 1), (3, 5), (4, 1))
    ]
    assert found[0].image.data.tobytes() == found[1].image.data.tobytes()
    assert found[0].image.data.tobytes() != found[2].image.data.tobytes()
    assert found[0].std is not None
    assert found[0].std.data.max() > 0
    assert found[0].std.shape == scan.volume.shape


def test_the_sidecar_says_synthetic_and_how(tmp_path):
    scan = _scan(tmp_path, phantom((2.0, 2.0, 2.0)))
    card = write_toy_translator(tmp_path / "toy")
    translator, options = _translator(card, "dark"), ApplyOptions(seed=5)
    result = translate_scan(scan, translator, options)
    content = translated_sidecar(scan, Origin("bids::sub-01/x.nii.gz", "abc"), translator, options, result)
    assert content["Description"] == "Synthetic image, not for reading: translated from bright to dark by toy"
    assert content["Synthetic"] is True
    assert content["SkullStripped"] is False  # BIDS wants it of every anatomical image among derivatives
    assert content["Sources"] == ["bids::sub-01/x.nii.gz"]
    how = content["Translation"]
    assert (how["From"], how["To"], how["Steps"], how["Samples"]) == ("bright", "dark", 1, 1)
    assert how["Seed"] is None  # nothing is drawn in one pass
    assert how["WeightsSHA256"] == card.weights.sha256
    assert how["TargetWindow"] == [0.0, 100.0]


@pytest.mark.parametrize(
    ("dtype", "window", "wanted"),
    [
        (np.int16, Window(0, 1500), np.int16),
        (np.uint8, Window(0, 1500), np.float32),
        (np.uint16, Window(-5, 900), np.float32),
        (np.int16, Window(0, 1), np.float32),
        (np.float64, Window(0, 1), np.float64),
        (">i2", Window(0, 1500), np.int16),
    ],
)
def test_a_type_that_cannot_hold_the_values_gives_way(tmp_path, dtype, window, wanted):
    path = tmp_path / "scan.nii"
    nib.save(
        nib.Nifti1Image(phantom().data.clip(0, 200).astype(np.dtype(dtype).newbyteorder("=")), phantom().affine), path
    )
    assert stored_type(read_scan(path), window) == wanted


def test_scans_that_a_translator_is_not_for(tmp_path):
    thick = _scan(tmp_path, phantom((1.0, 9.0, 1.0)))
    with pytest.raises(GeometryError, match=r"found voxels of 9 mm along axial slices; expected 5 mm or less"):
        slicing_for(thick, _translator(matching_card(tmp_path)))
    assert slicing_for(thick, _translator(matching_card(tmp_path, plane="coronal"))).plane.name == "coronal"
    with pytest.raises(ModelError, match="a translator for pictures"):
        slicing_for(thick, _translator(matching_card(tmp_path, plane=PICTURE, spacing_mm=None)))
    labels = _scan(tmp_path, replace(phantom((2.0,) * 3), data=phantom().data.clip(0, 200) // 60), name="seg.nii.gz")
    with pytest.raises(InputError, match="as in a label map"):
        slicing_for(labels, _translator(matching_card(tmp_path)))
