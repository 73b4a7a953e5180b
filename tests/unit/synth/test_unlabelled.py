"""Classes for unlabelled voxels: found on made-up tissues, equal in every file, reproducible, never over a label."""

from __future__ import annotations

import json
import sys

import nibabel as nib
import numpy as np
import pytest

from synthseg_core.cli.main import main
from synthseg_core.errors import InputError, UsageError
from synthseg_core.images.volume import Volume
from synthseg_core.labels.known import FIRST_TISSUE
from synthseg_core.labels.lists import GenerationLabels
from synthseg_core.synth.unlabelled import (
    TissueMixture,
    check_classes,
    fill_unlabelled,
    fit_mixture,
    sample_unlabelled,
)
from tests.phantoms.scans import oblique_affine, reoriented, write_nifti

SHAPE = (20, 26, 14)
# Air, then three tissues, from left to right in slabs of unequal thickness; the label is a box in the brightest one.
LEVELS, EDGES = (0.0, 400.0, 700.0, 1000.0), (0, 7, 12, 16, 20)
THREE = TissueMixture((0.5, 0.3, 0.2), (0.0, 100.0, 200.0), (5.0, 10.0, 10.0))


def _truth() -> np.ndarray:
    return np.searchsorted(EDGES, np.arange(SHAPE[0]), side="right")[:, None, None] - 1 + np.zeros(SHAPE, int)


def _pair(seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    image = (np.array(LEVELS)[_truth()] + rng.normal(0, 12, SHAPE) + 40) * scale
    label_map = np.zeros(SHAPE, np.int32)
    label_map[17:19, 5 : 9 + seed, 4:8] = 10
    affine = oblique_affine((1.0, 1.1, 1.3))
    return Volume(image, affine), Volume(label_map, affine)


def _write(folder, seeds=(0,), scale=lambda seed: 1.0, turn=((0, 1, 2), (False, False, False))):
    for seed in seeds:
        image, label_map = _pair(seed, scale(seed))
        write_nifti(folder / "scans" / f"s{seed}.nii.gz", image)
        write_nifti(folder / "maps" / f"m{seed}.nii.gz", reoriented(label_map, *turn), "uint8")


def _cluster(folder, *options, image="scans/s0.nii.gz", labels="maps/m0.nii.gz", out="out.nii.gz"):
    words = ["--image", folder / image, "--labels", folder / labels, "--out", folder / out, *options]
    return main(["labels", "cluster", *map(str, words)])


def _voxels(path):
    return np.asanyarray(nib.load(path).dataobj)


def test_classes_are_ordered_by_intensity_whatever_the_fit_finds_first():
    rng = np.random.default_rng(1)
    samples = np.concatenate([rng.normal(mean, 3, 400) for mean in (200, 20, 90)])
    for seed in range(5):
        mixture = fit_mixture(samples, 3, seed)
        np.testing.assert_allclose(mixture.means, (20, 90, 200), atol=1)
        np.testing.assert_allclose(mixture.stds, (3, 3, 3), atol=0.6)
        np.testing.assert_allclose(mixture.weights, np.full(3, 1 / 3), atol=0.02)
        assert mixture.converged


def test_same_samples_and_seed_same_mixture():
    samples = np.random.default_rng(1).gamma(2.0, 40.0, 3000)
    assert fit_mixture(samples, 6, 3) == fit_mixture(samples, 6, 3)


def test_likeliest_class_by_hand():
    """Between 0 and 100 the wider Gaussian reaches further: the border is at 34, not at 50."""
    values = np.array([-20.0, 0.0, 30.0, 40.0, 140.0, 160.0, 500.0])
    assert THREE.classify(values).tolist() == [0, 0, 0, 1, 1, 2, 2]


def test_density_counts_not_distance_alone():
    """At its own mean a narrow class beats a wide and heavier one; with equal widths the heavier one wins halfway."""
    assert TissueMixture((0.4, 0.6), (0.0, 1.0), (1.0, 50.0)).classify(np.array([0.0, 4.0])).tolist() == [0, 1]
    assert TissueMixture((0.1, 0.9), (0.0, 10.0), (5.0, 5.0)).classify(np.array([5.0])).tolist() == [1]
    assert TissueMixture((0.9, 0.1), (0.0, 10.0), (5.0, 5.0)).classify(np.array([5.0])).tolist() == [0]


def test_classification_in_chunks_is_the_same(monkeypatch):
    values = np.random.default_rng(0).uniform(0, 255, 1000)
    whole = THREE.classify(values)
    monkeypatch.setattr("synthseg_core.synth.unlabelled._CHUNK_VOXELS", 37)
    np.testing.assert_array_equal(THREE.classify(values), whole)


def test_only_unlabelled_voxels_change():
    image = np.array([[[0.0, 100.0, 200.0, 200.0]]])
    label_map = np.array([[[0, 0, 0, 17]]])
    assert fill_unlabelled(image, label_map, THREE).tolist() == [[[0, FIRST_TISSUE, FIRST_TISSUE + 1, 17]]]
    assert fill_unlabelled(image, label_map, THREE, first=5).tolist() == [[[0, 5, 6, 17]]]


def test_sample_is_bounded_and_reproducible():
    image = np.arange(1000.0).reshape(10, 10, 10)
    label_map = (image < 500).astype(int)
    sample = sample_unlabelled(image, label_map, 100, (0, 1))
    assert len(np.unique(sample)) == 100
    assert sample.min() >= 500
    np.testing.assert_array_equal(sample, sample_unlabelled(image, label_map, 100, (0, 1)))
    assert not np.array_equal(sample, sample_unlabelled(image, label_map, 100, (0, 2)))
    assert len(sample_unlabelled(image, label_map, 600, (0, 1))) == 500


def test_mixture_survives_a_file(tmp_path):
    THREE.save(tmp_path / "m.json")
    assert TissueMixture.load(tmp_path / "m.json") == THREE


@pytest.mark.parametrize(
    "content",
    [
        "not json",
        "[1, 2]",
        "{}",
        json.dumps({"weights": [1], "means": [1, 2], "stds": [1, 2]}),
        json.dumps({"weights": [1, 1], "means": [2, 1], "stds": [1, 2]}),
        json.dumps({"weights": [1, 1], "means": [1, 2], "stds": [1, 0]}),
        json.dumps({"weights": [1, 1], "means": [1, "x"], "stds": [1, 1]}),
    ],
)
def test_files_that_are_no_mixture(tmp_path, content):
    (tmp_path / "m.json").write_text(content)
    with pytest.raises(InputError):
        TissueMixture.load(tmp_path / "m.json")
    with pytest.raises(InputError, match=r"none\.json: found no readable tissue mixture"):
        TissueMixture.load(tmp_path / "none.json")


# Command


def test_tissues_of_a_phantom_are_found(tmp_path, capsys):
    _write(tmp_path)
    assert _cluster(tmp_path, "--classes", "4") == 0
    found = _voxels(tmp_path / "out.nii.gz")
    truth = np.array([0, FIRST_TISSUE, FIRST_TISSUE + 1, FIRST_TISSUE + 2])[_truth()]
    labelled = _pair()[1].data > 0
    assert (found[labelled] == 10).all()
    np.testing.assert_array_equal(found[~labelled], truth[~labelled])
    assert found.dtype == np.int16
    np.testing.assert_allclose(nib.load(tmp_path / "out.nii.gz").affine, _pair()[1].affine, atol=1e-5)
    assert "label and mean intensity (of 255) of each class: 0 " in capsys.readouterr().out


def test_map_keeps_its_axis_order(tmp_path):
    turn = ((2, 0, 1), (True, False, True))
    _write(tmp_path / "a")
    _write(tmp_path / "b", turn=turn)
    assert _cluster(tmp_path / "a", "--classes", "4") == 0
    assert _cluster(tmp_path / "b", "--classes", "4") == 0
    expected = reoriented(Volume(_voxels(tmp_path / "a" / "out.nii.gz"), _pair()[1].affine), *turn)
    np.testing.assert_array_equal(_voxels(tmp_path / "b" / "out.nii.gz"), expected.data)


def test_same_bytes_twice_and_another_seed_is_allowed(tmp_path):
    _write(tmp_path)
    contents = []
    for name in ("a.nii.gz", "b.nii.gz"):
        assert _cluster(tmp_path, out=name) == 0
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]
    assert _cluster(tmp_path, "--seed", "5", out="c.nii.gz") == 0


def test_a_value_means_the_same_in_every_file_of_a_folder(tmp_path):
    """Scans in different units."""
    _write(tmp_path, (0, 1), scale=lambda seed: 1 + 16 * seed)
    assert _cluster(tmp_path, "--classes", "4", image="scans", labels="maps", out="out") == 0
    labels = np.array([0, FIRST_TISSUE, FIRST_TISSUE + 1, FIRST_TISSUE + 2])
    for seed in (0, 1):
        found, labelled = _voxels(tmp_path / "out" / f"m{seed}.nii.gz"), _pair(seed)[1].data > 0
        np.testing.assert_array_equal(found[~labelled], labels[_truth()][~labelled])


def test_saved_mixture_serves_other_scans_without_scikit_learn(tmp_path, monkeypatch):
    _write(tmp_path, (0, 1))
    assert _cluster(tmp_path, "--classes", "4", "--save-mixture", tmp_path / "m.json") == 0
    monkeypatch.setitem(sys.modules, "sklearn.mixture", None)
    second = {"image": "scans/s1.nii.gz", "labels": "maps/m1.nii.gz", "out": "second.nii.gz"}
    assert _cluster(tmp_path, "--mixture", tmp_path / "m.json", **second) == 0
    unlabelled = (_pair(0)[1].data == 0) & (_pair(1)[1].data == 0)
    first, other = (_voxels(tmp_path / name)[unlabelled] for name in ("out.nii.gz", "second.nii.gz"))
    np.testing.assert_array_equal(first, other)


def _refused(capsys, folder, *options, **places):
    assert _cluster(folder, *options, **places) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_without_scikit_learn_the_extra_is_named(tmp_path, capsys, monkeypatch):
    _write(tmp_path)
    monkeypatch.setitem(sys.modules, "sklearn.mixture", None)
    assert "pip install 'synthseg-bids[cluster]'" in _refused(capsys, tmp_path)
    assert not (tmp_path / "out.nii.gz").exists()


def test_labels_that_are_taken(tmp_path, capsys):
    _write(tmp_path)
    assert "m0.nii.gz: found label 10, which the new classes would take" in _refused(capsys, tmp_path, "--first", "8")
    assert _cluster(tmp_path) == 0
    assert f"found label {FIRST_TISSUE}, which" in _refused(capsys, tmp_path, labels="out.nii.gz", out="again.nii.gz")


def test_outputs_that_cannot_be(tmp_path, capsys):
    _write(tmp_path)
    assert "m0.nii.gz: found an input of the same name" in _refused(capsys, tmp_path, out="maps/m0.nii.gz")
    assert "maps: found a folder" in _refused(capsys, tmp_path, out="maps")
    assert "s0.nii.gz: found an input" in _refused(capsys, tmp_path, out="scans/s0.nii.gz")


def test_too_few_intensities(tmp_path, capsys):
    _, label_map = _pair()
    write_nifti(tmp_path / "scans" / "s0.nii.gz", Volume(np.where(_truth() > 1, 300.0, 0.0), label_map.affine))
    write_nifti(tmp_path / "maps" / "m0.nii.gz", label_map, "uint8")
    assert "unlabelled voxels: found 2 distinct intensities; expected at least 10" in _refused(capsys, tmp_path)


def test_scan_on_another_grid(tmp_path, capsys):
    _write(tmp_path)
    image, _ = _pair()
    write_nifti(tmp_path / "scans" / "s0.nii.gz", Volume(image.data[:-1], image.affine))
    assert "s0.nii.gz: found 19 x 26 x 14 voxels" in _refused(capsys, tmp_path)


@pytest.mark.parametrize(("classes", "first"), [(1, 901), (256, 901), (10, 0), (10, 10**6)])
def test_numbers_that_make_no_labels(classes, first):
    with pytest.raises(UsageError):
        check_classes(classes, first)


def test_mixture_that_did_not_converge_is_said(tmp_path, capsys):
    _write(tmp_path)
    TissueMixture(THREE.weights, THREE.means, THREE.stds, converged=False).save(tmp_path / "m.json")
    assert _cluster(tmp_path, "--mixture", tmp_path / "m.json") == 0
    assert "warning: the mixture did not converge" in capsys.readouterr().err


def test_clustered_maps_make_a_label_list(tmp_path, capsys):
    """The whole way: cluster, scan, and the new labels are rendered but are no targets."""
    _write(tmp_path, (0, 1))
    assert _cluster(tmp_path, "--classes", "4", image="scans", labels="maps", out="out") == 0
    names = tmp_path / "names.tsv"
    names.write_text("value\tname\tside\tcounterpart\n10\tliver\tneutral\t10\n")
    words = ["labels", "scan", tmp_path / "out", "--out", tmp_path / "list.tsv", "--names", names]
    assert main([*map(str, words)]) == 0
    assert capsys.readouterr().err == ""
    labels = GenerationLabels.read(tmp_path / "list.tsv")
    assert labels.target_values == (0, 10)
    assert labels.n_classes == 5
