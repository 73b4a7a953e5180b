"""Intensity priors: worked numbers, averages over scans that have a class, files that do not belong together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import median_abs_deviation

from synthseg_core.cli.main import main
from synthseg_core.errors import InputError
from synthseg_core.images.volume import Volume
from synthseg_core.labels.lists import GenerationLabels
from synthseg_core.synth.prior_estimation import (
    NORMAL_PER_MAD,
    ScanStatistics,
    class_map,
    class_statistics,
    combine,
    median_and_deviation,
    rescale,
    saturated_classes,
)
from synthseg_core.synth.priors import IntensityPriors
from synthseg_core.system.tables import read_tsv
from tests.phantoms.label_maps import LIST, halves, label_volume, write_list, write_maps
from tests.phantoms.scans import reoriented, write_nifti

MEANS = np.array([3.0, 60.0, 120.0, 200.0])


def _scan(medians, deviations=None, modality="T1w", channel=0):
    medians = np.asarray(medians, float)
    deviations = medians / 10 if deviations is None else np.asarray(deviations, float)
    return ScanStatistics("s", modality, channel, np.isfinite(medians) * 9, medians, deviations)


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


# Row P1


def test_rescaling_by_hand():
    image = np.arange(101.0)
    np.testing.assert_allclose(rescale(image)[[0, 2, 50, 98, 100]], [0, 0, 127.5, 255, 255])


def test_rescaling_a_constant_image_gives_zeros():
    assert not rescale(np.full((3, 4, 5), 7.0)).any()


def test_median_and_deviation_by_hand():
    """1, 2, 3, 4, 100: median 3, absolute deviations 2 1 0 1 97, their median 1."""
    median, deviation = median_and_deviation(np.array([1.0, 2.0, 3.0, 4.0, 100.0]))
    assert median == 3
    assert deviation == pytest.approx(1.4826, abs=1e-4)


def test_deviation_is_the_normal_one_of_scipy():
    values = np.random.default_rng(0).gamma(2.0, 30.0, 501)
    assert median_and_deviation(values)[1] == pytest.approx(median_abs_deviation(values, scale="normal"), rel=1e-12)


def test_two_subjects_by_hand():
    """Medians (10, 100) and (14, 110): rows (12, 105) and (2, 5)."""
    (block,) = combine([_scan([10, 100], [1, 8]), _scan([14, 110], [3, 4])])
    np.testing.assert_allclose(block.means, [[12, 105], [2, 5]])
    np.testing.assert_allclose(block.stds, [[2, 6], [1, 2]])
    assert block.subjects.tolist() == [2, 2]


def test_a_scan_without_a_class_has_no_part_in_its_average():
    nan = np.nan
    (block,) = combine([_scan([10, 100, 50]), _scan([14, nan, 60]), _scan([18, 110, nan])])
    np.testing.assert_allclose(block.means[:, 1], [105, 5])
    np.testing.assert_allclose(block.means[:, 2], [55, 5])
    np.testing.assert_allclose(block.means[0, 0], 14)
    assert block.subjects.tolist() == [3, 2, 2]


def test_a_class_that_no_scan_has_gets_the_spread_over_other_tissue():
    (block,) = combine([_scan([10, 100, np.nan, 60]), _scan([14, 110, np.nan, 60])])
    np.testing.assert_allclose(block.means[:, 2], [(105 + 60) / 2, (105 - 60) / 2])
    np.testing.assert_allclose(block.stds[:, 2], [(10.5 + 6) / 2, (10.5 - 6) / 2])
    assert block.subjects.tolist() == [2, 2, 0, 2]


def test_blocks_keep_the_order_in_which_modalities_were_given():
    rows = [_scan([1, n], modality=m, channel=c) for n in (1, 3) for m, c in (("b", 0), ("b", 1), ("a", 0))]
    assert [(block.modality, block.channel) for block in combine(rows)] == [("b", 0), ("b", 1), ("a", 0)]


def test_only_positive_voxels_of_tissue_count_but_all_of_background():
    image = np.array([0.0, 0.0, 9.0, 0.0, -4.0, 5.0, 7.0, 1.0])
    classes = np.array([0, 0, 0, 1, 1, 1, 1, -1])
    voxels, medians, deviations = class_statistics(image, classes, 3)
    assert voxels.tolist() == [3, 2, 0]
    np.testing.assert_allclose(medians, [0, 6, np.nan])
    np.testing.assert_allclose(deviations, [0, NORMAL_PER_MAD, np.nan])


def test_labels_of_one_class_are_pooled(tmp_path, labels):
    label_map = np.array([[[0, 24, 2, 41, 13, 52]]])
    assert class_map(label_map, labels, tmp_path).tolist() == [[[0, 1, 2, 2, 3, 3]]]
    with pytest.raises(InputError, match=r"a value that the label list lacks \(999\)"):
        class_map(np.array([[[0, 999]]]), labels, tmp_path)
    assert class_map(np.array([[[0, 999]]]), labels, tmp_path, ignore_unknown=True).tolist() == [[[0, -1]]]


def test_rescaling_by_percentiles_of_some_voxels():
    image = np.concatenate([np.zeros(900), np.arange(1.0, 102.0)])
    np.testing.assert_allclose(rescale(image, image[image > 0])[[900, 902, 950, 998]], [0, 0, 127.5, 255])
    assert rescale(image)[899 + 85] == 255
    assert not rescale(image, np.zeros(0)).any()


def test_saturated_classes():
    rows = [_scan([255, 100, 255, np.nan]), _scan([0, 100, 90, 255])]
    assert saturated_classes(rows) == (2, 3)


# Command


def test_priors_of_two_subjects(cohort, labels, capsys):
    status, out = _run(cohort, "--scale", "as-stored", "--per-scan", cohort / "scans.tsv")
    assert status == 0
    priors = IntensityPriors.read(out)
    assert priors.n_classes == 4
    means = np.array(priors.means[0])
    np.testing.assert_allclose(means[:, 0], MEANS + 6, atol=1.5)
    np.testing.assert_allclose(means[1:3, 1], 2, atol=0.5)
    np.testing.assert_allclose(np.array(priors.stds[0])[1:3, 0], 2, atol=0.3)
    scans = read_tsv(cohort / "scans.tsv")
    assert len(scans) == 2 * 4
    assert [row["scan"] for row in scans[::4]] == ["sub-01_T1w", "sub-02_T1w"]
    assert scans[3]["voxels"] == str(int(np.isin(halves(seed=1), (13, 52)).sum()))
    assert float(scans[4 + 2]["median"]) == pytest.approx(120 + 8, abs=0.5)
    rows = read_tsv(out)
    assert rows[2]["labels"] == "2,41"
    assert rows[2]["scans"] == "2"
    assert rows[2]["modality"] == "T1w"
    text = out.read_text()
    assert "# Intensities: as stored" in text
    assert "times 1.4826" in text
    assert str(cohort / "list.tsv") in text
    assert "T1w 0" in capsys.readouterr().out


def test_modalities_and_channels_become_blocks(cohort, labels):
    for seed in (1, 2):
        volume = label_volume(seed=seed)
        image = _image(volume.data, labels, seed)
        pair = np.stack([image, 250 - image, image * 0 + volume.data, image], axis=-1)
        write_nifti(cohort / "multi" / f"{seed}.nii", Volume(pair, volume.affine))
    status, out = _run(cohort, "--images", cohort / "T1w", cohort / "multi", "--scale", "as-stored")
    assert status == 0
    priors = IntensityPriors.read(out, block_per_channel=True)
    assert len(priors.means) == 4
    np.testing.assert_allclose(priors.means[0], priors.means[1], atol=0.01)
    assert priors.means[2][2][0] == pytest.approx(250 - 126, abs=1)
    assert [(row["block"], row["modality"], row["channel"]) for row in read_tsv(out)[::4]] == [
        ("0", "T1w", "0"),
        ("1", "multi", "0"),
        ("2", "multi", "1"),
        ("3", "multi", "2"),
    ]


def test_absent_class_and_single_case_are_reported(cohort, capsys):
    lines = LIST.splitlines()
    write_list(cohort / "list.tsv", "\n".join([*lines[:3], "99\trare\tneutral\t99\t4\t0", *lines[3:]]) + "\n")
    for name in ("maps/sub-02_dseg.nii.gz", "T1w/sub-02_T1w.nii.gz"):
        (cohort / name).unlink()
    status, out = _run(cohort)
    assert status == 0
    error = capsys.readouterr().err
    assert "T1w, channel 0: no scan has class 4" in error
    assert "one case only" in error
    assert read_tsv(out)[4]["scans"] == "0"
    assert IntensityPriors.read(out).n_classes == 5


def test_builtin_list_and_another_column_of_classes(cohort):
    status, out = _run(cohort, "--labels", "generation_54", "--classes", "class_t1")
    assert status == 0
    assert IntensityPriors.read(out).n_classes == 25
    assert read_tsv(out)[2]["labels"] == "85,2,41"


def test_shipped_priors_can_be_read_and_fit_the_builtin_list():
    priors = IntensityPriors.builtin("t1_priors")
    labels = GenerationLabels.builtin(classes="class_t1")
    assert priors.n_classes == labels.n_classes == 25
    assert priors.means[0][2] == (160.2938, 21.6558)
    assert priors.stds[0][14] == (83.9518, 49.3672)


def _refused(capsys, cohort, *options):
    status, out = _run(cohort, *options)
    error = capsys.readouterr().err
    assert status == 2
    assert not out.exists()
    assert error.count("\n") == 1
    return error


def test_numbers_of_files_differ(cohort, capsys):
    write_maps(cohort / "maps", 1)
    assert "T1w: found 2 scans for 3 label maps" in _refused(capsys, cohort)


def test_subjects_differ(cohort, capsys):
    (cohort / "T1w" / "sub-02_T1w.nii.gz").rename(cohort / "T1w" / "sub-020_T1w.nii.gz")
    error = _refused(capsys, cohort)
    assert "sub-020_T1w.nii.gz: found sub-020, paired by sorted order with sub-02_dseg.nii.gz; expected sub-02" in error


def test_two_modalities_of_one_name(cohort, capsys):
    assert "found two modalities of one name" in _refused(capsys, cohort, "--images", cohort / "T1w", cohort / "T1w")


def test_scan_on_another_grid(cohort, capsys):
    path = cohort / "T1w" / "sub-02_T1w.nii.gz"
    image = label_volume()
    write_nifti(path, Volume(np.random.default_rng(0).random((12, 17, 8)), image.affine))
    assert "sub-02_T1w.nii.gz: found 12 x 17 x 8 voxels (RAS); expected 12 x 17 x 9 voxels" in _refused(capsys, cohort)
    moved = image.affine.copy()
    moved[0, 3] += 30
    write_nifti(path, Volume(image.data + np.random.default_rng(0).random(image.shape), moved))
    assert "found voxels that lie up to 30.0 mm away" in _refused(capsys, cohort)


def test_unequal_numbers_of_volumes(cohort, capsys, labels):
    volume = label_volume(seed=2)
    data = np.stack([volume.data, volume.data + 1], axis=-1)
    write_nifti(cohort / "T1w" / "sub-02_T1w.nii.gz", Volume(data, volume.affine))
    assert "sub-02_T1w.nii.gz: found 2 volumes; expected 1, as in sub-01_T1w.nii.gz" in _refused(capsys, cohort)


def test_scan_that_shows_nothing_in_the_labels(cohort, capsys):
    volume = label_volume(seed=2)
    image = np.where(volume.data == 0, 50.0, 0.0)
    image[0, 0, 0] = 70.0
    write_nifti(cohort / "T1w" / "sub-02_T1w.nii.gz", Volume(image, volume.affine))
    assert "found no voxel above zero in any class but background" in _refused(capsys, cohort)


def test_unknown_labels(cohort, capsys):
    volume = label_volume(seed=2)
    volume.data[5, 5, 5] = 999
    write_nifti(cohort / "maps" / "sub-02_dseg.nii.gz", volume, "int16")
    assert "sub-02_dseg.nii.gz: found a value that the label list lacks (999)" in _refused(capsys, cohort)
    assert _run(cohort, "--ignore-unknown")[0] == 0


def test_unknown_column_of_classes(cohort, capsys):
    assert "expected also class_t1" in _refused(capsys, cohort, "--classes", "class_t1")


def test_damaged_scan(cohort, capsys):
    (cohort / "T1w" / "sub-02_T1w.nii.gz").write_bytes(b"nothing")
    assert "sub-02_T1w.nii.gz: found unknown content" in _refused(capsys, cohort)


@pytest.mark.slow
def test_real_scan_with_its_own_labels(test_data, tmp_path):
    """White matter is brighter than cortex, cortex brighter than fluid, in a real T1-weighted scan."""
    folder = test_data / "labelled"
    scan, aseg = folder / "subject_a_T1w.mgz", folder / "subject_a_aparc.a2009s+aseg.mgz"
    out = tmp_path / "priors.tsv"
    words = ["--images", scan, "--maps", aseg, "--out", out, "--classes", "class_t1", "--ignore-unknown"]
    words += ["--scale", "above-zero"]
    assert main(["priors", *map(str, words)]) == 0
    means = [mean for mean, _ in IntensityPriors.read(out).means[0]]
    published = [mean for mean, _ in IntensityPriors.builtin("t1_priors").means[0]]
    white, fluid, thalamus = 2, 1, 6
    assert means[fluid] < means[thalamus] < means[white]
    assert np.corrcoef([means[k] for k in range(1, 11)], published[1:11])[0, 1] > 0.5
    assert 100 < means[white] < 255
