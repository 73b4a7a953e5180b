"""Statistics of draws against the published generator: rows G1-G4, G6 and G8-G11 of its acceptance table."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from scipy import stats

from synthseg_core.synth import BrainGenerator, Draw, GenerationLabels, Recipe, read_recipe
from synthseg_core.synth.deformation import affine_matrix
from synthseg_core.synth.intensities import draw_mixture
from synthseg_core.synth.priors import IntensityPriors
from synthseg_core.synth.recipe import MixtureSpec, ResolutionSpec
from synthseg_core.synth.resolution import draw_acquisition
from tests.phantoms.heads import PAIRS, hollow_maps

COUNT = 4000


@pytest.fixture(scope="module")
def draws() -> list[Draw]:
    generator = BrainGenerator(hollow_maps(), read_recipe("official"))
    return [generator.draw(seed) for seed in range(100_000, 100_000 + COUNT)]


@pytest.fixture(scope="module")
def mixtures(draws) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations, (draws, classes)."""
    one = [draw.channels[0] for draw in draws]
    return np.array([c.means for c in one]), np.array([c.stds for c in one])


def test_g1_classes_are_uniform(mixtures):
    """G1: 2000 draws or more, Kolmogorov-Smirnov against U(0, 250) and U(0, 30)."""
    means, stds = mixtures
    assert means.shape == (COUNT, 48)
    for k in range(1, 48):
        assert stats.kstest(means[:, k], stats.uniform(0, 250).cdf).pvalue > 0.001, k
        assert stats.kstest(stds[:, k], stats.uniform(0, 30).cdf).pvalue > 0.001, k


def test_g1_left_and_right_are_independent_and_partners_share(mixtures):
    """G1: sides uncorrelated; 4 and 5, 17 and 18, 136 and 137 have one Gaussian."""
    means, stds = mixtures
    labels = GenerationLabels.builtin()
    class_of = dict(zip(labels.values, labels.classes, strict=True))
    for left, right in PAIRS:
        for values in (means, stds):
            assert abs(np.corrcoef(values[:, class_of[left]], values[:, class_of[right]])[0, 1]) < 0.07
    assert class_of[4] == class_of[5]
    assert class_of[17] == class_of[18]
    assert class_of[136] == class_of[137]
    assert len({class_of[4], class_of[17], class_of[136], class_of[43], class_of[2]}) == 5


def test_g2_background(mixtures):
    """G2: 5 % exactly zero, a quarter dark, the rest as any class."""
    means, stds = (values[:, 0] for values in mixtures)
    zero = (means == 0) & (stds == 0)
    dark = (means > 0) & (means <= 15) & (stds <= 5)
    assert zero.mean() == pytest.approx(0.05, abs=0.015)
    assert 0.22 <= dark.mean() <= 0.29
    kept = means[~zero & ~dark]
    assert stats.kstest(kept[kept > 15], stats.uniform(15, 235).cdf).pvalue > 0.001


def test_g2_background_can_be_left_alone():
    generator = torch.Generator().manual_seed(1)
    spec = MixtureSpec(random_background=False)
    means = [draw_mixture(spec, 3, 0, generator)[0][0] for _ in range(1000)]
    assert stats.kstest(means, stats.uniform(0, 250).cdf).pvalue > 0.001


def test_g3_normal_priors():
    """G3: (2, 25) hyper-parameters; sample means within three standard errors, nothing negative."""
    priors = IntensityPriors.builtin("t1_priors")
    assert priors.n_classes == 25
    generator = torch.Generator().manual_seed(5)
    drawn = [draw_mixture(MixtureSpec(priors=priors), 25, 0, generator) for _ in range(2000)]
    for which, pairs in enumerate((priors.means[0], priors.stds[0])):
        values = np.array([one[which] for one in drawn])
        assert values.min() >= 0
        mean, std = np.array(pairs)[1:].T
        expected = mean * stats.norm.cdf(mean / std) + std * stats.norm.pdf(mean / std)  # negative ones became 0
        assert np.all(np.abs(values[:, 1:].mean(0) - expected) < 3 * std / np.sqrt(2000))
        frequent = mean > 2 * std  # where clipping does not matter the row itself is the mean
        assert frequent.sum() >= 17
        assert np.all(np.abs(values[:, 1:].mean(0) - mean)[frequent] < 3 * std[frequent] / np.sqrt(2000))


def test_uniform_priors_per_class():
    pairs = ((10.0, 20.0), (50.0, 50.0), (0.0, 1.0))
    priors = IntensityPriors((pairs,), (pairs,), "uniform")
    generator = torch.Generator().manual_seed(0)
    spec = MixtureSpec(priors=priors, random_background=False)
    values = np.array([draw_mixture(spec, 3, 0, generator)[0] for _ in range(500)])
    assert values[:, 0].min() >= 10
    assert values[:, 0].max() <= 20
    assert values[:, 0].std() == pytest.approx(10 / np.sqrt(12), rel=0.1)
    assert set(values[:, 1]) == {50.0}


def test_modalities_keep_mean_and_deviation_together():
    """A block of the priors is one modality; the reference draws the blocks of means and deviations apart."""
    blocks = tuple((((value, 0.0),) * 2) for value in (10.0, 20.0))
    generator = torch.Generator().manual_seed(0)
    spec = MixtureSpec(priors=IntensityPriors(blocks, blocks), random_background=False)
    drawn = [draw_mixture(spec, 2, 0, generator) for _ in range(400)]
    assert all(means == stds for means, stds in drawn)
    assert np.mean([means[0] == 10 for means, _ in drawn]) == pytest.approx(0.5, abs=0.08)
    own = MixtureSpec(priors=IntensityPriors(blocks, blocks, block_per_channel=True), random_background=False)
    assert {draw_mixture(own, 2, 1, generator)[0] for _ in range(20)} == {(20.0, 20.0)}


def test_mix_prior_and_random():
    """Means and deviations fall back independently, each in half of the samples, and uniformly even with normal
    priors."""
    priors = IntensityPriors((((-9.0, 0.0),) * 2,), (((5.0, 0.0),) * 2,))
    spec = MixtureSpec(priors=priors, mix_prior_and_random=True, random_background=False)
    generator = torch.Generator().manual_seed(3)
    drawn = np.array([draw_mixture(spec, 2, 0, generator) for _ in range(2000)])
    random_means, random_stds = drawn[:, 0, 1] != 0, drawn[:, 1, 1] != 5
    assert random_means.mean() == pytest.approx(0.5, abs=0.035)
    assert random_stds.mean() == pytest.approx(0.5, abs=0.035)
    assert abs(np.corrcoef(random_means, random_stds)[0, 1]) < 0.07
    assert stats.kstest(drawn[random_means, 0, 1], stats.uniform(0, 250).cdf).pvalue > 0.001
    assert stats.kstest(drawn[random_stds, 1, 1], stats.uniform(0, 30).cdf).pvalue > 0.001


def test_g4_half_of_the_samples_are_mirrored(draws):
    """G4, frequency."""
    assert np.mean([draw.flip for draw in draws]) == pytest.approx(0.5, abs=0.03)


def test_g6_statistics_of_the_affine(draws):
    """G6: within 3 % of the figures of the reference."""
    matrices = np.array([affine_matrix(d.rotation_deg, d.shearing, d.scaling).numpy() for d in draws])
    diagonal = matrices[:, range(3), range(3)]
    others = matrices[:, ~np.eye(3, dtype=bool)]
    determinants = np.linalg.det(matrices)
    moved = np.linalg.norm(80 * (matrices - np.eye(3)), axis=1)  # of the points 80 voxels along each axis
    assert diagonal.mean() == pytest.approx(0.978, rel=0.03)
    assert diagonal.std() == pytest.approx(0.114, rel=0.03)
    assert np.sqrt((others**2).mean()) == pytest.approx(0.151, rel=0.03)
    assert determinants.mean() == pytest.approx(1, rel=0.03)
    assert determinants.std() == pytest.approx(0.20, rel=0.03)
    assert 0.51 < determinants.min() < 0.60
    assert 1.55 < determinants.max() < 1.75
    assert moved.mean() == pytest.approx(18.5, rel=0.03)
    assert {draw.translation_voxels for draw in draws} == {(0.0, 0.0, 0.0)}


def test_g6_elastic_strength_is_uniform(draws):
    strengths = [draw.elastic_std_voxels for draw in draws]
    assert stats.kstest(strengths, stats.uniform(0, 4).cdf).pvalue > 0.001


def test_g8_corners(draws):
    """G8: uniform over 0..95 along each axis: the very last position is never used."""
    for axis in range(3):
        counts = Counter(draw.corner[axis] for draw in draws)
        assert min(counts) == 0
        assert max(counts) == 95
        assert stats.chisquare([counts[corner] for corner in range(96)]).pvalue > 0.001


def test_g8_shapes_are_multiples():
    generator = BrainGenerator(hollow_maps(shape=(170, 256, 141)), read_recipe("official"))
    assert generator.shape.crop == generator.shape.output == (160, 160, 128)


def test_g9_bias_is_applied_in_most_samples(draws):
    """G9, frequency and strength."""
    strengths = np.array([draw.channels[0].bias_std for draw in draws])
    assert (strengths > 0).mean() == pytest.approx(0.95, abs=0.02)
    assert stats.kstest(strengths[strengths > 0], stats.uniform(0, 0.7).cdf).pvalue > 0.001


def test_g10_exponents(draws):
    """G10: logarithm with standard deviation 0.5; percentiles 0.44 and 2.28."""
    logs = np.log([draw.channels[0].exponent for draw in draws])
    assert logs.std() == pytest.approx(0.5, abs=0.03)
    assert logs.mean() == pytest.approx(0, abs=3 * 0.5 / np.sqrt(COUNT))
    assert np.exp(np.percentile(logs, [5, 95])) == pytest.approx([0.44, 2.28], rel=0.06)


@pytest.fixture(scope="module")
def acquisitions() -> tuple[np.ndarray, np.ndarray]:
    """Spacings and thicknesses of 20 000 draws, (draws, 3)."""
    generator = torch.Generator().manual_seed(11)
    spec = ResolutionSpec()
    drawn = [draw_acquisition(spec, (1.0, 1.0, 1.0), 0, generator) for _ in range(20_000)]
    return np.array([one.spacing_mm for one in drawn]), np.array([one.thickness_mm for one in drawn])


def test_g11_resolution(acquisitions):
    """G11: how many axes are degraded, how far, and how thick slices are."""
    spacing, thickness = acquisitions
    degraded = (spacing > 1).sum(1)
    for count, share in ((0, 0.05), (1, 0.855), (2, 0), (3, 0.095)):
        assert (degraded == count).mean() == pytest.approx(share, abs=0.01), count
    all_axes, one_axis = spacing[degraded == 3], spacing[degraded == 1]
    assert all_axes.max() <= 4
    assert stats.kstest(all_axes.ravel(), stats.uniform(1, 3).cdf).pvalue > 0.001
    assert abs(np.corrcoef(all_axes.T)[0, 1]) < 0.1  # "isotropic" only in name
    chosen = one_axis.argmax(1)
    assert np.bincount(chosen) / len(chosen) == pytest.approx([1 / 3] * 3, abs=0.015)
    assert one_axis.max() <= 8
    assert one_axis.max(1).mean() == pytest.approx(4.5, rel=0.02)
    assert thickness[degraded == 1][range(len(chosen)), chosen].mean() == pytest.approx(2.75, rel=0.02)
    assert spacing.mean() == pytest.approx(2.15, rel=0.02)
    assert np.all((thickness >= 1) & (thickness <= spacing))


def test_g11_options_of_the_resolution():
    generator = torch.Generator().manual_seed(0)
    alike = ResolutionSpec(native_probability=0, all_axes_probability=1, equal_axes=True)
    drawn = [draw_acquisition(alike, (1.0, 1.0, 1.0), 0, generator).spacing_mm for _ in range(50)]
    assert all(len(set(one)) == 1 for one in drawn)
    coarse = [draw_acquisition(ResolutionSpec(), (2.0, 2.0, 5.0), 0, generator) for _ in range(300)]
    assert min(one.spacing_mm[2] for one in coarse) == 5  # never finer than the maps
    assert max(one.spacing_mm[2] for one in coarse) <= 8
    assert all(one.thickness_mm <= one.spacing_mm for one in coarse)


def test_jitter_of_the_blur(draws):
    factors = np.array([draw.channels[0].acquisition.blur_factor for draw in draws]).ravel()
    assert stats.kstest(factors, stats.uniform(1 / 1.03, 1.03 - 1 / 1.03).cdf).pvalue > 0.001


def test_maps_are_drawn_by_weight():
    weighted = BrainGenerator(hollow_maps(count=3), Recipe(map_weights=(1.0, 0.0, 3.0)))
    counts = Counter(weighted.draw(seed).map_index for seed in range(600))
    assert counts[1] == 0
    assert counts[0] / 600 == pytest.approx(0.25, abs=0.055)
    equal = BrainGenerator(hollow_maps(count=3), Recipe())
    assert min(Counter(equal.draw(seed).map_index for seed in range(300)).values()) > 70
