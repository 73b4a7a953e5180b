"""Estimate intensity priors: what each class of tissue looks like in scans that come with label maps.

For each scan the median and the median absolute deviation of each class; over scans their mean and standard deviation
(Billot et al., MIDL 2020, as in the published estimation script). Two differences: deviations are always scaled to
that of a normal distribution, which there depended on the version of a library; and a class that a scan lacks has no
part in the averages, where it entered them as zero.

Intensity priors as tables: what the generator reads, and one row per scan to look at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from synthseg_core.errors import InputError
from synthseg_core.images.label_maps import read_ras_labels, stem
from synthseg_core.images.pairs import Case, read_on_grid
from synthseg_core.images.reading import count_volumes
from synthseg_core.labels.lists import GenerationLabels, unknown_values
from synthseg_core.synth.priors import COLUMNS
from synthseg_core.system.progress import OnProgress
from synthseg_core.system.tables import format_tsv
from synthseg_core.system.words import counted

# Reference: the darkest and brightest 2 % say more about fat and artefacts than about tissue.
PERCENTILES = (2.0, 98.0)
HIGHEST = 255.0
MOST_CHANNELS = 3
# Deviation of a normal distribution per median absolute deviation: 1 / quantile(0.75).
NORMAL_PER_MAD = 1.482602218505602

# Which voxels' percentiles become 0 and 255.
Scale = Literal["all", "above-zero", "as-stored"]
SCALES = get_args(Scale)

_UNLISTED = -1


@dataclass(frozen=True)
class ScanStatistics:
    """Intensities of each class in one channel of one scan.

    Parameters
    ----------
    subject, modality, channel
        File name without extension, name of the folder, number of the volume in the file.
    voxels : (K,)
        Voxels that were used; for classes other than 0 the positive ones.
    medians, deviations : (K,)
        Median, and median absolute deviation scaled to a standard deviation; NaN where there are no voxels.
    """

    subject: str
    modality: str
    channel: int
    voxels: np.ndarray
    medians: np.ndarray
    deviations: np.ndarray


@dataclass(frozen=True)
class BlockPriors:
    """Hyper-parameters of one modality and channel.

    Parameters
    ----------
    subjects : (K,)
        Scans that have the class.
    means, stds : (2, K)
        Mean and standard deviation over scans, of the medians and of the deviations.
    """

    modality: str
    channel: int
    subjects: np.ndarray
    means: np.ndarray
    stds: np.ndarray


def measure(
    cases: Sequence[Case],
    labels: GenerationLabels,
    *,
    scale: Scale = "all",
    ignore_unknown: bool = False,
    progress: OnProgress | None = None,
) -> tuple[ScanStatistics, ...]:
    """Measure every scan, one at a time in memory.

    Parameters
    ----------
    cases
        Label maps with their scans.
    labels
        What the values of the maps mean.
    scale
        Map the 2nd and 98th percentile of ``all`` voxels of each scan, or of those ``above-zero``, to 0 and 255 first;
        or take intensities ``as-stored``.
    ignore_unknown
        Leave voxels out whose label the list lacks, instead of refusing the map.
    progress
        Called with the number of cases done and of all cases.

    Raises
    ------
    InputError
        If a file is unreadable, a scan does not lie on the grid of its map, or a label is not in the list.
    """
    channels = [_channels([case.images[m][1] for case in cases]) for m in range(len(cases[0].images))]
    found: list[ScanStatistics] = []
    for number, case in enumerate(cases, start=1):
        volume = read_ras_labels(case.label_map)
        classes = class_map(volume.data, labels, case.label_map, ignore_unknown)
        for (modality, path), count in zip(case.images, channels, strict=True):
            for channel in range(count):
                image = read_on_grid(path, volume, case.label_map, channel)
                statistics = class_statistics(_scaled(image, scale), classes, labels.n_classes)
                _check_contrast(statistics[0], path)
                found.append(ScanStatistics(stem(path), modality, channel, *statistics))
        if progress is not None:
            progress(number, len(cases))
    return tuple(found)


def _scaled(image: np.ndarray, scale: Scale) -> np.ndarray:
    if scale == "as-stored":
        return image
    return rescale(image, image[image > 0] if scale == "above-zero" else None)


def rescale(image: np.ndarray, reference: np.ndarray | None = None) -> np.ndarray:
    """Clip to the 2nd and 98th percentile and map these to 0 and 255; float32.

    Parameters
    ----------
    image
        Intensities of a scan.
    reference
        Voxels whose percentiles are taken; ``None``: all of the image.
    """
    if reference is not None and not reference.size:
        return np.zeros(image.shape, np.float32)
    low, high = np.percentile(image if reference is None else reference, PERCENTILES)
    if low == high:
        return np.zeros(image.shape, np.float32)
    return ((np.clip(image, low, high) - low) * (HIGHEST / (high - low))).astype(np.float32)


def class_map(label_map: np.ndarray, labels: GenerationLabels, path: Path, ignore_unknown: bool = False) -> np.ndarray:
    """Return the Gaussian class of each voxel, int16; -1 where the label is not in the list and that is ignored."""
    table = np.full(max(labels.values) + 2, _UNLISTED, np.int16)
    table[list(labels.values)] = labels.classes
    classes = table[np.minimum(label_map, len(table) - 1)]
    if not ignore_unknown and (classes == _UNLISTED).any():
        raise unknown_values(path, np.unique(label_map[classes == _UNLISTED]).tolist(), labels)
    return classes


def class_statistics(
    image: np.ndarray, classes: np.ndarray, n_classes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return voxels used, median and deviation of each class; of classes other than 0 only positive voxels count."""
    voxels, medians, deviations = np.zeros(n_classes, np.int64), *np.full((2, n_classes), np.nan)
    for number in range(n_classes):
        values = image[classes == number]
        values = values[values > 0] if number else values
        voxels[number] = len(values)
        if len(values):
            medians[number], deviations[number] = median_and_deviation(values)
    return voxels, medians, deviations


def median_and_deviation(values: np.ndarray) -> tuple[float, float]:
    """Return the median, and the median absolute deviation scaled as for a normal distribution."""
    median = np.median(values)
    return float(median), NORMAL_PER_MAD * float(np.median(np.abs(values - median)))


def combine(statistics: Iterable[ScanStatistics]) -> tuple[BlockPriors, ...]:
    """Average over scans, for each modality and channel; scans without a class have no part in its averages.

    A class that no scan has gets the mean and the spread over all other tissue classes, so that it can still be drawn.
    """
    blocks: dict[tuple[str, int], list[ScanStatistics]] = {}
    for row in statistics:
        blocks.setdefault((row.modality, row.channel), []).append(row)
    return tuple(map(_combined, blocks.values()))


def saturated_classes(statistics: Iterable[ScanStatistics]) -> tuple[int, ...]:
    """Return the classes of which rescaling pushed half or more to the upper end, in some scan."""
    tops = [np.flatnonzero(row.medians[1:] >= HIGHEST) + 1 for row in statistics]
    return tuple(sorted({int(number) for top in tops for number in top}))


def _combined(rows: Sequence[ScanStatistics]) -> BlockPriors:
    medians, deviations = (np.stack([getattr(row, name) for row in rows]) for name in ("medians", "deviations"))
    subjects = np.isfinite(medians).sum(axis=0)
    means, stds = (_filled(_mean_and_std(values)) for values in (medians, deviations))
    return BlockPriors(rows[0].modality, rows[0].channel, subjects, means, stds)


def _mean_and_std(values: np.ndarray) -> np.ndarray:
    """Return mean and population standard deviation of (N, K) over N as (2, K); NaN where a class never occurs."""
    present = np.isfinite(values)
    count = np.where(present.any(axis=0), present.sum(axis=0), np.nan)
    mean = np.where(present, values, 0).sum(axis=0) / count
    variance = np.where(present, (values - mean) ** 2, 0).sum(axis=0) / count
    return np.stack([mean, np.sqrt(variance)])


def _filled(hyper: np.ndarray) -> np.ndarray:
    """Give classes that never occur the mean and spread over the other classes, background apart."""
    tissue = hyper[0, 1:][np.isfinite(hyper[0, 1:])]
    fallback = np.array([tissue.mean(), tissue.std()]) if len(tissue) else np.zeros(2)
    return np.where(np.isfinite(hyper), hyper, fallback[:, None])


def _channels(paths: Sequence[Path]) -> int:
    """Return how many channels are measured in the scans of one modality; refuse scans with unequal numbers."""
    counts = [count_volumes(path) for path in paths]
    for path, count in zip(paths, counts, strict=True):
        if count != counts[0]:
            raise InputError(
                path,
                found=f"{count} volumes",
                expected=f"{counts[0]}, as in {paths[0].name}",
                remedy="give each modality a folder of its own",
            )
    return min(counts[0], MOST_CHANNELS)


def _check_contrast(voxels: np.ndarray, path: Path) -> None:
    """Refuse a scan that shows nothing where its map has labels."""
    if not voxels[1:].any():
        raise InputError(
            path,
            found="no voxel above zero in any class but background",
            expected="a scan of the head in the label map",
            remedy="check that scan and map belong together",
        )


ALL_COLUMNS = ("block", "modality", "channel", *COLUMNS, "scans", "labels")
_SCAN_COLUMNS = ("scan", "modality", "channel", "class", "voxels", "median", "deviation")


def priors_text(blocks: Sequence[BlockPriors], labels: GenerationLabels, *, scale: Scale) -> str:
    """Return the table of priors; its remarks say how the numbers were made."""
    remarks = (
        f"Intensity priors, to be drawn from normal distributions; {_number_of_scans(blocks)}, by synthseg priors.",
        *_method(labels, scale),
        "mean_of_mean, std_of_mean: of the medians, over the scans that have the class; mean_of_std, std_of_std: of the"
        " deviations.",
        "scans 0: no scan has the class, and its values are those of all other tissue.",
    )
    return _remarks(remarks) + format_tsv(_prior_rows(blocks, labels), ALL_COLUMNS)


def scans_text(statistics: Iterable[ScanStatistics], labels: GenerationLabels, *, scale: Scale) -> str:
    """Return one row per scan, channel and class."""
    return _remarks(_method(labels, scale)) + format_tsv(_scan_rows(statistics), _SCAN_COLUMNS)


def _method(labels: GenerationLabels, scale: Scale) -> tuple[str, ...]:
    low, high = PERCENTILES
    which = {"all": "of each scan", "above-zero": "of the voxels above 0 of each scan"}.get(scale)
    intensities = (
        f"percentiles {low:g} and {high:g} {which} mapped to 0 and {HIGHEST:g}, clipped" if which else "as stored"
    )
    return (
        f"Intensities: {intensities}; of classes other than 0 only those above 0.",
        f"Deviation: median absolute deviation times {NORMAL_PER_MAD:.4f}, that of a normal distribution.",
        f"Label list: {labels.source}, {labels.n_classes} classes.",
    )


def _number_of_scans(blocks: Sequence[BlockPriors]) -> str:
    number = max(int(block.subjects.max()) for block in blocks)
    return f"{counted(number, 'scan')} for each block"


def _remarks(lines: Iterable[str]) -> str:
    return "".join(f"# {line}\n" for line in lines)


def _prior_rows(blocks: Sequence[BlockPriors], labels: GenerationLabels) -> Iterator[dict[str, object]]:
    members = [",".join(_members(labels, number)) for number in range(labels.n_classes)]
    for number, block in enumerate(blocks):
        hyper = np.concatenate([block.means, block.stds])
        for row, column in enumerate(hyper.T):
            cells = dict(zip(COLUMNS, (row, *map(_number, column)), strict=True))
            place = {"block": number, "modality": block.modality, "channel": block.channel}
            yield {**place, **cells, "scans": int(block.subjects[row]), "labels": members[row]}


def _members(labels: GenerationLabels, number: int) -> list[str]:
    return [str(value) for value, of in zip(labels.values, labels.classes, strict=True) if of == number]


def _scan_rows(statistics: Iterable[ScanStatistics]) -> Iterator[dict[str, object]]:
    for scan in statistics:
        place = {"scan": scan.subject, "modality": scan.modality, "channel": scan.channel}
        for row, (voxels, median, deviation) in enumerate(zip(scan.voxels, scan.medians, scan.deviations, strict=True)):
            yield {
                **place,
                "class": row,
                "voxels": int(voxels),
                "median": _number(median),
                "deviation": _number(deviation),
            }


def _number(value: float) -> str | None:
    return None if np.isnan(value) else f"{value:.6g}"
