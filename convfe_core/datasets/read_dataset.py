"""From a folder, uploads or a zip to a data set: finds the annotations, pairs them with pictures, lists what is off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convfe_core.annotations.annotation import Annotation, Item, Note
from convfe_core.annotations.class_names import NAME_LIST_SUFFIXES, YAML_SUFFIXES
from convfe_core.annotations.find_format import find_formats
from convfe_core.annotations.picture_names import NO_MATCH, Match, Pictures
from convfe_core.base.background import map_ahead
from convfe_core.base.errors import AnnotationError, ImageError, Skipped, StoreError
from convfe_core.base.file_sets import (
    DEFAULT_DATASET_LIMITS,
    AddressFiles,
    DatasetLimits,
    FileSet,
    FolderFiles,
    ZipFiles,
)
from convfe_core.base.folders import is_address, split_address
from convfe_core.base.wording import counted
from convfe_core.datasets.boxes import Dataset, ImageBoxes, clip_boxes, ordered_corners, upright_boxes
from convfe_core.photos.image_header import Header, look
from convfe_core.photos.picture_formats import BEGINNING, others_in_words, sort_out

_BOX_FILES = (".xml", ".txt", ".json", ".yaml", ".yml", ".names", ".labels")


def read_dataset(
    source: FileSet,
    boxes: FileSet | None = None,
    limit: int | None = None,
    limits: DatasetLimits = DEFAULT_DATASET_LIMITS,
    on_read: Callable[[int], None] = lambda _count: None,
) -> Dataset:
    """Find the annotations, read them, and pair them with their pictures.

    Where files of several formats are there, the one with most pictures is read (COCO before VOC before YOLO when they
    are level) and the others are listed as skipped.

    Parameters
    ----------
    source : the pictures
    boxes : the annotations, or None if they are in `source`
    limit : read no more than so many pictures that have boxes
    limits : how large a file is read at all
    on_read : told after each annotation how many there were

    Raises
    ------
    AnnotationError : nothing usable is there at all
    StoreError : the store of the files does not answer
    """
    pictures, strangers = _find_pictures(source)
    annotated = boxes or source
    if not pictures.names:
        why = f" ({source.problems[0].file}: {source.problems[0].reason})" if source.problems else ""
        named = f"; {others_in_words(strangers)}" if strangers else ""
        raise AnnotationError(f"{source.label}: expected pictures with boxes, got no picture{why}{named}.")
    found, skipped = find_formats(annotated, pictures, limits)
    if not found:
        why = f" ({skipped[0].file}: {skipped[0].reason})" if skipped else ""
        raise AnnotationError(
            f"{annotated.label}: expected VOC, YOLO or COCO boxes for the {len(pictures.names)} pictures, "
            f"got none that fit{why}."
        )
    chosen, *others = found
    skipped += [
        Skipped(
            annotated.label,
            f"{other.files} {other.name} files are not used; boxes are read from {chosen.name}",
        )
        for other in others
    ]
    collection = _Collection(source, annotated, pictures, limit, limits.max_pixels)
    items = map_ahead(collection.look, chosen.read(), source.readers)
    with closing(items):
        count = 0
        for seen in items:
            collection.add(seen)
            if isinstance(seen.item, Note):
                continue
            count += 1
            on_read(count)
            if collection.full:
                break
    if not collection.full:
        collection.list_unmatched(chosen.name)
    if strangers:
        skipped.append(Skipped(source.label, others_in_words(strangers)))
    unread = dict.fromkeys([*source.problems, *(boxes.problems if boxes else ())])  # both may be in one folder
    skipped = [*unread, *skipped, *collection.skipped]
    if not any(len(image.boxes) for image in collection.images):
        raise AnnotationError(_nothing_usable(annotated.label, chosen.name, skipped))
    return collection.dataset(chosen.name, tuple(skipped))


def _find_pictures(source: FileSet) -> tuple[Pictures, list[str]]:
    """The pictures of a data set, and what is neither one of them nor of a kind that boxes are stored in."""

    def beginning(name: str) -> bytes:
        try:
            with source.open(name) as file:
                return file.read(BEGINNING)
        except StoreError:
            raise
        except Exception:  # what cannot be read is no picture; archives have error types of their own
            return b""

    names = [name for name in source.names if not name.lower().endswith(_BOX_FILES)]
    pictures, others = sort_out(names, lambda unclear: map_ahead(beginning, unclear, source.readers))
    return Pictures(pictures, source.place), others


def open_boxes(where: str | Path) -> FileSet:
    """Open annotations that are named by hand: a folder, a zip, a COCO file or a YOLO data.yaml.

    Raises
    ------
    AnnotationError : there is nothing of that kind
    StoreError : the address cannot be reached
    """
    if is_address(where):
        return _open_boxes_at(str(where))
    path = Path(where)
    if not path.is_file():
        return FolderFiles(path)
    if path.suffix.lower() == ".zip":
        return ZipFiles(path, label=path.name)
    if path.suffix.lower() in YAML_SUFFIXES:
        return FolderFiles(path.parent, _is_yolo)
    if path.suffix.lower() != ".json":
        raise AnnotationError(f"{path}: expected a folder, a zip, a COCO JSON file or data.yaml, got another file.")
    return FolderFiles(path.parent, lambda name: name == path.name)


def _open_boxes_at(address: str) -> FileSet:
    folder, name = split_address(address)
    if name.lower().endswith(YAML_SUFFIXES):
        return AddressFiles(folder, _is_yolo)
    if name.lower().endswith(".json"):
        return AddressFiles(folder, lambda one: one == name)
    return AddressFiles(address)


def _is_yolo(name: str) -> bool:
    return name.lower().endswith((".txt", *YAML_SUFFIXES, *NAME_LIST_SUFFIXES))


_SWAPPED = "corners the wrong way round, swapped back"
_CLIPPED = "boxes over an edge of their image, cut there"
_DEGENERATE = "boxes without an area inside their image, dropped"


@dataclass(frozen=True)
class _Seen:
    """An annotation with the pictures that go by its name, and the header of the one, or why there is none."""

    item: Item
    match: Match = NO_MATCH
    header: Header | AnnotationError | None = None


@dataclass(frozen=True)
class _Pair:
    """A picture's boxes, the file that they are from, how well its folders agree, and what was decided about them."""

    image: ImageBoxes
    file: str
    closeness: tuple[bool, int]
    notes: tuple[Note, ...]


class _Collection:
    """Pairs annotations with pictures, one after the other, and keeps count of what is off."""

    def __init__(
        self, source: FileSet, annotated: FileSet, pictures: Pictures, limit: int | None, max_pixels: int
    ) -> None:
        self.source = source
        self.annotated = annotated
        self.pictures = pictures
        self.limit = limit
        self.max_pixels = max_pixels
        self.skipped: list[Skipped] = []
        self._notes: Counter[str] = Counter()
        self._pairs: dict[str, _Pair] = {}
        self._named: set[str] = set()

    @property
    def images(self) -> tuple[ImageBoxes, ...]:
        """What was paired, by name."""
        return tuple(pair.image for _, pair in sorted(self._pairs.items()))

    @property
    def full(self) -> bool:
        """Whether `limit` pictures with boxes are there."""
        return self.limit is not None and sum(len(pair.image.boxes) > 0 for pair in self._pairs.values()) >= self.limit

    def look(self, item: Item) -> _Seen:
        """Find an annotation's pictures and, if there is one that can be told, look at its header."""
        if not isinstance(item, Annotation) or not item.pictures:
            return _Seen(item)
        match = self.pictures.match(item.pictures, self.annotated.path(item.file))
        if len(match.pictures) != 1:
            return _Seen(item, match)
        try:
            return _Seen(item, match, self._header(match.pictures[0]))
        except AnnotationError as error:
            return _Seen(item, match, error)

    def _header(self, name: str) -> Header:
        try:
            with self.source.open(name) as file:
                header = look(file, name)
        except StoreError:
            raise
        except Exception as error:  # of the file's own, of an archive's decompressor, of Pillow's bomb guard
            why = f" ({str(error).rstrip('.')})" if isinstance(error, ImageError) else ""
            raise AnnotationError(f"is no picture that can be read{why}") from error
        height, width = header.upright
        if height * width > self.max_pixels:
            raise AnnotationError(
                f"expected at most {self.max_pixels / 1e6:g} megapixels, got {width} x {height} pixels"
            )
        return header

    def add(self, seen: _Seen) -> None:
        """Take one annotation, or what came instead of it."""
        item, found = seen.item, seen.match.pictures
        if isinstance(item, Note):
            self._notes[item.text] += item.boxes
            return
        if isinstance(item, Skipped):
            self._named.update(self.pictures.find(item.file, self.annotated.path(item.file)).pictures)
            self.skipped.append(item)
            return
        self.skipped += [Skipped(item.file, problem) for problem in item.problems]
        if not item.pictures:
            return
        self._named.update(found)
        stated = next((name for name in item.pictures if not item.file.endswith(name)), "its name")
        if not found:
            self.skipped.append(Skipped(item.file, f"no picture goes by {stated}"))
        elif len(found) > 1:
            names = ", ".join(found[:3])
            self.skipped.append(Skipped(item.file, f"{len(found)} pictures go by {stated} ({names}); rename them"))
        elif not isinstance(seen.header, Header):
            self.skipped.append(Skipped(found[0], str(seen.header)))
        elif self._is_taken(found[0], item, seen.match):
            self.skipped.append(Skipped(item.file, f"a second annotation for {found[0]}; the first one is used"))
        else:
            self._pair(found[0], item, seen.match, seen.header)
            if seen.header.note:
                self.skipped.append(Skipped(found[0], seen.header.note))

    def _is_taken(self, name: str, item: Annotation, match: Match) -> bool:
        """Whether a picture has an annotation already; one from a folder that agrees better takes its place."""
        earlier = self._pairs.get(name)
        if earlier is None or match.closeness <= earlier.closeness:
            return earlier is not None
        why = f"fits {name} by its file name alone; {item.file}, whose folder fits as well, is used"
        self.skipped.append(Skipped(earlier.file, why))
        return False

    def _pair(self, name: str, item: Annotation, match: Match, header: Header) -> None:
        given = np.array(item.boxes, np.float64).reshape(-1, 4)
        height, width = header.upright
        if item.normalised:
            given = given * np.array([width, height, width, height])
        elif item.size not in (None, header.upright, header.stored):
            came = f"{item.size[1]} x {item.size[0]}" if item.size else ""
            self.skipped.append(
                Skipped(item.file, f"its boxes are for {came} pixels, but {name} has {width} x {height}")
            )
            return
        boxes = ordered_corners(given)
        swapped = int((boxes != given).any(axis=1).sum())
        if not item.normalised and item.size not in (None, header.upright):
            boxes = upright_boxes(boxes, *header.stored, header.orientation)
        cut = clip_boxes(boxes, height, width)
        labels = tuple(label for label, kept in zip(item.labels, cut.kept, strict=True) if kept)
        image = ImageBoxes(name, height, width, cut.boxes, labels)
        mended = (Note(_SWAPPED, swapped), Note(_CLIPPED, cut.clipped), Note(_DEGENERATE, cut.degenerate))
        notes = (*item.notes, *(note for note in mended if note.boxes))
        self._pairs[name] = _Pair(image, item.file, match.closeness, notes)

    def list_unmatched(self, format_name: str) -> None:
        """Note the pictures that no annotation is for."""
        self.skipped += [
            Skipped(name, f"no {format_name} annotation for this picture")
            for name in self.pictures.names
            if name not in self._named
        ]

    def dataset(self, format_name: str, skipped: Sequence[Skipped]) -> Dataset:
        """What was collected."""
        images = self.images
        notes = self._notes.copy()
        for pair in self._pairs.values():
            for note in pair.notes:
                notes[note.text] += note.boxes
        return Dataset(
            source=self.source,
            format=format_name,
            images=images,
            classes=tuple(sorted({label for image in images for label in image.labels})),
            skipped=tuple(skipped),
            clipped=notes[_CLIPPED],
            degenerate=notes[_DEGENERATE],
            notes=tuple(
                f"{text} ({counted(boxes, 'box', 'boxes')})" if boxes else text for text, boxes in notes.items()
            ),
        )


def _nothing_usable(label: str, format_name: str, skipped: Sequence[Skipped]) -> str:
    reasons = Counter(item.reason for item in skipped).most_common(1)
    why = next((f"{item.file} {item.reason}" for item in skipped if reasons and item.reason == reasons[0][0]), "")
    detail = f"; for instance, {why}" if why else ""
    return f"{label}: expected {format_name} annotations with boxes on the pictures, got none that can be used{detail}."
