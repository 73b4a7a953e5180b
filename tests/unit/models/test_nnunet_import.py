"""Folders of nnU-Net become cards and safetensors; checkpoints that could run something are refused."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from synthseg_core.errors import InputError
from synthseg_core.models.arrays import load_state
from synthseg_core.models.nnunet_import import import_nnunet
from synthseg_core.models.registry import load_card
from synthseg_core.models.store import Condition, verify
from synthseg_core.networks.arrays import array_shapes
from tests.phantoms.nnunet import PLAIN, TrainedFolder

TRAINED = TrainedFolder(folds=("0", "2"))
CHECKPOINT = "checkpoint_final.pth"


@pytest.mark.parametrize("trained", [TRAINED, replace(TRAINED, config=PLAIN)])
def test_card_weights_and_labels(tmp_path, trained):
    path = import_nnunet(trained.write(tmp_path / "Phantom"), tmp_path / "store")
    card = load_card(path)
    assert (card.name, card.family, card.task) == ("Phantom", "nnunet-resenc", "segmentation")
    assert card.labels.names == tuple(trained.names)
    assert [spec.prefix for spec in card.networks] == ["fold_0", "fold_2"]
    assert {spec.config for spec in card.networks} == {trained.config}
    assert card.plan is not None
    assert card.plan.patch_voxels == trained.patch
    assert card.grid.voxel_size_mm == pytest.approx(0.9967, abs=1e-4)
    assert verify(card).condition is Condition.PUBLISHED
    for number, spec in enumerate(card.networks):
        arrays = load_state(path.with_suffix(".safetensors"), spec)
        for name, array in trained.arrays(number).items():
            np.testing.assert_array_equal(arrays[name], array.numpy())


def test_the_same_folder_gives_the_same_bytes(tmp_path):
    folder = TRAINED.write(tmp_path / "Phantom")
    files = [sorted(import_nnunet(folder, tmp_path / store).parent.iterdir()) for store in ("a", "b")]
    assert [path.name for path in files[0]] == ["Phantom.safetensors", "Phantom.tsv", "Phantom.yaml"]
    assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]


def test_some_folds_under_another_name(tmp_path):
    card = load_card(import_nnunet(TRAINED.write(tmp_path / "x"), tmp_path, name="mine", folds=[2], orientation="RAS"))
    assert (card.name, [spec.role for spec in card.networks]) == ("mine", ["fold 2"])
    assert card.plan is not None
    assert card.plan.orientation == "RAS"


@pytest.mark.parametrize(("folds", "message"), [([1], "no fold 1; expected some of 0, 2"), ([0, 7], "no fold 7")])
def test_folds_that_are_missing(tmp_path, folds, message):
    with pytest.raises(InputError, match=message):
        import_nnunet(TRAINED.write(tmp_path / "x"), tmp_path, folds=folds)


def test_no_finished_fold(tmp_path):
    folder = replace(TRAINED, folds=("all",)).write(tmp_path / "x")
    with pytest.raises(InputError, match="no finished fold; expected fold_0/checkpoint_final.pth"):
        import_nnunet(folder, tmp_path)


def test_names_of_wrapped_networks(tmp_path):
    """A compiled or distributed training leaves its own prefixes."""
    folder = replace(TRAINED, folds=("0",)).write(tmp_path / "x")
    path = folder / "fold_0" / CHECKPOINT
    content = TRAINED.checkpoint(0)
    content["network_weights"] = {f"module._orig_mod.{k}": v for k, v in content["network_weights"].items()}
    torch.save(content, path)
    card = load_card(import_nnunet(folder, tmp_path))
    assert set(load_state(tmp_path / "x.safetensors", card.networks[0])) == set(array_shapes(TRAINED.config))


class _Harmful:
    def __reduce__(self):
        return os.mkdir, ("harmed",)


def _spoilt(content: dict, how: str) -> dict:
    weights = content["network_weights"]
    if how == "missing":
        del weights["encoder.stem.convs.0.conv.weight"]
    elif how == "unknown":
        weights["encoder.stages.0.blocks.0.se.weight"] = torch.ones(2)
    elif how == "shape":
        weights["encoder.stem.convs.0.conv.bias"] = torch.ones(5)
    elif how == "nan":
        weights["encoder.stem.convs.0.conv.bias"] = torch.full((4,), float("nan"))
    elif how == "harmful":
        content["logging"] = _Harmful()
    elif how == "no weights":
        del content["network_weights"]
    return content


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("missing", "1 arrays that the plan does not describe, first no encoder.stem.convs.0.conv.weight"),
        ("unknown", "first an unknown array encoder.stages.0.blocks.0.se.weight"),
        ("shape", r"of shape \(5,\) instead of \(4,\)"),
        ("nan", "values in encoder.stem.convs.0.conv.bias that are not finite"),
        ("harmful", "a checkpoint that is refused"),
        ("no weights", "no network_weights"),
    ],
)
def test_checkpoints_that_are_refused(tmp_path, monkeypatch, how, message):
    """Nothing is left in the store, and nothing was run."""
    monkeypatch.chdir(tmp_path)
    folder = TRAINED.write(tmp_path / "x")
    torch.save(_spoilt(TRAINED.checkpoint(1), how), folder / "fold_2" / CHECKPOINT)
    with pytest.raises(InputError, match=message) as caught:
        import_nnunet(folder, tmp_path / "store")
    assert "fold_2" in str(caught.value)
    assert not (tmp_path / "harmed").exists()
    assert not list((tmp_path / "store").glob("*"))


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut"])
def test_checkpoints_that_cannot_be_opened(tmp_path, content):
    folder = TRAINED.write(tmp_path / "x")
    (folder / "fold_0" / CHECKPOINT).write_bytes(content)
    with pytest.raises(InputError, match="fold_0.*copy or download the folder again"):
        import_nnunet(folder, tmp_path / "store")


def test_a_truncated_checkpoint(tmp_path):
    folder = TRAINED.write(tmp_path / "x")
    path = folder / "fold_2" / CHECKPOINT
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(InputError, match="cannot be opened"):
        import_nnunet(folder, tmp_path / "store")
    assert not list((tmp_path / "store").glob("*"))
