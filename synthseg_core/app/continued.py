"""The model of a run that names none: that of the runs before it, so that continuing makes nothing again."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthseg_core.app.gather import layout_from
from synthseg_core.app.layout import Layout
from synthseg_core.errors import InputError
from synthseg_core.models.registry import default_model, resolved_name
from synthseg_core.system.settings import read_mapping


def with_model(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a command line says about the configuration, with the name of its model in any case.

    A model that is taken over from the runs before is told, unless it is the default anyway.

    Parameters
    ----------
    values
        Of the configuration; ``segment`` has no ``model`` if the command line names none.
    """
    segment = values["segment"]
    model = resolved_name(segment["model"]) if "model" in segment else _taken_over(values)
    return {**values, "segment": {**segment, "model": model}}


def _taken_over(values: Mapping[str, Any]) -> str:
    layout = layout_from(Path(values["output"]), Path(values["work"]) if "work" in values else None)
    known, default = model_of_last_run(layout), default_model()
    if known in (None, default):
        return default
    print(
        f"model: {known}, that of the runs before; --model chooses another, for instance --model {default}",
        file=sys.stderr,
    )
    return known


def model_of_last_run(layout: Layout) -> str | None:
    """Return the name or card of the model that the last run in a work folder was called with.

    A new work folder of a known output, as a job of a cluster has it, goes by the output's own work folder. ``None``:
    nothing was run, or an older version did not note which model was the default then.
    """
    for path in (layout.run_config, layout_from(layout.output, None).run_config):
        try:
            model = read_mapping(path, "configuration of the last run").get("segment", {}).get("model")
        except (InputError, AttributeError):
            continue  # none, or one that a killed machine left in pieces
        return model if isinstance(model, str) and model == resolved_name(model) else None
    return None
