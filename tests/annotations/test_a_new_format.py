"""The recipe of CONTRIBUTING.md is true: one function and one line of registration make a format that is read."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from convfe_core.annotations import find_format
from convfe_core.annotations.annotation import Annotation, Box, Found, Item, files_ending, finite_box, to_text
from convfe_core.annotations.picture_names import Pictures
from convfe_core.base.errors import AnnotationError
from convfe_core.base.file_sets import DatasetLimits, FileSet, UploadedFiles, ZipFiles
from convfe_core.datasets.read_dataset import read_dataset
from tests.support.datasets import jpeg, told, voc, zipped

ONE_PICTURE = re.compile(r"(\S+\.(?:jpg|png))((?: [^ ,]+(?:,[^ ,]+){4})*)")


def find_lists(source: FileSet, pictures: Pictures, limits: DatasetLimits) -> Found:
    """Find lists of pictures, each line a name and ``x_min,y_min,x_max,y_max,class`` for every object."""
    texts = {name: to_text(source.read(name, limits.text_bytes)) for name in files_ending(source, (".txt",))}
    lines = [(name, match) for name, text in texts.items() for match in map(ONE_PICTURE.fullmatch, text.splitlines())]
    annotations = [parse_line(name, match) for name, match in lines if match]
    covered = sum(bool(pictures.match(one.pictures, source.path(one.file)).pictures) for one in annotations)

    def read() -> Iterator[Item]:
        yield from annotations

    return Found("list", len({one.file for one in annotations}), covered, read)


def parse_line(file: str, match: re.Match[str]) -> Annotation:
    boxes: list[Box] = []
    labels, problems = [], []
    for number, item in enumerate(match[2].split(), 1):
        *corners, label = item.split(",")
        try:
            boxes.append(finite_box(corners))
            labels.append(label)
        except ValueError as error:
            problems.append(f"{match[1]}: object {number} {error}")
    return Annotation(file, (match[1],), tuple(boxes), tuple(labels), problems=tuple(problems))


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one line that makes it known."""
    monkeypatch.setattr(find_format, "FORMATS", (*find_format.FORMATS, find_lists))


LIST = b"images/a.jpg 3,4,20,30,cat 50,10,70,20,dog\nimages/b.jpg 1,1,9,9,dog 1,x,9,9,cat\nimages/c.jpg\n"
FILES = {"train.txt": LIST, **{f"images/{name}.jpg": jpeg() for name in "abc"}}


def test_a_new_format_is_read_with_boxes_cut_and_faults_named(registered: None) -> None:
    for source in (UploadedFiles(FILES.items()), ZipFiles(zipped(FILES))):
        dataset = read_dataset(source)
        assert (dataset.format, dataset.classes, dataset.clipped) == ("list", ("cat", "dog"), 1)
        assert [image.image for image in dataset.images] == ["images/a.jpg", "images/b.jpg", "images/c.jpg"]
        assert [image.boxes.tolist() for image in dataset.images] == [
            [[3, 4, 20, 30], [50, 10, 60, 20]],
            [[1, 1, 9, 9]],
            [],
        ]
        assert dataset.images[0].labels == ("cat", "dog")
        assert told(dataset) == {"train.txt": "images/b.jpg: object 2 has 'x' where a number is expected"}


def test_of_two_formats_the_one_with_more_pictures_is_read_and_the_other_is_named(registered: None) -> None:
    files = {**FILES, "images/d.jpg": jpeg(), **{f"images/{name}.xml": voc([(1, 1, 9, 9)]) for name in "abcd"}}
    dataset = read_dataset(UploadedFiles(files.items()))
    assert dataset.format == "VOC"
    assert told(dataset) == {"the uploaded files": "1 list files are not used; boxes are read from VOC"}


def test_without_the_line_it_is_unknown() -> None:
    with pytest.raises(AnnotationError, match="expected VOC, YOLO or COCO boxes for the 3 pictures, got none"):
        read_dataset(UploadedFiles(FILES.items()))
