"""The visitor's marks, by photograph: they outlive changes of page and of what is chosen, and go with the session.

What lies in Rank's data set is shown until it is corrected by hand; the correction is what is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from convfe_core.datasets.boxes import ImageBoxes
from convfe_core.marks.marked_photos import UNNAMED, boxes_on, joined, mark_photo
from convfe_core.photos.photo import Photo
from pages.app.session import BOXES, MARKS, MARKS_SAID
from pages.charts.show_row import DrawnBox, OnBoxes


def marks_of(photo: Photo) -> ImageBoxes:
    """The boxes on a photograph, in pixels of its file; maybe none."""
    return marks_reader()(photo)


def marks_reader() -> Callable[[Photo], ImageBoxes]:
    """`marks_of` for what runs outside any page, as a download does; it knows of boxes that were drawn since, too."""
    marks, boxes = MARKS.get(), BOXES.get()

    def read(photo: Photo) -> ImageBoxes:
        return marks.get(photo.digest) or boxes.get(photo.digest) or mark_photo(photo, [])[0]

    return read


def drawn_boxes(photo: Photo) -> list[DrawnBox]:
    """The boxes on a photograph as the chart draws them."""
    marks = marks_of(photo)
    return [
        DrawnBox(x0=x0, y0=y0, x1=x1, y1=y1, label="" if label == UNNAMED else label)
        for (x0, y0, x1, y1), label in zip(boxes_on(photo, marks).tolist(), marks.labels, strict=True)
    ]


def boxes_keeper(photos: Iterable[Photo]) -> OnBoxes:
    """What keeps all boxes of a photograph, given by its digest, as the visitor has drawn them.

    Parameters
    ----------
    photos : those that are chosen; boxes on another one come from a page that is gone, and are left alone
    """
    chosen = {photo.digest: photo for photo in photos}

    def keep(digest: str, boxes: Sequence[DrawnBox]) -> None:
        if digest in chosen:
            photo = chosen[digest]
            corners = [(box["x0"], box["y0"], box["x1"], box["y1"]) for box in boxes]
            marks, said = mark_photo(photo, corners, [box["label"] for box in boxes], marks_of(photo).image)
            MARKS.get()[digest] = marks
            MARKS_SAID.set(said)

    return keep


def add_marks(photos: Iterable[Photo], marks: Mapping[str, ImageBoxes]) -> int:
    """Add boxes that a file has, by digest, to those that are there; how many are new."""
    added = 0
    for photo in photos:
        if photo.digest in marks:
            before = marks_of(photo)
            after = joined(before, marks[photo.digest])
            MARKS.get()[photo.digest] = after
            added += len(after.boxes) - len(before.boxes)
    return added


def remove_marks(photos: Iterable[Photo]) -> None:
    """Take all boxes off photographs."""
    for photo in photos:
        MARKS.get()[photo.digest] = mark_photo(photo, [], name=marks_of(photo).image)[0]


def labels_in_use() -> list[str]:
    """Class names that were given so far, to offer for the next box."""
    known = (*BOXES.get().values(), *MARKS.get().values())
    return sorted({label for one in known for label in one.labels} - {UNNAMED})
