"""What a training says while it runs: a line on a terminal, nothing elsewhere."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass
from typing import TextIO

import torch

_REDRAW_S = 0.5


@dataclass(frozen=True)
class Report:
    """What the progress line shows: step of how many (``None``: as time allows), stage, loss, speed, seconds left."""

    step: int
    steps: int | None
    stage: str
    loss: float
    samples_per_s: float
    seconds_left: float


class ProgressLine:
    """Redraws one line of a terminal, twice a second at most."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._terminal = self._stream.isatty()
        self._drawn = -_REDRAW_S

    def show(self, report: Report) -> None:
        """Redraw the line if it is time."""
        now = time.monotonic()
        if self._terminal and now - self._drawn >= _REDRAW_S:
            self._drawn = now
            print(f"\r\033[K{text_of(report, memory_bytes())}", end="", file=self._stream, flush=True)

    def close(self) -> None:
        """Leave the last line standing and go on below it."""
        if self._terminal and self._drawn >= 0:
            print(file=self._stream, flush=True)


def text_of(report: Report, used_bytes: int) -> str:
    """Return the progress line."""
    total = "" if report.steps is None else f"/{report.steps}"
    return (
        f"step {report.step}{total}  {report.stage}  loss {report.loss:.4f}  "
        f"{report.samples_per_s:.2f} samples/s  {used_bytes / 2**30:.1f} GiB  {duration(report.seconds_left)} left"
    )


def duration(seconds: float) -> str:
    """Return hours, minutes and seconds as in ``1:05:00`` or ``5:00``."""
    minutes, second = divmod(int(max(seconds, 0)), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02d}:{second:02d}" if hour else f"{minute}:{second:02d}"


def memory_bytes() -> int:
    """Return the most memory that was in use so far: the GPU's if there is one, else this process's."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
