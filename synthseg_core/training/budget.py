"""Time budgets: ``25m`` in seconds, and how much of it has to be kept for what comes after the last step."""

from __future__ import annotations

import re

from synthseg_core.errors import UsageError

_UNITS_S = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)([dhms])")
_MARGIN_SHARE = 0.01  # for steps that take longer than the last ones, and for leaving the program
_VALIDATION_SHARE = 0.1  # of a budgeted training, at most


def parse_duration(text: str) -> float:
    """Return seconds from ``25m``, ``90s``, ``1h30m``, ``1.5h`` or ``2d``.

    Raises
    ------
    UsageError
        If the text is no duration above zero.
    """
    compact = text.strip().lower().replace(" ", "")
    parts = _PART.findall(compact)
    seconds = sum(float(number) * _UNITS_S[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != compact or not seconds > 0:
        raise UsageError(
            "duration",
            found=repr(text),
            expected="numbers with d, h, m or s, such as 25m or 1h30m",
            remedy="correct it",
        )
    return seconds


def reserve_s(budget_s: float, step_s: float, ending_s: float) -> float:
    """Return the seconds to keep for the end: a step under way, the last validation and checkpoint, a margin."""
    return min(step_s + ending_s + _MARGIN_SHARE * budget_s, 0.9 * budget_s)


def affordable(seconds: float, validating_s: float, cost_s: float) -> bool:
    """Say whether another validation keeps validations within a tenth of the time spent."""
    return validating_s + cost_s <= _VALIDATION_SHARE * seconds
