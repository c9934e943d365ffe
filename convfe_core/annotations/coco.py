"""COCO: one JSON file about many pictures."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from convfe_core.annotations.annotation import (
    Annotation,
    Found,
    Item,
    Note,
    files_ending,
    stated_size,
    to_text,
)
from convfe_core.annotations.coco_boxes import SIDES, form_of_boxes, item_box
from convfe_core.annotations.picture_names import Pictures
from convfe_core.base.errors import AnnotationError, Skipped
from convfe_core.base.file_sets import DatasetLimits, FileSet

_NAME_KEYS = ("file_name", "filename", "path", "coco_url")
"""Where a picture's name may stand; LVIS states an address alone."""

_OTHER_DICTIONARIES = (
    ({"shapes", "imagePath"}, "is a file of labelme; convert the set with labelme2coco"),
    ({"items", "categories"}, "is a file of Datumaro's own; export as COCO, YOLO or VOC"),
    ({"_via_img_metadata"}, "is a project of VGG Image Annotator; export its annotations as COCO"),
    ({"asset", "regions"}, "is a file of VoTT's own; export as Pascal VOC"),
    ({"objects", "size"}, "is a file of Supervisely's own; export as COCO"),
    ({"images"}, "lists images and no “annotations”"),
)
_OTHER_LISTS = (
    ({"image_id", "score"}, "is a list of a detector's results, which are no annotations"),
    ({"annotations", "data"}, "is Label Studio's own export; export as COCO, YOLO or VOC"),
    ({"annotations", "image"}, "is a file of CreateML; export as COCO, YOLO or VOC"),
)
"""Keys by which other kinds of JSON files are known, and what to do with such a file."""


@dataclass(frozen=True, eq=False)
class _CocoFile:
    """One file: what it says of each picture, and what it says it of.

    Attributes
    ----------
    annotations : of all pictures that it lists
    pictures : how well the folders of those agree that are there
    with_boxes : for those of them for which it has boxes, where it states them; a file may list a picture twice
    preference : of several files about the same pictures, the one with the smallest is read
    """

    name: str
    annotations: tuple[Annotation, ...]
    pictures: Mapping[str, tuple[bool, int]]
    with_boxes: Mapping[str, Sequence[Annotation]]
    preference: tuple[bool, bool, int, str]


def find_coco(source: FileSet, pictures: Pictures, limits: DatasetLimits) -> Found:
    """Find COCO files about `pictures`.

    Of several about the same pictures, those that complete each other are read together, a file a class for instance;
    of all others the one with plain boxes is read.
    """
    files, unused = [], []
    for name in files_ending(source, (".json",)):
        try:
            files.append(_open_coco(source, name, pictures, limits))
        except AnnotationError as error:
            unused.append(Skipped(name, str(error)))
    files.sort(key=lambda file: file.preference)
    readers = _readers(files)
    chosen = [file for file in files if any(file in readers[picture] for picture in file.with_boxes)]
    for file in files:
        if file not in chosen:
            other = readers[min(file.with_boxes)][0].name
            unused.append(Skipped(file.name, f"is about the same pictures as {other}, whose boxes are read"))

    def read() -> Iterator[Item]:
        yield from dict.fromkeys(_said_of(of_picture) for of_picture in readers.values() if len(of_picture) > 1)
        for file in chosen:
            for annotation in file.annotations:
                found = pictures.match(annotation.pictures, source.path(file.name)).pictures
                parts = [part for name in found[:1] for one in readers.get(name, ()) for part in one.with_boxes[name]]
                yield from _joined(annotation, parts if len(found) == 1 else [])

    covered = len({name for file in chosen for name in file.pictures})
    return Found("COCO", len(chosen), covered, read, tuple(unused))


def _readers(files: Sequence[_CocoFile]) -> Mapping[str, Sequence[_CocoFile]]:
    """For each picture, the files that its boxes are read from; `files` are in the order of their preference."""

    @cache
    def complete_each_other(one: _CocoFile, other: _CocoFile) -> bool:
        """Whether two files have different classes and none of their boxes in common."""
        if any(one.preference[:2]) or any(other.preference[:2]) or _classes(one) & _classes(other):
            return False
        shared = one.with_boxes.keys() & other.with_boxes.keys()
        return all(_whole_pixels(one, picture).isdisjoint(_whole_pixels(other, picture)) for picture in shared)

    readers: dict[str, list[_CocoFile]] = {}
    for file in files:
        for picture in file.with_boxes:
            earlier = readers.setdefault(picture, [])
            if earlier and file.pictures[picture] > earlier[0].pictures[picture]:
                readers[picture] = [file]  # train/a.jpg is not what valid/boxes.json means
            elif all(
                file.pictures[picture] == one.pictures[picture] and complete_each_other(file, one) for one in earlier
            ):
                earlier.append(file)
    return readers


def _classes(file: _CocoFile) -> frozenset[str]:
    return frozenset(label for annotation in file.annotations for label in annotation.labels)


def _whole_pixels(file: _CocoFile, picture: str) -> frozenset[tuple[int, ...]]:
    """The boxes of a picture, rounded so that two files state the same one alike."""
    return frozenset(tuple(map(round, box)) for part in file.with_boxes[picture] for box in part.boxes)


def _said_of(files: Sequence[_CocoFile]) -> Note:
    names = ", ".join(file.name for file in files[:5]) + (f" and {len(files) - 5} more" if len(files) > 5 else "")
    return Note(f"files with different classes are read together: {names}")


def _joined(annotation: Annotation, parts: Sequence[Annotation]) -> Iterator[Annotation]:
    """An annotation as it is read: with the first of `parts`, which hold all boxes of its picture, come the others."""
    if not parts:
        yield annotation
    elif not annotation.boxes:
        if annotation.problems:
            yield replace(annotation, pictures=())
    elif not any(annotation is part for part in parts) or len({part.size for part in parts}) > 1:
        yield annotation  # and is found to be a second one
    elif annotation is parts[0]:
        yield replace(
            annotation,
            boxes=tuple(box for part in parts for box in part.boxes),
            labels=tuple(label for part in parts for label in part.labels),
            problems=tuple(problem for part in parts for problem in part.problems),
            notes=tuple(note for part in parts for note in part.notes),
        )


def _open_coco(source: FileSet, name: str, pictures: Pictures, limits: DatasetLimits) -> _CocoFile:
    content = parse_coco(source.read(name, limits.json_bytes))
    annotations = tuple(coco_annotations(content, name))
    listed = [annotation for annotation in annotations if annotation.pictures]
    present: dict[str, tuple[bool, int]] = {}
    with_boxes: dict[str, list[Annotation]] = defaultdict(list)
    for annotation in listed:
        match = pictures.match(annotation.pictures, source.path(name))
        present.update(dict.fromkeys(match.pictures, match.closeness))
        for picture in match.pictures if annotation.boxes else ():
            with_boxes[picture].append(annotation)
    if not present:
        example = f" (for instance {listed[0].pictures[0]})" if listed else ""
        raise AnnotationError(f"lists {len(listed)} pictures, none of which is there{example}")
    items = [item for item in content["annotations"] if isinstance(item, dict)]
    if not with_boxes:
        problems = [problem for annotation in annotations for problem in annotation.problems]
        if any("caption" in item for item in items):
            raise AnnotationError("holds captions and no boxes")
        raise AnnotationError(f"has no boxes ({problems[0]})" if problems else "has no boxes")
    # COCO itself comes as several files: objects, people with their joints, and a map of what covers every pixel.
    of_all_pixels = "stuff" in name.lower() or any("segments_info" in item for item in items)
    with_joints = any("keypoints" in item for item in items)
    boxes = sum(len(annotation.boxes) for annotation in annotations)
    preference = (of_all_pixels, with_joints, -boxes, name)
    return _CocoFile(name, annotations, present, dict(with_boxes), preference)


def parse_coco(data: bytes) -> dict[str, Any]:
    """Read a COCO file far enough to know that it is one.

    Raises
    ------
    AnnotationError : it is no JSON, or has no lists “images” and “annotations”
    """
    try:
        content = json.loads(to_text(data))
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"is no well-formed JSON ({error})") from error
    if isinstance(content, dict) and all(isinstance(content.get(k), list) for k in ("images", "annotations")):
        return content
    known = _OTHER_LISTS if isinstance(content, list) else _OTHER_DICTIONARIES
    first = next(iter(content), None) if isinstance(content, list) else content
    keys = set(first) if isinstance(first, dict) else set()
    other = next((words for some, words in known if some <= keys), None)
    raise AnnotationError(other or "expected a COCO file with the lists “images” and “annotations”")


def coco_annotations(content: Mapping[str, Any], file: str) -> Iterator[Annotation]:
    """Yield the boxes of every picture that a COCO file lists, by file name; crowd regions are left out.

    What belongs to no picture comes last, as an annotation without pictures.
    """
    categories = content.get("categories")
    if isinstance(categories, dict):
        categories = [{"id": key, "name": name} for key, name in categories.items()]
    named = _categories(categories) if isinstance(categories, list) and categories else None
    problems: list[str] = []
    pictures = _Ids()
    for number, picture in enumerate(content["images"], 1):
        names = _picture_names(picture)
        key = _id(picture.get("id")) if isinstance(picture, dict) else None
        if key is None or not names:
            problems.append(f"image {number} has no id or no file_name")
        elif not pictures.add(key, (names, picture)):
            problems.append(f"image {number} ({names[0]}) repeats the id {key}")
    by_picture: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    strays = 0
    for item in content["annotations"]:
        key = pictures.find(item.get("image_id")) if isinstance(item, dict) else None
        if key is None:
            strays += 1
        else:
            by_picture[key] += _segments(item)
    if strays:
        problems.append(f"{strays} annotations belong to no image that it lists")
    sizes = {key: stated_size(one.get("height"), one.get("width")) for key, (_, one) in pictures.entries.items()}
    form = form_of_boxes([(item.get("bbox"), sizes[key]) for key, items in by_picture.items() for item in items])
    for key, (names, _) in sorted(pictures.entries.items(), key=lambda pair: str(pair[1][0][0])):
        yield _picture(file, names, sizes[key], by_picture.get(key, []), named, form)
    if problems:
        yield Annotation(file, (), (), (), problems=tuple(problems))


class _Ids:
    """Entries by an id that is sometimes 1, sometimes 1.0 and sometimes "1" or "0001"."""

    def __init__(self) -> None:
        self.entries: dict[str, Any] = {}
        self._bare: dict[str, str] = {}

    def add(self, key: str, entry: Any) -> bool:
        """Keep an entry; False where there is one of this id."""
        if key in self.entries:
            return False
        self.entries[key] = entry
        self._bare.setdefault(_bare_id(key), key)
        return True

    def find(self, value: Any) -> str | None:
        """The key of the entry that an annotation means."""
        key = _id(value)
        return key if key is None or key in self.entries else self._bare.get(_bare_id(key))


def _id(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def _bare_id(key: str) -> str:
    """An id without leading zeros and without the fraction of a whole number."""
    whole = key.removesuffix(".0")
    return whole.lstrip("0") or "0" if whole.isdecimal() else key


def _picture_names(picture: Any) -> tuple[str, ...]:
    if not isinstance(picture, dict):
        return ()
    names = (picture.get(key) for key in _NAME_KEYS)
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str) and name))


def _categories(categories: Sequence[Any]) -> _Ids:
    """Class names by id; None for what a panoptic file calls a background."""
    named = _Ids()
    for category in categories:
        key = _id(category.get("id")) if isinstance(category, dict) else None
        if key is not None:
            name = category.get("name")
            label = str(name) if isinstance(name, str | int | float) else f"category {key}"
            named.add(key, None if category.get("isthing") == 0 else label)
    return named


def _segments(item: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    """The objects of an annotation: itself, or the segments of a panoptic one."""
    segments = item.get("segments_info")
    return [one for one in segments if isinstance(one, dict)] if isinstance(segments, list) else [item]


def _picture(
    file: str,
    names: tuple[str, ...],
    size: tuple[int, int] | None,
    items: Sequence[Mapping[str, Any]],
    named: _Ids | None,
    form: str,
) -> Annotation:
    boxes, labels, problems = [], [], []
    notes: list[Note] = []
    for item in items:
        if item.get("iscrowd") in (1, "1"):
            notes.append(Note("crowd regions left out", 1))
            continue
        try:
            label = _label(item.get("category_id"), named)
            if label is None:
                notes.append(Note("background regions of a panoptic file left out", 1))
                continue
            box, origin = item_box(item, size, form)
        except ValueError as error:
            problems.append(f"{names[0]}: annotation {item.get('id', '?')!s:.40} {error}")
            continue
        boxes.append(box)
        labels.append(label)
        if origin:
            notes.append(Note(f"boxes drawn around {origin}, where a COCO annotation states no box", 1))
        elif form != SIDES:
            notes.append(Note(form, 1))
    return Annotation(
        file=file,
        pictures=names,
        boxes=tuple(boxes),
        labels=tuple(labels),
        size=size,
        problems=tuple(problems),
        notes=tuple(notes),
    )


def _label(category: Any, named: _Ids | None) -> str | None:
    key = _id(category) if named is None else named.find(category)
    if key is None:
        raise ValueError(f"has the unknown category {category!r:.40}")
    if named is None:
        return f"category {key}"
    label: str | None = named.entries[key]
    return label
