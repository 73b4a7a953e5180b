"""What the evaluation part of a workflow configuration means: the words of one call of ``synthseg evaluate``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthseg_core.app.layout import Layout
from synthseg_core.errors import UsageError


@dataclass(frozen=True)
class EvaluationPlan:
    """A checked evaluation configuration; what is missing is noticed when the rule asks for it.

    Parameters
    ----------
    layout
        Of the run, whose label maps are the first model.
    options
        The ``evaluate`` part of the configuration, which fits its schema.
    """

    layout: Layout
    options: Mapping[str, Any]

    @property
    def folder(self) -> Path:
        """Where tables and page go: as asked, or beside the derivative dataset, which has no place for them."""
        asked = self.options["output"]
        return (
            Path(asked).absolute() if asked else self.layout.output.with_name(f"{self.layout.output.name}-evaluation")
        )

    def words(self) -> list[str]:
        """Return the flags of ``synthseg evaluate``.

        Raises
        ------
        UsageError
            If the configuration names no reference.
        """
        options = self.options
        if not options["reference"]:
            raise UsageError(
                "evaluate.reference",
                found="no reference",
                expected="true label maps: a folder or a derivative dataset",
                remedy="set it in the configuration, or: --config 'evaluate={reference: FOLDER}'",
            )
        models = {self.layout.output.name: self.layout.output, **options["models"]}
        lists = {
            "--segmentation": [f"{name}={Path(path).absolute()}" for name, path in models.items()],
            "--filter": [f"{key}={label}" for key, label in options["filter"].items()],
            "--segmentation-filter": [f"{key}={label}" for key, label in options["segmentation_filter"].items()],
            "--labels": [str(label) for label in options["labels"]],
            "--groups": options["groups"],
        }
        return [
            *("--reference", str(Path(options["reference"]).absolute())),
            *(word for flag, values in lists.items() if values for word in (flag, *values)),
            *("--unmatched", options["unmatched"], "--resample", options["resample"]),
            *([] if options["surfaces"] else ["--no-surfaces"]),
        ]
