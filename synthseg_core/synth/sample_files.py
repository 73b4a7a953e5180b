"""Samples as files: image, labels, and a record from which the same bits can be made again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthseg_core import __version__
from synthseg_core.errors import InputError, UsageError
from synthseg_core.images.volume import Volume
from synthseg_core.images.writing import write_volume
from synthseg_core.labels.lists import GenerationLabels
from synthseg_core.synth.cornucopia import CornucopiaDraw, Generator
from synthseg_core.synth.draw import Draw
from synthseg_core.synth.generator import SyntheticScan
from synthseg_core.synth.maps import LabelMaps
from synthseg_core.synth.recipe import Recipe
from synthseg_core.system.atomic import write_json
from synthseg_core.system.settings import build, read_mapping, to_content


@dataclass(frozen=True)
class SamplePaths:
    """The three files of a sample.

    Parameters
    ----------
    name
        Such as ``sample-0001``.
    """

    folder: Path
    name: str

    @classmethod
    def numbered(cls, folder: Path, number: int) -> SamplePaths:
        """Return the files of sample ``number``, counted from 1."""
        return cls(folder, f"sample-{number:04d}")

    @property
    def image(self) -> Path:
        """Intensities, several contrasts along a fourth axis."""
        return self.folder / f"{self.name}_image.nii.gz"

    @property
    def labels(self) -> Path:
        """Target labels."""
        return self.folder / f"{self.name}_labels.nii.gz"

    @property
    def record(self) -> Path:
        """What the sample was made of; written last, so that a sample with a record is complete."""
        return self.folder / f"{self.name}_draw.json"


@dataclass(frozen=True)
class SampleRecord:
    """What decides a sample.

    Parameters
    ----------
    version
        Of this program.
    map_name, map_sha256
        The label map, and its voxels as positions in the label list.
    labels, labels_sha256
        The label list, and what of it matters.
    draw
        Of the generator that made it; its entries tell which.
    brain_fraction
        Share of voxels with a target label; crops that are placed anywhere may hold little brain.
    """

    version: str
    map_name: str
    map_sha256: str
    labels: str
    labels_sha256: str
    recipe: Recipe
    draw: Draw | CornucopiaDraw
    brain_fraction: float | None = None

    @classmethod
    def read(cls, path: Path) -> SampleRecord:
        """Read a record; one clear line if the file is none."""
        content = read_mapping(path, "record of a sample", "check the path", is_json=True)
        return build(cls, content, str(path))

    def same(self, other: SampleRecord) -> bool:
        """Say whether both make the same sample, as far as is known before it is made."""
        return self._known() == other._known()

    def check(self, maps: LabelMaps) -> None:
        """Refuse label maps (a single one) and a label list other than those of the record."""
        found = (_map_digest(maps, 0), _labels_digest(maps.labels))
        if found != (self.map_sha256, self.labels_sha256):
            what = "label map" if found[1] == self.labels_sha256 else "label list"
            raise UsageError(
                f"replay of {self.map_name}",
                found=f"another {what} than when the sample was made",
                expected=f"{self.map_name} with the list {self.labels}",
                remedy="give the maps and the list of that time",
            )

    def _known(self) -> SampleRecord:
        draw = self.draw
        if isinstance(draw, Draw) and self.recipe.crop.centre == "brain":  # placed when the sample is made
            draw = replace(draw, corner=None)
        return replace(self, version="", brain_fraction=None, draw=draw)


class Recorder:
    """Makes the records of a generator's draws; voxels of a label map are looked at once."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._labels = generator.labels
        self._labels_digest = _labels_digest(self._labels)
        self._digests: dict[int, str] = {}

    def record(self, draw: Draw | CornucopiaDraw) -> SampleRecord:
        """Return the record of a draw, before its sample is made."""
        maps, number = self._generator.maps, draw.map_index
        if number not in self._digests:
            self._digests[number] = _map_digest(maps, number)
        listed = (Path(self._labels.source).name, self._labels_digest)
        return SampleRecord(
            __version__, maps.names[number], self._digests[number], *listed, self._generator.recipe, draw
        )


def write_sample(paths: SamplePaths, sample: SyntheticScan, record: SampleRecord) -> None:
    """Write the three files of a sample, the record last."""
    image = sample.image.cpu().numpy()
    paths.record.unlink(missing_ok=True)
    data = image[0] if len(image) == 1 else np.moveaxis(image, 0, -1)
    write_volume(paths.image, Volume(data, sample.affine))
    write_volume(paths.labels, Volume(_compact(sample.labels.cpu().numpy()), sample.affine))
    write_json(paths.record, to_content(record))


def is_kept(paths: SamplePaths, record: SampleRecord) -> bool:
    """Say whether the files are there and were made of the same."""
    if not all(path.is_file() for path in (paths.image, paths.labels, paths.record)):
        return False
    try:
        return record.same(SampleRecord.read(paths.record))
    except (InputError, UsageError):  # of another version, or damaged: made again
        return False


def _compact(labels: NDArray[np.int32]) -> NDArray[np.generic]:
    """Return labels in the smallest type that all programs read."""
    largest = int(labels.max())
    kinds = (kind for kind in (np.uint8, np.int16, np.int32) if largest <= np.iinfo(kind).max)
    return labels.astype(next(kinds))


def _map_digest(maps: LabelMaps, number: int) -> str:
    return _digest_of(maps.indices[number].cpu().numpy().tobytes())


def _labels_digest(labels: GenerationLabels) -> str:
    columns = (labels.values, labels.n_neutral, labels.classes, labels.outputs, labels.extracerebral)
    return _digest_of(json.dumps(columns).encode())


def _digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
