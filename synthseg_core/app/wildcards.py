"""Wildcards of Snakemake's jobs: the scan that they mean, and functions of rules that ask for it."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any, TypeVar

from synthseg_core.bids.names import stem_of_report

TWO_PART_STEM = "{before}_space-{suffix}"
"""A stem as wildcards in two parts, for the rule whose outputs repeat the suffix of the scan."""

Result = TypeVar("Result")


def of_scan(function: Callable[[str], Result]) -> Callable[[Any], Result]:
    """Make what a rule can ask from a function of a scan's stem: a function of the wildcards of a job."""

    @with_signature
    def of_wildcards(wildcards: Any) -> Result:
        return function(stem_of(wildcards))

    return of_wildcards


def stem_of(wildcards: Any) -> str:
    """Return the stem of a scan from the wildcards of a job: whole, as :data:`TWO_PART_STEM`, or named by its page."""
    if hasattr(wildcards, "scan"):
        return wildcards.scan
    if hasattr(wildcards, "report"):
        return stem_of_report(wildcards.report)
    return TWO_PART_STEM.format(before=wildcards.before, suffix=wildcards.suffix)


def with_signature(function: Callable[..., Result]) -> Callable[..., Result]:
    """Note the arguments of a function on it; Snakemake looks them up about 20 times a scan."""
    setattr(function, "__signature__", signature(function))  # noqa: B010 -- no type has this attribute
    return function
