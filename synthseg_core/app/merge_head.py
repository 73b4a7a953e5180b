"""The stage that puts tissues of the head around a segmentation: which model labels them, and what its jobs need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from synthseg_core.app.stage_options import SegmentSettings
from synthseg_core.models.registry import load_card, resolved_name
from synthseg_core.segmentation.merge import merged_meanings


@dataclass(frozen=True)
class MergeHead:
    """Options of the stage ``merge_head``.

    Parameters
    ----------
    model
        Name of a registered model of the head, or the path of a card.
    weights
        Folder of its weights; ``None``: the usual places.
    folds
        Of a model of folds, which to average; ``None``: all.
    """

    model: str
    weights: str | None = None
    folds: tuple[int, ...] | None = None

    @classmethod
    def from_config(cls, options: Mapping[str, Any]) -> MergeHead | None:
        """Take the options from the part ``merge_head`` of a configuration that fits the schema; ``None``: no model."""
        if options["model"] is None:
            return None
        folds = options["folds"]
        return cls(resolved_name(options["model"]), options["weights"], None if folds is None else tuple(folds))

    def settings(self, segment: SegmentSettings) -> dict[str, Any]:
        """Return what decides the results beside the segmentation: the head model by content, and how it is run.

        Parameters
        ----------
        segment
            Options of the segmentation of the same scan.

        Raises
        ------
        SynthSegError
            If the model or its weights cannot be used, or its labels could be taken for those of the segmentation.
        """
        content = self._as_segmentation(segment).settings()
        merged_meanings([load_card(segment.model).labels], load_card(self.model).labels)
        return {name: value for name, value in content.items() if name != "fast"}

    def words(self, segment: SegmentSettings) -> list[str]:
        """Return the words for the command line of ``synthseg merge``."""
        words = ["--merge-head", self.model, "--model", segment.model, *(["--ct"] if segment.ct else [])]
        words += ["--weights", self.weights] if self.weights is not None else []
        return words + (["--folds", *map(str, self.folds)] if self.folds else [])

    def job_resources(self) -> tuple[int, int]:
        """Return the memory, MB, and the minutes that a job asks for."""
        return SegmentSettings(self.model, folds=self.folds).job_resources()

    def _as_segmentation(self, segment: SegmentSettings) -> SegmentSettings:
        return SegmentSettings(self.model, self.weights, ct=segment.ct, folds=self.folds)
