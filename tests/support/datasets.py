"""Small data sets in memory: pictures, and the annotation files around them."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from convfe_core.datasets.boxes import Dataset

Boxes = Sequence[tuple[float, float, float, float]]


def jpeg(width: int = 60, height: int = 40, orientation: int = 1, kind: str = "JPEG") -> bytes:
    """A picture of noise, stored as `width` x `height`."""
    pixels = np.random.default_rng(width * height).integers(0, 255, (height, width, 3), np.uint8)
    picture = Image.fromarray(pixels)
    exif = picture.getexif()
    exif[274] = orientation
    buffer = io.BytesIO()
    picture.save(buffer, kind, exif=exif)
    return buffer.getvalue()


def voc(boxes: Boxes, size: tuple[int, int] | None = (60, 40), name: str = "cat", filename: str = "") -> bytes:
    """A VOC file; `size` is (width, height)."""
    stated = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>" if size else ""
    objects = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{b[0]}</xmin><ymin>{b[1]}</ymin>"
        f"<xmax>{b[2]}</xmax><ymax>{b[3]}</ymax></bndbox></object>"
        for b in boxes
    )
    return f"<annotation><filename>{filename}</filename>{stated}{objects}</annotation>".encode()


def coco(pictures: Mapping[str, Boxes], size: tuple[int, int] | None = (60, 40), **changes: Any) -> bytes:
    """A COCO file with one category; `changes` replace or add lists."""
    images, annotations = [], []
    for number, (name, boxes) in enumerate(pictures.items(), 1):
        images.append({"id": number, "file_name": name, **({"width": size[0], "height": size[1]} if size else {})})
        for x_min, y_min, x_max, y_max in boxes:
            box = [x_min, y_min, x_max - x_min, y_max - y_min]
            annotations.append({"id": len(annotations) + 1, "image_id": number, "category_id": 7, "bbox": box})
    categories = [{"id": 7, "name": "cat"}]
    return json.dumps({"images": images, "annotations": annotations, "categories": categories, **changes}).encode()


def zipped(files: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive of these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def told(dataset: Dataset) -> dict[str, str]:
    """Why each file was skipped, the reasons of one file joined."""
    reasons: dict[str, str] = {}
    for item in dataset.skipped:
        reasons[item.file] = f"{reasons[item.file]}; {item.reason}" if item.file in reasons else item.reason
    return reasons
