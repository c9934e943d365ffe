"""Several annotation files of one set: those that hold its boxes are read, the others called by their names."""

from __future__ import annotations

import json

import pytest

from tests.annotations.one_box import BOX, PICTURE, boxes_of, coco_of, read
from tests.support.datasets import coco, told, voc


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
