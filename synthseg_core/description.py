"""Files that describe a derivative dataset as a whole: what made it, its labels, its columns, what BIDS may skip."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthseg_core.atomic import write_text
from synthseg_core.models import ModelCard
from synthseg_core.tables import format_tsv

BIDS_VERSION = "1.11.1"
DATASET_FILES = (
    "dataset_description.json",
    "README.md",
    ".bidsignore",
    "seg-synthseg_dseg.tsv",
    "seg-synthseg_dseg.json",
    "seg-synthseg_volumes.json",
)
# Names that BIDS 1.11 does not know.
_IGNORED = ("/work", "group_*", "*_volumes.tsv", "*_volumes.json")
_README = """\
# Brain segmentations

Made by synthseg-bids {version} with the model {model}: {title}.

* `sub-*/**/*_seg-synthseg_dseg.nii.gz`: labels on the grid of the scan that `space-` names.
* `sub-*/**/*_seg-synthseg_res-1mm_dseg.nii.gz`: the same at 1 mm. The JSON beside the former belongs to both.
* `sub-*/**/*_seg-synthseg_volumes.tsv`: volumes of the structures, mm^3.
* `seg-synthseg_dseg.tsv`: what the labels mean.
* `group_scans.tsv`: every scan, whether it was segmented, and if not, why.
* `group_seg-synthseg_volumes.tsv`: volumes of all scans, one row a scan;
  `group_seg-synthseg_desc-long_volumes.tsv`: the same, one row a structure.
* `logs/`: one log for each scan. `work/` holds what a later run needs to continue; it can be deleted.
{notes}"""
# Of the per-scan table and of the group tables.
VOLUME_COLUMNS: dict[str, dict[str, str]] = {
    "index": {"Description": "Value of the structure in label maps; n/a for sums of structures"},
    "name": {"Description": "Structure"},
    "hemisphere": {"Description": "left, right or neutral"},
    "soft_volume_mm3": {"Description": "Sum of the posterior probabilities", "Units": "mm^3"},
    "hard_volume_mm3": {"Description": "Voxels with this label", "Units": "mm^3"},
}
_LABEL_COLUMNS = {
    "index": {"Description": "Value of the structure in label maps", "Format": "integer"},
    "name": {"Description": "Structure"},
    "hemisphere": {"Description": "left, right or neutral"},
    "counterpart": {"Description": "Value of the same structure on the other side"},
}


@dataclass(frozen=True)
class DatasetFacts:
    """What the dataset-level files say.

    Parameters
    ----------
    card
        Model that made the segmentations.
    source
        Dataset of the scans, as a path relative to the derivative dataset or a URI.
    version
        Of this software.
    """

    card: ModelCard
    source: str
    version: str


def dataset_files(facts: DatasetFacts) -> dict[str, str]:
    """Return the text of each file in ``DATASET_FILES``."""
    card = facts.card
    notes = f"\n{card.notes.strip()}\n" if card.notes else ""
    texts = (
        _json(_description(facts)),
        _README.format(version=facts.version, model=card.name, title=card.title, notes=notes),
        "".join(f"{line}\n" for line in _IGNORED),
        _label_tsv(card),
        _json(_LABEL_COLUMNS),
        _json(VOLUME_COLUMNS),
    )
    return dict(zip(DATASET_FILES, texts, strict=True))


def write_dataset_files(folder: Path, facts: DatasetFacts) -> None:
    """Write all of them, each atomically."""
    for name, text in dataset_files(facts).items():
        write_text(folder / name, text)


def _description(facts: DatasetFacts) -> dict[str, Any]:
    return {
        "Name": f"Brain segmentations with {facts.card.name}",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [
            {
                "Name": "synthseg-bids",
                "Version": facts.version,
                "Description": f"Model {facts.card.name}: {facts.card.title}",
            }
        ],
        "SourceDatasets": [{"URL": facts.source}],
        "DatasetLinks": {"raw": facts.source},
        "HowToAcknowledge": "; ".join(facts.card.citation) or "See the documentation of synthseg-bids",
    }


def _label_tsv(card: ModelCard) -> str:
    labels = card.labels
    columns = zip(labels.labels, labels.names, labels.sides, labels.counterparts, strict=True)
    return format_tsv((dict(zip(_LABEL_COLUMNS, row, strict=True)) for row in columns), tuple(_LABEL_COLUMNS))


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
