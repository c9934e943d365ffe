"""Where a photograph lies on a network's input, and how it is put there."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from convfe_core.base.arrays import PixelArray
from convfe_core.photos.photo import Photo


@dataclass(frozen=True)
class Frame:
    """Where a photograph lies on the canvas that a network receives.

    The resized photograph sits in the top left corner; what is right of it and below it is padding.
    """

    image_height: int
    image_width: int
    content_height: int
    content_width: int
    input_height: int
    input_width: int


OWN_SIZE_CAP = 1024
"""The longest side, in pixels, of a photograph that is looked at in its own size."""


def plan_frame(
    height: int,
    width: int,
    longest_side: int | None,
    multiple: int = 32,
    *,
    smallest: int = 1,
    fixed: tuple[int, int] | None = None,
) -> Frame:
    """Work out where a photograph goes on a network's input.

    Parameters
    ----------
    height, width : of the photograph, in pixels
    longest_side : what its longest side becomes, smaller or larger, the aspect ratio kept; None for its own
        size, at most `OWN_SIZE_CAP`
    multiple : the input's sides are padded up to a multiple of this, usually the stride
    smallest : the input's sides are at least this long; some networks accept no less
    fixed : (height, width) of the input of a network that takes no other; then `longest_side`, `multiple` and
        `smallest` count for nothing

    Examples
    --------
    >>> frame = plan_frame(300, 451, 320)
    >>> frame.content_height, frame.content_width, frame.input_height, frame.input_width
    (213, 320, 224, 320)
    """
    if min(height, width) < 1:
        raise ValueError(f"Expected a photograph of at least 1 x 1 pixels. Received: {height} x {width}")
    if multiple < 1 or (longest_side is not None and longest_side < 1) or (fixed and min(fixed) < 1):
        raise ValueError(
            "Expected longest_side, multiple and fixed of at least 1. "
            f"Received: longest_side={longest_side}, multiple={multiple}, fixed={fixed}"
        )
    if fixed is not None:
        scale = min(fixed[0] / height, fixed[1] / width)
        input_height, input_width = fixed
    else:
        scale = (longest_side or min(max(height, width), OWN_SIZE_CAP)) / max(height, width)
        input_height, input_width = (
            math.ceil(max(_scaled(side, scale), smallest) / multiple) * multiple for side in (height, width)
        )
    return Frame(
        image_height=height,
        image_width=width,
        content_height=min(_scaled(height, scale), input_height),
        content_width=min(_scaled(width, scale), input_width),
        input_height=input_height,
        input_width=input_width,
    )


def place_on_canvas(photo: Photo, frame: Frame) -> PixelArray:
    """Draw a photograph as a network receives it.

    It is resized with Pillow's bilinear filter, whose support grows with the reduction, so that nothing
    aliases, and which neither rings nor overshoots as bicubic and Lanczos do: no edges that the photograph
    does not have. The padding right of it and below it repeats its last pixels, so that it makes no edge of
    its own.

    Returns
    -------
    (input_height, input_width, 3) uint8
    """
    if (photo.height, photo.width) != (frame.image_height, frame.image_width):
        raise ValueError(
            f"Expected a frame for {photo.height} x {photo.width} pixels. "
            f"Received: frame for {frame.image_height} x {frame.image_width}"
        )
    content = photo.resized(frame.content_width, frame.content_height, Image.Resampling.BILINEAR)
    below, right = frame.input_height - frame.content_height, frame.input_width - frame.content_width
    return np.pad(content, ((0, below), (0, right), (0, 0)), mode="edge") if below or right else content


def reduce_photo(photo: Photo, longest_side: float) -> Photo:
    """Make a photograph small enough to keep many; one that is small enough comes back as it is.

    The digest stays that of the file.
    """
    scale = longest_side / max(photo.height, photo.width)
    if scale >= 1:
        return photo
    size = (_scaled(photo.width, scale), _scaled(photo.height, scale))
    pixels = np.array(Image.fromarray(photo.pixels).resize(size, Image.Resampling.BOX, reducing_gap=2.0))
    pixels.flags.writeable = False
    return replace(photo, pixels=pixels, reduced_from=photo.file_size)


def thumbnail_data_uri(photo: Photo, longest: int = 480) -> str:
    """Encode a photograph for a figure: a WebP data URI, half of a JPEG, its longest side at most `longest` pixels."""
    image = Image.fromarray(photo.pixels)
    image.thumbnail((longest, longest), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=80, method=2)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _scaled(side: int, scale: float) -> int:
    return max(1, math.floor(side * scale + 0.5))
