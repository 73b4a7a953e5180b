"""What made the results of a scan, and what is doubtful about them: read from their sidecars.

Columns that say which scan a row of a group table is about.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from synthseg_core.bids.columns import CODE_NAME
from synthseg_core.bids.scan_row import ScanRow
from synthseg_core.system.settings import known_mapping

UNKNOWN = ""


@dataclass(frozen=True)
class Maker:
    """What numbers come from; empty where unknown.

    Parameters
    ----------
    model
        Name of the model.
    version
        Of this software.
    weights_sha256
        Of the weights.
    """

    model: str = UNKNOWN
    version: str = UNKNOWN
    weights_sha256: str = UNKNOWN

    def cells(self) -> dict[str, str | None]:
        """Return the cells of the maker's columns."""
        return {name: getattr(self, name) or None for name in MAKER_COLUMNS}


MAKER_COLUMNS: dict[str, dict[str, str]] = {
    "model": {"Description": "Model that the numbers come from"},
    "version": {"Description": f"Version of {CODE_NAME}"},
    "weights_sha256": {"Description": "SHA-256 of the weights of the model"},
}


@dataclass(frozen=True)
class Origin:
    """Maker and doubts of one result."""

    maker: Maker = Maker()
    warnings: tuple[str, ...] = ()


def read_origin(path: Path) -> Origin:
    """Read a sidecar; what it does not tell, or not in the known form, stays empty."""
    content = known_mapping(path)
    model, generators, warnings = (_get(content, key) for key in ("Model", "GeneratedBy", "Warnings"))
    first = cast(list[Any], generators)[0] if isinstance(generators, list) and generators else None
    maker = Maker(_text(model, "Name"), _text(first, "Version"), _text(model, "WeightsSHA256"))
    texts = cast(list[Any], warnings) if isinstance(warnings, list) else []
    return Origin(maker, tuple(" ".join(str(text).split()) for text in texts))


def generated_by(makers: Iterable[Maker]) -> list[dict[str, Any]]:
    """List distinct makers with the number of scans of each, for the JSON file beside a table."""
    counts = Counter(makers)
    return [
        {
            "Name": CODE_NAME,
            "Version": maker.version,
            "Model": maker.model,
            "WeightsSHA256": maker.weights_sha256,
            "Scans": count,
        }
        for maker, count in sorted(counts.items(), key=lambda pair: (pair[0].model, pair[0].version))
    ]


def _get(content: Any, key: str) -> Any:
    return cast(dict[str, Any], content).get(key) if isinstance(content, dict) else None


def _text(content: Any, key: str) -> str:
    value = _get(content, key)
    return value if isinstance(value, str) else UNKNOWN


KEY_COLUMNS: dict[str, dict[str, str]] = {
    "participant_id": {"Description": "Participant"},
    "session_id": {"Description": "Session; n/a where the dataset has none"},
    "suffix": {"Description": "Kind of scan, for instance T1w"},
    "scan": {"Description": "First part of the paths of the scan's derivatives"},
}


def key_cells(row: ScanRow) -> dict[str, str | None]:
    """Return the cells of a scan."""
    return {key: getattr(row, key) or None for key in KEY_COLUMNS}
