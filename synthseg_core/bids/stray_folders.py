"""Folders whose names are not BIDS, but which somebody may have meant as a participant or a session."""

from __future__ import annotations

import os
import re
from pathlib import Path

from synthseg_core.bids.names import label_from
from synthseg_core.bids.search import Search
from synthseg_core.bids.tally import image_in
from synthseg_core.system.settings import known_mapping

# Folders at the top of a BIDS dataset, or of a study, that hold no participants, and how others begin.
NO_PARTICIPANTS = ("code", "derivatives", "models", "phenotype", "rawdata", "sourcedata", "stimuli")
_NO_PARTICIPANT = (".", "tpl-", "atlas-", "cohort-")
_SUBJECT = re.compile(r"sub(?:jects?|j)?(?=[-_. \d])[-_. ]*", re.IGNORECASE)
_SESSION = re.compile(r"ses(?:sion|s)?(?=[-_. \d])[-_. ]*", re.IGNORECASE)


def is_derivative(folder: Path) -> bool:
    """Say whether a folder is a derivative dataset: what others made of scans."""
    return known_mapping(folder / "dataset_description.json").get("DatasetType") == "derivative"


def participant_like(folder: Path, search: Search) -> str:
    """Return the label of the participant whose folder this may be, without ``sub-``; empty if it is something else."""
    name = folder.name
    if (
        name.startswith(_NO_PARTICIPANT)
        or name in NO_PARTICIPANTS
        or is_excluded(folder, search)
        or is_derivative(folder)
    ):
        return ""
    prefix = _SUBJECT.match(name)
    if not (prefix or any(letter.isdigit() for letter in name) or _has_datatype(folder, search)):
        return ""
    return label_from(name[prefix.end() :] if prefix else name) if image_in(folder) else ""


def session_like(name: str) -> str:
    """Return the name that BIDS has for a folder that is perhaps a session; empty if it does not look like one."""
    prefix = _SESSION.match(name)
    label = label_from(name[prefix.end() :]) if prefix else ""
    return f"ses-{label}" if label else ""


def is_excluded(folder: Path, search: Search) -> bool:
    """Say whether a folder is one of those that a search leaves out."""
    return os.path.realpath(folder) in {os.path.realpath(other) for other in search.exclude}


def _has_datatype(folder: Path, search: Search) -> bool:
    """Say whether a folder holds that of a data type or a session, in whatever case."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names are all that is needed
    except OSError:
        return False
    return any(name.lower() in search.datatypes or session_like(name) for name in names)
