"""Where samples come from, and whether they suit a network.

Samples that are made while the step before is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import torch
from torch import Tensor

from synthseg_core.errors import InputError, UsageError
from synthseg_core.networks.config import NetworkConfig, RegressorConfig, UNetConfig
from synthseg_core.training.config import TrainConfig


class Source(Protocol):
    """Where samples come from."""

    def batch(self, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return images (B, C, I, J, K) float32 and targets; the same seeds give the same samples.

        Targets are class_index (B, I, J, K), whole numbers, or for regressors true scores (B, N).
        """
        ...


def require_fit(images: Tensor, target: Tensor, config: TrainConfig, device: torch.device) -> None:
    """Refuse samples that the network cannot be trained on.

    Parameters
    ----------
    images, target
        As :meth:`Source.batch` returns them.
    config
        Of the training.
    device
        Where the network is.

    Raises
    ------
    InputError
        If channels, classes or edges are not those that the network takes.
    UsageError
        If this shape has no correct gradients in the precision asked for.
    """
    network, shape = config.network, tuple(images.shape[2:])
    divisor = 2**network.halvings
    if images.shape[1] != network.in_channels:
        raise _unfit(f"{images.shape[1]} image channels", f"{network.in_channels}, as the network takes")
    if isinstance(network, RegressorConfig):
        if target.shape[1:] != (network.out_channels,):
            raise _unfit(f"scores of shape {tuple(target.shape[1:])}", f"{network.out_channels}, as the network gives")
        if min(shape) < divisor:
            raise _unfit(f"shape {shape}", f"edges of at least {divisor}, halved {network.halvings} times")
        return
    if any(edge % divisor for edge in shape):
        raise _unfit(f"shape {shape}", f"edges divisible by {divisor}, halved {network.halvings} times")
    if int(target.max()) >= network.out_channels:
        raise _unfit(f"class {int(target.max())}", f"classes below {network.out_channels}, as the network has")
    if config.precision == "bfloat16" and device.type == "cpu" and 2 in _first_edges(network, shape[0]):
        raise UsageError(
            "precision",
            found=f"bfloat16 on the CPU with samples of shape {shape}",
            expected="more than 2 voxels along the first axis at every level of the network",
            remedy="use larger samples, fewer levels, or float32",
        )


def _first_edges(network: NetworkConfig, edge: int) -> list[int]:
    """Return the voxels along the first axis at each level.

    With two of them, oneDNN's bfloat16 convolution (torch 2.13) takes weight gradients from memory that it never set.
    """
    folding = network.folding if isinstance(network, UNetConfig) else 1
    return [edge // folding // 2**level for level in range(network.levels)]


def _unfit(found: str, expected: str) -> InputError:
    return InputError("training samples", found=found, expected=expected, remedy="change the recipe or the network")


_Batch = tuple[Tensor, Tensor]


class Ahead:
    """Makes samples when it is told to and hands them out when they are asked for; the samples are the source's own.

    On a GPU they are made on a stream of their own: what computes there goes on beside the network's last step, whose
    kernels were queued before; the program waits for neither. On a CPU a thread makes them beside the step: a quarter
    of the threads, since a sample takes that part of a step's time, and mostly one after the other.

    Parameters
    ----------
    source
        Makes the samples.
    device
        Where it makes them.
    """

    def __init__(self, source: Source, device: torch.device) -> None:
        self._source = source
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._maker = None if device.type == "cuda" else ThreadPoolExecutor(1, "samples", _use_some_threads)
        self._ready: dict[tuple[int, ...], Future[_Batch]] = {}

    @property
    def beside(self) -> bool:
        """Whether samples are made in a thread, which may begin with them before the program turns to the step."""
        return self._maker is not None

    def prepare(self, seeds: Sequence[Sequence[int]]) -> None:
        """Make the samples of the next forward passes, one list of seeds each, or begin with them; forget others."""
        wanted = [tuple(some) for some in seeds]
        for some, made in self._ready.items():
            if some not in wanted:
                made.cancel()
        self._ready = {some: self._ready.get(some) or self._begun(some) for some in wanted}

    def batch(self, seeds: Sequence[int]) -> _Batch:
        """Return what :meth:`Source.batch` does."""
        begun = self._ready.pop(tuple(seeds), None)
        if begun is None:
            return self._source.batch(seeds)
        ready = begun.result()
        if self._stream is not None:
            current = torch.cuda.current_stream(self._stream.device)
            current.wait_stream(self._stream)
            for tensor in ready:
                tensor.record_stream(current)
        return ready

    def close(self) -> None:
        """End the thread; a sample that is being made is finished first, others are not begun."""
        if self._maker is not None:
            self._maker.shutdown(cancel_futures=True)

    def _begun(self, seeds: tuple[int, ...]) -> Future[_Batch]:
        if self._maker is not None:
            return self._maker.submit(self._source.batch, seeds)
        made: Future[_Batch] = Future()
        with torch.cuda.stream(self._stream):
            made.set_result(self._source.batch(seeds))
        return made


def _use_some_threads() -> None:
    torch.set_num_threads(max(torch.get_num_threads() // 4, 1))
