"""Fixed synthetic scans of held-out label maps, on which models are compared: the same for everyone and every time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from synthseg_core import synth
from synthseg_core.evaluation.labelled import LabelledScan
from synthseg_core.images.reading import Scan
from synthseg_core.images.volume import Volume
from synthseg_core.synth.draw import Draw
from synthseg_core.synth.generator import BrainGenerator
from synthseg_core.synth.maps import LabelMaps
from synthseg_core.synth.recipe import CropSpec, Recipe
from synthseg_core.system.atomic import atomic_path

FIRST_SEED = 1000
COUNT = 40


def centred_recipe(recipe: Recipe) -> Recipe:
    """Return a recipe with crops of the same size around the brain's centre, where others put them at random."""
    return replace(recipe, crop=CropSpec(recipe.crop.shape, recipe.crop.multiple, centre="brain"))


@dataclass(frozen=True)
class FixedDraws:
    """Draw ``i`` shows label map ``i`` modulo their number, with seed ``first_seed + i``, around the brain's centre.

    Parameters
    ----------
    maps
        Held-out label maps, in order.
    recipe
        What the scans look like.
    count, first_seed
        Number of draws, and seed of the first.
    cache
        Folder in which made draws are kept, so that the next model is spared the making; ``None``: nowhere. A draw is
        made again if its numbers, its label map or the generator's code changed.
    """

    maps: LabelMaps
    recipe: Recipe
    count: int = COUNT
    first_seed: int = FIRST_SEED
    cache: Path | None = None

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[LabelledScan]:
        return map(self.scan, range(self.count))

    def scan(self, number: int) -> LabelledScan:
        """Return one draw, made or taken from the cache."""
        draw = self._draw(number)
        path = None if self.cache is None else self.cache / f"draw_{number:02d}.npz"
        identity = self._identity(draw)
        made = None if path is None else _kept(path, identity)
        if made is None:
            made = self._made(draw)
            if path is not None:
                _keep(path, identity, made)
        image, truth, affine = made
        name, volume = f"draw_{number:02d}_{self.maps.names[draw.map_index]}", Volume(image, affine)
        return LabelledScan(name, Scan(volume, volume.voxel_size, Path(name)), truth)

    @property
    def labels(self) -> tuple[int, ...]:
        """The structures that draws can show, ascending."""
        return self.maps.labels.target_values[1:]

    @cached_property
    def _generator(self) -> BrainGenerator:
        return BrainGenerator(self.maps, centred_recipe(self.recipe))

    @cached_property
    def _digests(self) -> tuple[str, ...]:
        return tuple(hashlib.sha256(one.cpu().numpy().tobytes()).hexdigest() for one in self.maps.indices)

    def _draw(self, number: int) -> Draw:
        drawn = self._generator.draw(self.first_seed + number)
        return replace(drawn, map_index=number % len(self.maps))

    def _identity(self, draw: Draw) -> str:
        """Return what decides a draw's voxels as a digest."""
        labels = replace(self.maps.labels, source="")
        content = (_code_digest(), draw.to_json(), self._digests[draw.map_index], repr(labels), repr(self.recipe))
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def _made(self, draw: Draw) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        sample = self._generator.apply(draw)
        return sample.image[0].cpu().numpy(), sample.labels.cpu().numpy().astype(np.int32), sample.affine


@cache
def _code_digest() -> str:
    """Return a digest of the code that makes draws."""
    sources = sorted(Path(synth.__file__).parent.rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def _kept(path: Path, identity: str) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Return image, labels and affine of a kept draw; ``None`` if there is none, or it is another one."""
    if not path.is_file():
        return None
    with np.load(path) as content:
        if str(content["identity"]) != identity:
            return None
        return content["image"], content["truth"], content["affine"]


def _keep(path: Path, identity: str, made: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    image, truth, affine = made
    with atomic_path(path) as temporary:
        np.savez(temporary, image=image, truth=truth, affine=affine, identity=np.array(identity))
