"""BIDS file names: entities of a scan, the names of its derivatives, and back. Standard library only.

A scan is known by its *stem*, the part that all its derivatives share:
``sub-01/ses-2/anat/sub-01_ses-2_run-1_space-T1w``. The scan's own suffix goes into ``space-``: this is true, and it
keeps T1w and FLAIR of one session apart.

References
----------
Brain Imaging Data Structure 1.11.1, entity table and common derivatives.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from synthseg_core.errors import InputError

# Order of entities in file names (BIDS 1.11.1).
ENTITIES = (
    *("sub", "tpl", "ses", "cohort", "sample", "task", "tracksys", "acq", "nuc", "voi", "ce", "trc", "stain", "rec"),
    *("dir", "run", "mod", "echo", "flip", "inv", "mt", "part", "proc", "hemi", "space", "split", "recording"),
    *("chunk", "atlas", "seg", "scale", "res", "den", "label", "desc"),
)
# Entities that derivatives of ours add; a source that carries one is a derivative already.
DERIVED = ("space", "atlas", "seg", "scale", "res", "den", "label", "desc")
# Suffix given to scans whose names are not BIDS; ``space-orig`` is BIDS for "the scan's own space".
UNNAMED_SUFFIX = "orig"

# What every stem looks like, for wildcards. A pattern with one branch a scan takes seconds to compile for 10 000 scans.
STEM_PATTERN = r"sub-[^/]+/(?:ses-[^/]+/)?[^/]+/sub-[^/]+_space-[^/]+"

_RANK = {entity: rank for rank, entity in enumerate(ENTITIES)}
_BEFORE_SPACE = _RANK["space"] - 0.5
_PAIR = r"[0-9a-zA-Z]+-[0-9a-zA-Z+]+"
_NAME = re.compile(rf"(?P<entities>{_PAIR}(?:_{_PAIR})*)_(?P<suffix>[0-9a-zA-Z]+)(?P<extension>\.[^/]+)?")
_WORD = re.compile(r"[0-9a-zA-Z]+")
# Among ten thousand names of other scripts, two have the same with a chance of 1 %, and then are told.
_HASH_LETTERS = 8


@dataclass(frozen=True)
class BidsName:
    """A file name taken apart.

    Parameters
    ----------
    entities
        Keys and labels, in the order of the specification; unknown keys stand before ``space``.
    suffix
        Last word, for instance ``T1w``.
    extension
        From the first dot on, ``.nii.gz``; empty where there is none.
    """

    entities: Mapping[str, str]
    suffix: str
    extension: str = ""

    def __post_init__(self) -> None:
        ordered = dict(sorted(self.entities.items(), key=lambda pair: (_rank(pair[0]), pair[0])))
        object.__setattr__(self, "entities", ordered)

    def __str__(self) -> str:
        pairs = [f"{key}-{label}" for key, label in self.entities.items()]
        return "_".join([*pairs, self.suffix]) + self.extension


@dataclass(frozen=True)
class ScanName:
    """What makes a scan different from all others of a dataset.

    Parameters
    ----------
    entities
        Of the source, without ``space``.
    suffix
        Of the source.
    datatype
        Folder: ``anat``.
    """

    entities: Mapping[str, str]
    suffix: str
    datatype: str = "anat"

    def __post_init__(self) -> None:
        object.__setattr__(self, "entities", BidsName(self.entities, self.suffix).entities)
        derived = [key for key in DERIVED if key in self.entities]
        if derived or "sub" not in self.entities:
            raise InputError(
                BidsName(self.entities, self.suffix),
                found=f"the entity {', '.join(derived)}" if derived else "no sub entity",
                expected="the name of a raw scan",
                remedy="give the dataset that holds the raw scans, or choose among derivatives with a filter file "
                "(--bids-filter-file)"
                if derived
                else "rename the file",
            )

    @property
    def folder(self) -> str:
        """Folder of the scan and of its derivatives, relative to the dataset."""
        levels = [f"{key}-{self.entities[key]}" for key in ("sub", "ses") if key in self.entities]
        return "/".join([*levels, self.datatype])

    @property
    def stem(self) -> str:
        """First part of the path of every derivative, relative to the derivative dataset."""
        name = str(BidsName({**self.entities, "space": self.suffix}, "x"))
        return f"{self.folder}/{name.removesuffix('_x')}"


@dataclass(frozen=True)
class Product:
    """A kind of derivative: what is added to a stem.

    Parameters
    ----------
    stage
        Stage of the workflow that makes it.
    suffix
        As in :class:`BidsName`; empty: that of the scan.
    extension
        As in :class:`BidsName`.
    entities
        Entities that follow those of the stem.
    copy_of
        Product that has the same content; empty where none has. A result is complete without its copies.
    """

    stage: str
    suffix: str
    extension: str
    entities: Mapping[str, str] = field(default_factory=dict[str, str])
    copy_of: str = ""

    def ending(self, scan_suffix: str) -> str:
        """Last part of the path of this derivative of a scan, for instance of a ``T1w``."""
        return f"_{BidsName(self.entities, self.suffix or scan_suffix, self.extension)}"


_SEGMENTATION = {"seg": "synthseg"}
_SEGMENTATION_1MM = {"seg": "synthseg", "res": "1mm"}
_PARCELS = {"seg": "synthsegparc"}
_PARCELS_1MM = {"seg": "synthsegparc", "res": "1mm"}
_BRAIN = {"desc": "brain"}
_QUALITY = {"desc": "qc"}
_HEAD = {"seg": "synthseghead"}
_RESAMPLED = {"res": "1mm", "desc": "preproc"}
_TRANSLATED = {"desc": "translated"}
PRODUCTS: dict[str, Product] = {
    "translated": Product("translate", "", ".nii.gz", _TRANSLATED),
    "translated_sidecar": Product("translate", "", ".json", _TRANSLATED),
    "dseg": Product("segment", "dseg", ".nii.gz", _SEGMENTATION),
    "sidecar": Product("segment", "dseg", ".json", _SEGMENTATION),
    "dseg_1mm": Product("segment", "dseg", ".nii.gz", _SEGMENTATION_1MM),
    # By inheritance one file could serve both maps, but not where the entities of one scan are part of another's.
    "sidecar_1mm": Product("segment", "dseg", ".json", _SEGMENTATION_1MM, "sidecar"),
    "mask": Product("segment", "mask", ".nii.gz", _BRAIN),
    "mask_sidecar": Product("segment", "mask", ".json", _BRAIN),
    "volumes": Product("segment", "volumes", ".tsv", _SEGMENTATION),
    "posteriors_1mm": Product("posteriors", "probseg", ".nii.gz", _SEGMENTATION_1MM),
    "posteriors_sidecar": Product("posteriors", "probseg", ".json", _SEGMENTATION_1MM),
    "resampled": Product("resample", "", ".nii.gz", _RESAMPLED),
    "resampled_sidecar": Product("resample", "", ".json", _RESAMPLED),
    "parcels": Product("parcellate", "dseg", ".nii.gz", _PARCELS),
    "parcels_sidecar": Product("parcellate", "dseg", ".json", _PARCELS),
    "parcels_1mm": Product("parcellate", "dseg", ".nii.gz", _PARCELS_1MM),
    "parcels_sidecar_1mm": Product("parcellate", "dseg", ".json", _PARCELS_1MM, "parcels_sidecar"),
    "parcel_volumes": Product("parcellate", "volumes", ".tsv", _PARCELS),
    "scores": Product("qc", "scores", ".tsv", _QUALITY),
    "scores_sidecar": Product("qc", "scores", ".json", _QUALITY),
    "head": Product("merge_head", "dseg", ".nii.gz", _HEAD),
    "head_sidecar": Product("merge_head", "dseg", ".json", _HEAD),
}
# In the order in which they run. "posteriors" is an optional part of "segment", made by the same job.
STAGES = ("translate", "segment", "posteriors", "resample", "parcellate", "qc", "merge_head")


# Stage -> its product that says what the others were made from.
SIDECARS = {
    "translate": "translated_sidecar",
    "segment": "sidecar",
    "posteriors": "posteriors_sidecar",
    "resample": "resampled_sidecar",
    "parcellate": "parcels_sidecar",
    "qc": "scores_sidecar",
    "merge_head": "head_sidecar",
}


def products_of(stage: str) -> tuple[str, ...]:
    """Return the keys in ``PRODUCTS`` of what a stage makes."""
    return tuple(key for key, product in PRODUCTS.items() if product.stage == stage)


def results_of(stage: str) -> tuple[str, ...]:
    """Return the keys in ``PRODUCTS`` of what says that a stage is done: what it makes, without copies."""
    return tuple(key for key in products_of(stage) if not PRODUCTS[key].copy_of)


def copies_of(stage: str) -> tuple[str, ...]:
    """Return the keys in ``PRODUCTS`` of the copies that a stage makes."""
    return tuple(key for key in products_of(stage) if PRODUCTS[key].copy_of)


def parse_name(name: str) -> BidsName:
    """Take a file name apart.

    Raises
    ------
    InputError
        If it is not ``key-label_..._suffix.extension`` or a key occurs twice.
    """
    match = _NAME.fullmatch(name)
    pairs = [pair.split("-") for pair in match["entities"].split("_")] if match else []
    keys = [key for key, _ in pairs]
    if match is None or len(set(keys)) != len(keys):
        raise InputError(
            name,
            found="a key that occurs twice" if match else "a name that is not BIDS",
            expected="sub-<label>[_<key>-<label>...]_<suffix>.nii.gz",
            remedy="rename the file",
        )
    labels = [label for _, label in pairs]
    return BidsName(dict(zip(keys, labels, strict=True)), match["suffix"], match["extension"] or "")


def derivative(stem: str, product: str) -> str:
    """Return the path of a derivative relative to its dataset; ``product`` is a key of ``PRODUCTS``."""
    return stem + _ending(product, suffix_of(stem))


@cache
def _ending(product: str, scan_suffix: str) -> str:
    """Return the ending of a product; large datasets ask for a hundred thousand paths of a dozen endings."""
    return PRODUCTS[product].ending(scan_suffix)


def report_name(stem: str) -> str:
    """Return what the page about a scan is called, without its extension: no two scans share one.

    Pages of all scans lie in one folder, so the name says the data type where that is not ``anat``.
    """
    folder, _, name = stem.rpartition("/")
    datatype = folder.rpartition("/")[2]
    return name if datatype == "anat" else f"{name}_{datatype}"


def stem_of_report(name: str) -> str:
    """Return the stem of the scan that a page is about; :func:`report_name` undone."""
    *pairs, last = name.split("_")
    datatype = "anat" if "-" in last else last
    folders = [pair for pair in pairs if pair.startswith(("sub-", "ses-"))]
    return "/".join([*folders[:2], datatype, name if datatype == "anat" else "_".join(pairs)])


def suffix_of(stem: str) -> str:
    """Return the suffix of the scan that a stem belongs to."""
    return stem.rpartition("_space-")[2].partition("_")[0]


def parse_stem(stem: str) -> ScanName:
    """Return the scan that a stem belongs to.

    Raises
    ------
    InputError
        If no scan has this stem.
    """
    scan = _scan_of(stem)
    if scan is None or scan.stem != stem:
        raise InputError(
            stem,
            found="a path that no scan's derivatives have",
            expected="sub-<label>/[ses-<label>/]<datatype>/sub-<label>[_...]_space-<suffix>",
            remedy="correct the scan table, or let it be made again",
        )
    return scan


def parse_derivative(path: str) -> tuple[ScanName, str]:
    """Return the scan and the key in ``PRODUCTS`` of a derivative's path relative to its dataset.

    Raises
    ------
    InputError
        If no product has such a name.
    """
    for key, product in PRODUCTS.items():
        ending = product.ending(path.rpartition("_")[2].partition(".")[0])
        if path.endswith(ending) and derivative(path.removesuffix(ending), key) == path:
            return parse_stem(path.removesuffix(ending)), key
    raise InputError(
        path, found="no derivative of ours", expected=f"one of {', '.join(PRODUCTS)}", remedy="check the path"
    )


def label_from(text: str) -> str:
    """Return the letters and digits of any text, for use as a label; empty if there are none.

    Letters lose their accents. Of other scripts, such as Chinese, labels hold a short hash of the whole text, which is
    always the same and keeps names apart.
    """
    if text.isascii():
        return "".join(_WORD.findall(text))
    plain = unicodedata.normalize("NFKD", text)
    label = "".join(_WORD.findall(plain))
    if all(letter.isascii() for letter in plain if letter.isalnum()):
        return label
    composed = unicodedata.normalize("NFC", text).encode("utf-8", errors="surrogatepass")
    return label + hashlib.sha256(composed).hexdigest()[:_HASH_LETTERS]


def _scan_of(stem: str) -> ScanName | None:
    """Read a stem without checking that it is in its place."""
    folder, _, name = stem.rpartition("/")
    try:
        entities = dict(parse_name(f"{name}_x").entities)
        suffix = entities.pop("space", "")
        return ScanName(entities, suffix, folder.rpartition("/")[2])
    except InputError:
        return None


def _rank(key: str) -> float:
    return _RANK.get(key, _BEFORE_SPACE)
