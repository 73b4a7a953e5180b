"""The files of a page about a scan: the page at the top of a dataset; pictures, judgement and viewer in a folder."""

from __future__ import annotations

from collections.abc import Collection

FIGURES = "figures"
"""Folder of the pictures of all pages, beside the pages."""
SCAN, FILLED, CONTOURS, SIDES, PARCELS, ENTROPY, THUMBNAIL = (
    *("scan.jpg", "filled.png", "contours.png", "sides.png", "parcels.png", "entropy.png", "thumbnail.jpg"),
)
JUDGEMENT = "judgement.json"
"""What the group report takes over from the report of a scan; beside its pictures."""
VIEWER = "viewer.html"
ALWAYS = (SCAN, FILLED, CONTOURS, SIDES, THUMBNAIL, JUDGEMENT)
"""What every page has beside it."""
# Stage -> what there is besides where its results are.
_OF_STAGE = {"posteriors": ENTROPY, "parcellate": PARCELS}


def figure_path(name: str, kind: str) -> str:
    """Return the path of a file beside a page, relative to the dataset.

    Parameters
    ----------
    name
        Of the page, see :func:`synthseg_core.bids.names.report_name`.
    kind
        One of the constants of this module.
    """
    return f"{FIGURES}/{name}_{kind}"


def page_files(name: str, stages: Collection[str] = (), *, viewer: bool = False) -> list[str]:
    """Return the files of a page, relative to the dataset, the page first.

    Parameters
    ----------
    name
        Of the page, see :func:`synthseg_core.bids.names.report_name`.
    stages
        Those whose results are there.
    viewer
        Whether there is an interactive viewer.
    """
    kinds = [*ALWAYS, *(kind for stage, kind in _OF_STAGE.items() if stage in stages), *([VIEWER] if viewer else [])]
    return [f"{name}.html", *(figure_path(name, kind) for kind in kinds)]
