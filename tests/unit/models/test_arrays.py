"""Our writer of the safetensors format against the package of that name."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load, save

from synthseg_core.errors import WeightsError
from synthseg_core.models.arrays import METADATA_KEY, model_bytes, safetensors_bytes

RNG = np.random.default_rng(0)
ARRAYS = {
    "b.weight": RNG.normal(size=(2, 3, 5)).astype(np.float32),
    "a.bias": RNG.normal(size=3).astype(np.float16),
    "scalar": np.array(1.5),
    "ä": np.zeros((0, 2), np.float16),
    "strided": RNG.normal(size=(4, 6)).astype(np.float32).T,
}


@pytest.mark.parametrize("metadata", [{}, {"synthseg": '{"said": "ü \\" q"}'}])
def test_bytes_are_those_of_the_package(metadata):
    contiguous = {name: np.copy(array, order="C") for name, array in ARRAYS.items()}
    assert safetensors_bytes(ARRAYS, metadata) == save(contiguous, metadata=metadata or None)


def test_order_of_the_arrays_makes_no_difference():
    assert safetensors_bytes(ARRAYS, {}) == safetensors_bytes(dict(reversed(ARRAYS.items())), {})


@pytest.mark.parametrize(("half", "kind"), [(True, np.float16), (False, np.float32)])
def test_model_bytes_are_read_back(half, kind):
    content = model_bytes(ARRAYS, {"b": "2", "a": "1"}, half=half)
    read = load(content)
    assert set(read) == set(ARRAYS)
    for name, array in read.items():
        assert array.dtype == kind
        np.testing.assert_array_equal(array, ARRAYS[name].astype(kind))
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert json.loads(header["__metadata__"][METADATA_KEY]) == {"a": "1", "b": "2"}


@pytest.mark.parametrize(("value", "half"), [(np.inf, True), (np.nan, True), (np.inf, False)])
def test_values_that_cannot_be_stored_are_refused(value, half):
    with pytest.raises(WeightsError, match="array head.bias: found values that are not finite or too large"):
        model_bytes({"head.bias": np.array([0, value], np.float32)}, {}, half=half)
    assert model_bytes({"head.bias": np.array([0, 1e5], np.float32)}, {})


def test_values_beyond_16_bits_keep_32():
    variance = np.array([0.5, 101287.2], np.float32)
    content = model_bytes({"a.running_var": variance, "a.weight": np.ones(2, np.float32)}, {}, half=True)
    arrays = load(content)
    assert arrays["a.running_var"].tolist() == variance.tolist()
    assert arrays["a.weight"].dtype == np.float16
