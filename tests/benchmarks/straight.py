"""The straight port: the same answer with plain torch and nothing saved, as a yardstick for ``synthseg bench``.

Eager float32, both passes of flip averaging over the whole grid, posteriors of all classes at full size, blur as a
convolution, components class by class.

    python tests/benchmarks/straight.py SCAN OUT [--model NAME|CARD] [--weights DIR] [--threads N]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional

from synthseg_core.images.reading import read_scan
from synthseg_core.models.loading import load_models
from synthseg_core.models.registry import load_card
from synthseg_core.networks.unet_inference import UNetRunner
from synthseg_core.segmentation.conform import conform
from synthseg_core.segmentation.segmenter import SegmentOptions, conform_config


def gaussian(sigma: float) -> torch.Tensor:
    """Return the 3 x 3 x 3 kernel of the posteriors' blur."""
    axis = torch.exp(-0.5 * (torch.arange(-1.0, 2.0) / sigma) ** 2)
    cube = axis[:, None, None] * axis[:, None] * axis
    return cube / cube.sum()


def main() -> None:
    """Segment one scan."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scan", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="synthseg-2.0")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    card = load_card(args.model)
    model = load_models(card, weights=args.weights).segmentation
    (runner,) = model.runners
    assert isinstance(runner, UNetRunner)
    scan = read_scan(args.scan)
    conformed = conform(scan, conform_config(card, SegmentOptions()))
    x = torch.from_numpy(conformed.image.astype(np.float32))[None, None]
    with torch.inference_mode():
        posteriors = functional.softmax(runner.net(x), dim=1)
        mirrored = functional.softmax(runner.net(x.flip(2)), dim=1).flip(2)[:, list(card.labels.flip_channels)]
        posteriors = (posteriors + mirrored) / 2
        kernel = gaussian(card.inference.posterior_sigma_voxels).expand(len(card.labels), 1, 3, 3, 3)
        posteriors = functional.conv3d(posteriors, kernel, padding=1, groups=len(card.labels))[0].numpy()
    for value in range(1, max(card.labels.topology_classes) + 1):
        channels = [n for n, own in enumerate(card.labels.topology_classes) if own == value]
        components = np.empty(posteriors.shape[1:], np.int32)
        ndimage.label((posteriors[channels] > 0.25).any(axis=0), output=components)
        if components.max() > 1:
            posteriors[channels] *= components == np.argmax(np.bincount(components.ravel())[1:]) + 1
    labels = np.array(card.labels.labels, np.int32)[conformed.record.unpad(posteriors).argmax(axis=0)]
    grid = conformed.record.grid_affine
    nib.save(nib.Nifti1Image(conformed.record.to_source_order(labels), grid), args.out)


if __name__ == "__main__":
    main()
