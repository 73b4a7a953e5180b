"""Real scans with label maps: read to one grid, deformed together, mixed with synthetic ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from synthseg_core.cli.demo.heads import head
from synthseg_core.errors import GeometryError, InputError
from synthseg_core.images.pairs import paired
from synthseg_core.images.volume import Volume
from synthseg_core.images.writing import write_volume
from synthseg_core.labels.lists import GenerationLabels
from synthseg_core.synth.generator import BrainGenerator
from synthseg_core.synth.real_scans import MixedScans, RealScanGenerator, read_real_scans
from synthseg_core.synth.recipe import Recipe
from synthseg_core.synth.recipe_file import read_recipe

LABELS = GenerationLabels.builtin()
OBLIQUE = np.array([[0.96, -0.28, 0, 3], [0.28, 0.96, 0, -8], [0, 0, 1, 5], [0, 0, 0, 1]])


def write_pair(folder, number, voxel_size_mm=4.0, change=lambda volume: volume):
    """A head whose scan shows each label as its own intensity."""
    labels = change(head(number, voxel_size_mm))
    image = Volume((labels.data % 97 + 10.0 * (labels.data > 0)).astype(np.float32), labels.affine)
    for kind, volume in (("maps", labels), ("scans", image)):
        write_volume(folder / kind / f"sub-{number:02d}_{kind}.nii.gz", volume)


def read(folder, voxel_size_mm=None):
    return read_real_scans(paired([folder / "scans"], [folder / "maps"]), LABELS, voxel_size_mm)


def still(**changes) -> Recipe:
    """Nothing moves, nothing changes its contrast."""
    recipe = read_recipe("supervised")
    quiet = {
        "deformation": replace(
            recipe.deformation,
            rotation_deg=replace(recipe.deformation.rotation_deg, low=0, high=0),
            shearing=replace(recipe.deformation.shearing, low=0, high=0),
            scaling=replace(recipe.deformation.scaling, low=1, high=1),
            elastic_std_voxels=0,
        ),
        "crop": replace(recipe.crop, shape=None, multiple=None),
        "bias_field": replace(recipe.bias_field, max_std=0),
        "intensity": replace(recipe.intensity, gamma_std=0, noise_std=0),
        "flip_probability": 0.0,
    }
    return replace(recipe, **(quiet | changes))


def test_image_and_labels_stay_together_however_they_are_deformed(tmp_path):
    write_pair(tmp_path, 1)
    recipe = still(deformation=read_recipe("supervised").deformation, flip_probability=0.5)
    generator = RealScanGenerator(read(tmp_path), recipe)
    for seed in range(6):
        sample = generator.sample(seed)
        skin = sample.index_map > 0
        inside = sample.image[0][skin]
        assert float(inside.mean()) > float(sample.image[0][~skin].mean())
        # The cerebellar cortex (8 and 47) differs in intensity from the ventricles (4 and 43) in every deformation.
        means = [float(sample.image[0][sample.labels == value].median()) for value in (4, 8)]
        assert means[1] > means[0]


def test_mirroring_exchanges_labels_and_moves_the_scan(tmp_path):
    write_pair(tmp_path, 1)
    scans = read(tmp_path)
    plain = RealScanGenerator(scans, still()).sample(0)
    mirrored = RealScanGenerator(scans, still(flip_probability=1.0)).sample(0)
    torch.testing.assert_close(mirrored.image, plain.image.flip(1))
    assert torch.equal(mirrored.labels == 41, (plain.labels == 2).flip(0))


def test_a_scan_as_it_is(tmp_path):
    write_pair(tmp_path, 1)
    scans = read(tmp_path)
    image, classes = RealScanGenerator(scans, still()).as_they_are(0)
    torch.testing.assert_close(image[0, 0], scans.images[0] / 255, atol=1e-5, rtol=0)
    values = torch.tensor(LABELS.target_values)[classes.long()]
    expected = torch.tensor(LABELS.outputs)[scans.maps.indices[0].long()]
    assert torch.equal(values[0], expected)


def test_another_voxel_size_and_axes_are_brought_to_one_grid(tmp_path):
    write_pair(tmp_path, 1)
    write_pair(tmp_path, 2, 3.0, lambda one: Volume(one.data[::-1], OBLIQUE @ one.affine @ np.diag([-1, 1, 1, 1])))
    scans = read(tmp_path, 4.0)
    assert scans.maps.voxel_size == (4.0, 4.0, 4.0)
    assert scans.images.shape == scans.maps.indices.shape
    volumes_ml = [float((scans.maps.indices[n] > 0).sum()) * 0.064 for n in (0, 1)]
    assert volumes_ml[1] == pytest.approx(volumes_ml[0], rel=0.25)
    for image, index_map in zip(scans.images, scans.maps.indices, strict=True):
        assert float(image[index_map > 0].mean()) > 3 * float(image[index_map == 0].mean())


def test_pairs_that_do_not_fit_are_refused(tmp_path):
    write_pair(tmp_path, 1)
    write_volume(
        tmp_path / "scans" / "sub-01_scans.nii.gz", Volume(np.arange(120, dtype=np.float32).reshape(4, 5, 6), np.eye(4))
    )
    with pytest.raises(GeometryError, match="sub-01_scans.nii.gz: found 4 x 5 x 6 voxels"):
        read(tmp_path)
    (tmp_path / "scans" / "sub-02_scans.nii.gz").write_bytes(b"")
    with pytest.raises(InputError, match="2 scans for 1 label map"):
        read(tmp_path)


def test_a_scan_of_next_to_one_intensity_is_refused(tmp_path):
    write_pair(tmp_path, 1)
    flat = head(1, 4.0)
    data = np.zeros(flat.shape, np.float32)
    data[3, 4, 5] = 7
    write_volume(tmp_path / "scans" / "sub-01_scans.nii.gz", Volume(data, flat.affine))
    with pytest.raises(InputError, match="one intensity in 99 % of the voxels"):
        read(tmp_path)


def test_synthetic_samples_come_in_their_share(tmp_path):
    write_pair(tmp_path, 1)
    scans, recipe = read(tmp_path), still(crop=replace(read_recipe("tiny").crop, shape=(16, 16, 16)))
    real, synthetic = RealScanGenerator(scans, recipe), BrainGenerator(scans.maps, replace(recipe, order="bias_first"))
    mixed = MixedScans(real, synthetic, 0.25)
    seeds = range(200)
    chosen = [mixed._source(seed) is synthetic for seed in seeds]
    assert 25 <= sum(chosen) <= 80
    kinds = [synthetic if one else real for one in chosen]
    for seed in (0, chosen.index(True)):
        assert torch.equal(mixed.batch([seed])[0], kinds[seed].batch([seed])[0])
        assert mixed.draw(seed).seed == seed
