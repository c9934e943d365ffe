"""The photographs that boxes were drawn on: whether a file still holds the one, and which boxes these were."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

import numpy as np

from convfe_core.base.errors import ImageError
from convfe_core.datasets.boxes import ImageBoxes
from convfe_core.photos.photo import Photo, read_photo


def open_boxed(image: ImageBoxes, path: str, data: bytes) -> Photo:
    """Turn a file's bytes into the photograph that boxes were drawn on.

    Raises
    ------
    ImageError : they hold none, or one of another size
    """
    photo = read_photo(data, path)
    if (photo.height, photo.width) != (image.height, image.width):
        came = f"{photo.width} x {photo.height}"
        raise ImageError(f"its header says {image.width} x {image.height} pixels, it has {came}")
    return photo


def boxes_digest(images: Iterable[ImageBoxes]) -> str:
    """SHA-256, hex, of photographs' names, sizes, boxes and labels."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(json.dumps([image.image, image.height, image.width, list(image.labels)]).encode())
        digest.update(np.ascontiguousarray(image.boxes).tobytes())
    return digest.hexdigest()
