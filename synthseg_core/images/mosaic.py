"""Mosaics: rows of slices of a scan in three planes, with what lies over it as pictures of the same size.

Slices are those of the scan's own voxels, in true proportion whatever their edges, in radiological convention (see
:mod:`synthseg_core.images.planes`). Pictures are put together from arrays; Pillow enlarges, letters and writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np

from synthseg_core.images.affines import Size3, closest_ras, unit_columns, voxel_size
from synthseg_core.images.planes import PLANES, Plane
from synthseg_core.images.volume import Volume

MARGIN_MM = 8.0
"""Around the box that is shown."""
_GAP = 4
_LETTER_PIXELS = 15
_MOST_PIXELS_PER_MM = 2.0
# Of the extent, so much at both ends of the box holds no slice.
_RIM = 0.06
# Sagittal slices that are closer to the middle of the box belong to no half.
_MIDDLE_MM = 2.5


@dataclass(frozen=True)
class RasVolume:
    """A volume turned to RAS+ by exact permutations and flips.

    Parameters
    ----------
    data
        (I, J, K), first axis to the right, second to the front, third up.
    affine
        Of the turned array, (4, 4).
    """

    data: np.ndarray
    affine: np.ndarray

    @classmethod
    def of(cls, volume: Volume) -> RasVolume:
        """Turn a volume."""
        turn = closest_ras(unit_columns(volume.affine))
        return cls(turn.to_ras(volume.data), turn.affine_to_ras(volume.affine, volume.shape))

    @property
    def voxel_size(self) -> Size3:
        """Edge lengths, mm."""
        return voxel_size(self.affine)

    def position_mm(self, index: int, axis: int) -> float:
        """Return the world coordinate, along an axis, of the middle of a slice."""
        middle = (np.array(self.data.shape) - 1) / 2
        middle[axis] = index
        return float((self.affine[:3, :3] @ middle + self.affine[:3, 3])[axis])


@dataclass(frozen=True)
class Tile:
    """One slice and its place in the mosaic.

    Parameters
    ----------
    plane, index
        Which slice of the array that is turned to RAS+.
    left, top, width, height
        Place in the mosaic, pixels.
    """

    plane: Plane
    index: int
    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class Mosaic:
    """The places of slices in a picture.

    Parameters
    ----------
    box : (3, 2)
        First voxel that is shown and the first that is not, along each axis of the array in RAS+.
    tiles
        All slices.
    width, height
        Of the picture, pixels.
    """

    box: np.ndarray
    tiles: tuple[Tile, ...]
    width: int
    height: int

    def grey(self, scan: np.ndarray, window: tuple[float, float]) -> np.ndarray:
        """Return slices of grey values, (height, width) uint8; those of ``window`` become black and white."""
        low, high = window
        share = 255 / (high - low) if high > low else 0.0

        def shown(pixels: np.ndarray) -> np.ndarray:
            return np.clip((pixels - low) * share, 0, 255).astype(np.uint8)

        return self._assembled(lambda tile: _enlarged(shown(self._cut(scan, tile)), tile, smooth=True))

    def classes(self, labels: np.ndarray) -> np.ndarray:
        """Return slices of classes, uint8 as ``labels``; nothing between voxels is made up."""
        return self._assembled(lambda tile: _enlarged(self._cut(labels, tile), tile, smooth=False))

    def contours(self, classes: np.ndarray) -> np.ndarray:
        """Return what :meth:`classes` gave without the inside of each class: its outermost pixels stay."""
        drawn = np.zeros_like(classes)
        for tile in self.tiles:
            place = slice(tile.top, tile.top + tile.height), slice(tile.left, tile.left + tile.width)
            drawn[place] = _rim(classes[place])
        return drawn

    def _cut(self, volume: np.ndarray, tile: Tile) -> np.ndarray:
        """Return the pixels of a slice as they are seen, rows from the top."""
        place: list[Any] = [slice(*bounds) for bounds in self.box]
        place[tile.plane.axis] = tile.index  # np.take would copy a volume that is turned
        return np.ascontiguousarray(volume[tuple(place)].T[::-1, ::-1])

    def _assembled(self, drawn: Callable[[Tile], np.ndarray]) -> np.ndarray:
        picture = np.zeros((self.height, self.width), np.uint8)
        for tile in self.tiles:
            picture[tile.top : tile.top + tile.height, tile.left : tile.left + tile.width] = drawn(tile)
        return picture


def plan_mosaic(volume: RasVolume, box: np.ndarray, rows: Sequence[Mapping[str, int]], width: int) -> Mosaic:
    """Choose slices, evenly over a box, and find their places.

    Parameters
    ----------
    volume
        Gives shape and size of the voxels.
    box : (3, 2)
        What is to be seen, voxels of the array in RAS+; see :func:`box_around`.
    rows
        For each row the names of its planes with the number of their slices.
    width
        Of the picture at most, pixels.
    """
    extent_mm = np.ptp(box, axis=1) * np.array(volume.voxel_size)
    planes = [[plane for plane in PLANES for _ in range(row.get(plane.name, 0))] for row in rows]
    fits = [(width - _GAP * (len(row) - 1)) / sum(extent_mm[plane.across] for plane in row) for row in planes]
    sizes = np.maximum(1, np.rint(extent_mm * min(_MOST_PIXELS_PER_MM, *fits))).astype(int)
    widths = [sum(int(sizes[plane.across]) + _GAP for plane in row) - _GAP for row in planes]
    tiles: list[Tile] = []
    top = 0
    for row, number, whole in zip(planes, rows, widths, strict=True):
        left = (max(widths) - whole) // 2
        indices = {plane.name: iter(_indices(box[plane.axis], number[plane.name])) for plane in row}
        for plane in row:
            across, up = int(sizes[plane.across]), int(sizes[plane.up])
            tiles.append(Tile(plane, next(indices[plane.name]), left, top, across, up))
            left += across + _GAP
        top += max(int(sizes[plane.up]) for plane in row) + _GAP
    return Mosaic(box, tuple(tiles), max(widths), top - _GAP)


def box_around(mask: np.ndarray, edges_mm: Size3, margin_mm: float = MARGIN_MM) -> np.ndarray:
    """Return the box around a mask with a margin, (3, 2): first voxel inside, first outside; all where it is empty."""
    bounds: list[tuple[int, int]] = []
    for axis, (size, edge) in enumerate(zip(mask.shape, edges_mm, strict=True)):
        others = tuple(other for other in range(3) if other != axis)
        filled = np.flatnonzero(mask.any(axis=others))
        extra = round(margin_mm / edge)
        low, high = (filled[0] - extra, filled[-1] + 1 + extra) if filled.size else (0, size)
        bounds.append((max(0, int(low)), min(size, int(high))))
    return np.array(bounds)


def lettered(picture: np.ndarray, mosaic: Mosaic, volume: RasVolume, *, positions: bool = True) -> np.ndarray:
    """Write the letters of the sides, and where each slice lies, into a grey picture.

    Parameters
    ----------
    picture
        From :meth:`Mosaic.grey`.
    mosaic, volume
        That it was made with.
    positions
        Whether world coordinates, mm, stand in the corners; of sagittal slices the half of the box as well.
    """
    from PIL import Image, ImageDraw, ImageFont

    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    size = max(10, min(_LETTER_PIXELS, min(tile.width for tile in mosaic.tiles) // 9))
    font = ImageFont.load_default(size)
    style: dict[str, Any] = {"font": font, "fill": 255, "stroke_width": 2, "stroke_fill": 0}
    for tile in mosaic.tiles:
        left, right = tile.plane.letters[:2]
        middle = tile.top + tile.height // 2
        draw.text((tile.left + 4, middle), left, anchor="lm", **style)
        draw.text((tile.left + tile.width - 4, middle), right, anchor="rm", **style)
        if positions:
            draw.text((tile.left + 4, tile.top + 3), _position(tile, mosaic, volume), anchor="la", **style)
    return np.asarray(image)


def jpeg(picture: np.ndarray, quality: int = 88) -> bytes:
    """Return a picture, grey (rows, columns) or coloured (rows, columns, 3), as a JPEG file."""
    return _file(picture, "JPEG", quality=quality, optimize=True)


def indexed_png(classes: np.ndarray, colours: Mapping[int, tuple[float, float, float]]) -> bytes:
    """Return classes as a PNG file with a colour for each; class 0, and those without a colour, are transparent.

    Parameters
    ----------
    classes
        (rows, columns), uint8.
    colours
        Class -> red, green and blue, 0 to 1.
    """
    from PIL import Image

    image = Image.fromarray(classes)
    image.putpalette(bytes(round(255 * share) for one in range(256) for share in colours.get(one, (0, 0, 0))))
    opacity = bytes(255 if one and one in colours else 0 for one in range(256))
    buffer = BytesIO()
    image.save(buffer, "PNG", transparency=opacity, optimize=True)
    return buffer.getvalue()


def blended(
    grey: np.ndarray, classes: np.ndarray, colours: Mapping[int, tuple[float, float, float]], opacity: float
) -> np.ndarray:
    """Return a grey picture with the colours of classes over it, (rows, columns, 3) uint8."""
    table = np.array([colours.get(one, (0.0, 0.0, 0.0)) for one in range(256)]) * 255
    share = np.array([opacity if one and one in colours else 0.0 for one in range(256)])[classes][..., None]
    return np.rint(grey[..., None] * (1 - share) + table[classes] * share).astype(np.uint8)


def _file(picture: np.ndarray, kind: str, **options: Any) -> bytes:
    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, kind, **options)
    return buffer.getvalue()


def _indices(bounds: np.ndarray, number: int) -> list[int]:
    low, high = float(bounds[0]), float(bounds[1])
    rim = (high - low) * _RIM
    step = (high - low - 2 * rim) / number
    return [min(int(high) - 1, int(low + rim + step * (place + 0.5))) for place in range(number)]


def _enlarged(pixels: np.ndarray, tile: Tile, *, smooth: bool) -> np.ndarray:
    from PIL import Image

    how = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(pixels).resize((tile.width, tile.height), how))


def _rim(classes: np.ndarray) -> np.ndarray:
    """Return the pixels of each class that touch another one, above, below, left or right."""
    padded = np.pad(classes, 1, mode="edge")
    inner = padded[1:-1, 1:-1]
    neighbours = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    edge = np.logical_or.reduce([inner != other for other in neighbours])
    return np.where(edge, classes, 0).astype(np.uint8)


def _position(tile: Tile, mosaic: Mosaic, volume: RasVolume) -> str:
    axis = tile.plane.axis
    text = f"{'xyz'[axis]} {volume.position_mm(tile.index, axis):.0f}"
    if axis:
        return text
    beside_mm = (tile.index + 0.5 - float(mosaic.box[0].mean())) * volume.voxel_size[0]
    return f"{text} {'middle' if abs(beside_mm) < _MIDDLE_MM else 'left' if beside_mm < 0 else 'right'}"
