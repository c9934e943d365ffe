"""Pascal VOC: one XML file a picture."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from convfe_core.annotations.annotation import (
    Annotation,
    Box,
    Found,
    Item,
    Note,
    box_around,
    files_ending,
    finite_box,
    finite_values,
    marked_encoding,
    read_annotation,
    stated_size,
)
from convfe_core.annotations.picture_names import Pictures
from convfe_core.base.background import map_ahead
from convfe_core.base.errors import AnnotationError
from convfe_core.base.file_sets import DatasetLimits, FileSet

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_OTHER_NAME = "boxes read for the picture that their XML file is named after, though its <filename> is another picture"
_TURNED = ("cx", "cy", "w", "h", "angle")
_DECLARED = re.compile(rb"""^\s*<\?xml[^>]*?\sencoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")
_NOT_AS_DECLARED = ("utf-16", "utf16", "utf-32", "utf32", "ucs", "idna", "punycode", "unicode_escape", "raw_unicode")
"""Encodings that a declaration written in ASCII cannot be in, and codecs of Python that are no encodings of texts."""
_BARE_AMPERSAND = re.compile(r"&(?!#?\w+;)")
"""In a class name that a program wrote down as it was."""
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")


def find_voc(source: FileSet, pictures: Pictures, limits: DatasetLimits) -> Found:
    """Find VOC files."""
    files = files_ending(source, (".xml",))

    def read() -> Iterator[Item]:
        for item in map_ahead(lambda name: read_annotation(source, name, parse_voc, limits), files, source.readers):
            yield item
            if isinstance(item, Annotation) and _names_another(item, pictures, source.path(item.file)):
                yield Note(_OTHER_NAME, len(item.boxes))

    by_name = sum(bool(pictures.find(PurePosixPath(name).name, source.path(name)).pictures) for name in files)
    covered = max(by_name, min(len(files), 1))  # <filename> may say what the name does not
    return Found("VOC", len(files), covered, read)


def _names_another(item: Annotation, pictures: Pictures, path: str) -> bool:
    """Whether a file's own name fits one picture and its <filename> another."""
    own, *stated = (set(pictures.find(name, path).pictures) for name in item.pictures)
    return bool(own and stated and stated[0] and not own & stated[0])


def parse_voc(data: bytes, file: str) -> Annotation:
    """Read a Pascal VOC file; the coordinates are taken as they stand, in pixels.

    VOC itself counted pixels from one; LabelImg and most later tools do not, and a file does not tell.

    Raises
    ------
    AnnotationError : it is no such file; entities, which can blow a parser up, are refused
    """
    import defusedxml.ElementTree
    from defusedxml import DefusedXmlException

    text, notes = _xml_text(data)
    try:
        root = defusedxml.ElementTree.fromstring(_BARE_AMPERSAND.sub("&amp;", text), forbid_dtd=False)
    except DefusedXmlException as error:
        raise AnnotationError("defines XML entities, which are refused") from error
    except Exception as error:  # expat reports encodings and syntax with several types
        raise AnnotationError(f"is no well-formed XML ({error})") from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]  # without a namespace
    if root.tag == "annotations" and root.find("image") is not None:
        raise AnnotationError("is a file of CVAT's own; export as COCO, YOLO or Pascal VOC")
    if root.tag.lower() != "annotation":
        raise AnnotationError(f"expected a VOC file with <annotation> at the top, got <{root.tag}>")
    boxes, labels, problems = [], [], []
    for number, item in enumerate(root.findall("object"), 1):
        try:
            box, origin = _object_box(item)
        except ValueError as error:
            problems.append(f"object {number} {error}")
            continue
        boxes.append(box)
        labels.append((item.findtext("name") or "").strip() or "unnamed")
        if origin:
            notes.append(Note(f"boxes drawn around {origin}, where a VOC object has no <bndbox>", 1))
    stated = (PurePosixPath(file).name, *((root.findtext(tag) or "").strip() for tag in ("filename", "path")))
    return Annotation(
        file=file,
        pictures=tuple(name for name in stated if name),
        boxes=tuple(boxes),
        labels=tuple(labels),
        size=stated_size(root.findtext("size/height"), root.findtext("size/width")),
        problems=tuple(problems),
        notes=tuple(notes),
    )


def _object_box(item: Any) -> tuple[Box, str]:
    """An object's box, and what it is drawn around where no corners are stated."""
    corners = item.find("bndbox")
    if corners is not None:
        stated = {one.tag.lower(): (one.text or "").strip().replace(",", ".") for one in corners}
        return finite_box([stated.get(tag, "") for tag in _CORNERS]), ""
    turned = item.find("robndbox")
    if turned is not None:
        return _turned_box(*finite_values([(turned.findtext(tag) or "").strip() for tag in _TURNED])), "a turned box"
    outline = item.find("polygon")
    if outline is not None:
        values = {one.tag: (one.text or "").strip() for one in outline if one.tag != "pt"}  # <x1>, <y1>, <x2> ...
        points = [(one.findtext("x"), one.findtext("y")) for one in outline.findall("pt")]
        xs = finite_values([x for x, _ in points] or [values[tag] for tag in values if re.fullmatch(r"x\d+", tag)])
        ys = finite_values([y for _, y in points] or [values[tag] for tag in values if re.fullmatch(r"y\d+", tag)])
        if len(xs) == len(ys) and xs:
            return box_around(xs, ys), "a polygon"
    raise ValueError("has no <bndbox>")


def _turned_box(x: float, y: float, width: float, height: float, angle: float) -> Box:
    """The upright box around one that is turned about its centre by an angle in radians."""
    cosine, sine = abs(math.cos(angle)), abs(math.sin(angle))
    half_width, half_height = (width * cosine + height * sine) / 2, (width * sine + height * cosine) / 2
    return x - half_width, y - half_height, x + half_width, y + half_height


def _xml_text(data: bytes) -> tuple[str, list[Note]]:
    """Decode XML by its byte order mark, by what it declares, or as UTF-8, whichever fits first.

    expat knows no East Asian encoding, and takes a declaration at its word where a tool wrote another one.
    """
    declared = _DECLARED.match(data)
    stated = declared[1].decode().lower() if declared else ""
    if stated.startswith(_NOT_AS_DECLARED):  # it could not have been read as ASCII
        stated = ""
    names = [marked_encoding(data), stated, "utf-8"]
    if data[:2] in (b"<\0", b"\0<"):
        names.insert(0, "utf-16-le" if data[1] == 0 else "utf-16-be")
    for name in filter(None, names):
        try:
            return _DECLARATION.sub("", data.decode(name), count=1), []
        except (UnicodeError, LookupError):
            continue
    note = Note("boxes from XML in another encoding than declared; letters beyond a to z may be wrong in class names")
    return _DECLARATION.sub("", data.decode("latin-1"), count=1), [note]
