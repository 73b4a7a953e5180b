"""What the training part of a workflow configuration means: folders, inputs, settings and flags of its three rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthseg_core.app.layout import Layout
from synthseg_core.app.requests import date_back
from synthseg_core.app.stage_options import write_stage_file
from synthseg_core.errors import UsageError
from synthseg_core.system.settings import read_mapping
from synthseg_core.training.config import FREE

STAGES = ("generate", "train", "validate")
# Of the options of a training, those that are settings of 'synthseg train --config'.
_EXPERIMENT = ("preset", "name", "recipe", "training", "validation")
_SAMPLE_FILES = ("image.nii.gz", "labels.nii.gz", "draw.json")
_MODEL_FILES = ("card.yaml", "labels.tsv", "weights.safetensors")


@dataclass(frozen=True)
class TrainingPlan:
    """A checked training configuration; what is missing is noticed when a rule asks for it.

    Parameters
    ----------
    layout
        Folders; ``output`` holds a folder for each stage.
    maps, held_out
        Folders or files of label maps, absolute; empty where there are none.
    labels
        Label list: the name of one of the package's, or an absolute path.
    unknown
        ``refuse`` or ``background``: what becomes of values that the list lacks.
    options
        Those of each stage.
    """

    layout: Layout
    maps: tuple[str, ...]
    held_out: tuple[str, ...]
    labels: str
    unknown: str
    options: Mapping[str, Mapping[str, Any]]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> TrainingPlan:
        """Make a plan from the ``training`` part of a configuration, which fits its schema."""
        output = Path(config["output"]).absolute()
        return cls(
            layout=Layout(output, output / "work"),
            maps=_paths(config["maps"]),
            held_out=_paths(config["held_out"]),
            labels=_name_or_path(config["labels"]),
            unknown=config["unknown"],
            options={stage: config[stage] for stage in STAGES},
        )

    def folder(self, stage: str) -> Path:
        """Folder that a stage writes to."""
        return self.layout.output / stage

    def log(self, stage: str) -> Path:
        """Readable log of a stage."""
        return self.layout.output / "logs" / f"{stage}.log"

    @property
    def sheet(self) -> Path:
        """Picture of all samples."""
        return self.folder("generate") / "contact_sheet.png"

    @property
    def samples(self) -> list[Path]:
        """Files of all samples: image, labels, and the record of how it was made."""
        numbers = range(1, self.options["generate"]["samples"] + 1)
        return [self.folder("generate") / f"sample-{number:04d}_{kind}" for number in numbers for kind in _SAMPLE_FILES]

    @property
    def model(self) -> list[Path]:
        """Files of the trained model, its card first."""
        return [self.folder("train") / "model" / name for name in _MODEL_FILES]

    def required_maps(self) -> tuple[str, ...]:
        """Return the label maps to train on; ``UsageError`` if the configuration names none."""
        return _required(self.maps, "training.maps")

    def validation_inputs(self) -> list[str]:
        """Return the files of the model to validate, held-out label maps and labelled scans.

        Raises
        ------
        UsageError
            If there is nothing to validate on; training maps would say nothing about other heads.
        """
        scans = [path for files in self.options["validate"]["labelled"] for path in _paths(files)]
        maps = self.held_out if scans else _required(self.held_out, "training.held_out")
        other = self.options["validate"]["model"]
        model = self.model if other is None else [_name_or_path(other)] * bool(Path(other).suffix)
        return [*map(str, model), *maps, *scans]

    def flags(self, stage: str) -> list[str]:
        """Return the words for the command line of a stage that say what it works on."""
        return {"generate": self._generate, "train": self._train, "validate": self._validate}[stage]()

    def settings(self, stage: str) -> dict[str, Any]:
        """Return what decides the results of a stage; for ``train``, a file for ``synthseg train --config``."""
        options = self.options[stage]
        if stage == "train":
            return {"labels": self.labels, **{name: options[name] for name in _EXPERIMENT}}
        return {"labels": self.labels, "unknown": self.unknown, **options}

    def stage_file(self, stage: str, *, preview: bool = False) -> Path:
        """Return the settings file of a stage, up to date with the configuration.

        Raises
        ------
        UsageError
            If a training has begun with other settings: before Snakemake removes the model for the sake of a run that
            would refuse them.
        """
        if stage == "train":
            self._require_same()
        return write_stage_file(self.layout, stage, self.settings(stage), preview=preview)

    def listed(self, stage: str, *, preview: bool = False) -> Path:
        """Return a file with the names of what a stage works on, which is newer than its results if these change."""
        maps = {"maps": [*self.maps], "held_out": [*self.held_out]}
        known = {"files": self.validation_inputs()} if stage == "validate" else maps
        is_new = not self.layout.settings(f"{stage}_files").is_file()
        path = write_stage_file(self.layout, f"{stage}_files", known, preview=preview)
        if is_new:  # results that are there are not of other files as far as is known
            date_back(path, ())
        return path

    def _require_same(self) -> None:
        path = self.layout.settings("train")
        if not path.is_file() or not (self.folder("train") / "last.pt").is_file():
            return
        before, now = _fixed(read_mapping(path, "settings of a training")), _fixed(self.settings("train"))
        if changed := [name for name in now if now[name] != before.get(name)]:
            raise UsageError(
                f"training.{' and '.join(changed)}",
                found=f"a change after the training in {self.folder('train')} began",
                expected="the settings that it began with; stages may become longer or shorter",
                remedy="change them back, or give training.output another folder",
            )

    def _generate(self) -> list[str]:
        options = self.options["generate"]
        recipe, labels = _name_or_path(options["recipe"]), self.labels
        numbers = ["--count", str(options["samples"]), "--seed", str(options["seed"])]
        return ["--maps", *self.maps, *self._unknown(), "--labels", labels, "--recipe", recipe, *numbers]

    def _train(self) -> list[str]:
        budget = self.options["train"]["budget"]
        held_out = ["--validation-maps", *self.held_out] if self.held_out else []
        return ["--maps", *self.maps, *self._unknown(), *held_out, *(["--budget", budget] if budget else [])]

    def _validate(self) -> list[str]:
        options = self.options["validate"]
        scans = [word for files in options["labelled"] for word in ("--labelled", *_paths(files))]
        draws = [
            "--labels",
            self.labels,
            "--recipe",
            _name_or_path(options["recipe"]),
            "--draws",
            str(options["draws"]),
        ]
        model = self.model[0] if options["model"] is None else _name_or_path(options["model"])
        return ["--model", str(model), *(["--maps", *self.held_out, *draws] if self.held_out else []), *scans]

    def _unknown(self) -> list[str]:
        return ["--ignore-unknown"] if self.unknown == "background" else []


def _fixed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that have to stay while a training goes on."""
    training = {key: value for key, value in settings["training"].items() if key not in FREE}
    if "stages" in training:
        training["stages"] = [{**stage, "steps": None} for stage in training["stages"]]
    return {name: settings[name] for name in ("labels", "preset", "recipe")} | {"training": training}


def _required(paths: tuple[str, ...], key: str) -> tuple[str, ...]:
    if not paths:
        raise UsageError(
            key,
            found="no label maps",
            expected="a folder of label maps, or a list of files",
            remedy="use --configfile config/train.yaml, with paths of yours in it",
        )
    return paths


def _paths(value: str | Sequence[str] | None) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value or ()
    return tuple(str(Path(text).absolute()) for text in texts)


def _name_or_path(text: str) -> str:
    """Make the path of a file absolute; names of what the package has, which have no extension, stay."""
    return str(Path(text).absolute()) if Path(text).suffix else text
