"""Bring a scan to the grid and intensities of a network, with the record that leads back.

Steps: resample to the network's voxel size where the scan's differs, reorient to RAS, crop on request, map intensities
to [0, 1], pad with zeros. An oblique scan stays on its own oblique grid: nothing is rotated. Only sheared axes, such as
those of a tilted gantry, are replaced by the nearest perpendicular ones: a network knows no others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.ndimage import gaussian_filter

from synthseg_core.errors import InputError
from synthseg_core.images.affines import (
    Shape3,
    Size3,
    closest_ras,
    is_sheared,
    isotropic,
    triple,
    unit_columns,
    voxel_size,
)
from synthseg_core.images.grids import Grid, centred_grid, own_grid
from synthseg_core.images.intensities import doubts
from synthseg_core.images.reading import Scan
from synthseg_core.images.resampling import AxisSampling, centred_sampling, cheapest_order, resample, sampling_at
from synthseg_core.images.volume import Volume
from synthseg_core.models.card import GridSpec, IntensitySpec
from synthseg_core.quirks import NATIVE, Quirks
from synthseg_core.segmentation.record import ConformRecord, same_grid
from synthseg_core.system import memory

# Reference: sigma of the pre-filter is 0.25 divided by the factor, in input voxels.
PREFILTER_SIGMA = 0.25
# Float64 copies held at the same time, at most; a test compares the estimate with the measured peak.
_SCAN_COPIES, _GRID_COPIES = 3, 2
_LARGEST_SHARE = 10.0  # of a thin slab in a large field of view no more than a twentieth is as bright as can be
_ENDLESS_VOXELS = 2.0**31  # more than in any scan, and still countable


@dataclass(frozen=True)
class ConformConfig:
    """What a network expects, and how to get there.

    Parameters
    ----------
    grid, intensity
        From the model card.
    ct
        Clip to the CT window first.
    crop
        Centred crop of at least this many voxels of the network's grid, RAS order, rounded up to the grid's multiple.
    autocrop
        Crop to the box of what lies above the lower intensity percentile, rounded up likewise; not with ``crop``.
    tolerance_mm
        A scan whose voxel edges are all this close to the network's is used as it is.
    quirks
        What to copy from the reference implementation.
    memory_bytes
        Budget for the estimate made before anything large is allocated; ``None``: the machine's memory.
    """

    grid: GridSpec = field(default_factory=GridSpec)
    intensity: IntensitySpec = field(default_factory=IntensitySpec)
    ct: bool = False
    crop: Shape3 | None = None
    autocrop: bool = False
    tolerance_mm: float = 0.05
    quirks: Quirks = NATIVE
    memory_bytes: int | None = None


@dataclass(frozen=True)
class Conformed:
    """A scan as the network sees it.

    Parameters
    ----------
    image : (I, J, K) float64
        RAS, in [0, 1], padded with zeros.
    record
        How to get back.
    resampled
        The scan on the network's grid, in the scan's axis order, before crop and normalisation; ``None`` when it was
        used as it is.
    warnings
        One line each.
    answer
        Grid of the label map; ``None``: the network's, or the one of a network at the voxel size of the answer.
    symmetric
        Whether the mirrored scan has the mirrored padding.
    """

    image: np.ndarray
    record: ConformRecord
    resampled: Volume | None = None
    warnings: tuple[str, ...] = ()
    answer: Grid | None = None
    symmetric: bool = False

    def with_warning(self, line: str) -> Conformed:
        """Return the same with one more warning."""
        return replace(self, warnings=(*self.warnings, line))


def conform(scan: Scan, config: ConformConfig) -> Conformed:
    """Bring ``scan`` to the network's grid and intensities.

    Raises
    ------
    InputError
        If the resampled scan would not fit in memory, or only one intensity is left of it.
    """
    conformed = conform_to(plan(scan, config), scan, config)
    return _cropped_to_content(conformed, config) if config.autocrop else conformed


def conform_to(record: ConformRecord, scan: Scan, config: ConformConfig) -> Conformed:
    """Do what :func:`conform` does on a grid that is known already."""
    # NaN and infinite voxels that stay, as in the reference, were reported when the scan was read.
    with np.errstate(all="ignore" if config.quirks.propagate_nan else None):
        ras = _on_grid(scan, record, config.quirks)
        image, notes = _normalised(ras, record, config, scan)
        warnings = (*doubts(scan.volume.data, ct=config.ct), *notes)
    if not record.resampled:
        return Conformed(image, record, None, warnings)
    return Conformed(image, record, Volume(record.to_source_order(ras), record.grid_affine), warnings)


def plan(scan: Scan, config: ConformConfig) -> ConformRecord:
    """Work out grid, crop and padding without touching a voxel; refuse what would not fit in memory."""
    source = own_grid(scan.volume.shape, scan.volume.affine)
    sheared = is_sheared(source.affine) and not config.quirks.ignore_shear
    resampled = sheared or _needs_resampling(scan, config)
    if resampled:
        _require_samples(scan, config)
    grid = _grid(source, config) if resampled else replace(source, voxel_size=_trusted_size(scan, config))
    # The reference looks at the grid as it is; where that is not cubic, only directions should count.
    orientation = closest_ras(grid.affine if config.quirks.asymmetric_grid else unit_columns(grid.affine))
    whole = triple(grid.shape[axis] for axis in orientation.axes)
    crop = _crop(whole, config)
    core = whole if crop is None else triple(b - a for a, b in zip(*crop, strict=True))
    pad_start, padded_shape = _padding(core, config)
    record = ConformRecord(
        source=source,
        grid=grid,
        orientation=orientation,
        resampled=resampled,
        crop=crop,
        pad_start=pad_start,
        padded_shape=padded_shape,
    )
    _require_memory(scan, record, config)
    return record


def answer_grid(scan: Scan, config: ConformConfig, record: ConformRecord) -> Grid:
    """Return the grid of the label map: the network's, or the one of a network at the voxel size of the answer.

    Raises
    ------
    InputError
        If an answer there would not fit in memory.
    """
    size_mm = config.grid.answer_mm
    if size_mm == config.grid.voxel_size_mm:
        return record.grid
    return plan(scan, replace(config, grid=GridSpec(size_mm, 1, 1), crop=None)).grid


def scan_on(scan: Scan, target: Grid, record: ConformRecord, quirks: Quirks = NATIVE) -> Volume | None:
    """Return the scan on a grid over it, in its axis order; ``None`` where that is its own grid.

    Parameters
    ----------
    scan
        As it was read.
    target
        From :func:`answer_grid`.
    record
        Of the scan, with any network.
    quirks
        What to copy from the reference implementation.
    """
    if same_grid(target, record.source):
        return None
    there = replace(record, grid=target, resampled=True, crop=None)
    return Volume(there.to_source_order(_on_grid(scan, there, quirks)), target.affine)


def scan_at(scan: Scan, voxel_size_mm: float) -> tuple[Volume, bool]:
    """Return the scan on an isotropic grid over it, and whether voxels were computed for that.

    Unlike :func:`conform` this has no tolerance: a scan of 0.98 mm is interpolated to 1 mm.

    Raises
    ------
    InputError
        If the resampled scan would not fit in memory.
    """
    record = plan(scan, ConformConfig(grid=GridSpec(voxel_size_mm, 1, 1), tolerance_mm=0.0))
    volume = scan_on(scan, record.isotropic_grid(voxel_size_mm), record)
    return (scan.volume, False) if volume is None else (volume, True)


def reference_positions(count: int, factor: float) -> np.ndarray:
    """Return the sample positions of the reference in source voxels, not yet clamped.

    The order of the operations decides how many there are: 71 voxels of 2.7 mm can give 192 or 193.
    """
    start, step = -(factor - 1) / (2 * factor), 1 / factor
    return np.arange(start, start + step * np.ceil(count * factor), step)


def _trusted_size(scan: Scan, config: ConformConfig) -> Size3:
    return scan.header_voxel_size if config.quirks.header_decides_resampling else scan.volume.voxel_size


def _needs_resampling(scan: Scan, config: ConformConfig) -> bool:
    target, tolerance = config.grid.voxel_size_mm, config.tolerance_mm
    return any(size > target + tolerance or size < target - tolerance for size in _trusted_size(scan, config))


def _grid(source: Grid, config: ConformConfig) -> Grid:
    size_mm = config.grid.voxel_size_mm
    if config.quirks.asymmetric_grid:
        return _reference_grid(source.shape, source.affine, size_mm)
    return centred_grid(source.shape, source.affine, size_mm, straight=not config.quirks.ignore_shear)


def _reference_grid(shape: Shape3, affine: np.ndarray, target_mm: float) -> Grid:
    """Return the reference's grid: from the first voxel's edge on, as many samples as ``arange`` happens to give."""
    factors = np.array(voxel_size(affine)) / target_mm
    positions = [reference_positions(n, f) for n, f in zip(shape, factors, strict=True)]
    placed = affine.copy()
    placed[:3, :3] /= factors
    placed[:3, 3] -= placed[:3, :3] @ (0.5 * (factors - 1))
    first = np.array([p[0] for p in positions])
    counts = np.array([len(p) for p in positions])
    steps = 1 / factors
    shift = first - ((np.array(shape) - 1) / 2 - (counts - 1) / 2 * steps)
    return Grid(triple(counts.tolist()), placed, isotropic(target_mm), triple(steps.tolist()), triple(shift.tolist()))


def _crop(whole: Shape3, config: ConformConfig) -> tuple[Shape3, Shape3] | None:
    if config.crop is None:
        return None
    wanted = [_round_up(n, config.grid.multiple_voxels) for n in config.crop]
    start = triple(max((n - w) // 2, 0) for n, w in zip(whole, wanted, strict=True))
    return start, triple(min(a + w, n) for a, w, n in zip(start, wanted, whole, strict=True))


def _padding(core: Shape3, config: ConformConfig) -> tuple[Shape3, Shape3]:
    """Return the first voxel of a (cropped) grid inside its padded one, and the padded shape."""
    minimum = isotropic(config.grid.minimum_voxels) if config.crop is None else config.crop
    return padding(core, minimum, config.grid.multiple_voxels)


def padding(core: Shape3, minimum: Shape3, multiple: int) -> tuple[Shape3, Shape3]:
    """Return the first voxel of a grid inside its padded one, and the padded shape: at least so large, a multiple."""
    padded = triple(max(_round_up(n, multiple), _round_up(m, multiple)) for n, m in zip(core, minimum, strict=True))
    return triple((p - n) // 2 for p, n in zip(padded, core, strict=True)), padded


def on_whole_grid(conformed: Conformed, scan: Scan) -> np.ndarray:
    """Return the scan on the network's grid as it was before crop and normalisation, RAS."""
    data = scan.volume.data if conformed.resampled is None else conformed.resampled.data
    return conformed.record.orientation.to_ras(data)


def cut_out(conformed: Conformed, start: Shape3, stop: Shape3, config: ConformConfig) -> Conformed:
    """Return a part of a conformed scan; its intensities stay those of the whole.

    Parameters
    ----------
    conformed
        The whole scan, not cropped.
    start, stop
        Of the part on its grid, RAS.
    config
        How it is padded.
    """
    pad_start, padded_shape = _padding(triple(b - a for a, b in zip(start, stop, strict=True)), config)
    record = replace(
        conformed.record,
        crop=(start, stop),
        pad_start=pad_start,
        padded_shape=padded_shape,
        whole_intensities=True,
    )
    image = np.zeros(record.padded_shape)
    record.unpad(image)[...] = record.cropped(conformed.record.unpad(conformed.image))
    return replace(conformed, image=image, record=record)


def _cropped_to_content(conformed: Conformed, config: ConformConfig) -> Conformed:
    """Crop to the box of what is above 0, with a voxel to spare, enlarged on both sides to multiples of the grid."""
    core = conformed.record.unpad(conformed.image)
    found = np.nonzero(core)
    if not found[0].size:
        return conformed
    sizes = [int(axis.max() - axis.min()) + 2 for axis in found]
    wanted = [_round_up(size, config.grid.multiple_voxels) for size in sizes]
    margins = [(w - size) // 2 for w, size in zip(wanted, sizes, strict=True)]
    start = triple(max(int(axis.min()) - margin, 0) for axis, margin in zip(found, margins, strict=True))
    stop = triple(min(a + w, n) for a, w, n in zip(start, wanted, core.shape, strict=True))
    return cut_out(conformed, start, stop, config)


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _require_memory(scan: Scan, record: ConformRecord, config: ConformConfig) -> None:
    scan_copies, grid_copies = (_SCAN_COPIES, _GRID_COPIES) if record.resampled else (1, 1)
    voxels = math.prod(record.source_shape) * scan_copies + math.prod(record.grid_shape) * grid_copies
    shape = " x ".join(map(str, record.padded_shape))
    needed = 8 * (voxels + math.prod(record.padded_shape))
    memory.require(needed, scan.source, f"{shape} voxels of {config.grid.voxel_size_mm:g} mm", config.memory_bytes)


def _require_samples(scan: Scan, config: ConformConfig) -> None:
    """Refuse a grid beyond all bounds before its samples are counted; the reference takes any voxel size."""
    target_mm = config.grid.voxel_size_mm
    counts = [max(n * edge / target_mm, 1.0) for n, edge in zip(scan.volume.shape, scan.volume.voxel_size, strict=True)]
    shape = " x ".join(f"{count:.6g}" for count in counts)
    voxels = int(min(math.prod(counts), _ENDLESS_VOXELS**2))
    if voxels > _ENDLESS_VOXELS:
        memory.require(8 * voxels, scan.source, f"{shape} voxels of {target_mm:g} mm", config.memory_bytes)


def _on_grid(scan: Scan, record: ConformRecord, quirks: Quirks) -> np.ndarray:
    """Return the scan on the network's grid, RAS; the scan's own voxels when it need not be resampled."""
    data, orientation = scan.volume.data, record.orientation
    if not record.resampled:
        return orientation.to_ras(data)
    if quirks.asymmetric_grid:
        factors = np.array(record.source.voxel_size) / record.grid.voxel_size[0]
        return orientation.to_ras(_resampled_like_reference(data, factors))
    ordered = orientation.to_ras(data)
    steps = [record.grid.step[axis] for axis in orientation.axes]
    sigmas = [PREFILTER_SIGMA * s if s > 1 else 0.0 for s in steps]
    if record.straightened:
        filtered = gaussian_filter(ordered, sigmas) if any(sigmas) else ordered
        return record.source_sampling().resample(filtered, fill=float(data.min()))
    rules = [centred_sampling(*rule) for rule in zip(record.grid_shape, steps, ordered.shape, strict=True)]
    return _filtered_and_sampled(ordered, sigmas, rules)


def _resampled_like_reference(data: np.ndarray, factors: np.ndarray) -> np.ndarray:
    rules = [sampling_at(reference_positions(n, f), n) for n, f in zip(data.shape, factors, strict=True)]
    # An axis that is at the target already (factor 1) is filtered too.
    return _filtered_and_sampled(data, [PREFILTER_SIGMA / f if f <= 1 else 0.0 for f in factors], rules)


def _filtered_and_sampled(data: np.ndarray, sigmas: list[float], rules: list[AxisSampling]) -> np.ndarray:
    order = cheapest_order(data.shape, rules)
    # The filtered copy has no name here, so that it is freed as soon as the first axis is done.
    return resample(gaussian_filter(data, sigmas) if any(sigmas) else np.ascontiguousarray(data), rules, order)


def _normalised(
    ras: np.ndarray, record: ConformRecord, config: ConformConfig, scan: Scan
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the padded image in [0, 1] and a warning if there is nothing in it."""
    image = np.zeros(record.padded_shape)
    core = record.unpad(image)
    if record.whole_intensities:
        whole = ras.copy()
        notes = normalise(whole, config, scan)
        core[...] = record.cropped(whole)
        return image, notes
    core[...] = record.cropped(ras)
    return image, normalise(core, config, scan)


def normalise(core: np.ndarray, config: ConformConfig, scan: Scan, *, of: int | None = None) -> tuple[str, ...]:
    """Bring intensities to [0, 1], in place, and return a warning if nothing is left of them.

    Parameters
    ----------
    core
        What lies in the scan.
    config
        Percentiles, CT window.
    scan
        What it was made of.
    of
        Voxels that the percentiles refer to, those included that lie outside the scan and count as darkest; ``None``:
        those of ``core``.

    Raises
    ------
    InputError
        If only one intensity is left.
    """
    if config.ct:
        np.clip(core, *config.intensity.ct_window_hu, out=core)
    low, high = np.percentile(core, _percentiles(config.intensity.percentiles, core.size, of))
    if low == high:
        _check_featureless(float(low), config, scan)
        core[...] = 0
        return ("no contrast between the intensity percentiles: the network sees zeros",)
    np.clip(core, low, high, out=core)
    core -= low
    core /= high - low
    return ()


def _percentiles(wanted: tuple[float, float], count: int, of: int | None) -> tuple[float, float]:
    """Return percentiles of ``count`` voxels, of which the upper leaves as many above it as it would of ``of``."""
    low, high = wanted
    share = 1.0 if of is None else min((of - 1) / max(count - 1, 1), _LARGEST_SHARE)
    return low, max(100 - (100 - high) * share, low)


def _check_featureless(value: float, config: ConformConfig, scan: Scan) -> None:
    if config.quirks.accept_featureless:
        return
    remedy = "check that the values are Hounsfield units" if config.ct else "check that this is the scan of a head"
    low, high = config.intensity.percentiles
    raise InputError(
        scan.source,
        found=f"{value:g} at both the {low} and {high} intensity percentiles",
        expected="a scan with contrast",
        remedy=remedy,
    )
