"""Classes for voxels that nobody labelled: a Gaussian mixture of their intensities, darkest class left as background.

Maps of some structures only, or of other organs, leave most of a scan without labels, and the generator would render it
as one flat tissue. The idea is that of the MONAI port of SynthSeg; there, classes come in the order in which a fit
happens to find them. Here they are ordered by mean intensity on a common scale and numbered from a fixed value, and one
mixture can serve many scans, so that a value means the same tissue in every file.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthseg_core.errors import InputError, UsageError
from synthseg_core.images.label_maps import LARGEST_LABEL
from synthseg_core.labels.known import FIRST_TISSUE
from synthseg_core.system.atomic import write_json
from synthseg_core.system.settings import read_mapping

# The port's number of classes and limit of iterations.
N_CLASSES = 10
MAX_ITERATIONS = 1024
# A second of fitting on a head. Ten Gaussians on one grey-value axis are bands more than tissues: another sample, of a
# million voxels too, moves their means by up to 30 of 255, so one mixture should serve all scans of a project.
FIT_VOXELS = 100_000
# Grey values of 0..255 come in steps; without a floor a class could shrink onto a single step.
_SMALLEST_VARIANCE = 1.0
_CHUNK_VOXELS = 2**20
_MOST_CLASSES = int(np.iinfo(np.uint8).max)


@dataclass(frozen=True)
class TissueMixture:
    """Gaussian mixture in one dimension.

    Parameters
    ----------
    weights, means, stds : (K,)
        Of each class, in order of means, on the scale of rescaled scans (0 to 255).
    converged
        Whether the fit ended before its limit of iterations.
    """

    weights: tuple[float, ...]
    means: tuple[float, ...]
    stds: tuple[float, ...]
    converged: bool = True

    def __post_init__(self) -> None:
        rows = (self.weights, self.means, self.stds)
        equal = {len(row) for row in rows} == {len(self.means)} and len(self) <= _MOST_CLASSES
        positive = min((*self.weights, *self.stds), default=0) > 0
        if not (equal and positive and list(self.means) == sorted(self.means)):
            raise InputError(
                "tissue mixture",
                found="lists of unequal length, means out of order, or numbers that are not positive",
                expected="positive weights, ascending means and positive stds of each class",
                remedy="write it with synthseg labels cluster",
            )

    def __len__(self) -> int:
        return len(self.means)

    def labels(self, first: int = FIRST_TISSUE) -> tuple[int, ...]:
        """Return the label of each class: 0 for the darkest, then ``first``, ``first`` + 1, ..."""
        return (0, *range(first, first + len(self) - 1))

    def classify(self, values: np.ndarray) -> np.ndarray:
        """Return the likeliest class of each value (N,), uint8; in chunks, to spare memory."""
        means, stds, weights = (np.array(column)[:, None] for column in (self.means, self.stds, self.weights))
        found = np.empty(len(values), np.uint8)
        for begin in range(0, len(values), _CHUNK_VOXELS):
            part = values[begin : begin + _CHUNK_VOXELS].astype(np.float64)
            density = np.log(weights) - np.log(stds) - ((part - means) / stds) ** 2 / 2
            found[begin : begin + _CHUNK_VOXELS] = density.argmax(axis=0)
        return found

    def save(self, path: Path) -> None:
        """Write the mixture as JSON."""
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> TissueMixture:
        """Read a mixture that :meth:`save` wrote; ``InputError`` if the file is none."""
        expected = "a JSON file with weights, means and stds"
        remedy = "write it with synthseg labels cluster --save-mixture"
        content = read_mapping(path, "tissue mixture", remedy, is_json=True)
        try:
            columns = (tuple(float(number) for number in content[name]) for name in ("weights", "means", "stds"))
            return cls(*columns, converged=bool(content.get("converged", True)))
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, InputError):
                raise
            found = f"no tissue mixture ({' '.join(str(error).split())})"
            raise InputError(path, found=found, expected=expected, remedy=remedy) from error


def fit_mixture(samples: np.ndarray, n_classes: int = N_CLASSES, seed: int = 0) -> TissueMixture:
    """Fit a mixture to intensities (N,); the same samples and seed give the same mixture.

    Raises
    ------
    UsageError
        If scikit-learn is not installed, or there are fewer than two classes.
    InputError
        If the samples have fewer distinct values than classes.
    """
    check_classes(n_classes)
    if (distinct := len(np.unique(samples))) < n_classes:
        raise InputError(
            "unlabelled voxels",
            found=f"{distinct} distinct intensities",
            expected=f"at least {n_classes}, the number of classes",
            remedy="ask for fewer classes",
        )
    model = _mixture_module().GaussianMixture(
        n_classes, max_iter=MAX_ITERATIONS, random_state=seed, reg_covar=_SMALLEST_VARIANCE
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what did not converge is said by the result
        model.fit(np.asarray(samples, np.float64)[:, None])
    order = np.argsort(model.means_[:, 0], kind="stable")
    columns = (model.weights_, model.means_[:, 0], np.sqrt(model.covariances_[:, 0, 0]))
    weights, means, stds = (tuple(column[order].tolist()) for column in columns)
    return TissueMixture(weights, means, stds, bool(model.converged_))


def sample_unlabelled(image: np.ndarray, label_map: np.ndarray, count: int, seed: Sequence[int]) -> np.ndarray:
    """Return the intensities of up to ``count`` randomly chosen voxels of label 0."""
    values = image[label_map == 0]
    if len(values) <= count:
        return values
    return values[np.sort(np.random.default_rng(seed).choice(len(values), count, replace=False, shuffle=False))]


def fill_unlabelled(
    image: np.ndarray, label_map: np.ndarray, mixture: TissueMixture, first: int = FIRST_TISSUE
) -> np.ndarray:
    """Return the label map with the labels of a mixture in place of 0, int32; the darkest class stays 0."""
    filled = label_map.astype(np.int32)
    unlabelled = label_map == 0
    filled[unlabelled] = np.array(mixture.labels(first), np.int32)[mixture.classify(image[unlabelled])]
    return filled


def check_classes(n_classes: int, first: int = FIRST_TISSUE) -> None:
    """Refuse numbers of classes and first labels that make no labels."""
    if not 2 <= n_classes <= _MOST_CLASSES:
        raise UsageError(
            "classes",
            found=str(n_classes),
            expected=f"2 to {_MOST_CLASSES}, background included",
            remedy="10 is the usual number",
        )
    if not 1 <= first <= LARGEST_LABEL - n_classes:
        raise UsageError(
            "first label", found=str(first), expected=f"1 to {LARGEST_LABEL - n_classes}", remedy="choose unused values"
        )


def check_unused(label_map: np.ndarray, labels: Sequence[int], path: Path) -> None:
    """Refuse a map that has one of the new labels already."""
    if used := np.intersect1d(label_map, [label for label in labels if label]).tolist():
        raise InputError(
            path,
            found=f"label {used[0]}, which the new classes would take",
            expected=f"none of {labels[1]} to {labels[-1]}",
            remedy="choose other values with --first; maps that were clustered before are not clustered again",
        )


def _mixture_module() -> Any:
    try:
        return importlib.import_module("sklearn.mixture")
    except ImportError as error:
        raise UsageError(
            "scikit-learn",
            found="it is not installed",
            expected="it, to fit a mixture",
            remedy="pip install 'synthseg-bids[cluster]', or use a mixture fitted elsewhere (--mixture)",
        ) from error
