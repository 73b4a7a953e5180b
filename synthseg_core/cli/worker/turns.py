"""Who computes when: a gate for the stages that need the device, and an end for jobs that nobody waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from synthseg_core.system.timing import StageTimes

ON_DEVICE = frozenset({"network", "parcels", "quality"})
"""Stages that keep a GPU busy."""
COMPUTING = ON_DEVICE | {"conform", "clean-up"}
"""Stages that keep all threads of a job busy."""
_GLANCE_S = 0.2


class Gate:
    """Lets a number of jobs at a time through certain stages.

    Parameters
    ----------
    slots
        How many.
    stages
        Names of the stages.
    """

    def __init__(self, slots: int, stages: frozenset[str]) -> None:
        self.stages = stages
        self._free = threading.Semaphore(slots)

    def enter(self, checkpoint: Callable[[], None]) -> None:
        """Wait for a slot, looking at the checkpoint meanwhile."""
        while not self._free.acquire(timeout=_GLANCE_S):
            checkpoint()

    def leave(self) -> None:
        """Give the slot to the next."""
        self._free.release()


class JobStages(StageTimes):
    """Collects the times of one job, which runs in one thread; waits at the gate; ends a job without a client.

    Parameters
    ----------
    gate
        For the stages that need the device.
    require_client
        Raises when nobody waits for the result.
    """

    def __init__(self, gate: Gate, require_client: Callable[[], None]) -> None:
        super().__init__()
        self._gate = gate
        self._require_client = require_client
        self._inside = False

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Run a stage when it is this job's turn; waiting counts as a stage of its own."""
        self.checkpoint()
        if self._inside or name not in self._gate.stages:
            with super().stage(name):
                yield
            return
        with self._turn(), super().stage(name):
            yield

    def checkpoint(self) -> None:
        """End the job here if nobody waits for it."""
        self._require_client()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with super().stage("waiting"):
            self._gate.enter(self.checkpoint)
        self._inside = True
        try:
            yield
        finally:
            self._inside = False
            self._gate.leave()
