"""How well predicted scores agree with true ones, on pairs that a quality network is never trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor

from synthseg_core.images.figures import new_figure, png, require_matplotlib
from synthseg_core.networks.building import Network
from synthseg_core.system.atomic import write_bytes
from synthseg_core.training.log import LOG, VALIDATION, read_rows
from synthseg_core.training.losses import one_hot
from synthseg_core.training.quality_pairs import MakePair, group_dice
from synthseg_core.training.snapshot import INSTEAD, SNAPSHOT, SUBJECT, draw_curves, training_title
from synthseg_core.training.step import forward
from synthseg_core.training.validation import Scores

MEASURE = "1 - mean absolute error"
_DPI = 80


@dataclass(frozen=True)
class Agreement:
    """Predicted against true Dice of some pairs.

    Parameters
    ----------
    predicted, true : (G, S)
        Scores of each group in each pair, background first.
    """

    predicted: Scores
    true: Scores

    @property
    def absolute_error(self) -> NDArray[np.float64]:
        """Mean absolute error of each group, (G,)."""
        return np.abs(self.predicted - self.true).mean(1)

    @property
    def spearman(self) -> NDArray[np.float64]:
        """Rank correlation of each group, (G,); NaN where predictions or truth are all the same."""
        return np.array([_rank_correlation(*rows) for rows in zip(self.predicted, self.true, strict=True)])

    @property
    def mean_absolute_error(self) -> float:
        """Mean over groups, without the background."""
        return float(self.absolute_error[1:].mean())

    @property
    def mean_spearman(self) -> float:
        """Mean over groups that have one, without the background; NaN if none has."""
        known = self.spearman[1:][np.isfinite(self.spearman[1:])]
        return float(known.mean()) if known.size else float("nan")

    def text(self) -> str:
        """Return both figures in words."""
        return f"mean absolute error {self.mean_absolute_error:.3f}, rank correlation {self.mean_spearman:.2f}"


def _rank_correlation(predicted: NDArray[np.float64], true: NDArray[np.float64]) -> float:
    if len(true) < 2 or np.ptp(predicted) == 0 or np.ptp(true) == 0:
        return float("nan")
    return float(spearmanr(predicted, true)[0])  # type: ignore[arg-type]


class PairValidation:
    """Scores of a network on fixed pairs: one less the absolute error.

    Parameters
    ----------
    pair
        Makes pairs of held-out label maps, or takes them from where they are kept.
    seeds
        One per pair; choose them once, so that scores can be compared.
    precision
        Of the forward pass.
    """

    def __init__(self, pair: MakePair, seeds: Sequence[int], *, precision: str = "float32") -> None:
        self.pair = pair
        self.seeds = tuple(seeds)
        self.precision = precision
        self.latest: Agreement | None = None

    @torch.inference_mode()
    def __call__(self, net: Network) -> Scores:
        """Return the (G, S) table of one less the absolute error; the scores themselves stay in ``latest``."""
        device = next(net.parameters()).device
        columns = []
        for seed in self.seeds:
            pair = self.pair(seed)
            groups = one_hot(torch.from_numpy(pair.predicted)[None], len(pair.beyond))
            scores = forward(net, groups, device, self.precision)[0].float().cpu().numpy()
            columns.append((np.clip(scores.astype(np.float64), 0, 1), group_dice(pair)))
        predicted, true = (np.stack(parts, axis=1) for parts in zip(*columns, strict=True))
        self.latest = Agreement(predicted, true)
        return 1 - np.abs(predicted - true)


@dataclass(frozen=True)
class ScorePicture:
    """Draws predicted against true scores, and the curves.

    Parameters
    ----------
    names
        Of the groups, background first.
    validation
        Whose latest scores are drawn; ``None``: those of one training sample alone.
    """

    names: Sequence[str]
    validation: PairValidation | None = None

    def __call__(self, folder: Path, _: Tensor, target: Tensor, output: Tensor, measure: str) -> None:
        """Write ``snapshot.png``: points of held-out pairs where a validation has been, else of the training sample.

        Parameters
        ----------
        folder
            Of the training.
        target, output : (1, G)
            True and predicted scores of a training sample.
        measure
            What validations measure.
        """
        require_matplotlib(SUBJECT, INSTEAD)
        held_out = None if self.validation is None else self.validation.latest
        sample = Agreement(*(part[0].float().cpu().double().numpy()[:, None] for part in (output, target)))
        shown = held_out or sample
        figure = new_figure(9, 5, black=False, arranged=True)
        left, right = figure.subplots(1, 2)
        for group, name in enumerate(self.names[1:], start=1):
            left.plot(shown.true[group], shown.predicted[group], ".", color=f"C{group - 1}", label=name)
        left.plot([0, 1], [0, 1], color="0.7", linewidth=1, zorder=0)
        left.set(xlim=(0, 1), ylim=(0, 1), xlabel="true Dice", ylabel="predicted Dice", aspect="equal")
        left.set_title(held_out.text() if held_out else "a training sample", fontsize="small")
        left.legend(fontsize="x-small", loc="lower right")
        draw_curves(right, read_rows(folder / LOG), read_rows(folder / VALIDATION), measure)
        figure.suptitle(training_title(read_rows(folder / LOG)), fontsize="medium")
        write_bytes(folder / SNAPSHOT, png(figure, _DPI))
