"""Boxes that a visitor draws by hand on photographs in memory: checked, read back from a file, made a data set.

A mark is in pixels of the photograph's file also where the photograph itself was reduced since, so that a file of marks
fits the photographs that it was made for.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from convfe_core.annotations.annotation import finite_box
from convfe_core.base.arrays import BoxArray
from convfe_core.base.errors import AnnotationError
from convfe_core.base.file_sets import DEFAULT_DATASET_LIMITS, DatasetLimits, FileSet, UploadedFiles
from convfe_core.base.wording import counted
from convfe_core.datasets.boxes import Dataset, ImageBoxes, clip_boxes, ordered_corners, scale_boxes
from convfe_core.datasets.read_dataset import read_dataset
from convfe_core.photos.photo import DEFAULT_LIMITS, Photo

UNNAMED = "object"
"""The class of a box that was given none."""
LONGEST_LABEL = 80
_STEPS = 16
"""Marks lie on sixteenths of a pixel: in binary fractions COCO's x and width give the right edge again, to the bit."""
_MOST_NAMED = 3


def mark_photo(
    photo: Photo, boxes: Sequence[Sequence[Any]], labels: Sequence[str] = (), name: str | None = None
) -> tuple[ImageBoxes, tuple[str, ...]]:
    """Take boxes as they were drawn on a photograph.

    Parameters
    ----------
    photo : what they were drawn on
    boxes : x_min, y_min, x_max, y_max of each in its pixels, two corners in any order
    labels : the class name of each, empty for `UNNAMED`; none at all for that of every box
    name : of the photograph among others; None for its file's

    Returns
    -------
    the marks, and a sentence for each kind of box that was cut or left out
    """
    taken, names, broken = [], [], 0
    for box, label in zip(boxes, labels or [""] * len(boxes), strict=True):
        try:
            taken.append(finite_box(box))
        except (TypeError, ValueError):
            broken += 1
        else:
            names.append(" ".join(str(label or "").split())[:LONGEST_LABEL] or UNNAMED)
    height, width = photo.file_size
    drawn = scale_boxes(np.array(taken, np.float64), (photo.height, photo.width), (height, width))
    cut = clip_boxes(np.round(ordered_corners(drawn) * _STEPS) / _STEPS, height, width)
    kept = tuple(label for label, inside in zip(names, cut.kept, strict=True) if inside)
    said = []
    if cut.degenerate or broken:
        said.append(
            f"{photo.name}: {counted(cut.degenerate + broken, 'box', 'boxes')} without an area on the photograph left "
            "out; draw from one corner of an object to the opposite one."
        )
    if cut.clipped:
        said.append(f"{photo.name}: {counted(cut.clipped, 'box', 'boxes')} cut at the edge of the photograph.")
    return ImageBoxes(name or photo.name, height, width, cut.boxes, kept), tuple(said)


def boxes_on(photo: Photo, marks: ImageBoxes) -> BoxArray:
    """(N, 4) marks in the pixels that a photograph has in memory."""
    return scale_boxes(marks.boxes, (marks.height, marks.width), (photo.height, photo.width))


def with_names_of_their_own(marks: Mapping[str, ImageBoxes]) -> dict[str, ImageBoxes]:
    """Marks by the digests of their photographs, those of equal names told apart by a folder.

    Parameters
    ----------
    marks : by digest
    """
    taken: set[str] = set()
    named = {}
    for digest, one in marks.items():
        name = one.image if one.image not in taken else f"{digest[:8]}/{one.image}"
        taken.add(name)
        named[digest] = replace(one, image=name)
    return named


@dataclass(frozen=True, eq=False)
class ReadMarks:
    """What a file of boxes says about some photographs.

    Attributes
    ----------
    marks : by digest
    said : a sentence for what was left out or decided
    """

    marks: Mapping[str, ImageBoxes]
    said: tuple[str, ...]


def read_marks(
    data: bytes, file: str, photos: Mapping[str, ImageBoxes], limits: DatasetLimits = DEFAULT_DATASET_LIMITS
) -> ReadMarks:
    """Read a COCO file about photographs in memory.

    Parameters
    ----------
    data, file : what the file holds, and its name
    photos : by digest, each photograph's name and size with the boxes that it has already

    Raises
    ------
    AnnotationError
        When it is no COCO file, has no boxes, or is about none of the photographs.
    """
    if not photos:
        raise AnnotationError(f"{file}: expected photographs that its boxes are for, got none; choose them first.")
    named = with_names_of_their_own(photos)
    digests = {one.image: digest for digest, one in named.items()}
    uploaded = UploadedFiles([(file if file.lower().endswith(".json") else f"{file}.json", data)], file, limits)
    found = read_dataset(_Blanks(named.values()), uploaded, limits=limits)
    marks = {digests[one.image]: replace(one, image=photos[digests[one.image]].image) for one in found.images}
    said = [f"{file}: {note}." for note in found.notes]
    unused = [one.reason for one in found.skipped if one.file not in digests]  # photographs may well have no boxes
    if unused:
        more = f", and {len(unused) - _MOST_NAMED} more" if len(unused) > _MOST_NAMED else ""
        said.append(f"{file} is not used as a whole: {'; '.join(unused[:_MOST_NAMED])}{more}.")
    return ReadMarks(marks, tuple(said))


def joined(old: ImageBoxes, new: ImageBoxes) -> ImageBoxes:
    """The boxes of both, those of `new` that `old` has already only once."""
    known = {(*box, label) for box, label in zip(old.boxes.tolist(), old.labels, strict=True)}
    added = [
        (box, label) for box, label in zip(new.boxes.tolist(), new.labels, strict=True) if (*box, label) not in known
    ]
    boxes = np.array([*old.boxes.tolist(), *(box for box, _ in added)], np.float64).reshape(-1, 4)
    return replace(old, boxes=boxes, labels=(*old.labels, *(label for _, label in added)))


def marked_dataset(marked: Sequence[tuple[Photo, ImageBoxes]], label: str) -> Dataset:
    """Make photographs in memory and their marks a data set; those without marks are left out.

    Parameters
    ----------
    marked : each photograph once
    label : what the data set is called
    """
    photos = {photo.digest: photo for photo, _ in marked}
    named = with_names_of_their_own({photo.digest: one for photo, one in marked if len(one.boxes)})
    images = [
        replace(one, height=photo.height, width=photo.width, boxes=boxes_on(photo, one))
        for digest, one in named.items()
        for photo in [photos[digest]]
    ]
    return Dataset(
        source=PhotoFiles({one.image: photos[digest] for digest, one in named.items()}, label),
        format="marked by hand",
        images=tuple(sorted(images, key=lambda image: image.image)),
        classes=tuple(sorted({name for image in images for name in image.labels})),
        skipped=(),
        clipped=0,
        degenerate=0,
    )


class PhotoFiles(FileSet):
    """Photographs in memory as the files of a data set.

    Parameters
    ----------
    photos : by name
    label : what they are called in messages
    """

    def __init__(self, photos: Mapping[str, Photo], label: str) -> None:
        self.label = label
        self.names = tuple(sorted(photos))
        self._photos = dict(photos)

    def photo(self, name: str) -> Photo:
        """One of the photographs as it was given."""
        return self._photos[name]

    def open(self, name: str) -> io.BytesIO:
        """The very pixels, uncompressed where that is no larger than a file may be: each pass opens all photographs."""
        pixels, buffer = self._photos[name].pixels, io.BytesIO()
        small = pixels.nbytes < 0.99 * DEFAULT_LIMITS.max_bytes  # a BMP has a header and padded rows besides
        Image.fromarray(pixels).save(buffer, "BMP" if small else "PNG", compress_level=1)
        buffer.seek(0)
        return buffer

    def stamp(self, name: str) -> str:
        """The digest of the photograph's file."""
        return self._photos[name].digest


class _Blanks(FileSet):
    """Blank pictures by the names and of the sizes of others: what reads boxes looks at nothing else of a picture."""

    label = "the photographs here"

    def __init__(self, images: Iterable[ImageBoxes]) -> None:
        self._sizes = {image.image: (image.width, image.height) for image in images}
        self.names = tuple(sorted(self._sizes))

    def open(self, name: str) -> io.BytesIO:
        buffer = io.BytesIO()
        Image.new("1", self._sizes[name]).save(buffer, "PNG")
        buffer.seek(0)
        return buffer
