"""The sidecar: what made a segmentation, complete enough to repeat it, the same every time."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import synthseg_core
from synthseg_core.images.reading import Scan
from synthseg_core.models.loading import load_models
from synthseg_core.models.registry import load_card
from synthseg_core.segmentation.segment import segment_scan
from synthseg_core.segmentation.segmenter import SegmentOptions
from synthseg_core.segmentation.sidecars import Origin, sidecar
from synthseg_core.system.file_identity import sha256_of
from tests.phantoms.models import COARSE, FINER, STRUCTURE_LABELS, TINY
from tests.phantoms.scans import phantom

ORIGIN = Origin("bids:raw:sub-01/anat/sub-01_T1w.nii.gz", "ab" * 32, 2)


@pytest.fixture
def made(tmp_path):
    def make(model=TINY, options=None, warnings=()) -> dict:
        options = options or SegmentOptions()
        volume = phantom((1.1, 0.8, 2.4), (19, 26, 11))
        scan = Scan(volume, volume.voxel_size, Path("/data/sub-01_T1w.nii.gz"), warnings=warnings)
        models = load_models(load_card(model.write(tmp_path)))
        result = segment_scan(scan, models, options)
        return sidecar(scan, ORIGIN, result, models.segmentation, options)

    return make


def test_what_made_it(made, tmp_path):
    content = made()
    assert content["GeneratedBy"] == [{"Name": "synthseg-bids", "Version": synthseg_core.__version__}]
    assert content["Model"] == {
        "Name": "tiny",
        "Family": "synthseg",
        "WeightsFile": "tiny.safetensors",
        "WeightsSHA256": sha256_of(tmp_path / "tiny.safetensors"),
        "WeightsPublished": None,
        "Licence": "Apache-2.0",
        "Citation": ["Nobody, Random numbers, 2000"],
    }
    assert "Tiny random segmentation" in content["Description"]


def test_where_it_came_from(made):
    content = made()
    assert content["Sources"] == [ORIGIN.source]
    assert content["SpatialReference"] == ORIGIN.source
    assert content["Manual"] is False
    assert content["Source"] == {
        "File": "sub-01_T1w.nii.gz",
        "SHA256": ORIGIN.sha256,
        "Volume": 2,
        "ShapeVoxels": [19, 26, 11],
        "VoxelSizeMm": [1.1, 0.8, 2.4],
    }


def test_options_and_grid(made):
    content = made(COARSE, SegmentOptions(fast=True, ct=True, crop=(16, 24, 32)))
    assert content["Options"] == {"Fast": True, "CT": True, "CropVoxels": [16, 24, 32]}
    # Axis by axis: 19 x 1.1, 26 x 0.8 and 11 x 2.4 mm on voxels of 2 mm, rounded up.
    assert content["Network"] == {
        "VoxelSizeMm": 2.0,
        "Resampled": True,
        "GridShapeVoxels": [11, 11, 14],
        "AnswerVoxelSizeMm": 2.0,
    }
    assert made(FINER)["Network"]["AnswerVoxelSizeMm"] == 1.0
    assert made()["Options"]["CropVoxels"] is None


def test_channels_explain_the_posteriors(made):
    assert [entry["Label"] for entry in made()["Channels"]] == list(STRUCTURE_LABELS)
    assert made()["Channels"][1] == {"Channel": 1, "Label": 42, "Name": "right cortex"}
    head = replace(TINY, inference={"total_of": [42, 3]})
    assert [entry["Label"] for entry in made(head)["Channels"] if entry.get("Extracerebral")] == [16]


def test_warnings_are_kept(made):
    content = made(replace(TINY, plausible_total_ml=(700.0, 2500.0)), warnings=("odd header",))
    assert content["Warnings"][0] == "odd header"
    assert "ml, outside 700 to 2500 ml" in content["Warnings"][1]
    assert made()["Warnings"] == []


def test_same_every_time_and_plain_json(made):
    first, second = (json.dumps(made(), allow_nan=False) for _ in range(2))
    assert first == second
    assert json.loads(first) == made()


def test_no_clock_no_host_no_folder(made, tmp_path):
    """Results do not depend on when, where and by whom they were made."""
    text = json.dumps(made())
    assert str(tmp_path) not in text
    assert "/data/" not in text
    assert not {"time", "date", "host", "user", "threads"} & {key.lower() for key in made()}
