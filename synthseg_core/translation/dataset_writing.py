"""Write a translation dataset slice by slice; nothing has its final name before everything is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType

import h5py
import numpy as np

from synthseg_core.system.atomic import atomic_path, write_json, write_text
from synthseg_core.system.settings import to_content
from synthseg_core.system.tables import format_tsv
from synthseg_core.translation.dataset import COLUMNS, DESCRIPTION, MANIFEST, SPLITS, Description, Stack, normalised


class DatasetWriter:
    """Takes the images of one file after the other; used in a ``with`` statement, at whose end the dataset is there.

    Parameters
    ----------
    folder
        To write to; a dataset that is there is replaced.
    description
        Of all images.
    """

    def __init__(self, folder: Path, description: Description) -> None:
        self.folder = folder
        self.description = description
        self._stacks: list[Stack] = []
        self._counts: Counter[tuple[str, str]] = Counter()
        self._exits = ExitStack()
        self._files: dict[str, h5py.File] = {}

    def __enter__(self) -> DatasetWriter:
        with ExitStack() as exits:
            paths = [exits.enter_context(atomic_path(self.folder / f"dataset_{split}.hdf5")) for split in SPLITS]
            exits.push(self._retire)
            for split, path in zip(SPLITS, paths, strict=True):
                self._files[split] = exits.enter_context(h5py.File(path, "w"))
                for domain in self.description.domains:
                    self._files[split].create_group(domain)
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.__exit__(kind, error, trace)
        if kind is None:
            rows = (asdict(stack) for stack in self._stacks)
            write_text(self.folder / MANIFEST, format_tsv(rows, COLUMNS))
            write_json(self.folder / DESCRIPTION, to_content(self.description))

    def _retire(self, kind: type[BaseException] | None, *_: object) -> None:
        """Take the description of an earlier dataset away, just before its files are replaced."""
        if kind is None:
            (self.folder / DESCRIPTION).unlink(missing_ok=True)

    def add(self, stack: Stack, images: Sequence[np.ndarray]) -> Stack:
        """Add the images of a file, and return their row of the manifest, with the number of the first one.

        Parameters
        ----------
        stack
            Whose they are; ``first_image`` is filled in here.
        images
            As many as the stack has slices: (height, width) each, uint8 or float32.
        """
        assert len(images) == len(stack)
        key = (stack.domain, stack.split)
        placed = replace(stack, first_image=self._counts[key])
        group = self._files[stack.split][stack.domain]
        assert isinstance(group, h5py.Group)
        for number, image in enumerate(images, placed.first_image):
            normalised(image, stack.file)
            group.create_dataset(str(number), data=image, chunks=image.shape, compression="gzip", compression_opts=1)
        self._counts[key] += len(images)
        self._stacks.append(placed)
        return placed
