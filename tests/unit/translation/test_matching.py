"""Grey values matched without training: exact cases, order kept, background left alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthseg_core.errors import InputError
from synthseg_core.translation.matching import GreyValues, grey_values, match, match_affine, match_histogram
from tests.phantoms.translation import Ellipses

LOW = GreyValues((-0.8, -0.4, 0.0), -0.4, 0.2)
HIGH = GreyValues((0.0, 0.1, 1.0), 0.3, 0.4)


def test_by_rank():
    image = np.array([[-1.0, -0.8, -0.6], [-0.4, -0.2, 0.0]], np.float32)
    assert match_histogram(image, LOW, HIGH) == pytest.approx(np.array([[-1, 0, 0.05], [0.1, 0.55, 1]]))


def test_by_mean_and_spread():
    image = np.array([-1.0, -0.4, -0.2, 0.9], np.float32)
    assert match_affine(image, LOW, HIGH) == pytest.approx([-1, 0.3, 0.7, 1])


@given(st.lists(st.floats(-0.875, 1, width=32), min_size=2, max_size=20), st.sampled_from(["histogram", "affine"]))
def test_order_is_kept(values, method):
    image = np.sort(np.array(values, np.float32))
    matched = match(method, image, LOW, HIGH)
    assert matched.dtype == np.float32
    assert np.all(np.diff(matched) >= -1e-6)


def test_a_domain_is_matched_to_itself_by_changing_nothing():
    values = grey_values(Ellipses(), "dark")
    image = Ellipses().image("dark", "train", 3)
    assert match_affine(image, values, values) == pytest.approx(image, abs=1e-6)
    assert match_histogram(image, values, values) == pytest.approx(image, abs=0.05)


def test_measured_values_are_those_of_the_images():
    values = grey_values(Ellipses(), "bright")
    pixels = np.concatenate([Ellipses().image("bright", "train", index).ravel() for index in range(12)])
    assert values.mean == pytest.approx(pixels.mean(), abs=1e-3)
    assert values.std == pytest.approx(pixels.std(), abs=1e-3)
    assert values.quantiles[50] == pytest.approx(np.median(pixels), abs=1e-3)


class Black(Ellipses):
    """Nothing but background."""

    def image(self, domain, split, index):
        return np.full((1, 8, 8), -1, np.float32)


def test_images_of_nothing():
    with pytest.raises(InputError, match="nothing but background"):
        grey_values(Black(), "dark")
    with pytest.raises(InputError, match="deviation of 0"):
        GreyValues((0.1, 0.1), 0.1, 0.0)
