"""Label tables: what each output channel of a network means, as data read from TSV."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from synthseg_core.errors import ModelError
from synthseg_core.resources import resource
from synthseg_core.system.tables import format_tsv, read_tsv

# Label maps are int32, and volumes are counted in a table as long as the largest label.
_LARGEST_LABEL = 10**6
_SIDES = ("left", "right", "neutral")

# Cerebral cortex in the FreeSurfer colour table, whose values the label maps of SynthSeg use.
CORTEX_LABELS: Mapping[str, int] = {"left": 3, "right": 42}


@dataclass(frozen=True)
class LabelTable:
    """Labels of a network's output channels, in channel order; channel 0 is background.

    Parameters
    ----------
    name
        Where the table came from, for messages.
    labels
        Integer value of each channel in label maps.
    names
        Structure names.
    sides
        ``left``, ``right`` or ``neutral``.
    counterparts
        Label on the other side; the label itself for neutral structures.
    topology_classes
        Channels of one class are cleaned together; class 0 is left alone. Empty: no clean-up by class.
    qc_groups
        Group of the quality-control network; empty where the table has none.

    Raises
    ------
    ModelError
        If labels repeat, the first is not background 0, or left and right do not pair up.
    """

    name: str
    labels: tuple[int, ...]
    names: tuple[str, ...]
    sides: tuple[str, ...]
    counterparts: tuple[int, ...]
    topology_classes: tuple[int, ...] = ()
    qc_groups: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if len(set(self.labels)) != len(self.labels):
            raise self._fault("a label that occurs twice", "each label once")
        if not self.labels or self.labels[0] != 0:
            raise self._fault("a first row that is not label 0", "background (label 0) first")
        if min(self.labels) < 0:
            raise self._fault("a negative label", "labels of 0 and above")
        if max(self.labels) > _LARGEST_LABEL:
            raise self._fault(f"label {max(self.labels)}", f"labels up to {_LARGEST_LABEL}")
        for label, side, other in zip(self.labels, self.sides, self.counterparts, strict=True):
            self._check_pair(label, side, other)

    @classmethod
    def read(cls, path: Path) -> LabelTable:
        """Read a table with the columns label, name, side, counterpart and optionally topology_class, qc_group."""
        rows = read_tsv(path, required=("label", "name", "side", "counterpart"))

        def integers(column: str) -> tuple[int, ...]:
            if not rows or column not in rows[0]:
                return ()
            try:
                return tuple(int(row[column]) for row in rows)
            except ValueError as error:
                raise ModelError(
                    path, found=f"{column}: {error}", expected="integers", remedy="correct the table"
                ) from error

        return cls(
            name=str(path),
            labels=integers("label"),
            names=tuple(row["name"] for row in rows),
            sides=tuple(row["side"] for row in rows),
            counterparts=integers("counterpart"),
            topology_classes=integers("topology_class"),
            qc_groups=integers("qc_group"),
        )

    @classmethod
    def builtin(cls, name: str) -> LabelTable:
        """Read one of the package's own tables, for instance ``segmentation_2.0``."""
        return cls.read(_builtin_folder() / f"{name}.tsv")

    def to_tsv(self) -> str:
        """Return the table as text, the inverse of :meth:`read`."""
        columns: dict[str, tuple[object, ...]] = {
            "label": self.labels,
            "name": self.names,
            "side": self.sides,
            "counterpart": self.counterparts,
            "topology_class": self.topology_classes,
            "qc_group": self.qc_groups,
        }
        filled = {name: values for name, values in columns.items() if values}
        rows = zip(*filled.values(), strict=True)
        return format_tsv((dict(zip(filled, row, strict=True)) for row in rows), tuple(filled))

    @staticmethod
    def builtin_names() -> tuple[str, ...]:
        """Return the names of the package's own tables, sorted."""
        return tuple(path.stem for path in sorted(_builtin_folder().glob("*.tsv")))

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def flip_channels(self) -> tuple[int, ...]:
        """Channel that each channel becomes when the image is mirrored left to right."""
        return tuple(self.labels.index(other) for other in self.counterparts)

    def channel_of(self, label: int) -> int:
        """Return the channel of a label value; ``ValueError`` if the table does not have it."""
        return self.labels.index(label)

    def cortex_channels(self) -> dict[str, int]:
        """Return the channel of the cerebral cortex by side.

        Raises
        ------
        ModelError
            If the table lacks one of them, so that there is nothing to divide into parcels.
        """
        if missing := [label for label in CORTEX_LABELS.values() if label not in self.labels]:
            raise ModelError(
                self.name,
                found=f"no label {' and no label '.join(map(str, missing))} (cerebral cortex)",
                expected="both sides of the cortex",
                remedy="ask for parcels only with a model that segments the cortex",
            )
        return {side: self.channel_of(label) for side, label in CORTEX_LABELS.items()}

    def _check_pair(self, label: int, side: str, other: int) -> None:
        if side not in _SIDES:
            raise self._fault(f"side {side!r} for label {label}", "left, right or neutral")
        if other not in self.labels:
            raise self._fault(f"counterpart {other} of label {label}, which is not in the table", "a listed label")
        index = self.labels.index(other)
        if self.counterparts[index] != label:
            raise self._fault(f"label {label} paired with {other}, but not the other way round", "mutual pairs")
        expected = {"left": "right", "right": "left", "neutral": "neutral"}[side]
        if self.sides[index] != expected or (side == "neutral") != (other == label):
            raise self._fault(
                f"{side} label {label} paired with {self.sides[index]} label {other}", f"a {expected} one"
            )

    def _fault(self, found: str, expected: str) -> ModelError:
        return ModelError(self.name, found=found, expected=expected, remedy="correct the label table")


def _builtin_folder() -> Path:
    return resource("labels")
