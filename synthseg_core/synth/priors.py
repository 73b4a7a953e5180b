"""Intensity priors as a table: hyper-parameters of the mean and standard deviation of each Gaussian class."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthseg_core.errors import InputError, UsageError
from synthseg_core.resources import resource
from synthseg_core.system.settings import build_fields, update
from synthseg_core.system.tables import read_tsv

DISTRIBUTIONS = ("uniform", "normal")
COLUMNS = ("class", "mean_of_mean", "std_of_mean", "mean_of_std", "std_of_std")
Pair = tuple[float, float]
Pairs = tuple[Pair, ...]


@dataclass(frozen=True)
class IntensityPriors:
    """Hyper-parameters per block (modality) and class.

    Parameters
    ----------
    means, stds
        Per block and class a pair: (mean, standard deviation) if ``normal``, (lowest, highest) if ``uniform``.
    distribution
        ``normal`` or ``uniform``.
    block_per_channel
        Block c belongs to channel c; otherwise every channel draws its block.
    """

    means: tuple[Pairs, ...]
    stds: tuple[Pairs, ...]
    distribution: str = "normal"
    block_per_channel: bool = False

    def __post_init__(self) -> None:
        shapes = {len(block) for block in (*self.means, *self.stds)}
        pairs = [pair for block in (*self.means, *self.stds) for pair in block]
        if self.distribution not in DISTRIBUTIONS or len(self.means) != len(self.stds) or len(shapes) != 1:
            raise InputError(
                "intensity priors",
                found=f"{self.distribution}, {len(self.means)} and {len(self.stds)} blocks of {sorted(shapes)} classes",
                expected=f"{' or '.join(DISTRIBUTIONS)}, and as many means as stds",
                remedy="correct the table",
            )
        valid = _valid_normal if self.distribution == "normal" else _valid_uniform
        if wrong := [pair for pair in pairs if not (all(map(math.isfinite, pair)) and valid(*pair))]:
            raise InputError(
                "intensity priors",
                found=f"the pair {wrong[0]}",
                expected="a mean and a deviation of 0 or more" if self.distribution == "normal" else "low, then high",
                remedy="correct the table",
            )

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.means[0])

    @classmethod
    def from_content(cls, content: Any, subject: str) -> IntensityPriors:
        """Read what a recipe says: a table (file, or name of one of the package's), or numbers.

        A mapping may add ``distribution`` and ``block_per_channel`` to ``table``, or to ``means`` and ``stds``, which
        are numbers as in the fields of this class or ``.npy`` files as SynthSeg has them.
        """
        entries = {"table": content} if isinstance(content, str) else content
        if not isinstance(entries, Mapping) or ("table" in entries and {"means", "stds"} & set(entries)):
            raise UsageError(
                subject, found=f"{content!r}", expected="a table, or means and stds", remedy="correct the entry"
            )
        if "table" not in entries:
            arrays = {k: _array(Path(v), subject) for k, v in entries.items() if k in ("means", "stds") and _is_text(v)}
            return build_fields(cls, {**entries, **arrays}, subject)
        name = str(entries["table"])
        if not Path(name).suffix and not _own_table(name).is_file():
            raise UsageError(
                subject, found=f"{name!r}", expected="t1_priors, or a file that ends in .tsv", remedy="correct it"
            )
        table = cls.read(Path(name)) if Path(name).suffix else cls.builtin(name)
        return update(table, {k: v for k, v in entries.items() if k != "table"}, subject)

    @classmethod
    def read(cls, path: Path, distribution: str = "normal", block_per_channel: bool = False) -> IntensityPriors:
        """Read a table with the columns of ``COLUMNS`` and optionally ``block``, rows of a block in class order."""
        rows = read_tsv(path, required=COLUMNS)
        blocks: dict[str, list[dict[str, str]]] = {}
        for row in rows:
            blocks.setdefault(row.get("block", "0"), []).append(row)
        for block in blocks.values():
            if [row["class"] for row in block] != [str(k) for k in range(len(block))]:
                raise InputError(
                    path,
                    found="classes out of order",
                    expected="0, 1, 2, ... in each block",
                    remedy="correct the table",
                )
        means = tuple(_pairs(path, block, "mean_of_mean", "std_of_mean") for block in blocks.values())
        stds = tuple(_pairs(path, block, "mean_of_std", "std_of_std") for block in blocks.values())
        return cls(means, stds, distribution, block_per_channel)

    @classmethod
    def builtin(cls, name: str = "t1_priors") -> IntensityPriors:
        """Return one of the package's own tables."""
        return cls.read(_own_table(name))


def _own_table(name: str) -> Path:
    return resource("synth", f"{name}.tsv")


def _valid_normal(_mean: float, std: float) -> bool:
    return std >= 0


def _valid_uniform(low: float, high: float) -> bool:
    return low <= high


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _array(path: Path, subject: str) -> list[Any]:
    """Read an array of the reference, (2 M, K): for each of M blocks a row of first and one of second parameters."""
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(path, found=str(error), expected="a .npy file of numbers", remedy="check the path") from error
    if array.ndim != 2 or len(array) % 2 or array.dtype.kind not in "iuf":
        raise InputError(
            path,
            found=f"an array of shape {array.shape}",
            expected="(2 x blocks, classes)",
            remedy=f"give arrays as SynthSeg uses them, or a table, to {subject}",
        )
    return np.asarray(array, np.float64).reshape(-1, 2, array.shape[1]).swapaxes(1, 2).tolist()


def _pairs(path: Path, rows: list[dict[str, str]], first: str, second: str) -> Pairs:
    try:
        return tuple((float(row[first]), float(row[second])) for row in rows)
    except ValueError as error:
        raise InputError(path, found=str(error), expected="numbers", remedy="correct the table") from error
