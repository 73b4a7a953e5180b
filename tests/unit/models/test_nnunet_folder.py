"""Folders of nnU-Net v2: what is understood of them, and what is refused with a reason."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from synthseg_core.errors import InputError
from synthseg_core.images.spline import SplineRule
from synthseg_core.models.nnunet_folder import NnUNetFolder
from tests.phantoms.nnunet import PLAIN, RESIDUAL, TrainedFolder

NAME = "3d_fullres"
TRAINED = TrainedFolder()


def _read(folder, trained: TrainedFolder = TRAINED) -> NnUNetFolder:
    return NnUNetFolder.read(trained.write(folder))


@pytest.mark.parametrize("config", [RESIDUAL, PLAIN, replace(RESIDUAL, bias=False, slope=0.02)])
def test_networks(tmp_path, config):
    trained = replace(TRAINED, config=config, architecture={"nonlin_kwargs": {"negative_slope": config.slope}})
    assert _read(tmp_path, trained).network(NAME) == config


def test_one_number_stands_for_all_stages(tmp_path):
    short = {"features_per_stage": 5, "kernel_sizes": 3, "n_blocks_per_stage": 2, "n_conv_per_stage_decoder": 1}
    found = _read(tmp_path, replace(TRAINED, architecture=short)).network(NAME)
    assert (found.features, found.blocks, found.decoder_convolutions) == ((5, 5, 5), (2, 2, 2), (1, 1))
    assert found.kernels == ((3, 3, 3),) * 3


def test_plans_from_before_2024(tmp_path):
    """They name the network by its parts, and widths by the first one and a bound."""
    folder = _read(tmp_path)
    old = {
        "UNet_class_name": "PlainConvUNet",
        "UNet_base_num_features": 4,
        "unet_max_num_features": 6,
        "conv_kernel_sizes": PLAIN.kernels,
        "pool_op_kernel_sizes": PLAIN.strides,
        "n_conv_per_stage_encoder": PLAIN.blocks,
        "n_conv_per_stage_decoder": PLAIN.decoder_convolutions,
    }
    folder = replace(folder, plans={**folder.plans, "configurations": {NAME: old}})
    assert folder.network(NAME) == replace(PLAIN, out_channels=4)


def test_plan(tmp_path):
    plan = _read(tmp_path, replace(TRAINED, separate=False, transpose=(2, 0, 1))).plan(NAME, "RAS")
    assert (plan.spacing_mm, plan.patch_voxels) == ((1.1, 1.0, 0.9), (8, 12, 16))
    assert (plan.transpose, plan.orientation, plan.normalisation) == ((2, 0, 1), "RAS", "zscore")
    assert (plan.image, plan.logits) == (SplineRule(3, 0, "never"), SplineRule(1, 0, "never"))


def test_rules_that_a_plan_leaves_out(tmp_path):
    """As nnU-Net's own function has them: order 3, never a separate axis."""
    folder = _read(tmp_path)
    configuration = {**folder.configuration(NAME)}
    for kind in ("data", "probabilities"):
        configuration[f"resampling_fn_{kind}_kwargs"] = {"is_seg": False}
    plan = replace(folder, plans={**folder.plans, "configurations": {NAME: configuration}}).plan(NAME, "stored")
    assert plan.image == plan.logits == SplineRule(3, 0, "never")


def test_ct_takes_the_intensities_of_its_training(tmp_path):
    plan = _read(tmp_path, replace(TRAINED, normalisation="CTNormalization")).plan(NAME, "stored")
    assert plan.intensities["percentile_99_5"] == 150


def test_configurations_inherit(tmp_path):
    folder = _read(tmp_path)
    base = folder.configuration(NAME)
    heir = {"inherits_from": NAME, "patch_size": (16, 16, 16)}
    folder = replace(folder, plans={**folder.plans, "configurations": {NAME: base, "mine": heir}})
    assert folder.plan("mine", "stored").patch_voxels == (16, 16, 16)
    assert folder.plan("mine", "stored").spacing_mm == (1.1, 1.0, 0.9)


def test_folds_as_nnunet_finds_them(tmp_path):
    """``fold_all`` and a fold that was not finished do not count; ten comes after two."""
    folder = _read(tmp_path, replace(TRAINED, folds=("2", "10", "all", "0")))
    (tmp_path / "fold_1").mkdir()
    assert list(folder.checkpoints()) == [0, 2, 10]


def test_an_ignored_label_is_no_label(tmp_path):
    labels = {"background": 0, "b": 2, "a": 1, "c": 3, "ignore": 4}
    assert _read(tmp_path, replace(TRAINED, dataset={"labels": labels})).labels() == {
        0: "background",
        1: "a",
        2: "b",
        3: "c",
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dataset": {"labels": {"background": 0, "whole": [1, 2]}}}, "labels that are regions"),
        ({"dataset": {"labels": {"background": 0, "a": 2}}}, r"found labels \[0, 2\]"),
        ({"dataset": {"labels": None}}, "no labels"),
        ({"dataset": {"channel_names": {"0": "T1", "1": "T2"}}}, "2 input channels; expected one"),
        ({"normalisation": "Mine"}, "normalisation 'Mine'"),
        ({"spacing": (1.0, 1.0)}, "a plan that cannot be understood"),
        ({"transpose": (0, 1, 1)}, r"plans.json: plan: found transpose \(0, 1, 1\)"),
        (
            {"architecture": {"norm_op": "torch.nn.BatchNorm3d"}},
            "norm_op torch.nn.BatchNorm3d; expected InstanceNorm3d",
        ),
        ({"architecture": {"dropout_op": "torch.nn.Dropout3d"}}, "dropout_op"),
        ({"architecture": {"conv_op": "torch.nn.Conv2d"}}, "expected Conv3d"),
        ({"architecture": {"squeeze_excitation": True}}, "options squeeze_excitation of ResidualEncoderUNet"),
        ({"plan": {"configurations": {"2d": {}}}}, "configuration '3d_fullres'; expected one of 2d"),
        ({"plan": {"configurations": {NAME: {"inherits_from": NAME}}}}, "configuration '3d_fullres'"),
    ],
)
def test_what_is_not_understood(tmp_path, change, message):
    folder = _read(tmp_path, replace(TRAINED, **change))
    with pytest.raises(InputError, match=message):
        _ = folder.plan(NAME, "stored"), folder.network(NAME)


@pytest.mark.parametrize("name", ["plans.json", "dataset.json"])
def test_files_that_are_missing_or_damaged(tmp_path, name):
    TRAINED.write(tmp_path)
    (tmp_path / name).write_text("{")
    with pytest.raises(InputError, match=f"{name}: found no readable"):
        NnUNetFolder.read(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match="give the folder that holds plans.json, dataset.json and fold_0"):
        NnUNetFolder.read(tmp_path)


def test_json_that_is_no_mapping(tmp_path):
    TRAINED.write(tmp_path)
    (tmp_path / "plans.json").write_text(json.dumps([1]))
    with pytest.raises(InputError, match="no entries with names"):
        NnUNetFolder.read(tmp_path)
