"""The last network of the robust chain, and the chain that it becomes."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch

from synthseg_core.cli.main import main
from synthseg_core.errors import UsageError
from synthseg_core.models.arrays import load_state
from synthseg_core.models.registry import load_card
from tests.phantoms.scans import phantom, write_nifti
from tests.unit.training.tasks.small import denoiser_model, experiment, first_model, groups_model, prepared


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chain")
    groups = groups_model(folder)
    denoiser = denoiser_model(folder, groups)
    found = prepared(folder, experiment("tiny_robust"), group_segmenter=groups, denoiser=denoiser)
    return groups, denoiser, found, first_model(found, folder / "chain")


def test_samples_have_image_and_groups(chain):
    images, truth = chain[2].source.batch([3])
    assert images.shape == (1, 6, 24, 32, 24)
    assert set(images[0, 1:].unique().tolist()) == {0.0, 1.0}
    assert truth.max() > 4


def test_the_chain_holds_the_networks_that_it_was_built_on(chain):
    groups, denoiser, found, path = chain
    card = load_card(path)
    assert [spec.role for spec in card.networks] == ["group_segmenter", "denoiser", "segmenter"]
    assert [spec.prefix for spec in card.networks] == ["unet", "l2l", "unet2"]
    for spec, source in zip(card.networks, (groups, denoiser), strict=False):
        own = load_card(source)
        expected = load_state(source.parent / own.weights.file, own.networks[0])
        stored = load_state(path.parent / card.weights.file, spec)
        assert all(np.array_equal(stored[name], array) for name, array in expected.items())
    assert set(found.data["chain"]) == {"group_segmenter", "denoiser"}


def test_the_chain_segments_a_scan(chain, tmp_path):
    scan, out = write_nifti(tmp_path / "scan.nii.gz", phantom((1.5, 1.0, 2.5))), tmp_path / "dseg.nii.gz"
    assert main(["segment", str(scan), "--model", str(chain[3]), "--dseg", str(out), "--threads", "1"]) == 0
    assert nib.load(out).shape == nib.load(scan).shape


def test_the_flag_robust_takes_a_chain_of_ones_own_and_no_single_network(chain, tmp_path, capsys):
    scan = write_nifti(tmp_path / "scan.nii.gz", phantom((1.5, 1.0, 2.5)))
    words = ["predict", "--i", str(scan), "--o", str(tmp_path / "out.nii.gz"), "--robust", "--cpu"]
    assert main([*words, "--model", str(chain[3])]) == 0
    assert main([*words, "--model", str(chain[0])]) == 2
    assert "a model of one network; expected one of them, or a model of three networks" in capsys.readouterr().err


def test_groups_are_given_to_the_network(tmp_path):
    wanted = experiment("tiny", task="robust", recipe={"output_column": "output"})
    with pytest.raises(UsageError, match="group_channels: found none in the task robust"):
        prepared(tmp_path, wanted, group_segmenter=tmp_path, denoiser=tmp_path)


def test_the_seed_decides_about_the_samples(chain):
    source = chain[2].source
    first, again, other = (source.batch([seed])[0] for seed in (7, 7, 8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
