"""Model cards: YAML files that say all there is to know about a model, and the registry that finds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib.resources import files
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from synthseg_core.errors import ModelError
from synthseg_core.labels import LabelTable
from synthseg_core.networks.config import NetworkSpec, RegressorConfig, UNetConfig
from synthseg_core.presence import is_file

TASKS = ("segmentation", "parcellation", "quality")
DEFAULT_MODEL = "default"
"""Name that stands for the model that is used where none is named."""
DEFAULT_FILE = "default.txt"
"""Beside the package's cards; its one line is the name of the default model."""
CLEAN_UPS = ("topology", "threshold", "none")
_ARCHITECTURES: dict[str, type[UNetConfig] | type[RegressorConfig]] = {"unet": UNetConfig, "regressor": RegressorConfig}
_T = TypeVar("_T")


@dataclass(frozen=True)
class WeightsFile:
    """The file that holds a model's arrays.

    Parameters
    ----------
    file
        Name inside the weights folder, or a path relative to the card.
    size_bytes, sha256
        Expected size and checksum; ``None`` where unknown.
    urls
        Mirrors, tried in order: an address, or a list of addresses of parts that make the file when joined.
    licence
        Licence of the weights, shown before a download.
    """

    file: str
    size_bytes: int | None = None
    sha256: str | None = None
    urls: tuple[str | tuple[str, ...], ...] = ()
    licence: str = "unspecified"


@dataclass(frozen=True)
class GridSpec:
    """Grid that a network works on.

    Parameters
    ----------
    voxel_size_mm
        Isotropic edge length, mm.
    multiple_voxels
        Every axis is padded to a multiple of this.
    minimum_voxels
        Every axis is padded to at least this.
    answer_voxel_size_mm
        Isotropic edge length of the label map, mm, where that is another one: posteriors are interpolated class by
        class before the argmax.
    """

    voxel_size_mm: float = 1.0
    multiple_voxels: int = 32
    minimum_voxels: int = 128
    answer_voxel_size_mm: float | None = None

    def __post_init__(self) -> None:
        sizes = (self.voxel_size_mm, self.answer_mm)
        if not all(0.1 <= size <= 10 for size in sizes) or self.multiple_voxels < 1 or self.minimum_voxels < 1:
            raise ModelError("grid", found=repr(self), expected="positive sizes", remedy="correct the model card")

    @property
    def answer_mm(self) -> float:
        """Edge length of the label map, mm."""
        return self.voxel_size_mm if self.answer_voxel_size_mm is None else self.answer_voxel_size_mm


@dataclass(frozen=True)
class IntensitySpec:
    """Intensity normalisation: optional CT window, then a linear map of two percentiles to 0 and 1."""

    percentiles: tuple[float, float] = (0.5, 99.5)
    ct_window_hu: tuple[float, float] = (0.0, 80.0)

    def __post_init__(self) -> None:
        low, high = self.percentiles
        if not 0 <= low < high <= 100:
            raise ModelError(
                "percentiles", found=f"{low} and {high}", expected="0 <= low < high <= 100", remedy="correct the card"
            )
        low, high = self.ct_window_hu
        if not low < high:
            raise ModelError(
                "ct_window_hu", found=f"{low} and {high}", expected="low < high", remedy="correct the model card"
            )


@dataclass(frozen=True)
class InferenceSpec:
    """How posteriors are made from network outputs.

    Parameters
    ----------
    flip_average
        Average with the prediction of the mirrored image.
    posterior_sigma_voxels
        Width of the 3x3x3 Gaussian applied to posteriors; 0: none.
    clean_up
        ``topology`` (largest component of each class), ``threshold`` (small posteriors to zero) or ``none``.
    total_intracranial
        Whether the volume table starts with the sum of all structures.
    """

    flip_average: bool = True
    posterior_sigma_voxels: float = 0.5
    clean_up: str = "topology"
    total_intracranial: bool = True

    def __post_init__(self) -> None:
        if self.clean_up not in CLEAN_UPS:
            raise ModelError(
                "clean_up", found=self.clean_up, expected=" or ".join(CLEAN_UPS), remedy="correct the model card"
            )
        if not self.posterior_sigma_voxels >= 0:
            raise ModelError(
                "posterior_sigma_voxels",
                found=str(self.posterior_sigma_voxels),
                expected="0 or more",
                remedy="correct the model card",
            )


@dataclass(frozen=True)
class ModelCard:
    """Everything known about one model.

    Parameters
    ----------
    name
        Short name used on the command line.
    task
        ``segmentation``, ``parcellation`` or ``quality``.
    networks
        In order of application; three for the robust chain.
    labels
        Meaning of the output channels.
    companions
        Names of the models that add to this one, by task (``parcellation``, ``quality``).
    source
        The card file.
    plausible_total_ml
        Range of the volume of all structures together in a whole head, ml; outside it a result gets a warning.
    training
        How the weights came about, for people: data, recipe, command, hardware, steps, hours, loss, Dice by structure.
    """

    name: str
    title: str
    family: str
    task: str
    networks: tuple[NetworkSpec, ...]
    labels: LabelTable
    weights: WeightsFile
    source: Path
    grid: GridSpec = field(default_factory=GridSpec)
    intensity: IntensitySpec = field(default_factory=IntensitySpec)
    inference: InferenceSpec = field(default_factory=InferenceSpec)
    companions: Mapping[str, str] = field(default_factory=dict)
    plausible_total_ml: tuple[float, float] | None = None
    citation: tuple[str, ...] = ()
    notes: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise self.fault(f"task {self.task!r}", " or ".join(TASKS))
        if self.companions and self.grid.answer_mm != self.grid.voxel_size_mm:
            raise self.fault("companions of a model that answers on another grid than its own", "one grid for all")
        if not self.networks:
            raise self.fault("no networks", "at least one")
        if self.task != "quality" and self.networks[-1].config.out_channels != len(self.labels):
            raise self.fault(
                f"{self.networks[-1].config.out_channels} output channels and {len(self.labels)} labels",
                "one label per channel",
            )
        if self.inference.clean_up == "topology" and self.task == "segmentation" and not self.labels.topology_classes:
            raise self.fault("topology clean-up without a topology_class column", "that column in the label table")
        for spec in self.networks:
            if isinstance(spec.config, UNetConfig) and self.grid.multiple_voxels % 2 ** (spec.config.levels - 1):
                raise self.fault(
                    f"a grid of multiples of {self.grid.multiple_voxels} voxels for {spec.config.levels} levels",
                    f"multiples of {2 ** (spec.config.levels - 1)}",
                )
        self._check_chain()

    def _check_chain(self) -> None:
        """Refuse networks that cannot be run one after the other; what each one reads depends on the task."""
        kind = RegressorConfig if self.task == "quality" else UNetConfig
        lengths = (1, 3) if self.task == "segmentation" else (1,)
        if len(self.networks) not in lengths or not all(isinstance(spec.config, kind) for spec in self.networks):
            architectures = ", ".join(type(spec.config).__name__ for spec in self.networks)
            wanted = f"{' or '.join(map(str, lengths))} of {kind.__name__}"
            raise self.fault(f"the networks {architectures} for {self.task}", wanted)
        for spec, channels in zip(self.networks, self._inputs(), strict=True):
            if spec.config.in_channels != channels:
                raise self.fault(f"{spec.config.in_channels} input channels of network {spec.role}", str(channels))

    def _inputs(self) -> list[int]:
        """Return the channels that each network is given."""
        outputs = [spec.config.out_channels for spec in self.networks]
        if self.task == "quality":
            return [len(self.labels)]
        if self.task == "parcellation":
            return [3]  # image, everything but the cortex, cortex
        return [1, outputs[0], 1 + outputs[1]] if len(outputs) == 3 else [1]

    def fault(self, found: str, expected: str, remedy: str = "correct the model card") -> ModelError:
        """Return an error about this card."""
        return ModelError(self.source, found=found, expected=expected, remedy=remedy)


def resources_folder() -> Path:
    """Return the folder of the package's own cards, label tables and weights."""
    return Path(str(files("synthseg_core") / "resources"))


def registered_models() -> dict[str, Path]:
    """Return the cards that the package carries, by name, sorted."""
    return {path.stem: path for path in sorted((resources_folder() / "models").glob("*.yaml"))}


def default_model() -> str:
    """Return the name of the model that is used where none is named; one line of data decides it."""
    return (resources_folder() / "models" / DEFAULT_FILE).read_text(encoding="utf-8").strip()


def resolved_name(name: str) -> str:
    """Return ``name``, or what it stands for if it is ``default``."""
    return default_model() if name == DEFAULT_MODEL else name


def load_card(name_or_path: str | Path) -> ModelCard:
    """Return a registered model by name, the default one, or a user's own by the path of its card.

    Raises
    ------
    ModelError
        If there is no such model or the card contradicts itself.
    """
    known = registered_models()
    path = known.get(resolved_name(str(name_or_path)), Path(name_or_path))
    if not is_file(path):
        raise ModelError(
            name_or_path,
            found="neither a registered model nor a card file",
            expected=f"{DEFAULT_MODEL}, one of {', '.join(known)}, or the path of a YAML card",
            remedy="see 'synthseg models list'",
        )
    return read_card(path)


def companion(card: ModelCard, task: str) -> ModelCard:
    """Return the card of the model that adds ``task`` to this one; ``ModelError`` if there is none."""
    if task not in card.companions:
        offers = ", ".join(card.companions) or "nothing beside the segmentation"
        raise ModelError(
            f"model {card.name}",
            found=f"a request for {task}",
            expected=f"what it offers: {offers}",
            remedy="choose another model ('synthseg models list')",
        )
    name = card.companions[task]
    beside = card.source.parent / name
    found = load_card(beside if beside.is_file() else name)
    if found.task != task:
        raise card.fault(f"a model for {found.task} ({found.name}) as companion for {task}", f"a model for {task}")
    return found


def read_card(path: Path) -> ModelCard:
    """Read and check one card."""
    import yaml  # not above: training, which knows its model without a card, does without

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ModelError(
            path, found=f"no readable YAML ({error})", expected="a model card", remedy="correct the file"
        ) from error
    if not isinstance(content, dict):
        raise ModelError(path, found="no mapping", expected="a model card", remedy="correct the file")
    values: dict[str, Any] = dict(content)
    for key, kind in {
        "grid": GridSpec,
        "intensity": IntensitySpec,
        "inference": InferenceSpec,
        "weights": WeightsFile,
    }.items():
        if key in values:
            values[key] = _build(kind, values[key], path, key)
    values["networks"] = _networks(values.get("networks"), path)
    values["labels"] = _labels(str(values.pop("label_table", "")), path)
    return _build(ModelCard, {**values, "source": path}, path, "card")


def _networks(entries: Any, path: Path) -> tuple[NetworkSpec, ...]:
    if not isinstance(entries, list):
        raise ModelError(path, found=f"networks: {entries!r}", expected="a list", remedy="correct the model card")
    return tuple(_network(entry, path) for entry in entries)


def _network(entry: Any, path: Path) -> NetworkSpec:
    if not isinstance(entry, Mapping):
        raise ModelError(path, found=f"networks: {entry!r}", expected="mappings", remedy="correct the model card")
    options = dict(entry)
    role, prefix = str(options.pop("role", "segmenter")), str(options.pop("prefix", "unet"))
    architecture = str(options.pop("architecture", "unet"))
    if architecture not in _ARCHITECTURES:
        raise ModelError(
            path,
            found=f"architecture {architecture!r}",
            expected=" or ".join(_ARCHITECTURES),
            remedy="correct the model card",
        )
    return NetworkSpec(role, prefix, _build(_ARCHITECTURES[architecture], options, path, f"network {role}"))


def _labels(name: str, path: Path) -> LabelTable:
    beside = path.parent / name
    if is_file(beside):
        return LabelTable.read(beside)
    builtin = LabelTable.builtin_names()
    if name.removesuffix(".tsv") not in builtin:
        raise ModelError(
            path,
            found=f"label_table {name!r}",
            expected=f"a TSV file beside the card, or one of {', '.join(builtin)}",
            remedy="correct the model card",
        )
    return LabelTable.builtin(name.removesuffix(".tsv"))


def _build(kind: type[_T], values: Mapping[str, Any], path: Path, where: str) -> _T:
    """Make a dataclass from a mapping; unknown and missing keys are errors that name the key."""
    if not isinstance(values, Mapping):
        raise ModelError(path, found=f"{where}: {values!r}", expected="a mapping", remedy="correct the model card")
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(values) - known):
        raise ModelError(
            path,
            found=f"unknown key {', '.join(unknown)} in {where}",
            expected=f"only {', '.join(sorted(known))}",
            remedy="correct the model card",
        )
    frozen = {key: _frozen(value) for key, value in values.items()}
    _check_kinds(kind, frozen, path, where)
    try:
        return kind(**frozen)
    except ModelError as error:
        if error.subject == str(path):
            raise
        raise ModelError(
            f"{path}, {error.subject}", found=error.found, expected=error.expected, remedy=error.remedy
        ) from error
    except (TypeError, ValueError) as error:
        raise ModelError(
            path,
            found=f"{where}: {error}",
            expected="all required keys, with values of the right kind",
            remedy="correct the model card",
        ) from error


def _check_kinds(kind: type[Any], values: Mapping[str, Any], path: Path, where: str) -> None:
    """Refuse values of another kind than the dataclass says: "no" in quotes is no ``false``, a text is no list."""
    hints = get_type_hints(kind)
    for key, value in values.items():
        if not _fits(value, hints[key]):
            text = hints[key].__name__ if isinstance(hints[key], type) else str(hints[key]).replace("tuple", "list")
            raise ModelError(
                path,
                found=f"{key}: {value!r} in {where}",
                expected=f"a value of kind {text}",
                remedy="correct the model card",
            )


def _fits(value: Any, hint: Any) -> bool:
    """Say whether a value is of an annotated kind; whole numbers count as ``float``, truth values as no number."""
    origin, parts = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin is UnionType:
        return any(_fits(value, part) for part in parts)
    if origin is tuple:
        wanted = parts[:1] * len(value) if parts[-1] is Ellipsis and isinstance(value, tuple) else parts
        return isinstance(value, tuple) and len(value) == len(wanted) and all(map(_fits, value, wanted))
    if origin is Mapping:
        if not isinstance(value, Mapping):
            return False
        return all(_fits(key, parts[0]) and _fits(item, parts[1]) for key, item in value.items())
    if hint in (int, float):
        return isinstance(value, int if hint is int else (int, float)) and not isinstance(value, bool)
    return isinstance(value, hint)


def _frozen(value: Any) -> Any:
    """Turn lists, also those in lists, into tuples."""
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
