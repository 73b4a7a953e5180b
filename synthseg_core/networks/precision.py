"""The number format that a device computes in fastest without harm."""

from __future__ import annotations

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
