"""The jobs of a run: what each is asked for, whether it has to run, and the input that tells Snakemake so."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from synthseg_core.app.layout import Layout
from synthseg_core.app.merge_head import MergeHead
from synthseg_core.app.requests import Job, Verdict, judge, settle
from synthseg_core.app.stage_options import COMPANION_TASKS, SegmentSettings, write_stage_file
from synthseg_core.bids.names import SIDECARS, copies_of
from synthseg_core.bids.scan_row import ScanRow
from synthseg_core.reports.origins import Basis, read_sidecar
from synthseg_core.system.settings import known_mapping

# Stages whose job reads the scan itself.
_FROM_SCANS = ("translate", "segment", "resample", "merge_head")
# Stage -> the one before it, and what its job starts from among the outputs of that; as in the rules.
_STARTS = {
    "segment": ("translate", ("translated",)),
    "parcellate": ("segment", ("decision", "dseg", "dseg_1mm")),
    "qc": ("segment", ("decision",)),
    "merge_head": ("segment", ("dseg",)),
}
FOLLOWS = "what it is made from is made again"
"""Why a job runs whose own results are as asked for."""
_LONG_S = 10 * 365 * 86_400


@dataclass(frozen=True)
class Jobs:
    """The jobs over the scans of a run; one object remembers what it has judged and written.

    Parameters
    ----------
    layout
        Folders of the run.
    segment
        Options of the segmentation, for scans without options of their own.
    asked
        Stages that are asked for, in their order.
    head
        Options of the stage ``merge_head``, if that is asked for.
    """

    layout: Layout
    segment: SegmentSettings
    asked: tuple[str, ...]
    head: MergeHead | None = None

    @property
    def stages(self) -> tuple[str, ...]:
        """Stages that have a job of their own, in their order."""
        return tuple(stage for stage in self.asked if stage == "segment" or stage not in segment_job_of(self.asked))

    def job(self, stage: str, row: ScanRow) -> Job:
        """Return the job of a stage over a scan; ``posteriors`` are made by that of ``segment``."""
        options = self.segment.for_scan(row)
        stages = segment_job_of(self.asked) if stage == "segment" else (stage,)
        outputs = {one: self.layout.outputs_of(one, row.scan) for one in stages}
        settings, former = self._settings(stage, options)
        return Job(
            request=self.layout.request(stage, row.scan),
            scan=row.source if stage in _FROM_SCANS else "",
            settings=settings,
            former=former,
            outputs=[path for paths in outputs.values() for path in paths.values()],
            copies=[outputs[one][name] for one in stages for name in copies_of(one)],
            sidecars=[(outputs[one][SIDECARS[one]], one) for one in stages],
            basis=self._basis(stage, row, settings),
        )

    def _basis(self, stage: str, row: ScanRow, settings: Mapping[str, Any]) -> Basis:
        """Return the segmentation that a job is to make, or the one that is there for it to start from."""
        if stage == "segment":
            return Basis(None, *(settings[key] for key in ("model", "weights_sha256", "fast", "ct")))
        return read_sidecar(self.layout.derivative(row.scan, "sidecar")).basis if stage in _STARTS else Basis()

    def segment_mem_mb(self, row: ScanRow) -> int:
        """Return the memory that the segmentation of a scan asks for, MB: it depends on its model."""
        return self._resources(row)[0]

    def segment_minutes(self, row: ScanRow) -> int:
        """Return the minutes that the segmentation of a scan asks for: they depend on its model and folds."""
        return self._resources(row)[1]

    @property
    def head_resources(self) -> tuple[int, int]:
        """Memory, MB, and minutes that labelling a head asks for; nothing where there is no such stage."""
        return self.head.job_resources() if self.head else (0, 0)

    def _resources(self, row: ScanRow) -> tuple[int, int]:
        options = self.segment.for_scan(row)
        if options not in self._known_resources:
            self._known_resources[options] = options.job_resources()
        return self._known_resources[options]

    @cached_property
    def _known_resources(self) -> dict[SegmentSettings, tuple[int, int]]:
        """What was asked for so far: a card is read once, not once a scan."""
        return {}

    def reasons(self, row: ScanRow) -> dict[str, str]:
        """Say why each job of a scan has to run, by the stage that it is called after; empty if it has not."""
        reasons = {stage: verdict.reason for stage, verdict in self.verdicts(row).items()}
        for stage, reason in reasons.items():
            before = _STARTS[stage][0] if stage in _STARTS else ""
            if before in reasons and not reason and (reasons[before] or self._is_older(stage, row.scan)):
                reasons[stage] = FOLLOWS
        return reasons

    def verdicts(self, row: ScanRow) -> dict[str, Verdict]:
        """Judge the results of every job of a scan, by the stage that it is called after."""
        return {stage: self._judge(stage, row) for stage in self.stages}

    def _judge(self, stage: str, row: ScanRow) -> Verdict:
        """Judge results, and keep the verdict until the request is written."""
        job = self.job(stage, row)
        verdict = judge(job)
        self._verdicts[stage, row.scan] = job, verdict
        return verdict

    @cached_property
    def _verdicts(self) -> dict[tuple[str, str], tuple[Job, Verdict]]:
        return {}

    def _is_older(self, stage: str, stem: str) -> bool:
        """Say whether results are older than what they were made from."""
        before, names = _STARTS[stage]
        start = self.layout.outputs_of(before, stem)
        newest = max(start[name].stat().st_mtime_ns for name in names)
        return any(path.stat().st_mtime_ns < newest for path in self.layout.made_by(stage, stem))

    def request(self, stage: str, row: ScanRow, *, preview: bool = False) -> list[str]:
        """Return the input of a job that says what it is asked for, as it has to be for Snakemake to judge alike.

        Parameters
        ----------
        stage
            Of the job.
        row
            The scan.
        preview
            For dry runs: nothing that is there changes, and what is out of date gets another input, which is newer.
        """
        key = stage, row.scan, preview
        if key not in self._requests:
            if (stage, row.scan) not in self._verdicts:
                self._judge(stage, row)
            job, verdict = self._verdicts.pop((stage, row.scan))
            self.option_file(stage, self.segment.for_scan(row), preview=preview)
            if not preview:
                settle(job, verdict)
            known = [job.request] if not preview or job.request.is_file() else []
            self._requests[key] = [str(path) for path in ([self._newer] if preview and verdict.outdated else known)]
        return self._requests[key]

    @cached_property
    def _requests(self) -> dict[tuple[str, str, bool], list[str]]:
        return {}

    @cached_property
    def _newer(self) -> Path:
        """A file that is newer than all results, for previews."""
        path = self.layout.preview / "newer"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{time.time_ns()}\n", encoding="utf-8")
        time_s = time.time() + _LONG_S
        os.utime(path, (time_s, time_s))
        return path

    def _settings(self, stage: str, options: SegmentSettings) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the settings of a stage, and those that were recorded before this process wrote any."""
        key = stage, options
        if key not in self._known_settings:
            former = known_mapping(self._settings_path(stage, options))
            self._known_settings[key] = stage_settings(stage, options, self.head), former
        return self._known_settings[key]

    @cached_property
    def _known_settings(self) -> dict[tuple[str, SegmentSettings], tuple[dict[str, Any], dict[str, Any]]]:
        return {}

    def _settings_path(self, stage: str, options: SegmentSettings) -> Path:
        return self.layout.settings(stage if options == self.segment else f"{stage}_{options.digest()}")

    @cached_property
    def _option_files(self) -> dict[tuple[str, SegmentSettings, bool], Path]:
        return {}

    def option_file(self, stage: str, options: SegmentSettings, *, preview: bool = False) -> Path:
        """Write a settings file once in the life of this process."""
        key = stage, options, preview
        if key not in self._option_files:
            settings, _ = self._settings(stage, options)
            name = self._settings_path(stage, options).stem
            self._option_files[key] = write_stage_file(self.layout, name, settings, preview=preview)
        return self._option_files[key]


def segment_job_of(stages: Sequence[str]) -> tuple[str, ...]:
    """Return those of some stages that the job of ``segment`` does; each of the others has a job of its own."""
    return tuple(stage for stage in stages if stage in ("segment", "posteriors"))


def stage_settings(stage: str, options: SegmentSettings, head: MergeHead | None = None) -> dict[str, Any]:
    """Return what decides the results of a stage beside scan and segmentation; raises where a model cannot be used."""
    if stage == "translate":
        return options.translation_settings()
    if stage == "resample":
        return {"voxel_size_mm": 1.0}
    if stage == "merge_head" and head is not None:
        return head.settings(options)
    if stage in COMPANION_TASKS:
        return options.companion_settings(COMPANION_TASKS[stage])
    return options.settings()
