"""From a decoded picture of any mode to upright RGB with eight bits a channel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from convfe_core.base.arrays import PixelArray

_BAND = 256  # rows
_SENSOR_DEPTHS = (8, 10, 12, 14, 16)
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def upright_rgb(image: Image.Image) -> PixelArray:
    """Turn a decoded picture upright and into RGB, transparency laid over white.

    Returns
    -------
    (H, W, 3) uint8, read-only

    Raises
    ------
    ValueError
        When Pillow knows no way from the picture's mode to RGB.
    """
    # The conversion decodes where that has not happened; TIFF is then upright already and says so.
    colours = _to_rgb(image)
    pixels = np.asarray(_upright(colours, _orientation(image)))
    pixels.setflags(write=False)
    return pixels


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8, of a loaded picture; 1 where the EXIF block makes no sense."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged EXIF raises nearly everything, and is no reason to refuse a sound picture
        return 1
    return value if isinstance(value, int) else 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    transposition = _TRANSPOSITIONS.get(orientation)
    return image if transposition is None else image.transpose(transposition)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        return Image.fromarray(to_eight_bits(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        white = Image.new("RGBA", colours.size, "white")
        return Image.alpha_composite(white, colours).convert("RGB")
    return image.convert("RGB")


def to_eight_bits(values: NDArray[np.generic]) -> PixelArray:
    """Scale deep greyscale values to 0..255.

    Zero stays black and the top of the smallest usual sensor depth (8, 10, 12, 14 or 16 bits) that holds the
    brightest pixel becomes white, because cameras and microscopes store 12 bits in 16; floats within 0..1 are
    multiplied by 255. Values that fit neither (negative ones, heights in metres) are stretched from lowest to
    highest. What is not finite becomes the lowest value.

    Parameters
    ----------
    values : (H, W) integers or floats

    Returns
    -------
    (H, W) uint8
    """
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros(values.shape, np.uint8)
    some = values.flat[finite.argmax()]
    lowest = float(np.min(values, where=finite, initial=some))
    highest = float(np.max(values, where=finite, initial=some))
    if lowest >= 0 and highest <= 1 and values.dtype.kind == "f":
        black, white = 0.0, 1.0
    elif lowest >= 0 and highest < 2 ** _SENSOR_DEPTHS[-1]:
        black, white = 0.0, float(next(2**depth - 1 for depth in _SENSOR_DEPTHS if highest < 2**depth))
    else:
        black, white = lowest, highest
    # Halves keep the difference of two huge floats finite.
    half_span = max(white / 2 - black / 2, np.finfo(np.float64).tiny)
    result = np.empty(values.shape, np.uint8)
    for top in range(0, values.shape[0], _BAND):  # in bands, so that a large picture needs no eightfold copy
        band = slice(top, top + _BAND)
        floats = np.where(finite[band], values[band], lowest).astype(np.float64)
        result[band] = np.clip(np.rint((floats / 2 - black / 2) / half_span * 255), 0, 255)
    return result
