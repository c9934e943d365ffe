"""Pictures as annotations name them, on another machine, in another folder or in other letters."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from convfe_core.base.file_sets import ZipFiles, open_files
from convfe_core.datasets.read_dataset import open_boxes, read_dataset
from tests.annotations.one_box import BOX, LINE, OTHER, PICTURE, boxes_of, coco_of, read
from tests.support.datasets import coco, told, voc, zipped


@pytest.mark.parametrize(
    ("train", "valid"),
    [
        ("train/_annotations.coco.json", "valid/_annotations.coco.json"),
        ("annotations/instances_train2017.json", "annotations/instances_valid2017.json"),
        ("instances_train.json", "instances_valid.json"),
    ],
)
@pytest.mark.parametrize("folder", ["", "images/"])
def test_names_are_relative_to_their_own_json(train: str, valid: str, folder: str) -> None:
    files = {
        f"{folder}train/a.jpg": PICTURE,
        f"{folder}valid/a.jpg": PICTURE,
        train: coco({"a.jpg": [BOX]}),
        valid: coco({"a.jpg": [OTHER]}),
    }
    dataset = read(files)
    assert boxes_of(dataset) == {f"{folder}train/a.jpg": [list(BOX)], f"{folder}valid/a.jpg": [list(OTHER)]}
    assert dataset.skipped == ()


@pytest.mark.parametrize("of_train", ["train/boxes.json", "train/a.txt", "train/a.xml"])
def test_a_picture_goes_to_the_annotation_of_its_own_folder(of_train: str) -> None:
    """train/a.jpg is missing, and its annotation must not be taken for valid/a.jpg."""
    contents = {"json": coco({"a.jpg": [OTHER], "b.jpg": [BOX]}), "txt": b"0 .5 .5 .1 .1", "xml": voc([OTHER])}
    suffix = of_train.rpartition(".")[2]
    right = {"json": coco({"a.jpg": [BOX]}), "txt": LINE, "xml": voc([BOX])}[suffix]
    files = {"valid/a.jpg": PICTURE, of_train: contents[suffix], of_train.replace("train", "valid"): right}
    dataset = read(files | ({"train/b.jpg": PICTURE} if suffix == "json" else {}))
    assert boxes_of(dataset)["valid/a.jpg"] == [list(BOX)]
    assert "fits valid/a.jpg by its file name alone" in told(dataset)[of_train]


@pytest.mark.parametrize(
    ("picture", "stated"),
    [
        ("images/my photo 1.jpg", "images/my%20photo%201.jpg"),
        ("images/a b.png", "/data/local-files/?d=images/a%20b.png"),
        ("images/a b.png", "/data/local-files/?d=images%5Ca+b.png"),
        ("images/a b.png", "images/a%2520b.png"),
        ("images/a%20b.png", "a b.png"),
        ("images/a+b.png", "images/a+b.png"),
        ("images/a.jpg", "https://host/bucket/images/a.jpg?token=1&alt=media"),
        ("images/a.jpg", "https://host/v0/b/x/o/images%2Fa.jpg?alt=media"),
        ("images/a b.jpg", "s3://bucket/images/a b.jpg"),
        ("images/a.jpg", "http://[broken/images/a.jpg"),
        ("images/a.jpg", "/data/upload/1/3f2a1b9c-a.jpg"),
        ("images/a.jpg", "D:\\work\\images\\a.jpg"),
        ("images/a.jpg", "../images/a.jpg"),
        ("images/A.JPG", "images/a.jpg"),
        ("images/a.png", "a.jpg"),
        ("images/img.v2.jpg", "img.v2"),
        (unicodedata.normalize("NFD", "é.png"), unicodedata.normalize("NFC", "é.png")),
        (unicodedata.normalize("NFC", "é.png"), unicodedata.normalize("NFD", "é.png")),
    ],
)
def test_a_picture_is_found_by_what_another_machine_calls_it(picture: str, stated: str) -> None:
    dataset = read({picture: PICTURE, "annotations/boxes.json": coco_of(stated)})
    assert boxes_of(dataset) == {picture: [list(BOX)]}
    assert dataset.skipped == ()


@pytest.mark.parametrize("key", ["coco_url", "path", "filename"])
def test_a_picture_may_be_named_under_another_key(key: str) -> None:
    dataset = read({"train2017/0039.jpg": PICTURE, "lvis.json": coco_of({"id": 1, key: "http://h/train2017/0039.jpg"})})
    assert boxes_of(dataset) == {"train2017/0039.jpg": [list(BOX)]}


@pytest.mark.parametrize(
    ("picture", "labels"),
    [
        ("a.jpg", "a.jpg.txt"),
        ("a.JPG", "A.TXT"),
        ("images/Capture décran.jpg", "labels/Capture%20d%C3%A9cran.txt"),
        (f"images/{unicodedata.normalize('NFD', 'é')}.png", f"labels/{unicodedata.normalize('NFC', 'é')}.txt"),
        ("images/my photo.jpg", "labels/3f2a1b9c-my photo.txt"),
        ("images/img.v2.jpg", "labels/img.v2.txt"),
        ("train/images/a.jpg", "train/labels/a.txt"),
    ],
)
def test_a_label_file_finds_its_picture(picture: str, labels: str) -> None:
    dataset = read({picture: PICTURE, labels: LINE, "classes.txt": b"cat"})
    assert boxes_of(dataset) == {picture: [list(BOX)]}
    assert dataset.skipped == ()


def test_names_that_differ_in_case_or_suffix_alone_are_told_apart_where_they_can_be() -> None:
    pictures = {"a.jpg": PICTURE, "a.png": PICTURE, "B.jpg": PICTURE, "b.jpg": PICTURE}
    labels = {"a.jpg.txt": LINE, "a.png.txt": b"0 .5 .5 1 1", "B.txt": LINE, "b.txt": b"0 .5 .5 1 1"}
    whole = [0.0, 0.0, 60.0, 40.0]
    assert boxes_of(read({**pictures, **labels, "classes.txt": b"cat"})) == {
        "a.jpg": [list(BOX)],
        "a.png": [whole],
        "B.jpg": [list(BOX)],
        "b.jpg": [whole],
    }


def test_boxes_in_another_folder_are_compared_by_their_paths(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        for kind in ("images", "labels"):
            (tmp_path / kind / split).mkdir(parents=True)
        (tmp_path / "images" / split / "a.jpg").write_bytes(PICTURE)
        (tmp_path / "images" / split / "boxes.json").write_bytes(coco({"a.jpg": [BOX]}))
    (tmp_path / "labels" / "valid" / "a.txt").write_bytes(LINE)
    pictures = open_files(tmp_path / "images")
    for where in (tmp_path / "labels" / "valid", tmp_path / "images" / "valid" / "boxes.json"):
        assert boxes_of(read_dataset(pictures, open_boxes(where))) == {"valid/a.jpg": [list(BOX)]}


def test_an_archive_of_macos_or_windows_has_the_names_that_were_meant() -> None:
    data = bytearray(zipped({"images\\caf\u00e9.jpg": PICTURE, "labels\\caf\u00e9.txt": LINE}))
    for start in (b"PK\x03\x04", b"PK\x01\x02"):  # names are UTF-8, and the flag that says so is taken away
        place, flag = data.find(start), 7 if start == b"PK\x03\x04" else 9
        while place >= 0:
            data[place + flag] &= ~0x08
            place = data.find(start, place + 1)
    dataset = read_dataset(ZipFiles(bytes(data)))
    assert boxes_of(dataset) == {"images/café.jpg": [list(BOX)]}
