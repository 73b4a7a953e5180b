"""What to look for among the images of a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

LAYOUTS = ("auto", "bids", "folder", "table")
# Anatomical contrasts of BIDS 1.11.1; quantitative maps can be asked for by name.
SUFFIXES = ("T1w", "T2w", "T2starw", "FLAIR", "PDw", "inplaneT1", "inplaneT2", "FLASH", "UNIT1")
BIDS_EXTENSIONS = (".nii.gz", ".nii")
FOLDER_EXTENSIONS = (*BIDS_EXTENSIONS, ".mgz")


@dataclass(frozen=True)
class Search:
    """What to look for.

    Parameters
    ----------
    layout
        ``bids``, ``folder``, ``table``, or ``auto``: a table where the input is a file, BIDS where there is a
        ``dataset_description.json`` or a ``sub-`` folder.
    suffixes
        Suffixes that are taken from a BIDS dataset.
    datatypes
        Folders that are searched in a BIDS dataset.
    exclude
        Folders that are left out of a plain folder's search, such as the output.
    path_column
        Column of a table that holds the paths; ``None``: ``path``, or the only one that looks like it.
    filter_file
        BIDS filter file, JSON or YAML; with one, pybids searches.
    database
        Folder of a saved pybids database, which is made if it is not there; with one, pybids searches.
    derivatives
        Derivative datasets that pybids searches too.
    """

    layout: str = "auto"
    suffixes: tuple[str, ...] = SUFFIXES
    datatypes: tuple[str, ...] = ("anat",)
    exclude: tuple[Path, ...] = ()
    path_column: str | None = None
    filter_file: Path | None = None
    database: Path | None = None
    derivatives: tuple[Path, ...] = ()
