"""Sizes of pictures, read without decoding them."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import ExifTags, Image

from convfe_core.base.errors import AnnotationError, StoreError
from convfe_core.datasets.file_sets import FileSet
from convfe_core.photos.photo import FORMATS


@dataclass(frozen=True)
class Header:
    """A picture's size before and after it is turned upright, as (height, width), and its EXIF orientation."""

    stored: tuple[int, int]
    upright: tuple[int, int]
    orientation: int


def read_header(source: FileSet, name: str) -> Header:
    """Read a picture's size without decoding it.

    Raises
    ------
    AnnotationError
        When it is no picture; the message leaves the file's name to the caller.
    """
    try:
        with source.open(name) as file, Image.open(file, formats=FORMATS) as image:
            size = image.height, image.width
            # A PNG's own `getexif` decodes the whole picture to see what comes after it.
            exif = Image.Image.getexif(image) if image.format == "PNG" else image.getexif()
            orientation = exif.get(ExifTags.Base.Orientation, 1)
            is_tiff = image.format == "TIFF"
    except StoreError:
        raise
    except Exception as error:  # Pillow's readers raise nearly everything on damaged headers
        raise AnnotationError("is no picture that can be read") from error
    if not isinstance(orientation, int) or not 1 <= orientation <= 8:
        orientation = 1
    turned = size[::-1] if orientation >= 5 else size
    # Pillow states the upright size of a TIFF, and the stored size of everything else.
    return Header(turned, size, orientation) if is_tiff else Header(size, turned, orientation)
