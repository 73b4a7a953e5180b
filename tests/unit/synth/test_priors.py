"""Tables of intensity priors."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from synthseg_core.cli.main import main
from synthseg_core.images.volume import Volume
from synthseg_core.labels.lists import GenerationLabels
from synthseg_core.synth.prior_estimation import (
    class_map,
)
from synthseg_core.synth.priors import IntensityPriors
from tests.phantoms.label_maps import label_volume, write_list
from tests.phantoms.scans import reoriented, write_nifti

MEANS = np.array([3.0, 60.0, 120.0, 200.0])


def _image(label_map, labels, seed=0, means=MEANS):
    """One intensity a class, brighter by the seed, with noise."""
    rng = np.random.default_rng(seed)
    classes = class_map(label_map, labels, Path("map"))
    return means[classes] + 4 * seed + rng.normal(0, 2.0, label_map.shape)


@pytest.fixture
def labels(tmp_path):
    return GenerationLabels.read(write_list(tmp_path / "list.tsv"))


@pytest.fixture
def cohort(tmp_path, labels):
    """Two subjects: maps in one folder, scans in another, stored in another axis order."""
    for seed in (1, 2):
        volume = label_volume(seed=seed)
        write_nifti(tmp_path / "maps" / f"sub-0{seed}_dseg.nii.gz", volume, "int16")
        image = Volume(_image(volume.data, labels, seed), volume.affine)
        path = tmp_path / "T1w" / f"sub-0{seed}_T1w.nii.gz"
        write_nifti(path, reoriented(image, (1, 2, 0), (False, True, False)))
    return tmp_path


def _run(cohort, *options):
    out = cohort / "priors.tsv"
    arguments = {"--images": [cohort / "T1w"], "--maps": [cohort / "maps"], "--labels": [cohort / "list.tsv"]}
    words = [str(word) for key, values in arguments.items() for word in (key, *values)]
    return main(["priors", *words, "--out", str(out), *map(str, options)]), out


def test_rescaled_priors_do_not_depend_on_the_unit(cohort):
    _, out = _run(cohort)
    first = np.array(IntensityPriors.read(out).means)
    for path in (cohort / "T1w").iterdir():
        image = nib.load(path)
        write_nifti(path, Volume(np.asarray(image.dataobj) * 17.0, image.affine))
    second = np.array(IntensityPriors.read(_run(cohort)[1]).means)
    np.testing.assert_allclose(first, second, atol=1e-3)
    assert first.max() <= 255
    assert "mapped to 0 and 255" in out.read_text()


def test_skull_stripped_scans(cohort, capsys):
    """One voxel in a hundred is tissue: by percentiles of all voxels most of it lies at the upper end."""
    for seed in (1, 2):
        shape = (40, 41, 42)
        label_map = np.zeros(shape, np.int16)
        label_map[5:15, 5:15, 5:15] = 24
        label_map[20:30, 5:15, 5:15] = 2
        image = np.where(label_map == 24, 50.0, 0) + np.where(label_map == 2, 150.0, 0)
        image[image > 0] += np.random.default_rng(seed).normal(0, 9, 2000)
        write_nifti(cohort / "maps" / f"sub-0{seed}_dseg.nii.gz", Volume(label_map, np.eye(4)), "int16")
        write_nifti(cohort / "T1w" / f"sub-0{seed}_T1w.nii.gz", Volume(image, np.eye(4)))
    assert _run(cohort)[0] == 0
    assert (
        "class 2 lies at the upper end, where it is clipped; if the scans are skull-stripped" in capsys.readouterr().err
    )
    status, out = _run(cohort, "--scale", "above-zero")
    assert status == 0
    assert "upper end" not in capsys.readouterr().err
    assert 150 < IntensityPriors.read(out).means[0][2][0] < 255
    assert "of the voxels above 0 of each scan" in out.read_text()
