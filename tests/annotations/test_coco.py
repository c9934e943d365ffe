"""COCO annotations as the tools of this trade write them: the right boxes, and a word about what was decided."""

from __future__ import annotations

import json
from typing import Any

import pytest

from convfe_core.annotations.coco_boxes import expand_counts, mask_box
from tests.annotations.one_box import BOX, OTHER, PICTURE, boxes_of, coco_of, read
from tests.support.datasets import coco, told

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
