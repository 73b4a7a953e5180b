"""What the derivatives of one scan say, read for its report: volumes by side, scores, how it was made, where from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from synthseg_core.bids.names import derivative, parse_derivative, report_name
from synthseg_core.errors import InputError
from synthseg_core.reports.page_files import figure_path
from synthseg_core.system.settings import known_mapping
from synthseg_core.system.tables import ABSENT, read_tsv

_SIDES = ("left ", "right ", "ctx-lh-", "ctx-rh-")


@dataclass(frozen=True)
class PairedVolume:
    """Volumes of a structure on both sides, or of one that has none.

    Parameters
    ----------
    name
        Without its side.
    left, right, whole
        mm^3; ``None`` where there is none. ``whole`` is that of structures without sides.
    labels
        Values in label maps; empty for sums.
    """

    name: str
    left: float | None
    right: float | None
    whole: float | None
    labels: tuple[int, ...] = ()

    @property
    def asymmetry(self) -> float | None:
        """Difference of left and right as a share of their mean, percent; positive: the left is larger."""
        if self.left is None or self.right is None or self.left + self.right == 0:
            return None
        return 200 * (self.left - self.right) / (self.left + self.right)


@dataclass(frozen=True)
class ScanFacts:
    """The derivatives of one scan.

    Parameters
    ----------
    dataset
        Derivative dataset.
    stem
        See :mod:`synthseg_core.bids.names`.
    """

    dataset: Path
    stem: str

    @classmethod
    def of_label_map(cls, path: Path) -> ScanFacts:
        """Find dataset and scan from the path of a label map, ``..._seg-synthseg_dseg.nii.gz``.

        Raises
        ------
        InputError
            If it is not the label map of a scan in a derivative dataset.
        """
        parts = path.absolute().parts
        top = next((place for place, part in enumerate(parts[:-1]) if part.startswith("sub-")), None)
        relative = "/".join(parts[top:]) if top else path.name
        try:
            scan, product = parse_derivative(relative)
        except InputError:
            scan, product = None, ""
        if scan is None or product != "dseg" or not path.is_file():
            raise InputError(
                path,
                found="no label map of a scan" if path.is_file() else "no such file",
                expected="sub-*/.../sub-*_seg-synthseg_dseg.nii.gz in a derivative dataset",
                remedy="give the label map on the grid of the scan",
            )
        return cls(Path(*parts[:top]), scan.stem)

    @property
    def name(self) -> str:
        """What page and pictures are called."""
        return report_name(self.stem)

    @property
    def page(self) -> Path:
        """The page."""
        return self.dataset / f"{self.name}.html"

    def figure(self, kind: str) -> Path:
        """Return a file of this scan in the folder of pictures."""
        return self.dataset / figure_path(self.name, kind)

    def path(self, product: str) -> Path:
        """Return a derivative; ``product`` as in :data:`synthseg_core.bids.names.PRODUCTS`."""
        return self.dataset / derivative(self.stem, product)

    @cached_property
    def sidecar(self) -> Mapping[str, Any]:
        """What the JSON file beside the label map says."""
        return known_mapping(self.path("sidecar"))

    @property
    def source(self) -> Mapping[str, Any]:
        """What the sidecar says of the scan."""
        return self.sidecar.get("Source") or {}

    @cached_property
    def rows(self) -> list[dict[str, str]]:
        """Lines of the volumes' table, as they are."""
        return read_tsv(self.path("volumes"), ("index", "name", "hemisphere", "soft_volume_mm3"))

    @cached_property
    def names(self) -> dict[int, str]:
        """Label -> name of the structure."""
        return {int(row["index"]): row["name"] for row in self.rows if row["index"].isdecimal()}

    @cached_property
    def expected(self) -> dict[int, str]:
        """Label -> name of the structures that every scan has: not of tissue that goes with the skull."""
        outside = {entry["Label"] for entry in self.sidecar.get("Channels") or [] if entry.get("Extracerebral")}
        return {label: name for label, name in self.names.items() if label not in outside}

    @cached_property
    def sides(self) -> dict[int, str]:
        """Label -> ``left``, ``right`` or ``neutral``."""
        return {int(row["index"]): row["hemisphere"] for row in self.rows if row["index"].isdecimal()}

    @cached_property
    def left_of(self) -> dict[int, int]:
        """Label of each structure on the right -> that of its counterpart."""
        left = {without_side(name): label for label, name in self.names.items() if self.sides[label] == "left"}
        right = {label: without_side(name) for label, name in self.names.items() if self.sides[label] == "right"}
        return {label: left[name] for label, name in right.items() if name in left}

    def volumes(self) -> list[PairedVolume]:
        """Return soft volumes, both sides of a structure together, in the order of the table."""
        return paired(self.rows)

    def parcels(self) -> list[PairedVolume]:
        """Return soft volumes of cortical parcels; empty without them."""
        path = self.path("parcel_volumes")
        return paired(read_tsv(path, ("index", "name", "hemisphere", "soft_volume_mm3"))) if path.is_file() else []

    def scores(self) -> dict[str, float]:
        """Return predicted Dice coefficients by group of structures; empty without them."""
        path = self.path("scores")
        rows = read_tsv(path, ("name", "score")) if path.is_file() else []
        return {row["name"]: float(row["score"]) for row in rows}

    def scan(self) -> Path | None:
        """Return the scan, by what sidecar and dataset say of its place; ``None`` where it is not there."""
        source = str(next(iter(self.sidecar.get("Sources") or []), ""))
        known = known_mapping(self.dataset / "dataset_description.json").get("DatasetLinks")
        name, _, path = source.removeprefix("bids:").partition(":") if source.startswith("bids:") else ("", "", source)
        root = known.get(name, "") if isinstance(known, dict) else ""
        found = self.dataset / str(root) / unquote(path)
        return found if path and found.is_file() else None


def without_side(name: str) -> str:
    """Return the name of a structure without the word for its side."""
    return next((name.removeprefix(side) for side in _SIDES if name.startswith(side)), name)


def paired(rows: list[dict[str, str]]) -> list[PairedVolume]:
    """Put both sides of a structure together.

    Parameters
    ----------
    rows
        Lines of a table of volumes of one scan.
    """
    found: dict[str, dict[str, tuple[float, int | None]]] = {}
    for row in rows:
        text, index = row["soft_volume_mm3"], row["index"]
        value = float("nan") if text == ABSENT else float(text)
        label = int(index) if index.isdecimal() else None
        side = row["hemisphere"] if row["hemisphere"] in ("left", "right") else "neutral"
        found.setdefault(without_side(row["name"]), {})[side] = value, label
    return [
        PairedVolume(
            name,
            *(sides[side][0] if side in sides else None for side in ("left", "right", "neutral")),
            labels=tuple(label for _, label in sides.values() if label is not None),
        )
        for name, sides in found.items()
        if not any(label == 0 for _, label in sides.values())
    ]
