"""Pictures of the report of one scan: its slices, and labels over them as pictures of the same size.

The scan need not be there: labels are drawn on black then. What lies over it are pictures of their own, so a page can
show one, another or none without a second copy of the scan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synthseg_core.images.mosaic import (
    Mosaic,
    RasVolume,
    blended,
    box_around,
    indexed_png,
    jpeg,
    lettered,
    plan_mosaic,
)
from synthseg_core.images.reading import read_scan, read_stored
from synthseg_core.images.volume import Volume
from synthseg_core.labels.structures import Colour, label_colours, report_colours
from synthseg_core.models.card import IntensitySpec
from synthseg_core.reports.page_files import CONTOURS, ENTROPY, FILLED, PARCELS, SCAN, SIDES, THUMBNAIL
from synthseg_core.reports.scan_facts import ScanFacts
from synthseg_core.reports.uncertainty import COLOURS as ENTROPY_COLOURS
from synthseg_core.reports.uncertainty import entropy_on, stepped
from synthseg_core.system.atomic import write_bytes

SIDE_COLOURS: dict[str, Colour] = {"left": (0.90, 0.62, 0.0), "right": (0.34, 0.71, 0.91), "neutral": (0.6, 0.6, 0.6)}
"""Of a picture that shows the sides alone."""
_ROWS = ({"axial": 7}, {"coronal": 7}, {"sagittal": 6})
_SMALL_ROWS = ({"axial": 1, "coronal": 1, "sagittal": 1},)
_WIDTH, _THUMBNAIL_WIDTH = 1800, 320
_OPACITY, _QUALITY = 0.45, 72
# Window of the grey values: percentiles among voxels with a label, and how much is added below and above, so that
# colours are seen on bright tissue too.
_WINDOW, _BELOW, _ABOVE = (2.0, 98.0), 0.3, 0.4
_LEAST_VOXELS = 1000
_FIRST_PARCEL = 1000


@dataclass(frozen=True)
class Pictured:
    """A label map, and on its grid the scan and the entropy of the posteriors, in bits, where they are there."""

    labels: RasVolume
    scan: RasVolume | None
    entropy: RasVolume | None = None


def read_pictured(facts: ScanFacts, scan: Path | None) -> Pictured:
    """Read label map and scan.

    A scan of another shape is not this one and is left out. One that was segmented as a CT is cut to the window of soft
    tissue, as the network saw it: bone would hide everything else.
    """
    labels = read_stored(facts.path("dseg"))
    turned = RasVolume.of(Volume(labels.data.astype(np.int32), labels.affine))
    posteriors, entropy = facts.path("posteriors_1mm"), None
    if posteriors.is_file():
        entropy = RasVolume.of(Volume(entropy_on(posteriors, labels), labels.affine))
    if scan is None:
        return Pictured(turned, None, entropy)
    volume = read_scan(scan, volume=facts.source.get("Volume")).volume
    if volume.shape != labels.shape:
        return Pictured(turned, None, entropy)
    grey = volume.data.astype(np.float32)
    if (facts.sidecar.get("Options") or {}).get("CT"):
        grey = np.clip(grey, *IntensitySpec().ct_window_hu)
    return Pictured(turned, RasVolume.of(Volume(grey, labels.affine)), entropy)


def write_pictures(facts: ScanFacts, pictured: Pictured, palette: str) -> dict[int, Colour]:
    """Write all pictures and return the colours of labels.

    Parameters
    ----------
    facts
        Names and sides of the labels, and where pictures go.
    pictured
        What is drawn.
    palette
        See :func:`synthseg_core.labels.structures.report_colours`.
    """
    labels, scan = pictured.labels, pictured.scan
    values = np.flatnonzero(np.bincount(labels.data.ravel()))
    index = np.zeros(int(values.max()) + 1, np.uint8)
    index[values] = np.arange(len(values))
    classes = index[labels.data]
    colours = report_colours(values.tolist(), facts.left_of, palette)
    of_class = {int(index[value]): colour for value, colour in colours.items()}
    box, window = _box(pictured), grey_window(pictured)
    mosaic = plan_mosaic(labels, box, _ROWS, _WIDTH)
    grey = scan.data if scan else np.zeros(labels.data.shape, np.float32)
    seen = mosaic.classes(classes)
    _write(facts, SCAN, jpeg(lettered(mosaic.grey(grey, window), mosaic, labels)))
    _write(facts, FILLED, indexed_png(seen, of_class))
    _write(facts, CONTOURS, indexed_png(mosaic.contours(seen), of_class))
    _write(facts, SIDES, indexed_png(*_sides(seen, values, facts.sides)))
    if facts.path("parcels").is_file():
        _write(facts, PARCELS, _parcels(facts, mosaic))
    if pictured.entropy is not None:
        steps = mosaic.classes(stepped(pictured.entropy.data))
        _write(facts, ENTROPY, indexed_png(steps, dict(enumerate(ENTROPY_COLOURS, 1))))
    small = plan_mosaic(labels, box, _SMALL_ROWS, _THUMBNAIL_WIDTH)
    shown = lettered(small.grey(grey, window), small, labels, positions=False)
    _write(facts, THUMBNAIL, jpeg(blended(shown, small.classes(classes), of_class, _OPACITY), _QUALITY))
    return colours


def _sides(seen: np.ndarray, values: np.ndarray, sides: Mapping[int, str]) -> tuple[np.ndarray, dict[int, Colour]]:
    """Return classes for left, right and neither, and their colours."""
    places = {"left": 1, "right": 2}
    table = np.array([places.get(sides.get(value, ""), 3) if value else 0 for value in values.tolist()], np.uint8)
    return table[seen], dict(enumerate(SIDE_COLOURS.values(), 1))


def _parcels(facts: ScanFacts, mosaic: Mosaic) -> bytes:
    """Return parcels in colours that tell neighbours apart; there are too many for seven hues."""
    parcels = RasVolume.of(read_stored(facts.path("parcels"))).data
    values, classes = np.unique(parcels, return_inverse=True)
    colours = label_colours(value for value in values.tolist() if value >= _FIRST_PARCEL)
    of_class = {place: colours[value] for place, value in enumerate(values.tolist()) if value in colours}
    return indexed_png(mosaic.classes(classes.reshape(parcels.shape).astype(np.uint8)), of_class)


def _box(pictured: Pictured) -> np.ndarray:
    """Return what is shown: around the labels, or without any around all that is not dark."""
    labels, scan = pictured.labels, pictured.scan
    mask = labels.data > 0
    if not mask.any() and scan is not None:
        mask = scan.data > np.percentile(scan.data, 99) * 0.1
    return box_around(mask, labels.voxel_size)


def grey_window(pictured: Pictured) -> tuple[float, float]:
    """Return the grey values that become black and white: those of the tissue with labels, and some more."""
    if pictured.scan is None:
        return 0.0, 1.0
    inside = pictured.scan.data[pictured.labels.data > 0]
    values = inside if inside.size > _LEAST_VOXELS else pictured.scan.data[pictured.scan.data != 0]
    low, high = np.percentile(values, _WINDOW) if values.size else (0.0, 1.0)
    darkest = float(pictured.scan.data.min())
    return max(darkest, float(low - _BELOW * (high - low))), float(high + _ABOVE * (high - low))


def _write(facts: ScanFacts, kind: str, content: bytes) -> None:
    path = facts.figure(kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, content)
