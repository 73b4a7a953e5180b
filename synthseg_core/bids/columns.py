"""Names, meaning and units of the columns of our tables, and what every description says of this program."""

from __future__ import annotations

BIDS_VERSION = "1.11.1"


CODE_NAME = "synthseg-bids"


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
