"""What annotation files say: Pascal VOC XML, YOLO text and COCO JSON, each one file at a time.

A reader knows nothing of pictures on disk; it tells which picture its boxes are for, and what it could not use.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from convfe_core.base.errors import AnnotationError

Box = tuple[float, float, float, float]

_YOLO_LOOSEST = 1.0
"""How far a normalised YOLO value may lie outside 0..1, in image sides, before it cannot be normalised at all."""


@dataclass(frozen=True)
class Annotation:
    """The boxes of one picture as a file states them.

    Attributes
    ----------
    file : the annotation file
    pictures : names to look for the picture under, best first
    boxes : (x_min, y_min, x_max, y_max), in pixels, or in image sides if `normalised`; finite
    labels : a class name for each box
    size : (height, width) of the picture in pixels as the file states it, or None
    problems : what could not be used, each a sentence about this file
    """

    file: str
    pictures: tuple[str, ...]
    boxes: tuple[Box, ...]
    labels: tuple[str, ...]
    size: tuple[int, int] | None = None
    normalised: bool = False
    problems: tuple[str, ...] = ()


def parse_voc(data: bytes, file: str) -> Annotation:
    """Read a Pascal VOC file; the coordinates are taken as they stand, in pixels.

    VOC itself counted pixels from one; LabelImg and most later tools do not, and a file does not tell.

    Raises
    ------
    AnnotationError
        When it is no such file; entities, which can blow a parser up, are refused.
    """
    import defusedxml.ElementTree
    from defusedxml import DefusedXmlException

    try:
        root = defusedxml.ElementTree.fromstring(data, forbid_dtd=False)
    except DefusedXmlException as error:
        raise AnnotationError("defines XML entities, which are refused") from error
    except Exception as error:  # expat reports encodings and syntax with several types
        raise AnnotationError(f"is no well-formed XML ({error})") from error
    if root.tag != "annotation":
        raise AnnotationError(f"expected a VOC file with <annotation> at the top, got <{root.tag}>")
    boxes, labels, problems = [], [], []
    for number, item in enumerate(root.findall("object"), 1):
        corners = item.find("bndbox")
        try:
            if corners is None:
                raise ValueError("has no <bndbox>")
            box = _finite_box([(corners.findtext(tag) or "").strip() for tag in ("xmin", "ymin", "xmax", "ymax")])
        except ValueError as error:
            problems.append(f"object {number} {error}")
        else:
            boxes.append(box)
            labels.append((item.findtext("name") or "").strip() or "unnamed")
    stated = (root.findtext("filename") or "").strip()
    return Annotation(
        file=file,
        pictures=(file, stated) if stated else (file,),
        boxes=tuple(boxes),
        labels=tuple(labels),
        size=_stated_size(root.findtext("size/height"), root.findtext("size/width")),
        problems=tuple(problems),
    )


def parse_yolo(data: bytes, file: str, classes: Mapping[int, str] | None) -> Annotation:
    """Read a YOLO label file: a class number and four values a line, or a polygon, whose bounding box is taken.

    A sixth value (a prediction's confidence) is ignored.

    Parameters
    ----------
    data, file : the file and its name
    classes : class names by number, or None where the data set names none; then ``class 3`` and so on

    Raises
    ------
    AnnotationError
        When it is no text.
    """
    boxes, labels = [], []
    problems: list[str] = []
    unknown: dict[int, int] = defaultdict(int)
    for number, line in enumerate(_text(data).splitlines(), 1):
        if not line.strip():
            continue
        try:
            index, box = _yolo_line(line.split())
        except ValueError as error:
            problems.append(f"line {number} {error}")
            continue
        if classes is not None and index not in classes:
            unknown[index] += 1
            continue
        boxes.append(box)
        labels.append(f"class {index}" if classes is None else classes[index])
    problems += [f"class {index} has no name in the data set ({n} boxes)" for index, n in sorted(unknown.items())]
    return Annotation(file, (file,), tuple(boxes), tuple(labels), normalised=True, problems=tuple(problems))


def parse_class_names(data: bytes, file: str) -> dict[int, str]:
    """Read the class names of a YOLO data set, from its YAML file or from a text file with a name a line.

    Raises
    ------
    AnnotationError
        When there are none in it.
    """
    text = _text(data)
    if not file.lower().endswith((".yaml", ".yml")):
        return {index: line.strip() for index, line in enumerate(text.splitlines()) if line.strip()}
    import yaml

    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise AnnotationError("is no well-formed YAML") from error
    names = content.get("names") if isinstance(content, dict) else None
    pairs = (
        list(enumerate(names)) if isinstance(names, list) else list(names.items()) if isinstance(names, dict) else []
    )
    scalar = (str, int, float)  # anything deeper may be an alias that unfolds without end
    if not pairs or not all(isinstance(i, int) and isinstance(name, scalar) for i, name in pairs):
        raise AnnotationError("expected “names” with one name a class")
    return {index: str(name) for index, name in pairs}


def parse_coco(data: bytes) -> dict[str, Any]:
    """Read a COCO file far enough to know that it is one.

    Raises
    ------
    AnnotationError
        When it is no JSON, or has no lists “images” and “annotations”.
    """
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"is no well-formed JSON ({error})") from error
    lists = isinstance(content, dict) and all(isinstance(content.get(k), list) for k in ("images", "annotations"))
    if not lists:
        raise AnnotationError("expected a COCO file with the lists “images” and “annotations”")
    return dict(content)


def coco_annotations(content: Mapping[str, Any], file: str) -> Iterator[Annotation]:
    """Yield the boxes of every picture that a COCO file lists, by file name; crowd regions are left out.

    What belongs to no picture comes last, as an annotation without pictures.
    """
    categories = content.get("categories")
    named = _coco_categories(categories) if isinstance(categories, list) else None
    problems: list[str] = []
    pictures: dict[Any, dict[str, Any]] = {}
    for number, picture in enumerate(content["images"], 1):
        if (
            not isinstance(picture, dict)
            or not isinstance(picture.get("file_name"), str)
            or not _is_id(picture.get("id"))
        ):
            problems.append(f"image {number} has no id or no file_name")
        elif picture["id"] in pictures:
            problems.append(f"image {number} ({picture['file_name']}) repeats the id {picture['id']}")
        else:
            pictures[picture["id"]] = picture
    by_picture: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    strays = 0
    for item in content["annotations"]:
        if isinstance(item, dict) and _is_id(item.get("image_id")) and item["image_id"] in pictures:
            by_picture[item["image_id"]].append(item)
        else:
            strays += 1
    if strays:
        problems.append(f"{strays} annotations belong to no image that it lists")
    for key, picture in sorted(pictures.items(), key=lambda pair: str(pair[1]["file_name"])):
        yield _coco_picture(file, picture, by_picture.get(key, []), named)
    if problems:
        yield Annotation(file, (), (), (), problems=tuple(problems))


def _coco_picture(
    file: str, picture: Mapping[str, Any], items: Sequence[Mapping[str, Any]], named: Mapping[Any, str] | None
) -> Annotation:
    name = picture["file_name"]
    boxes, labels, problems = [], [], []
    for item in items:
        if item.get("iscrowd") == 1:
            continue
        category = item.get("category_id")
        which = f"{name}: annotation {item.get('id', '?')}"
        try:
            if not _is_id(category) or (named is not None and category not in named):
                raise ValueError(f"has the unknown category {category!r:.40}")
            if not isinstance(item.get("bbox"), list):
                raise ValueError("has no box")
            x, y, width, height = _finite_box(item["bbox"])
        except ValueError as error:
            problems.append(f"{which} {error}")
        else:
            boxes.append((x, y, x + width, y + height))
            labels.append(f"category {category}" if named is None else named[category])
    return Annotation(
        file=file,
        pictures=(name,),
        boxes=tuple(boxes),
        labels=tuple(labels),
        size=_stated_size(picture.get("height"), picture.get("width")),
        problems=tuple(problems),
    )


def _coco_categories(categories: Sequence[Any]) -> dict[Any, str]:
    return {
        c["id"]: str(c["name"])
        for c in categories
        if isinstance(c, dict) and _is_id(c.get("id")) and isinstance(c.get("name"), str | int | float)
    }


def _yolo_line(words: Sequence[str]) -> tuple[int, Box]:
    try:
        index = float(words[0])
    except ValueError:
        index = math.nan
    if not index.is_integer() or index < 0:
        raise ValueError(f"begins with {words[0]!r:.40}, expected a class number")
    polygon = len(words) >= 7 and len(words) % 2 == 1
    if len(words) not in (5, 6) and not polygon:
        raise ValueError(f"has {len(words)} values, expected a class number and four")
    values = _finite_values(words[1:] if polygon else words[1:5])
    if min(values) < -_YOLO_LOOSEST or max(values) > 1 + _YOLO_LOOSEST:
        raise ValueError("has values far outside 0 to 1, expected shares of the picture's sides")
    if polygon:
        xs, ys = values[0::2], values[1::2]
        return int(index), (min(xs), min(ys), max(xs), max(ys))
    x, y, width, height = values
    return int(index), (x - width / 2, y - height / 2, x + width / 2, y + height / 2)


def _finite_box(values: Sequence[Any]) -> Box:
    if len(values) != 4:
        raise ValueError(f"has {len(values)} values, expected 4")
    a, b, c, d = _finite_values(values)
    return a, b, c, d


def _finite_values(values: Sequence[Any]) -> list[float]:
    numbers = []
    for value in values:
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"has {value!r:.40} where a number is expected") from None
        if not math.isfinite(number):
            raise ValueError(f"has {value} where a finite number is expected")
        numbers.append(number)
    return numbers


def _stated_size(height: Any, width: Any) -> tuple[int, int] | None:
    """(height, width), or None where a file states none that means anything."""
    try:
        size = int(float(height)), int(float(width))
    except (TypeError, ValueError, OverflowError):
        return None
    return size if min(size) > 0 else None


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str)


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AnnotationError("is no text in UTF-8") from error
