"""Training pictures: read from a zip or a folder, and laid out on square canvases that show objects at many scales."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

UNLABELLED = -1
LONGEST_SIDE = 256
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
GREY = 127

ByteArray = NDArray[np.uint8]
LabelArray = NDArray[np.int32]


@dataclass(frozen=True)
class Pictures:
    """Pictures in memory: (h, w, 3) uint8 arrays, a label each (`UNLABELLED` without a class), class and file names."""

    images: list[ByteArray]
    labels: LabelArray
    classes: list[str]
    names: list[str]


@dataclass(frozen=True)
class Canvases:
    """Square training inputs.

    Attributes
    ----------
    images : (n, size, size, 3) uint8
    labels : (n, 5) int32, the classes of the four quadrants (top left, top right, bottom left, bottom right) and of the
        whole canvas; `UNLABELLED` where there is none
    """

    images: ByteArray
    labels: LabelArray


def read_pictures(source: Path, subset: str = "", limit: int | None = None) -> Pictures:
    """Read a zip or a folder: pictures in class folders are labelled, pictures outside one are not.

    Parameters
    ----------
    source : a zip file or a folder
    subset : a folder inside it, such as ``train``, whose sub-folders are the classes
    limit : keep only so many pictures, evenly spread over the sorted file names

    Raises
    ------
    ValueError
        If `source` holds no picture there.
    """
    entries = sorted(_read_entries(source, subset))
    if not entries:
        raise ValueError(f"Expected pictures ({', '.join(sorted(SUFFIXES))}) in {source}/{subset}. Received: none.")
    if limit is not None and limit < len(entries):
        entries = [entries[i] for i in np.linspace(0, len(entries) - 1, limit).astype(int)]
    folders = [PurePosixPath(name).parts[:-1] for name, _ in entries]
    classes = sorted({parts[0] for parts in folders if parts})
    index = {name: number for number, name in enumerate(classes)}
    labels = np.array([index[parts[0]] if parts else UNLABELLED for parts in folders], dtype=np.int32)
    return Pictures([_decode(data) for _, data in entries], labels, classes, [name for name, _ in entries])


def _read_entries(source: Path, subset: str) -> Iterator[tuple[str, bytes]]:
    """Yield (path below `subset`, bytes) of every picture."""
    prefix = f"{subset}/" if subset else ""
    if source.is_dir():
        root = source / subset
        for path in sorted(root.rglob("*")):
            if path.suffix.lower() in SUFFIXES:
                yield path.relative_to(root).as_posix(), path.read_bytes()
        return
    with zipfile.ZipFile(source) as archive:
        for name in archive.namelist():
            if name.startswith(prefix) and PurePosixPath(name).suffix.lower() in SUFFIXES:
                yield name.removeprefix(prefix), archive.read(name)


def _decode(data: bytes) -> ByteArray:
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    return np.asarray(picture)


def make_canvases(
    labelled: Pictures, photos: Pictures | None, count: int, size: int, seed: tuple[int, ...]
) -> Canvases:
    """Lay out `count` canvases in random order, the same for the same seed.

    With `photos`: 45 % mosaics of four labelled pictures, 10 % single labelled pictures, 30 % crops of a photo (20
    to 100 % of its area) and 15 % whole photos, shrunk into the top left corner of a grey canvas. Without: 60 % mosaics
    and 40 % single pictures. Mosaics show objects small and among others; crops show them large and cut off.
    """
    rng = np.random.default_rng(seed)
    shares = {"mosaic": 0.45, "single": 0.1, "crop": 0.3, "whole": 0.15} if photos else {"mosaic": 0.6, "single": 0.4}
    kinds = rng.choice(list(shares), size=count, p=list(shares.values()))
    queue = _endless(rng, len(labelled.images))
    photo_queue = _endless(rng, len(photos.images)) if photos else iter(())
    images = np.empty((count, size, size, 3), dtype=np.uint8)
    labels = np.full((count, 5), UNLABELLED, dtype=np.int32)
    for i, kind in enumerate(kinds):
        if kind == "mosaic":
            half = size // 2
            for tile in range(4):
                j = next(queue)
                row, column = divmod(tile, 2)
                images[i, row * half : (row + 1) * half, column * half : (column + 1) * half] = _crop(
                    rng, labelled.images[j], half, 0.5
                )
                labels[i, tile] = labelled.labels[j]
        elif kind == "single":
            j = next(queue)
            images[i] = _crop(rng, labelled.images[j], size, 0.5)
            labels[i, 4] = labelled.labels[j]
        else:
            assert photos is not None
            photo = photos.images[next(photo_queue)]
            images[i] = _crop(rng, photo, size, 0.2) if kind == "crop" else _shrink(rng, photo, size)
    return Canvases(images, labels)


def _endless(rng: np.random.Generator, count: int) -> Iterator[int]:
    """Yield every index once in random order, then again in another order, and so on."""
    while True:
        yield from rng.permutation(count)


def _crop(rng: np.random.Generator, picture: ByteArray, size: int, smallest: float) -> ByteArray:
    """Cut out a random rectangle of at least the share `smallest` of the area, mirrored half of the time."""
    height, width = picture.shape[:2]
    area = rng.uniform(smallest, 1) * height * width
    aspect = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
    w, h = min(width, np.sqrt(area * aspect)), min(height, np.sqrt(area / aspect))
    x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
    cut = Image.fromarray(picture).resize((size, size), Image.Resampling.BILINEAR, box=(x, y, x + w, y + h))
    return np.asarray(cut)[:, ::-1] if rng.random() < 0.5 else np.asarray(cut)


def _shrink(rng: np.random.Generator, picture: ByteArray, size: int) -> ByteArray:
    """Put the whole picture, its longest side 60 to 100 % of `size`, into the top left corner of a grey canvas."""
    scale = rng.uniform(0.6, 1) * size / max(picture.shape[:2])
    height, width = (max(1, round(side * scale)) for side in picture.shape[:2])
    canvas = np.full((size, size, 3), GREY, dtype=np.uint8)
    canvas[:height, :width] = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR))
    return canvas


def as_input(images: ByteArray) -> NDArray[np.float32]:
    """(n, h, w, 3) uint8 -> float32 in -1..1, what the built-in backbones take."""
    return images.astype(np.float32) / 127.5 - 1
