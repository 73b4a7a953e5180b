"""The device to compute on and the machine around it; float32 means float32 there."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from synthseg_core.errors import InputError, UsageError

CPU_ALLOCATOR = "DefaultCPUAllocator"  # how torch says that the machine's memory ran out
# More than any machine has use for; their stacks alone would fill the memory.
MOST_THREADS = 1024


def choose_device(name: str = "auto") -> torch.device:
    """Return the device called ``name``; ``auto`` takes CUDA where there is one, else the CPU; ``gpu`` means ``cuda``.

    Raises
    ------
    UsageError
        If the name is unknown or the machine has no such device: nothing falls back in silence.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    counts = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    kind, separator, number = name.partition(":")
    kind = "cuda" if kind == "gpu" else kind
    index = int(number) if number.isdecimal() else -1 if separator else 0
    if not 0 <= index < counts.get(kind, 0):
        raise UsageError(
            "--device",
            found=name or "nothing",
            expected=f"auto or one of {', '.join(_names(counts))} on this machine",
            remedy="choose another device",
        )
    return torch.device(kind, index) if separator else torch.device(kind)


def _names(counts: dict[str, int]) -> list[str]:
    """Return the devices of this machine as they can be asked for."""
    several = [f"{kind}:{number}" for kind, count in counts.items() if count > 1 for number in range(count)]
    return [kind for kind, count in counts.items() if count] + several


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


@contextmanager
def explained_exhaustion(
    subject: object,
    purpose: str = "this scan",
    expected: str = "room for the posteriors of all classes and one slab of the network",
    remedy: str | None = None,
) -> Iterator[None]:
    """Turn an allocation that failed, on a GPU or in the machine's memory, into an error that says what helps.

    Parameters
    ----------
    subject
        What the error names, such as the file of the scan.
    purpose
        What memory was needed for.
    expected
        What there should be room for.
    remedy
        What helps; ``None``: what helps with scans.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        on_cpu = isinstance(error, MemoryError) or CPU_ALLOCATOR in str(error)
        if not (on_cpu or isinstance(error, torch.OutOfMemoryError)):
            raise
        usual = "crop the scan (--crop) or free memory" if on_cpu else "use --device cpu, or crop the scan (--crop)"
        raise InputError(
            subject,
            found=f"too little memory{'' if on_cpu else ' on the GPU'} for {purpose}",
            expected=expected,
            remedy=remedy or usual,
        ) from error


def use_threads(count: int | None) -> None:
    """Compute with ``count`` CPU threads; ``None``: leave torch's choice. ``UsageError`` for impossible numbers."""
    if count is None:
        return
    if not 1 <= count <= MOST_THREADS:
        raise UsageError(
            "--threads", found=str(count), expected=f"1 to {MOST_THREADS}", remedy="give the number of cores to use"
        )
    torch.set_num_threads(count)


def hardware_text(device: torch.device, processes: int = 1) -> str:
    """Return what computes, for model cards."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    elif device.type == "cpu":
        name = f"{torch.get_num_threads()} threads of {_processor()}"
    else:
        name = f"{device.type} on {platform.machine()}"
    return f"{processes} x {name}" if processes > 1 else name


def _processor() -> str:
    """Return the processor's name where the system tells it, or else its architecture."""
    return _told_by_system("model name") or platform.processor() or platform.machine()


def processor_identity() -> str:
    """Return what tells kinds of processors apart, also those that go by one name: model number and instructions."""
    facts = ("vendor_id", "cpu family", "model", "model name", "flags", "Features")
    return " ".join((platform.machine(), *(_told_by_system(fact) for fact in facts)))


def _told_by_system(fact: str) -> str:
    """Return an entry of the first processor; empty where the system tells none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == fact), "")
