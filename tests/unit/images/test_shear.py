"""Interpolation across axes that are not parallel, by hand and on functions that it has to give exactly."""

from __future__ import annotations

import numpy as np
import pytest

from synthseg_core.images.resampling import argmax_classes, resample_classes
from synthseg_core.images.shear import ShearedSampling

SOURCE, TARGET = (9, 11, 8), (6, 7, 5)


def _matrix(origin=(1.2, 2.1, 1.4)) -> np.ndarray:
    """Steps of about a voxel, turned and sheared."""
    matrix = np.eye(4)
    matrix[:3, :3] = [[0.9, 0.2, 0.0], [-0.1, 0.8, 0.3], [0.1, 0.0, 0.7]]
    matrix[:3, 3] = origin
    return matrix


def _sampling(matrix=None, window=((0, 0, 0), SOURCE), shape=TARGET) -> ShearedSampling:
    return ShearedSampling(_matrix() if matrix is None else matrix, shape, SOURCE, window)


def _linear(x, y, z):
    return 3.0 + 2.0 * x - 0.5 * y + 0.25 * z


def test_linear_functions_are_kept():
    data = _linear(*np.indices(SOURCE))
    places = np.einsum("ab,bijk->aijk", _matrix()[:3, :3], np.indices(TARGET)) + _matrix()[:3, 3, None, None, None]
    np.testing.assert_allclose(_sampling().resample(data), _linear(*places), rtol=1e-12)


def test_identity():
    data = np.random.default_rng(0).random(SOURCE).astype(np.float32)
    found = _sampling(np.eye(4), shape=SOURCE).resample(data)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, data)


@pytest.mark.parametrize(("shift", "value"), [(-0.4, 1.0), (0.5, 1.5), (-0.6, 7.0), (8.5, 9.0), (8.6, 7.0)])
def test_half_a_voxel_beyond_the_source_is_clamped_and_the_rest_filled(shift, value):
    matrix = np.eye(4)
    matrix[0, 3] = shift
    data = np.broadcast_to(np.arange(1.0, 10)[:, None, None], SOURCE)
    assert _sampling(matrix, shape=(1, 1, 1)).resample(data, fill=7.0).item() == pytest.approx(value)


def _posteriors(seed=0, shape=SOURCE) -> np.ndarray:
    values = np.random.default_rng(seed).random((4, *shape)) ** 6
    values[0] *= 3
    return (values / values.sum(axis=0)).astype(np.float32)


@pytest.mark.parametrize("origin", [(1.2, 2.1, 1.4), (-2.0, 2.1, -1.5)])
def test_most_probable_class(origin):
    """That of the largest interpolated posterior; background where there is no source."""
    sampling, posteriors = _sampling(_matrix(origin)), _posteriors()
    classes = np.stack(list(resample_classes(posteriors, sampling)))
    np.testing.assert_allclose(classes.sum(axis=0), 1, rtol=1e-5)
    found = argmax_classes(posteriors, sampling)
    assert found.dtype == np.uint16
    assert len(np.unique(found)) == 4
    np.testing.assert_array_equal(found, classes.argmax(axis=0))


def test_window_is_what_remains_of_the_source():
    """As if all outside were background."""
    window = (2, 1, 0), (8, 9, 6)
    posteriors = _posteriors()
    part = tuple(slice(*span) for span in zip(*window, strict=True))
    padded = np.zeros_like(posteriors)
    padded[0] = 1
    padded[(slice(None), *part)] = posteriors[(slice(None), *part)]
    found = np.stack(list(resample_classes(posteriors[(slice(None), *part)], _sampling(window=window))))
    expected = np.stack(list(resample_classes(padded, _sampling())))
    np.testing.assert_allclose(found, expected, atol=1e-6)
