"""The files of the workflow, inside the installed package or in a checkout, and profiles of machines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from synthseg_core.errors import UsageError
from synthseg_core.system.atomic import write_text

_PACKAGE = Path(__file__).resolve().parent


def bundle_folder() -> Path:
    """Return the folder that holds ``workflow``, ``config``, ``profiles`` and ``envs``.

    Raises
    ------
    UsageError
        If this installation does not carry them.
    """
    places = (_PACKAGE / "bundle", _PACKAGE.parents[1])
    for folder in places:
        if (folder / "workflow" / "Snakefile").is_file():
            return folder
    raise UsageError(
        "synthseg-bids",
        found=f"no workflow in {' or '.join(map(str, places))}",
        expected="the files that come with the package",
        remedy="install synthseg-bids again",
    )


def snakefile() -> Path:
    """Return the entry file of the workflow."""
    return bundle_folder() / "workflow" / "Snakefile"


def config_schema() -> Path:
    """Return the schema of the configuration."""
    return bundle_folder() / "workflow" / "schemas" / "config.schema.yaml"


def shards_schema() -> Path:
    """Return the schema of ``shards.yaml`` in a profile."""
    return bundle_folder() / "workflow" / "schemas" / "shards.schema.yaml"


@dataclass(frozen=True)
class Profile:
    """How jobs are run: a folder with options for Snakemake.

    Parameters
    ----------
    folder
        Absolute; it holds a ``config.yaml``.
    """

    folder: Path

    @classmethod
    def named(cls, name: str) -> Profile:
        """Return a profile by its name in the package or by its path; ``UsageError`` if there is none."""
        packaged = bundle_folder() / "profiles"
        for folder in (packaged / name, Path(name)):
            if (folder / "config.yaml").is_file():
                return cls(folder.absolute())
        known = sorted(path.parent.name for path in packaged.glob("*/config.yaml"))
        raise UsageError(
            "--profile",
            found=name,
            expected=f"{', '.join(known)}, or a folder that holds a config.yaml",
            remedy="correct the option",
        )

    @property
    def executor(self) -> str:
        """What runs the jobs: ``local`` for this machine."""
        return self._options().get("executor", "local")

    def resources(self, mem_mb: int) -> tuple[str, ...]:
        """Return what jobs may use together: what the profile says, and memory in MB where it does not say that."""
        given: dict[str, object] | list[str] = self._options().get("resources", [])
        pairs = [f"{name}={value}" for name, value in given.items()] if isinstance(given, dict) else given
        known = {pair.partition("=")[0] for pair in pairs}
        return tuple(pairs if "mem_mb" in known else [*pairs, f"mem_mb={mem_mb}"])

    def without(self, key: str, folder: Path) -> Profile:
        """Write a profile into a folder that lacks a key, whose flag Snakemake cannot be told to drop."""
        options = {name: value for name, value in self._options().items() if name != key}
        write_text(folder / "config.yaml", yaml.safe_dump(options, sort_keys=False))
        return Profile(folder)

    def _options(self) -> dict[str, Any]:
        return yaml.safe_load((self.folder / "config.yaml").read_text(encoding="utf-8")) or {}
