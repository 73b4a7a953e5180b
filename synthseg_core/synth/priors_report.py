"""Intensity priors as tables: what the generator reads, and one row per scan to look at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from synthseg_core.labels.lists import GenerationLabels
from synthseg_core.synth.prior_estimation import (
    HIGHEST,
    NORMAL_PER_MAD,
    PERCENTILES,
    BlockPriors,
    Scale,
    ScanStatistics,
)
from synthseg_core.synth.priors import COLUMNS
from synthseg_core.system.tables import format_tsv

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
    return f"{number} scan{'s' if number > 1 else ''} for each block"


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
