"""Another family of models needs its class and a row in the table: everything else runs as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import yaml

from synthseg_core.cli.main import main
from synthseg_core.errors import InputError
from synthseg_core.images.reading import Scan, read_scan
from synthseg_core.models.families import FAMILIES
from synthseg_core.models.loading import Models, load_models
from synthseg_core.models.registry import load_card
from synthseg_core.segmentation.segment import segment_scan
from synthseg_core.segmentation.segmenter import SegmentOptions, segmenter_of
from synthseg_core.segmentation.synthseg import SynthSegSegmenter
from tests.phantoms.families import BANDS, BandSegmenter
from tests.phantoms.models import QUALITY, STRUCTURE_LABELS, TINY, WHOLE
from tests.phantoms.scans import phantom, write_nifti

SHAPE = (19, 26, 11)


@pytest.fixture(autouse=True)
def second_family(monkeypatch) -> None:
    monkeypatch.setitem(FAMILIES, "bands", BANDS)


def _card(folder: Path, **parts) -> Path:
    """A card of the second family; ``threshold`` keeps the largest component."""
    path = replace(TINY, name="bands", inference={"clean_up": "threshold"}, **parts).write(folder)
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "family": "bands"}))
    return path


def _bands(data: np.ndarray) -> np.ndarray:
    """What the second family sees: the labels of the quarters of the intensities, between the usual percentiles."""
    low, high = np.percentile(data, (0.5, 99.5))
    quarters = np.minimum((np.clip(data, low, high) - low) / (high - low) * 4, 3)
    return np.array(STRUCTURE_LABELS)[quarters.astype(int)]


def _models(folder: Path) -> Models:
    return load_models(load_card(_card(folder)))


def test_the_card_chooses_what_runs(tmp_path):
    assert isinstance(segmenter_of(_models(tmp_path).segmentation), BandSegmenter)
    assert isinstance(segmenter_of(load_models(load_card(TINY.write(tmp_path))).segmentation), SynthSegSegmenter)


def test_a_scan_is_segmented_by_a_second_family(tmp_path):
    volume = phantom((1.0, 1.0, 1.0), SHAPE)
    result = segment_scan(Scan(volume, volume.voxel_size, Path("phantom.nii.gz")), _models(tmp_path))
    found = result.label_map.data
    inside = found != 0
    assert inside.mean() > 0.05
    np.testing.assert_array_equal(found[inside], _bands(volume.data)[inside])
    hard = {row.label: row.hard_mm3 for row in result.volumes.rows}
    assert hard[16] == pytest.approx(np.count_nonzero(found == 16))
    assert hard[16] > 0


def test_the_command_needs_no_change(tmp_path):
    scan = write_nifti(tmp_path / "scan.nii.gz", phantom((1.1, 0.8, 2.4), SHAPE))
    card, out = _card(tmp_path), tmp_path / "dseg.nii.gz"
    words = ["segment", str(scan), "--model", str(card), "--dseg", str(out), "--volumes", str(tmp_path / "v.tsv")]
    assert main([*words, "--sidecar", str(tmp_path / "dseg.json"), "--threads", "1"]) == 0
    expected = segment_scan(read_scan(scan), load_models(load_card(card)))
    native = expected.label_map_on(expected.record.source).data
    np.testing.assert_array_equal(np.asarray(nib.load(out).dataobj), native)
    assert (tmp_path / "v.tsv").read_text() == expected.volumes.to_tsv()
    assert '"Family": "bands"' in (tmp_path / "dseg.json").read_text()


def test_companions_of_another_family(tmp_path, monkeypatch):
    """Scores are given to whatever made the classes."""
    from synthseg_core.segmentation import quality

    monkeypatch.setattr(quality, "BOX_EDGE_MM", 32)
    QUALITY.write(tmp_path)
    card = load_card(_card(tmp_path, companions={"quality": WHOLE.companions["quality"]}))
    volume = phantom((1.0, 1.0, 1.0), SHAPE)
    scan = Scan(volume, volume.voxel_size, Path("phantom.nii.gz"))
    scores = segment_scan(scan, load_models(card, quality=True)).quality
    assert [score.name for score in scores] == ["cortex", "stem"]


def test_its_memory_is_asked_for_before_it_runs(tmp_path, monkeypatch):
    """The estimate is the family's own."""
    volume = phantom((1.0, 1.0, 1.0), SHAPE)
    scan, models = Scan(volume, volume.voxel_size, Path("phantom.nii.gz")), _models(tmp_path)
    segment_scan(scan, models, SegmentOptions(memory_bytes=2**30))
    monkeypatch.setattr(BandSegmenter, "network_bytes", lambda *_: 2**31)
    monkeypatch.setattr(BandSegmenter, "answer", lambda *_: pytest.fail("ran"))
    with pytest.raises(InputError, match="needs about 2.0 GiB"):
        segment_scan(scan, models, SegmentOptions(memory_bytes=2**30))
