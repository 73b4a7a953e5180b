"""Which number format a device computes in, and that the context applies it."""

from __future__ import annotations

import pytest
import torch

from synthseg_core.networks import precision


@pytest.mark.parametrize(("has_bfloat16", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_processors_take_bfloat16_where_they_have_instructions_for_it(monkeypatch, has_bfloat16, expected):
    monkeypatch.setattr(precision, "_cpu_has_bfloat16", lambda: has_bfloat16)
    assert precision.automatic_precision(torch.device("cpu")) == expected


@pytest.mark.parametrize(("native", "expected"), [(True, "bfloat16"), (False, "float16")])
def test_gpus_take_bfloat16_only_where_it_is_not_emulated(monkeypatch, native, expected):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    assert precision.automatic_precision(torch.device("cuda")) == expected


def test_other_devices_compute_in_float32():
    assert precision.automatic_precision(torch.device("mps")) == "float32"


@pytest.mark.parametrize(("name", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_autocast(name, dtype):
    with precision.autocast(torch.device("cpu"), name):
        assert (torch.ones(2, 3) @ torch.ones(3, 2)).dtype == dtype


def test_fixed_shapes_ends_with_its_block():
    before = torch.backends.cudnn.benchmark
    with precision.fixed_shapes():
        assert torch.backends.cudnn.benchmark
    assert torch.backends.cudnn.benchmark == before
