"""The number format that a device computes in fastest without harm."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def automatic_precision(device: torch.device) -> str:
    """Return ``bfloat16`` where the device has instructions for it, ``float16`` on older GPUs, else ``float32``."""
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    return "bfloat16" if device.type == "cpu" and _cpu_has_bfloat16() else "float32"


def _cpu_has_bfloat16() -> bool:
    """Without such instructions the format is emulated, and slower than float32."""
    tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, test, lambda: False)() for test in tests)


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Return the context for forward passes in a precision."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, getattr(torch, precision))


def fixed_shapes() -> AbstractContextManager[object]:
    """Return the context in which GPUs may try out which convolution is fastest: samples have one shape."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=True, deterministic=False, allow_tf32=True)
