"""YOLO: one text file a picture, a line an object."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from convfe_core.annotations.annotation import (
    Annotation,
    Box,
    Found,
    Item,
    Note,
    files_ending,
    finite_values,
    read_annotation,
    to_text,
)
from convfe_core.annotations.class_names import ClassFiles, ClassNames, find_class_names
from convfe_core.annotations.picture_names import Pictures
from convfe_core.annotations.yolo_lines import Numbers, Reading, Readings, near_picture
from convfe_core.base.background import map_ahead
from convfe_core.base.errors import AnnotationError
from convfe_core.base.file_sets import DatasetLimits, FileSet
from convfe_core.photos.picture_formats import is_picture_name

_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
_LOOKED_AT = 200
"""Label files that are read to tell how the lines of a data set are meant."""


def find_yolo(source: FileSet, pictures: Pictures, limits: DatasetLimits) -> Found:
    """Find label files, which go by the names of pictures."""
    classes = find_class_names(source, limits)
    of_classes = {names.file for names in classes.found}
    files = [name for name in files_ending(source, (".txt",)) if name not in of_classes]
    paired = [name for name in files if pictures.find(PurePosixPath(name).name, source.path(name)).pictures]
    if not paired:
        return Found("YOLO", 0, 0, lambda: iter(()))

    def read() -> Iterator[Item]:
        wanted = set(paired)
        yield from (one for one in classes.skipped if one.file not in wanted)  # labels.txt beside labels.jpg
        yield from classes.notes
        readings = _find_readings(source, paired, classes, limits)

        def parse(name: str) -> Item:
            names = classes.of(name)
            how = readings[names.keypoints if names else None]
            return read_annotation(source, name, lambda data, file: parse_yolo(data, file, names, how), limits)

        for name, item in zip(files, map_ahead(parse, files, source.readers), strict=True):
            boxes = len(item.boxes) if isinstance(item, Annotation) else 0
            if name in wanted or boxes:  # any other text file, a README for instance, is none of ours
                yield item

    return Found("YOLO", len(paired), len(paired), read)


def _find_readings(
    source: FileSet, files: Sequence[str], classes: ClassFiles, limits: DatasetLimits
) -> dict[tuple[int, int] | None, Readings]:
    """How lines are read under each ``kpt_shape`` that the data set states, by a sample of its files."""
    sample = files[:: max(1, len(files) // _LOOKED_AT)]
    lines: dict[tuple[int, int] | None, list[Numbers]] = {names.keypoints: [] for names in classes.found} or {None: []}

    def look(name: str) -> list[Numbers]:
        try:
            return list(_numbers_of(to_text(source.read(name, limits.text_bytes))))
        except AnnotationError:  # named when the file is read in its turn
            return []

    for name, some in zip(sample, map_ahead(look, sample, source.readers), strict=True):
        names = classes.of(name)
        lines[names.keypoints if names else None] += some
    return {keypoints: Readings(some, keypoints) for keypoints, some in lines.items()}


def _numbers_of(text: str) -> Iterator[Numbers]:
    for line in text.splitlines():
        try:
            yield _split_line(_words(line))[1]
        except (ValueError, IndexError):
            continue


def parse_yolo(data: bytes, file: str, classes: ClassNames | None, readings: Readings | None = None) -> Annotation:
    """Read a YOLO label file: a class number and a box a line, or a pose or polygon, whose box is taken.

    Parameters
    ----------
    data, file : the file and its name
    classes : class names, or None where the data set names none; then ``class 3`` and so on
    readings : how the lines of the data set are meant; None to judge each by itself

    Raises
    ------
    AnnotationError : it is no text, or a list of pictures
    """
    lines = [line for line in enumerate(to_text(data).splitlines(), 1) if line[1].strip()]
    if lines and all(is_picture_name(line.strip()) for _, line in lines):
        raise AnnotationError("is a list of pictures and no label file")
    readings = readings or Readings()
    boxes: list[Box] = []
    labels: list[str] = []
    problems: list[str] = []
    unknown: Counter[int] = Counter()
    notes: Counter[str] = Counter()
    for number, line in lines:
        try:
            index, numbers = _split_line(_words(line))
            found = _reading_of(numbers, readings)
        except ValueError as error:
            problems.append(f"line {number} {error}")
            continue
        if classes is not None and index not in classes.names:
            unknown[index] += 1
            continue
        boxes.append(found[0].box(numbers))
        labels.append(f"class {index}" if classes is None else classes.names[index])
        if note := _said_of(found, len(numbers)):
            notes[note] += 1
    problems += [f"class {index} has no name in the data set ({n} boxes)" for index, n in sorted(unknown.items())]
    return Annotation(
        file=file,
        pictures=(PurePosixPath(file).name,),
        boxes=tuple(boxes),
        labels=tuple(labels),
        normalised=True,
        problems=tuple(problems),
        notes=tuple(Note(text, count) for text, count in notes.items()),
    )


def _words(line: str) -> list[str]:
    """The words of a line, which some programs part by commas, and some countries' write with commas as points."""
    words = line.split()
    if (
        "." not in line
        and len(words) >= 5
        and all(_DECIMAL_COMMA.fullmatch(word) for word in words[1:5] if "," in word)
    ):
        return [*words[:1], *(word.replace(",", ".") for word in words[1:])]
    return re.sub("[,;]", " ", line).split()


def _split_line(words: Sequence[str]) -> tuple[int, Numbers]:
    """A line's class number and the numbers after it; words after at least four of them are no part of the label."""
    first, *numbers = words or [","]  # a line of commas alone has no words
    try:
        index = float(first)
    except ValueError:
        index = -1.0
    if not index.is_integer() or index < 0:
        raise ValueError(f"begins with {first!r:.40}, expected a class number")
    while len(numbers) > 4 and not numbers[-1].lstrip("+-.")[:1].isdigit():
        numbers = numbers[:-1]  # a class name or a comment
    return int(index), finite_values(numbers)


def _reading_of(numbers: Numbers, readings: Readings) -> tuple[Reading, ...]:
    if len(numbers) < 4:
        raise ValueError(f"has {len(numbers) + 1} values, expected a class number and four")
    if not near_picture(numbers[:4]):
        raise ValueError("has values far outside 0 to 1, expected shares of the picture's sides")
    found = readings.of(numbers)
    if found:
        return found
    usual = readings.usual(len(numbers))
    what = f"are not {usual}, as in other lines" if usual else "are neither a box, a pose nor a polygon"
    raise ValueError(f"has {len(numbers) + 1} values that {what}")


def _said_of(found: Sequence[Reading], length: int) -> str:
    """What to say of how a line was read: nothing of plain boxes."""
    taken, *others = found
    if taken == Reading("boxes"):
        return ""
    doubt = f", though they fit {' and '.join(map(str, others))} as well" if others else ""
    return f"label lines of {length + 1} values read as {taken}{doubt}"
