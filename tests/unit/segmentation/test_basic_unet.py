"""The family of the MONAI port: its weights as published, and labels as its notebook finds them."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from synthseg_core.cli.main import main
from synthseg_core.errors import ModelError
from synthseg_core.images.reading import Scan, read_scan
from synthseg_core.images.volume import Volume
from synthseg_core.models.loading import load_models
from synthseg_core.models.registry import load_card
from synthseg_core.segmentation.basic_unet import BasicUNetSegmenter
from synthseg_core.segmentation.segment import segment_scan
from synthseg_core.segmentation.segmenter import SegmentOptions
from tests.phantoms.basic_unet import WINDOW, monai_net, random_net, write_port
from tests.phantoms.models import FLIPPED, STRUCTURE_LABELS
from tests.phantoms.scans import phantom, reoriented, write_nifti

SHAPE, MINIMUM = (41, 29, 37), 48


def _scan_file(folder: Path, axes=(1, 0, 2), flips=(True, False, True)) -> Path:
    """An oblique scan whose least intensity is 0, as that of the padding."""
    volume = phantom(shape=SHAPE)
    volume = reoriented(Volume(volume.data - volume.data.min(), volume.affine), axes, flips)
    return write_nifti(folder / "scan.nii.gz", volume)


def _as_the_notebook(path: Path, weights: Path) -> np.ndarray:
    """Return the label map on the file's own grid by MONAI alone."""
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        from monai.inferers.utils import sliding_window_inference
        from monai.transforms.compose import Compose
        from monai.transforms.croppad.array import ResizeWithPadOrCrop
        from monai.transforms.intensity.array import ScaleIntensity
        from monai.transforms.io.array import LoadImage
        from monai.transforms.spatial.array import Orientation

        steps = [LoadImage(ensure_channel_first=True), Orientation("RAS"), ResizeWithPadOrCrop((MINIMUM,) * 3)]
        steps.append(ScaleIntensity())
        prepare = Compose(steps)
        net = monai_net()
        state = torch.load(weights, weights_only=True)
        net.load_state_dict({name.removeprefix("module."): value for name, value in state.items()})
        image = prepare(str(path))
        logits = sliding_window_inference(image[None], (WINDOW,) * 3, 1, net, overlap=0.5)[0]
        logits.applied_operations = image.applied_operations
        back = prepare.inverse(logits)
        return np.asarray(STRUCTURE_LABELS)[back.softmax(0).argmax(0).numpy()]


@pytest.mark.parametrize(("axes", "flips"), [((0, 1, 2), (False,) * 3), ((1, 0, 2), (True, False, True))])
def test_labels_are_those_of_the_notebook(tmp_path, axes, flips):
    path = _scan_file(tmp_path, axes, flips)
    card = write_port(tmp_path / "model", random_net())
    assert main(["segment", str(path), "--model", str(card), "--dseg", str(tmp_path / "dseg.nii.gz")]) == 0
    found = np.asarray(nib.load(tmp_path / "dseg.nii.gz").dataobj)
    expected = _as_the_notebook(path, tmp_path / "model" / "model_best.pth")
    assert len(np.unique(expected)) == 4
    assert (found == expected).mean() > 0.9999


def _answer(card: Path, scan: Scan, **options):
    return segment_scan(scan, load_models(load_card(card)), SegmentOptions(**options))


def test_flip_averaging_commutes_with_the_mirror(tmp_path):
    inference = {"flip_average": True, "clean_up": "none", "window_voxels": [WINDOW] * 3}
    card = write_port(tmp_path, random_net(), inference=inference)
    volume = phantom(shape=SHAPE, degrees=0.0)
    mirrored = Volume(volume.data[::-1].copy(), volume.affine)
    scan = Scan(volume, volume.voxel_size, Path("a.nii.gz"))
    found = _answer(card, scan).label_map.data
    other = _answer(card, replace(scan, volume=mirrored)).label_map.data
    swapped = np.vectorize(FLIPPED.get)(found)[::-1]
    assert (swapped == other).mean() > 0.999
    once = _answer(card, scan, fast=True).label_map.data
    assert (once != found).any()


def test_a_card_without_windows_sees_the_whole_grid(tmp_path):
    inference = {"flip_average": False, "posterior_sigma_voxels": 0, "clean_up": "none"}
    card = write_port(tmp_path, random_net(), inference=inference)
    scan = read_scan(_scan_file(tmp_path))
    model = load_models(load_card(card)).segmentation
    segmenter = BasicUNetSegmenter(model)
    conformed = segmenter.conform(scan, SegmentOptions())
    image = torch.from_numpy(conformed.image).float()[None, None]
    with torch.inference_mode():
        expected = torch.softmax(random_net()(image), 1)[0].numpy()
    found = segmenter.answer(conformed, SegmentOptions(), ()).posteriors
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"inference": {"window_voxels": [32, 32, 40]}}, "windows of .32, 32, 40.; expected multiples of 16"),
        ({"grid": {"multiple_voxels": 8}}, "a grid of multiples of 8 voxels"),
        ({"family": "synthseg"}, "BasicUNetConfig"),
        ({"task": "parcellation"}, "for parcellation; expected one BasicUNet with one input channel"),
    ],
)
def test_cards_that_cannot_be(tmp_path, changes, said):
    with pytest.raises(ModelError, match=said):
        load_card(write_port(tmp_path, random_net(), **{"inference": {"clean_up": "none"}, **changes}))


def test_the_published_card(tmp_path):
    """Its weights under their own name, in a folder of the user's."""
    card = load_card("synthseg-monai")
    assert list(card.labels.labels[1:4]) == [2, 3, 4]
    assert len(card.labels) == 32
    torch.save(random_net(card.networks[0].config).state_dict(), tmp_path / "model_best.pth")
    models = load_models(card, weights=tmp_path)
    assert models.segmentation.runners[0].net.config == card.networks[0].config
    assert main(["models", "verify", "synthseg-monai", "--weights", str(tmp_path)]) == 0
