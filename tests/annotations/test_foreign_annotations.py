"""Annotations as the tools of this trade write them: the right boxes, and a word about everything that was decided."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convfe_core.annotations.run_length import expand_counts, mask_box
from convfe_core.base.errors import AnnotationError
from convfe_core.base.file_sets import UploadedFiles, ZipFiles, open_files
from convfe_core.datasets.boxes import Dataset
from convfe_core.datasets.read_dataset import open_boxes, read_dataset
from tests.support.datasets import coco, jpeg, told, voc, zipped

PICTURE = jpeg()
BOX = (6.0, 4.0, 36.0, 24.0)
OTHER = (1.0, 2.0, 11.0, 22.0)
LINE = b"0 0.35 0.35 0.5 0.5\n"
CENTRED = "0.35 0.35 0.5 0.5"


def read(files: dict[str, bytes]) -> Dataset:
    return read_dataset(UploadedFiles(files.items()))


def boxes_of(dataset: Dataset) -> dict[str, list[list[float]]]:
    return {image.image: np.round(image.boxes, 6).tolist() for image in dataset.images}


def coco_of(*pictures: str | dict[str, Any], **annotation: Any) -> bytes:
    """A COCO file with one annotation a picture: `BOX`, or what `annotation` says."""
    images = [{"id": n, "file_name": one} if isinstance(one, str) else one for n, one in enumerate(pictures, 1)]
    said = annotation or {"bbox": [6, 4, 30, 20]}
    annotations = [{"id": n, "image_id": one["id"], "category_id": 1, **said} for n, one in enumerate(images, 1)]
    return json.dumps({"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cat"}]}).encode()


# Several JSON files


def test_of_coco_as_downloaded_the_objects_are_read_and_the_other_files_named() -> None:
    joints = coco_of("a.jpg", bbox=[1, 1, 9, 9], keypoints=[1, 1, 2], num_keypoints=1)
    surroundings = json.loads(coco_of("a.jpg", bbox=[0, 0, 9, 9]))
    surroundings["annotations"] *= 5
    results = json.dumps([{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]).encode()
    dataset = read(
        {
            "val2017/a.jpg": PICTURE,
            "annotations/captions_val2017.json": coco_of("a.jpg", caption="a red block"),
            "annotations/instances_val2017.json": coco_of("a.jpg"),
            "annotations/person_keypoints_val2017.json": joints,
            "annotations/stuff_val2017.json": json.dumps(surroundings).encode(),
            "annotations/image_info_val2017.json": b'{"images": [], "categories": []}',
            "results.json": results,
        }
    )
    assert boxes_of(dataset) == {"val2017/a.jpg": [list(BOX)]}
    same = "is about the same pictures as annotations/instances_val2017.json, whose boxes are read"
    assert told(dataset) == {
        "annotations/captions_val2017.json": "holds captions and no boxes",
        "annotations/person_keypoints_val2017.json": same,
        "annotations/stuff_val2017.json": same,
        "annotations/image_info_val2017.json": "lists images and no “annotations”",
        "results.json": "is a list of a detector's results, which are no annotations",
    }


def test_files_about_different_pictures_are_read_together() -> None:
    def part(*boxed: str) -> bytes:
        return coco({name: [BOX] if name in boxed else [] for name in ("a.jpg", "b.jpg")})

    dataset = read({"a.jpg": PICTURE, "b.jpg": PICTURE, "1.json": part("a.jpg"), "2.json": part("b.jpg")})
    assert boxes_of(dataset) == {"a.jpg": [list(BOX)], "b.jpg": [list(BOX)]}
    assert dataset.skipped == ()


def test_of_a_panoptic_file_the_things_are_read() -> None:
    segments = [{"id": 1, "category_id": 1, "bbox": [6, 4, 30, 20]}, {"id": 2, "category_id": 2, "bbox": [0, 0, 9, 9]}]
    content = json.loads(coco_of("a.jpg", segments_info=segments, file_name="a.png"))
    content["categories"] = [{"id": 1, "name": "cat", "isthing": 1}, {"id": 2, "name": "sky", "isthing": 0}]
    dataset = read({"a.jpg": PICTURE, "panoptic.json": json.dumps(content).encode()})
    assert boxes_of(dataset) == {"a.jpg": [list(BOX)]}
    assert dataset.notes == ("background regions of a panoptic file left out (1 box)",)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"shapes": [], "imagePath": "a.jpg"}, "is a file of labelme; convert the set with labelme2coco"),
        (
            [{"id": 1, "annotations": [], "data": {}}],
            "is Label Studio's own export; export as COCO, YOLO or VOC",
        ),
        ({"items": [], "categories": {}}, "is a file of Datumaro's own; export as COCO, YOLO or VOC"),
        ({"asset": {}, "regions": []}, "is a file of VoTT's own; export as Pascal VOC"),
        ({"objects": [], "size": {}}, "is a file of Supervisely's own; export as COCO"),
        ({"_via_img_metadata": {}}, "is a project of VGG Image Annotator; export its annotations as COCO"),
        ([{"image": "a.jpg", "annotations": []}], "is a file of CreateML; export as COCO, YOLO or VOC"),
        ([1], "expected a COCO file with the lists “images” and “annotations”"),
        (json.loads(coco_of("a.jpg", area=3)), "has no boxes (a.jpg: annotation 1 has no box)"),
        (json.loads(coco_of("b.jpg")), "lists 1 pictures, none of which is there (for instance b.jpg)"),
    ],
)
def test_json_of_another_kind_is_called_by_its_name(content: object, reason: str) -> None:
    dataset = read({"a.jpg": PICTURE, "a.xml": voc([BOX]), "x.json": json.dumps(content).encode()})
    assert told(dataset) == {"x.json": reason}


# Names


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


# Boxes of COCO annotations


RING = [6, 4, 36, 4, 36, 24]


@pytest.mark.parametrize(
    ("annotation", "around"),
    [
        ({"segmentation": [RING]}, "the outline"),
        ({"segmentation": RING}, "the outline"),
        ({"segmentation": [[[6, 4], [36, 4], [36, 24]]]}, "the outline"),
        ({"segmentation": [[6, 4, 10, 4, 10, 10], [20, 10, 36, 4, 36, 24]]}, "the outline"),
        ({"segmentation": [RING], "bbox": []}, "the outline"),
        ({"segmentation": [RING], "bbox": None}, "the outline"),
        ({"segmentation": [RING], "bbox": [0, 0, 0, 0]}, "the outline"),
        ({"segmentation": {"size": [40, 60], "counts": [244, *[20, 20] * 29, 20, 976]}}, "the outline"),
        ({"keypoints": [6, 4, 2, 36, 24, 1, 0, 0, 0]}, "the visible keypoints"),
        ({"keypoints": [6, 4, 2, 36, 24, 1], "segmentation": []}, "the visible keypoints"),
    ],
)
def test_without_a_box_the_outline_has_one(annotation: dict[str, Any], around: str) -> None:
    picture = {"id": 1, "file_name": "a.jpg", "width": 60, "height": 40}
    dataset = read({"a.jpg": PICTURE, "x.json": coco_of(picture, **annotation)})
    assert boxes_of(dataset) == {"a.jpg": [list(BOX)]}
    assert dataset.notes == (f"boxes drawn around {around}, where a COCO annotation states no box (1 box)",)


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        ({"segmentation": [[1, 2, 3]]}, "has an outline of 3 numbers, expected pairs"),
        ({"segmentation": {"counts": [1]}}, "has a mask without its size or its runs"),
        (
            {"segmentation": {"size": [4, 5], "counts": [20]}},
            "a mask of 5 x 4 pixels, which is not the picture's size",
        ),
        ({"segmentation": {"size": [40, 60], "counts": [3]}}, "runs do not add up to 60 x 40 pixels"),
        ({"segmentation": {"size": [40, 60], "counts": "é"}}, "has a mask with 'é'"),
        ({"keypoints": [1, 2]}, "has 2 numbers for its keypoints, expected three for each"),
        ({"keypoints": [1, 2, 2, 0, 0, 0]}, "has no box"),
    ],
)
def test_an_outline_that_cannot_be_read_is_named(annotation: dict[str, Any], reason: str) -> None:
    content = json.loads(coco({"a.jpg": [BOX]}))
    content["annotations"].append({"id": 9, "image_id": 1, "category_id": 7, **annotation})
    dataset = read({"a.jpg": PICTURE, "x.json": json.dumps(content).encode()})
    assert reason in told(dataset)["x.json"]
    assert boxes_of(dataset) == {"a.jpg": [list(BOX)]}


def test_compressed_masks_hold_the_runs_that_coco_means() -> None:
    runs = [244, *[20, 20] * 29, 20, 976]
    text = compress(runs)
    assert expand_counts(text) == runs
    assert mask_box(text, 40, 60) == mask_box(runs, 40, 60) == BOX
    assert mask_box([6], 2, 3) is None
    for broken in ("o", "\x7f", "o" * 20):
        with pytest.raises(ValueError, match="has a mask"):
            expand_counts(broken)


def compress(runs: list[int]) -> str:
    """Run lengths as COCO writes them down: five bits a character, differences from the fourth run on."""
    text = ""
    for number, run in enumerate(runs):
        value = run - runs[number - 2] if number > 2 else run
        more = True
        while more:
            bits, value = value & 31, value >> 5
            more = value != (-1 if bits & 16 else 0)
            text += chr(48 + bits + (32 if more else 0))
    return text


def test_crowd_regions_left_out_are_told() -> None:
    content = json.loads(coco_of("a.jpg"))
    content["annotations"].append({"id": 2, "image_id": 1, "category_id": 1, "bbox": [0, 0, 60, 40], "iscrowd": 1})
    dataset = read({"a.jpg": PICTURE, "x.json": json.dumps(content).encode()})
    assert dataset.notes == ("crowd regions left out (1 box)",)


@pytest.mark.parametrize(
    ("image", "category", "image_id", "category_id"),
    [
        ("1", 1, 1, "1"),
        (1, 1, 1.0, 1.0),
        ("a1", "x", "a1", "x"),
        ("0001", 1, 1, 1),
        (1, "1", "0001", 1),
        ("1.0", 1, 1, 1),
    ],
)
def test_ids_are_matched_whatever_their_type(image: Any, category: Any, image_id: Any, category_id: Any) -> None:
    content = {
        "images": [{"id": image, "file_name": "a.jpg"}],
        "annotations": [{"image_id": image_id, "category_id": category_id, "bbox": [6, 4, 30, 20]}],
        "categories": [{"id": category, "name": "cat"}],
    }
    dataset = read({"a.jpg": PICTURE, "x.json": json.dumps(content).encode("utf-16")})
    assert boxes_of(dataset) == {"a.jpg": [list(BOX)]}
    assert dataset.classes == ("cat",)


def test_ids_that_differ_in_zeros_alone_stay_apart() -> None:
    content = json.loads(coco_of({"id": "1", "file_name": "a.jpg"}, {"id": "01", "file_name": "b.jpg"}))
    content["annotations"][1]["bbox"] = [1, 2, 10, 20]
    dataset = read({"a.jpg": PICTURE, "b.jpg": PICTURE, "x.json": json.dumps(content).encode()})
    assert boxes_of(dataset) == {"a.jpg": [list(BOX)], "b.jpg": [list(OTHER)]}


# Pascal VOC


def xml_object(inner: str) -> bytes:
    return f"<annotation><object><name>cat</name>{inner}</object></annotation>".encode()


@pytest.mark.parametrize("box", [(36, 24, 6, 4), (36, 4, 6, 24), (6, 24, 36, 4)])
def test_swapped_corners_are_swapped_back_and_counted(box: tuple[float, float, float, float]) -> None:
    negative = coco_of("b.jpg", bbox=[36, 24, -30, -20])
    for dataset in (read({"b.jpg": PICTURE, "b.xml": voc([box])}), read({"b.jpg": PICTURE, "x.json": negative})):
        assert boxes_of(dataset) == {"b.jpg": [list(BOX)]}
        assert dataset.notes == ("corners the wrong way round, swapped back (1 box)",)
        assert dataset.degenerate == 0


@pytest.mark.parametrize(
    ("inner", "around"),
    [
        ("<polygon><x1>6</x1><y1>4</y1><x2>36</x2><y2>24.0</y2><x3>8</x3><y3>9</y3></polygon>", "a polygon"),
        ("<polygon><pt><x>6</x><y>4</y></pt><pt><x>36</x><y>24</y></pt></polygon>", "a polygon"),
        ("<robndbox><cx>21</cx><cy>14</cy><w>20</w><h>30</h><angle>1.5707963267949</angle></robndbox>", "a turned box"),
    ],
)
def test_an_object_without_corners_has_the_box_around_its_outline(inner: str, around: str) -> None:
    dataset = read({"a.jpg": PICTURE, "a.xml": xml_object(inner)})
    assert boxes_of(dataset) == {"a.jpg": [list(BOX)]}
    assert dataset.notes == (f"boxes drawn around {around}, where a VOC object has no <bndbox> (1 box)",)


def test_parts_of_an_object_are_not_taken_for_it() -> None:
    part = "<part><name>ear</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>"
    box = "<bndbox><Xmin>6.0</Xmin><YMIN>4</YMIN><xmax> 36 </xmax><ymax>24.0</ymax></bndbox>"
    dataset = read({"a.jpg": PICTURE, "a.xml": xml_object(part + box)})
    assert boxes_of(dataset) == {"a.jpg": [list(BOX)]}
    assert dataset.classes == ("cat",)


@pytest.mark.parametrize(
    ("encoding", "declared"),
    [
        ("utf-8", None),
        ("utf-8-sig", "utf-8"),
        ("utf-16", "utf-16"),
        ("utf-16-le", None),
        ("utf-8", "utf-16"),
        ("utf-8", "no such encoding"),
        ("latin-1", "ISO-8859-1"),
        ("cp1252", "windows-1252"),
    ],
)
def test_xml_is_read_in_the_encoding_that_it_has(encoding: str, declared: str | None) -> None:
    head = f'<?xml version="1.0" encoding="{declared}"?>' if declared else ""
    dataset = read({"a.jpg": PICTURE, "a.xml": (head + voc([BOX], name="chat é").decode()).encode(encoding)})
    assert dataset.classes == ("chat é",)
    assert dataset.skipped == dataset.notes == ()


@pytest.mark.parametrize("encoding", ["gbk", "gb18030", "shift_jis", "euc-kr", "big5"])
def test_xml_is_read_in_east_asian_encodings(encoding: str) -> None:
    head, name = f'<?xml version="1.0" encoding="{encoding}"?>', "山"
    dataset = read({"a.jpg": PICTURE, "a.xml": (head + voc([BOX], name=name).decode()).encode(encoding)})
    assert dataset.classes == (name,)


def test_xml_that_is_in_no_declared_encoding_keeps_its_boxes_and_says_so() -> None:
    dataset = read({"a.jpg": PICTURE, "a.xml": voc([BOX], name="chat é").decode().encode("latin-1")})
    assert boxes_of(dataset) == {"a.jpg": [list(BOX)]}
    assert "another encoding than declared" in dataset.notes[0]


def test_an_xml_file_is_about_the_picture_whose_name_it_has() -> None:
    files = {"a.jpg": PICTURE, "b.jpg": PICTURE, "a.xml": voc([BOX], filename="b.jpg"), "b.xml": voc([OTHER])}
    dataset = read(files)
    assert boxes_of(dataset) == {"a.jpg": [list(BOX)], "b.jpg": [list(OTHER)]}
    assert "though its <filename> is another picture (1 box)" in dataset.notes[0]


def test_cvat_xml_is_called_by_its_name() -> None:
    with pytest.raises(AnnotationError, match="is a file of CVAT's own; export as COCO, YOLO or Pascal VOC"):
        read({"a.jpg": PICTURE, "annotations.xml": b"<annotations><image id='0' name='a.jpg'/></annotations>"})


# YOLO lines


TAIL, TRACK = "a confidence or a track number", "a confidence and a track number"
POLYGON = "polygons or turned boxes"
DOUBT = f"though they fit {POLYGON} as well"
CORNERS = "0.1 0.1 0.6 0.1 0.6 0.6 0.1 0.6"


@pytest.mark.parametrize(
    ("lines", "shape", "reading"),
    [
        ([f"{CENTRED} 0.9"], "", f"6 values read as boxes with {TAIL}"),
        ([f"{CENTRED} 17"], "", f"6 values read as boxes with {TAIL}"),
        ([f"{CENTRED} 0.91 1"], "", f"7 values read as boxes with {TRACK}, {DOUBT}"),
        ([f"{CENTRED} 0.91 17"], "", f"7 values read as boxes with {TRACK}"),
        (["0.1 0.1 0.6 0.1 0.6 0.6"], "", f"7 values read as {POLYGON}"),
        ([CORNERS], "", f"9 values read as {POLYGON}"),
        ([f"{CORNERS} 0.9"], "", f"10 values read as {POLYGON} with {TAIL}"),
        ([f"{CORNERS} 0.9 7"], "", f"11 values read as {POLYGON} with {TRACK}"),
        ([f"{CENTRED} .2 .2 .3 .3"], "[2, 2]", "9 values read as poses of 2 keypoints"),
        ([f"{CENTRED} .2 .2 .3 .3 .9"], "[2, 2]", f"10 values read as poses of 2 keypoints with {TAIL}"),
        ([f"{CENTRED} .2 .2 .3 .3 .9 4"], "[2, 2]", f"11 values read as poses of 2 keypoints with {TRACK}"),
        ([f"{CENTRED} .4 .3 2 .7 .55 2 .5 .5 1 0 0 0"], "[4, 3]", "17 values read as poses of 4 keypoints"),
        (
            [f"{CENTRED} .2 .2 .3 .3"] * 3,
            "",
            f"9 values read as poses of 2 keypoints, {DOUBT}",
        ),
        (
            [CENTRED + " .2 .3" * 17] * 3,
            "",
            f"39 values read as poses of 17 keypoints, {DOUBT}",
        ),
        (
            [CENTRED + " .2 .3 2" * 17],
            "",
            f"56 values read as poses of 17 keypoints, though they fit {POLYGON} with {TAIL} as well",
        ),
    ],
)
def test_lines_are_told_apart_and_the_reading_is_said(lines: list[str], shape: str, reading: str) -> None:
    files = {f"{n}.jpg": PICTURE for n in range(len(lines))} | {
        f"{n}.txt": f"0 {line}\n".encode() for n, line in enumerate(lines)
    }
    described = f"names: [cat]\n{f'kpt_shape: {shape}' if shape else ''}".encode()
    dataset = read({**files, "data.yaml": described})
    assert dataset.skipped == ()
    assert set(map(str, boxes_of(dataset).values())) == {str([list(BOX)])}
    count = f"{len(lines)} box{'es' if len(lines) > 1 else ''}"
    assert dataset.notes == (f"label lines of {reading} ({count})",)


def test_all_lines_of_a_data_set_are_judged_together() -> None:
    """One damaged line does not turn poses into polygons, and tracks of polygons are known by their varied lengths."""
    lines = [CENTRED + " .2 .2 2 .3 .3 1"] * 60 + [CENTRED + " .2 .2 2 .3 .3 1.5", "0.35 0.35 0.5 7 .2 .2 2 .3 .3 1"]
    labels = "".join(f"0 {line}\n" for line in lines).encode()
    dataset = read({"a.jpg": PICTURE, "a.txt": labels, "classes.txt": b"cat"})
    np.testing.assert_allclose(dataset.images[0].boxes, [BOX] * 61)
    assert "line 62 has values far outside 0 to 1" in told(dataset)["a.txt"]
    tracked = f"0 {CORNERS} .9 1\n0 0.1 0.1 0.6 0.1 0.6 0.6 .8 2\n0 0.1 0.1 0.6 0.1 0.6 0.6 .2 .3 .7 1"
    dataset = read({"a.jpg": PICTURE, "a.txt": tracked.encode(), "classes.txt": b"cat"})
    np.testing.assert_allclose(dataset.images[0].boxes, [BOX] * 3)


@pytest.mark.parametrize("line", [f"0 {CENTRED} # a comment", f"0 {CENTRED} cat", f"0.0\t{CENTRED}\r\n\r\n"])
def test_words_after_the_numbers_are_no_part_of_a_label(line: str) -> None:
    assert boxes_of(read({"a.jpg": PICTURE, "a.txt": line.encode(), "classes.txt": b"cat"})) == {"a.jpg": [list(BOX)]}


def test_a_line_that_fits_nothing_is_named() -> None:
    files = {"a.jpg": PICTURE, "b.jpg": PICTURE, "b.txt": LINE, "a.txt": f"0 {CENTRED} -1.2".encode()}
    assert told(read(files)) == {"a.txt": "line 1 has 6 values that are neither a box, a pose nor a polygon"}
    files["a.txt"] = b"images/a.jpg\nimages/b.jpg\n"
    assert told(read(files)) == {"a.txt": "is a list of pictures and no label file"}


# Class names


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("labels.txt", b"cat\n\n"),
        ("Classes.txt", b"\xef\xbb\xbfcat\r\n"),
        ("custom.names", b"cat"),
        ("OBJ.NAMES", b"cat"),
        ("_darknet.labels", b"cat"),
        ("class_names.txt", b"0 cat"),
        ("classes.txt", "cat".encode("utf-16")),
        ("labels/train/classes.txt", b"cat"),
        ("dataset.YAML", b"names: {'0': cat}"),
        ("coco8.yml", b"path: ../coco8\ntrain: [a, b]\nnc: 1\nnames:\n  0: cat\n"),
        ("data.yaml", b"names: {cat: 0}"),
    ],
)
def test_class_names_are_found(file: str, content: bytes) -> None:
    dataset = read({"images/train/a.jpg": PICTURE, "labels/train/a.txt": LINE, file: content})
    assert dataset.classes == ("cat",)
    assert dataset.skipped == dataset.notes == ()


@pytest.mark.parametrize("word", ["no", "yes", "on", "off", "null", "~", "1e3", "0x1F", "2024-01-01", "true", "1_000"])
def test_words_of_yaml_stay_words(word: str) -> None:
    for names in (f"names: [{word}]", f"names:\n  0: {word}"):
        assert read({"a.jpg": PICTURE, "a.txt": LINE, "data.yaml": names.encode()}).classes == (word,)


def test_what_class_names_leave_open_is_said() -> None:
    labels = {"a.jpg": PICTURE, "a.txt": LINE}
    assert read(labels).notes == ("no file names the classes, which go by their numbers",)
    assert read({**labels, "data.yaml": b"nc: 3\nnames: [cat]"}).notes == ("data.yaml states 3 classes and names 1",)
    assert told(read({**labels, "classes.txt": b"caf\xe9"})) == {"classes.txt": "is no text in UTF-8; save it as UTF-8"}


def test_each_of_two_data_sets_has_its_own_classes() -> None:
    files = {}
    for name, number in (("cat", 1), ("dog", 2)):
        files |= {f"{name}s/images/{number}.jpg": PICTURE, f"{name}s/labels/{number}.txt": LINE}
        files[f"{name}s/data.yaml"] = f"names: [{name}]".encode()
    dataset = read(files)
    assert [image.labels for image in dataset.images] == [("cat",), ("dog",)]
    assert dataset.notes == (
        "the classes are named differently in cats/data.yaml, dogs/data.yaml; labels go by the one nearest above them",
    )


def test_labels_of_a_picture_that_is_called_labels_are_labels() -> None:
    dataset = read({"labels.jpg": PICTURE, "labels.txt": LINE, "classes.txt": b"cat"})
    assert boxes_of(dataset) == {"labels.jpg": [list(BOX)]}
    assert dataset.skipped == ()
