"""What a picture's file says of it, read without decoding its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO

from PIL import Image

from convfe_core.base.errors import ImageError, StoreError
from convfe_core.photos.orientation import stored_orientation
from convfe_core.photos.picture_formats import FORMATS_IN_WORDS, formats_for, is_tiff, what_came
from convfe_core.photos.tiff import TiffLayout, read_layout

_BEGINNING = 1 << 16  # where the EXIF block of a JPEG ends at the latest
_SEVERAL_FRAMES = ("GIF", "PNG", "WEBP", "AVIF")


@dataclass(frozen=True)
class Header:
    """A picture before it is decoded.

    Attributes
    ----------
    stored, upright : (height, width) before and after it is turned
    orientation : how it is to be turned, as EXIF counts, 1 to 8
    format : as Pillow calls it
    deep : whether it is a TIFF that only `convfe_core.photos.tiff` can decode
    note : what of the file is not shown, or nothing
    """

    stored: tuple[int, int]
    upright: tuple[int, int]
    orientation: int
    format: str
    deep: bool = False
    note: str = ""


def look(file: IO[bytes], name: str) -> Header:
    """Read a picture's header.

    Parameters
    ----------
    file : at its beginning; it can be read from any place
    name : its name; only what has no signature is known by it

    Raises
    ------
    ImageError
        When it is no picture that is read; the message leaves the file's name to the caller.
    Image.DecompressionBombError
        When its size is far beyond any limit.
    """
    beginning = file.read(_BEGINNING)
    layout = read_layout(file) if is_tiff(beginning) else None
    if layout is not None and layout.raw:
        raise ImageError(f"expected {FORMATS_IN_WORDS}, got a raw picture of a camera; save it as one of these.")
    file.seek(0)
    if layout is None or layout.plain:
        try:
            return _pillow_header(file, name, layout)
        except (StoreError, MemoryError, Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise
        except Exception as error:  # Pillow's readers raise nearly everything on damaged headers
            if layout is None:
                raise ImageError(f"expected {FORMATS_IN_WORDS}, got {what_came(beginning)}.") from error
    return _header((layout.height, layout.width), layout.orientation, "TIFF", layout.note, deep=True)


def _pillow_header(file: IO[bytes], name: str, layout: TiffLayout | None) -> Header:
    with Image.open(file, formats=formats_for(name)) as image:
        assert image.format is not None
        orientation = stored_orientation(image, file)
        size = image.height, image.width
        if image.format == "TIFF" and orientation >= 5:  # whose size Pillow states upright
            size = size[::-1]
        note = layout.note if layout is not None else ""
        if image.format in _SEVERAL_FRAMES and getattr(image, "is_animated", False):
            note = "the first of its frames is shown"
        return _header(size, orientation, image.format, note)


def _header(stored: tuple[int, int], orientation: int, kind: str, note: str, *, deep: bool = False) -> Header:
    return Header(stored, stored[::-1] if orientation >= 5 else stored, orientation, kind, deep, note)
