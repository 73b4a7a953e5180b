"""Recipes as data: the package's own, those of YAML or JSON files, changes to either, and back.

preset: official        # what everything else starts from
crop: {shape: [96, 96, 96]}
deformation:
  rotation_deg: [-20, 20]
  scaling: [[0.8, 0.95, 0.95], [1.2, 1.05, 1.05]]
mixture: {priors: t1_priors}

Those of the package lie in ``resources/recipes``, say where their numbers come from, and are written the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthseg_core.errors import UsageError
from synthseg_core.synth.recipe import Recipe
from synthseg_core.system.paths import resource, resource_names
from synthseg_core.system.settings import read_mapping, to_content, update

_BASE = "preset"
_FILES = ("table", "means", "stds")  # entries of intensity priors that may name files


def recipe_names() -> tuple[str, ...]:
    """Return the names of the package's own recipes."""
    return resource_names("recipes")


def read_recipe(source: Path | str, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Return one of the package's own recipes, or that of a file; one clear line if it says what no recipe can.

    Parameters
    ----------
    source
        Name of a recipe of the package, or path of a ``.yaml``, ``.yml`` or ``.json`` file. Files that it names lie
        relative to it.
    overrides
        Changes: nested mappings, or names with points such as ``crop.shape``.

    Raises
    ------
    SynthSegError
        If there is no such recipe or file, or names or values in it are wrong.
    """
    path = Path(source) if Path(source).suffix else _own_file(str(source))
    content = read_mapping(path, "recipe", remedy="see synthseg generate --help")
    recipe = recipe_from_mapping(_located(content, path.parent), str(source))
    return update(recipe, _nested(overrides or {}), "recipe") if overrides else recipe


def recipe_from_mapping(content: Mapping[str, Any], subject: str = "recipe") -> Recipe:
    """Return the recipe of nested entries, which may name a ``preset`` that they start from."""
    base = read_recipe(_own_file(str(content[_BASE]))) if _BASE in content else Recipe()
    return update(base, {name: value for name, value in content.items() if name != _BASE}, subject)


def recipe_to_mapping(recipe: Recipe) -> dict[str, Any]:
    """Return nested entries, all of them and files replaced by their numbers, for YAML or JSON."""
    return to_content(recipe)


def _own_file(name: str) -> Path:
    """Return the file of one of the package's own recipes; refuse other names."""
    if name not in recipe_names():
        names = ", ".join(recipe_names())
        raise UsageError("recipe", found=f"preset {name!r}", expected=f"one of {names}", remedy="choose a preset")
    return resource("recipes", f"{name}.yaml")


def _located(content: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Resolve the files that intensity priors are read from against the recipe's folder."""
    mixture = content.get("mixture")
    priors = mixture.get("priors") if isinstance(mixture, dict) else None
    if isinstance(priors, str):
        found: Any = _against(priors, folder)
    elif isinstance(priors, dict):
        found = {name: _against(value, folder) if name in _FILES else value for name, value in priors.items()}
    else:
        return content
    return {**content, "mixture": {**mixture, "priors": found}}  # type: ignore[dict-item]


def _against(value: Any, folder: Path) -> Any:
    return str(folder / value) if isinstance(value, str) and Path(value).suffix else value


def _nested(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Turn names with points into nested entries."""
    result: dict[str, Any] = {}
    for name, value in changes.items():
        *parents, last = name.split(".")
        place = result
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise UsageError("recipe", found=f"both {parent} and {name}", expected="one of them", remedy="drop one")
        place[last] = value
    return result
