"""Choose the device to compute on; float32 means float32 there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from synthseg_core.errors import UsageError

DEVICES = ("auto", "cpu", "cuda", "mps")


def choose_device(name: str = "auto") -> torch.device:
    """Return the device called ``name``; ``auto`` takes CUDA where there is one, else the CPU.

    Raises
    ------
    UsageError
        If the name is unknown or the machine has no such device: nothing falls back in silence.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind = name.partition(":")[0]
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(kind, False):
        raise UsageError(
            "--device",
            found=name,
            expected=f"auto or one of {', '.join(k for k, there in available.items() if there)} on this machine",
            remedy="choose another device",
        )
    return torch.device(name)


@contextmanager
def exact_float32() -> Iterator[None]:
    """Keep GPU convolutions and products in float32: no TF32, no choice of kernels by timing."""
    matmul = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = matmul


def use_threads(count: int | None) -> None:
    """Compute with ``count`` CPU threads; ``None``: leave torch's choice. ``UsageError`` below one."""
    if count is None:
        return
    if count < 1:
        raise UsageError("--threads", found=str(count), expected="at least 1", remedy="correct the option")
    torch.set_num_threads(count)
