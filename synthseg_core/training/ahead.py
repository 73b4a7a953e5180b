"""Samples that are made while a GPU still computes the step before."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from synthseg_core.training.samples import Source

_Batch = tuple[Tensor, Tensor]


class Ahead:
    """Makes samples when it is told to and hands them out when they are asked for; the samples are the source's own.

    On a GPU they are made on a stream of their own: what computes there goes on beside the network's last step, whose
    kernels were queued before. The program waits for neither.

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
        self._ready: dict[tuple[int, ...], _Batch] = {}

    def prepare(self, seeds: Sequence[Sequence[int]]) -> None:
        """Make the samples of the next forward passes, one list of seeds each; forget others."""
        wanted = [tuple(some) for some in seeds]
        self._ready = {some: self._ready.get(some) or self._made(some) for some in wanted}

    def batch(self, seeds: Sequence[int]) -> _Batch:
        """Return what :meth:`Source.batch` does."""
        ready = self._ready.pop(tuple(seeds), None)
        if ready is None:
            return self._source.batch(seeds)
        if self._stream is not None:
            current = torch.cuda.current_stream(self._stream.device)
            current.wait_stream(self._stream)
            for tensor in ready:
                tensor.record_stream(current)
        return ready

    def _made(self, seeds: tuple[int, ...]) -> _Batch:
        with torch.cuda.stream(self._stream):  # does nothing without one
            return self._source.batch(seeds)
