"""Files that describe a derivative dataset as a whole: what made it, its labels, its columns, what BIDS may skip.

``README.md`` of a derivative dataset: what lies where, and how to read it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from synthseg_core.bids.columns import BIDS_VERSION, CODE_NAME, SCORE_COLUMNS, VOLUME_COLUMNS
from synthseg_core.labels.viewers import (
    LABEL_COLUMNS,
    Meaning,
    bids_table,
    freesurfer_table,
    itksnap_table,
    meanings,
    with_parcels,
)
from synthseg_core.models.card import ModelCard
from synthseg_core.system.atomic import write_text

_HEAD = """\
# Brain segmentations

Made by synthseg-bids {version} with

{models}
## Each scan

`<scan>` is the path of the scan without its suffix, followed by `_space-` and the suffix, which names the scan's own
space: `sub-01/anat/sub-01_T1w.nii.gz` gives `sub-01/anat/sub-01_space-T1w`.

* `<scan>_seg-synthseg_dseg.nii.gz`: labels on the grid of the scan. The JSON beside it says what made it, from what,
  with which options, and what is doubtful.
* `<scan>_seg-synthseg_res-1mm_dseg.nii.gz`: the same at 1 mm; the JSON beside it says the same, too.
* `<scan>_seg-synthseg_volumes.tsv`: volumes of the structures, mm^3.
* `<scan>_desc-brain_mask.nii.gz`: 1 where the label map on the grid of the scan has any structure, fluid included,
  as in the total intracranial volume.
* `<name of the scan>.html` at the top, with pictures in `figures/`: a page to look at.
* If they were asked for: `<scan>_seg-synthseg_res-1mm_probseg.nii.gz`, posteriors at 1 mm, 4-D; the JSON beside it
  names its volumes. `<scan>_res-1mm_desc-preproc_<suffix>.nii.gz`, the scan at 1 mm.
  `<scan>_desc-translated_<suffix>.nii.gz`, a translation of the scan to another contrast, which was segmented in its
  place: synthetic, not for reading.
"""
_PARCELS = """\
* `<scan>_seg-synthsegparc_dseg.nii.gz`, `<scan>_seg-synthsegparc_res-1mm_dseg.nii.gz`: label maps with cortical parcels
  in place of the cortex; `seg-synthsegparc_dseg.tsv` says what the labels mean.
* `<scan>_seg-synthsegparc_volumes.tsv`: volumes of the parcels, mm^3.
"""
_HEADS = """\
* `<scan>_seg-synthseghead_dseg.nii.gz`: the label map on the grid of the scan with tissues of the head around it, whose
  labels are those of their model plus 600; `seg-synthseghead_dseg.tsv` says what they mean.
"""
_SCORES = """\
* `<scan>_desc-qc_scores.tsv`: overlap (Dice coefficient) with the true structures that a network predicts, 0 to 1, for
  groups of structures.
"""
_GROUP = """
## All scans

`group.html` is the page to begin with: what to look at first, outliers, distributions.

Each table has a JSON file beside it that explains its columns and lists the models and weights behind its numbers.

* `group_scans.tsv`: every scan, what became of it stage by stage, and if it failed, why; what is doubtful about it.
* `group_seg-synthseg_volumes.tsv`: volumes of all scans, one row a scan;
  `group_seg-synthseg_desc-long_volumes.tsv`: the same, one row a structure;
  `group_seg-synthseg_desc-grouped_volumes.tsv`: sums, such as both sides of a structure, or grey matter.
"""
_GROUP_PARCELS = """\
* `group_seg-synthsegparc_volumes.tsv`, `group_seg-synthsegparc_desc-long_volumes.tsv`,
  `group_seg-synthsegparc_desc-grouped_volumes.tsv`: the same of parcels; the sums are lobes and both sides.
"""
_GROUP_SCORES = """\
* `group_qc.tsv`: the scores of all scans. A flag marks low ones; nothing is left out because of it.
"""
_TAIL = """\
* `seg-synthseg_dseg.tsv`: what the labels mean; `seg-synthseg_LUT.txt` is the same for FreeSurfer's viewers
  and `seg-synthseg_itksnap.txt` for ITK-SNAP.
* `.logs/`: one log for each scan and stage. `.work/` holds what a later run needs to continue; it can be deleted.
  Earlier versions called them `logs/` and `work/`.
"""


def readme(version: str, models: Sequence[ModelCard], *, parcels: bool, scores: bool, heads: bool = False) -> str:
    """Return the text.

    Parameters
    ----------
    version
        Of this program.
    models
        All that had a part in it; their notes are appended.
    parcels, scores, heads
        Whether the dataset has parcels, quality scores, and label maps with tissues of the head.
    """
    named = "".join(
        f"* {card.name}: {card.title}. Licence of the weights: {card.weights.licence}.\n" for card in models
    )
    parts = [
        _HEAD.format(version=version, models=named),
        _PARCELS * parcels,
        _SCORES * scores,
        _HEADS * heads,
        _GROUP,
        _GROUP_PARCELS * parcels,
        _GROUP_SCORES * scores,
        _TAIL,
        *(f"\n{card.notes.strip()}\n" for card in models if card.notes),
    ]
    return "".join(parts)


_SEGMENT_FILES: tuple[str, ...] = (
    "dataset_description.json",
    "README.md",
    ".bidsignore",
    "seg-synthseg_dseg.tsv",
    "seg-synthseg_dseg.json",
    "seg-synthseg_volumes.json",
    "seg-synthseg_LUT.txt",
    "seg-synthseg_itksnap.txt",
)
_PARCEL_FILES: tuple[str, ...] = (
    "seg-synthsegparc_dseg.tsv",
    "seg-synthsegparc_dseg.json",
    "seg-synthsegparc_volumes.json",
    "seg-synthsegparc_LUT.txt",
    "seg-synthsegparc_itksnap.txt",
)
_SCORE_FILES: tuple[str, ...] = ("desc-qc_scores.json",)
_HEAD_FILES: tuple[str, ...] = (
    "seg-synthseghead_dseg.tsv",
    "seg-synthseghead_dseg.json",
    "seg-synthseghead_LUT.txt",
    "seg-synthseghead_itksnap.txt",
)
# Names that BIDS 1.11 does not know: tables, colour tables, and scans whose names were not BIDS.
_IGNORED = (
    *("/work", "/*.html", "/figures", "desc-review_scans.tsv", "group_*"),
    *("*_volumes.tsv", "*_volumes.json", "*_scores.tsv", "*_scores.json"),
    *("*_LUT.txt", "*_itksnap.txt", "*_desc-preproc_orig.*", "*_desc-translated_orig.*"),
)


@dataclass(frozen=True)
class DatasetFacts:
    """What the dataset-level files say.

    Parameters
    ----------
    models
        That made the segmentations: the configuration's, then those that single scans have of their own.
    parcellations, qualities
        Models of the stages ``parcellate`` and ``qc``; empty where those were not asked for.
    heads, head_labels
        Models of the stage ``merge_head``, and the values of merged label maps; empty likewise.
    source
        Dataset of the scans, as a path relative to the derivative dataset or a URI.
    version
        Of this software.
    code_url
        Where its code is; empty: unknown.
    container
        Image that it runs in, for instance ``docker://name:tag``; empty: none that is known.
    raw
        ``dataset_description.json`` of the scans; empty: unknown.
    """

    models: tuple[ModelCard, ...]
    source: str
    version: str
    parcellations: tuple[ModelCard, ...] = ()
    qualities: tuple[ModelCard, ...] = ()
    heads: tuple[ModelCard, ...] = ()
    head_labels: tuple[Meaning, ...] = ()
    code_url: str = ""
    container: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def all_models(self) -> tuple[ModelCard, ...]:
        """Every model once, in order of use."""
        cards = (*self.models, *self.parcellations, *self.qualities, *self.heads)
        return tuple({card.name: card for card in cards}.values())

    @cached_property
    def labels(self) -> tuple[Meaning, ...]:
        """Values of the label maps."""
        return meanings([card.labels for card in self.models])

    @cached_property
    def parcel_labels(self) -> tuple[Meaning, ...]:
        """Values of the label maps with parcels."""
        return with_parcels(self.labels, meanings([card.labels for card in self.parcellations]))


def dataset_file_names(stages: Iterable[str] = ("segment",)) -> tuple[str, ...]:
    """Return the names of the files that describe a dataset in which these stages were asked for."""
    added = {"parcellate": _PARCEL_FILES, "qc": _SCORE_FILES, "merge_head": _HEAD_FILES}
    return (*_SEGMENT_FILES, *(name for stage in added if stage in {*stages} for name in added[stage]))


DATASET_FILES = dataset_file_names()


def dataset_files(facts: DatasetFacts) -> dict[str, str]:
    """Return the text of each file by its name."""
    parts = {"parcels": facts.parcellations, "scores": facts.qualities, "heads": facts.heads}
    text = readme(facts.version, facts.all_models, **{name: bool(cards) for name, cards in parts.items()})
    general = (_json(_description(facts)), text, "".join(f"{line}\n" for line in _IGNORED))
    texts = dict(zip(_SEGMENT_FILES, (*general, *_label_texts(facts.labels)), strict=True))
    if facts.parcellations:
        texts |= dict(zip(_PARCEL_FILES, _label_texts(facts.parcel_labels), strict=True))
    if facts.qualities:
        texts |= dict(zip(_SCORE_FILES, (_json(SCORE_COLUMNS),), strict=True))
    if facts.heads:
        table, columns, _, *viewers = _label_texts(facts.head_labels)
        texts |= dict(zip(_HEAD_FILES, (table, columns, *viewers), strict=True))
    return texts


def write_dataset_files(folder: Path, facts: DatasetFacts) -> None:
    """Write all of them, each atomically."""
    for name, text in dataset_files(facts).items():
        write_text(folder / name, text)


def _label_texts(entries: Sequence[Meaning]) -> tuple[str, ...]:
    # The first is inherited by the label maps: what they say themselves, their description above all, may not be here.
    columns = _json(LABEL_COLUMNS), _json(VOLUME_COLUMNS)
    return bids_table(entries), *columns, freesurfer_table(entries), itksnap_table(entries)


def _description(facts: DatasetFacts) -> dict[str, Any]:
    names = ", ".join(card.name for card in facts.models)
    citations = dict.fromkeys(text for card in facts.all_models for text in card.citation)
    content = {
        "Name": f"Brain segmentations with {names}",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        **_inherited(facts.raw),
        "GeneratedBy": [_generator(facts)],
        "SourceDatasets": [_source_dataset(facts)],
        "DatasetLinks": {"raw": facts.source},
        "HowToAcknowledge": "; ".join(citations) or f"See the documentation of {CODE_NAME}",
    }
    return {key: value for key, value in content.items() if value}


def _inherited(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return what holds for the derivatives as for the scans: terms of use and authors, where they are well-formed."""
    licence, authors = raw.get("License"), raw.get("Authors")
    named = isinstance(authors, list) and all(isinstance(name, str) for name in cast(list[Any], authors))
    return {"License": licence if isinstance(licence, str) else None, "Authors": authors if named else None}


def _generator(facts: DatasetFacts) -> dict[str, Any]:
    content: dict[str, Any] = {
        "Name": CODE_NAME,
        "Version": facts.version,
        "Description": "; ".join(f"Model {card.name}: {card.title}" for card in facts.all_models),
        "CodeURL": facts.code_url,
        "Container": _container(facts.container),
    }
    return {key: value for key, value in content.items() if value}


def _container(image: str) -> dict[str, str]:
    """Describe a container image by its address: ``docker://name:tag``, or a name alone."""
    if not image:
        return {}
    kind, _, name = image.rpartition("://")
    tag = name.rpartition("/")[2].partition(":")[2]
    return {"Type": kind or "docker", "URI": image, **({"Tag": tag} if tag else {})}


def _source_dataset(facts: DatasetFacts) -> dict[str, str]:
    """Return the place of the raw dataset, with its DOI and version where it tells them."""
    known = {"URL": facts.source, "DOI": facts.raw.get("DatasetDOI"), "Version": facts.raw.get("DatasetVersion")}
    return {key: value for key, value in known.items() if isinstance(value, str) and value}


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
