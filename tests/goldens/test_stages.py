"""Networks of full size, one stage after the other, against everything in one process."""

from __future__ import annotations

import os

import nibabel as nib
import numpy as np
import pytest

from synthseg_core.cli.main import main
from synthseg_core.images.reading import read_scan
from synthseg_core.models.loading import load_models
from synthseg_core.models.registry import load_card
from synthseg_core.networks.devices import use_threads
from synthseg_core.segmentation.quality import quality_tsv
from synthseg_core.segmentation.segment import segment_scan

pytestmark = [pytest.mark.golden, pytest.mark.weights, pytest.mark.slow]

THREADS = min(2, os.cpu_count() or 1)


def _run(*words) -> None:
    assert main([str(word) for word in (*words, "--threads", THREADS, "--device", "cpu")]) == 0


def test_stages_give_the_bits_of_one_run(goldens, reference_weights, tmp_path):
    """A scan that is resampled, so that its own grid and the network's differ."""
    scan = goldens / "inputs/e2e_t1.nii.gz"
    names = {"dseg": "seg.nii.gz", "dseg-1mm": "seg-1mm.nii.gz", "decision": "d.npz"}
    model = ("--model", "synthseg-2.0", "--weights", reference_weights)
    _run("segment", scan, *model, *(w for n, f in names.items() for w in (f"--{n}", tmp_path / f)))
    made = ("--decision", tmp_path / "d.npz")
    maps = ("--segmentation", tmp_path / "seg.nii.gz", "--segmentation-1mm", tmp_path / "seg-1mm.nii.gz")
    names = {"dseg": "parcels.nii.gz", "dseg-1mm": "parcels-1mm.nii.gz", "volumes": "parcels.tsv"}
    outputs = [word for name, file in names.items() for word in (f"--{name}", tmp_path / file)]
    _run("parcellate", scan, *model, *made, *maps, *outputs)
    _run("qc", *model, *made, "--scores", tmp_path / "scores.tsv")

    use_threads(THREADS)
    models = load_models(load_card("synthseg-2.0"), weights=reference_weights, parcellation=True, quality=True)
    together = segment_scan(read_scan(scan), models)
    one_mm = np.asarray(nib.load(tmp_path / "parcels-1mm.nii.gz").dataobj)
    np.testing.assert_array_equal(one_mm, together.label_map.data)
    parcels = [line for line in together.volumes.to_tsv().splitlines() if line.split("\t")[1].startswith("ctx-")]
    assert (tmp_path / "parcels.tsv").read_text().splitlines()[1:] == parcels
    assert (tmp_path / "scores.tsv").read_text() == quality_tsv(together.quality)

    before, after = (np.asarray(nib.load(tmp_path / file).dataobj) for file in ("seg.nii.gz", "parcels.nii.gz"))
    assert np.isin(before, (3, 42)).mean() > 0.001
    for side, cortex in ((1000, 3), (2000, 42)):
        assert set(np.unique(after[before == cortex]) // 1000) == {side // 1000}
    structures = ~np.isin(before, (3, 42))
    np.testing.assert_array_equal(after[structures], before[structures])
