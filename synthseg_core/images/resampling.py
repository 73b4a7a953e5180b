"""Separable linear resampling with NumPy: one sampling rule an axis, planes at a time, exactly mirror-symmetric."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy.ndimage import affine_transform

from synthseg_core.images.shear import ShearedSampling
from synthseg_core.images.volume import Volume


@dataclass(frozen=True)
class AxisSampling:
    """Linear interpolation along one axis: ``y[k] = x[lower[k]] * lower_weight[k] + x[upper[k]] * upper_weight[k]``.

    Parameters
    ----------
    lower, upper : (M,) int
        Source samples.
    lower_weight, upper_weight : (M,) float64
        Their weights; they add up to 1 except where :meth:`within` cut samples off.
    source_count
        Length of the source axis.
    """

    lower: np.ndarray
    upper: np.ndarray
    lower_weight: np.ndarray
    upper_weight: np.ndarray
    source_count: int

    def __len__(self) -> int:
        return len(self.lower)

    def within(self, start: int, stop: int) -> AxisSampling:
        """Sample ``x[start:stop]`` instead of ``x``, as if ``x`` were zero outside."""

        def cut(index: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            inside = (index >= start) & (index < stop)
            return np.clip(index - start, 0, stop - start - 1), np.where(inside, weight, 0)

        lower, lower_weight = cut(self.lower, self.lower_weight)
        upper, upper_weight = cut(self.upper, self.upper_weight)
        return AxisSampling(lower, upper, lower_weight, upper_weight, stop - start)

    def part(self, start: int, stop: int) -> AxisSampling:
        """Return samples ``start`` to ``stop`` only."""
        chosen = slice(start, stop)
        return AxisSampling(
            self.lower[chosen],
            self.upper[chosen],
            self.lower_weight[chosen],
            self.upper_weight[chosen],
            self.source_count,
        )

    def touching(self, start: int, stop: int) -> tuple[int, int]:
        """Return the range of samples that read from ``x[start:stop]``, and not with a weight of 0."""
        below = (self.lower >= start) & (self.lower < stop) & (self.lower_weight != 0)
        above = (self.upper >= start) & (self.upper < stop) & (self.upper_weight != 0)
        reads = below | above
        hits = np.flatnonzero(reads)
        return (int(hits[0]), int(hits[-1]) + 1) if len(hits) else (0, 0)

    @property
    def total_weight(self) -> np.ndarray:
        """Sum of both weights, (M,)."""
        return self.lower_weight + self.upper_weight

    @property
    def is_identity(self) -> bool:
        """Whether every sample is the source sample of the same number."""
        only = np.where(self.lower_weight == 1, self.lower, self.upper)
        whole = (self.lower_weight == 1) | (self.upper_weight == 1)
        return len(self) == self.source_count and bool(np.all(whole & (only == np.arange(len(self)))))


def sampling_at(positions: np.ndarray, source_count: int) -> AxisSampling:
    """Return the rule that samples at ``positions`` (in source voxels), which are clamped to the source.

    Examples
    --------
    >>> rule = sampling_at(np.array([-1.0, 0.25, 1.0]), 2)
    >>> resample_axis(np.array([10.0, 20.0]), rule, 0)
    array([10. , 12.5, 20. ])
    """
    clamped = np.clip(positions, 0, source_count - 1)
    # At the last sample the pair is the last two, so that NaN spreads as it does in the reference.
    lower = np.clip(np.floor(clamped).astype(np.intp), 0, max(source_count - 2, 0))
    upper_weight = clamped - lower
    upper = np.minimum(lower + 1, source_count - 1)
    return AxisSampling(lower, upper, 1 - upper_weight, upper_weight, source_count)


def centred_sampling(count: int, step: float, source_count: int, shift: float = 0.0) -> AxisSampling:
    """Return the rule for ``count`` samples ``step`` source voxels apart, around the centre of the source.

    Without ``shift`` (in source voxels) the second half is made by mirroring the first, so that resampling commutes
    with reversal bit for bit.
    """
    middle, offsets = (source_count - 1) / 2 + shift, np.arange(count) - (count - 1) / 2
    if shift != 0:
        return sampling_at(middle + offsets * step, source_count)
    first = sampling_at(middle + offsets[: (count + 1) // 2] * step, source_count)
    mirrored = slice(count // 2 - 1, None, -1) if count > 1 else slice(0, 0)
    return AxisSampling(
        np.concatenate([first.lower, source_count - 1 - first.upper[mirrored]]),
        np.concatenate([first.upper, source_count - 1 - first.lower[mirrored]]),
        np.concatenate([first.lower_weight, first.upper_weight[mirrored]]),
        np.concatenate([first.upper_weight, first.lower_weight[mirrored]]),
        source_count,
    )


def resample_axis(data: np.ndarray, sampling: AxisSampling, axis: int) -> np.ndarray:
    """Resample one axis of an (I, J, K) or (I,) array; the floating type of ``data`` is kept."""
    shape = (*data.shape[:axis], len(sampling), *data.shape[axis + 1 :])
    out = np.empty(shape, data.dtype)
    low, high = sampling.lower_weight.astype(data.dtype), sampling.upper_weight.astype(data.dtype)
    if axis == 0:
        for k, (below, above) in enumerate(zip(sampling.lower, sampling.upper, strict=True)):
            out[k] = data[below] * low[k] + data[above] * high[k]
        return out
    weights = (slice(None), *(None,) * (data.ndim - 1 - axis))
    for plane, result in zip(data, out, strict=True):
        np.add(
            plane.take(sampling.lower, axis - 1) * low[weights],
            plane.take(sampling.upper, axis - 1) * high[weights],
            out=result,
        )
    return out


def cheapest_order(shape: Sequence[int], samplings: Sequence[AxisSampling]) -> list[int]:
    """Return the axes, those that shrink most first; ties in axis order."""
    return sorted(range(3), key=lambda axis: len(samplings[axis]) / shape[axis])


def resample(data: np.ndarray, samplings: Sequence[AxisSampling], order: Sequence[int] | None = None) -> np.ndarray:
    """Resample an (I, J, K) array along its axes; identities cost nothing, and return ``data`` itself."""
    for axis in cheapest_order(data.shape, samplings) if order is None else order:
        if not samplings[axis].is_identity:
            data = resample_axis(data, samplings[axis], axis)
    return data


def nearest_on(labels: Volume, target: Volume) -> Volume:
    """Return a label map on the grid of another volume: at every voxel the label of the nearest voxel.

    Beyond the edge of the map its outermost voxels go on; a grid of 1 mm may end half a voxel short of a scan's.
    """
    # Without the noise of the inverse, which would decide one way here and another there between two voxels.
    to_labels = np.round(np.linalg.inv(labels.affine) @ target.affine, 9)
    data = affine_transform(
        labels.data, to_labels, output_shape=target.shape, output=labels.data.dtype, order=0, mode="nearest"
    )
    return Volume(data, target.affine)


Samplings: TypeAlias = Sequence[AxisSampling] | ShearedSampling
"""How an array is read on another grid: axis by axis, or across, where its axes are not parallel."""


def resample_classes(posteriors: np.ndarray, samplings: Samplings) -> Iterator[np.ndarray]:
    """Yield each class of (N, I, J, K) posteriors on the new grid, one at a time.

    Where ``samplings`` read outside the array (:meth:`AxisSampling.within`) class 0 is 1 and the others are 0.
    """
    if isinstance(samplings, ShearedSampling):
        for channel, posterior in enumerate(posteriors):
            yield samplings.resample(posterior, fill=float(channel == 0))
        return
    for channel, posterior in enumerate(posteriors):
        yield resample(posterior, samplings) + (_uncovered(samplings, posterior.dtype) if channel == 0 else 0)


def argmax_classes(posteriors: np.ndarray, samplings: Samplings) -> np.ndarray:
    """Return the class with the largest resampled posterior, the first on ties, (I, J, K) uint16.

    The argmax of :func:`resample_classes`, rounding aside, but of each class only the box in which it is not zero is
    resampled, and compared plane by plane, in the processor's cache.
    """
    if isinstance(samplings, ShearedSampling):
        return samplings.argmax(posteriors)
    best = _background(posteriors[0], samplings)
    winner = np.zeros(best.shape, np.uint16)
    for channel in range(1, len(posteriors)):
        box = _box(posteriors[channel])
        target, rules = _readers(samplings, box)
        if winner[target].size == 0:
            continue
        for value, kept, winners in zip(
            _planes(posteriors[channel][box], rules), best[target], winner[target], strict=True
        ):
            wins = value > kept
            np.copyto(kept, value, where=wins)
            np.copyto(winners, channel, where=wins)
    return winner


def _background(posterior: np.ndarray, samplings: Sequence[AxisSampling]) -> np.ndarray:
    """Return class 0 on the new grid; 1 wherever the array is not read."""
    found = np.ones(tuple(map(len, samplings)), posterior.dtype)
    target, rules = _readers(samplings, tuple(slice(0, n) for n in posterior.shape))
    if found[target].size:
        depths, columns, rows = (rule.total_weight for rule in rules)
        covered = columns[:, None] * rows
        for value, kept, depth in zip(_planes(posterior, rules), found[target], depths, strict=True):
            kept[...] = value + (1 - depth * covered).astype(posterior.dtype)
    return found


def _readers(samplings: Sequence[AxisSampling], box: tuple[slice, ...]) -> tuple[tuple[slice, ...], list[AxisSampling]]:
    """Return the box of the samples that read from a box of the array, and their rules within it."""
    spans = [rule.touching(s.start, s.stop) for rule, s in zip(samplings, box, strict=True)]
    rules = [rule.part(*span).within(s.start, s.stop) for rule, span, s in zip(samplings, spans, box, strict=True)]
    return tuple(slice(*span) for span in spans), rules


def _planes(data: np.ndarray, samplings: Sequence[AxisSampling]) -> Iterator[np.ndarray]:
    """Yield the planes, along the first axis, of an array resampled along all of its axes."""
    depth = samplings[0]
    last = len(depth) >= len(data) and not depth.is_identity
    inner = resample(
        data, samplings, [axis for axis in cheapest_order(data.shape, samplings) if not (last and axis == 0)]
    )
    if not last:
        yield from inner
        return
    low, high = depth.lower_weight.astype(data.dtype), depth.upper_weight.astype(data.dtype)
    for k, (below, above) in enumerate(zip(depth.lower, depth.upper, strict=True)):
        yield inner[below] * low[k] + inner[above] * high[k]


def _uncovered(samplings: Sequence[AxisSampling], dtype: np.dtype) -> np.ndarray:
    """Return 1 minus the weight that lies inside the array, (I, J, K) or 0 where all of it does."""
    weights = [rule.total_weight for rule in samplings]
    if all(np.allclose(weight, 1) for weight in weights):
        return np.zeros((), dtype)
    i, j, k = weights
    return (1 - i[:, None, None] * j[:, None] * k).astype(dtype)


def _box(data: np.ndarray) -> tuple[slice, ...]:
    """Return the smallest box that holds every non-zero voxel; empty slices if there is none."""
    occupied = data != 0
    spans = []
    for axes in ((1, 2), (0, 2), (0, 1)):
        hits = np.flatnonzero(occupied.any(axis=axes))
        spans.append(slice(int(hits[0]), int(hits[-1]) + 1) if len(hits) else slice(0, 0))
    return tuple(spans)
