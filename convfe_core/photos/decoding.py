"""From a decoded picture of any mode to upright RGB with eight bits a channel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convfe_core.base.arrays import PixelArray

_BAND = 256  # rows
_SENSOR_DEPTHS = (8, 10, 12, 14, 16)
_FEWEST_FOR_EIGHT_BITS = 16.0
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def upright_rgb(image: Image.Image, orientation: int) -> PixelArray:
    """Turn a decoded picture upright and into RGB, transparency laid over white.

    Parameters
    ----------
    image : as it is stored
    orientation : how it is to be turned, as EXIF counts, 1 to 8

    Returns
    -------
    (H, W, 3) uint8, read-only

    Raises
    ------
    ValueError : Pillow knows no way from the picture's mode to RGB
    """
    pixels = np.asarray(_upright(_to_rgb(image), orientation))
    pixels.setflags(write=False)
    return pixels


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    transposition = _TRANSPOSITIONS.get(orientation)
    return image if transposition is None else image.transpose(transposition)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        return Image.fromarray(to_eight_bits(np.asarray(image))).convert("RGB")
    if image.mode == "La":  # grey multiplied by its alpha, from which Pillow knows one way only
        image = image.convert("LA")
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        white = Image.new("RGBA", colours.size, "white")
        return Image.alpha_composite(white, colours).convert("RGB")
    return image.convert("RGB")


def to_eight_bits(values: NDArray[np.generic], missing: float | None = None) -> PixelArray:
    """Scale deep values to 0..255.

    Zero stays black, and white is where the sensor or the type ends (see `_black_and_white`). What is not finite, or
    `missing`, becomes the lowest value.

    Parameters
    ----------
    values : (H, W) or (H, W, C) integers or floats; channels are scaled alike
    missing : a value that stands for none

    Returns
    -------
    of the same shape, uint8
    """
    finite = np.isfinite(values)
    if missing is not None:
        finite &= values != missing
    if not finite.any():
        return np.zeros(values.shape, np.uint8)
    some = values.flat[finite.argmax()]
    lowest = float(np.min(values, where=finite, initial=some))
    highest = float(np.max(values, where=finite, initial=some))
    black, white = _black_and_white(values.dtype, lowest, highest)
    # Halves keep the difference of two huge floats finite.
    half_span = max(white / 2 - black / 2, np.finfo(np.float64).tiny)
    result = np.empty(values.shape, np.uint8)
    for top in range(0, values.shape[0], _BAND):  # in bands, so that a large picture needs no eightfold copy
        band = slice(top, top + _BAND)
        floats = np.where(finite[band], values[band], lowest).astype(np.float64)
        result[band] = np.clip(np.rint((floats / 2 - black / 2) / half_span * 255), 0, 255)
    return result


def _black_and_white(dtype: np.dtype[np.generic], lowest: float, highest: float) -> tuple[float, float]:
    """Which values are shown black and white.

    Integers that use the upper half of their type are white at its end. Cameras and microscopes store 12 bits in 16,
    so others are white at the top of the smallest usual sensor depth that holds the brightest. Floats within 0..1 are
    white at 1. What fits none of these (negative values, heights in metres, floats a little above 1, which would be
    black as eight bits) is stretched from lowest to highest.
    """
    if lowest < 0:
        return lowest, highest
    if dtype.kind == "f" and highest <= 1:
        return 0.0, 1.0
    if dtype.kind == "f" and highest < _FEWEST_FOR_EIGHT_BITS:
        return lowest, highest
    if dtype.kind in "iu" and highest > np.iinfo(dtype).max // 2:  # type: ignore[type-var]
        return 0.0, float(np.iinfo(dtype).max)  # type: ignore[type-var]
    if highest < 2 ** _SENSOR_DEPTHS[-1]:
        return 0.0, float(next(2**depth - 1 for depth in _SENSOR_DEPTHS if highest < 2**depth))
    return lowest, highest
