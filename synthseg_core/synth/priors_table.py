"""Intensity priors as a table: hyper-parameters of the mean and standard deviation of each Gaussian class."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from synthseg_core.errors import InputError
from synthseg_core.tables import read_tsv

DISTRIBUTIONS = ("uniform", "normal")
COLUMNS = ("class", "mean_of_mean", "std_of_mean", "mean_of_std", "std_of_std")
Pairs = tuple[tuple[float, float], ...]


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
        if self.distribution not in DISTRIBUTIONS or len(self.means) != len(self.stds) or len(shapes) != 1:
            raise InputError(
                "intensity priors",
                found=f"{self.distribution}, {len(self.means)} and {len(self.stds)} blocks of {sorted(shapes)} classes",
                expected=f"{' or '.join(DISTRIBUTIONS)}, and as many means as stds",
                remedy="correct the table",
            )

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.means[0])

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
        return cls.read(Path(str(files("synthseg_core") / "resources" / "synth" / f"{name}.tsv")))


def _pairs(path: Path, rows: list[dict[str, str]], first: str, second: str) -> Pairs:
    try:
        return tuple((float(row[first]), float(row[second])) for row in rows)
    except ValueError as error:
        raise InputError(path, found=str(error), expected="numbers", remedy="correct the table") from error
