"""Statistics of comparisons over scans: summaries, and paired tests between models.

Tests are Wilcoxon's signed-rank test, two-sided, pairs without difference dropped, as SynthSeg's evaluation has them;
their p values are corrected over structures after Holm. The effect size is Cohen's d, with population variances.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

Alternative: TypeAlias = Literal["two-sided", "less", "greater"]

# With five pairs the smallest two-sided p of the test is 0.0625: no result could mean anything.
LEAST_SCANS = 6


@dataclass(frozen=True)
class Summary:
    """A measure over scans; NaN where no scan has a value.

    Parameters
    ----------
    scans
        Scans that have a value.
    mean, standard_deviation, median, lower_quartile, upper_quartile, minimum, maximum
        Over those scans; the standard deviation is that of a sample, NaN for one scan.
    """

    scans: int
    mean: float
    standard_deviation: float
    median: float
    lower_quartile: float
    upper_quartile: float
    minimum: float
    maximum: float


@dataclass(frozen=True)
class PairedTest:
    """Two models on the same scans.

    Parameters
    ----------
    scans
        Scans for which both have a value.
    median_difference
        First minus second.
    p
        Of the signed-rank test; NaN if there are too few scans, or no differences.
    p_corrected
        Over the structures that were tested together; NaN where ``p`` is.
    effect_size
        Cohen's d.
    """

    scans: int
    median_difference: float
    p: float
    p_corrected: float
    effect_size: float


def summarise(values: Sequence[float]) -> Summary:
    """Return mean, spread and quartiles of the values that are finite."""
    finite = np.array([value for value in values if math.isfinite(value)])
    if not len(finite):
        return Summary(0, *[math.nan] * 7)
    spread = float(finite.std(ddof=1)) if len(finite) > 1 else math.nan
    median, lower, upper = np.percentile(finite, [50, 25, 75]).tolist()
    ends = float(finite.min()), float(finite.max())
    return Summary(len(finite), float(finite.mean()), spread, median, lower, upper, *ends)


def paired_tests(
    first: Mapping[str, Sequence[float]], second: Mapping[str, Sequence[float]], alternative: Alternative = "two-sided"
) -> dict[str, PairedTest]:
    """Test two models structure by structure.

    Parameters
    ----------
    first, second
        Structure -> a value for each scan, in the same order of scans; NaN where there is none.
    alternative
        ``less``: whether the first has smaller values.
    """
    tests = {
        name: _test(np.array(first[name]), np.array(second[name]), alternative) for name in first if name in second
    }
    corrected = holm([test.p for test in tests.values()])
    return {
        name: PairedTest(test.scans, test.median_difference, test.p, p, test.effect_size)
        for (name, test), p in zip(tests.items(), corrected, strict=True)
    }


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values corrected for their number, step by step from the smallest on; NaN stay and do not count.

    References
    ----------
    Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 1979.
    """
    order = sorted((p, number) for number, p in enumerate(p_values) if not math.isnan(p))
    corrected = [math.nan] * len(p_values)
    largest = 0.0
    for rank, (p, number) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p))
        corrected[number] = largest
    return corrected


def effect_size(first: np.ndarray, second: np.ndarray) -> float:
    """Return Cohen's d, (N,) and (M,) values: difference of means over the pooled deviation; NaN without spread."""
    weights = np.array([len(first) - 1, len(second) - 1])
    if weights.sum() == 0:
        return math.nan
    pooled = math.sqrt(float(weights @ [first.var(), second.var()]) / weights.sum())
    return float(first.mean() - second.mean()) / pooled if pooled else math.nan


def _test(first: np.ndarray, second: np.ndarray, alternative: Alternative) -> PairedTest:
    both = np.isfinite(first) & np.isfinite(second)
    first, second = first[both], second[both]
    differences = first - second
    if not len(differences):
        return PairedTest(0, math.nan, math.nan, math.nan, math.nan)
    p = math.nan
    if len(differences) >= LEAST_SCANS and differences.any():
        from scipy.stats import wilcoxon

        p = float(np.asarray(wilcoxon(first, second, zero_method="wilcox", alternative=alternative))[1])
    return PairedTest(len(differences), float(np.median(differences)), p, math.nan, effect_size(first, second))
