"""Content of weights files as the safetensors package reads it, the same every time."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load

from synthseg_core.errors import WeightsError
from synthseg_core.models.arrays import METADATA_KEY, model_bytes

RNG = np.random.default_rng(0)
ARRAYS = {
    "b.weight": RNG.normal(size=(2, 3, 5)).astype(np.float32),
    "a.bias": RNG.normal(size=3).astype(np.float16),
    "scalar": np.array(1.5),
    "ä": np.zeros((0, 2), np.float16),
    "strided": RNG.normal(size=(4, 6)).astype(np.float32).T,
}


@pytest.mark.parametrize("half", [True, False])
def test_bytes_depend_on_the_content_alone(half):
    facts = {"b": "2", "a": '{"said": "ü \\" q"}', **dict.fromkeys("uvwxyz", "")}
    content = model_bytes(ARRAYS, facts, half=half)
    turned = model_bytes(dict(reversed(ARRAYS.items())), dict(reversed(facts.items())), half=half)
    assert content == turned
    code = """
import sys
from safetensors.numpy import load
from synthseg_core.models.arrays import model_bytes
facts = {"a": '{"said": "ü \\\\" q"}', **dict.fromkeys("zyxwvu", ""), "b": "2"}
sys.stdout.buffer.write(model_bytes(load(sys.stdin.buffer.read()), facts, half=sys.argv[1] == "True"))
"""
    words = [sys.executable, "-c", code, str(half)]
    other = subprocess.run(words, input=model_bytes(ARRAYS, {}), capture_output=True, check=True)
    assert other.stdout == content


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
