"""Behaviours of the reference implementation that change results, each named once.

``synthseg predict`` copies them all (:data:`REFERENCE`); everything else uses none (:data:`NATIVE`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Quirks:
    """One switch per quirk; ``True`` means: do as the reference does.

    Parameters
    ----------
    header_decides_resampling
        The voxel sizes in the header, not those of the affine, decide whether a scan is resampled, and scale its
        volumes when it is not.
    asymmetric_grid
        Resample before reorienting, in the scan's own axis order, to ``numpy.arange`` positions whose count depends
        on float64 rounding; the result does not commute with flips.
    last_axis_channels
        Length-1 axes vanish, a last axis of 10 or fewer entries holds channels of which the first is taken, and what
        is then not three-dimensional is refused; so stacks of 2 to 10 slices along the last axis fail.
    propagate_nan
        NaN and infinite voxels stay; one NaN empties the segmentation and makes all volumes NaN.
    accept_featureless
        Constant scans, scans without contrast and implausible voxel sizes are processed.
    mirror_padded_grid
        Flip averaging mirrors the padded grid instead of the scan; with odd padding the two are half a voxel apart, and
        a mirrored scan does not give the mirrored answer.
    flags_change_blur
        Asking for parcels or quality scores changes which posteriors are blurred.
    ignore_shear
        Axes that are not perpendicular, as a tilted gantry leaves them, count as if they were: the network sees a
        sheared head, and volumes are too large, by 6 % for a tilt of 20 degrees.
    nan_on_zero_sum
        A voxel whose posteriors sum to zero becomes NaN instead of background.
    array_order_ties
        Channel sums round in array order, and of components of equal size the first in array order is kept, so that
        single voxels of a mirrored scan can differ.
    loose_parcels
        Left cortex may become right parcels and the reverse, and parcel volumes count what lies outside the cortex.
    float32_volumes
        Volumes of uncropped scans are added up voxel by voxel in float32, which loses small addends: cerebrospinal
        fluid, the only structure that is not cleaned, came out 1.5 % too small on a whole head.
    keep_input_dtype
        The resampled scan is written in the input's data type, re-quantised when that is an integer type.
    keep_input_header
        Results inherit the input's display range and header extensions.
    mgz_as_float32
        Every ``.mgz`` output is written as float32, label maps included.
    """

    header_decides_resampling: bool = False
    asymmetric_grid: bool = False
    last_axis_channels: bool = False
    propagate_nan: bool = False
    accept_featureless: bool = False
    mirror_padded_grid: bool = False
    flags_change_blur: bool = False
    ignore_shear: bool = False
    nan_on_zero_sum: bool = False
    array_order_ties: bool = False
    loose_parcels: bool = False
    float32_volumes: bool = False
    keep_input_dtype: bool = False
    keep_input_header: bool = False
    mgz_as_float32: bool = False


NATIVE = Quirks()
REFERENCE = Quirks(**{field.name: True for field in fields(Quirks)})
