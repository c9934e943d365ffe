"""Marks: what a hand draws is kept or named, survives a file and back, and is a data set to the bit."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from convfe_core.base.errors import AnnotationError
from convfe_core.base.file_sets import FolderFiles
from convfe_core.datasets.boxes import ImageBoxes
from convfe_core.datasets.read_dataset import open_boxes, read_dataset
from convfe_core.datasets.write_coco import coco_json
from convfe_core.marks.marked_photos import (
    PhotoFiles,
    boxes_on,
    joined,
    mark_photo,
    marked_dataset,
    read_marks,
    with_names_of_their_own,
)
from convfe_core.photos.letterbox import reduce_photo
from convfe_core.photos.photo import Photo, read_photo
from tests.support.builders import noise, png


def photo(name: str = "a.png", width: int = 60, height: int = 40, seed: int = 0) -> Photo:
    return read_photo(png(noise(height, width, seed)), name)


def marks(one: Photo, *boxes: tuple[float, ...], labels: tuple[str, ...] = ()) -> ImageBoxes:
    return mark_photo(one, boxes, labels)[0]


def test_corners_come_in_any_order_and_a_class_may_be_left_out() -> None:
    found, said = mark_photo(photo(), [(30, 20, 10, 5), (1, 2, 3, 4)], ["  red\n cup ", ""])
    assert found.boxes.tolist() == [[10, 5, 30, 20], [1, 2, 3, 4]]
    assert found.labels == ("red cup", "object")
    assert (found.image, found.height, found.width, said) == ("a.png", 40, 60, ())


@pytest.mark.parametrize(
    ("box", "kept", "sentence"),
    [
        ((10, 5, 10, 20), [], "a.png: 1 box without an area on the photograph left out; draw from one corner"),
        ((70, 5, 90, 20), [], "a.png: 1 box without an area on the photograph left out"),
        ((float("nan"), 5, 90, 20), [], "a.png: 1 box without an area on the photograph left out"),
        ((1, 2, 3), [], "a.png: 1 box without an area on the photograph left out"),
        (("x", None, {}, []), [], "a.png: 1 box without an area on the photograph left out"),
        (None, [], "a.png: 1 box without an area on the photograph left out"),
        ((-10, 5, 90, 20), [[0, 5, 60, 20]], "a.png: 1 box cut at the edge of the photograph."),
    ],
)
def test_a_box_that_cannot_be_kept_is_named_and_the_others_stay(box: tuple, kept: list, sentence: str) -> None:
    found, said = mark_photo(photo(), [(1, 2, 3, 4), box], ["cup", "cup"])
    assert found.boxes.tolist() == [[1, 2, 3, 4], *kept]
    assert len(found.labels) == len(found.boxes)
    assert len(said) == 1
    assert said[0].startswith(sentence)


def test_five_hundred_boxes_on_one_photograph_are_kept() -> None:
    boxes = np.random.default_rng(0).uniform(0, 40, (500, 4)).round(3)
    found, said = mark_photo(photo(), boxes.tolist())
    assert len(found.boxes) == 500
    assert said == ()
    assert np.abs(np.sort(found.boxes, axis=1) - np.sort(boxes, axis=1)).max() <= 1 / 32


def test_a_file_of_marks_is_what_pycocotools_reads(tmp_path: Path) -> None:
    one = marks(photo("b.png"), (1.3, 2.7, 31.9, 22.2), (5, 6, 9, 10), labels=("cup", "cat"))
    other = marks(photo("a.png"), (0, 0, 60, 40), labels=("cup",))
    path = tmp_path / "marks.json"
    path.write_text(coco_json([one, other]))
    with contextlib.redirect_stdout(io.StringIO()):
        read = COCO(str(path))
    by_name = {image["file_name"]: image for image in read.loadImgs(read.getImgIds())}
    assert {name: (image["height"], image["width"]) for name, image in by_name.items()} == {
        "a.png": (40, 60),
        "b.png": (40, 60),
    }
    found = read.loadAnns(read.getAnnIds(imgIds=[by_name["b.png"]["id"]]))
    names = {category["id"]: category["name"] for category in read.loadCats(read.getCatIds())}
    assert [names[one["category_id"]] for one in found] == ["cup", "cat"]
    corners = [[x, y, x + w, y + h] for x, y, w, h in (one["bbox"] for one in found)]
    assert corners == one.boxes.tolist()
    assert [item["area"] for item in found] == [w * h for *_, w, h in (item["bbox"] for item in found)]
    assert {item["iscrowd"] for item in found} == {0}


def test_the_ordinary_reader_gives_the_very_boxes_back(tmp_path: Path) -> None:
    names = ("a.png", "b.png", "ä (1).png")
    random = np.random.default_rng(1)
    written = []
    for seed, name in enumerate(names):
        (tmp_path / name).write_bytes(png(noise(40, 60, seed)))
        written.append(mark_photo(photo(name, seed=seed), random.uniform(0, 40, (9, 4)).tolist())[0])
    (tmp_path / "elsewhere").mkdir()
    path = tmp_path / "elsewhere" / "marks.json"
    path.write_text(coco_json(written))
    dataset = read_dataset(FolderFiles(tmp_path), open_boxes(path))
    assert not dataset.skipped
    assert not dataset.notes
    for image, one in zip(dataset.images, written, strict=True):
        assert image.image == one.image
        assert (image.boxes == one.boxes).all()
        assert image.labels == one.labels


def test_marks_on_a_reduced_photograph_fit_its_file(tmp_path: Path) -> None:
    whole = photo("large.png", 600, 400)
    small = reduce_photo(whole, 150)
    found = marks(small, (10, 20, 30, 40))
    assert found.boxes.tolist() == [[40, 80, 120, 160]]
    assert (found.height, found.width) == (400, 600)
    assert boxes_on(small, found).tolist() == [[10, 20, 30, 40]]
    (tmp_path / "large.png").write_bytes(png(noise(400, 600, 0)))
    (tmp_path / "marks.json").write_text(coco_json([found]))
    assert read_dataset(FolderFiles(tmp_path)).images[0].boxes.tolist() == [[40, 80, 120, 160]]
    assert read_marks((tmp_path / "marks.json").read_bytes(), "m.json", {"x": found}).marks["x"].boxes.tolist() == [
        [40, 80, 120, 160]
    ]
    assert reduce_photo(small, 75).file_size == (400, 600)


def test_a_file_of_marks_is_read_onto_the_photographs_that_it_is_about() -> None:
    one, other = marks(photo("a.png"), (1, 2, 30, 20)), marks(photo("b.png"), (3, 4, 9, 8), labels=("cup",))
    here = {"1": marks(photo("a.png")), "2": marks(photo("c.png"))}
    found = read_marks(coco_json([one, other]).encode(), "marks.json", here)
    assert {digest: m.boxes.tolist() for digest, m in found.marks.items()} == {"1": [[1, 2, 30, 20]]}
    assert found.said == ("marks.json is not used as a whole: no picture goes by b.png.",)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"no json", "marks.json: expected VOC, YOLO or COCO boxes for the 1 pictures, got none that fit"),
        (b"{}", "lists “images” and “annotations”"),
        (b'{"images": [], "annotations": []}', "lists 0 pictures, none of which is there"),
        (coco_json([marks(photo("dog.png"), (1, 2, 3, 4))]).encode(), "none of which is there (for instance dog.png)"),
        (coco_json([marks(photo("a.png"))]).encode(), "has no boxes"),
        (coco_json([marks(photo("a.png", 61), (1, 2, 3, 4))]).encode(), "its boxes are for 61 x 40 pixels, but a.png"),
    ],
)
def test_a_file_about_nothing_that_is_here_is_one_sentence(data: bytes, words: str) -> None:
    with pytest.raises(AnnotationError) as raised:
        read_marks(data, "marks.json", {"1": marks(photo("a.png"))})
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_without_photographs_a_file_of_marks_says_what_to_do() -> None:
    with pytest.raises(AnnotationError, match=r"^marks\.json: expected photographs .* choose them first\.$"):
        read_marks(b"{}", "marks.json", {})


def test_two_photographs_of_one_name_keep_their_own_boxes() -> None:
    named = with_names_of_their_own(
        {"1" * 64: marks(photo(seed=1), (1, 2, 3, 4)), "2" * 64: marks(photo(seed=2), (5, 6, 7, 8))}
    )
    assert [one.image for one in named.values()] == ["a.png", "22222222/a.png"]
    here = {digest: marks(photo(seed=int(digest[0]))) for digest in named}
    found = read_marks(coco_json(named.values()).encode(), "marks.json", here)
    assert {digest[0]: one.boxes.tolist() for digest, one in found.marks.items()} == {
        "1": [[1, 2, 3, 4]],
        "2": [[5, 6, 7, 8]],
    }
    assert {one.image for one in found.marks.values()} == {"a.png"}


def test_boxes_that_are_there_already_are_not_joined_twice() -> None:
    old = marks(photo(), (1, 2, 3, 4), (5, 6, 7, 8), labels=("cup", "cup"))
    new = marks(photo(), (5, 6, 7, 8), (5, 6, 7, 8), (9, 9, 12, 12), labels=("cup", "cat", "cup"))
    both = joined(old, new)
    assert both.boxes.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8], [5, 6, 7, 8], [9, 9, 12, 12]]
    assert both.labels == ("cup", "cup", "cat", "cup")


def test_marked_photographs_are_a_data_set_with_the_very_pixels() -> None:
    first, second, bare = photo("b.png", seed=1), photo("a.png", 50, 70, seed=2), photo("c.png", seed=3)
    small = reduce_photo(photo("d.png", 600, 400), 150)
    marked = [(first, marks(first, (1, 2, 3, 4))), (second, marks(second, (5, 6, 30, 60), labels=("cup",)))]
    marked += [(bare, marks(bare)), (small, marks(small, (10, 20, 30, 40)))]
    found = marked_dataset(marked, "your marks")
    assert [image.image for image in found.images] == ["a.png", "b.png", "d.png"]
    assert found.classes == ("cup", "object")
    assert found.in_words == "3 images, 3 boxes, 2 classes (marked by hand)"
    assert found.images[2].boxes.tolist() == [[10, 20, 30, 40]]
    for image, given in zip(found.images, (second, first, small), strict=True):
        read = read_photo(found.source.read(image.image, 50_000_000), image.image)
        assert (image.height, image.width) == (read.height, read.width)
        assert (read.pixels == given.pixels).all()


def test_a_photograph_too_large_to_be_handed_on_uncompressed_is_still_read() -> None:
    large = Photo("large.png", np.zeros((4200, 4200, 3), np.uint8), "1")
    data = PhotoFiles({"large.png": large}, "marks").read("large.png", 50_000_000)
    assert Image.open(io.BytesIO(data)).size == (4200, 4200)


def test_a_name_that_is_no_text_is_written_all_the_same() -> None:
    odd = ImageBoxes("\udcff\n“a”.png", 4, 4, np.array([[0.0, 0, 1, 1]]), ("\udcff",))
    assert json.loads(coco_json([odd]).encode())["images"][0]["file_name"] == odd.image
