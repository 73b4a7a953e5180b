"""What the training part of a workflow configuration means: folders, inputs, settings and flags of its rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthseg_core.app.layout import Layout
from synthseg_core.app.requests import date_back
from synthseg_core.app.stage_options import write_stage_file
from synthseg_core.app.translation_plan import TranslationPlan
from synthseg_core.bids.own_folders import work_folder
from synthseg_core.errors import UsageError
from synthseg_core.system.settings import read_mapping
from synthseg_core.training.config import FREE

STAGES = ("generate", "train", "validate")
FAMILY: Mapping[str, Mapping[str, str]] = {
    "groups": {},
    "denoiser": {"group_segmenter": "groups"},
    "segmenter": {"group_segmenter": "groups", "denoiser": "denoiser"},
    "parcellation": {},
    "quality": {"segmenter": "segmenter"},
}
"""Trainings of the target train_robust, and whose models each builds on, by role; the last two only if asked for."""
SUPERVISED = ("supervised", "tiny_supervised")
"""Presets that learn from scans with label maps."""
TRANSLATED = "translated"
"""In place of a table of scans: those that the target translate_dataset makes."""
_PRESETS = {"groups": "robust_s1", "denoiser": "denoiser", "segmenter": "robust_s2"}
_UNCHANGED: Mapping[str, Any] = {"budget": None, "recipe": {}, "training": {}, "validation": {}}
_MEMBER = "robust_"  # before the name of a training of the family, where all stages have names
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
        Those of each stage; of a family, those of the trainings that are asked for.
    family
        Name of the family of models.
    translation
        What makes translated scans; ``None``: nothing does.
    """

    layout: Layout
    maps: tuple[str, ...]
    held_out: tuple[str, ...]
    labels: str
    unknown: str
    options: Mapping[str, Mapping[str, Any]]
    family: str = "my-family"
    translation: TranslationPlan | None = None

    @classmethod
    def from_config(cls, config: Mapping[str, Any], translation: TranslationPlan | None = None) -> TrainingPlan:
        """Make a plan from the ``training`` part of a configuration, which fits its schema.

        Parameters
        ----------
        config
            That part.
        translation
            Of the same configuration.
        """
        output = Path(config["output"]).absolute()
        return cls(
            layout=Layout(output, work_folder(output)),
            maps=_paths(config["maps"]),
            held_out=_paths(config["held_out"]),
            labels=_name_or_path(config["labels"]),
            unknown=config["unknown"],
            options={stage: config[stage] for stage in STAGES} | _members(config["robust"]),
            family=config["robust"]["name"],
            translation=translation,
        )

    def folder(self, stage: str) -> Path:
        """Folder that a stage writes to."""
        return self.layout.output / stage

    def log(self, stage: str) -> Path:
        """Readable log of a stage."""
        return self.layout.logs / f"{stage}.log"

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
        return self.model_of("train")

    def model_of(self, stage: str) -> list[Path]:
        """Return the files of the model of a training, its card first."""
        return [self.folder(stage) / "model" / name for name in _MODEL_FILES]

    @property
    def members(self) -> list[str]:
        """Trainings of the family that are asked for, each after those that it builds on."""
        return [member for member in FAMILY if _MEMBER + member in self.options]

    def before(self, member: str) -> list[Path]:
        """Return the cards and weights of the models that a training of the family builds on."""
        return [path for other in FAMILY[member].values() for path in self.model_of(_MEMBER + other)]

    @property
    def family_files(self) -> list[Path]:
        """Files of the whole family, its card first."""
        return [self.folder("robust") / name for name in _MODEL_FILES]

    @property
    def family_flags(self) -> list[str]:
        """Words for the command line that puts a family together."""
        companions = [member for member in ("parcellation", "quality") if member in self.members]
        flags = [word for one in companions for word in (f"--{one}", str(self.model_of(_MEMBER + one)[0]))]
        return [str(self.model_of(f"{_MEMBER}segmenter")[0]), *flags, "--name", self.family]

    def required_maps(self) -> tuple[str, ...]:
        """Return the label maps to train on; ``UsageError`` if the configuration names none."""
        return _required(self.maps, "training.maps")

    def scans(self, key: str = "images") -> list[Path]:
        """Return the table of scans to train on (``images``) or to validate on; nothing where they are synthetic.

        Raises
        ------
        UsageError
            If the preset and the scans do not go together, or translated ones have no labels.
        """
        options = self.options["train"]
        given, preset = options[key], options["preset"]
        if (options["images"] is None) != (preset not in SUPERVISED) or (given and not options["images"]):
            raise UsageError(
                "training.train.images",
                found=f"{options['images'] or 'none'} with the preset {preset}",
                expected=f"scans with the presets {' and '.join(SUPERVISED)}, and with no other",
                remedy="change one of them",
            )
        if given == TRANSLATED and self.translation is not None:
            return [self.translation.labelled()]
        return [Path(given).absolute()] if given else []

    def training_inputs(self) -> list[str]:
        """Return what is trained on, and what is validated on meanwhile: label maps, or tables of scans with theirs."""
        tables = [*self.scans(), *self.scans("validation_images")]
        return [str(path) for path in tables] or [*self.required_maps(), *self.held_out]

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
        if stage in ("generate", "validate"):
            return self._generate() if stage == "generate" else self._validate()
        return self._train(stage)

    def settings(self, stage: str) -> dict[str, Any]:
        """Return what decides the results of a stage; for ``train``, a file for ``synthseg train --config``."""
        options = self.options[stage]
        if stage not in ("generate", "validate"):
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
        if stage not in ("generate", "validate"):
            self._require_same(stage)
        return write_stage_file(self.layout, stage, self.settings(stage), preview=preview)

    def listed(self, stage: str, *, preview: bool = False) -> Path:
        """Return a file with the names of what a stage works on, which is newer than its results if these change."""
        maps = {"maps": [*self.maps], "held_out": [*self.held_out]}
        if stage == "train" and self.scans():
            maps = {"scans": self.training_inputs()}
        known = {"files": self.validation_inputs()} if stage == "validate" else maps
        is_new = not self.layout.settings(f"{stage}_files").is_file()
        path = write_stage_file(self.layout, f"{stage}_files", known, preview=preview)
        if is_new:  # results that are there are not of other files as far as is known
            date_back(path, ())
        return path

    def _require_same(self, stage: str) -> None:
        path = self.layout.settings(stage)
        if not path.is_file() or not (self.folder(stage) / "last.pt").is_file():
            return
        before, now = _fixed(read_mapping(path, "settings of a training")), _fixed(self.settings(stage))
        if changed := [name for name in now if now[name] != before.get(name)]:
            raise UsageError(
                f"training.{' and '.join(changed)}",
                found=f"a change after the training in {self.folder(stage)} began",
                expected="the settings that it began with; stages may become longer or shorter",
                remedy="change them back, or give training.output another folder",
            )

    def _generate(self) -> list[str]:
        options = self.options["generate"]
        recipe, labels = _name_or_path(options["recipe"]), self.labels
        numbers = ["--count", str(options["samples"]), "--seed", str(options["seed"])]
        return ["--maps", *self.maps, *self._unknown(), "--labels", labels, "--recipe", recipe, *numbers]

    def _train(self, stage: str) -> list[str]:
        budget = self.options[stage]["budget"]
        limit = ["--budget", budget] if budget else []
        if stage == "train" and self.scans():
            known = (("--pairs", self.scans()), ("--validation-pairs", self.scans("validation_images")))
            return [*(str(word) for flag, paths in known for word in (flag, *paths) if paths), *self._unknown(), *limit]
        held_out = ["--validation-maps", *self.held_out] if self.held_out else []
        roles = FAMILY.get(stage.removeprefix(_MEMBER), {}) if stage.startswith(_MEMBER) else {}
        models = [
            word
            for role, other in roles.items()
            for word in (f"--{role.replace('_', '-')}", str(self.model_of(_MEMBER + other)[0]))
        ]
        return ["--maps", *self.maps, *self._unknown(), *held_out, *models, *limit]

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


def _members(config: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the options of each training of a family that is asked for; its models are named after the family."""
    presets = {member: config[member].get("preset", _PRESETS.get(member)) for member in FAMILY}
    return {
        _MEMBER + member: {**_UNCHANGED, **config[member], "preset": preset, "name": f"{config['name']}-{member}"}
        for member, preset in presets.items()
        if preset is not None
    }


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
