"""Names of the classes that YOLO label files give by number, and what else a data.yaml says about their lines."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from convfe_core.annotations.annotation import Note, to_text
from convfe_core.base.errors import AnnotationError, Skipped
from convfe_core.base.file_sets import DatasetLimits, FileSet

YAML_SUFFIXES = (".yaml", ".yml")
NAME_LIST_SUFFIXES = (".names", ".labels")
_NAME_LIST = re.compile(
    r"(?:predefined|obj|object|coco|voc)?(?:class|classes|label|labels|category|categories|names)(?:name|names|list)?"
)
"""Stems of text files that name classes, in small letters, without spaces, dashes and underscores."""
_NUMBERED = re.compile(r"(\d{1,6})(?:\s*[:,;]\s*|\s+)(\S.*)")


@dataclass(frozen=True)
class ClassNames:
    """What one file says about classes.

    Attributes
    ----------
    file : where it is said
    names : class names by number
    keypoints : how many keypoints follow a box, and how many numbers each has (2 or 3), or None
    stated : how many classes there are, as far as the file says so apart from their names
    """

    file: str
    names: Mapping[int, str]
    keypoints: tuple[int, int] | None = None
    stated: int | None = None


class ClassFiles:
    """The files with class names of a data set; each label file goes by the nearest one above it."""

    def __init__(self, found: Sequence[ClassNames], skipped: Sequence[Skipped] = ()) -> None:
        self.found = tuple(found)
        self.skipped = tuple(skipped)

    def of(self, label_file: str) -> ClassNames | None:
        """What holds for a label file: the class names in the folder nearest above it, or those nearest the top."""
        folders = PurePosixPath(label_file).parents
        above = [names for names in self.found if PurePosixPath(names.file).parent in folders]
        if above:
            return max(above, key=lambda names: names.file.count("/"))  # of several in one folder, the first
        return min(self.found, key=lambda names: names.file.count("/"), default=None)

    @property
    def notes(self) -> list[Note]:
        """What a user must know about how the classes get their names."""
        if not self.found:
            return [Note("no file names the classes, which go by their numbers")]
        notes = [
            Note(f"{one.file} states {one.stated} classes and names {len(one.names)}")
            for one in self.found
            if one.stated not in (None, len(one.names))
        ]
        if any(one.names != self.found[0].names for one in self.found):
            files = ", ".join(one.file for one in self.found[:5])
            notes.append(Note(f"the classes are named differently in {files}; labels go by the one nearest above them"))
        return notes


def find_class_names(source: FileSet, limits: DatasetLimits) -> ClassFiles:
    """Read every file of `source` that names classes; in a folder with several, a YAML file comes first."""
    found, skipped = [], []
    candidates = [name for name in source.names if may_name_classes(name)]
    for name in sorted(candidates, key=lambda name: (not name.lower().endswith(YAML_SUFFIXES), name)):
        try:
            found.append(parse_class_names(source.read(name, limits.classes_bytes), name))
        except AnnotationError as error:
            skipped.append(Skipped(name, str(error)))
    return ClassFiles(found, skipped)


def may_name_classes(name: str) -> bool:
    """Whether a file goes by a name under which tools write class names."""
    path = PurePosixPath(name.lower())
    if path.suffix in (*YAML_SUFFIXES, *NAME_LIST_SUFFIXES):
        return True
    return path.suffix == ".txt" and _NAME_LIST.fullmatch(re.sub(r"[\s_-]", "", path.stem)) is not None


def parse_class_names(data: bytes, file: str) -> ClassNames:
    """Read a YAML file of a YOLO data set, or a text file with a name a line.

    Raises
    ------
    AnnotationError : it names no classes
    """
    text = to_text(data)
    if file.lower().endswith(YAML_SUFFIXES):
        return _parse_yaml(text, file)
    lines = {index: line.strip() for index, line in enumerate(text.splitlines()) if line.strip()}
    if lines and all(_is_label_line(line) for line in lines.values()):
        raise AnnotationError("holds lines of numbers, expected a class name a line")
    numbered = [_NUMBERED.fullmatch(line) for line in lines.values()]
    if [int(match[1]) for match in numbered if match] == list(range(len(lines))):  # "0 cat", "1 dog"
        lines = {int(match[1]): match[2] for match in numbered if match}
    if not lines:
        raise AnnotationError("is empty, expected a class name a line")
    return ClassNames(file, lines)


def _parse_yaml(text: str, file: str) -> ClassNames:
    import yaml

    try:
        content = yaml.load(text, yaml.BaseLoader)  # builds texts, lists and mappings only: “no” and “1e3” stay words
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise AnnotationError("is no well-formed YAML") from error
    if not isinstance(content, dict):
        raise AnnotationError("expected “names” with one name a class")
    keypoints, stated = _keypoints(content.get("kpt_shape")), _index(content.get("nc"))
    return ClassNames(file, _yaml_names(content.get("names")), keypoints, stated)


def _yaml_names(names: Any) -> dict[int, str]:
    if isinstance(names, str) and names and not names.lower().endswith((".txt", *NAME_LIST_SUFFIXES)):
        names = [name.strip() for name in names.split(",")]  # a single class, or several in one text
    if isinstance(names, list):
        names = dict(enumerate(names))
    pairs = list(names.items()) if isinstance(names, dict) else []
    if pairs and all(_index(value) is not None and _index(key) is None for key, value in pairs):
        pairs = [(value, key) for key, value in pairs]  # {cat: 0}
    # Anything deeper than a text may be an alias that unfolds without end.
    if not pairs or not all(_index(key) is not None and isinstance(name, str) for key, name in pairs):
        raise AnnotationError("expected “names” with one name a class")
    return {int(key): name.strip() or f"class {int(key)}" for key, name in pairs}


def _index(value: Any) -> int | None:
    """A class number, which a key of YAML states as a text."""
    text = str(value) if isinstance(value, int | str) else ""
    return int(text) if re.fullmatch(r"\d{1,6}", text) else None


def _keypoints(shape: Any) -> tuple[int, int] | None:
    if not isinstance(shape, list) or len(shape) != 2:
        return None
    count, numbers = map(_index, shape)
    return (count, numbers) if count and numbers in (2, 3) else None


def _is_label_line(line: str) -> bool:
    try:
        return len([float(word) for word in line.split()]) >= 5
    except ValueError:
        return False
