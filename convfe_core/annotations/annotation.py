"""What every annotation format comes down to: the boxes of one picture, and what a reader decided about them.

A format is one module with a function that takes the files of a data set and returns `Found`; it is listed in
`convfe_core.annotations.find_format`.
"""

from __future__ import annotations

import codecs
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from convfe_core.base.errors import AnnotationError, Skipped
from convfe_core.base.file_sets import DatasetLimits, FileSet

Box = tuple[float, float, float, float]

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class Note:
    """Something that a reader decided and its user must know, and how many boxes it concerns, 0 where none are counted.

    Notes with the same text are added up.
    """

    text: str
    boxes: int = 0


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
    notes : what was decided about the boxes
    """

    file: str
    pictures: tuple[str, ...]
    boxes: tuple[Box, ...]
    labels: tuple[str, ...]
    size: tuple[int, int] | None = None
    normalised: bool = False
    problems: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()


Item = Annotation | Skipped | Note


@dataclass(frozen=True)
class Found:
    """Annotations of one format among the files of a data set.

    Attributes
    ----------
    name : of the format
    files : how many files are of it
    covered : how many pictures they are about
    read : reads them, one picture after the other
    unused : files that look like this format and cannot be read, or whose pictures other files are about
    """

    name: str
    files: int
    covered: int
    read: Callable[[], Iterator[Item]]
    unused: tuple[Skipped, ...] = ()


def read_annotation(
    source: FileSet, name: str, parse: Callable[[bytes, str], Annotation], limits: DatasetLimits
) -> Annotation | Skipped:
    """Read one small file, or say why it cannot be read."""
    try:
        return parse(source.read(name, limits.text_bytes), name)
    except AnnotationError as error:
        return Skipped(name, str(error))


def files_ending(source: FileSet, suffixes: tuple[str, ...]) -> list[str]:
    """Files with one of these suffixes, in any case."""
    return [name for name in source.names if name.lower().endswith(suffixes)]


def marked_encoding(data: bytes) -> str | None:
    """The encoding that the first bytes of a text tell, or None."""
    return next((name for mark, name in _BYTE_ORDER_MARKS if data.startswith(mark)), None)


def to_text(data: bytes) -> str:
    """Decode a text file: by its byte order mark, or else as UTF-8.

    Raises
    ------
    AnnotationError : it is in another encoding
    """
    try:
        return data.decode(marked_encoding(data) or "utf-8")
    except UnicodeDecodeError as error:
        raise AnnotationError("is no text in UTF-8; save it as UTF-8") from error


def finite_box(values: Sequence[Any]) -> Box:
    """Four finite numbers; ValueError says what else came."""
    if len(values) != 4:
        raise ValueError(f"has {len(values)} values, expected 4")
    a, b, c, d = finite_values(values)
    return a, b, c, d


def finite_values(values: Sequence[Any]) -> list[float]:
    """Finite numbers; ValueError says what else came."""
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


def box_around(xs: Sequence[float], ys: Sequence[float]) -> Box:
    """The smallest box that holds all points."""
    return min(xs), min(ys), max(xs), max(ys)


def stated_size(height: Any, width: Any) -> tuple[int, int] | None:
    """(height, width), or None where a file states none that means anything."""
    try:
        size = int(float(height)), int(float(width))
    except (TypeError, ValueError, OverflowError):
        return None
    return size if min(size) > 0 else None
