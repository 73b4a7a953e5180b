import numpy as np
import pytest
import yaml

from synthseg_core.bids.description import DATASET_FILES, DatasetFacts, dataset_files
from synthseg_core.bids.discovery import discover
from synthseg_core.bids.search import Search
from synthseg_core.cli.demo import phantoms as demo
from synthseg_core.images.affines import voxel_size
from synthseg_core.models.arrays import load_state
from synthseg_core.models.registry import companion, load_card
from synthseg_core.models.weights import find_weights
from synthseg_core.system.tables import read_tsv
from tests.phantoms.trees import contents


@pytest.mark.parametrize("model", demo.WEIGHTS_SEEDS)
def test_shipped_weights_are_those_that_the_code_makes(tmp_path, model):
    card = load_card(model)
    demo.write_weights(tmp_path / "again.safetensors", model)
    shipped = find_weights(card)
    assert shipped.published
    assert (tmp_path / "again.safetensors").read_bytes() == shipped.path.read_bytes()
    assert shipped.path.stat().st_size < 100_000
    state = load_state(shipped.path, card.networks[0])
    assert np.isfinite(np.concatenate([array.ravel() for array in state.values()])).all()


@pytest.mark.parametrize("model", demo.WEIGHTS_SEEDS)
def test_card_says_that_the_weights_are_random(model):
    card = load_card(model)
    assert "RANDOM" in card.title
    assert "mean nothing" in card.notes


def test_tables_of_the_tiny_models():
    """Left and right change places in the mirrored image; parcels and groups are those of the cortex they divide."""
    assert load_card(demo.MODEL).labels.flip_channels == (0, 3, 2, 1)
    card = load_card("tiny-random-cortex")
    assert card.labels.cortex_channels() == {"left": 2, "right": 5}
    parcels, groups = (companion(card, task).labels for task in ("parcellation", "quality"))
    assert parcels.flip_channels == (0, 4, 5, 6, 1, 2, 3)
    assert set(card.labels.qc_groups) == set(groups.labels)


def test_dataset_is_bids_and_the_same_every_time(tmp_path):
    paths = demo.write_dataset(tmp_path / "a")
    demo.write_dataset(tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    found = discover(tmp_path / "a", Search())
    assert sorted(tmp_path / "a" / row.path for row in found) == sorted(paths)
    assert not [row for row in found if row.problem]


@pytest.mark.parametrize("scan", demo.SCANS, ids=lambda scan: scan.path)
def test_phantoms_are_heads_about_the_origin(scan, tmp_path):
    volume = demo.phantom(scan)
    assert volume.shape == scan.shape
    assert voxel_size(volume.affine) == pytest.approx(scan.voxel_size)
    centre = volume.affine @ [*((np.array(scan.shape) - 1) / 2), 1]
    assert centre[:3] == pytest.approx([0, 0, 0], abs=1e-9)
    inside = (volume.data > 0.2 * max(scan.tissues)).sum() * np.prod(scan.voxel_size)
    assert 0.6 < inside / (4 / 3 * np.pi * 38 * 46 * 36) < 1.05
    # The left ventricle is the longer one.
    i = np.array(np.nonzero(volume.data < 0.35 * max(scan.tissues)))
    x, y, z = (volume.affine[:3, :3] @ i + volume.affine[:3, 3:])[:3]
    deep = (x / 38) ** 2 + (y / 46) ** 2 + (z / 36) ** 2 < 0.3
    assert (deep & (x < 0)).sum() > (deep & (x > 0)).sum() > 0


def test_dataset_files_of_a_derivative_dataset(tmp_path):
    card = load_card(demo.MODEL)
    texts = dataset_files(DatasetFacts((card,), "../bids", "9.9"))
    assert tuple(texts) == DATASET_FILES
    description = yaml.safe_load(texts["dataset_description.json"])
    assert description["DatasetType"] == "derivative"
    assert description["GeneratedBy"][0]["Version"] == "9.9"
    assert description["DatasetLinks"] == {"raw": "../bids"}
    assert "RANDOM" in texts["README.md"]
    path = tmp_path / "labels.tsv"
    path.write_text(texts["seg-synthseg_dseg.tsv"])
    rows = read_tsv(path, required=("index", "name"))
    assert [int(row["index"]) for row in rows] == list(card.labels.labels)
    explained = yaml.safe_load(texts["seg-synthseg_dseg.json"])
    assert set(rows[0]) == set(explained)
