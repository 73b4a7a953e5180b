"""Events for TensorBoard, where that package is installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from synthseg_core.errors import UsageError


class Board:
    """Writes numbers by step.

    Parameters
    ----------
    folder
        For event files.
    after
        Events of an earlier run beyond this step are hidden by TensorBoard.

    Raises
    ------
    UsageError
        If TensorBoard is not installed.
    """

    def __init__(self, folder: Path, after: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UsageError(
                "--tensorboard",
                found="no package tensorboard",
                expected="it installed",
                remedy="run: pip install 'synthseg-bids[tensorboard]', or leave the option out (log.tsv has the same)",
            ) from error
        self.writer = SummaryWriter(str(folder), purge_step=after + 1)

    def add(self, step: int, numbers: Mapping[str, float]) -> None:
        """Write some numbers of a step."""
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is still in memory."""
        self.writer.close()
