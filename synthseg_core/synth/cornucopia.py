"""Samples made by the cornucopia library with the parameters of SynthSeg's MONAI port; an alternative, off by default.

Its statistics are others than SynthSeg's, and on a CPU it is slow: two minutes for 160 x 160 x 160 voxels, where
:class:`synthseg_core.synth.generator.BrainGenerator` takes a second. Differences from the port, which are faults there:
mirrored heads exchange the labels of the two sides, and every label has the same code in all maps.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from synthseg_core.errors import UsageError
from synthseg_core.synth.intensities import normalise
from synthseg_core.synth.maps import LabelMaps
from synthseg_core.synth.randomness import chance, generator, spread, uniform

# Streams of a sample's seed: which map and whether it is mirrored; what cornucopia draws.
_OWN, _LIBRARY = range(2)


@dataclass(frozen=True)
class CornucopiaParameters:
    """Arguments of ``cornucopia.SynthFromLabelTransform``, with the values of the MONAI port's training.

    Parameters
    ----------
    patch
        Voxels per axis of a random patch; ``None``: whole maps.
    rotation, shears, zooms, translations
        Half-widths of uniform distributions: degrees, 1, 1, and share of the field of view.
    elastic, elastic_nodes, elastic_steps
        Largest displacement as a share of the field of view, most nodes, integration steps.
    order
        Of the splines; 1 is ten times faster than 3.
    gmm_fwhm
        Largest width of the smoothing within classes, voxels; ``False``: none, which saves most of the time.
    bias, gfactor
        Most nodes of the fields that scale intensities and noise.
    gamma, motion_fwhm, resolution, snr
        Spread of the logarithmic exponent, largest blur and voxel size, smallest ratio of signal to noise.
    bound
        What lies outside the map.
    """

    patch: tuple[int, int, int] | None = None
    rotation: float = 15
    shears: float = 0.012
    zooms: float = 0.15
    translations: float = 0.1
    elastic: float = 0.075
    elastic_nodes: int = 10
    elastic_steps: int = 8
    order: int = 3
    gmm_fwhm: float | bool = 10
    bias: int = 7
    gamma: float = 0.6
    motion_fwhm: float = 3
    resolution: float = 8
    snr: float = 10
    gfactor: int = 5
    bound: str = "zeros"


@dataclass(frozen=True)
class CornucopiaSample:
    """One synthetic scan.

    Parameters
    ----------
    image : (1, I, J, K) float32
        In 0..1, RAS+.
    index_map : (I, J, K)
        Position of each voxel's target value in ``target_values``.
    """

    image: Tensor
    index_map: Tensor
    target_values: tuple[int, ...]
    seed: int


class CornucopiaGenerator:
    """Makes samples from label maps: a source for trainings, as :class:`synthseg_core.synth.generator.BrainGenerator`.

    Parameters
    ----------
    maps
        Label maps of one shape and voxel size.
    parameters
        What samples look like.
    flip_probability
        How often heads are mirrored.

    Raises
    ------
    UsageError
        If cornucopia is not installed.
    """

    def __init__(
        self, maps: LabelMaps, parameters: CornucopiaParameters | None = None, flip_probability: float = 0.5
    ) -> None:
        self.maps = maps
        self.parameters = parameters or CornucopiaParameters()
        self.flip_probability = flip_probability
        self._library = _library()
        device, labels = maps.indices.device, maps.labels
        position = {value: index for index, value in enumerate(labels.target_values)}
        self._targets = torch.tensor([position[value] for value in labels.outputs], dtype=torch.uint8, device=device)
        self._swap = torch.tensor(labels.swap_index, device=device)

    def sample(self, seed: int) -> CornucopiaSample:
        """Make a sample; the same seed on the same device gives the same sample."""
        own = generator(spread(seed, _OWN))
        source = self.maps.indices[int(uniform(0, len(self.maps), own))]
        flip = chance(self.flip_probability, own)
        with torch.no_grad(), _seeded(spread(seed, _LIBRARY)):
            image, index_map = self._transform(source[None].long())
        index_map = index_map[0].long()
        if flip:
            image, index_map = image.flip(1), self._swap[index_map.flip(0)]
        return CornucopiaSample(
            normalise(image.float()), self._targets[index_map], self.maps.labels.target_values, seed
        )

    def batch(self, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return images (B, 1, I, J, K) and class indices (B, I, J, K) of several samples."""
        samples = [self.sample(seed) for seed in seeds]
        return torch.stack([s.image for s in samples]), torch.stack([s.index_map for s in samples])

    @cached_property
    def _transform(self) -> Any:
        """The library's transform, in which labels of one class share their intensity."""
        labels = self.maps.labels
        classes = [[i for i, k in enumerate(labels.classes) if k == wanted] for wanted in range(1, labels.n_classes)]
        settings = asdict(self.parameters)
        return self._library.SynthFromLabelTransform(synth_labels=classes, returns=["image", "label"], **settings)


def _library() -> Any:
    try:
        import cornucopia  # pyright: ignore[reportMissingImports]  (optional)
    except ImportError as error:
        raise UsageError(
            "generator cornucopia",
            found="no package cornucopia",
            expected="it installed",
            remedy="run: pip install 'synthseg-bids[cornucopia]'",
        ) from error
    return cornucopia


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the two global sources that the library draws from, and leave both as they were."""
    state = random.getstate()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    with torch.random.fork_rng(devices):
        random.seed(seed)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(state)
