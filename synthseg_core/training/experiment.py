"""A whole experiment in one value: what samples look like, how the network is trained, how it is validated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from synthseg_core.errors import InputError, UsageError
from synthseg_core.networks.config import UNetConfig
from synthseg_core.synth.recipe import Recipe
from synthseg_core.system.settings import update
from synthseg_core.training.config import Intervals, OptimiserConfig, Stage, TrainConfig, at_least
from synthseg_core.training.schedule import Schedule


@dataclass(frozen=True)
class ValidationConfig:
    """How weights are scored during a training.

    Parameters
    ----------
    draws
        Synthetic scans, the same each time; 0: no validation, and no ``best.pt``.
    seed
        Of the first draw, the others count on; far from those of training.
    whole
        Score whole volumes in overlapping windows, for networks that are trained on patches.
    """

    draws: int = 8
    seed: int = 1_000_000
    whole: bool = False

    def __post_init__(self) -> None:
        at_least("validation draws", self.draws, 0)
        at_least("validation seed", self.seed, 0)


@dataclass(frozen=True)
class Experiment:
    """See the module; channels and classes of the network follow from recipe and label list."""

    recipe: Recipe = field(default_factory=Recipe)
    training: TrainConfig = field(default_factory=TrainConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)

    @staticmethod
    def preset(name: str) -> Experiment:
        """Return a preset by name; ``UsageError`` if there is none."""
        if name not in PRESETS:
            raise UsageError(
                "preset", found=repr(name), expected=f"one of {', '.join(PRESETS)}", remedy="choose a preset"
            )
        return PRESETS[name](name)

    def changed(self, content: Mapping[str, Any]) -> Experiment:
        """Return the experiment with some settings replaced, nested as in a configuration file.

        Raises
        ------
        UsageError
            If a name is unknown or a value impossible.
        """
        return update(self, content, "training configuration")

    def with_steps(self, steps: int) -> Experiment:
        """Return the experiment with so many steps, shared among stages as before."""
        at_least("steps", steps, len(self.training.stages))
        stages = scaled_stages(self.training.stages, steps)
        return replace(self, training=replace(self.training, stages=stages))


def scaled_stages(stages: tuple[Stage, ...], steps: int) -> tuple[Stage, ...]:
    """Return stages of the same shares with so many steps in all; each has one at least, the last takes the rest."""
    total = sum(stage.steps for stage in stages)
    first = [max(stage.steps * steps // total, 1) for stage in stages[:-1]]
    counts = [*first, max(steps - sum(first), 1)]
    return tuple(replace(stage, steps=count) for stage, count in zip(stages, counts, strict=True))


def read_settings(path: Path) -> dict[str, Any]:
    """Return the content of a YAML or JSON file of settings.

    Raises
    ------
    InputError
        If it is missing or no table of names and values.
    """
    try:
        import yaml
    except ImportError as error:
        raise InputError(
            path, found="no package to read it (PyYAML)", expected="it installed", remedy="run: pip install pyyaml"
        ) from error
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            path, found=f"no readable YAML ({reason})", expected="settings", remedy="correct it"
        ) from error
    if not isinstance(content, dict):
        raise InputError(path, found="no settings", expected="names with values", remedy="see config/train.yaml")
    return content


def _reference(recipe: str) -> Experiment:
    """Return the training of SynthSeg: 5 000 steps of weighted L2, 500 000 of soft Dice, Adam at 1e-4."""
    intervals = Intervals(log=50, checkpoint=1000, validate=5000, snapshot=1000)
    return Experiment(Recipe.preset(recipe), TrainConfig(intervals=intervals))


def _default_2mm(recipe: str) -> Experiment:
    """Return the training of the package's default weights, made for two CPU cores and some hours."""
    training = TrainConfig(
        network=UNetConfig(features=16, levels=4),
        stages=(
            Stage("dice", 8_000, cross_entropy=0.5),
            Stage("dice", 12_000, cross_entropy=0.5, frozen_norms=True),
        ),
        optimiser=_quick(2e-3, Schedule("cosine", warm_up=0.02)),
        ema_decay=0.998,
        intervals=Intervals(log=10, checkpoint=100, validate=400, snapshot=400),
    )
    return Experiment(Recipe.preset(recipe), training)


def _default_1mm(recipe: str) -> Experiment:
    """Return the training of default weights at 1 mm, made for one large GPU and half an hour or more.

    Batches of small crops, weights below 20 MB, scores at the end only.
    """
    training = TrainConfig(
        network=UNetConfig(features=16, levels=5),
        stages=(
            Stage("dice", 10_000, cross_entropy=0.5),
            Stage("dice", 10_000, cross_entropy=0.5, frozen_norms=True),
        ),
        optimiser=_quick(2e-3, Schedule("one_cycle", warm_up=0.1)),
        batch_size=4,
        intervals=Intervals(log=50, checkpoint=500, validate=0, snapshot=0),
    )
    return Experiment(Recipe.preset(recipe), training)


def _tiny(recipe: str) -> Experiment:
    """Return a training of minutes, to see that everything works."""
    training = TrainConfig(
        network=UNetConfig(features=8, levels=4),
        stages=(Stage("dice", 500, cross_entropy=0.5), Stage("dice", 300, cross_entropy=0.5, frozen_norms=True)),
        optimiser=_quick(4e-3, Schedule("one_cycle", warm_up=0.3)),
        ema_decay=0.98,
        intervals=Intervals(log=10, checkpoint=50, validate=100, snapshot=100),
    )
    return Experiment(Recipe.preset(recipe), training, ValidationConfig(draws=4))


def _quick(learning_rate: float, schedule: Schedule) -> OptimiserConfig:
    """Return settings for short trainings: large steps, held back by clipping and decay."""
    return OptimiserConfig("adamw", learning_rate, epsilon=1e-8, weight_decay=1e-4, clip_norm=1.0, schedule=schedule)


PRESETS: dict[str, Callable[[str], Experiment]] = {
    **dict.fromkeys(("official", "advanced", "robust_s1", "robust_s2", "pv"), _reference),
    "default_2mm": _default_2mm,
    "default_1mm": _default_1mm,
    "tiny": _tiny,
}
