"""Paths: whether one that a user typed leads to a file or folder and may be used; the package's own data and cache.

Such questions never end in an exception, although ``Path.is_file`` raises where a name is too long or lies in a folder
that may not be looked into.
"""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from platformdirs import user_cache_path


def is_file(path: Path) -> bool:
    """Say whether there is a file; where that may not be looked at yes, so that opening it says what is wrong."""
    try:
        return path.is_file()
    except PermissionError:
        return True
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Say whether there is a folder that can be seen."""
    try:
        return path.is_dir()
    except OSError:
        return False


def is_broken_link(path: str | Path) -> bool:
    """Say whether there is a link that leads to nothing."""
    return os.path.islink(path) and not os.path.exists(path)  # noqa: PTH110, PTH114 -- asked of very many names


def real_path(path: Path) -> Path:
    """Return where a path leads, links followed; what links lead in a circle is left as it is."""
    return Path(os.path.realpath(path))


def is_allowed(path: Path, mode: int) -> bool:
    """Say whether the user that the process acts as may use what is there; ``mode`` as in :func:`os.access`."""
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def resource(*parts: str) -> Path:
    """Return where a file or folder of the package's own data lies."""
    return Path(str(files("synthseg_core"))).joinpath("resources", *parts)


def resource_names(folder: str, suffix: str = ".yaml") -> tuple[str, ...]:
    """Return the names, sorted and without suffix, of the files in a folder of the package's own data."""
    return tuple(sorted(path.stem for path in resource(folder).glob(f"*{suffix}")))


def user_cache() -> Path | None:
    """Return our folder in the cache that the operating system gives to a user's programs; ``None`` without a home."""
    try:
        folder = user_cache_path("synthseg", appauthor=False, opinion=False)
    except RuntimeError:  # a container's user without an entry in the password file
        return None
    return folder if folder.is_absolute() else None
