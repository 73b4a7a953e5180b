"""Read pairs of label maps and compare them, several at once; a pair that cannot be read costs no other."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import numpy as np

from synthseg_core.errors import Failure, GeometryError, SynthSegError, UsageError
from synthseg_core.evaluation.comparison import (
    LabelPair,
    Options,
    Structure,
    absent_in_both,
    compare,
    single_structures,
)
from synthseg_core.evaluation.pairing import Pair
from synthseg_core.evaluation.results import Compared, Results
from synthseg_core.evaluation.soft_overlap import soft_dice
from synthseg_core.images.label_maps import nearest_labels, read_label_file_ras
from synthseg_core.images.volume import Volume
from synthseg_core.system.progress import OnProgress

Resample: TypeAlias = Literal["never", "segmentation", "reference"]
"""What is brought to the grid of the other one, with nearest neighbours, where grids differ."""
RESAMPLE: tuple[Resample, ...] = ("never", "segmentation", "reference")

_PLACE_TOLERANCE_MM = 1e-2  # headers hold float32


@dataclass(frozen=True)
class Evaluation:
    """What is compared, and how.

    Parameters
    ----------
    structures
        Structures to compare; ``None``: every label that occurs in either map.
    groups
        Sums of labels that are compared as well.
    names
        Label value -> name of the structure.
    options
        Of each comparison.
    resample
        What to do where grids differ; ``never``: the pair fails.
    channels
        Label of each channel of posteriors.
    """

    structures: tuple[Structure, ...] | None = None
    groups: tuple[Structure, ...] = ()
    names: Mapping[int, str] = field(default_factory=dict[int, str])
    options: Options = field(default_factory=Options)
    resample: Resample = "never"
    channels: tuple[int, ...] = ()


def evaluate(
    pairs: Sequence[Pair], evaluation: Evaluation, *, jobs: int = 1, progress: OnProgress | None = None
) -> Results:
    """Compare all pairs.

    Parameters
    ----------
    pairs
        Of all scans and models.
    evaluation
        What is compared, and how.
    jobs
        Pairs at once, each in a process of its own.
    progress
        Called with the number of pairs done and of all.
    """
    outcomes: dict[int, Compared | Failure] = {}
    for number, outcome in _outcomes(pairs, evaluation, jobs):
        outcomes[number] = outcome
        if progress is not None:
            progress(len(outcomes), len(pairs))
    ordered = [outcomes[number] for number in sorted(outcomes)]
    compared = [one for one in ordered if isinstance(one, Compared)]
    failures = tuple(one for one in ordered if isinstance(one, Failure))
    groups = frozenset(group.name for group in evaluation.groups)
    soft = any(pair.posteriors for pair in pairs)
    return Results(_completed(compared, evaluation), failures, evaluation.options.surfaces, groups, soft)


def compare_pair(pair: Pair, evaluation: Evaluation) -> Compared:
    """Read a pair and compare it.

    Raises
    ------
    SynthSegError
        If a file cannot be read, or grids differ and nothing shall be resampled.
    """
    maps = read_pair(pair, evaluation.resample)
    structures = evaluation.structures
    if structures is None:
        structures = tuple(single_structures(maps.labels, dict(evaluation.names)))
    everything = (*structures, *evaluation.groups)
    agreements = compare(maps, everything, evaluation.options)
    if pair.posteriors is not None:
        soft = soft_dice(pair.posteriors, evaluation.channels, maps, everything)
        agreements = [replace(one, soft_dice=value) for one, value in zip(agreements, soft, strict=True)]
    return Compared(pair, tuple(agreements))


def read_pair(pair: Pair, resample: Resample = "never") -> LabelPair:
    """Read both label maps and the mask in RAS+ order, on one grid.

    Raises
    ------
    SynthSegError
        If a file cannot be read, or grids differ and nothing shall be resampled.
    """
    reference, segmentation = read_label_file_ras(pair.reference), read_label_file_ras(pair.segmentation)
    if not _same_grid(reference, segmentation):
        if resample == "segmentation":
            segmentation = Volume(nearest_labels(segmentation, reference.shape, reference.affine), reference.affine)
        elif resample == "reference":
            reference = Volume(nearest_labels(reference, segmentation.shape, segmentation.affine), segmentation.affine)
        else:
            raise GeometryError(
                pair.segmentation,
                found=f"another grid than that of {pair.reference.name}: {_grid_text(segmentation)}",
                expected=_grid_text(reference),
                remedy="say which one shall be resampled: --resample segmentation, or reference",
            )
    ignore = None
    if pair.mask is not None:
        mask = read_label_file_ras(pair.mask)
        if not _same_grid(mask, reference):
            raise GeometryError(
                pair.mask,
                found=f"another grid: {_grid_text(mask)}",
                expected=f"that of the comparison: {_grid_text(reference)}",
                remedy="give a mask on the same grid",
            )
        ignore = mask.data != 0
    return LabelPair(reference.data, segmentation.data, reference.affine, ignore)


def require_labels(pairs: Sequence[Pair], labels: Sequence[int], resample: Resample, *, every: bool = True) -> None:
    """Refuse labels that no map has; stops reading as soon as the answer is known.

    Parameters
    ----------
    pairs
        To be compared.
    labels
        Asked for.
    resample
        As in :class:`Evaluation`.
    every
        Whether each of them must occur somewhere, or one of them is enough.

    Raises
    ------
    UsageError
        With the labels that are nowhere.
    """
    missing = set(labels)
    for pair in pairs:
        if not missing or (not every and len(missing) < len(set(labels))):
            return
        try:
            missing -= set(read_pair(pair, resample).labels)
        except SynthSegError:
            continue  # reported when its turn comes
    if missing and (every or len(missing) == len(set(labels))):
        raise UsageError(
            "--labels",
            found=f"{', '.join(map(str, sorted(missing)))}, in no reference and no segmentation",
            expected="labels that occur",
            remedy="correct the labels",
        )


def _outcomes(pairs: Sequence[Pair], evaluation: Evaluation, jobs: int) -> Iterator[tuple[int, Compared | Failure]]:
    if jobs <= 1 or len(pairs) == 1:
        yield from ((number, _outcome(pair, evaluation)) for number, pair in enumerate(pairs))
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(pairs)), mp_context=context) as pool:
        running = {pool.submit(_outcome, pair, evaluation): number for number, pair in enumerate(pairs)}
        try:
            for done in as_completed(running):
                yield running[done], done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _outcome(pair: Pair, evaluation: Evaluation) -> Compared | Failure:
    """Compare a pair, or say why not."""
    try:
        return compare_pair(pair, evaluation)
    except SynthSegError as error:
        return Failure.of(error, scan=f"{pair.scan} ({pair.model})")


def _completed(compared: Sequence[Compared], evaluation: Evaluation) -> tuple[Compared, ...]:
    """Give every pair a row for each structure that some pair has."""
    if evaluation.structures is not None:
        return tuple(compared)
    single = {a.structure for one in compared for a in one.agreements if a.structure not in evaluation.groups}
    everything = (*sorted(single, key=lambda structure: structure.labels), *evaluation.groups)

    def filled(one: Compared) -> Compared:
        known = {agreement.structure: agreement for agreement in one.agreements}
        rows = (known.get(structure) or absent_in_both(structure) for structure in everything)
        return Compared(one.pair, tuple(rows))

    return tuple(map(filled, compared))


def _same_grid(first: Volume, second: Volume) -> bool:
    return first.shape == second.shape and np.allclose(first.affine, second.affine, rtol=0, atol=_PLACE_TOLERANCE_MM)


def _grid_text(volume: Volume) -> str:
    shape, size = " x ".join(map(str, volume.shape)), " x ".join(f"{edge:.3g}" for edge in volume.voxel_size)
    corner = ", ".join(f"{place:.4g}" for place in volume.affine[:3, 3])
    return f"{shape} voxels of {size} mm, the first at {corner} mm (RAS)"
