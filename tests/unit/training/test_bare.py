"""Training runs with nothing but torch, NumPy and nibabel: the rest is hidden from a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from synthseg_core.images.volume import Volume
from synthseg_core.images.writing import write_volume

HIDDEN = ("scipy", "pandas", "yaml", "h5py", "safetensors", "matplotlib", "tensorboard", "sklearn")
SCRIPT = """
import sys
from importlib.machinery import PathFinder

hidden = sys.argv[1].split(",")
find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name.partition(".")[0] in hidden else find(name, *rest)
from synthseg_core.cli.main import main
sys.exit(main(sys.argv[2:]))
"""


def test_train_and_export_with_three_packages(tmp_path):
    labels = np.zeros((24, 32, 28), np.int16)
    labels[2:-2, 2:-2, 2:-2] = 24
    labels[6:12, 8:24, 8:20], labels[12:18, 8:24, 8:20] = 2, 41
    write_volume(tmp_path / "head.nii.gz", Volume(labels, np.diag([1.0, 1.0, 1.0, 1.0])))
    out = tmp_path / "run"
    words = ["train", "--preset", "tiny", "--maps", tmp_path / "head.nii.gz", "--out", out, "--steps", "2"]
    words += ["--precision", "float32", "--device", "cpu", "--threads", "1"]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, ",".join(HIDDEN), *map(str, words)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "matplotlib is not installed" in done.stderr
    assert {path.name for path in (out / "model").iterdir()} == {"card.yaml", "labels.tsv", "weights.safetensors"}
