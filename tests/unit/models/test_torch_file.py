"""Checkpoints of torch: arrays alone are read, whatever could run is refused, faults are told."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from synthseg_core.errors import WeightsError
from synthseg_core.models.arrays import load_state
from synthseg_core.networks.arrays import array_shapes
from synthseg_core.networks.config import NetworkSpec
from tests.phantoms.basic_unet import SMALL, random_net

SPEC = NetworkSpec("segmenter", "unet", SMALL)


def _state() -> dict[str, torch.Tensor]:
    return dict(random_net().state_dict())


@pytest.mark.parametrize("wrapper", ["", "module.", "module._orig_mod."])
def test_a_state_dict_whatever_was_around_the_network(tmp_path, wrapper):
    state = _state()
    torch.save({f"{wrapper}{name}": value for name, value in state.items()}, tmp_path / "model_best.pth")
    found = load_state(tmp_path / "model_best.pth", SPEC)
    assert list(found) == list(array_shapes(SMALL))
    for name, array in found.items():
        np.testing.assert_array_equal(array, state[name].numpy())


def test_other_number_formats_become_float32(tmp_path):
    torch.save({name: value.bfloat16() for name, value in _state().items()}, tmp_path / "a.pth")
    assert {array.dtype for array in load_state(tmp_path / "a.pth", SPEC).values()} == {np.dtype("float32")}


class _Attack:
    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self):
        return os.mkdir, (str(self.proof),)


def test_nothing_in_a_checkpoint_runs(tmp_path):
    proof = tmp_path / "proof"
    torch.save({**_state(), "extra": _Attack(proof)}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"a\.pth: found a checkpoint that is refused \(.*GLOBAL posix\.mkdir"):
        load_state(tmp_path / "a.pth", SPEC)
    assert not proof.exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.pop("final_conv.bias"), "no array final_conv.bias"),
        (lambda state: state.update(head=torch.zeros(2)), "an unknown array head"),
        (lambda state: state.update({"final_conv.bias": torch.zeros(7)}), r"bias of shape \(7,\) instead of \(4,\)"),
        (lambda state: state["final_conv.bias"].fill_(float("nan")), "values in final_conv.bias that are not finite"),
        (lambda state: state.update(epoch=3), "more than the arrays of one network"),
    ],
)
def test_faults_are_told(tmp_path, change, said):
    state = _state()
    change(state)
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=said):
        load_state(tmp_path / "a.pth", SPEC)


def test_archives_that_are_no_checkpoint_and_cut_ones(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        archive.writestr("readme", "nothing")
    with pytest.raises(WeightsError, match="a checkpoint that cannot be opened"):
        load_state(tmp_path / "a.pth", SPEC)
    torch.save(_state(), tmp_path / "b.pth")
    whole = (tmp_path / "b.pth").read_bytes()
    for size in range(10, len(whole), len(whole) // 7):
        (tmp_path / "b.pth").write_bytes(whole[:size])
        with pytest.raises(WeightsError):
            load_state(tmp_path / "b.pth", SPEC)
