"""Which number format a device computes in, and that the context applies it."""

from __future__ import annotations

import pytest
import torch

from synthseg_core.networks import precision


@pytest.mark.parametrize(("native", "second"), [(True, "bfloat16"), (False, "float16")])
def test_gpus_try_bfloat16_only_where_it_is_not_emulated(monkeypatch, native, second):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    assert precision.formats_of(torch.device("cuda")) == ("float32", second)


def test_processors_try_bfloat16_whatever_their_flags_say():
    assert precision.formats_of(torch.device("cpu")) == ("float32", "bfloat16")


def test_other_devices_compute_in_float32():
    assert precision.formats_of(torch.device("mps")) == ("float32",)


@pytest.mark.parametrize(("name", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_autocast(name, dtype):
    with precision.autocast(torch.device("cpu"), name):
        assert (torch.ones(2, 3) @ torch.ones(3, 2)).dtype == dtype


def test_fixed_shapes_ends_with_its_block():
    before = torch.backends.cudnn.benchmark
    with precision.fixed_shapes():
        assert torch.backends.cudnn.benchmark
    assert torch.backends.cudnn.benchmark == before
