"""What the translation part of a workflow configuration means: folders, inputs, settings and flags of its rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthseg_core.app.layout import Layout
from synthseg_core.app.stage_options import write_stage_file
from synthseg_core.bids.own_folders import work_folder
from synthseg_core.errors import UsageError

_DATASET_FILES = ("dataset_train.hdf5", "dataset_val.hdf5", "dataset_test.hdf5", "manifest.tsv", "dataset.json")
# Keys of the dataset that are one flag with one word, for scans and for pictures; None gives no flag.
_PLAIN = ("spacing", "seed", "split_by", "site_column")
_OF_SCANS, _OF_PICTURES = ("plane", "coverage", "neighbours"), ("subject_pattern",)


@dataclass(frozen=True)
class TranslationPlan:
    """A checked translation configuration; what is missing is noticed when a rule asks for it.

    Parameters
    ----------
    layout
        Folders; ``output`` holds a folder for each stage.
    options
        Those of each stage.
    """

    layout: Layout
    options: Mapping[str, Mapping[str, Any]]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> TranslationPlan:
        """Make a plan from the ``translation`` part of a configuration, which fits its schema."""
        output = Path(config["output"]).absolute()
        options = {stage: values for stage, values in config.items() if stage != "output"}
        return cls(Layout(output, work_folder(output)), options)

    def folder(self, stage: str) -> Path:
        """Folder that a stage writes to."""
        return self.layout.output / stage

    def log(self, stage: str) -> Path:
        """Readable log of a stage."""
        return self.layout.logs / f"{stage}.log"

    @property
    def dataset(self) -> list[Path]:
        """Files of the dataset of two domains."""
        return [self.folder("dataset") / name for name in _DATASET_FILES]

    @property
    def dataset_flags(self) -> list[str]:
        """Words for ``synthseg translate dataset``, but for the output."""
        options = self.options["dataset"]
        own = _OF_PICTURES if options["pictures"] else _OF_SCANS
        words = [word for name, domain in options["domains"].items() for word in _domain_words(name, domain)]
        ct = [name for name, domain in options["domains"].items() if domain.get("ct")]
        words += ["--ct", *ct, "--ct-window", *map(str, options["ct_window"])] if ct else []
        words += [f"--{key}" for key in ("paired", "pictures") if options[key]]
        for key in (*_PLAIN, *own):
            words += [] if options[key] is None else [f"--{key.replace('_', '-')}", str(options[key])]
        words += ["--exclude", *options["exclude"]] if options["pictures"] and options["exclude"] else []
        words += ["--participants", *_participants(options["participants"])] if options["participants"] else []
        words += ["--ratios", *map(str, options["ratios"])]
        return words + (["--splits", _absolute(options["splits"])] if options["splits"] else [])

    @property
    def card(self) -> Path:
        """Card of the translator that is trained here."""
        return self.folder("train") / "translator" / "translator.yaml"

    @property
    def train_flags(self) -> list[str]:
        """Words for ``synthseg translate train``, but for dataset, settings and output."""
        options = self.options["train"]
        return _plain_words(options, ("preset", "method", "name", "steps", "budget"))

    @property
    def translator(self) -> str:
        """Card of the translator that translates: one of the user's own, or the one that is trained here."""
        return _absolute(self.options["translate"]["translator"] or str(self.card))

    @property
    def translated(self) -> list[Path]:
        """Files of the dataset of translated scans, beside the scans."""
        return [self.folder("translated") / name for name in ("provenance.tsv", "dataset_description.json")]

    def labelled(self) -> Path:
        """Return the table of translated scans and their labels; ``UsageError`` if there are to be no labels."""
        if not self.options["translate"]["labels"]:
            raise UsageError(
                "translation.translate.labels",
                found="none",
                expected="the label maps of the scans, for a training on their translations",
                remedy="name them, or give training.train.images a table",
            )
        return self.translated[0]

    @property
    def translate_flags(self) -> list[str]:
        """Words for ``synthseg translate scans``, but for translator and output."""
        options = self.options["translate"]
        words = self.required_scans()
        words += (
            ["--filter", *(f"{key}={label}" for key, label in options["filter"].items())] if options["filter"] else []
        )
        words += ["--labels", *_paths(options["labels"])] if options["labels"] else []
        words += ["--planes", *options["planes"]] if options["planes"] else []
        return words + _plain_words(options, ("to", "samples", "seed"))

    @property
    def evaluation(self) -> list[Path]:
        """Tables about a translator."""
        names = ["images.tsv"] if self.options["evaluate"]["split"] else []
        if self.options["evaluate"]["scans"]:
            names += ["anatomy.tsv", *(["downstream.tsv"] if self.options["evaluate"]["labels"] else [])]
        return [self.folder("evaluation") / name for name in names]

    @property
    def evaluate_flags(self) -> list[str]:
        """Words for ``synthseg translate evaluate``, but for translator and output."""
        options, words = self.options["evaluate"], []
        if options["split"]:
            words += ["--dataset", str(self.folder("dataset")), "--split", options["split"]]
        if options["scans"]:
            words += ["--scans", *_paths(options["scans"]), "--to", _direction(self.options["translate"]["to"])]
            words += ["--labels", *_paths(options["labels"])] if options["labels"] else []
            words += _plain_words(options, ("model",))
        return words + _plain_words(self.options["translate"], ("samples", "seed"))

    def required_scans(self) -> list[str]:
        """Return the scans to be translated; ``UsageError`` if the configuration names none, or no direction."""
        options = self.options["translate"]
        _direction(options["to"])
        if not options["scans"]:
            raise UsageError(
                "translation.translate.scans",
                found="none",
                expected="scans of one of the two contrasts",
                remedy="use --configfile config/translate.yaml, with paths of yours in it",
            )
        return _paths(options["scans"])

    def required_images(self) -> list[str]:
        """Return the paths of both domains; ``UsageError`` if the configuration does not name two."""
        domains = self.options["dataset"]["domains"]
        if len(domains) != 2:
            raise UsageError(
                "translation.dataset.domains",
                found=", ".join(domains) or "none",
                expected="two contrasts, each with its paths",
                remedy="use --configfile config/translate.yaml, with paths of yours in it",
            )
        return list(dict.fromkeys(path for domain in domains.values() for path in _paths(domain["paths"])))

    @property
    def scored_dataset(self) -> list[Path]:
        """Files of the dataset whose images are scored; none where no split is."""
        return self.dataset if self.options["evaluate"]["split"] else []

    def changes_file(self, *, preview: bool = False) -> Path:
        """Return the file of what differs from the preset of a training, up to date with the configuration."""
        content = self.options["train"]["settings"]
        return write_stage_file(self.layout, "translation_train_changes", content, preview=preview)

    def stage_file(self, stage: str, *, preview: bool = False) -> Path:
        """Return the settings file of a stage, up to date with the configuration."""
        return write_stage_file(self.layout, f"translation_{stage}", self.options[stage], preview=preview)


def _plain_words(options: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    """Return keys that are one flag with one word, where they have a value."""
    known = [key for key in keys if options[key] is not None]
    return [word for key in known for word in (f"--{key.replace('_', '-')}", str(options[key]))]


def _direction(target: str | None) -> str:
    if target is None:
        raise UsageError(
            "translation.translate.to", found="none", expected="the contrast to translate to", remedy="name it"
        )
    return target


def _domain_words(name: str, domain: Mapping[str, Any]) -> list[str]:
    """Return the flags that one domain needs."""
    words = ["--domain", name, *_paths(domain["paths"])]
    if entities := domain.get("filter"):
        words += ["--filter", name, *(f"{key}={label}" for key, label in entities.items())]
    if file := domain.get("bids_filter_file"):
        words += ["--bids-filter-file", name, _absolute(file)]
    for key in ("pixel_size", "scale"):
        if (numbers := domain.get(key)) is not None:
            words += [f"--{key.replace('_', '-')}", name, *map(str, _several(numbers))]
    return words


def _participants(given: str | Sequence[str]) -> list[str]:
    return [_absolute(given)] if isinstance(given, str) else list(given)


def _paths(value: str | Sequence[str]) -> list[str]:
    return [_absolute(text) for text in _several(value)]


def _several(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _absolute(text: str) -> str:
    return str(Path(text).absolute())
