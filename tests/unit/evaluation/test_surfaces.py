"""Surface distances: objects that can be worked out by hand, anisotropic and sheared voxels, another implementation."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from scipy.ndimage import binary_erosion, distance_transform_edt

from synthseg_core.errors import GeometryError
from synthseg_core.evaluation.overlap import dice_by_label
from synthseg_core.evaluation.surfaces import boundary, boundary_points, surface_distances

from .test_overlap import CUBE, WITH_A_VOXEL, ball, box

# Maximum, 99th and 95th percentile, mean, of the project's table of numeric examples (E1 to E10).
EXAMPLES = {
    "E1 itself": (CUBE, CUBE, (0, 0, 0, 0)),
    "E2 shifted by 1": (CUBE, box((6, 12), (5, 11), (5, 11)), (1, 1, 1, 0.3421053)),
    "E3 shifted by 3": (CUBE, box((8, 14), (5, 11), (5, 11)), (3, 3, 3, 1.2368421)),
    "E4 shifted on all axes": (CUBE, box((6, 12), (6, 12), (6, 12)), (1.7320508, 1.4142136, 1.4142136, 0.8877977)),
    "E5 larger": (CUBE, box((4, 12), (4, 12), (4, 12)), (1.7320508, 1.7320508, 1.4142136, 1.0602699)),
    "E6 apart": (CUBE, box((13, 19), (5, 11), (5, 11)), (8, 8, 8, 5.5)),
    "E7 a voxel more": (CUBE, WITH_A_VOXEL, (12.1243557, 0, 0, 0.0396223)),
    "E8 two voxels": (box((5, 6), (5, 6), (5, 6)), box((8, 9), (9, 10), (5, 6)), (5, 5, 5, 5)),
    "E9 balls shifted by 1": (ball(10, (20, 20, 20)), ball(10, (21, 20, 20)), (1, 1, 1, 0.591002)),
    "E10 balls of two sizes": (
        ball(10, (20, 20, 20)),
        ball(12, (20, 20, 20)),
        (2.449490, 2.263813, 2.236068, 1.887295),
    ),
}


def distances(first, second, axes_mm=None):
    found = surface_distances(first != 0, second != 0, np.eye(3) if axes_mm is None else axes_mm)
    return found.maximum_mm, found.percentile_99_mm, found.percentile_95_mm, found.mean_mm


@pytest.mark.parametrize(("first", "second", "expected"), EXAMPLES.values(), ids=EXAMPLES)
def test_examples(first, second, expected):
    assert distances(first, second) == pytest.approx(expected, abs=1e-6)


def test_faces_at_the_edge_of_the_volume_are_surface():
    whole = np.ones((3, 4, 5), bool)
    assert boundary(whole).sum() == 60 - 1 * 2 * 3
    assert boundary(np.ones((1, 1, 1), bool)).all()


@pytest.mark.parametrize("sizes_mm", [(1.0, 1.0, 1.0), (0.7, 1.3, 5.0)])
def test_agrees_with_distance_transforms(sizes_mm):
    """Another way to the same numbers: Euclidean distance transforms to the voxels that an erosion takes away."""
    generator = np.random.default_rng(4)
    first, second = (generator.random((9, 11, 13)) > share for share in (0.8, 0.7))
    surfaces = [mask & ~binary_erosion(np.pad(mask, 1))[1:-1, 1:-1, 1:-1] for mask in (first, second)]
    there, back = (
        distance_transform_edt(~other, sampling=sizes_mm)[one] for one, other in itertools.permutations(surfaces)
    )
    pooled = np.concatenate([there, back])
    expected = (*np.percentile(pooled, [100, 99, 95]), (there.mean() + back.mean()) / 2)
    assert distances(first, second, np.diag(sizes_mm)) == pytest.approx(expected, abs=1e-9)


def test_agrees_with_monai_where_definitions_coincide():
    """The largest distance and Dice; MONAI takes means and percentiles in other ways."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        from monai.metrics.hausdorff_distance import compute_hausdorff_distance
        from monai.metrics.meandice import compute_dice

        first, second = ball(10, (20, 20, 20)) != 0, ball(8, (22, 19, 17)) != 0
        one_hot = [torch.from_numpy(np.stack([~mask, mask]))[None].float() for mask in (first, second)]
        theirs = compute_hausdorff_distance(*one_hot, spacing=(0.8, 1.0, 2.5)).item()
        dice = compute_dice(*one_hot, include_background=False).item()
    assert distances(first, second, np.diag([0.8, 1.0, 2.5]))[0] == pytest.approx(theirs, abs=1e-5)
    assert 2 * (first & second).sum() / (first.sum() + second.sum()) == pytest.approx(dice, abs=1e-6)


@pytest.mark.parametrize("sizes_mm", [(1.0, 1.0, 1.0), (0.8, 1.0, 2.5)])
@pytest.mark.parametrize("shift", [(1, 0, 0), (3, 0, 0), (1, 1, 1), (-2, 0, 3)])
def test_agrees_with_surface_distance_where_definitions_coincide(shift, sizes_mm):
    """The largest distance of shifted boxes, and Dice; that package puts surfaces between voxels and weighs areas."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from surface_distance import metrics

        first = box((5, 11), (5, 12), (5, 13)) != 0
        second = np.roll(first, shift, (0, 1, 2))
        theirs = metrics.compute_surface_distances(first, second, sizes_mm)
        largest = metrics.compute_robust_hausdorff(theirs, 100)
        dice = metrics.compute_dice_coefficient(first, second)
    assert distances(first, second, np.diag(sizes_mm))[0] == pytest.approx(largest, abs=1e-9)
    assert dice_by_label(first.astype(np.int32), second.astype(np.int32), [1])[0] == pytest.approx(dice, abs=1e-12)


def test_sheared_axes_keep_distances():
    """Two voxels a step apart along a tilted axis are as far apart as the step is long."""
    tilted = np.array([[1.0, 0, 0], [0, 1.0, 1.5], [0, 0, 2.0]])
    first, second = box((5, 6), (5, 6), (5, 6)), box((5, 6), (5, 6), (6, 7))
    assert distances(first, second, tilted) == pytest.approx((2.5, 2.5, 2.5, 2.5))


def test_points_are_centres_of_voxels():
    mask = np.zeros((3, 3, 3), bool)
    mask[1, 0, 2] = True
    assert boundary_points(mask, np.diag([2.0, 3.0, 4.0])).tolist() == [[2.0, 0.0, 8.0]]


@pytest.mark.parametrize(
    ("second", "found"),
    [(np.zeros((20, 20, 20), bool), "with 216 and 0 voxels"), (np.ones((2, 2, 2), bool), "(20, 20, 20) and (2, 2, 2)")],
)
def test_refuses_what_has_no_distance(second, found):
    with pytest.raises(GeometryError, match=r"two objects on one grid") as error:
        surface_distances(CUBE != 0, second, np.eye(3))
    assert found in str(error.value)
