"""Which scans of the table a run is about: labels of participants and sessions, or a part of them all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from synthseg_core.bids.scan_row import ScanRow
from synthseg_core.bids.scan_table import select


@dataclass(frozen=True)
class Selection:
    """Labels without ``sub-`` and ``ses-``; empty: all.

    Parameters
    ----------
    participants, sessions
        Those that are taken.
    exclude_participants
        Those that are not.
    """

    participants: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    exclude_participants: tuple[str, ...] = ()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Selection:
        """Take the selection from a configuration that fits the schema."""
        return cls(*(tuple(config[key]) for key in ("participants", "sessions", "exclude_participants")))

    @property
    def is_partial(self) -> bool:
        """Whether a run is about some participants or sessions only, perhaps beside others like it."""
        return bool(self.participants or self.sessions)

    def of(self, rows: Iterable[ScanRow]) -> tuple[ScanRow, ...]:
        """Return the rows that are selected."""
        return select(rows, self.participants, self.sessions, exclude_participants=self.exclude_participants)
