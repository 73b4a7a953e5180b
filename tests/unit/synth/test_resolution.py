"""Simulated acquisitions: blur, sampling, interpolation, sampling maps; rows G12 and G13 of the acceptance table."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from synthseg_core.synth.recipe import ResolutionSpec
from synthseg_core.synth.resolution import (
    Acquisition,
    acquire,
    along_axes,
    axis_matrices,
    blur_matrix,
    blur_sigma_voxels,
    blur_taps,
    draw_acquisition,
    gaussian_kernel,
    interpolation_matrix,
    sample_count,
    sampling_map,
    sampling_matrix,
)

RANDOM, FIXED = ResolutionSpec(), ResolutionSpec(mode="fixed")
UNIT = (1.0, 1.0, 1.0)


def acquisition(spacing, thickness=None, factor=UNIT) -> Acquisition:
    return Acquisition(spacing, thickness or spacing, factor)


def kernel_at(spacing: float, spec: ResolutionSpec) -> np.ndarray:
    sigma = blur_sigma_voxels(acquisition((spacing, 1.0, 1.0)), UNIT)[0]
    return gaussian_kernel(sigma, blur_taps(spec, 1.0, sigma))


def deviation(kernel: np.ndarray) -> float:
    """Standard deviation of an impulse response, voxels."""
    response = blur_matrix(41, kernel)[:, 20]
    offsets = np.arange(41) - 20
    return float(np.sqrt((response * offsets**2).sum()))


REAL = {1: 0.464, 1.5: 1.125, 2: 1.5, 3: 2.239, 4: 2.866, 5: 3.3, 6: 3.582, 8: 3.891}


@pytest.mark.parametrize(("spacing", "real"), REAL.items())
def test_g12_real_blur(spacing, real):
    """G12: 15 taps truncate wide kernels as the published networks know it."""
    kernel = kernel_at(spacing, RANDOM)
    assert len(kernel) == 15
    assert kernel.sum() == pytest.approx(1, abs=1e-12)
    assert deviation(kernel) == pytest.approx(real, rel=0.01)


def test_g12_kernels():
    assert gaussian_kernel(0.5, 15)[7:10] == pytest.approx([0.78657, 0.10645, 0.00026], abs=1e-5)
    assert gaussian_kernel(0.75, 15)[7:11] == pytest.approx([0.53191, 0.21867, 0.01519, 0.00018], abs=1e-5)


def test_fixed_mode_has_windows_of_its_own():
    assert len(kernel_at(1, FIXED)) == 3
    assert len(kernel_at(3, FIXED)) == 7
    assert deviation(kernel_at(1, FIXED)) == pytest.approx(0.462, rel=0.01)
    assert deviation(kernel_at(3, FIXED)) == pytest.approx(1.712, rel=0.01)


def test_the_window_is_that_of_the_nominal_blur():
    """Jitter changes the kernel, not its length."""
    spec = ResolutionSpec(mode="fixed", spacing_mm=((2.15, 1.0, 1.0),), blur_range=1.5)
    widths = set()
    for factor in (1 / 1.5, 1.0, 1.5):
        matrices = axis_matrices(
            spec, acquisition((2.15, 1.0, 1.0), factor=(factor,) * 3), UNIT, (41, 9, 9), (41, 9, 9)
        )
        widths.add(int((matrices[0].acquire[10] > 0).sum()))
    assert widths == {5}


def test_partial_volume_windows_hold_the_widest_blur():
    spec = ResolutionSpec(mode="fixed", spacing_mm=((6.0, 1.0, 1.0),), blur_range=1.5, wide_window=True)
    assert blur_taps(spec, 1.0, 3.0) == 13  # half-width int(ceil(2.5 * 1.5 * 3) / 2)
    assert blur_taps(spec, 1.0, 0.5) == 3


def test_full_windows_do_not_truncate():
    spec = ResolutionSpec(full_blur=True)
    for spacing in (3, 6, 8):
        assert deviation(kernel_at(spacing, spec)) == pytest.approx(0.75 * spacing, rel=0.02)


def test_rule_of_the_blur():
    """0.75 of the thinner of spacing and thickness, 0.5 voxels where that is a voxel, 0 where it is 0."""
    sigmas = blur_sigma_voxels(acquisition((6.0, 4.0, 1.0), (4.0, 4.0, 1.0)), UNIT)
    assert sigmas == pytest.approx((3, 3, 0.5))
    assert blur_sigma_voxels(acquisition((6.0, 5.0, 1.0), (0.0, 2.0, 3.0)), UNIT) == pytest.approx((0, 1.5, 0.5))
    assert blur_sigma_voxels(acquisition((4.0, 2.0, 3.0)), (2.0, 2.0, 2.0)) == pytest.approx((1.5, 0.5, 1.125))
    assert gaussian_kernel(0, 15).tolist() == [1]


def test_edges_from_affines_in_single_precision_count_as_native():
    size = tuple(float(np.float32(1) * (1 + step * 1.2e-7)) for step in (-1, 0, 1))
    assert blur_sigma_voxels(acquisition(UNIT), size) == pytest.approx((0.5, 0.5, 0.5))
    assert [sample_count(160, 1 / one) for one in size] == [160, 160, 160]


def ramp(n: int, spacing: float, m: int) -> list[float]:
    sampling = sampling_matrix(n, spacing)
    return (interpolation_matrix(len(sampling) - 1, m) @ sampling @ np.arange(n)).tolist()


def test_g13_ramps():
    """G13: behind the last sample stands the last voxel."""
    assert ramp(8, 3, 8) == pytest.approx([0, 1, 2, 3, 4, 4.75, 5.5, 6.25], abs=1e-5)
    assert ramp(8, 2, 8) == pytest.approx([0, 1, 2, 3, 4, 5, 6, 6.5], abs=1e-5)
    assert ramp(8, 1, 8) == list(range(8))
    assert ramp(6, 2, 3) == [0, 2, 4]
    assert ramp(4, 9, 4) == pytest.approx([0, 0.75, 1.5, 2.25])  # one sample at least


def naive(image: np.ndarray, one: Acquisition, out: tuple[int, ...]) -> np.ndarray:
    """Blur, sample, interpolate, one after the other, with other tools."""
    for axis, (spacing, thickness, factor) in enumerate(
        zip(one.spacing_mm, one.thickness_mm, one.blur_factor, strict=True)
    ):
        width = min(spacing, thickness)
        sigma = (0.5 if width == 1 else 0.75 * width) * factor
        taps = np.exp(-(np.arange(-7, 8) ** 2) / (2 * sigma**2))
        image = ndimage.convolve1d(image, taps / taps.sum(), axis=axis, mode="constant")
    for axis, (spacing, m) in enumerate(zip(one.spacing_mm, out, strict=True)):
        n = image.shape[axis]
        count = int(n / spacing)
        samples = [min(round(min(j * n / count, n)), n - 1) for j in range(count + 1)]
        places = [i * count / m for i in range(m)]
        low = [int(place) for place in places]
        weight = np.reshape([place - int(place) for place in places], [m if a == axis else 1 for a in range(3)])
        taken = image.take(samples, axis)
        image = (1 - weight) * taken.take(low, axis) + weight * taken.take([k + 1 for k in low], axis)
    return image


@pytest.mark.parametrize("seed", range(6))
def test_g13_matrices_equal_three_steps(seed):
    """G13: one matrix per axis gives what the three steps give."""
    shape, out = (24, 31, 40), (24, 31, 40) if seed % 2 else (19, 31, 44)
    generator = torch.Generator().manual_seed(seed)
    one = draw_acquisition(ResolutionSpec(all_axes_probability=0.7), UNIT, 0, generator)
    image = torch.rand(shape, generator=generator)
    found = acquire(image, axis_matrices(RANDOM, one, UNIT, shape, out), 0, generator)
    assert found.shape == out
    np.testing.assert_allclose(found.numpy(), naive(image.double().numpy(), one, out), atol=1e-5)


def test_fixed_mode_defaults_to_the_maps():
    one = draw_acquisition(FIXED, (1.0, 1.2, 0.9), 0, torch.Generator().manual_seed(0))
    assert one.spacing_mm == one.thickness_mm == (1.0, 1.2, 0.9)
    spec = ResolutionSpec(mode="fixed", spacing_mm=(UNIT, (1.0, 9.0, 1.0)), thickness_mm=(UNIT, (1.0, 4.0, 1.0)))
    second = draw_acquisition(spec, UNIT, 1, torch.Generator().manual_seed(0))
    assert (second.spacing_mm, second.thickness_mm) == ((1.0, 9.0, 1.0), (1.0, 4.0, 1.0))


def test_blur_without_sampling():
    spec = ResolutionSpec(mode="fixed", spacing_mm=((3.0, 1.0, 1.0),), sample_again=False)
    one = acquisition((3.0, 1.0, 1.0))
    (matrix, *_) = axis_matrices(spec, one, UNIT, (30, 4, 4), (30, 4, 4))
    np.testing.assert_allclose(matrix.restore @ matrix.acquire, blur_matrix(30, gaussian_kernel(2.25, 7)), atol=1e-12)


def test_noise_at_low_resolution_is_as_coarse_as_the_samples():
    shape = (40, 6, 6)
    matrices = axis_matrices(FIXED, acquisition((4.0, 1.0, 1.0)), UNIT, shape, shape)
    noisy = acquire(torch.zeros(shape), matrices, 2.0, torch.Generator().manual_seed(0))
    assert float(noisy[::4].std()) == pytest.approx(2, rel=0.15)
    torch.testing.assert_close(noisy[2], (noisy[0] + noisy[4]) / 2)


def test_matrices_act_on_their_own_axis():
    image = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(0))
    found = along_axes(image, [np.eye(3), np.eye(4)[::-1].copy(), 2 * np.eye(5)])
    torch.testing.assert_close(found, 2 * image.flip(1))


def test_distance_map():
    """Voxels of 1 mm, samples every 3 mm along the first axis and 2 mm along the last."""
    found = sampling_map("distance", (3.0, 1.0, 2.0), UNIT, (6, 2, 4), (6, 2, 4))
    assert found[:, 0, 0].tolist() == pytest.approx([0, 1, 1, 0, 1, 1])
    assert found[0, 1].tolist() == pytest.approx([0, 1, 0, 1])
    assert float(found[1, 0, 1]) == pytest.approx(2**0.5)


def test_reliability_map():
    found = sampling_map("reliability", (3.0, 1.0, 1.0), UNIT, (6, 2, 2), (6, 2, 2))
    assert found[:, 0, 0].tolist() == [1, 0, 0, 1, 0, 0]
    assert found[0].tolist() == [[1, 1], [1, 1]]
    shared = sampling_map("reliability", (2.5, 1.0, 1.0), UNIT, (5, 1, 1), (5, 1, 1))
    assert shared[:, 0, 0].tolist() == pytest.approx([1, 0, 0.5, 0.5, 0])
    everything = sampling_map("reliability", UNIT, UNIT, (4, 4, 4), (4, 4, 4))
    assert everything.min() == 1
