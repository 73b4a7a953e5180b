"""Samples made by the cornucopia library with the parameters of SynthSeg's MONAI port; an alternative, off by default.

Its statistics are others than SynthSeg's, and on a CPU it is slow: minutes for 160 x 160 x 160 voxels, where
:class:`synthseg_core.synth.generator.BrainGenerator` takes a second. Differences from the port, which are faults there:
mirrored heads exchange the labels of the two sides, and every label has the same code in all maps.

Of a recipe it takes what ``TAKEN`` says.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib import metadata
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from synthseg_core.errors import UsageError
from synthseg_core.labels.lists import GenerationLabels
from synthseg_core.networks.devices import exact_float32
from synthseg_core.synth.draw import Draw, draw_map
from synthseg_core.synth.generator import BrainGenerator, SyntheticScan, check_setup, class_indices
from synthseg_core.synth.intensities import normalise
from synthseg_core.synth.maps import LabelMaps
from synthseg_core.synth.randomness import chance, generator, spread
from synthseg_core.synth.recipe import Recipe
from synthseg_core.synth.shapes import SampleShape, sample_shape

BACKENDS = ("synthseg", "cornucopia")
TAKEN = "the size of crops, mirroring, columns of the label list, step and weights of the maps; all else is its own"
# Streams of a sample's seed: which map and whether it is mirrored; what cornucopia draws.
_OWN, _LIBRARY = range(2)


@dataclass(frozen=True)
class CornucopiaParameters:
    """Arguments of ``cornucopia.SynthFromLabelTransform``, with the values of the MONAI port's training.

    Parameters
    ----------
    rotation, shears, zooms, translations
        Half-widths of uniform distributions: degrees, 1, 1, and share of the field of view.
    elastic, elastic_nodes, elastic_steps
        Largest displacement as a share of the field of view, most nodes, integration steps.
    order
        Of the splines; 1 is ten times faster than 3.
    gmm_fwhm
        Largest width of the smoothing within classes, voxels; 0: none, which saves most of the time.
    bias, gfactor
        Most nodes of the fields that scale intensities and noise.
    gamma, motion_fwhm, resolution, snr
        Spread of the logarithmic exponent, largest blur and voxel size, smallest ratio of signal to noise.
    bound
        What lies outside the map.
    """

    rotation: float = 15.0
    shears: float = 0.012
    zooms: float = 0.15
    translations: float = 0.1
    elastic: float = 0.075
    elastic_nodes: int = 10
    elastic_steps: int = 8
    order: int = 3
    gmm_fwhm: float = 10.0
    bias: int = 7
    gamma: float = 0.6
    motion_fwhm: float = 3.0
    resolution: float = 8.0
    snr: float = 10.0
    gfactor: int = 5
    bound: str = "zeros"


MONAI_VALIDATION = CornucopiaParameters(
    rotation=0,
    shears=0,
    zooms=0,
    translations=0,
    elastic=0,
    bias=2,
    gamma=0.1,
    motion_fwhm=1,
    resolution=1,
    snr=100,
    gfactor=2,
)
"""What the port validates with: heads as they are, in good scans."""


@dataclass(frozen=True)
class CornucopiaDraw:
    """What decides a sample: with the same library it is made again.

    Parameters
    ----------
    seed
        Of everything that the library draws.
    map_index
        Which label map.
    flip
        Mirrored left to right.
    library
        Name and version.
    parameters
        What the library was told.
    """

    seed: int
    map_index: int
    flip: bool
    library: str
    parameters: CornucopiaParameters

    def to_json(self) -> str:
        """Return the draw as JSON."""
        return json.dumps(asdict(self), indent=1)


@dataclass(frozen=True)
class CornucopiaSample(SyntheticScan):
    """A synthetic scan, and what made it.

    The library does not tell where a crop lies: its affine places it in the middle of the label map.
    """

    draw: CornucopiaDraw


class CornucopiaGenerator:
    """Makes samples from label maps: used as :class:`synthseg_core.synth.generator.BrainGenerator` is.

    Parameters
    ----------
    maps
        Label maps of one shape and voxel size.
    recipe
        See the module for what is taken from it.
    parameters
        What samples look like.

    Raises
    ------
    UsageError
        If cornucopia is not installed, or the recipe asks for what it does not make.
    """

    def __init__(
        self, maps: LabelMaps, recipe: Recipe | None = None, parameters: CornucopiaParameters | None = None
    ) -> None:
        self._library = require_cornucopia()
        self.library = f"cornucopia {metadata.version('cornucopia')}"
        self.maps = maps
        self.recipe = recipe or Recipe()
        self.parameters = parameters or CornucopiaParameters()
        crop, size = self.recipe.crop, self.recipe.target_voxel_size_mm
        self.shape: SampleShape = sample_shape(maps.shape, maps.voxel_size, crop.shape, crop.multiple, size)
        check_setup(self.recipe, self.labels, len(maps))
        _check_recipe(self.recipe, self.shape)
        device = maps.indices.device
        self._targets = class_indices(self.labels).to(device)
        self._swap = torch.tensor(self.labels.swap_index, device=device)

    @property
    def labels(self) -> GenerationLabels:
        """The label list of the maps."""
        return self.maps.labels

    def draw(self, seed: int) -> CornucopiaDraw:
        """Draw what is not left to the library."""
        own = generator(spread(seed, _OWN))
        number = draw_map(self.recipe, len(self.maps), own)
        return CornucopiaDraw(seed, number, chance(self.recipe.flip_probability, own), self.library, self.parameters)

    def sample(self, seed: int) -> CornucopiaSample:
        """Make a sample; the same seed on the same device gives the same sample."""
        return self.apply(self.draw(seed))

    def batch(self, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return images (B, 1, I, J, K) and class indices (B, I, J, K) of several samples."""
        samples = [self.sample(seed) for seed in seeds]
        return torch.stack([s.image for s in samples]), torch.stack([s.index_map for s in samples])

    def apply(self, draw: CornucopiaDraw) -> CornucopiaSample:
        """Make the sample of a draw.

        Raises
        ------
        UsageError
            If it was drawn for another version of the library or with other parameters.
        """
        if (draw.library, draw.parameters) != (self.library, self.parameters):
            raise UsageError(
                "draw",
                found=f"one for {draw.library}, or with other parameters",
                expected=f"{self.library} with the parameters of this generator",
                remedy="install the version that it was drawn with",
            )
        source = self.maps.indices[draw.map_index]
        plain = torch.autocast(source.device.type, enabled=False)
        with torch.no_grad(), exact_float32(), plain, _seeded(spread(draw.seed, _LIBRARY)):
            image, index_map = self._transform(source[None].long())
        index_map = index_map[0].long()
        if draw.flip:
            image, index_map = image.flip(1), self._swap[index_map.flip(0)]
        target = self._targets[index_map]
        return CornucopiaSample(
            normalise(image.float()), target, self.labels.target_values, self._affine(draw.map_index), draw
        )

    @cached_property
    def _transform(self) -> Any:
        """The library's transform, in which labels of one class share their intensity."""
        labels = self.labels
        classes = [[i for i, k in enumerate(labels.classes) if k == wanted] for wanted in range(1, labels.n_classes)]
        settings = asdict(self.parameters) | {"gmm_fwhm": self.parameters.gmm_fwhm or False}
        patch = None if self.shape.crop == self.shape.map else self.shape.crop
        returns = ["image", "label"]
        return self._library.SynthFromLabelTransform(patch=patch, synth_labels=classes, returns=returns, **settings)

    def _affine(self, number: int) -> np.ndarray:
        local = np.eye(4)
        local[:3, 3] = [(n - crop) // 2 for n, crop in zip(self.shape.map, self.shape.crop, strict=True)]
        return self.maps.affine[number] @ local


class Generator(Protocol):
    """What both generators offer; each applies its own draws."""

    maps: LabelMaps
    recipe: Recipe
    shape: SampleShape

    @property
    def labels(self) -> GenerationLabels:
        """The label list of the maps."""
        ...

    def draw(self, seed: int) -> Any:
        """Draw the numbers of a sample."""
        ...

    def apply(self, draw: Any) -> Any:
        """Make the sample of a draw."""
        ...

    def batch(self, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return images (B, C, I, J, K) and class indices (B, I, J, K) of several samples."""
        ...


def generator_of(
    backend: str, maps: LabelMaps, recipe: Recipe, parameters: CornucopiaParameters | None = None
) -> Generator:
    """Return what makes samples with a backend, one of ``BACKENDS``; the parameters are for cornucopia."""
    return CornucopiaGenerator(maps, recipe, parameters) if backend == "cornucopia" else BrainGenerator(maps, recipe)


def generator_like(draw: Draw | CornucopiaDraw, maps: LabelMaps, recipe: Recipe) -> Generator:
    """Return what makes the sample of a draw again."""
    if isinstance(draw, CornucopiaDraw):
        return CornucopiaGenerator(maps, recipe, draw.parameters)
    return BrainGenerator(maps, recipe)


def require_cornucopia() -> Any:
    """Return the library.

    Raises
    ------
    UsageError
        If it is not installed.
    """
    try:
        import cornucopia  # pyright: ignore[reportMissingImports]  (optional)
    except ImportError as error:
        raise UsageError(
            "backend cornucopia",
            found="no package cornucopia",
            expected="it installed",
            remedy="run: pip install 'synthseg-bids[cornucopia]'",
        ) from error
    return cornucopia


def _check_recipe(recipe: Recipe, shape: SampleShape) -> None:
    """Refuse what would give other channels, targets or voxels than the recipe promises."""
    asked = {
        "channels": recipe.channels > 1,
        "gradient": recipe.gradient,
        "sampling_map": recipe.sampling_map != "none",
        "target_voxel_size_mm": shape.output != shape.crop,
    }
    if wrong := [name for name, is_asked in asked.items() if is_asked]:
        raise UsageError(
            "backend cornucopia",
            found=f"a recipe with {', '.join(wrong)}",
            expected="one contrast on the grid of the label maps",
            remedy="leave them out, or use the backend synthseg",
        )


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
