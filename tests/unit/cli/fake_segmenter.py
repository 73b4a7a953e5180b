"""Stand-in for models and networks, so that the commands around them are tested in milliseconds."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from synthseg_core.cli.dropin import one_scan
from synthseg_core.images.volume import Volume
from synthseg_core.segmentation.quality import QualityScore
from synthseg_core.segmentation.volumes import StructureVolume, VolumeTable


class FakeSegmenter:
    """Records what the commands ask for; labels voxels above 100 with 2.

    Parameters
    ----------
    monkeypatch
        Puts the fake in place of :func:`reference_run.load` and :func:`reference_run.compute`.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loaded: list[tuple] = []
        self.computed: list[tuple] = []
        self.overlapped: list[bool] = []
        self.faults: dict[str, BaseException] = {}
        self.warnings: tuple[str, ...] = ()
        self.sha256 = "ab" * 32
        monkeypatch.setattr(one_scan, "load", self._load)
        monkeypatch.setattr(one_scan, "compute", self._compute)

    def _load(self, flags, *, quality):
        self.loaded.append((flags, quality))
        return quality

    def weights(self, card, folder):
        """Stand in for :func:`find_weights`."""
        return SimpleNamespace(sha256=self.sha256)

    def _compute(self, scan, models, flags, *, keep_posteriors, overlapped):
        self.computed.append((scan.source.name, flags, keep_posteriors))
        self.overlapped.append(overlapped)
        if scan.source.name in self.faults:
            raise self.faults[scan.source.name]
        label_map = Volume(np.where(scan.volume.data > 100, 2, 0).astype(np.int32), scan.volume.affine)
        mm3 = float(label_map.data.sum())
        structures = (
            StructureVolume(None, "total intracranial", "neutral", 2 * mm3),
            StructureVolume(2, "csf", "neutral", mm3),
        )
        return SimpleNamespace(
            label_map=label_map,
            record=SimpleNamespace(grid=None),
            answer=None,
            posteriors=Volume(np.ones((*label_map.shape, 2), np.float32), scan.volume.affine),
            resampled=scan.volume if "coarse" in scan.source.name else None,
            volumes=VolumeTable(structures),
            quality=(QualityScore(1, "general white matter", 0.5),) if models else None,
            warnings=self.warnings,
        )
