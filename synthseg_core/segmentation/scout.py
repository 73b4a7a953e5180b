"""Find the brain in a whole scan with a coarse network, and give the fine one the field of view around it alone.

A network whose norms take their statistics from the sample (decision 018) wants the field of view that it was trained
with, and any network is several times faster on it. The scout looks at voxels of 4 mm, which takes a tenth of a second.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from synthseg_core.images.affines import triple
from synthseg_core.images.reading import Scan
from synthseg_core.images.resampling import centred_sampling, resample
from synthseg_core.models.loading import LoadedModel
from synthseg_core.segmentation.components import bounding_box, largest_component
from synthseg_core.segmentation.conform import PREFILTER_SIGMA, ConformConfig, Conformed, cropped_to, padding
from synthseg_core.segmentation.memory_estimate import scouting_bytes
from synthseg_core.segmentation.posteriors import network_posteriors
from synthseg_core.system import memory

_SMALLEST_BRAIN_ML = 150.0  # less is no brain: half of a newborn's
NO_BRAIN = "the scout found no brain: the whole field of view is segmented"


def scouted(model: LoadedModel, conformed: Conformed, scan: Scan, config: ConformConfig) -> Conformed:
    """Crop a conformed scan to the field of view around its brain, with the intensities of that part.

    Parameters
    ----------
    model
        Whose card may name a scout; without one, or with a crop that was asked for, nothing is done.
    conformed
        The whole scan, not cropped.
    scan, config
        What it was made of.

    Returns
    -------
    Conformed
        With a warning, and as it was, where no brain was found. The mirrored scan gets the mirrored box.

    Raises
    ------
    InputError
        If the scout would not fit into memory.
    """
    scout, spec = model.scout, model.card.scout
    if scout is None or spec is None or config.crop is not None or config.autocrop:
        return conformed
    voxel_mm = config.grid.voxel_size_mm
    text = f"{' x '.join(map(str, conformed.record.core_shape))} voxels of {voxel_mm:g} mm for {scout.card.name}"
    memory.require(scouting_bytes(scout.card, conformed.record), scan.source, text, config.memory_bytes)
    core = conformed.record.unpad(conformed.image)
    box = _brain_box(scout, core, voxel_mm)
    if box is None:
        return conformed.with_warning(NO_BRAIN)
    fields = [edge / voxel_mm for edge in spec.field_of_view_mm]
    spans = [
        _span(low - spec.margin_mm / voxel_mm, high + spec.margin_mm / voxel_mm, field, n)
        for (low, high), field, n in zip(box, fields, core.shape, strict=True)
    ]
    start, stop = (triple(corner) for corner in zip(*spans, strict=True))
    smallest = triple(round(field) for field in fields)
    return cropped_to(conformed, (start, stop), smallest, scan, config)


def _brain_box(scout: LoadedModel, core: np.ndarray, voxel_mm: float) -> list[tuple[float, float]] | None:
    """Return where the faces of the brain's box lie along each axis, in voxels of ``core``; the first centre is at 0.

    Parameters
    ----------
    scout
        Segments the whole scan coarsely.
    core : (I, J, K)
        The conformed scan, RAS, without padding.
    voxel_mm
        Its voxel size.
    """
    grid = scout.card.grid
    # A larger field of view than the scout knows is seen from further away.
    step = max(grid.voxel_size_mm / voxel_mm, max(core.shape) / grid.minimum_voxels)
    counts = triple(max(round(n / step), 1) for n in core.shape)
    rules = [centred_sampling(count, step, n) for count, n in zip(counts, core.shape, strict=True)]
    smooth = gaussian_filter(core, PREFILTER_SIGMA * step) if step > 1 else core
    start, padded = padding(counts, triple([grid.minimum_voxels] * 3), grid.multiple_voxels)
    image = np.zeros(padded)
    inner = triple(slice(a, a + n) for a, n in zip(start, counts, strict=True))
    image[inner] = resample(smooth, rules)
    off_centre = 2 * start[0] + counts[0] - padded[0]
    background = network_posteriors(scout, image, flip_average=True, off_centre=off_centre)[0].numpy()[inner]
    brain = largest_component(background < 0.5, triple((n - 1) / 2 for n in counts))
    if brain.sum() * (step * voxel_mm) ** 3 / 1000 < _SMALLEST_BRAIN_ML:
        return None
    found = bounding_box(brain)
    assert found is not None
    return [
        tuple((edge - count / 2) * step + (n - 1) / 2 for edge in (axis.start, axis.stop))  # type: ignore[misc]
        for axis, count, n in zip(found, counts, core.shape, strict=True)
    ]


def _span(low: float, high: float, field: float, count: int) -> tuple[int, int]:
    """Return first and last voxel (exclusive) of a span with the middle of ``low`` and ``high``, inside the scan.

    The voxels are those whose centres lie in it; ties count on both sides, so that mirroring changes nothing.
    """
    middle, half = (low + high) / 2, max(high - low, field - 1) / 2
    first, last = np.round([middle - half, middle + half], 6)
    return max(int(np.ceil(first)), 0), min(int(np.floor(last)) + 1, count)
