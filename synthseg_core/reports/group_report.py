"""The group report: which segmentations of a dataset to trust, those to look at first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthseg_core import __version__
from synthseg_core.reports.group_facts import TOTAL, GroupFacts, title_of
from synthseg_core.reports.outliers import LEAST_SCANS, MARKED, Spread, adjusted, spread, z_by_kind
from synthseg_core.system.delimited import absolute
from synthseg_core.system.pages import write_page

PAGE = "group.html"
STATES = ("failed", "implausible", "look", "fine")
"""From what to look at first to what there is no reason to look at."""
# Robust z of one volume, and number of marked ones, from which a scan is worth a look; and of the agreement of labels
# and scan below which they do not belong together.
_FAR, _MANY, _AGREEMENT_Z = 6.0, 4, -5.0
_LEAST_AGREEMENT_DEVIATION = 0.015
# The axis of distributions ends here; what lies beyond is drawn at the end.
_AXIS_Z = 8.0
_MOST_DOTS = 40


@dataclass(frozen=True)
class Dot:
    """A marked scan in a distribution: its place, 0 to 100, and what it is."""

    place: float
    name: str
    text: str


@dataclass(frozen=True)
class Strip:
    """The distribution of one number over all scans, places 0 to 100 along its axis.

    Parameters
    ----------
    title, middle
        What it is, and its median with the unit.
    spread
        Of all scans.
    dots
        Marked scans.
    groups
        Spreads of scans by a column of participants: column -> level -> spread.
    """

    title: str
    middle: str
    spread: Spread
    dots: tuple[Dot, ...]
    groups: dict[str, dict[str, Spread]]


class GroupReport:
    """Everything that the page shows.

    Parameters
    ----------
    facts
        The group tables.
    threshold
        Quality scores below it are marked.
    """

    def __init__(self, facts: GroupFacts, threshold: float) -> None:
        self.facts, self.threshold = facts, threshold
        self._models = facts.column("model")
        self._kinds = [f"{suffix} {model}" for suffix, model in zip(facts.column("suffix"), self._models, strict=True)]
        self._icv = facts.volumes.get(TOTAL)
        self.volume_z = {name: self._z_of_volume(name) for name in facts.volumes}
        self.asymmetries = dict(self._asymmetries())
        self.asymmetry_z = {name: z_by_kind(one / 100, self._models) for name, one in self.asymmetries.items()}
        self.agreement = np.array([_agreement(one) for one in facts.judgements], float)
        self.agreement_z = z_by_kind(self.agreement, self._kinds, _LEAST_AGREEMENT_DEVIATION)

    def content(self) -> dict[str, Any]:
        """Return what the template names."""
        rows = sorted((self._row(place) for place in range(len(self.facts.scans))), key=_urgency)
        return {
            "rows": rows,
            "states": STATES,
            "counts": Counter(row["state"] for row in rows),
            "participant_columns": list(self.facts.participants),
            "volumes": self._volume_strips(),
            "asymmetries": self._asymmetry_strips(),
            "scores": self._score_strips(),
            "marked": MARKED,
            "least": LEAST_SCANS,
            "threshold": self.threshold,
            "others": self.facts.others,
            "notes": [_without_folder(note, self.facts.dataset) for note in self.facts.notes],
            "gone": self.facts.reviews.of_others(self.facts.names),
            "generators": self.facts.generators,
            "version": __version__,
        }

    def _row(self, place: int) -> dict[str, Any]:
        """Return what the table says of one scan."""
        facts, scan = self.facts, self.facts.scans[place]
        bad, doubts = self._signs(place)
        failed = self._failed(place)
        state = "failed" if failed else "implausible" if bad else "look" if doubts else "fine"
        reasons = [f"{scan['status']}: {scan['reason']}"] if failed else []
        scores = [one[place] for one in facts.scores.values() if np.isfinite(one[place])]
        return {
            "name": facts.names[place],
            "path": scan["path"],
            "has_page": facts.pages[place] and not failed,  # what lies there is of an earlier run
            "thumbnail": facts.thumbnails[place],
            "state": state,
            "reasons": [*reasons, *bad, *doubts],
            "participants": [texts[place] for texts in facts.participants.values()],
            "icv_ml": None if self._icv is None else float(self._icv[place]) / 1000,
            "lowest": min(scores) if scores else None,
            "agreement": float(self.agreement[place]),
            "review": facts.reviews.of(scan["scan"]),
        }

    def _failed(self, place: int) -> bool:
        return self.facts.scans[place]["status"] not in ("done", "kept")

    def _signs(self, place: int) -> tuple[list[str], list[str]]:
        """Return what makes a segmentation implausible, and what is worth a look."""
        judged = self.facts.judgements[place]
        bad, doubts = [], []
        if judged is not None:
            bad = [
                "the label map is empty" if judged.empty else "",
                "left and right exchanged" if judged.swapped else "",
                f"no voxel of {_few(judged.absent)}" if judged.absent and not judged.empty else "",
                f"labels do not lie on the anatomy: they would fit {judged.better} far better" if judged.better else "",
                f"labels do not lie on the anatomy: they explain {judged.agreement or 0:.0%} of the intensities, "
                "far less than in other scans of its kind"
                if self.agreement_z[place] < _AGREEMENT_Z and not judged.better
                else "",
            ]
            doubts = [
                "" if any(bad) else judged.loose,
                f"field of view ends inside the brain: {', '.join(judged.cut)}" if judged.cut else "",
            ]
        warnings = self.facts.scans[place]["warning_text"].split("; ")
        told = (text for text in warnings if not (judged and judged.repeated_by(text)))
        doubts += [self._lacking(place), self._low_scores(place), *self._far_volumes(place), *told]
        return [text for text in bad if text], [text for text in doubts if text]

    def _lacking(self, place: int) -> str:
        """Say that a scan with results has no report, or that a part of it has been removed."""
        if self._failed(place) or self.facts.complete[place]:
            return ""
        if self.facts.judgements[place] is None:
            return "no report of its own, so its label map was not judged; make one"
        return "its report lacks the page or pictures; make it again"

    def _low_scores(self, place: int) -> str:
        low = [title_of(name) for name, one in self.facts.scores.items() if one[place] < self.threshold]
        return f"quality score below {self.threshold:g}: {', '.join(low)}" if low else ""

    def _far_volumes(self, place: int) -> list[str]:
        """Name the volumes, and asymmetries, that lie far from those of the others."""
        texts: list[str] = []
        for kind, table in (("volume", self.volume_z), ("asymmetry", self.asymmetry_z)):
            z = {name: float(one[place]) for name, one in table.items() if abs(one[place]) > MARKED}
            if z and (len(z) >= _MANY or max(map(abs, z.values())) > _FAR):
                worst = sorted(z, key=lambda name: -abs(z[name]))
                texts.append(f"unusual {kind}: {_few([f'{title_of(name)} (z {z[name]:+.1f})' for name in worst])}")
        return texts

    def _z_of_volume(self, name: str) -> np.ndarray:
        icv = None if name == TOTAL else self._icv
        return z_by_kind(adjusted(self.facts.volumes[name], icv), self._models)

    def _asymmetries(self) -> Any:
        volumes = self.facts.volumes
        for name, left in volumes.items():
            right = volumes.get(f"right{name.removeprefix('left')}") if name.startswith("left_") else None
            if right is not None:
                with np.errstate(divide="ignore", invalid="ignore"):
                    yield name.removeprefix("left_"), 200 * (left - right) / (left + right)

    def _volume_strips(self) -> list[Strip]:
        strips: list[Strip] = []
        for name, z in self.volume_z.items():
            values = self.facts.volumes[name] / 1000
            texts = [f"{value:.2f} mL, z {one:+.1f}" for value, one in zip(values, z, strict=True)]
            strips += self._strip(title_of(name), f"{_median(values):.2f} mL", z, texts)
        return strips

    def _asymmetry_strips(self) -> list[Strip]:
        strips: list[Strip] = []
        for name, z in self.asymmetry_z.items():
            values = self.asymmetries[name]
            texts = [f"{value:+.1f} %, z {one:+.1f}" for value, one in zip(values, z, strict=True)]
            strips += self._strip(title_of(name), f"{_median(values):+.1f} %", z, texts)
        return strips

    def _strip(self, title: str, middle: str, z: np.ndarray, texts: Sequence[str]) -> list[Strip]:
        """Return the distribution of robust z; none where there are too few scans."""
        return self._strip_of(title, middle, 50 + 50 * np.clip(z / _AXIS_Z, -1, 1), np.abs(z), MARKED, texts)

    def _strip_of(
        self, title: str, middle: str, places: np.ndarray, odd: np.ndarray, limit: float, texts: Sequence[str]
    ) -> list[Strip]:
        whole = spread(places)
        if whole is None:
            return []
        marked = [place for place in np.argsort(-odd) if odd[place] > limit][:_MOST_DOTS]
        dots = tuple(Dot(float(places[place]), self.facts.names[place], texts[int(place)]) for place in marked)
        groups: dict[str, dict[str, Spread]] = {}
        for column in self.facts.participants:
            levels = np.array(self.facts.levels(column), dtype=object)
            found = (
                {level: spread(places[levels == level]) for level in sorted({*levels} - {""})} if levels.size else {}
            )
            groups |= {column: {str(level): one for level, one in found.items() if one}} if found else {}
        return [Strip(title, middle, whole, dots, groups)]

    def _score_strips(self) -> list[Strip]:
        strips: list[Strip] = []
        for name, values in self.facts.scores.items():
            texts = [f"{value:.2f}" for value in values]
            below = self.threshold - np.nan_to_num(values, nan=1.0)
            strips += self._strip_of(title_of(name), f"{_median(values):.2f}", values * 100, below, 0.0, texts)
        return strips


def write_group_report(facts: GroupFacts, threshold: float) -> Path:
    """Write ``group.html`` of a derivative dataset from its group tables, and return the page.

    Parameters
    ----------
    facts
        The group tables.
    threshold
        Quality scores below it are marked.

    Raises
    ------
    SynthSegError
        If there are no group tables, or a package is missing.
    """
    page = facts.dataset / PAGE
    write_page(page, PAGE, GroupReport(facts, threshold).content())
    return page


def _without_folder(note: str, dataset: Path) -> str:
    """Return a note that says the same wherever the dataset lies."""
    return note.replace(f"{absolute(dataset)}/", "").replace(f"{dataset}/", "")


def _urgency(row: dict[str, Any]) -> tuple[int, int, str]:
    return STATES.index(row["state"]), -len(row["reasons"]), row["path"]


def _agreement(judged: Any) -> float:
    return np.nan if judged is None or judged.agreement is None else judged.agreement


def _median(values: np.ndarray) -> float:
    return float(np.nanmedian(values)) if np.isfinite(values).any() else float("nan")


def _few(names: Sequence[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"
