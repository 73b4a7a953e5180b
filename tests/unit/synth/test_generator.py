"""Whole samples: rows G4, G5, G9, G10, G15, G16 and G18 of the acceptance table, options, and refusals."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from synthseg_core.errors import SynthSegError
from synthseg_core.labels.table import LabelTable
from synthseg_core.synth import BrainGenerator, Draw, GenerationLabels, Recipe, read_maps, read_recipe
from synthseg_core.synth.draw import BIAS
from synthseg_core.synth.fields import resize_nearest
from synthseg_core.synth.intensities import log_bias_field, normalise
from synthseg_core.synth.priors import IntensityPriors
from synthseg_core.synth.randomness import generator as source
from synthseg_core.synth.recipe import (
    BackgroundSpec,
    BiasFieldSpec,
    ContrastSpec,
    CropSpec,
    DeformationSpec,
    DropLabels,
    MixtureSpec,
    ResolutionSpec,
)
from tests.phantoms.heads import PAIRS, SHAPE, SMALL, STILL, hollow_maps, phantom_maps, small

# Targets are the labels themselves, so that nothing hides behind shared target values.
IDENTITY = GenerationLabels.builtin(outputs="value")
WHOLE = CropSpec(shape=None, multiple=None)
SHARP = ResolutionSpec(mode="fixed", sample_again=False)
CLEAN = {
    "deformation": STILL,
    "crop": WHOLE,
    "flip_probability": 0.0,
    "bias_field": BiasFieldSpec(probability=0),
    "intensity": ContrastSpec(gamma_std=0),
    "resolution": SHARP,
}


def made(recipe: Recipe, seed=1, **options):
    labels = GenerationLabels.builtin(outputs=recipe.output_column, classes=recipe.class_column)
    return BrainGenerator(phantom_maps(labels, **options), recipe).sample(seed)


# G4


def mirrored(recipe=None):
    """The same sample as it is and mirrored."""
    recipe = recipe or small(output_column="value")
    generator = BrainGenerator(phantom_maps(IDENTITY), recipe)
    draw = generator.draw(3)
    return [generator.apply(replace(draw, flip=flip)).labels.numpy() for flip in (False, True)]


def test_g4_mirrored_heads_exchange_all_pairs():
    """G4: the output is the mirrored input with the 18 pairs exchanged, exactly."""
    plain, flipped = mirrored(small(output_column="value", crop=WHOLE))
    swap = {**dict(PAIRS), **{right: left for left, right in PAIRS}}
    assert len(swap) == 36
    assert set(swap) <= set(np.unique(plain))
    expected = np.vectorize(lambda value: swap.get(value, value))(plain[::-1])
    np.testing.assert_array_equal(flipped, expected)
    assert not np.array_equal(flipped, plain[::-1])


def test_g4_twice_is_identity():
    labels = GenerationLabels.builtin()
    swap = np.array(labels.swap_index)
    np.testing.assert_array_equal(swap[swap], np.arange(54))
    np.testing.assert_array_equal(swap[: labels.n_neutral], np.arange(18))


def test_g4_image_and_labels_are_mirrored_together():
    """Without noise every voxel's intensity is that of its label, mirrored or not."""
    recipe = Recipe(**{**CLEAN, "flip_probability": 1.0}, mixture=MixtureSpec(stds=(0, 0)), output_column="value")
    sample = made(recipe)
    assert sample.draw.flip
    image, labels = sample.image[0].numpy(), sample.labels.numpy()
    means = dict(zip(IDENTITY.values, (sample.draw.channels[0].means[c] for c in IDENTITY.classes), strict=True))
    low, high = min(means[v] for v in np.unique(labels)), max(means[v] for v in np.unique(labels))
    expected = (np.vectorize(means.get)(labels) - low) / (high - low)
    inside = (slice(1, -1),) * 3  # the blur of half a voxel does the rest
    shifts = itertools.product((-1, 0, 1), repeat=3)
    flat = np.all([labels == np.roll(labels, shift, (0, 1, 2)) for shift in shifts], axis=0)
    assert np.abs(image - expected)[inside][flat[inside]].max() < 1e-4


# G5


def test_g5_only_labels_of_the_target():
    for preset in ("official", "robust_s1"):
        recipe = small(preset)
        labels = GenerationLabels.builtin(outputs=recipe.output_column)
        sample = made(recipe)
        assert set(sample.labels.unique().tolist()) <= set(labels.outputs) | {0}
        assert sample.target_values == labels.target_values
        assert int(sample.index_map.max()) < len(sample.target_values)
    assert len(GenerationLabels.builtin().target_values) == 33


def test_g5_a_warp_makes_no_new_values():
    sample = made(small(output_column="value"))
    assert set(sample.labels.unique().tolist()) <= set(IDENTITY.values)


def ratios(test_data, step: int, recipe: Recipe, seeds) -> np.ndarray:
    """Volumes of whole deformed maps as a share of those before, for labels of more than 1000 mm3.

    Tissue outside the brain is left out: at the border of the field of view it may leave it.
    """
    paths = [test_data / "training_label_maps" / f"training_seg_{number:02d}.nii.gz" for number in (1, 5)]
    maps = read_maps(paths, replace(recipe, output_column="value", map_step=step))
    generator = BrainGenerator(maps, replace(recipe, output_column="value", crop=WHOLE, flip_probability=0))
    outside = torch.tensor([value == 0 or value in maps.labels.extracerebral for value in maps.labels.values])
    found = []
    for seed in seeds:
        draw = generator.draw(seed)
        with torch.no_grad():
            warped = generator._deformed(draw).index_map
        before, after = (
            torch.bincount(one.flatten().int(), minlength=54).double() for one in (maps.indices[draw.map_index], warped)
        )
        large = (before * step**3 > 1000) & ~outside
        assert int(large.sum()) > 25
        found.append((after / before)[large].numpy())
    return np.concatenate(found)


def test_g5_volumes_survive_on_maps_of_2_mm(test_data):
    """G5 on every second voxel of real maps: 3 draws."""
    found = ratios(test_data, 2, read_recipe("default_2mm"), range(3))
    assert found.min() > 0.4
    assert found.max() < 2.5


@pytest.mark.slow
def test_g5_volumes_survive(test_data):
    """G5: 6 draws at full size."""
    found = ratios(test_data, 1, read_recipe("official"), range(6))
    assert found.min() > 0.4
    assert found.max() < 2.5


# G9, G10


def test_g9_strength_of_the_bias():
    """G9: RMS of the log field is 0.65 b on average of 60 fields, their mean is 0."""
    spec = BiasFieldSpec()
    fields = [log_bias_field((160, 160, 160), 0.5, spec, source(seed))[::4, ::4, ::4] for seed in range(60)]
    rms = [float(one.square().mean().sqrt()) / 0.5 for one in fields]
    means = np.array([float(one.mean()) for one in fields])
    assert 0.60 <= np.mean(rms) <= 0.70
    assert abs(means.mean()) < 3 * means.std() / np.sqrt(60)


def test_g9_last_voxels_are_constant_unless_grids_are_centred():
    for axis in range(3):
        field = log_bias_field((160, 160, 160), 0.5, BiasFieldSpec(), source(0)).movedim(axis, 0)
        assert torch.equal(field[-40:], field[-1:].expand(40, -1, -1))
        assert not torch.equal(field[-41], field[-40])
        centred = log_bias_field((160, 160, 160), 0.5, BiasFieldSpec(centred_grid=True), source(0)).movedim(axis, 0)
        assert torch.equal(centred[-20:], centred[-1:].expand(20, -1, -1))
        assert torch.equal(centred[:20], centred[:1].expand(20, -1, -1))
        assert not torch.equal(centred[-21], centred[-20])


def test_g10_images_lie_between_0_and_1():
    generator = BrainGenerator(phantom_maps(), small())
    for seed in range(8):
        image = generator.sample(seed).image
        assert image.dtype == torch.float32
        assert float(image.min()) >= 0
        assert float(image.max()) <= 1
        assert float(image.max()) > 0.2


# G15, G16


def test_g15_same_seed_same_bits():
    """G15: another generator, after other samples, makes the same sample."""
    first, second = (BrainGenerator(phantom_maps(), small()) for _ in range(2))
    for seed in (5, 6):
        second.sample(seed)
    wanted, found = first.sample(7), second.sample(7)
    assert torch.equal(wanted.image, found.image)
    assert torch.equal(wanted.index_map, found.index_map)
    assert wanted.draw == found.draw
    assert not torch.equal(wanted.image, second.sample(8).image)


def test_g15_global_random_state_neither_matters_nor_moves():
    generator = BrainGenerator(phantom_maps(), small())
    torch.manual_seed(0)
    state = torch.get_rng_state()
    wanted = generator.sample(1).image
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(9)
    assert torch.equal(generator.sample(1).image, wanted)


def test_g15_number_of_threads_does_not_matter():
    generator = BrainGenerator(phantom_maps(), small())
    threads = torch.get_num_threads()
    try:
        samples = []
        for count in (1, 2):
            torch.set_num_threads(count)
            samples.append(generator.sample(4))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(samples[0].index_map, samples[1].index_map)
    torch.testing.assert_close(samples[0].image, samples[1].image, atol=1e-6, rtol=0)


def test_g16_batch_equals_singles():
    generator = BrainGenerator(phantom_maps(), small(channels=2))
    images, classes = generator.batch([3, 9, 4])
    assert images.shape == (3, 2, *SMALL.shape)
    assert classes.shape == (3, *SMALL.shape)
    for row, seed in enumerate([3, 9, 4]):
        sample = generator.sample(seed)
        assert torch.equal(images[row], sample.image)
        assert torch.equal(classes[row], sample.index_map)


# Replay


@pytest.mark.parametrize("preset", ["official", "default_2mm", "pv"])
def test_draws_are_replayed_from_json_bit_for_bit(preset):
    channels = {"channels": 2} if preset == "official" else {}
    recipe = small(preset, crop=replace(SMALL, centre="brain", jitter_voxels=3), **channels)
    generator = BrainGenerator(phantom_maps(), recipe)
    sample = generator.sample(21)
    text = sample.draw.to_json()
    draw = Draw.from_json(text)
    assert draw == sample.draw
    assert draw.to_json() == text
    again = BrainGenerator(phantom_maps(), recipe).apply(draw)
    assert torch.equal(again.image, sample.image)
    assert torch.equal(again.index_map, sample.index_map)
    np.testing.assert_array_equal(again.affine, sample.affine)


def test_damaged_draws_are_one_line():
    text = BrainGenerator(phantom_maps(), small()).draw(1).to_json()
    content = json.loads(text)
    for broken in ("{", "[]", json.dumps({**content, "new": 1}), json.dumps({**content, "seed": "x"})):
        with pytest.raises(SynthSegError, match="^draw") as caught:
            Draw.from_json(broken)
        assert "\n" not in str(caught.value)
    del content["flip"]
    with pytest.raises(SynthSegError, match="found no flip"):
        Draw.from_json(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"map_index": 2}, "label map 2 of 2"),
        ({"corner": (20, 0, 0)}, "a crop at"),
        ({"shearing": (0.0,)}, "1 shears"),
        ({"channels": ()}, "0 channels"),
        ({"dropped": (999,)}, "no values"),
    ],
)
def test_draws_of_something_else_are_refused(change, found):
    generator = BrainGenerator(phantom_maps(), small())
    with pytest.raises(SynthSegError, match=found):
        generator.apply(replace(generator.draw(1), **change))


# G18, geometry


@pytest.mark.parametrize(
    ("shape", "crop", "multiple", "crop_shape", "output_shape"),
    [
        ((256, 256, 256), (160, 160, 160), 32, (240, 240, 240), (160, 160, 160)),
        ((256, 256, 256), None, 32, (240, 240, 240), (160, 160, 160)),
        ((256, 200, 180), None, None, (256, 200, 180), (170, 133, 120)),
        ((256, 200, 180), (100, 150, 90), 8, (144, 192, 132), (96, 128, 88)),
    ],
)
def test_g18_shapes(shape, crop, multiple, crop_shape, output_shape):
    """G18: 1 mm maps to 1.5 mm."""
    recipe = Recipe(crop=CropSpec(crop, multiple), target_voxel_size_mm=1.5)
    found = BrainGenerator(hollow_maps(shape=shape), recipe).shape
    assert found.crop == crop_shape
    assert found.output == output_shape


def test_g18_affines_in_single_precision_lose_no_voxel():
    size = float(np.float32(1) * (1 - 6e-8))
    maps = replace(hollow_maps(), voxel_size=(size,) * 3)
    shape = BrainGenerator(maps, Recipe(crop=CropSpec(None, 32), target_voxel_size_mm=1.0)).shape
    assert shape.output == shape.crop == (256, 256, 256)


def test_g18_volumes_of_labels(test_data):
    """G18: mm3 change by less than 3 %, from 1 to 1.5 mm; those of small labels, which samples miss, on average."""
    path = test_data / "training_label_maps" / "training_seg_02.nii.gz"
    maps = read_maps(path, Recipe())
    recipe = Recipe(deformation=STILL, crop=WHOLE, flip_probability=0, target_voxel_size_mm=1.5)
    generator = BrainGenerator(maps, recipe)
    deformed = generator._deformed(generator.draw(0))
    index_map, corner = deformed.index_map, deformed.corner
    before = torch.bincount(index_map.flatten().int(), minlength=54).double()
    small_map = resize_nearest(index_map, generator.shape.output)
    voxel_mm3 = np.linalg.det(generator._affine(generator.draw(0), corner)[:3, :3])
    after = torch.bincount(small_map.flatten().int(), minlength=54).double() * voxel_mm3
    change = after / before - 1
    assert int((before > 10_000).sum()) >= 20
    assert float(change[before > 10_000].abs().max()) < 0.03
    assert int((before > 1000).sum()) >= 40
    assert abs(float(change[before > 1000].mean())) < 0.03


def test_affine_of_the_crop():
    """A voxel of the sample lies where the same voxel of the label map lies."""
    recipe = Recipe(**{**CLEAN, "crop": SMALL}, output_column="value")
    maps = phantom_maps(IDENTITY, voxel_size=(1.0, 1.3, 0.8))
    generator = BrainGenerator(maps, recipe)
    sample = generator.sample(5)
    assert sample.draw.corner is not None
    assert min(sample.draw.corner) > 0
    index = np.array([4, 30, 11, 1])
    world = sample.affine @ index
    back = np.linalg.inv(maps.affine[0]) @ world
    np.testing.assert_allclose(back[:3], index[:3] + sample.draw.corner, atol=1e-9)
    values = torch.tensor(IDENTITY.values)[maps.indices[sample.draw.map_index].long()]
    place = tuple(slice(start, start + n) for start, n in zip(sample.draw.corner, SMALL.shape, strict=True))
    assert torch.equal(sample.labels.long(), values[place])


def test_affine_of_another_resolution():
    recipe = Recipe(**{**CLEAN, "crop": CropSpec((16, 20, 12), None)}, target_voxel_size_mm=2.0)
    sample = made(recipe)
    assert sample.image.shape == (1, 16, 20, 12)
    np.testing.assert_allclose(np.linalg.norm(sample.affine[:3, :3], axis=0), 2, atol=1e-9)


def test_crops_around_the_brain_stay_there():
    maps = phantom_maps()
    recipe = small(deformation=STILL, crop=CropSpec((24, 24, 24), None, centre="brain"), flip_probability=0)
    sample = BrainGenerator(maps, recipe).sample(0)
    middle = np.array(sample.draw.corner) + 11.5
    np.testing.assert_allclose(middle, (np.array(SHAPE) - 1) / 2, atol=3)
    shaken = replace(recipe, crop=replace(recipe.crop, jitter_voxels=6))
    corners = np.array([BrainGenerator(maps, shaken).sample(seed).draw.corner for seed in range(12)])
    assert np.all(corners.std(0) > 1)


def test_tissue_around_the_brain_does_not_move_a_crop():
    """Skin below the brain, a target like the brain itself."""
    crop = CropSpec((24, 24, 24), None, centre="brain")
    brain, head = (
        small(output_column=c, deformation=STILL, crop=crop, flip_probability=0) for c in ("output", "output_head")
    )
    corners = [made(recipe, seed=0).draw.corner for recipe in (brain, head)]
    assert corners[0] == corners[1]


def test_stripped_heads_have_no_tissue_of_the_head_in_the_target():
    tissues = set(LabelTable.builtin("head").labels[33:])
    for probability in (0.0, 1.0):
        recipe = small(output_column="output_head", crop=WHOLE, drop_labels=(DropLabels(probability=probability),))
        assert bool(set(made(recipe).labels.unique().tolist()) & tissues) == (probability == 0)


# Options


def test_channels_share_anatomy_and_nothing_else():
    sample = made(small(channels=2))
    first, second = sample.draw.channels
    assert sample.image.shape[0] == 2
    assert first.means != second.means
    assert first.acquisition != second.acquisition
    assert (first.bias_std, first.exponent) != (second.bias_std, second.exponent)
    clean = made(Recipe(**CLEAN, channels=2, mixture=MixtureSpec(stds=(0, 0))))
    edges = [(one.diff(dim=0).abs() > 1e-3) for one in clean.image]
    assert float((edges[0] == edges[1]).float().mean()) > 0.95


def test_channels_have_noise_and_bias_of_their_own():
    even = MixtureSpec(means=(100, 100), random_background=False)
    noise = made(Recipe(**CLEAN, channels=2, mixture=replace(even, stds=(10, 10)))).image
    inside = noise[:, 1:-1, 1:-1, 1:-1].flatten(1)  # the blur of half a voxel darkens the border of both
    assert abs(float(torch.corrcoef(inside)[0, 1])) < 0.02
    bias = {"bias_field": BiasFieldSpec(probability=1)}
    fields = made(Recipe(**{**CLEAN, **bias}, channels=2, mixture=replace(even, stds=(0, 0)))).image.flatten(1)
    assert abs(float(torch.corrcoef(fields)[0, 1])) < 0.9


def test_bias_is_the_exponential_of_its_logarithm():
    """On tissue of one intensity the image is the field, brought to 0..1."""
    even = MixtureSpec(means=(100, 100), stds=(0, 0), random_background=False)
    sample = made(Recipe(**{**CLEAN, "bias_field": BiasFieldSpec(probability=1)}, mixture=even))
    drawn = sample.draw.channels[0]
    field = log_bias_field(SHAPE, drawn.bias_std, BiasFieldSpec(), source(sample.draw.stream(BIAS)))
    inside = (slice(1, -1),) * 3  # the blur of half a voxel darkens the border
    torch.testing.assert_close(sample.image[0][inside], normalise(field.exp())[inside], atol=0.01, rtol=0)
    assert not torch.allclose(sample.image[0][inside], normalise(field)[inside], atol=0.01, rtol=0)


def test_partial_view():
    recipe = small(channels=2, partial_view_probability=1.0)
    generator = BrainGenerator(phantom_maps(), recipe)
    axes = set()
    for seed in range(8):
        sample = generator.sample(seed)
        axis, start, stop = sample.draw.missing_share
        axes.add(axis)
        n = SMALL.shape[axis]
        missing = sample.image[1].movedim(axis, 0)[round(start * n) : round(stop * n)]
        assert stop - start <= 0.5
        assert missing.abs().sum() == 0
        assert sample.image[0].movedim(axis, 0)[round(start * n) : round(stop * n)].numel() == missing.numel()
    assert axes == {0, 1, 2}


def pv_sample(mode: str, zero: bool, **changes):
    recipe = small("pv", crop=WHOLE, background=BackgroundSpec(mode, zero_probability=float(zero)), **changes)
    recipe = replace(recipe, deformation=STILL, flip_probability=0, intensity=ContrastSpec(gamma_std=0))
    return made(replace(recipe, bias_field=BiasFieldSpec(probability=0)))


def test_masked_background_leaves_the_edge_of_the_head_alone():
    """A head of one intensity keeps it up to its edge, however thick slices are; without the mask it fades."""
    flat = MixtureSpec(means=(100, 100), stds=(0, 0), random_background=False)
    image, labels = (lambda s: (s.image[0], s.index_map))(pv_sample("masked", True, mixture=flat))
    inside = image > 0
    assert 0.15 < float(inside.float().mean()) < 0.9
    assert float(image[inside].min()) > 0.999
    assert labels.shape == image.shape


def test_masked_background_is_a_smooth_gaussian_of_its_own():
    flat = MixtureSpec(means=(200, 200), stds=(0, 0), random_background=False)
    sample = pv_sample("masked", False, mixture=flat)
    drawn = sample.draw.channels[0].background
    assert not drawn.zero
    corner = sample.image[0][:6, :6, :6] * 200  # outside the head; edges darken
    assert 0 < float(corner[2:, 2:, 2:].mean()) / 200 < 0.12
    around = np.array([pv_sample_background(seed) for seed in range(300)])
    assert around[:, 0].mean() == pytest.approx(0.5, abs=0.09)
    assert around[:, 1].max() <= 20
    assert around[:, 2].max() <= 10


def pv_sample_background(seed: int) -> tuple[bool, float, float]:
    generator = BrainGenerator(hollow_maps(), read_recipe("pv"))
    drawn = generator.draw(seed).channels[0].background
    return drawn.zero, drawn.mean, drawn.std


def test_reset_background():
    sample, same = (pv_sample("reset", zero) for zero in (True, False))
    assert float(sample.image[0][0].abs().sum()) == 0
    assert float(same.image[0][0].abs().sum()) > 0
    shares = [
        BrainGenerator(hollow_maps(), replace(read_recipe("pv"), background=BackgroundSpec("reset", 0.2)))
        .draw(seed)
        .channels[0]
        .background.zero
        for seed in range(400)
    ]
    assert np.mean(shares) == pytest.approx(0.2, abs=0.06)


def test_order_of_the_steps_matters():
    """Bias and gamma after the acquisition keep the maximum at 1; before it, blur lowers it."""
    after = made(small("pv", background=BackgroundSpec()))
    before = made(small("pv", background=BackgroundSpec(), order="bias_first"))
    assert float(after.image.max()) == pytest.approx(1, abs=1e-5)
    assert float(before.image.max()) < 0.999


def test_fixed_resolution_is_visible():
    """Slices of 4 mm along the second axis: linear between acquired ones."""
    thick = ResolutionSpec(mode="fixed", spacing_mm=((1.0, 4.0, 1.0),), thickness_mm=((1.0, 4.0, 1.0),))
    image = made(small(resolution=thick)).image[0]
    middle = (image[:, 4:33:4] + image[:, 8:37:4]) / 2
    torch.testing.assert_close(image[:, 6:35:4], middle, atol=1e-5, rtol=0)


def test_contrast_of_priors():
    """T1-weighted priors: fluid darker than cortex, cortex darker than white matter, in nearly every sample."""
    recipe = read_recipe("advanced")
    labels = GenerationLabels.builtin(classes=recipe.class_column)
    generator = BrainGenerator(hollow_maps(labels), recipe)
    means = np.array([generator.draw(seed).channels[0].means for seed in range(200)])
    fluid, cortex, white = (means[:, labels.classes[labels.values.index(value)]] for value in (4, 3, 2))
    assert ((fluid < cortex) & (cortex < white)).mean() > 0.9


def test_dropped_labels_become_background():
    """Explicit values with a probability, in maps whose name holds a text."""
    drop = DropLabels(values=(24, 3), probability=0.3, maps="head_1")
    recipe = small(output_column="value", crop=WHOLE, drop_labels=(drop,), deformation=STILL, flip_probability=0)
    generator = BrainGenerator(phantom_maps(IDENTITY), recipe)
    draws = [generator.draw(seed) for seed in range(400)]
    assert all(draw.dropped in ((), (3, 24)) for draw in draws)
    assert not any(draw.dropped for draw in draws if draw.map_index == 0)
    of_second = [bool(draw.dropped) for draw in draws if draw.map_index == 1]
    assert np.mean(of_second) == pytest.approx(0.3, abs=0.1)
    dropped = next(draw for draw in draws if draw.dropped)
    before, after = (generator.apply(one).labels for one in (replace(dropped, dropped=()), dropped))
    assert {3, 24} <= set(before.unique().tolist())
    assert torch.equal(after, torch.where((before == 3) | (before == 24), 0, before))


def test_stripped_heads():
    recipe = small(output_column="value", crop=WHOLE, drop_labels=(DropLabels(probability=1.0),))
    sample = made(recipe)
    assert not set(sample.labels.unique().tolist()) & set(IDENTITY.extracerebral)
    assert len(sample.draw.dropped) == 11


def test_quarter_turns():
    turned = replace(STILL, quarter_turns=True)
    recipe = Recipe(**{**CLEAN, "deformation": turned}, output_column="value")
    maps = phantom_maps(IDENTITY, shape=(40, 40, 40))
    generator = BrainGenerator(maps, recipe)
    draws = [generator.draw(seed) for seed in range(60)]
    assert {angle for draw in draws for angle in draw.rotation_deg} == {0, 90, 180, 270}
    draw = next(one for one in draws if one.rotation_deg[2] == 90 and one.rotation_deg[:2] == (0, 0))
    labels = generator.apply(draw).labels
    values = torch.tensor(IDENTITY.values, dtype=torch.int32)[maps.indices[draw.map_index].int()]
    assert torch.equal(labels, values.rot90(-1, (0, 1)))


@pytest.mark.parametrize("kind", ["distance", "reliability"])
def test_sampling_maps_follow_their_channel(kind):
    recipe = small(channels=2, sampling_map=kind)
    sample = made(recipe)
    assert sample.image.shape[0] == 4
    plain = made(replace(recipe, sampling_map="none"))
    assert torch.equal(sample.image[::2], plain.image)
    assert float(sample.image[1::2].min()) >= 0


def test_centred_grids_change_the_field():
    plain, centred = (
        made(small(deformation=DeformationSpec(centred_grid=option), output_column="value")) for option in (False, True)
    )
    assert plain.draw == centred.draw
    assert not torch.equal(plain.labels, centred.labels)


def test_full_precision_inside_autocast():
    """A training that calls the generator within its own precision gets the same samples."""
    generator = BrainGenerator(phantom_maps(), small())
    wanted = generator.sample(1).image
    with torch.autocast("cpu", torch.bfloat16):
        found = generator.sample(1).image
    assert torch.equal(found, wanted)


# Refusals


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (small(map_weights=(1.0,)), "map_weights"),
        (small(map_weights=(0.0, 0.0)), "map_weights"),
        (small(crop=CropSpec((32, 32, 16), 32)), "at least 32 along every axis"),
        (small(drop_labels=(DropLabels(values=(77,)),)), r"no values \[77\]"),
        (small(mixture=MixtureSpec(priors=IntensityPriors.builtin())), "25 classes"),
        (small(output_column="output_groups"), "as the recipe says"),
    ],
)
def test_recipes_that_do_not_fit_are_refused_at_once(recipe, message):
    with pytest.raises(SynthSegError, match=message) as caught:
        BrainGenerator(phantom_maps(), recipe)
    assert "\n" not in str(caught.value)


def test_sides_without_counterparts_are_not_mirrored():
    """Q9: the reference mirrors such heads and keeps their labels."""
    maps = phantom_maps()
    maps = replace(maps, labels=replace(maps.labels, n_neutral=54))
    with pytest.raises(SynthSegError, match="flip"):
        BrainGenerator(maps, small())
    BrainGenerator(maps, small(flip_probability=0.0)).sample(1)


def test_nothing_to_strip_is_refused():
    labels = replace(GenerationLabels.builtin(), extracerebral=())
    with pytest.raises(SynthSegError, match="drop_labels"):
        BrainGenerator(phantom_maps(labels), small(drop_labels=(DropLabels(),)))


def test_background_must_have_the_first_class():
    labels = GenerationLabels.builtin()
    swapped = tuple({0: 1, 1: 0}.get(c, c) for c in labels.classes)
    with pytest.raises(SynthSegError, match="random_background"):
        BrainGenerator(phantom_maps(replace(labels, classes=swapped)), small())


def test_fraction_of_brain_is_known():
    sample = made(small())
    assert sample.brain_fraction == pytest.approx(float((sample.labels > 0).float().mean()))
