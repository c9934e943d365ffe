"""Which annotations of which format are there, and which pictures they speak of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from convfe_core.base.background import map_ahead
from convfe_core.base.errors import AnnotationError, Skipped
from convfe_core.datasets.file_sets import DatasetLimits, FileSet
from convfe_core.datasets.readers import (
    Annotation,
    coco_annotations,
    parse_class_names,
    parse_coco,
    parse_voc,
    parse_yolo,
)

_ROLES = frozenset(
    [
        "images",
        "image",
        "img",
        "imgs",
        "jpegimages",
        "labels",
        "label",
        "annotations",
        "annotation",
        "boxes",
        "bboxes",
        "xml",
        "xmls",
        "txt",
    ]
)
"""Folder names that say what kind of file is in them; they do not tell pictures apart."""
_CLASS_FILES = ("classes.txt", "obj.names", "_darknet.labels", "predefined_classes.txt")


@dataclass(frozen=True)
class AnnotationFormat:
    """Annotations of one format: how many files and pictures they cover, and how to read them."""

    name: str
    files: int
    covered: int
    read: Callable[[], Iterator[Annotation | Skipped]]


class Pictures:
    """Finds a picture by what an annotation calls it."""

    def __init__(self, names: Iterator[str]) -> None:
        self.names = tuple(names)
        self._levels: list[dict[str, list[str]]] = [defaultdict(list) for _ in range(4)]
        for name in self.names:
            for level, key in zip(self._levels, _keys(name), strict=True):
                level[key].append(name)

    def find(self, name: str) -> list[str]:
        """Pictures that go by this name: one, several that cannot be told apart, or none."""
        exact, relative, base, stem = _keys(name)
        for level, key in zip(self._levels, (exact, relative, base, stem), strict=True):
            if level.get(key):
                return level[key]
        return []


def _keys(name: str) -> tuple[str, str, str, str]:
    """What a file is known by, strictest first: path, path without role folders and suffix, file name, stem."""
    path = PurePosixPath(name.replace("\\", "/"))
    folders = [part for part in path.parts[:-1] if part.lower() not in _ROLES]
    return path.as_posix(), "/".join([*folders, path.stem]), path.name.lower(), path.stem.lower()


def find_formats(
    source: FileSet, pictures: Pictures, limits: DatasetLimits
) -> tuple[list[AnnotationFormat], list[Skipped]]:
    """The formats that are there, the one to read first."""
    coco, skipped = _find_coco(source, pictures, limits)
    found = (coco, _find_voc(source, pictures, limits), _find_yolo(source, pictures, limits))
    usable = [candidate for candidate in found if candidate.covered]
    return sorted(usable, key=lambda candidate: -candidate.covered), skipped


def _find_coco(source: FileSet, pictures: Pictures, limits: DatasetLimits) -> tuple[AnnotationFormat, list[Skipped]]:
    contents: dict[str, dict[str, Any]] = {}
    skipped = []
    covered = 0
    for name in _files_ending(source, (".json",)):
        try:
            content = parse_coco(source.read(name, limits.json_bytes))
        except AnnotationError as error:
            skipped.append(Skipped(name, str(error)))
            continue
        listed = [str(picture.get("file_name")) for picture in content["images"] if isinstance(picture, dict)]
        present = sum(bool(pictures.find(picture)) for picture in listed)
        if present:
            contents[name] = content
            covered += present
        else:
            skipped.append(Skipped(name, f"lists {len(listed)} pictures, none of which is there"))

    def read() -> Iterator[Annotation | Skipped]:
        for name, content in contents.items():
            yield from coco_annotations(content, name)

    return AnnotationFormat("COCO", len(contents), covered, read), skipped


def _find_voc(source: FileSet, pictures: Pictures, limits: DatasetLimits) -> AnnotationFormat:
    files = _files_ending(source, (".xml",))

    def read() -> Iterator[Annotation | Skipped]:
        yield from map_ahead(lambda name: _read_file(source, name, parse_voc, limits), files, source.readers)

    by_name = sum(bool(pictures.find(name)) for name in files)
    covered = max(by_name, min(len(files), 1))  # <filename> may say what the name does not
    return AnnotationFormat("VOC", len(files), covered, read)


def _find_yolo(source: FileSet, pictures: Pictures, limits: DatasetLimits) -> AnnotationFormat:
    files = [name for name in _files_ending(source, (".txt",)) if PurePosixPath(name).name not in _CLASS_FILES]
    paired = {name for name in files if pictures.find(name)}

    def read() -> Iterator[Annotation | Skipped]:
        classes, skipped = _class_names(source, limits)
        yield from skipped

        def parse(name: str) -> Annotation | Skipped:
            return _read_file(source, name, lambda data, file: parse_yolo(data, file, classes), limits)

        for name, item in zip(files, map_ahead(parse, files, source.readers), strict=True):
            boxes = len(item.boxes) if isinstance(item, Annotation) else 0
            if name in paired or boxes:  # any other text file, a README for instance, is none of ours
                yield item

    return AnnotationFormat("YOLO", len(paired), len(paired), read)


def _class_names(source: FileSet, limits: DatasetLimits) -> tuple[dict[int, str] | None, list[Skipped]]:
    """The class names of a YOLO data set from the first file that has some, the one nearest to the top first."""
    skipped: list[Skipped] = []
    candidates = _files_ending(source, (".yaml", ".yml"))
    candidates += [name for name in source.names if PurePosixPath(name).name in _CLASS_FILES]
    for name in sorted(candidates, key=lambda name: name.count("/")):
        try:
            return parse_class_names(source.read(name, limits.classes_bytes), name), skipped
        except AnnotationError as error:
            skipped.append(Skipped(name, str(error)))
    return None, skipped


def _read_file(
    source: FileSet, name: str, parse: Callable[[bytes, str], Annotation], limits: DatasetLimits
) -> Annotation | Skipped:
    try:
        return parse(source.read(name, limits.text_bytes), name)
    except AnnotationError as error:
        return Skipped(name, str(error))


def _files_ending(source: FileSet, suffixes: tuple[str, ...]) -> list[str]:
    return [name for name in source.names if name.lower().endswith(suffixes)]
