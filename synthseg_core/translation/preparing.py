"""Make a translation dataset from scans: check them all, cut them one after the other, write.

Nothing is written before every scan is known to be one. A slice with too little of the head is left out at both ends of
a scan; what is left of all slices is cut to the box of the head, so that random windows seldom show nothing but air.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synthseg_core.errors import GeometryError, InputError, UsageError
from synthseg_core.images.reading import Scan, count_volumes, read_scan
from synthseg_core.system.processes import in_order
from synthseg_core.system.progress import OnProgress
from synthseg_core.translation.contrast import CT_WINDOW_HU, Window, head_mask, is_label_map, robust_window
from synthseg_core.translation.dataset import Description, Stack
from synthseg_core.translation.dataset_writing import DatasetWriter
from synthseg_core.translation.slices import plan_slices
from synthseg_core.translation.sources import Source

_MARGIN_MM = 8.0
"""Around the head."""
_PLACE_TOLERANCE_MM = 0.1  # between scans that are said to be a pair


@dataclass(frozen=True)
class Cutting:
    """How scans become images.

    Parameters
    ----------
    plane
        ``axial``, ``coronal`` or ``sagittal``.
    spacing_mm
        Edge of a pixel.
    coverage
        Least share of head in a slice, of that in the slice with most.
    ct
        Domains whose values are Hounsfield units.
    ct_window_hu
        What becomes -1 and 1 there.
    """

    plane: str = "axial"
    spacing_mm: float = 1.0
    coverage: float = 0.2
    ct: tuple[str, ...] = ()
    ct_window_hu: tuple[float, float] = CT_WINDOW_HU

    def __post_init__(self) -> None:
        if not 0 <= self.coverage <= 1:
            raise UsageError("coverage", found=f"{self.coverage:g}", expected="0 to 1", remedy="correct it")
        if not self.ct_window_hu[0] < self.ct_window_hu[1]:
            found = " ".join(f"{value:g}" for value in self.ct_window_hu)
            raise UsageError("CT window", found=found, expected="two numbers, the smaller first", remedy="correct it")


@dataclass(frozen=True)
class Images:
    """What one file gives to a dataset.

    Parameters
    ----------
    images : (N, height, width)
        float32, -1 to 1.
    first_slice
        Number of the first one in the scan.
    corner
        Row and column, in the whole slices, of the first pixel that is kept.
    window
        Values that became -1 and 1.
    dropped
        Slices with too little head.
    """

    images: np.ndarray
    first_slice: int
    corner: tuple[int, int]
    window: Window
    dropped: int


@dataclass(frozen=True)
class Preparation:
    """What goes into a dataset.

    Parameters
    ----------
    domains
        Files of both; of a paired dataset in the same order.
    split_of
        Split of each subject.
    description
        Goes into the dataset.
    cutting
        How scans become images.
    """

    domains: Mapping[str, Sequence[Source]]
    split_of: Mapping[str, str]
    description: Description
    cutting: Cutting


@dataclass(frozen=True)
class Summary:
    """What was written.

    Parameters
    ----------
    stacks
        Rows of the manifest.
    dropped
        Slices with too little head, by domain.
    """

    stacks: tuple[Stack, ...]
    dropped: Mapping[str, int]


def usable_scan(path: Path) -> Scan:
    """Read a scan that can be cut into images.

    Raises
    ------
    InputError
        If it is no scan, a label map, or has several channels.
    """
    if (count := count_volumes(path)) > 1:
        raise InputError(
            path,
            found=f"{count} volumes in one file",
            expected="a scan of one channel",
            remedy="extract the volume that is meant",
        )
    scan = read_scan(path)
    if is_label_map(scan.volume.data):
        raise InputError(
            path,
            found="few different whole numbers in regions, as in a label map",
            expected="a scan",
            remedy="give scans, not segmentations",
        )
    return scan


def cut_scan(path: Path, cutting: Cutting, *, ct: bool) -> Images:
    """Read a scan and cut it.

    Parameters
    ----------
    path
        Of the scan.
    cutting
        How.
    ct
        Whether its values are Hounsfield units.

    Raises
    ------
    InputError
        If it is no scan of one channel.
    """
    return _images([usable_scan(path)], cutting, [ct])[0]


def cut_pair(first: Path, second: Path, cutting: Cutting, ct: tuple[bool, bool]) -> tuple[Images, Images]:
    """Read two scans of one place and cut them at the same places, which the first one decides.

    Parameters
    ----------
    first, second
        Of the scans.
    cutting
        How.
    ct
        Whether their values are Hounsfield units.

    Raises
    ------
    InputError
        If one is no scan of one channel; a :class:`GeometryError` if they lie on different grids.
    """
    scans = [usable_scan(path) for path in (first, second)]
    volumes = [scan.volume for scan in scans]
    if volumes[0].shape != volumes[1].shape or not np.allclose(
        volumes[0].affine, volumes[1].affine, rtol=0, atol=_PLACE_TOLERANCE_MM
    ):
        raise GeometryError(
            second,
            found=f"another grid than that of {first.name}",
            expected="pairs on one grid",
            remedy="register and resample one to the other, or leave out --paired",
        )
    one, other = _images(scans, cutting, ct)
    return one, other


def write_dataset(
    folder: Path, preparation: Preparation, *, jobs: int = 1, progress: OnProgress | None = None
) -> Summary:
    """Cut all scans and write the dataset.

    Parameters
    ----------
    folder
        To write to.
    preparation
        What goes in.
    jobs
        Scans at once, each in a process of its own.
    progress
        Called with the number of files done and of all.
    """
    dropped: Counter[str] = Counter()
    stacks: list[Stack] = []
    with DatasetWriter(folder, preparation.description) as writer:
        for source, made in _cut_all(preparation, jobs, progress):
            stack = _stack(source, preparation.split_of[source.subject], made, preparation.cutting)
            stacks.append(writer.add(stack, list(made.images)))
            dropped[source.domain] += made.dropped
    return Summary(tuple(stacks), dropped)


def _cut_all(preparation: Preparation, jobs: int, progress: OnProgress | None) -> Iterator[tuple[Source, Images]]:
    domains, cutting = preparation.domains, preparation.cutting
    ct = {name: name in cutting.ct for name in domains}
    if not preparation.description.paired:
        sources = [source for files in domains.values() for source in files]
        calls = [(source.path, cutting, ct[source.domain]) for source in sources]
        yield from zip(sources, in_order(_cut_alone, calls, jobs=jobs, progress=progress), strict=True)
        return
    pairs = list(zip(*domains.values(), strict=True))
    both = tuple(ct.values())
    paired_calls = [(first.path, second.path, cutting, both) for first, second in pairs]
    for sources, made in zip(pairs, in_order(cut_pair, paired_calls, jobs=jobs, progress=progress), strict=True):
        yield from zip(sources, made, strict=True)


def _cut_alone(path: Path, cutting: Cutting, ct: bool) -> Images:
    return cut_scan(path, cutting, ct=ct)


def _images(scans: Sequence[Scan], cutting: Cutting, ct: Sequence[bool]) -> list[Images]:
    """Cut scans of one place; the head of the first one decides where."""
    slicing = plan_slices(scans[0].volume, cutting.plane, cutting.spacing_mm)
    slices = [slicing.slices(scan.volume.data) for scan in scans]
    masks = [head_mask(data, ct=is_ct) for data, is_ct in zip(slices, ct, strict=True)]
    if not masks[0].any():
        raise InputError(scans[0].source, found="no head", expected="a scan", remedy="check the scan, and --ct")
    numbers, rows, columns = _kept(masks[0], cutting)
    made: list[Images] = []
    for data, mask, is_ct in zip(slices, masks, ct, strict=True):
        window = Window(*cutting.ct_window_hu) if is_ct else robust_window(data[mask])
        images = window.normalised(data[numbers, rows, columns])
        made.append(Images(images, numbers.start, (rows.start, columns.start), window, len(data) - len(images)))
    return made


def _kept(mask: np.ndarray, cutting: Cutting) -> tuple[slice, slice, slice]:
    """Return the slices with enough head, and the rows and columns around it."""
    areas = mask.sum(axis=(1, 2))
    enough = np.flatnonzero(areas >= max(1, cutting.coverage * areas.max()))
    numbers = slice(int(enough[0]), int(enough[-1]) + 1)
    margin = round(_MARGIN_MM / cutting.spacing_mm)
    rows, columns = (_span(np.any(mask[numbers], axis=others), margin) for others in ((0, 2), (0, 1)))
    return numbers, rows, columns


def _span(filled: np.ndarray, margin: int) -> slice:
    found = np.flatnonzero(filled)
    return slice(max(0, int(found[0]) - margin), min(filled.size, int(found[-1]) + 1 + margin))


def _stack(source: Source, split: str, made: Images, cutting: Cutting) -> Stack:
    return Stack(
        domain=source.domain,
        subject=source.subject,
        session=source.session,
        file=str(source.path),
        split=split,
        plane=cutting.plane,
        first_slice=made.first_slice,
        last_slice=made.first_slice + len(made.images) - 1,
        first_image=0,
        spacing_mm=cutting.spacing_mm,
        low=made.window.low,
        high=made.window.high,
        top=made.corner[0],
        left=made.corner[1],
    )
