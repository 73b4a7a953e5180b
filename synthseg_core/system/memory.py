"""How much memory there is, and a clear refusal before an allocation that cannot fit."""

from __future__ import annotations

import os
from pathlib import Path

from synthseg_core.errors import InputError

_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_GIB = 2**30
# The rest is for this program's libraries, the system and its other programs; an estimate beyond it ended in a kill.
_SHARE = 0.9


def physical_bytes() -> int:
    """Return the machine's memory, or the container's limit where that is smaller."""
    limits = [_cgroup_limit(path) for path in _CGROUP_LIMITS]
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *(n for n in limits if n is not None)])


def require(needed: int, subject: object, what: str, budget: int | None = None) -> None:
    """Refuse work that needs more than the budget.

    Parameters
    ----------
    needed
        Estimated bytes.
    subject, what
        The file, and the step with its shape, for the message.
    budget
        Bytes allowed; ``None``: nine tenths of the machine's memory.

    Raises
    ------
    InputError
        If the estimate is larger than the budget.
    """
    allowed = int(_SHARE * physical_bytes()) if budget is None else budget
    if needed > allowed:
        raise InputError(
            subject,
            found=f"a field of view that needs about {needed / _GIB:.1f} GiB ({what})",
            expected=f"at most {allowed / _GIB:.1f} GiB",
            remedy="check the voxel sizes and the shape, crop the scan, or use a machine with more memory",
        )


def _cgroup_limit(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None
