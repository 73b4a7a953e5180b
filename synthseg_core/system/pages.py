"""Pages that a browser opens from disk: templates of ``resources/pages``, filled in with every text escaped."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthseg_core.errors import UsageError
from synthseg_core.resources import resource
from synthseg_core.system.atomic import write_text


def page_template(name: str, instead: str = "") -> Any:
    """Return what a page is filled in from.

    Parameters
    ----------
    name
        File in ``resources/pages``.
    instead
        What the user may do without jinja2, for the message.

    Raises
    ------
    UsageError
        If jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise UsageError(
            name,
            found="no package jinja2",
            expected="it installed",
            remedy=f"run: pip install 'synthseg-bids[reports]'{f', or {instead}' if instead else ''}",
        ) from error
    environment = Environment(
        loader=FileSystemLoader(resource("pages")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number_text
    return environment.get_template(name)


def write_page(path: Path, template: str, content: Mapping[str, Any]) -> None:
    """Fill in a template of ``resources/pages`` and write the page."""
    write_text(path, page_template(template).render(content))


def number_text(value: float | None, digits: int = 3) -> str:
    """Return a number for people; a dash where there is none."""
    return f"{value:.{digits}f}" if value is not None and math.isfinite(value) else "–"
