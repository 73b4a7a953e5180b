"""Number formats: which ones a device has, and the context that computes in one."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def formats_of(device: torch.device) -> tuple[str, ...]:
    """Return the formats worth a trial on a device, the exact one first.

    ``float16`` only on GPUs without bfloat16 instructions; on processors bfloat16 may be emulated and slow.
    """
    if device.type == "cuda":
        return ("float32", "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16")
    return ("float32", "bfloat16") if device.type == "cpu" else ("float32",)


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Return the context for forward passes in a precision."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, getattr(torch, precision))


def fixed_shapes() -> AbstractContextManager[object]:
    """Return the context in which GPUs may try out which convolution is fastest: samples have one shape."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=True, deterministic=False, allow_tf32=True)
