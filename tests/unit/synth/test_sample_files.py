"""Files of samples: names, records, and where crops lie."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from synthseg_core.cli.main import main
from synthseg_core.images.volume import Volume
from synthseg_core.synth import GenerationLabels, read_recipe
from synthseg_core.synth.sample_files import SampleRecord
from tests.phantoms.heads import head
from tests.phantoms.scans import oblique_affine, reoriented, write_nifti

SMALL = ["--set", "crop.shape=[32,40,36]", "--set", "crop.multiple=4"]


STILL = {
    "deformation": {
        "rotation_deg": [0, 0],
        "shearing": [0, 0],
        "scaling": [1, 1],
        "elastic_std_voxels": 0,
    },
    "flip_probability": 0,
    "output_column": "value",
}


@pytest.fixture(scope="module")
def maps(tmp_path_factory) -> Path:
    """Two label maps, stored in two axis orders as (near) LIA and RAS."""
    folder = tmp_path_factory.mktemp("maps")
    labels = GenerationLabels.builtin()
    values = np.array(labels.values)
    for seed, (axes, flips) in enumerate([((0, 2, 1), (True, True, False)), ((0, 1, 2), (False,) * 3)]):
        volume = Volume(values[head(labels, seed=seed)], oblique_affine((1.0, 1.2, 0.9)))
        write_nifti(folder / f"head_{seed}.nii.gz", reoriented(volume, axes, flips), "int16")
    return folder


def generate(maps, out, *words, count=2, seed=5) -> int:
    numbers = ["--count", str(count), "--seed", str(seed)]
    return main(["generate", "--maps", str(maps), "--out", str(out), *numbers, *SMALL, *map(str, words)])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_files_of_samples(maps, tmp_path, capsys):
    assert generate(maps, tmp_path / "out") == 0
    names = [f"sample-000{k}_{what}" for k in (1, 2) for what in ("draw.json", "image.nii.gz", "labels.nii.gz")]
    assert sorted(contents(tmp_path / "out")) == ["contact_sheet.png", *names]
    image, labels = (nib.load(tmp_path / "out" / f"sample-0001_{what}.nii.gz") for what in ("image", "labels"))
    assert image.shape == labels.shape == (32, 40, 36)
    assert image.get_data_dtype() == np.float32
    assert labels.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(image.affine, labels.affine)
    assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
    assert 0 <= image.get_fdata().min() < image.get_fdata().max() <= 1
    assert set(np.unique(labels.get_fdata())) <= set(GenerationLabels.builtin().target_values)
    assert "2 samples made, 0 kept" in capsys.readouterr().out
    record = SampleRecord.read(tmp_path / "out" / "sample-0001_draw.json")
    assert record.recipe == read_recipe("official", {"crop.shape": [32, 40, 36], "crop.multiple": 4})
    assert record.brain_fraction == pytest.approx(np.mean(labels.get_fdata() > 0), abs=1e-4)


def test_crops_lie_where_they_were_cut_out(maps, tmp_path):
    """Voxel by voxel, through the world: labels of a sample without deformation are those of the map."""
    recipe = tmp_path / "still.json"
    recipe.write_text(json.dumps(STILL))
    assert generate(maps, tmp_path / "out", "--recipe", recipe, "--no-picture", count=4) == 0
    corners = set()
    for number in range(1, 5):
        record = SampleRecord.read(tmp_path / "out" / f"sample-000{number}_draw.json")
        found = nib.load(tmp_path / "out" / f"sample-000{number}_labels.nii.gz")
        source = nib.load(maps / f"{record.map_name}.nii.gz")
        corners.add(record.draw.corner)
        rng = np.random.default_rng(number)
        voxels = rng.integers(0, found.shape, (200, 3))
        world = nib.affines.apply_affine(found.affine, voxels)
        places = nib.affines.apply_affine(np.linalg.inv(source.affine), world)
        np.testing.assert_allclose(places, places.round(), atol=1e-3)
        expected = source.get_fdata()[tuple(places.round().astype(int).T)]
        np.testing.assert_array_equal(found.get_fdata()[tuple(voxels.T)], expected)
    assert len(corners) > 1
