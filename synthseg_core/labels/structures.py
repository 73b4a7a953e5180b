"""Facts about single structures: their short names, and their class in the standard label table of BIDS."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from synthseg_core.system.tables import read_tsv


@dataclass(frozen=True)
class Structure:
    """What is known of a structure.

    Parameters
    ----------
    abbreviation
        Letters and digits, as the ``label`` entity of file names allows.
    mapping
        Class in the table "Common image-derived labels" of BIDS.
    """

    abbreviation: str
    mapping: int


def structure(label: int, name: str) -> Structure | None:
    """Return what is known of a structure; ``None`` for labels of one's own, also where they reuse a number."""
    return _known().get((label, name.lower()))


@cache
def _known() -> dict[tuple[int, str], Structure]:
    path = Path(str(files("synthseg_core") / "resources" / "structures.tsv"))
    rows = read_tsv(path, ("label", "name", "abbreviation", "mapping"))
    return {(int(r["label"]), r["name"].lower()): Structure(r["abbreviation"], int(r["mapping"])) for r in rows}
