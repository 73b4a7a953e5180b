"""``README.md`` of a derivative dataset: what lies where, and how to read it."""

from __future__ import annotations

from collections.abc import Sequence

from synthseg_core.models.card import ModelCard

_HEAD = """\
# Brain segmentations

Made by synthseg-bids {version} with

{models}
## Each scan

`<scan>` is the path of the scan without its suffix, followed by `_space-` and the suffix, which names the scan's own
space: `sub-01/anat/sub-01_T1w.nii.gz` gives `sub-01/anat/sub-01_space-T1w`.

* `<scan>_seg-synthseg_dseg.nii.gz`: labels on the grid of the scan. The JSON beside it says what made it, from what,
  with which options, and what is doubtful.
* `<scan>_seg-synthseg_res-1mm_dseg.nii.gz`: the same at 1 mm; the same JSON belongs to it.
* `<scan>_seg-synthseg_volumes.tsv`: volumes of the structures, mm^3.
* `<scan>_desc-brain_mask.nii.gz`: 1 where the label map on the grid of the scan has any structure, fluid included,
  as in the total intracranial volume.
* If they were asked for: `<scan>_seg-synthseg_res-1mm_probseg.nii.gz`, posteriors at 1 mm, 4-D; the JSON beside it
  names its volumes. `<scan>_res-1mm_desc-preproc_<suffix>.nii.gz`, the scan at 1 mm.
"""
_PARCELS = """\
* `<scan>_seg-synthsegparc_dseg.nii.gz`, `<scan>_seg-synthsegparc_res-1mm_dseg.nii.gz`: label maps with cortical parcels
  in place of the cortex; `seg-synthsegparc_dseg.tsv` says what the labels mean.
* `<scan>_seg-synthsegparc_volumes.tsv`: volumes of the parcels, mm^3.
"""
_SCORES = """\
* `<scan>_desc-qc_scores.tsv`: overlap (Dice coefficient) with the true structures that a network predicts, 0 to 1, for
  groups of structures.
"""
_GROUP = """
## All scans

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
* `logs/`: one log for each scan and stage. `work/` holds what a later run needs to continue; it can be deleted.
"""


def readme(version: str, models: Sequence[ModelCard], *, parcels: bool, scores: bool) -> str:
    """Return the text.

    Parameters
    ----------
    models
        All that had a part in it; their notes are appended.
    parcels, scores
        Whether the dataset has parcels and quality scores.
    """
    named = "".join(
        f"* {card.name}: {card.title}. Licence of the weights: {card.weights.licence}.\n" for card in models
    )
    parts = [
        _HEAD.format(version=version, models=named),
        _PARCELS * parcels,
        _SCORES * scores,
        _GROUP,
        _GROUP_PARCELS * parcels,
        _GROUP_SCORES * scores,
        _TAIL,
        *(f"\n{card.notes.strip()}\n" for card in models if card.notes),
    ]
    return "".join(parts)
