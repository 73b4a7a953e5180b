"""How good a translator is: against true partners or there and back, and by what a segmentation makes of its images.

The anatomy check needs no labels: a model that takes any contrast segments a scan and its translation, and where the
two differ much the translator has changed anatomy, not contrast.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from synthseg_core.evaluation.overlap import dice_by_label
from synthseg_core.images.reading import Scan, read_scan
from synthseg_core.images.resampling import nearest_on
from synthseg_core.images.volume import Volume
from synthseg_core.models.loading import Models
from synthseg_core.segmentation.segment import segment_scan
from synthseg_core.translation.apply import translate_scan
from synthseg_core.translation.card import TranslatorCard
from synthseg_core.translation.dataset import PICTURE, TranslationData, require_images
from synthseg_core.translation.stacks import ApplyOptions, StackTranslator, mean_of_samples

IMAGE_COLUMNS = ("domain", "compared", "images", "l1", "psnr_db", "ssim")
ANATOMY_COLUMNS = ("scan", "label", "name", "dice", "changed")
DOWNSTREAM_COLUMNS = ("scan", "label", "name", "before", "after")
CHANGED_BELOW = 0.7
"""Mean Dice between the segmentations of a scan and of its translation below which anatomy counts as changed."""
_RANGE = 2.0  # of images, -1 to 1
# Of the structural similarity: constants of Wang et al., IEEE Transactions on Image Processing 2004, and their window.
_K1, _K2, _SIGMA, _RADIUS = 0.01, 0.03, 1.5, 5


def l1(first: np.ndarray, second: np.ndarray) -> float:
    """Return the mean absolute difference."""
    return float(np.abs(first.astype(np.float64) - second).mean())


def psnr_db(first: np.ndarray, second: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio of images between -1 and 1, dB; infinite where they are equal."""
    error = float(np.square(first.astype(np.float64) - second).mean())
    return float("inf") if error == 0 else float(10 * np.log10(_RANGE**2 / error))


def ssim(first: np.ndarray, second: np.ndarray) -> float:
    """Return the structural similarity of two images (height, width) between -1 and 1, mean over pixels."""
    return float(similarity(first, second).mean())


def similarity(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the structural similarity around each pixel of two images (height, width) between -1 and 1.

    References
    ----------
    Wang et al., Image quality assessment: from error visibility to structural similarity, 2004; Gaussian window.
    """
    from scipy.ndimage import gaussian_filter

    def smooth(values: np.ndarray) -> np.ndarray:
        return gaussian_filter(values, _SIGMA, radius=_RADIUS)

    one, other = first.astype(np.float64), second.astype(np.float64)
    mean_one, mean_other = smooth(one), smooth(other)
    variances = smooth(one**2) - mean_one**2 + smooth(other**2) - mean_other**2
    covariance = smooth(one * other) - mean_one * mean_other
    c1, c2 = (_K1 * _RANGE) ** 2, (_K2 * _RANGE) ** 2
    found = (2 * mean_one * mean_other + c1) * (2 * covariance + c2)
    return found / ((mean_one**2 + mean_other**2 + c1) * (variances + c2))


def score_images(
    data: TranslationData, split: str, card: TranslatorCard, options: ApplyOptions, device: str = "auto"
) -> list[dict[str, Any]]:
    """Return a row for each domain: paired images against their partners, others there and back.

    Parameters
    ----------
    data
        Images of both domains.
    split
        ``test``, or another.
    card
        Of the translator.
    options
        How images are translated.
    device
        Where.

    Raises
    ------
    InputError
        If a domain has no images in the split.
    ModelError
        If the translator is for another plane or spacing.
    """
    _require_same_cut(data, card)
    rows = []
    for name in data.domains:
        require_images(data, name, split)
        source, target = card.direction(name, None)
        there = StackTranslator(card, source, target, device)
        back = None if data.description.paired else StackTranslator(card, target, source, device)
        pairs = list(_compared(data, split, (there, back), options))
        values = np.array([[l1(*pair), psnr_db(*pair), ssim(*pair)] for pair in pairs])
        compared = "with its partner" if back is None else "there and back"
        means = dict(zip(IMAGE_COLUMNS[3:], (f"{value:.4f}" for value in values.mean(0)), strict=True))
        rows.append({"domain": name, "compared": compared, "images": len(pairs), **means})
    return rows


def _require_same_cut(data: TranslationData, card: TranslatorCard) -> None:
    """Refuse a translator for slices that were cut in another way."""
    ours, theirs = (_cut_text(one.plane, one.spacing_mm) for one in (card, data))
    if ours != theirs:
        raise card.fault(
            f"a translator for {ours}", f"one for {theirs}, as in the dataset", "use the dataset that it was trained on"
        )


def _cut_text(plane: str, spacing_mm: float | None) -> str:
    edge = "unknown spacing" if spacing_mm is None else f"{spacing_mm:.4g} mm"
    return f"{'pictures' if plane == PICTURE else f'{plane} slices'} of {edge}"


def _compared(
    data: TranslationData, split: str, ways: tuple[StackTranslator, StackTranslator | None], options: ApplyOptions
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield images of a split with what they are to be compared with, a scan at a time."""
    there, back = ways
    source, target = there.source.name, there.target.name
    for numbers in _scans(data, source, split):
        images = np.stack([_middle(data.image(source, split, number)) for number in numbers])
        translated = mean_of_samples(there.samples(images, options), options.samples).mean
        if back is None:
            wanted = [_middle(data.image(target, split, number)) for number in numbers]
            yield from zip(translated, wanted, strict=True)
        else:
            returned = mean_of_samples(back.samples(translated, options), options.samples).mean
            yield from zip(returned, images, strict=True)


def _scans(data: TranslationData, domain: str, split: str) -> list[range]:
    """Return the numbers of the images of each scan; each image alone where no manifest tells."""
    stacks = [stack for stack in data.stacks if (stack.domain, stack.split) == (domain, split)]
    if not stacks:
        return [range(number, number + 1) for number in range(data.count(domain, split))]
    return [range(stack.first_image, stack.first_image + len(stack)) for stack in stacks]


def _middle(image: np.ndarray) -> np.ndarray:
    return image[len(image) // 2]


@dataclass(frozen=True)
class ScanScores:
    """What a segmentation model makes of a scan and of its translation.

    Parameters
    ----------
    name
        Of the scan.
    agreement
        Dice between the two segmentations, by label.
    before, after
        Dice of each with true labels; ``None`` without them.
    """

    name: str
    agreement: Mapping[int, float]
    before: Mapping[int, float] | None = None
    after: Mapping[int, float] | None = None

    @property
    def mean_agreement(self) -> float:
        """Mean over labels that occur."""
        values = [value for value in self.agreement.values() if np.isfinite(value)]
        return float(np.mean(values)) if values else float("nan")

    @property
    def changed(self) -> bool:
        """Whether anatomy counts as changed."""
        return not self.mean_agreement >= CHANGED_BELOW


def score_scan(
    path: Path, truth: Volume | None, models: Models, translator: StackTranslator, options: ApplyOptions
) -> ScanScores:
    """Segment a scan and its translation, and compare them with each other and with true labels.

    Parameters
    ----------
    path
        Of the scan.
    truth
        Its label map, on any grid; ``None``: none.
    models
        What segments; for the anatomy check one that takes any contrast.
    translator, options
        What translates, and how.
    """
    scan = read_scan(path)
    translated = translate_scan(scan, translator, options).image
    image = Volume(translated.data.astype(np.float64), translated.affine)
    first, second = (_segmented(one, models) for one in (scan, replace(scan, volume=image, warnings=())))
    labels = [label for label in models.segmentation.card.labels.labels if label]
    name = path.name.partition(".")[0]
    agreement = _by_label(first, second, labels)
    if truth is None:
        return ScanScores(name, agreement)
    wanted = nearest_on(truth, scan.volume).data
    present = [label for label in labels if np.any(wanted == label)]
    return ScanScores(name, agreement, _by_label(first, wanted, present), _by_label(second, wanted, present))


def _segmented(scan: Scan, models: Models) -> np.ndarray:
    result = segment_scan(scan, models)
    return result.label_map_on(result.record.source).data


def _by_label(first: np.ndarray, second: np.ndarray, labels: Sequence[int]) -> dict[int, float]:
    return dict(zip(labels, dice_by_label(first, second, labels).tolist(), strict=True))


def anatomy_rows(scores: Sequence[ScanScores], names: Mapping[int, str]) -> list[dict[str, Any]]:
    """Return the rows of the anatomy check: first the mean of a scan, then each label that occurs.

    Parameters
    ----------
    scores
        Of all scans.
    names
        Of labels.
    """
    rows = []
    for one in scores:
        rows.append(_row(one, None, "mean", dice=one.mean_agreement, changed="yes" if one.changed else "no"))
        rows += [
            _row(one, label, names.get(label, ""), dice=value, changed=None)
            for label, value in one.agreement.items()
            if np.isfinite(value)
        ]
    return rows


def downstream_rows(scores: Sequence[ScanScores], names: Mapping[int, str]) -> list[dict[str, Any]]:
    """Return the Dice with true labels before and after translation: the mean of a scan, then each label.

    Parameters
    ----------
    scores
        Of all scans; those without true labels give no rows.
    names
        Of labels.
    """
    rows = []
    for one in scores:
        if one.before is None or one.after is None:
            continue
        before, after = (float(np.nanmean(list(part.values()))) for part in (one.before, one.after))
        rows.append(_row(one, None, "mean", before=before, after=after))
        rows += [
            _row(one, label, names.get(label, ""), before=value, after=one.after[label])
            for label, value in one.before.items()
        ]
    return rows


def _row(scores: ScanScores, label: int | None, name: str, **values: float | str | None) -> dict[str, Any]:
    texts = {key: f"{value:.4f}" if isinstance(value, float) else value for key, value in values.items()}
    return {"scan": scores.name, "label": label, "name": name, **texts}
