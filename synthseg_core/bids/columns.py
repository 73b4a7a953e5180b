"""Names, meaning and units of the columns of our tables, and what every description says of this program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from synthseg_core.bids.names import ENTITIES

BIDS_VERSION = "1.11.1"


CODE_NAME = "synthseg-bids"

PARTICIPANT_HEADERS = ("participant_id", "participant", "subject_id", "subject", "sub")
"""Names that the column of participants has in tables of users, in lower case."""


# Of the per-scan tables and of the group tables.
VOLUME_COLUMNS: dict[str, dict[str, str]] = {
    "index": {"Description": "Value of the structure in label maps; n/a for sums of structures"},
    "name": {"Description": "Structure"},
    "hemisphere": {"Description": "left, right or neutral"},
    "soft_volume_mm3": {"Description": "Sum of the posterior probabilities", "Units": "mm^3"},
    "hard_volume_mm3": {"Description": "Voxels with this label", "Units": "mm^3"},
}


SCORE_COLUMNS: dict[str, dict[str, str]] = {
    "index": {"Description": "Number of the group of structures"},
    "name": {"Description": "Group of structures"},
    "score": {
        "LongName": "Predicted Dice coefficient",
        "Description": (
            "Dice coefficient, 0 to 1, that a network expects between this segmentation and one made by hand; "
            "1: perfect. It looks at the segmentation only, not at the scan."
        ),
    },
}


# What pybids 0.16 to 0.22 calls the parts of a path. It takes a key of that name in a JSON file for this part of the
# path of the file that the JSON belongs to, and refuses the whole dataset where the two differ.
_PYBIDS_ENTITIES = (
    *("subject", "session", "sample", "task", "tracksys", "acquisition", "nucleus", "volume", "ceagent", "staining"),
    *("tracer", "reconstruction", "direction", "run", "proc", "modality", "echo", "flip", "inv", "mt", "part"),
    *("recording", "space", "chunk", "suffix", "scans", "fmap", "datatype", "extension"),
    *("atlas", "roi", "label", "desc", "from", "to", "mode", "hemi", "segmentation", "res", "den", "model", "subset"),
)
ENTITY_NAMES = frozenset((*ENTITIES, *_PYBIDS_ENTITIES))
"""No key of our JSON files may be called like this."""
ENTITY_COLUMNS_KEY = "EntityColumns"
"""Under this key JSON files explain columns that are called like an entity."""


def column_meanings(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the JSON file beside a table says of its columns, so that pybids takes none for a part of a path."""
    plain = {name: meaning for name, meaning in columns.items() if name not in ENTITY_NAMES}
    called_so = {name: meaning for name, meaning in columns.items() if name in ENTITY_NAMES}
    return {**plain, **({ENTITY_COLUMNS_KEY: called_so} if called_so else {})}
