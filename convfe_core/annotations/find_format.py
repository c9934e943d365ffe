"""Which annotations of which format are there: the list of formats, to which a new one is added."""

from __future__ import annotations

from convfe_core.annotations.annotation import Found
from convfe_core.annotations.coco import find_coco
from convfe_core.annotations.picture_names import Pictures
from convfe_core.annotations.voc import find_voc
from convfe_core.annotations.yolo import find_yolo
from convfe_core.base.errors import Skipped
from convfe_core.base.file_sets import DatasetLimits, FileSet

FORMATS = (find_coco, find_voc, find_yolo)
"""Each finds the annotations of its format; where two cover as many pictures, the earlier one is read."""


def find_formats(source: FileSet, pictures: Pictures, limits: DatasetLimits) -> tuple[list[Found], list[Skipped]]:
    """The formats that are there, the one to read first, and the files that are of none."""
    found = [find(source, pictures, limits) for find in FORMATS]
    usable = [candidate for candidate in found if candidate.covered]
    unused = [skipped for candidate in found for skipped in candidate.unused]
    return sorted(usable, key=lambda candidate: -candidate.covered), unused
