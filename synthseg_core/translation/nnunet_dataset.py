"""A labelled dataset of pictures in another contrast, as nnU-Net reads it: translated pictures, labels untouched.

``Dataset<ID>_SYNTH_<target>_from_<source>`` with ``imagesTr``, ``labelsTr``, an empty ``imagesTs``, ``dataset.json``,
and ``originals.json``, which says what every picture was made from.

References
----------
nnU-Net v2, dataset format: names of cases, ``channel_names``, ``labels``, ``file_ending``.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from synthseg_core.errors import InputError, UsageError
from synthseg_core.system.atomic import atomic_path, write_bytes, write_json
from synthseg_core.system.progress import OnProgress
from synthseg_core.system.settings import read_mapping
from synthseg_core.system.words import listed
from synthseg_core.translation.microscopy import CHANNEL, IMAGES
from synthseg_core.translation.picture_dataset import scaled_shape
from synthseg_core.translation.pictures import (
    EXTENSIONS,
    grey8,
    picture_bytes,
    read_label_picture,
    read_picture,
    resized,
    to_8_bits,
)

LABELS = "labelsTr"
ORIGINALS = "originals.json"
CHANNEL_NAME = "rescale_to_0_1"
"""How nnU-Net normalises the pictures: 8 bits to 0 ... 1."""
BACKGROUND = "background"

TranslatePicture: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""From a picture (height, width), float32, -1 to 1, at the spacing of the translator, to one of the same kind."""


@dataclass(frozen=True)
class Case:
    """A picture to be translated.

    Parameters
    ----------
    path
        Of the picture.
    label
        Of its labels, on the same pixels; ``None`` without.
    factors
        What the numbers of rows and columns are multiplied by for the translator.
    """

    path: Path
    label: Path | None = None
    factors: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True)
class Names:
    """What a dataset is called.

    Parameters
    ----------
    number
        Of the dataset, 1 to 999.
    source, target
        Names of the contrasts.
    """

    number: int
    source: str
    target: str

    def __post_init__(self) -> None:
        if not 1 <= self.number <= 999:
            raise UsageError("dataset number", found=str(self.number), expected="1 to 999", remedy="choose another")

    @property
    def folder(self) -> str:
        """Name of its folder."""
        return f"Dataset{self.number:03d}_SYNTH_{self.target}_from_{self.source}"

    def case(self, number: int) -> str:
        """Return the name of a case, counted from 0."""
        return f"SYNTH_{self.target}_{number:03d}"


@dataclass(frozen=True)
class Labelled:
    """The labels of a dataset.

    Parameters
    ----------
    labels
        As in ``dataset.json``: name -> value, or list of values for regions; background first.
    ending
        Of the files of labels, and so of the pictures.
    more
        Further entries for ``dataset.json``, such as ``regions_class_order``.
    """

    labels: Mapping[str, Any]
    ending: str = ".png"
    more: Mapping[str, Any] = field(default_factory=dict)


def labelled_cases(dataset: Path, factors: Callable[[Path], tuple[float, float]]) -> tuple[Case, ...]:
    """Return the pictures of a dataset of nnU-Net with their labels.

    Parameters
    ----------
    dataset
        With ``imagesTr`` and ``labelsTr``.
    factors
        Returns what the numbers of rows and columns of a picture are multiplied by.

    Raises
    ------
    InputError
        If there are no pictures, or labels are missing.
    """
    pictures = sorted(path for path in (dataset / IMAGES).iterdir() if path.suffix.lower() in EXTENSIONS)
    strange = [path.name for path in pictures if not path.stem.endswith("_0000")]
    if strange or not pictures:
        raise InputError(
            dataset / IMAGES,
            found=listed(strange, 3) or "no pictures",
            expected="cases of one channel, such as case_0000.png",
            remedy="correct the dataset",
        )
    names = {path.stem: path for path in sorted((dataset / LABELS).glob("*")) if path.suffix.lower() in EXTENSIONS}
    cases = [Case(path, names.get(CHANNEL.sub("", path.stem)), factors(path)) for path in pictures]
    if missing := [case.path.name for case in cases if case.label is None]:
        raise InputError(
            dataset / LABELS,
            found=f"no labels of {listed(missing, 3)}",
            expected="a file for each case",
            remedy="add them, or remove the pictures",
        )
    return tuple(cases)


def read_labels(dataset: Path, cases: Sequence[Case], given: Mapping[str, int] | None = None) -> Labelled:
    """Return the labels of a dataset, and check that its pictures have no others.

    Parameters
    ----------
    dataset
        Of nnU-Net.
    cases
        With labels.
    given
        Name -> value; ``None``: those of its ``dataset.json``.

    Raises
    ------
    InputError
        If values occur that the list lacks, or labels and picture differ in shape or format.
    UsageError
        If a list has no background 0, or values are left out.
    """
    about = {} if given is not None else read_mapping(dataset / "dataset.json", "dataset.json of nnU-Net")
    labels: Mapping[str, Any] = given if given is not None else about.get("labels", {})
    known = _values(labels, dataset)
    endings = sorted({case.label.suffix for case in cases if case.label is not None})
    if len(endings) > 1:
        raise InputError(
            dataset / LABELS,
            found=f"labels that end in {' and '.join(endings)}",
            expected="one format",
            remedy="convert them",
        )
    for case in cases:
        if case.label is not None:
            _check_label(case, case.label, known)
    more = {key: about[key] for key in ("regions_class_order",) if key in about}
    return Labelled(labels, endings[0] if endings else ".png", more)


def write_dataset(
    folder: Path,
    names: Names,
    cases: Sequence[Case],
    labelled: Labelled,
    translate: TranslatePicture,
    progress: OnProgress | None = None,
) -> Path:
    """Translate all pictures, copy their labels, and describe the dataset; return its folder.

    Parameters
    ----------
    folder
        In which the dataset's folder is made, such as ``$nnUNet_raw``.
    names
        Of the dataset.
    cases
        With labels.
    labelled
        Their meaning.
    translate
        See :data:`TranslatePicture`.
    progress
        Called with the number of pictures done and of all.
    """
    out = folder / names.folder
    for part in (IMAGES, LABELS, "imagesTs"):
        (out / part).mkdir(parents=True, exist_ok=True)
    originals: dict[str, dict[str, str]] = {}
    for number, case in enumerate(cases):
        name = names.case(number)
        picture = translated_picture(read_picture(case.path), case.factors, translate)
        image = f"{IMAGES}/{name}_0000{labelled.ending}"
        write_bytes(out / image, picture_bytes(picture, labelled.ending))
        originals[image] = {"image": str(case.path)}
        if case.label is not None:
            originals[image]["labels"] = str(case.label)
            _copy(case.label, out / LABELS / f"{name}{labelled.ending}")
        if progress is not None:
            progress(number + 1, len(cases))
    write_json(out / ORIGINALS, originals)
    write_json(out / "dataset.json", _description(names, cases, labelled))
    return out


def translated_picture(picture: np.ndarray, factors: tuple[float, float], translate: TranslatePicture) -> np.ndarray:
    """Return a picture in another contrast, of its own size, uint8.

    Parameters
    ----------
    picture : (height, width)
        Grey values.
    factors
        What the numbers of rows and columns are multiplied by for the translator.
    translate
        See :data:`TranslatePicture`.
    """
    grey, _ = grey8(picture)
    shape = (grey.shape[0], grey.shape[1])
    image = resized(grey, scaled_shape(shape, factors)) / np.float32(127.5) - 1
    return to_8_bits(resized(translate(image), shape))


def next_commands(out: Path, number: int) -> Iterator[str]:
    """Yield the commands of nnU-Net that train on a dataset and predict, for its 2D configuration."""
    raw = out.parent
    yield f"export nnUNet_raw={raw} nnUNet_preprocessed={raw.parent / 'nnUNet_preprocessed'}"
    yield f"export nnUNet_results={raw.parent / 'nnUNet_results'}"
    yield f"nnUNetv2_plan_and_preprocess -d {number} -c 2d --verify_dataset_integrity"
    yield f"nnUNetv2_train {number} 2d 0    # and folds 1 to 4; without a GPU: -device cpu"
    yield f"nnUNetv2_predict -d {number} -c 2d -f 0 -i FOLDER_OF_PICTURES -o FOLDER_FOR_LABELS"


def _values(labels: Mapping[str, Any], dataset: Path) -> set[int]:
    """Return all values of a list of labels, which have to follow each other from 0 on."""
    given = [one for value in labels.values() for one in (value if isinstance(value, list) else [value])]
    whole = [one for one in given if isinstance(one, int) and not isinstance(one, bool)]
    if len(whole) < len(given) or labels.get(BACKGROUND) != 0 or set(whole) != set(range(len(set(whole)))):
        raise UsageError(
            "labels",
            found=", ".join(f"{name}={value}" for name, value in labels.items()) or f"none, also not in {dataset.name}",
            expected="background=0, and values that follow each other: 1, 2, ...",
            remedy="give the list with --labels background=0 NAME=1 ...",
        )
    return set(whole)


def _check_label(case: Case, path: Path, known: set[int]) -> None:
    labels, picture = read_label_picture(path), read_picture(case.path)
    if labels.shape != picture.shape:
        raise InputError(
            path,
            found=f"{labels.shape[1]} x {labels.shape[0]} pixels",
            expected=f"{picture.shape[1]} x {picture.shape[0]}, as {case.path.name}",
            remedy="correct the pair",
        )
    if strange := sorted(set(np.unique(labels).tolist()) - known):
        raise InputError(
            path,
            found=f"the values {listed(map(str, strange), 5)}",
            expected=f"only {listed(map(str, sorted(known)))}, which the list of labels has",
            remedy="correct the labels, or give their list with --labels",
        )


def _copy(source: Path, target: Path) -> None:
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)


def _description(names: Names, cases: Sequence[Case], labelled: Labelled) -> dict[str, Any]:
    return {
        "channel_names": {"0": CHANNEL_NAME},
        "labels": dict(labelled.labels),
        "numTraining": len(cases),
        "file_ending": labelled.ending,
        "overwrite_image_reader_writer": "NaturalImage2DIO",
        **labelled.more,
        "description": f"Pictures of {names.source}, translated to {names.target}; synthetic, labels of the originals",
    }
