"""Label lists of the generator: which values maps may hold, their Gaussian class, their target, their mirror image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from synthseg_core.errors import InputError
from synthseg_core.resources import resource
from synthseg_core.system.tables import read_tsv

GROUPS_COLUMN = "output_groups"
"""Column with the tissue group of each label."""
TABLE_COLUMNS = ("topology_class", "qc_group")
"""Columns that go into the label table of a network which is trained on the list: clean-up, quality scores."""
_COLUMNS = ("value", "name", "side", "counterpart")


@dataclass(frozen=True)
class GenerationLabels:
    """Labels of generation maps: unsided ones (background leading), one side, then the other side in the same order.

    Parameters
    ----------
    values
        Every value that a map may hold.
    n_neutral
        How many of the first entries have no counterpart.
    classes
        Index of the Gaussian of each label; 0..K-1 without a gap.
    outputs
        Value of each label in the target; 0: not in the target.
    names
        Names of the structures.
    extracerebral
        Values of tissue outside the brain, which skull stripping removes.
    source
        Where the list came from, for messages.
    groups
        Tissue group of each label, 0..G-1 without a gap, 0 the background; empty: the list has none.
    columns
        Names of the columns that ``classes`` and ``outputs`` were read from; ``None`` for a list made otherwise.
    topology_classes, qc_groups
        What the label table of a trained network shall say of each label, as in
        :class:`~synthseg_core.labels.table.LabelTable`; empty: nothing.

    Raises
    ------
    InputError
        If values repeat, classes have a gap, or the sides are not of equal length.
    """

    values: tuple[int, ...]
    n_neutral: int
    classes: tuple[int, ...]
    outputs: tuple[int, ...]
    names: tuple[str, ...] = ()
    extracerebral: tuple[int, ...] = ()
    source: str = "label list"
    columns: tuple[str, str] | None = None
    groups: tuple[int, ...] = ()
    topology_classes: tuple[int, ...] = ()
    qc_groups: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.values or self.values[0] != 0:
            raise self._fault("a first entry that is not 0", "background (0) first")
        if repeated := sorted({v for v in self.values if self.values.count(v) > 1}):
            raise self._fault(f"repeated values {repeated}", "each value once")
        if min(self.values) < 0 or min(self.outputs) < 0:
            raise self._fault("a negative value", "values of 0 and above")
        if sorted(set(self.classes)) != list(range(max(self.classes) + 1)):
            raise self._fault("classes with a gap", f"every class from 0 to {max(self.classes)}")
        if not len(self.values) == len(self.classes) == len(self.outputs):
            raise self._fault("columns of different length", "a class and an output for each value")
        if not 1 <= self.n_neutral <= len(self.values) or (len(self.values) - self.n_neutral) % 2:
            raise self._fault(
                f"{self.n_neutral} unsided of {len(self.values)} labels", "as many labels on the left as on the right"
            )
        self._check_groups()
        self._check_table_columns()

    def _check_groups(self) -> None:
        if self.groups and (len(self.groups) != len(self.values) or self.groups[0] != 0):
            raise self._fault("groups that do not begin with 0, or not one for each value", "a group for each value")
        if self.groups and sorted(set(self.groups)) != list(range(max(self.groups) + 1)):
            raise self._fault("groups with a gap", f"every group from 0 to {max(self.groups)}")

    def _check_table_columns(self) -> None:
        for name, own in zip(TABLE_COLUMNS, (self.topology_classes, self.qc_groups), strict=True):
            if own and (len(own) != len(self.values) or min(own) < 0 or own[0] != 0):
                raise self._fault(
                    f"a column {name} with negative numbers, not one for each value, or not 0 for the background",
                    "a number of 0 or above for each value, 0 for the background",
                )

    @classmethod
    def builtin(cls, name: str = "generation_54", classes: str = "class", outputs: str = "output") -> GenerationLabels:
        """Return one of the package's own lists."""
        return cls.read(resource("synth", f"{name}.tsv"), classes, outputs)

    @classmethod
    def read(cls, path: Path, classes: str = "class", outputs: str = "output") -> GenerationLabels:
        """Read a list with the columns value, name, side, counterpart.

        Optional columns are extracerebral, output_groups, topology_class and qc_group.

        Parameters
        ----------
        path
            TSV file.
        classes, outputs
            Columns that give the Gaussian class and the target value of each label.
        """
        rows = read_tsv(path, required=(*_COLUMNS, classes, outputs))
        optional = {GROUPS_COLUMN, *TABLE_COLUMNS} & set(rows[0] if rows else ())
        wanted = {"value", "counterpart", classes, outputs, *optional}
        try:
            numbers = {column: tuple(int(row[column]) for row in rows) for column in wanted}
        except ValueError as error:
            raise InputError(path, found=str(error), expected="whole numbers", remedy="correct the table") from error
        sides = [row["side"] for row in rows]
        n_neutral = sum(side == "neutral" for side in sides)
        found = cls(
            values=numbers["value"],
            n_neutral=n_neutral,
            classes=numbers[classes],
            outputs=numbers[outputs],
            names=tuple(row["name"] for row in rows),
            extracerebral=tuple(int(row["value"]) for row in rows if row.get("extracerebral") == "yes"),
            source=str(path),
            columns=(classes, outputs),
            groups=numbers.get(GROUPS_COLUMN, ()),
            topology_classes=numbers.get("topology_class", ()),
            qc_groups=numbers.get("qc_group", ()),
        )
        found._check_order(sides, numbers["counterpart"])
        return found

    def __len__(self) -> int:
        return len(self.values)

    @property
    def n_classes(self) -> int:
        """Number of Gaussians."""
        return max(self.classes) + 1

    @property
    def n_groups(self) -> int:
        """Number of tissue groups, background included; 0: the list has none."""
        return max(self.groups, default=-1) + 1

    @cached_property
    def swap_index(self) -> tuple[int, ...]:
        """Position that each entry takes when the brain is mirrored."""
        half = (len(self) - self.n_neutral) // 2
        neutral = tuple(range(self.n_neutral))
        left, right = (range(self.n_neutral + half * side, self.n_neutral + half * (side + 1)) for side in (0, 1))
        return (*neutral, *right, *left)

    @cached_property
    def target_values(self) -> tuple[int, ...]:
        """Distinct output values, ascending; their positions are the channels of a network trained on them."""
        return tuple(sorted(set(self.outputs) | {0}))

    def indices_of(self, values: tuple[int, ...]) -> tuple[int, ...]:
        """Return the positions of values; ``InputError`` if one is not in the list."""
        if unknown := sorted(set(values) - set(self.values)):
            raise self._fault(f"no values {unknown}", "values of the list")
        return tuple(self.values.index(value) for value in values)

    def _check_order(self, sides: list[str], counterparts: tuple[int, ...]) -> None:
        half = (len(self) - self.n_neutral) // 2
        if sides != ["neutral"] * self.n_neutral + ["left"] * half + ["right"] * half:
            raise self._fault("another order of sides", "neutral rows, then left rows, then right rows")
        for index, other in enumerate(counterparts):
            if self.values[self.swap_index[index]] != other:
                raise self._fault(
                    f"counterpart {other} of value {self.values[index]}",
                    f"{self.values[self.swap_index[index]]}: left and right rows in the same order",
                )

    def _fault(self, found: str, expected: str) -> InputError:
        return InputError(self.source, found=found, expected=expected, remedy="correct the label list")


_MOST_SHOWN = 8  # values listed in a message


# More values than this outside a list are no slip of a label but grey values.
SCAN_LIKE = 30


def values_text(values: Iterable[int]) -> str:
    """Return values for a message, the first few of many."""
    listed = list(values)
    more = ", ..." if len(listed) > _MOST_SHOWN else ""
    return ", ".join(map(str, listed[:_MOST_SHOWN])) + more


def unknown_values(path: Path, values: list[int], labels: GenerationLabels) -> InputError:
    """Return the one line about values of a map that its list lacks."""
    scan_like = len(values) > SCAN_LIKE
    many = f"{len(values)} values that the label list lacks" if len(values) > 1 else "a value that the label list lacks"
    return InputError(
        path,
        found=f"{many} ({values_text(values)})" + (", as in a scan" if scan_like else ""),
        expected=f"only values of {labels.source}",
        remedy="give label maps, not scans"
        if scan_like
        else "add them to the list (synthseg labels scan), or have unknown values taken as background",
    )
