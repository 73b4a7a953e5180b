"""A stack of slices translated: neighbours, tiles, noise, samples. The same seed gives the same bytes.

On a processor a network sees one tile at a time, so that how many are asked for at once changes no rounding; on a GPU
the tiles of a row go together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from synthseg_core.errors import UsageError
from synthseg_core.networks.devices import choose_device, explained_exhaustion
from synthseg_core.networks.translators import translating_net
from synthseg_core.system.progress import OnProgress
from synthseg_core.system.timing import current
from synthseg_core.translation.card import Domain, TranslatorCard, read_arrays
from synthseg_core.translation.matching import match
from synthseg_core.translation.noise import NoiseField, content_digest
from synthseg_core.translation.tiles import padded_shape, translate_image
from synthseg_core.translation.translator import ImageTranslator

_IMAGE, _LATENT = 0, 1
# Slices up to so many times the tile of the training are translated whole: networks of convolutions take them.
_WHOLE = 2
_MEMORY = {"purpose": "a tile", "expected": "room for the features of one", "remedy": "use a smaller --tile"}


@dataclass(frozen=True)
class ApplyOptions:
    """How images are translated.

    Parameters
    ----------
    seed
        Of the noise; the scan's own content joins it.
    samples
        Translations that are averaged; more than one makes sense for diffusion.
    tile
        Edge of the tiles, pixels; ``None``: slices as a whole where they are at most twice as large as the images of
        the training, otherwise tiles of that size.
    overlap
        Of tiles, pixels; ``None``: a quarter of a tile.
    batch_size
        Tiles that a GPU translates at once.
    planes
        Planes in which a scan is cut and translated, whose mean it becomes; empty: that of the translator.
    """

    seed: int = 0
    samples: int = 1
    tile: int | None = None
    overlap: int | None = None
    batch_size: int = 8
    planes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, least in (("seed", 0), ("samples", 1), ("batch_size", 1)):
            if getattr(self, name) < least:
                raise UsageError(
                    f"--{name.replace('_', '-')}",
                    found=str(getattr(self, name)),
                    expected=f"{least} or more",
                    remedy="correct it",
                )


class StackTranslator:
    """Translates stacks of slices in one direction.

    Parameters
    ----------
    card
        Of the translator.
    source, target
        Its domains, in the order of the direction.
    device
        Where to compute; no matter for methods without a network.

    Raises
    ------
    WeightsError
        If the weights are missing or damaged.
    """

    def __init__(self, card: TranslatorCard, source: Domain, target: Domain, device: str = "auto") -> None:
        self.card = card
        self.source = source
        self.target = target
        self.device = choose_device(device)
        self.image_translator = None if card.networks is None else _loaded(card, source, self.device)

    @property
    def steps(self) -> int:
        """Passes of a network for an image; 0 without a network."""
        return 0 if self.image_translator is None else self.image_translator.steps

    def samples(
        self, images: np.ndarray, options: ApplyOptions, progress: OnProgress | None = None
    ) -> Iterator[np.ndarray]:
        """Yield translated stacks, (N, height, width) float32, -1 to 1, one for each sample.

        Parameters
        ----------
        images : (N, height, width)
            Slices in their order, -1 to 1.
        options
            How.
        progress
            Called with the number of slices done and of all, over all samples.
        """
        images = np.ascontiguousarray(images, np.float32)
        if self.card.networks is None:
            for _ in range(options.samples):
                yield match(self.card.method, images, self.source.grey_values, self.target.grey_values)
            return
        content, total = content_digest(images), len(images) * options.samples
        shape = self._padded((images.shape[1], images.shape[2]), options)
        for sample in range(options.samples):
            field = NoiseField(content, options.seed, sample, shape)
            translated = np.empty_like(images)
            for number in range(len(images)):
                current().give_way()
                around = self._around(number, len(images))
                translated[number] = self._slice(images[around], around, field, options)
                if progress is not None:
                    progress(sample * len(images) + number + 1, total)
            yield translated

    def _around(self, number: int, count: int) -> list[int]:
        """Return the numbers of a slice and its neighbours; at the ends the outermost slice is repeated."""
        reach = self.card.neighbours
        return [min(max(one, 0), count - 1) for one in range(number - reach, number + reach + 1)]

    def _slice(self, image: np.ndarray, slices: list[int], field: NoiseField, options: ApplyOptions) -> np.ndarray:
        """Translate one slice with its neighbours, (C, height, width): as a whole, or in tiles."""
        height, width = image.shape[1:]
        translate = self._tile_translator(slices, field, options.batch_size)
        if not self._is_whole((height, width), options):
            return translate_image(image, translate, self._tile(options), options.overlap)
        rows, columns = self._padded((height, width), options)
        padded = np.pad(image, [(0, 0), (0, rows - height), (0, columns - width)], mode="edge")
        return translate(padded[None], np.zeros((1, 2), int))[0, :height, :width]

    def _is_whole(self, shape: tuple[int, int], options: ApplyOptions) -> bool:
        return options.tile is None and options.overlap is None and max(shape) <= _WHOLE * self.card.tile

    def _padded(self, shape: tuple[int, int], options: ApplyOptions) -> tuple[int, int]:
        """Return the shape that slices are padded to: no more than networks need, whose norms see what is added."""
        if self._is_whole(shape, options):
            return self._rounded(shape[0]), self._rounded(shape[1])
        return padded_shape(shape, self._tile(options))

    def _tile(self, options: ApplyOptions) -> int:
        return self._rounded(self.card.tile if options.tile is None else options.tile)

    def _rounded(self, count: int) -> int:
        assert self.card.networks is not None
        multiple = self.card.networks.multiple
        return -(-count // multiple) * multiple

    def _tile_translator(
        self, slices: list[int], field: NoiseField, batch_size: int
    ) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        size = batch_size if self.device.type != "cpu" else 1

        def translate(tiles: np.ndarray, corners: np.ndarray) -> np.ndarray:
            parts = [
                self._batch(tiles[start : start + size], corners[start : start + size], slices, field)
                for start in range(0, len(tiles), size)
            ]
            return np.concatenate(parts)

        return translate

    def _batch(self, tiles: np.ndarray, corners: np.ndarray, slices: list[int], field: NoiseField) -> np.ndarray:
        """Return the middle channel of translated tiles, (N, height, width)."""
        assert self.image_translator is not None
        assert self.card.networks is not None
        middle, latent = slices[len(slices) // 2], self.card.networks.diffusion.latent
        shape = tiles.shape[2], tiles.shape[3]

        def noise(step: int, what: str) -> Tensor:
            # Latent channels are numbered by kind, so that they do not repeat each other; all are of the middle slice.
            keys = [(step, _IMAGE)] if what == "image" else [(step, _LATENT + channel) for channel in range(latent)]
            numbers = slices if what == "image" else [middle]
            fields = [
                np.concatenate([field.tile(numbers, (row, column), shape, key) for key in keys])
                if keys
                else np.zeros((0, *shape), np.float32)
                for row, column in corners.tolist()
            ]
            return torch.from_numpy(np.stack(fields)).to(self.device)

        with explained_exhaustion("translation", **_MEMORY):
            images = self.image_translator(torch.from_numpy(np.ascontiguousarray(tiles)).to(self.device), noise)
        return images[:, len(slices) // 2].float().cpu().numpy()


def _loaded(card: TranslatorCard, source: Domain, device: torch.device) -> ImageTranslator:
    """Return the network of a direction with its weights."""
    assert card.networks is not None
    name, net = translating_net(card.networks, forward=source is card.domains[0])
    arrays = read_arrays(card)
    prefix = f"{name}."
    own = {key.removeprefix(prefix): torch.from_numpy(value) for key, value in arrays.items() if key.startswith(prefix)}
    wanted = net.state_dict()
    if wrong := [key for key, value in wanted.items() if key not in own or own[key].shape != value.shape]:
        raise card.fault(
            f"weights with {len(wrong)} arrays missing or of another shape, first {prefix}{wrong[0]}",
            "those of the networks that the card describes",
            "use the weights that belong to this card",
        )
    net.load_state_dict({key: own[key].float() for key in wanted})
    return ImageTranslator(card.networks, net.to(device).eval())


@dataclass(frozen=True)
class SampleMean:
    """Mean and spread of samples.

    Parameters
    ----------
    mean
        Of all.
    std
        Their standard deviation; ``None`` for a single one.
    """

    mean: np.ndarray
    std: np.ndarray | None


def mean_of_samples(samples: Iterator[np.ndarray], count: int) -> SampleMean:
    """Return mean and standard deviation of stacks, without holding more than one of them.

    Parameters
    ----------
    samples
        Stacks of one shape.
    count
        How many there are.
    """
    if count == 1:
        return SampleMean(next(iter(samples)), None)
    mean, squares = np.float64(0.0), np.float64(0.0)
    for number, stack in enumerate(samples, 1):
        change = stack.astype(np.float64) - mean
        mean = mean + change / number
        squares = squares + change * (stack - mean)
    std = np.sqrt(np.asarray(squares) / (count - 1))
    return SampleMean(np.asarray(mean).astype(np.float32), std.astype(np.float32))
