"""The report of one scan: a page with its pictures, made from its derivatives and, where it is there, the scan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from synthseg_core.errors import SynthSegError
from synthseg_core.images.figures import CONVENTION
from synthseg_core.labels.structures import Colour
from synthseg_core.reports import page_files, uncertainty
from synthseg_core.reports.page_files import JUDGEMENT
from synthseg_core.reports.plausibility import Plausibility, judge
from synthseg_core.reports.scan_facts import ScanFacts
from synthseg_core.reports.scan_pictures import SIDE_COLOURS, Pictured, read_pictured, write_pictures
from synthseg_core.system.atomic import write_json
from synthseg_core.system.pages import write_page


@dataclass(frozen=True)
class ReportOptions:
    """How reports look.

    Parameters
    ----------
    palette
        See :func:`synthseg_core.labels.structures.report_colours`.
    threshold
        Quality scores below it are marked.
    viewer
        Whether there is an interactive viewer.
    """

    palette: str = "colour-blind"
    threshold: float = 0.65
    viewer: bool = False


def write_scan_report(facts: ScanFacts, scan: Path | None, options: ReportOptions) -> Path:
    """Write pictures, judgement and page, the page last, and return the page.

    Parameters
    ----------
    facts
        Of the scan.
    scan
        Its image; ``None``: labels are drawn alone.
    options
        How it looks.

    Raises
    ------
    SynthSegError
        If derivatives or scan cannot be read, or a package is missing.
    """
    pictured = read_pictured(facts, scan)
    plausible = judge(pictured.labels, pictured.scan, facts.expected, facts.sides)
    colours = write_pictures(facts, pictured, options.palette)
    if options.viewer:
        from synthseg_core.reports.viewer import write_viewer

        write_viewer(facts, pictured, options.palette)
    write_json(facts.figure(JUDGEMENT), asdict(plausible))
    write_page(facts.page, "scan.html", _content(facts, pictured, plausible, colours, options))
    return facts.page


def write_scan_reports(
    scans: Sequence[tuple[ScanFacts, Path | None]], options: ReportOptions, jobs: int = 1
) -> Iterator[tuple[ScanFacts, str]]:
    """Write the reports of many scans, and say of each, in order, why it could not be made; empty if it was.

    Parameters
    ----------
    scans
        Derivatives, and the image as in :func:`write_scan_report`.
    options
        How they look.
    jobs
        How many at once, each in a process of its own.
    """
    if jobs <= 1 or len(scans) <= 1:
        yield from (_tried(facts, scan, options) for facts, scan in scans)
        return
    with ProcessPoolExecutor(min(jobs, len(scans)), mp_context=get_context("spawn")) as pool:
        tasks = [pool.submit(_tried, facts, scan, options) for facts, scan in scans]
        yield from (task.result() for task in tasks)


def _tried(facts: ScanFacts, scan: Path | None, options: ReportOptions) -> tuple[ScanFacts, str]:
    try:
        write_scan_report(facts, scan, options)
    except SynthSegError as error:
        return facts, str(error)
    return facts, ""


def findings(facts: ScanFacts, plausible: Plausibility, threshold: float) -> list[str]:
    """Return what speaks against a segmentation, the worst first, in whole sentences.

    Parameters
    ----------
    facts
        Of the scan.
    plausible
        Signs in its label map.
    threshold
        Of quality scores.
    """
    low = {name: score for name, score in facts.scores().items() if not score >= threshold}
    found = [
        "The label map is empty." if plausible.empty else "",
        "Left and right are exchanged: structures called left lie on the right." if plausible.swapped else "",
        f"The labels do not lie on the anatomy: they would fit {plausible.better} far better."
        if plausible.better
        else "",
        f"{plausible.loose[:1].upper()}{plausible.loose[1:]}",
        f"Without a single voxel: {', '.join(plausible.absent)}." if plausible.absent and not plausible.empty else "",
        f"Quality scores below {threshold:g}: {', '.join(f'{name} {score:.2f}' for name, score in low.items())}."
        if low
        else "",
        f"The field of view ends inside the brain: {', '.join(plausible.cut)}." if plausible.cut else "",
        *(
            f"{text[:1].upper()}{text[1:].rstrip('.')}."
            for text in facts.sidecar.get("Warnings") or []
            if not plausible.repeated_by(text)
        ),
    ]
    return [text for text in found if text]


def _content(
    facts: ScanFacts, pictured: Pictured, plausible: Plausibility, colours: Mapping[int, Colour], options: ReportOptions
) -> dict[str, Any]:
    """Return everything that the template names."""
    volumes = facts.volumes()
    of_name = {one.name: _css(next(colours[label] for label in one.labels if label in colours))
               for one in volumes if any(label in colours for label in one.labels)}  # fmt: skip
    model = facts.sidecar.get("Model") or {}
    return {
        "facts": facts,
        "files": page_files,
        "findings": findings(facts, plausible, options.threshold),
        "plausible": plausible,
        "has_scan": pictured.scan is not None,
        "has_parcels": facts.path("parcels").is_file(),
        "entropy": _entropy_key(pictured),
        "convention": CONVENTION,
        "colours": of_name,
        "side_colours": {side: _css(colour) for side, colour in SIDE_COLOURS.items()},
        "volumes": volumes,
        "parcels": facts.parcels(),
        "scores": facts.scores(),
        "options": options,
        "model": model,
        "conformity": _conformity(facts, pictured, plausible),
        "provenance": _provenance(facts, model),
        "citations": model.get("Citation") or [],
    }


def _conformity(facts: ScanFacts, pictured: Pictured, plausible: Plausibility) -> dict[str, str]:
    """Return what is known of the scan's grid and of what was done to it."""
    network = facts.sidecar.get("Network") or {}
    edges = facts.source.get("VoxelSizeMm") or pictured.labels.voxel_size
    shape = facts.source.get("ShapeVoxels") or pictured.labels.data.shape
    field_mm = [size * edge for size, edge in zip(shape, edges, strict=True)]
    works_at, answers_at = network.get("VoxelSizeMm"), network.get("AnswerVoxelSizeMm")
    resampled = "resampled for it" if network.get("Resampled") else "taken as it is"
    return {
        "Voxels": f"{_times(edges, '.3g')} mm, {_times(shape, 'd')} of them",
        "Field of view": f"{_times(field_mm, '.0f')} mm"
        + (
            f"; the brain is cut off at its {' and '.join(plausible.cut)}" if plausible.cut else "; the brain is inside"
        ),
        "Angle to the scanner's axes": _oblique(pictured.labels.affine),
        "Network": f"works at {works_at:g} mm, answers at {answers_at:g} mm; the scan was {resampled}"
        if works_at and answers_at
        else "unknown",
        "Intensities that the labels explain": "not known without the scan"
        if plausible.agreement is None
        else f"{plausible.agreement:.0%} of their variance in and around the brain; compare with scans of its kind",
        **_undecided(pictured),
    }


def _entropy_key(pictured: Pictured) -> list[tuple[str, str]]:
    """Return the steps of entropy, bits, and their colours; empty without posteriors."""
    steps = zip(uncertainty.STEPS_BITS, uncertainty.COLOURS, strict=True)
    return [(f"{bits:g}", _css(colour)) for bits, colour in steps] if pictured.entropy is not None else []


def _undecided(pictured: Pictured) -> dict[str, str]:
    """Return the mean entropy inside the labels, where posteriors are kept."""
    inside = pictured.labels.data > 0
    if pictured.entropy is None or not inside.any():
        return {}
    mean = float(pictured.entropy.data[inside].mean())
    return {
        "Entropy of the posteriors": f"{mean:.2f} bits on average inside the labels; compare with scans of its kind"
    }


def _oblique(affine: np.ndarray) -> str:
    columns = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    degrees = float(np.degrees(np.arccos(np.clip(np.diag(columns), -1, 1))).max())
    return f"{degrees:.1f}°; pictures show the scan's own slices" if degrees > 0.05 else "none"


def _provenance(facts: ScanFacts, model: Mapping[str, Any]) -> dict[str, str]:
    """Return what made the segmentation, and from what."""
    generator = next(iter(facts.sidecar.get("GeneratedBy") or []), {})
    given = facts.sidecar.get("Options") or {}
    rows = {
        "Scan": next(iter(facts.sidecar.get("Sources") or []), ""),
        "SHA-256 of the scan": facts.source.get("SHA256"),
        "Program": f"{generator.get('Name', '')} {generator.get('Version', '')}".strip(),
        "Model": model.get("Name"),
        "Weights": f"{model.get('WeightsFile', '')}, SHA-256 {model.get('WeightsSHA256', '')}" if model else "",
        "Licence of the weights": model.get("Licence"),
        "Options": ", ".join(f"{key} {value}" for key, value in given.items() if value not in (None, False))
        or "defaults",
    }
    return {key: str(value) for key, value in rows.items() if value}


def _times(numbers: Any, form: str) -> str:
    return " × ".join(format(number, form) for number in numbers)


def _css(colour: Colour) -> str:
    return "#" + "".join(f"{round(255 * share):02x}" for share in colour)
