"""Whether a path that a user typed leads to a file or folder, and may be used; the answer is never an exception.

``Path.is_file`` raises where a name is too long or lies in a folder that may not be looked into.
"""

from __future__ import annotations

import os
from pathlib import Path


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


def real_path(path: Path) -> Path:
    """Return where a path leads, links followed; what links lead in a circle is left as it is."""
    return Path(os.path.realpath(path))


def is_allowed(path: Path, mode: int) -> bool:
    """Say whether the user that the process acts as may use what is there; ``mode`` as in :func:`os.access`."""
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)
