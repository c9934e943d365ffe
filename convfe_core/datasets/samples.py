"""A data set to start with: photographs of the gallery, and boxes that we drew around their objects by hand.

They are few: a ranking of them shows how it is done and names no winner.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from convfe_core.base.file_sets import FileSet, FolderFiles
from convfe_core.datasets.boxes import Dataset
from convfe_core.datasets.read_dataset import open_boxes, read_dataset
from convfe_core.photos.gallery import SAMPLES, sample_folder

SAMPLES_NAME = "samples"
"""What it is called on the command line and in reports."""
SAMPLE_BOXES = Path(__file__).with_name("sample_boxes.json")


def sample_files() -> FileSet:
    """The photographs of the gallery, those without boxes of ours too.

    Raises
    ------
    ImageError
        When scikit-image, which has them, is not installed.
    """
    return _GalleryFiles({sample.file for sample in SAMPLES})


def read_samples(limit: int | None = None) -> Dataset:
    """Read the photographs of the gallery that have boxes of ours.

    Parameters
    ----------
    limit : no more than so many of them
    """
    marked = {image["file_name"] for image in json.loads(SAMPLE_BOXES.read_text(encoding="utf-8"))["images"]}
    return read_dataset(_GalleryFiles(marked), open_boxes(SAMPLE_BOXES), limit)


class _GalleryFiles(FolderFiles):
    """Some photographs of the gallery, under a name that is the same on every machine."""

    def __init__(self, names: Collection[str]) -> None:
        super().__init__(sample_folder(), lambda name: name in names)
        self.label = SAMPLES_NAME
