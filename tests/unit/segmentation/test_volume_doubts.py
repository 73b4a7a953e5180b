"""Doubts about results: empty, too small, too large, structures that are missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from synthseg_core.labels.table import LabelTable
from synthseg_core.models.card import ModelCard, WeightsFile
from synthseg_core.models.registry import load_card
from synthseg_core.networks.config import NetworkSpec, UNetConfig
from synthseg_core.segmentation.volumes import StructureVolume, VolumeTable, volume_warnings

LABELS = (0, 42, 3, 16)
TABLE = LabelTable(
    "mine",
    LABELS,
    ("background", "right cortex", "left cortex", "brainstem"),
    ("neutral", "right", "left", "neutral"),
    (0, 3, 42, 16),
    (0, 1, 2, 3),
)
CARD = ModelCard(
    name="mine",
    title="Mine",
    family="synthseg",
    task="segmentation",
    networks=(NetworkSpec("segmenter", "unet", UNetConfig(out_channels=4)),),
    labels=TABLE,
    weights=WeightsFile("mine.h5"),
    source=Path("mine.yaml"),
    plausible_total_ml=(700, 2500),
)
ANY_SIZE = replace(CARD, plausible_total_ml=None)


def _volumes(soft_ml=(500.0, 500.0, 30.0), hard_ml=(500.0, 500.0, 30.0), *more: StructureVolume) -> VolumeTable:
    total = StructureVolume(None, "total intracranial", "neutral", 1e9, 1e9)
    rows = [
        StructureVolume(label, name, side, 1000 * soft, None if hard is None else 1000 * hard)
        for label, name, side, soft, hard in zip(
            TABLE.labels[1:], TABLE.names[1:], TABLE.sides[1:], soft_ml, hard_ml, strict=True
        )
    ]
    return VolumeTable((total, *rows, *more))


def test_plausible_head():
    assert volume_warnings(_volumes(), CARD) == ()


def test_tissue_outside_the_brain_is_named_apart():
    """A stripped scan has no skull, and lacks nothing."""
    card = replace(ANY_SIZE, inference=replace(CARD.inference, total_of=TABLE.labels[1:3]))
    found = volume_warnings(_volumes(hard_ml=(500.0, 0.0, 0.0)), card)
    assert found == ("no voxel of left cortex", "no voxel of brainstem, which are not counted as brain")


@pytest.mark.parametrize("card", [CARD, ANY_SIZE])
@pytest.mark.parametrize("soft", [0.0, 1.0, float("nan")])
def test_empty(card, soft):
    """Labels count, whatever mass the posteriors hold; and nothing else needs saying then."""
    found = volume_warnings(_volumes((soft,) * 3, (0.0,) * 3), card)
    assert found == ("the segmentation is empty: no structure was found",)


def test_nan_volumes_are_empty():
    assert "empty" in volume_warnings(_volumes((float("nan"),) * 3, (float("nan"),) * 3), CARD)[0]


@pytest.mark.parametrize(("ml", "said"), [(699.9, True), (700.0, False), (2500.0, False), (2501.0, True)])
def test_total_volume(ml, said):
    found = volume_warnings(_volumes((ml - 20, 10.0, 10.0)), CARD)
    assert bool(found) == said
    if said:
        assert found[0].startswith(f"all structures together have {ml:.0f} ml, outside 700 to 2500 ml")
    assert volume_warnings(_volumes((ml - 20, 10.0, 10.0)), ANY_SIZE) == ()


def test_total_is_the_sum_of_structures_not_the_total_row_nor_parcels():
    parcel = StructureVolume(1001, "a parcel", "left", 5e6, 5e6)
    assert volume_warnings(_volumes((300.0, 300.0, 30.0), (1.0,) * 3, parcel), CARD)[0].startswith(
        "all structures together have 630 ml"
    )


def test_missing_structures_are_named():
    assert volume_warnings(_volumes(hard_ml=(500.0, 0.0, 0.0)), CARD) == ("no voxel of left cortex, brainstem",)


def test_long_lists_are_cut():
    card = load_card("synthseg-2.0")
    table = card.labels
    rows = [
        StructureVolume(label, name, side, 4e4, 4e4 if label == 3 else 0.0)
        for label, name, side in zip(table.labels[1:], table.names[1:], table.sides[1:], strict=True)
    ]
    (found,) = volume_warnings(VolumeTable(tuple(rows)), card)
    missing = [row.name for row in rows if row.label != 3]
    assert found == f"no voxel of {', '.join(missing[:5])} and {len(missing) - 5} more"


def test_volumes_that_were_not_counted_do_not_count_as_missing():
    found = volume_warnings(_volumes(hard_ml=(500.0, None, 30.0)), CARD)
    assert found == ()


def test_every_doubt_is_one_line():
    volumes = _volumes((1.0, 1.0, 1.0), (1.0, 0.0, 1.0))
    found = volume_warnings(volumes, CARD)
    assert len(found) == 2
    assert not any("\n" in line for line in found)
