"""Workflow configuration and scan table, checked against their schemas; the configuration filled in and written.

The schema of the scan table is compiled: validators that interpret it take half a second for 10 000 rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from synthseg_core.app.bundle import config_schema
from synthseg_core.bids.scan_row import ScanRow
from synthseg_core.errors import InputError, UsageError
from synthseg_core.system.atomic import write_text


def checked(
    values: Mapping[str, Any], schema_file: Path | None = None, names: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return a complete configuration.

    Parameters
    ----------
    values
        What was asked for; anything left out gets the schema's default.
    schema_file
        Schema; ``None``: that of the workflow's configuration.
    names
        What messages call the keys: the options by which they were set. Keys that are not in it have no other name.

    Raises
    ------
    UsageError
        If a value does not fit the schema; the message names the key.
    """
    _require_packages()
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    schema = yaml.safe_load((schema_file or config_schema()).read_text(encoding="utf-8"))
    config = _with_defaults(values, schema)
    error = best_match(Draft202012Validator(schema).iter_errors(config))
    if error is not None:
        raise _unfit(error, names or {})
    return config


def write_config(path: Path, config: Mapping[str, Any]) -> None:
    """Write a configuration as YAML; quoting keeps labels such as 005 text."""
    write_text(path, yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))


def check_rows(rows: Iterable[ScanRow], schema: Path) -> None:
    """Compare every row with the schema of one row.

    Raises
    ------
    InputError
        If one does not fit; the message names the column and the scan.
    """
    import fastjsonschema

    content: Any = yaml.safe_load(Path(schema).read_text(encoding="utf-8"))
    check: Callable[[dict[str, Any]], Any] = fastjsonschema.compile(content)
    for row in rows:
        try:
            check(vars(row))
        except fastjsonschema.JsonSchemaValueException as error:
            raise _misfit(row, error, content["properties"]) from error


def _require_packages() -> None:
    """Notice an installation of the core alone."""
    missing = [name for name in ("snakemake", "jsonschema") if find_spec(name) is None]
    if missing:
        raise UsageError(
            "synthseg-bids",
            found=f"no {' and no '.join(missing)} in this environment",
            expected="the packages of the workflow",
            remedy="pip install 'synthseg-bids[workflow]'",
        )


def _unfit(error: Any, names: Mapping[str, str]) -> UsageError:
    """Return what is wrong with a value, in the words of the user: the option, and what was given to it."""
    expected = str(error.schema.get("description", "what the schema says")).rstrip(".")
    key = ".".join(part for part in error.absolute_path if isinstance(part, str))
    if key in names:
        expected = expected[0].lower() + expected[1:]
        return UsageError(names[key], found=repr(error.instance), expected=expected, remedy="correct the option")
    key = ".".join(map(str, error.absolute_path)) or "configuration"
    return UsageError(key, found=error.message, expected=expected, remedy="correct the option")


def _with_defaults(values: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(values)
    for key, part in schema["properties"].items():
        if "default" in part:
            result.setdefault(key, part["default"])
        if "properties" in part and isinstance(result[key], Mapping):
            result[key] = _with_defaults(result[key], part)
    return result


def _misfit(row: ScanRow, error: Any, columns: dict[str, Any]) -> InputError:
    column = error.path[-1] if error.path[-1] in columns else "row"
    expected = str(columns.get(column, {}).get("description", "the columns of the schema")).rstrip(".")
    return InputError(
        f"scan table, {row.path}",
        found=f"{error.value!r} as {column}" if column != "row" else error.message,
        expected=expected,
        remedy="correct the table, or delete it so that it is made again",
    )
