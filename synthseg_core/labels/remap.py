"""Labels of other programs in terms of ours: a table of value ranges, some of which are left out of comparisons."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from synthseg_core.errors import InputError
from synthseg_core.system.tables import read_tsv

IGNORE = "ignore"
_COLUMNS = ("from_min", "from_max", "to")


@dataclass(frozen=True)
class Remap:
    """Which label each value becomes.

    Parameters
    ----------
    rows
        First value, last value, label; ``None`` for values whose voxels are left out. Other values become background.
    """

    rows: tuple[tuple[int, int, int | None], ...]

    @classmethod
    def read(cls, path: Path) -> Remap:
        """Read a table with the columns from_min, from_max and to (a label, or ``ignore``).

        Raises
        ------
        InputError
            If a cell is no integer of 0 or above, a range is empty, or two ranges overlap.
        """
        rows = sorted(_row(cells, path) for cells in read_tsv(path, required=_COLUMNS))
        if not any(label > 0 for _, _, label in rows):
            raise _fault(path, "no range that becomes a label", "one at least")
        for (_, last, _), (first, _, _) in pairwise(rows):
            if first <= last:
                raise _fault(path, f"value {first} in two ranges", "each value once")
        return cls(tuple((first, last, None if label < 0 else label) for first, last, label in rows))

    @property
    def labels(self) -> tuple[int, ...]:
        """The labels that the table gives, ascending, without background."""
        return tuple(sorted({label for _, _, label in self.rows if label}))

    def apply(self, label_map: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Translate a label map.

        Parameters
        ----------
        label_map : (I, J, K)
            Integers of 0 and above.

        Returns
        -------
        labels, ignore : (I, J, K)
            int32, and bool: voxels to leave out.
        """
        table = np.zeros(max(int(label_map.max()), max(last for _, last, _ in self.rows)) + 1, dtype=np.int32)
        left_out = np.zeros(len(table), dtype=bool)
        for first, last, label in self.rows:
            table[first : last + 1] = label or 0
            left_out[first : last + 1] = label is None
        return table[label_map], left_out[label_map]


def _row(cells: dict[str, str], path: Path) -> tuple[int, int, int]:
    """Return first value, last value and label; -1 for ``ignore``, so that rows can be sorted."""
    try:
        first, last = int(cells["from_min"]), int(cells["from_max"])
        label = -1 if cells["to"] == IGNORE else int(cells["to"])
    except ValueError as error:
        raise _fault(path, str(error), f"integers, or {IGNORE}") from error
    if not 0 <= first <= last or label < -1:
        raise _fault(path, f"the range {first} to {last} for label {label}", "values of 0 and above, the first first")
    return first, last, label


def _fault(path: Path, found: str, expected: str) -> InputError:
    return InputError(path, found=found, expected=expected, remedy="correct the table")
