"""Soft Dice: worked by hand, as the training loss has it, in any order of axes, and what is refused."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch

from synthseg_core.cli.main import main
from synthseg_core.errors import GeometryError, InputError
from synthseg_core.evaluation.comparison import LabelPair, Structure
from synthseg_core.evaluation.soft_overlap import soft_dice
from synthseg_core.system.tables import read_tsv
from synthseg_core.training.losses import one_hot
from synthseg_core.training.losses import soft_dice as soft_dice_of_training

AFFINE = np.diag([1.0, 1.5, 2.0, 1.0])
CHANNELS = (0, 7, 3)
ONE, OTHER, BOTH = Structure("one", (7,)), Structure("other", (3,)), Structure("both", (3, 7))


def write(path, posteriors, affine=AFFINE):
    """Write (N, I, J, K) as a 4-D image."""
    nib.save(nib.Nifti1Image(np.moveaxis(posteriors, 0, 3).astype(np.float32), affine), path)
    return path


def case(seed=3, shape=(5, 6, 7)):
    """Random posteriors and a reference that holds every label."""
    generator = np.random.default_rng(seed)
    posteriors = generator.dirichlet([1, 1, 1], shape)
    reference = np.array(CHANNELS)[generator.integers(0, 3, shape)]
    return np.moveaxis(posteriors, 3, 0), reference


def test_four_voxels_by_hand(tmp_path):
    posteriors = np.array([[0.9, 0.6, 0.2, 0.5], [0.1, 0.4, 0.8, 0.5]]).reshape(2, 4, 1, 1)
    reference = np.array([0, 0, 7, 7]).reshape(4, 1, 1)
    pair = LabelPair(reference, reference, AFFINE)
    (found,) = soft_dice(write(tmp_path / "p.nii.gz", posteriors), (0, 7), pair, [ONE])
    assert found == pytest.approx(1 - 0.150327, abs=1e-6)


def test_it_is_that_of_training_and_labels_add_up(tmp_path):
    posteriors, reference = case()
    path = write(tmp_path / "p.nii.gz", posteriors)
    found = soft_dice(path, CHANNELS, LabelPair(reference, reference, AFFINE), [ONE, OTHER, BOTH])
    index = torch.from_numpy(np.searchsorted([0, 3, 7], reference))[None]
    stored = torch.from_numpy(posteriors[[0, 2, 1]]).float()[None]
    expected = soft_dice_of_training(stored, one_hot(index, 3))[0]
    assert found[:2] == pytest.approx([float(expected[2]), float(expected[1])], abs=1e-5)
    joined, truth = posteriors[1] + posteriors[2], reference != 0
    assert found[2] == pytest.approx(2 * joined[truth].sum() / (truth.sum() + (joined**2).sum()), abs=1e-6)


def test_order_of_axes_does_not_matter(tmp_path):
    posteriors, reference = case()
    pair = LabelPair(reference, reference, AFFINE)
    turned = nib.Nifti1Image(np.moveaxis(posteriors, 0, 3).astype(np.float32), AFFINE)
    turned = turned.as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))
    nib.save(turned, tmp_path / "turned.nii.gz")
    straight = soft_dice(write(tmp_path / "p.nii.gz", posteriors), CHANNELS, pair, [ONE, BOTH])
    assert soft_dice(tmp_path / "turned.nii.gz", CHANNELS, pair, [ONE, BOTH]) == pytest.approx(straight, abs=1e-6)


def test_voxels_that_are_left_out(tmp_path):
    posteriors, reference = case()
    ignore = np.zeros(reference.shape, bool)
    ignore[3:] = True
    path = write(tmp_path / "p.nii.gz", posteriors)
    part = write(tmp_path / "part.nii.gz", posteriors[:, :3])
    found = soft_dice(path, CHANNELS, LabelPair(reference, reference, AFFINE, ignore), [ONE])
    expected = soft_dice(part, CHANNELS, LabelPair(reference[:3], reference[:3], AFFINE), [ONE])
    assert found == pytest.approx(expected, abs=1e-6)


def test_what_has_no_value(tmp_path):
    posteriors, reference = case()
    reference[reference == 7] = 0
    pair = LabelPair(reference, reference, AFFINE)
    found = soft_dice(write(tmp_path / "p.nii.gz", posteriors), CHANNELS, pair, [ONE, Structure("none", (99,))])
    assert found == [None, None]


@pytest.mark.parametrize(
    ("channels", "affine", "error", "said"),
    [
        ((0, 7), AFFINE, InputError, "shape 5 x 6 x 7 x 3; expected 4-D posteriors of 2 labels"),
        (CHANNELS, np.eye(4), GeometryError, "on a grid of 5 x 6 x 7 voxels; expected the grid of the comparison"),
    ],
)
def test_refuses_other_channels_and_grids(tmp_path, channels, affine, error, said):
    posteriors, reference = case()
    path = write(tmp_path / "p.nii.gz", posteriors, affine)
    with pytest.raises(error, match=said):
        soft_dice(path, channels, LabelPair(reference, reference, AFFINE), [ONE])


def test_the_command_has_a_column_for_it(tmp_path, capsys):
    posteriors, reference = case()
    for name in ("truth", "found", "soft"):
        (tmp_path / name).mkdir()
    for name in ("truth", "found"):
        nib.save(nib.Nifti1Image(reference.astype(np.int16), AFFINE), tmp_path / name / "a.nii.gz")
    path = write(tmp_path / "soft" / "a.nii.gz", posteriors)
    words = ["evaluate", "--reference", str(tmp_path / "truth"), "--segmentation", str(tmp_path / "found"), "--no-page"]
    words += ["--no-surfaces", "--jobs", "1", "--out", str(tmp_path / "out"), "--posteriors", str(tmp_path / "soft")]
    assert main(words) == 2
    assert "--posterior-labels: found none" in capsys.readouterr().err
    assert main([*words, "--posterior-labels", *map(str, CHANNELS)]) == 0
    rows = {row["labels"]: float(row["soft_dice"]) for row in read_tsv(tmp_path / "out" / "evaluation.tsv")}
    expected = soft_dice(path, CHANNELS, LabelPair(reference, reference, AFFINE), [OTHER, ONE])
    assert [rows["3"], rows["7"]] == pytest.approx(expected, abs=1e-4)
    assert main([*words, "--posterior-labels", "0", "7"]) == 2
    assert main([*words[:-1], f"absent={tmp_path / 'soft'}", "--posterior-labels", "0", "7", "3"]) == 2
    assert "--posteriors: found the name absent; expected models that are compared: found" in capsys.readouterr().err
