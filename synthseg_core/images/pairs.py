"""Match scans with their label maps: folders are paired in sorted order, and names that disagree are refused."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synthseg_core.errors import GeometryError, InputError
from synthseg_core.images.affines import closest_ras, triple, unit_columns, voxel_size
from synthseg_core.images.label_maps import label_map_paths, ras_placement, source_text, stem
from synthseg_core.images.reading import Placement, read_scan
from synthseg_core.images.volume import Volume
from synthseg_core.system.tables import ABSENT, read_tsv
from synthseg_core.system.words import counted

PAIR_COLUMNS = ("image", "labels")
"""Of a table of scans with their label maps."""

_ENTITIES = re.compile(r"(?:^|_)((sub|ses)-[0-9A-Za-z]+)(?=_|\.|$)")


@dataclass(frozen=True)
class Case:
    """A label map and the scans on its grid.

    Parameters
    ----------
    label_map
        Its file.
    images
        Name of the modality and file, for each modality.
    """

    label_map: Path
    images: tuple[tuple[str, Path], ...]


def match(images: Sequence[Path], maps: Path) -> tuple[Case, ...]:
    """Pair the files of image folders with those of a folder of label maps, in sorted order.

    Parameters
    ----------
    images
        One folder per modality, or one file; its name is the name of the modality.
    maps
        Folder of label maps, or one file.

    Raises
    ------
    InputError
        If numbers of files differ, or a scan and its map name different BIDS subjects or sessions.
    """
    map_paths = label_map_paths(maps)
    names = [_name(folder) for folder in images]
    if len(set(names)) < len(names):
        raise InputError(
            images[-1], found="two modalities of one name", expected="folders of different names", remedy="rename one"
        )
    per_modality = [_modality(folder, map_paths, maps) for folder in images]
    return tuple(Case(path, tuple(row)) for path, *row in zip(map_paths, *per_modality, strict=True))


def paired(images: Sequence[Path], maps: Sequence[Path]) -> tuple[Case, ...]:
    """Pair scans with label maps in sorted order.

    Parameters
    ----------
    images, maps
        A folder, or files in the order that they belong together.

    Raises
    ------
    InputError
        As for :func:`match`.
    """
    map_paths = label_map_paths(maps[0] if len(maps) == 1 else maps)
    paths = label_map_paths(images[0] if len(images) == 1 else images)
    _check_equal_numbers(images[0], paths, map_paths, source_text(maps[0] if len(maps) == 1 else maps))
    return tuple(Case(label_map, ((stem(path), path),)) for path, label_map in zip(paths, map_paths, strict=True))


def listed_pairs(table: Path) -> tuple[list[Path], list[Path]]:
    """Return the scans of a table and their label maps, such as those of translated scans with copied labels.

    Parameters
    ----------
    table
        TSV with the columns of :data:`PAIR_COLUMNS`; paths are relative to its folder, or absolute.

    Raises
    ------
    InputError
        If it is no such table, has no rows, or a scan without a label map.
    """
    rows = read_tsv(table, PAIR_COLUMNS)
    bare = [row["image"] for row in rows if row["labels"] in ("", ABSENT)]
    if bare or not rows:
        raise InputError(
            table,
            found=f"no label map for {bare[0]}" if bare else "no rows",
            expected="a scan and its label map in each row",
            remedy="fill the column labels; for translated scans, translate them with their label maps",
        )
    images, labels = ([table.parent / row[column] for row in rows] for column in PAIR_COLUMNS)
    return images, labels


def listed(table: Path) -> tuple[Case, ...]:
    """Return the scans of a table with their label maps, each pair of one place.

    Parameters
    ----------
    table
        As for :func:`listed_pairs`.

    Raises
    ------
    InputError
        As for :func:`listed_pairs`, and if a file cannot be read; a :class:`GeometryError` if grids differ.
    """
    images, maps = listed_pairs(table)
    for image, label_map in zip(images, maps, strict=True):
        _require_one_place(image, ras_placement(image), label_map, ras_placement(label_map))
    return tuple(Case(label_map, ((stem(image), image),)) for image, label_map in zip(images, maps, strict=True))


def read_on_grid(path: Path, label_map: Volume, map_path: Path, channel: int = 0) -> np.ndarray:
    """Read one channel of a scan on the grid of a label map.

    Parameters
    ----------
    path
        The scan.
    label_map
        Labels in RAS+ order.
    map_path
        File of the label map, for messages.
    channel
        Which channel of a scan with several, counted from 0.

    Returns
    -------
    (I, J, K)
        Intensities in RAS+ order, float32.

    Raises
    ------
    InputError
        If the scan is unreadable; a :class:`GeometryError` if it lies on another grid.
    """
    image = read_scan(path, volume=channel).volume
    orientation = closest_ras(unit_columns(image.affine))
    data = orientation.to_ras(image.data)
    place = Placement(triple(data.shape), orientation.affine_to_ras(image.affine, image.shape))
    _require_one_place(path, place, map_path, Placement(label_map.shape, label_map.affine))
    return data.astype(np.float32)


def _require_one_place(path: Path, place: Placement, map_path: Path, map_place: Placement) -> None:
    """Refuse a scan whose voxels, in RAS order, are not those of its label map."""
    if place.shape != map_place.shape:
        found, expected = (" x ".join(map(str, one.shape)) + " voxels" for one in (place, map_place))
        raise _other_grid(path, f"{found} (RAS)", expected, map_path)
    offset_mm = _largest_offset_mm(place.affine, map_place)
    if offset_mm > min(voxel_size(map_place.affine)) / 2:
        raise _other_grid(path, f"voxels that lie up to {offset_mm:.1f} mm away", "the same place", map_path)


def _modality(folder: Path, map_paths: Sequence[Path], maps: Path) -> list[tuple[str, Path]]:
    paths = label_map_paths(folder)
    _check_equal_numbers(folder, paths, map_paths, source_text(maps))
    return [(_name(folder), path) for path in paths]


def _check_equal_numbers(images: Path, paths: Sequence[Path], map_paths: Sequence[Path], maps: str) -> None:
    if len(paths) != len(map_paths):
        raise InputError(
            images,
            found=f"{counted(len(paths), 'scan')} for {counted(len(map_paths), 'label map')} in {maps}",
            expected="one scan for each map, in the same sorted order",
            remedy="remove or add files",
        )
    for image, label_map in zip(paths, map_paths, strict=True):
        _check_subject(image, label_map)


def _name(folder: Path) -> str:
    return folder.resolve().name if folder.is_dir() else stem(folder)


def _check_subject(image: Path, label_map: Path) -> None:
    """Refuse a pair whose names state two subjects or sessions; names without them are paired by order alone."""
    ours, theirs = _entities(image), _entities(label_map)
    for key in ours.keys() & theirs.keys():
        if ours[key] != theirs[key]:
            raise InputError(
                image,
                found=f"{ours[key]}, paired by sorted order with {label_map.name}",
                expected=theirs[key],
                remedy="check that both folders hold the same subjects",
            )


def _entities(path: Path) -> dict[str, str]:
    return {key: text for text, key in _ENTITIES.findall(path.name)}


def _largest_offset_mm(affine: np.ndarray, label_map: Placement) -> float:
    """Return how far the corners of two grids of one shape are apart."""
    corners = np.array([[*corner, 1.0] for corner in itertools.product(*((0, n - 1) for n in label_map.shape))])
    return float(np.linalg.norm(corners @ (affine - label_map.affine).T, axis=1).max())


def _other_grid(path: Path, found: str, expected: str, map_path: Path) -> GeometryError:
    return GeometryError(
        path,
        found=found,
        expected=f"{expected}, as in {map_path.name}",
        remedy="resample the scan or the map, so that they share one grid",
    )
