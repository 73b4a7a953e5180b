"""Choice of device and threads, and float32 that stays float32."""

from __future__ import annotations

import pytest
import torch

from synthseg_core.errors import InputError, UsageError
from synthseg_core.networks.devices import choose_device, exact_float32, explained_exhaustion, use_threads


@pytest.fixture
def hardware(monkeypatch):
    """Pretend that the machine has two GPUs, or none."""

    def pretend(cuda: bool = False, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2 if cuda else 0)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return pretend


@pytest.mark.parametrize(("cuda", "expected"), [(True, "cuda"), (False, "cpu")])
def test_auto_takes_the_gpu_where_there_is_one(hardware, cuda, expected):
    hardware(cuda=cuda)
    assert choose_device() == choose_device("auto") == torch.device(expected)


@pytest.mark.parametrize("name", ["cpu", "cpu:0", "cuda", "cuda:0", "cuda:1", "mps"])
def test_named_devices(hardware, name):
    hardware(cuda=True, mps=True)
    assert choose_device(name) == torch.device(name)


@pytest.mark.parametrize(
    "name", ["cuda", "cuda:0", "mps", "gpu", "", "CPU", "cpu:x", "cpu:", "cuda:0:1", "tpu:0", "cpu;rm", "auto:0"]
)
def test_absent_and_unknown_devices_are_refused(hardware, name):
    """Nothing falls back in silence, and a name that torch cannot read is no traceback."""
    hardware()
    with pytest.raises(UsageError, match=r"--device: found .*; expected auto or one of cpu .*; choose another device"):
        choose_device(name)


@pytest.mark.parametrize("name", ["cuda:2", "cuda:99", "cuda:x"])
def test_gpus_that_are_not_there_are_refused(hardware, name):
    hardware(cuda=True)
    with pytest.raises(UsageError, match=r"--device: found cuda:.*; expected .*; choose another device"):
        choose_device(name)


def test_expected_names_what_this_machine_has(hardware):
    hardware(mps=True)
    with pytest.raises(UsageError) as caught:
        choose_device("cuda")
    assert "cpu, mps" in caught.value.expected


def _settings() -> tuple:
    cudnn = torch.backends.cudnn
    return torch.backends.cuda.matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic


@pytest.mark.parametrize("allowed", [True, False])
def test_exact_float32_holds_inside_and_ends_outside(allowed):
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    original = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = allowed
    try:
        before = _settings()
        with exact_float32():
            assert _settings() == (False, False, False, True)
        assert _settings() == before
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = original


def test_exact_float32_ends_after_errors_and_nests():
    before = _settings()
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        with pytest.raises(ZeroDivisionError), exact_float32(), exact_float32():
            raise ZeroDivisionError
        assert torch.backends.cuda.matmul.allow_tf32
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before[0]
    assert _settings() == before


def test_expected_names_every_gpu(hardware):
    hardware(cuda=True)
    with pytest.raises(UsageError) as caught:
        choose_device("cuda:2")
    assert "cpu, cuda, cuda:0, cuda:1 on" in caught.value.expected


def test_threads():
    before = torch.get_num_threads()
    try:
        use_threads(1)
        assert torch.get_num_threads() == 1
        use_threads(2)
        use_threads(None)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("count", [0, -1, 100_000])
def test_impossible_numbers_of_threads_are_refused(count):
    with pytest.raises(UsageError, match=rf"--threads: found {count}; expected 1 to 1024; give the number of cores"):
        use_threads(count)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), ("on the GPU", "--device cpu")),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), ("too little memory for", "--crop")),
        (MemoryError(), ("too little memory for", "--crop")),
    ],
)
def test_exhausted_memory_names_the_scan_and_a_way_out(error, words):
    with pytest.raises(InputError) as caught, explained_exhaustion("head.nii.gz"):
        raise error
    assert str(caught.value).startswith("head.nii.gz: ")
    assert all(word in str(caught.value) for word in words)


def test_other_runtime_errors_keep_their_traceback():
    with pytest.raises(RuntimeError, match="shape"), explained_exhaustion("head.nii.gz"):
        raise RuntimeError("shape mismatch")
