"""Small exact objects for tests."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convfe_core.geometry.cell_geometry import CellGrid
from convfe_core.maps.feature_maps import FeatureMaps
from convfe_core.photos.letterbox import Frame
from convfe_core.photos.photo import Photo

RED, WHITE = (255, 0, 0), (255, 255, 255)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """The bytes of a PNG file."""
    return encode(Image.fromarray(pixels))


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The bytes of an image file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def corners() -> Image.Image:
    """24 x 16, upright: its top left quarter red, the others green, blue and white."""
    image = Image.new("RGB", (24, 16), WHITE)
    image.paste(RED, (0, 0, 12, 8))
    image.paste((0, 255, 0), (12, 0, 24, 8))
    image.paste((0, 0, 255), (0, 8, 12, 16))
    return image


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """(height, width, 3) uint8 noise with large and small shapes in it."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (max(1, height // 16), max(1, width // 16), 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def photo(height: int = 96, width: int = 128, seed: int = 0, name: str = "noise.png") -> Photo:
    """A photograph that was never a file."""
    pixels = noise(height, width, seed)
    return Photo(name=name, pixels=pixels, digest=hashlib.sha256(pixels.tobytes()).hexdigest())


def feature_maps(
    values: NDArray[np.float32],
    label: str = "Net",
    stride: int = 32,
    digest: str = "d" * 64,
    mean: NDArray[np.float32] | None = None,
) -> FeatureMaps:
    """Maps of a photograph that entered the network at its own size."""
    rows, columns = values.shape
    height, width = rows * stride, columns * stride
    return FeatureMaps(
        image="noise.png",
        digest=digest,
        label=label,
        weights="untrained",
        tap="output",
        max=values.astype(np.float32),
        mean=(values / 2 if mean is None else mean).astype(np.float32),
        frame=Frame(height, width, height, width, height, width),
        grid=CellGrid(rows, columns, stride, stride, stride / 2, stride / 2),
    )


def roi_average(
    features: NDArray[np.floating], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(h, w, C) averaged over N boxes by the (N, h) and (N, w) weights of `roi_weights`, to (N, C)."""
    return np.einsum("nh,nw,hwc->nc", rows, columns, features)


def voc_folder(folder: Path, images: int, side: int = 96) -> Path:
    """A folder of grey noise with one bright coloured square each, and Pascal VOC boxes around the squares."""
    random = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(images):
        pixels = random.integers(90, 120, (side, side, 3), dtype=np.uint8)
        left, top = (int(edge) for edge in random.integers(0, side - 32, 2))
        pixels[top : top + 32, left : left + 32] = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        (folder / f"{number:03}.png").write_bytes(png(pixels))
        (folder / f"{number:03}.xml").write_text(
            f"<annotation><filename>{number:03}.png</filename>"
            f"<size><width>{side}</width><height>{side}</height><depth>3</depth></size>"
            f"<object><name>square</name><bndbox><xmin>{left}</xmin><ymin>{top}</ymin>"
            f"<xmax>{left + 32}</xmax><ymax>{top + 32}</ymax></bndbox></object></annotation>"
        )
    return folder
