"""Make a translation dataset from pictures: check them all, bring them to pixels of one size, write 8-bit images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synthseg_core.system.processes import in_order
from synthseg_core.system.progress import OnProgress
from synthseg_core.translation.contrast import Window
from synthseg_core.translation.dataset import PICTURE, Description, Stack
from synthseg_core.translation.dataset_writing import DatasetWriter
from synthseg_core.translation.microscopy import Picture, Scaled
from synthseg_core.translation.pictures import grey8, read_picture, resized, rounded
from synthseg_core.translation.tiles import tile_starts

LARGEST_PIECE = 1024
"""Edge of the images of a dataset, pixels: a training reads whole images for windows of a few hundred."""


@dataclass(frozen=True)
class PicturePreparation:
    """What goes into a dataset of pictures.

    Parameters
    ----------
    pictures
        Of both domains.
    scaled
        Their factors, in the same order.
    split_of
        Split of each subject.
    description
        Goes into the dataset.
    """

    pictures: Sequence[Picture]
    scaled: Scaled
    split_of: Mapping[str, str]
    description: Description


def write_picture_dataset(
    folder: Path, preparation: PicturePreparation, *, jobs: int = 1, progress: OnProgress | None = None
) -> tuple[Stack, ...]:
    """Read all pictures and write the dataset; return the rows of its manifest.

    Parameters
    ----------
    folder
        To write to.
    preparation
        What goes in.
    jobs
        Pictures at once, each in a process of its own.
    progress
        Called with the number of files done and of all.
    """
    spacing_um = preparation.scaled.spacing_um
    pairs = list(zip(preparation.pictures, preparation.scaled.factors, strict=True))
    calls = [(picture.source.path, factors) for picture, factors in pairs]
    stacks: list[Stack] = []
    with DatasetWriter(folder, preparation.description) as writer:
        made = in_order(scaled_picture, calls, jobs=jobs, progress=progress)
        for (picture, _), (image, window) in zip(pairs, made, strict=True):
            source = picture.source
            for top, left in piece_corners(image.shape):
                stack = Stack(
                    domain=source.domain,
                    subject=source.subject,
                    session=source.session,
                    file=str(source.path),
                    split=preparation.split_of[source.subject],
                    plane=PICTURE,
                    first_slice=0,
                    last_slice=0,
                    first_image=0,
                    spacing_mm=None if spacing_um is None else spacing_um / 1000,
                    low=window.low,
                    high=window.high,
                    top=top,
                    left=left,
                )
                stacks.append(writer.add(stack, [image[top : top + LARGEST_PIECE, left : left + LARGEST_PIECE]]))
    return tuple(stacks)


def piece_corners(shape: Sequence[int]) -> list[tuple[int, int]]:
    """Return rows and columns where the pieces of a picture begin; a small picture is one piece.

    Parameters
    ----------
    shape
        Rows and columns of the picture.
    """
    rows, columns = (tile_starts(length, LARGEST_PIECE, 0) for length in shape)
    return [(row, column) for row in rows for column in columns]


def scaled_picture(path: Path, factors: tuple[float, float]) -> tuple[np.ndarray, Window]:
    """Read a picture and bring it to other numbers of pixels.

    Parameters
    ----------
    path
        PNG or TIFF.
    factors
        What the numbers of rows and columns are multiplied by.

    Returns
    -------
    tuple
        The picture, (height, width) uint8, and the values that became 0 and 255.
    """
    image, window = grey8(read_picture(path))
    return rounded(resized(image, scaled_shape(image.shape, factors))), window


def scaled_shape(shape: Sequence[int], factors: tuple[float, float]) -> tuple[int, int]:
    """Return the numbers of rows and columns of a picture after scaling, one at least."""
    rows, columns = (max(1, round(count * factor)) for count, factor in zip(shape, factors, strict=True))
    return rows, columns
