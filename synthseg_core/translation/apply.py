"""A scan as if it were of another contrast, on its own grid, with what says that it is synthetic."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from synthseg_core.errors import GeometryError, InputError
from synthseg_core.images.formats import extension
from synthseg_core.images.reading import Scan, read_scan
from synthseg_core.images.volume import Volume
from synthseg_core.segmentation.sidecars import Origin, common_entries, generated_by, source_entry
from synthseg_core.system.progress import OnProgress
from synthseg_core.system.settings import known_mapping
from synthseg_core.system.timing import current
from synthseg_core.translation.contrast import Window, head_mask, is_label_map, robust_window
from synthseg_core.translation.slices import Slicing, plan_slices
from synthseg_core.translation.stacks import ApplyOptions, StackTranslator, mean_of_samples

SYNTHETIC = "Synthetic image, not for reading"
# Pixels this much larger than those of the training show too little of what it saw.
_MOST_COARSE = 2.5
# A range of fewer whole numbers than these loses contrast when it is rounded.
_LEAST_STEPS = 100


@dataclass(frozen=True)
class TranslatedScan:
    """A scan in another contrast.

    Parameters
    ----------
    image
        On the grid of the scan, in its number type where that can hold the values.
    std
        Standard deviation over samples and planes, float32; ``None`` for a single one.
    source_window, target_window
        Values of the scan that became -1 and 1, and values that -1 and 1 became.
    planes
        Those in which the scan was cut and translated.
    """

    image: Volume
    std: Volume | None
    source_window: Window
    target_window: Window
    planes: tuple[str, ...]


def translate_scan(
    scan: Scan, translator: StackTranslator, options: ApplyOptions, progress: OnProgress | None = None
) -> TranslatedScan:
    """Translate a scan.

    Parameters
    ----------
    scan
        In the source domain of the translator.
    translator
        In one direction.
    options
        How.
    progress
        Called with the number of slices done and of all, plane by plane.

    Raises
    ------
    InputError
        If the scan is a label map, or shows no head; a :class:`GeometryError` if its voxels are too coarse in the
        plane of the translator.
    ModelError
        If the translator is for pictures.
    """
    planes = options.planes or (translator.card.plane,)
    slicings = [slicing_for(scan, translator, plane) for plane in planes]
    window = _source_window(slicings[0].slices(scan.volume.data), scan, translator)

    def volumes() -> Iterator[np.ndarray]:
        for slicing in slicings:
            images = window.normalised(slicing.slices(scan.volume.data))
            for translated in translator.samples(images, options, progress):
                yield slicing.volume(translated)

    with current().phase("network"):
        found = mean_of_samples(volumes(), len(planes) * options.samples)
    low, high = translator.target.low, translator.target.high
    target = window if low is None or high is None else Window(low, high)
    data, affine = target.undone(found.mean), scan.volume.affine
    std = None
    if found.std is not None:
        std = Volume((found.std * (target.high - target.low) / 2).astype(np.float32), affine)
    return TranslatedScan(Volume(_as_type(data, stored_type(scan, target)), affine), std, window, target, planes)


def slicing_for(scan: Scan, translator: StackTranslator, plane: str | None = None) -> Slicing:
    """Find out how a scan is cut for a translator, and whether it is one for such scans; nothing is computed yet.

    Parameters
    ----------
    scan, translator
        The scan and what is to translate it.
    plane
        In which it is cut; ``None``: that of the translator.
    """
    card = translator.card
    if not card.is_for_scans or card.spacing_mm is None:
        raise card.fault(
            "a translator for pictures", "one for slices of scans", "use it with pictures, or another translator"
        )
    if is_label_map(scan.volume.data):
        raise InputError(
            scan.source,
            found="few different whole numbers in regions, as in a label map",
            expected="a scan",
            remedy="give scans, not segmentations",
        )
    slicing = plan_slices(scan.volume, plane or card.plane, card.spacing_mm)
    coarsest = card.spacing_mm / min(slicing.steps[axis] for axis in (slicing.plane.across, slicing.plane.up))
    if coarsest > _MOST_COARSE * card.spacing_mm:
        raise GeometryError(
            scan.source,
            found=f"voxels of {coarsest:.3g} mm along {slicing.plane.name} slices",
            expected=f"{_MOST_COARSE * card.spacing_mm:.3g} mm or less for this translator ({card.spacing_mm:g} mm)",
            remedy="use a translator for the plane in which the scan was taken, or for coarser pixels",
        )
    return slicing


def stored_type(scan: Scan, window: Window) -> np.dtype[Any]:
    """Return the number type for translated values: that of the scan's file where it can hold them, else float32.

    Parameters
    ----------
    scan
        The scan.
    window
        Values that -1 and 1 became.
    """
    get: Callable[[], Any] | None = getattr(scan.header, "get_data_dtype", None)
    kind: np.dtype[Any] = np.dtype("float32") if get is None else np.dtype(get()).newbyteorder("=")
    if kind.kind not in "iu":
        return kind if kind in (np.float32, np.float64) else np.dtype(np.float32)
    limits = np.iinfo(kind)
    holds = limits.min <= window.low and window.high <= limits.max and window.high - window.low >= _LEAST_STEPS
    return kind if holds else np.dtype(np.float32)


def translated_sidecar(
    scan: Scan, origin: Origin, translator: StackTranslator, options: ApplyOptions, result: TranslatedScan
) -> dict[str, Any]:
    """Return the content of the JSON file beside a translated scan.

    Parameters
    ----------
    scan
        That was translated.
    origin
        Where it came from.
    translator, options
        What translated it, and how.
    result
        The translation.
    """
    names = f"from {translator.source.name} to {translator.target.name} by {translator.card.name}"
    return {
        **common_entries(origin, f"{SYNTHETIC}: translated {names}"),
        "SkullStripped": False,
        "Synthetic": True,
        "GeneratedBy": generated_by(),
        "Translation": translation_entry(translator, options, result),
        "Source": source_entry(scan, origin),
        "Warnings": [*scan.warnings, f"{SYNTHETIC}: for segmentation and for training only"],
    }


def translation_entry(translator: StackTranslator, options: ApplyOptions, result: TranslatedScan) -> dict[str, Any]:
    """Return what sidecars say about a translation.

    Parameters
    ----------
    translator, options
        What translated, and how.
    result
        The translation.
    """
    card = translator.card
    return {
        "From": translator.source.name,
        "To": translator.target.name,
        "Translator": card.name,
        "Method": card.method,
        "TranslatorSHA256": card.digest,
        "WeightsSHA256": None if card.weights is None else card.weights.sha256,
        "Steps": translator.steps,
        "Samples": options.samples,
        "Seed": options.seed if card.method == "diffusion" else None,
        "Planes": list(result.planes),
        "PixelSpacingMm": card.spacing_mm,
        "Tile": options.tile,
        "SourceWindow": _ends(result.source_window),
        "TargetWindow": _ends(result.target_window),
    }


def translated_for_segmentation(
    scan: Scan, translator: StackTranslator, options: ApplyOptions
) -> tuple[Scan, dict[str, Any]]:
    """Return a scan in the contrast that a model knows, and what its sidecars say about that.

    Parameters
    ----------
    scan
        As read.
    translator, options
        What translates, and how.
    """
    result = translate_scan(scan, translator, options)
    return _with_values(scan, result.image, translation_entry(translator, options, result))


def read_translated(path: Path, scan: Scan, origin: Origin) -> tuple[Scan, dict[str, Any]]:
    """Read the translation of a scan from a file, in place of the scan; see :func:`translated_for_segmentation`.

    Parameters
    ----------
    path
        As ``synthseg translate apply`` wrote it, with its sidecar of the same name.
    scan, origin
        The scan, and where it came from.

    Raises
    ------
    InputError
        If there is no sidecar, or it tells of another scan; a :class:`GeometryError` if the grids differ.
    """
    sidecar = path.with_name(f"{path.name.removesuffix(extension(path))}.json")
    content = known_mapping(sidecar)
    entry, source = content.get("Translation"), content.get("Source")
    if not isinstance(entry, dict) or not isinstance(source, dict):
        raise InputError(
            sidecar,
            found="no record of a translation",
            expected=f"what 'synthseg translate apply --sidecar' writes, beside {path.name}",
            remedy="translate the scan with --image and --sidecar",
        )
    made_from: dict[str, Any] = source
    if (made_from.get("SHA256"), made_from.get("Volume")) != (origin.sha256, origin.volume):
        raise InputError(
            path,
            found=f"a translation of another file, {made_from.get('File')}",
            expected=f"one of {scan.source} as it is now",
            remedy="translate the scan again",
        )
    image = read_scan(path).volume
    if image.shape != scan.volume.shape or not np.allclose(image.affine, scan.volume.affine, atol=1e-3):
        raise GeometryError(
            path, found="another grid", expected=f"that of {scan.source}", remedy="translate the scan again"
        )
    return _with_values(scan, image, entry)


def _with_values(scan: Scan, image: Volume, entry: dict[str, Any]) -> tuple[Scan, dict[str, Any]]:
    """Return a scan with the values of its translation and a warning that says so, and the entry."""
    note = f"segmented was its translation to {entry['To']} by {entry['Translator']}, not the scan itself"
    volume = Volume(image.data.astype(np.float64), scan.volume.affine)
    return replace(scan, volume=volume, warnings=(*scan.warnings, note)), entry


def _source_window(slices: np.ndarray, scan: Scan, translator: StackTranslator) -> Window:
    """Return the values that become -1 and 1, as when the dataset was made."""
    fixed = translator.source.ct_window_hu
    mask = head_mask(slices, ct=fixed is not None)
    if not mask.any():
        raise InputError(scan.source, found="no head", expected="a scan", remedy="check the scan and the direction")
    return Window(*fixed) if fixed is not None else robust_window(slices[mask])


def _as_type(data: np.ndarray, kind: np.dtype[Any]) -> np.ndarray:
    if kind.kind not in "iu":
        return data.astype(kind)
    limits = np.iinfo(kind)
    return np.clip(np.rint(data), limits.min, limits.max).astype(kind)


def _ends(window: Window) -> list[float]:
    return [round(window.low, 6), round(window.high, 6)]
