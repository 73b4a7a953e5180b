"""Measure memory and time of an nnU-Net of the size of SIAM 0.3, here and in nnunetv2's own predictor.

Weights are random: the stock class draws and stores them. The scan is one patch large, so that a run is a patch, with
reading, resampling and writing. Both sides compute one fold on the CPU, file in, file out, one after the other. Prints
a JSON line for each run: seconds, and the peak memory of its process.

    python tests/benchmarks/bench_nnunet.py --stock ENVIRONMENT/bin/python [--patch I J K] [--threads N] [--repeat N]

``--stock`` is the Python of an environment with nnunetv2; without it there is nothing to compare with.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SPACING_MM = 0.75
LABELS = 18
FEATURES = (32, 64, 128, 256, 320, 320, 320)
BLOCKS = (1, 3, 4, 6, 6, 6, 6)
_SCRATCH = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
_MIB = 2**20


def main() -> int:
    """Build the model, run both sides, and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stock", required=True, help="Python of an environment with nnunetv2")
    parser.add_argument("--patch", type=int, nargs=3, default=(256, 256, 192), metavar="N", help="voxels")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--part", choices=("build", "predict"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part == "build":
        return _build(args.folder)
    if args.part == "predict":
        return _predict(args.folder, args.threads)
    with tempfile.TemporaryDirectory() as name:
        _compare(args, Path(name))
    return 0


def _compare(args: argparse.Namespace, folder: Path) -> None:
    from tests.phantoms.scans import phantom, write_nifti

    (folder / "model").mkdir()
    (folder / "model" / "plans.json").write_text(json.dumps(_plans(args.patch)))
    labels = {"background": 0, **{f"tissue {n}": n for n in range(1, LABELS)}}
    dataset = {"channel_names": {"0": "MRI"}, "labels": labels, "file_ending": ".nii.gz"}
    (folder / "model" / "dataset.json").write_text(json.dumps(dataset))
    write_nifti(folder / "scan.nii.gz", phantom((SPACING_MM,) * 3, shape=tuple(args.patch)))
    stock = [args.stock, __file__, "--stock", args.stock, "--folder", str(folder), "--threads", str(args.threads)]
    ours = [sys.executable, "-m", "synthseg_core.cli.main"]
    _timed([*stock, "--part", "build"])
    _timed([*ours, "models", "import", str(folder / "model"), "--name", "bench", "--to", str(folder)])
    card = next(folder.glob("**/bench.yaml"))
    scan = ["segment", str(folder / "scan.nii.gz"), "--model", str(card), "--dseg", str(folder / "ours.nii.gz")]
    sides = {"nnunetv2": [*stock, "--part", "predict"], "ours": [*ours, *scan, "--threads", str(args.threads)]}
    for _ in range(args.repeat):
        for name, command in sides.items():
            seconds, peak_mib = _timed(command)
            facts = {"side": name, "patch": list(args.patch), "threads": args.threads, "seconds": round(seconds, 1)}
            print(json.dumps({**facts, "peak_mib": round(peak_mib), "load": os.getloadavg()[0]}), flush=True)
    print(json.dumps({"equal_voxels": _equal(folder / "ours.nii.gz", folder / "stock.nii.gz")}))


def _timed(command: list[str]) -> tuple[float, float]:
    """Run a command; return its seconds and the peak memory of its process, MiB."""
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as child:
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {child.returncode}")
    return time.monotonic() - began, usage.ru_maxrss * 1024 / _MIB


def _equal(one: Path, other: Path) -> float:
    """Return the share of voxels with equal labels."""
    import nibabel as nib
    import numpy as np

    first, second = (np.asarray(nib.load(path).dataobj) for path in (one, other))  # type: ignore[attr-defined]
    return float((first == second).mean())


def _plans(patch: list[int]) -> dict[str, Any]:
    """Return the plans of a folder, with the keys that stock programs read."""

    def resampling(order: int, *, is_seg: bool) -> dict[str, Any]:
        return {"is_seg": is_seg, "order": order, "order_z": 0, "force_separate_z": None}

    stages = len(FEATURES)
    architecture = {
        "n_stages": stages,
        "features_per_stage": FEATURES,
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [[3, 3, 3]] * stages,
        "strides": [[1, 1, 1], *[[2, 2, 2]] * (stages - 2), [2, 2, 1]],
        "n_blocks_per_stage": BLOCKS,
        "n_conv_per_stage_decoder": [1] * (stages - 1),
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    names = ("resampling_fn_data", "resampling_fn_seg", "resampling_fn_probabilities")
    configuration = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": patch,
        "spacing": [SPACING_MM] * 3,
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        **dict.fromkeys(names, "resample_data_or_seg_to_shape"),
        "resampling_fn_data_kwargs": resampling(3, is_seg=False),
        "resampling_fn_seg_kwargs": resampling(1, is_seg=True),
        "resampling_fn_probabilities_kwargs": resampling(1, is_seg=False),
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet",
            "arch_kwargs": architecture,
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
        "batch_dice": False,
    }
    intensity = {"percentile_00_5": 5.0, "percentile_99_5": 150.0, "mean": 80.0, "std": 40.0, "min": 0.0, "max": 200.0}
    return {
        "dataset_name": "Dataset900_Bench",
        "plans_name": "nnUNetPlans",
        "image_reader_writer": "SimpleITKIO",
        "label_manager": "LabelManager",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"3d_fullres": configuration},
        "foreground_intensity_properties_per_channel": {"0": {**intensity, "median": 70.0}},
    }


def _stock_network(model: Path) -> tuple[Any, Any, dict[str, Any]]:
    """Return plans, network and dataset; in the environment with nnunetv2."""
    os.environ.update(dict.fromkeys(_SCRATCH, tempfile.gettempdir()), nnUNet_compile="F")
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans  # type: ignore[import-not-found]
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager  # type: ignore[import-not-found]

    plans = PlansManager(json.loads((model / "plans.json").read_text()))
    found = plans.get_configuration("3d_fullres")
    network = get_network_from_plans(
        found.network_arch_class_name,
        found.network_arch_init_kwargs,
        found.network_arch_init_kwargs_req_import,
        1,
        LABELS,
        allow_init=True,
        deep_supervision=False,
    )
    return plans, network, json.loads((model / "dataset.json").read_text())


def _build(folder: Path) -> int:
    """Store the random weights of the stock network as a checkpoint."""
    import torch

    torch.manual_seed(0)
    _, network, _ = _stock_network(folder / "model")
    (folder / "model" / "fold_0").mkdir()
    content = {
        "network_weights": network.state_dict(),
        "init_args": {"configuration": "3d_fullres", "fold": 0},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": None,
    }
    torch.save(content, folder / "model" / "fold_0" / "checkpoint_final.pth")
    return 0


def _predict(folder: Path, threads: int) -> int:
    """Predict with nnunetv2's predictor and SIAM's settings, without worker processes."""
    import torch

    torch.set_num_threads(threads)
    plans, network, dataset = _stock_network(folder / "model")
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor  # type: ignore[import-not-found]

    predictor = nnUNetPredictor(
        tile_step_size=0.5,
        use_gaussian=True,
        use_mirroring=False,
        perform_everything_on_device=False,
        device=torch.device("cpu"),
        allow_tqdm=False,
    )
    stored = torch.load(folder / "model" / "fold_0" / "checkpoint_final.pth", map_location="cpu", weights_only=True)
    configuration = plans.get_configuration("3d_fullres")
    weights = [stored["network_weights"]]
    predictor.manual_initialization(network, plans, configuration, weights, dataset, stored["trainer_name"], None)
    predictor.predict_from_files_sequential([[str(folder / "scan.nii.gz")]], [str(folder / "stock")])
    return 0


if __name__ == "__main__":
    sys.exit(main())
