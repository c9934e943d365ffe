"""Boxes as a COCO file: what marks are saved as, and what every reader of boxes takes."""

from __future__ import annotations

import json
from collections.abc import Iterable

from convfe_core.datasets.boxes import ImageBoxes


def coco_json(images: Iterable[ImageBoxes]) -> str:
    """Write boxes as COCO's object detection format has them, photographs by name.

    Parameters
    ----------
    images : photographs without boxes are listed, too

    References
    ----------
    https://cocodataset.org/#format-data

    Examples
    --------
    >>> import numpy as np
    >>> text = coco_json([ImageBoxes("a.png", 9, 9, np.array([[1.0, 2, 4, 4]]), ("cat",))])
    >>> json.loads(text)["annotations"][0]["bbox"]
    [1.0, 2.0, 3.0, 2.0]
    """
    images = sorted(images, key=lambda image: image.image)
    labels = sorted({label for image in images for label in image.labels})
    category = {label: number for number, label in enumerate(labels, 1)}
    annotations = [
        {
            "image_id": number,
            "category_id": category[label],
            "bbox": [x_min, y_min, x_max - x_min, y_max - y_min],
            "area": (x_max - x_min) * (y_max - y_min),
            "iscrowd": 0,
        }
        for number, image in enumerate(images, 1)
        for (x_min, y_min, x_max, y_max), label in zip(image.boxes.tolist(), image.labels, strict=True)
    ]
    content = {
        "images": [
            {"id": number, "file_name": image.image, "height": image.height, "width": image.width}
            for number, image in enumerate(images, 1)
        ],
        "annotations": [{"id": number, **one} for number, one in enumerate(annotations, 1)],
        "categories": [{"id": number, "name": label} for label, number in category.items()],
    }
    return json.dumps(content, indent=1)
