"""Which pages a run makes, how they look, and what they are made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# Stage -> what of its results the page about a scan shows.
_SHOWN = {
    "segment": ("dseg", "sidecar", "volumes"),
    "posteriors": ("posteriors_1mm",),
    "parcellate": ("parcels", "parcel_volumes"),
    "qc": ("scores",),
}


@dataclass(frozen=True)
class Reports:
    """Which pages a run makes.

    Parameters
    ----------
    enabled
        Whether any.
    palette, viewer
        As for :class:`synthseg_core.reports.scan_report.ReportOptions`.
    """

    enabled: bool
    palette: str
    viewer: bool

    def flags(self, threshold: float) -> list[str]:
        """Return options of ``synthseg report``; quality scores below ``threshold`` are marked."""
        viewer = ["--viewer"] if self.viewer else []
        return ["--palette", self.palette, "--qc-threshold", f"{threshold:g}", *viewer]


def shown_of(stages: Iterable[str]) -> list[str]:
    """Return the products, as in ``PRODUCTS``, that the page about a scan shows."""
    return [product for stage in stages for product in _SHOWN.get(stage, ())]
