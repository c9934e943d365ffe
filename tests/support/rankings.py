"""Pictures whose boxes hold all that there is to see, and how they are ranked quickly."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from convfe_core.base.arrays import PixelArray
from convfe_core.base.file_sets import UploadedFiles
from convfe_core.datasets.boxes import Dataset
from convfe_core.datasets.read_dataset import read_dataset
from convfe_core.maps.input_size import Size
from convfe_core.ranking.results import RankOptions

SMALL, OTHER = "TinyResNet", "TinyMobileNet"
QUICK = RankOptions(size=Size("96"), probe=False, control=False, cost=False)
FULL = RankOptions(size=Size("96"))


def picture(corner: tuple[int, int], seed: int, kind: str = "PNG") -> bytes:
    """A grey picture of 96 x 96 with a noisy patch of 32 x 32 at (x, y)."""
    random = np.random.default_rng(seed)
    pixels = np.full((96, 96, 3), 110, np.uint8)
    x, y = corner
    pixels[y : y + 32, x : x + 32] = random.integers(0, 255, (32, 32, 3))
    return as_png(pixels, kind)


def as_png(pixels: PixelArray, kind: str = "PNG") -> bytes:
    """(H, W, 3) pixels as the bytes of a file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def patches(count: int, *, shuffled: bool = False) -> dict[str, bytes]:
    """Pictures with a patch each, and YOLO boxes around the patches, or around those of other pictures."""
    random = np.random.default_rng(1)
    corners = random.integers(0, 64, (count, 2)).tolist()
    boxes = random.permutation(corners).tolist() if shuffled else corners
    files = {f"{n:03}.png": picture((x, y), n) for n, (x, y) in enumerate(corners)}
    for n, (x, y) in enumerate(boxes):
        files[f"{n:03}.txt"] = f"{n % 2} {(x + 16) / 96} {(y + 16) / 96} {32 / 96} {32 / 96}".encode()
    return files


def dataset(files: dict[str, bytes]) -> Dataset:
    return read_dataset(UploadedFiles(files.items()))
