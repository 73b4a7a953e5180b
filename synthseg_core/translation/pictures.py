"""2D pictures (PNG, TIFF): reading grey values and labels, another size and back, writing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from synthseg_core.errors import InputError, UsageError
from synthseg_core.images.resampling import centred_sampling, resample_axis
from synthseg_core.system import memory
from synthseg_core.translation.contrast import Window, is_label_map, robust_window

EXTENSIONS = (".png", ".tif", ".tiff")
_GREY = ("1", "L", "I;16", "I;16L", "I;16B", "I;16N", "I", "F")
_PERHAPS_GREY = ("P", "LA", "PA", "RGB", "RGBA", "RGBX")
_PREFILTER_SIGMA = 0.25  # of a pixel that becomes larger, in new pixels; as in segmentation.conform
_BYTES_A_PIXEL = 24  # colours, floats and a copy
_FULL = 255


def read_picture(path: Path) -> np.ndarray:
    """Read the grey values of a picture.

    Parameters
    ----------
    path
        PNG or TIFF, of one page. Pictures in colours whose channels are equal are grey.

    Returns
    -------
    (height, width)
        uint8, uint16, int32 or float32.

    Raises
    ------
    InputError
        If it cannot be read, or has colours, several pages, transparency, one value only or few as a label map has.
    """
    grey = _grey(path)
    if grey.min() == grey.max():
        raise InputError(
            path, found=f"{grey.flat[0]} in every pixel", expected="a picture", remedy="remove the file, or correct it"
        )
    if is_label_map(grey):
        raise InputError(
            path,
            found="few different whole numbers in regions, as in a label map",
            expected="a picture in shades of grey",
            remedy="give pictures, not segmentations; folders of these can be left out with --exclude",
        )
    return grey


def read_label_picture(path: Path) -> np.ndarray:
    """Read the labels of a picture, (height, width) of whole numbers; ``InputError`` if it has colours or fractions."""
    labels = _grey(path)
    if labels.dtype.kind not in "iu":
        raise InputError(
            path, found=f"{labels.dtype} values", expected="whole numbers", remedy="save the labels as 8 bits"
        )
    return labels


def grey8(picture: np.ndarray) -> tuple[np.ndarray, Window]:
    """Return a picture in 8 bits, and the values that became 0 and 255: all there are, or of more bits two percentiles.

    Parameters
    ----------
    picture : (height, width)
        As :func:`read_picture` returns it.
    """
    if picture.dtype == np.uint8:
        return picture, Window(0, _FULL)
    window = robust_window(picture)
    return to_8_bits(window.normalised(picture)), window


def to_8_bits(image: np.ndarray) -> np.ndarray:
    """Return values from -1 to 1 as 0 to 255, rounded."""
    return np.clip(np.rint((image.astype(np.float64) + 1) * (_FULL / 2)), 0, _FULL).astype(np.uint8)


def resized(picture: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return a picture with another number of pixels between the same edges, float32; interpolated linearly.

    Parameters
    ----------
    picture : (height, width)
        Of any number type.
    shape
        (height, width) of the result; the same shape gives the same values.
    """
    data = picture.astype(np.float32)
    steps = [old / new for old, new in zip(picture.shape, shape, strict=True)]
    sigmas = [_PREFILTER_SIGMA * step if step > 1 else 0.0 for step in steps]
    data = gaussian_filter(data, sigmas) if any(sigmas) else data
    for axis, (new, step) in enumerate(zip(shape, steps, strict=True)):
        if new != data.shape[axis]:
            data = resample_axis(data, centred_sampling(new, step, data.shape[axis]), axis)
    return data


def rounded(picture: np.ndarray) -> np.ndarray:
    """Return values from 0 to 255 as uint8."""
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def picture_shape(path: Path) -> tuple[int, int]:
    """Return the height and width of a picture, from its header; ``InputError`` if it cannot be read."""
    with _reading(path), _pillow().open(path) as image:
        return image.height, image.width


def picture_bytes(picture: np.ndarray, ending: str = ".png") -> bytes:
    """Return a picture of 8 or 16 bits as a file; ``ending`` says whether as PNG or TIFF."""
    buffer = BytesIO()
    _pillow().fromarray(picture).save(buffer, "PNG" if ending.lower() == ".png" else "TIFF")
    return buffer.getvalue()


def _grey(path: Path) -> np.ndarray:
    """Read one page of grey values."""
    with _reading(path), _pillow().open(path) as image:
        pages = getattr(image, "n_frames", 1)
        if pages > 1:
            raise _unusable(path, f"{pages} pages", "one", "save each page as a file of its own")
        memory.require(_BYTES_A_PIXEL * image.width * image.height, path, f"{image.width} x {image.height} pixels")
        if image.mode in _GREY:
            values = np.array(image.convert("L") if image.mode == "1" else image)
            return values.astype(values.dtype.newbyteorder("="), copy=False)
        if image.mode in _PERHAPS_GREY:
            return _equal_channels(np.array(image.convert("RGBA")), path)
        raise _unusable(path, f"colours ({image.mode})", "shades of grey", "convert the picture to grey")


def _equal_channels(colours: np.ndarray, path: Path) -> np.ndarray:
    red = colours[..., 0]
    if any((colours[..., channel] != red).any() for channel in (1, 2)):
        raise _unusable(path, "a picture in colours", "shades of grey", "convert the picture to grey")
    if (colours[..., 3] != _FULL).any():
        raise _unusable(path, "a picture that is transparent in parts", "shades of grey", "remove the transparency")
    return np.ascontiguousarray(red)


def _pillow() -> Any:
    """Return Pillow, which reads pictures of any size here: memory is looked at before."""
    try:
        from PIL import Image
    except ImportError as error:
        raise UsageError(
            "pictures",
            found="no Pillow in this environment",
            expected="Pillow",
            remedy="pip install 'synthseg-bids[translation]'",
        ) from error
    return Image


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what Pillow raises into one line, and let it read more than 89 million pixels."""
    pillow = _pillow()
    most, pillow.MAX_IMAGE_PIXELS = pillow.MAX_IMAGE_PIXELS, None
    try:
        yield
    except InputError:
        raise
    except (OSError, SyntaxError, ValueError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).replace(str(path), "it").split())
        raise _unusable(
            path,
            f"no readable picture ({reason})",
            "PNG, or TIFF of 8 or 16 bits or floats",
            "save it in one of these, with one channel",
        ) from error
    finally:
        pillow.MAX_IMAGE_PIXELS = most


def _unusable(path: Path, found: str, expected: str, remedy: str) -> InputError:
    return InputError(path, found=found, expected=expected, remedy=remedy)
