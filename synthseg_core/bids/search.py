"""What to look for among the images of a dataset, and how the words of file names are understood."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from synthseg_core.bids.names import ScanName, parse_name
from synthseg_core.errors import InputError

LAYOUTS = ("auto", "bids", "folder", "table")
# Anatomical contrasts of BIDS 1.11.1; quantitative maps can be asked for by name.
SUFFIXES = ("T1w", "T2w", "T2starw", "FLAIR", "PDw", "inplaneT1", "inplaneT2", "FLASH", "UNIT1")
DATATYPES = ("anat",)
BIDS_EXTENSIONS = (".nii.gz", ".nii")
FOLDER_EXTENSIONS = (*BIDS_EXTENSIONS, ".mgz", ".mgh")
COMPLEX_PARTS = ("phase", "real", "imag")
# Folders of a participant in BIDS 1.11.1 that hold no scans of anatomy.
OTHER_DATATYPES = (
    *("func", "dwi", "fmap", "perf", "pet", "mrs", "micr", "meg", "eeg", "ieeg", "emg", "beh", "nirs", "motion"),
)
# What lies in them, and nobody takes for a scan of anatomy.
OTHER_SUFFIXES = (
    *("bold", "cbv", "sbref", "dwi", "asl", "m0scan", "pet", "epi", "fieldmap", "magnitude", "magnitude1"),
    *("magnitude2", "phase1", "phase2", "phasediff", "svs", "mrsi", "unloc", "mrsref"),
)
# Folders of formats that nobody here reads, by the ends of their files' names.
FOREIGN_EXTENSIONS = (
    *(".mgz", ".mgh", ".img", ".img.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".mnc", ".mif", ".mif.gz"),
    *(".nii.bz2", ".nii.xz", ".nii.zst", ".nii.zip"),
)
DICOM_EXTENSIONS = (".dcm", ".ima")
# Names of older versions of BIDS, and those that people use for the same: the suffix that BIDS has for them.
_ALIASES = {
    **{"t1": "T1w", "t1weighted": "T1w", "mprage": "T1w", "t2": "T2w", "t2weighted": "T2w"},
    **{"pd": "PDw", "t2star": "T2starw", "t2flair": "FLAIR"},
}


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
        Folders that are left out of the search, such as the output.
    path_column
        Column of a table that holds the paths; ``None``: ``path``, or the only one that looks like it.
    filter_file
        BIDS filter file, JSON or YAML; with one, pybids searches.
    database
        Folder of a saved pybids database, which is made if it is not there; with one, pybids searches.
    derivatives
        Derivative datasets that pybids searches too.
    results
        Derivative dataset of earlier runs; scans that are named after their paths keep the names that they have there.
    """

    layout: str = "auto"
    suffixes: tuple[str, ...] = SUFFIXES
    datatypes: tuple[str, ...] = DATATYPES
    exclude: tuple[Path, ...] = ()
    path_column: str | None = None
    filter_file: Path | None = None
    database: Path | None = None
    derivatives: tuple[Path, ...] = ()
    results: Path | None = None

    @property
    def by_name(self) -> bool:
        """Whether kinds of scans or folders are asked for by name."""
        return self.suffixes != SUFFIXES or self.datatypes != DATATYPES

    @property
    def by_pybids(self) -> bool:
        """Whether pybids searches."""
        return bool(self.filter_file or self.database or self.derivatives)

    def wants(self, name: ScanName) -> bool:
        """Say whether a scan is one of those that are searched."""
        return name.suffix in self.suffixes and name.entities.get("part") not in COMPLEX_PARTS

    def meant(self, suffix: str) -> str:
        """Return the suffix that is searched and that another one perhaps stands for; empty if there is none."""
        folded = suffix.lower()
        alias = _ALIASES.get(folded)
        return next((word for word in self.suffixes if word.lower() == folded or word == alias), "")

    def unwanted(self, name: ScanName) -> tuple[str, str]:
        """Return what a scan that is not wanted is counted as, and what is wrong if it was perhaps meant to be."""
        part = name.entities.get("part")
        if part in COMPLEX_PARTS:
            return f"part-{part}", ""
        meant = self.meant(name.suffix)
        if not meant:
            return name.suffix, ""
        remedy = f"rename the file to end in _{meant}, or search for --suffixes {name.suffix}"
        return "", f"the suffix {name.suffix}, which is not searched; {remedy}"


def scan_name(file_name: str, extensions: tuple[str, ...], datatype: str) -> ScanName:
    """Return the name of a scan; ``InputError`` if the file has none by BIDS, or another extension."""
    parsed = parse_name(file_name)
    if parsed.extension.lower() not in extensions:
        raise InputError(
            file_name,
            found=f"the extension {parsed.extension}",
            expected=" or ".join(extensions),
            remedy="rename the file",
        )
    return ScanName(parsed.entities, parsed.suffix, datatype)


def is_image(name: str, extensions: tuple[str, ...]) -> bool:
    """Say whether a file name that is not hidden ends like an image."""
    return name.lower().endswith(extensions) and not name.startswith(".")


def foreign_format(name: str) -> str:
    """Return the format of an image that is not read, as messages call it; empty if it is none."""
    lower = name.lower()
    if lower.startswith("."):
        return ""
    if lower.endswith(DICOM_EXTENSIONS):
        return "DICOM"
    return max((end for end in FOREIGN_EXTENSIONS if lower.endswith(end)), key=len, default="")
