"""A picture, the box that annotations give it, and what is read of both."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from convfe_core.base.file_sets import UploadedFiles
from convfe_core.datasets.boxes import Dataset
from convfe_core.datasets.read_dataset import read_dataset
from tests.support.datasets import jpeg

PICTURE = jpeg()
BOX = (6.0, 4.0, 36.0, 24.0)
OTHER = (1.0, 2.0, 11.0, 22.0)
LINE = b"0 0.35 0.35 0.5 0.5\n"
CENTRED = "0.35 0.35 0.5 0.5"


def read(files: dict[str, bytes]) -> Dataset:
    return read_dataset(UploadedFiles(files.items()))


def boxes_of(dataset: Dataset) -> dict[str, list[list[float]]]:
    return {image.image: np.round(image.boxes, 6).tolist() for image in dataset.images}


def coco_of(*pictures: str | dict[str, Any], **annotation: Any) -> bytes:
    """A COCO file with one annotation a picture: `BOX`, or what `annotation` says."""
    images = [{"id": n, "file_name": one} if isinstance(one, str) else one for n, one in enumerate(pictures, 1)]
    said = annotation or {"bbox": [6, 4, 30, 20]}
    annotations = [{"id": n, "image_id": one["id"], "category_id": 1, **said} for n, one in enumerate(images, 1)]
    return json.dumps({"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cat"}]}).encode()
