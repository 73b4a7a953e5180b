"""Checks of single settings; each failure is one clear line."""

from __future__ import annotations

from synthseg_core.errors import UsageError


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Refuse a name that is not in a list."""
    if value not in allowed:
        raise UsageError(name, found=repr(value), expected=" or ".join(allowed), remedy="correct the name")


def at_least(name: str, value: float, least: float) -> None:
    """Refuse a number that is too small, or none."""
    if not value >= least:
        raise UsageError(name, found=f"{value:g}", expected=f"at least {least:g}", remedy="correct it")


def above_zero(name: str, value: float) -> None:
    """Refuse zero, negative and infinite numbers."""
    if not 0 < value < float("inf"):
        raise UsageError(name, found=f"{value:g}", expected="a number above 0", remedy="correct it")
