"""A whole experiment in one value: what samples look like, how the network is trained, how it is validated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from synthseg_core.errors import UsageError
from synthseg_core.synth.recipe import Recipe
from synthseg_core.synth.recipe_file import read_recipe, recipe_from_mapping
from synthseg_core.system.paths import resource, resource_names
from synthseg_core.system.settings import read_mapping, update
from synthseg_core.training.config import Stage, TrainConfig, at_least, network_from


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
    recipe
        Deformation, intensities and resolution of these scans, a name or a file; grid and labels are those of training.
        ``None``: as in training. Samples of cornucopia then are as the MONAI port validates.
    """

    draws: int = 8
    seed: int = 1_000_000
    whole: bool = False
    recipe: str | None = None

    def __post_init__(self) -> None:
        at_least("validation draws", self.draws, 0)
        at_least("validation seed", self.seed, 0)

    def to_content(self) -> dict[str, Any]:
        """Return the entries of a settings file; the recipe, which came later, only where there is one."""
        content = asdict(self)
        return content if self.recipe is not None else {k: v for k, v in content.items() if k != "recipe"}


@dataclass(frozen=True)
class PairSpec:
    """How many pairs there are, and how they are varied.

    Parameters
    ----------
    kept
        Pairs that are made, once each, and kept; samples are variations of them. 0: every sample is a new pair.
    fast
        Segment them without flip averaging, in half the time; validation always segments as prediction does.
    fault_probability
        How often faults are added to a prediction, one to three.
    partial_view_probability, partial_view_mm
        How often a prediction is cut to a box, and the shortest edge of such boxes.
    """

    kept: int = 0
    fast: bool = False
    fault_probability: float = 0.0
    partial_view_probability: float = 0.3
    partial_view_mm: float = 70.0

    def __post_init__(self) -> None:
        for name in ("fault_probability", "partial_view_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise _impossible(name, getattr(self, name), "between 0 and 1")
        for name in ("kept", "partial_view_mm"):
            if not getattr(self, name) >= 0:
                raise _impossible(name, getattr(self, name), "0 or more")


def _impossible(name: str, found: float, expected: str) -> UsageError:
    return UsageError(f"pairs: {name}", found=f"{found:g}", expected=expected, remedy="correct it")


@dataclass(frozen=True)
class MixingSpec:
    """Synthetic samples among real ones, for supervised trainings.

    Parameters
    ----------
    synthetic_share
        Share of synthetic samples.
    recipe
        What these look like, a name or a file; their crop is that of the real ones.
    """

    synthetic_share: float = 0.0
    recipe: str = "official"

    def __post_init__(self) -> None:
        if not 0 <= self.synthetic_share < 1:
            raise UsageError(
                "mixing, synthetic_share",
                found=f"{self.synthetic_share:g}",
                expected="0 to below 1",
                remedy="correct it",
            )


@dataclass(frozen=True)
class RealPairSpec:
    """Pairs of real scans among those of synthetic ones, for quality trainings.

    Parameters
    ----------
    table
        Lists scans with label maps: see :func:`synthseg_core.images.pairs.listed_pairs`; ``None``: there are none.
    share
        Share of samples that show one of them.
    """

    table: str | None = None
    share: float = 0.3

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise UsageError(
                "scans, share",
                found=f"{self.share:g}",
                expected="above 0, to 1",
                remedy="correct it",
            )


@dataclass(frozen=True)
class Experiment:
    """What samples look like, how the network is trained, and how it is scored meanwhile.

    Channels and classes of the network follow from task, recipe and label list.

    Parameters
    ----------
    task
        What the network is for; a name of :data:`~synthseg_core.training.tasks.TASKS`.
    pairs
        For the task ``quality``: predicted and true maps.
    mixing
        Synthetic samples among real ones.
    scans
        For the task ``quality``: real scans with label maps.
    scout
        Model that shall find the brain for the trained one, which is then given the field of view of its samples;
        ``None``: it is given whole scans.
    """

    task: str = "segmentation"
    recipe: Recipe = field(default_factory=Recipe)
    training: TrainConfig = field(default_factory=TrainConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    pairs: PairSpec = field(default_factory=PairSpec)
    mixing: MixingSpec = field(default_factory=MixingSpec)
    scans: RealPairSpec = field(default_factory=RealPairSpec)
    scout: str | None = None

    @staticmethod
    def preset(name: str) -> Experiment:
        """Return one of the package's own trainings, which lie in ``resources/presets``.

        Raises
        ------
        UsageError
            If there is none of that name.
        """
        if name not in preset_names():
            names = ", ".join(preset_names())
            raise UsageError("preset", found=repr(name), expected=f"one of {names}", remedy="choose a preset")
        content = read_mapping(resource("presets", f"{name}.yaml"), "preset")
        base = Experiment.preset(content.pop("preset")) if "preset" in content else Experiment()
        return base.changed(content, f"preset {name}")

    def changed(self, content: Mapping[str, Any], subject: str = "settings") -> Experiment:
        """Return the experiment with some settings replaced, nested as in a settings file.

        Parameters
        ----------
        content
            The entry ``recipe`` holds changes to the recipe, or says which to take instead: by its name or file, or by
            a ``preset`` among its entries.
        subject
            Where the content comes from, for messages.

        Raises
        ------
        SynthSegError
            If a name is unknown or a value impossible.
        """
        others = {name: value for name, value in content.items() if name != "recipe"}
        training = others.get("training")
        if isinstance(training, Mapping) and "network" in training:
            network = network_from(training["network"], f"{subject}, training, network", self.training.network)
            others["training"] = {**training, "network": network}
        recipe = _recipe(self.recipe, content.get("recipe", {}), f"{subject}, recipe")
        return update(replace(self, recipe=recipe), others, subject)

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


def preset_names() -> tuple[str, ...]:
    """Return the names of the package's own trainings."""
    return resource_names("presets")


def _recipe(base: Recipe, content: object, subject: str) -> Recipe:
    if isinstance(content, str):
        return read_recipe(content)
    if isinstance(content, Mapping) and "preset" in content:
        return recipe_from_mapping(content, subject)
    return update(base, content, subject)
