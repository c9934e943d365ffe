"""Random data sets, written in each format and layout as tools write them, and read back.

``FUZZ_EXAMPLES=2000 pytest tests/test_annotation_round_trips.py`` tries more of them than the suite does.
"""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convfe_core.base.file_sets import UploadedFiles
from convfe_core.datasets.read_dataset import read_dataset
from tests.support.datasets import jpeg

WIDTH, HEIGHT = 60, 40
PICTURE = jpeg(WIDTH, HEIGHT)
SPLITS = ("train", "valid")
CLASSES = ("cat", "no", "on", "1e3", "null", "traffic light", "猫", "7")
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "40"))

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Drawn:
    """A picture of a random data set; `boxes` are (class number, box)."""

    split: str
    name: str
    boxes: tuple[tuple[int, Box], ...]

    @property
    def stem(self) -> str:
        return self.name.rpartition(".")[0]


Files = dict[str, bytes]
Choose = Callable[[Sequence[Any]], Any]


def same_name(picture: Drawn) -> tuple[str, str]:
    """What must differ between pictures: the name without its suffix, as a disk without cases would see it."""
    return picture.split, unicodedata.normalize("NFC", picture.stem).casefold().replace("+", " ")


def spans(length: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.integers(0, length - 2).flatmap(lambda low: st.tuples(st.just(low), st.integers(low + 2, length)))


boxes = st.tuples(spans(WIDTH), spans(HEIGHT)).map(lambda s: (s[0][0], s[1][0], s[0][1], s[1][1]))
stems = st.text("aB0é_-+. ", min_size=1, max_size=6).filter(lambda s: s.strip(" .") == s and not s.startswith("-"))
pictures = st.builds(
    Drawn,
    split=st.sampled_from(SPLITS),
    name=st.tuples(stems, st.sampled_from([".jpg", ".JPG", ".jpeg", ".png"])).map("".join),
    boxes=st.lists(st.tuples(st.integers(0, len(CLASSES) - 1), boxes), max_size=4).map(tuple),
)
data_sets = st.lists(pictures, min_size=1, max_size=5, unique_by=same_name).filter(
    lambda drawn: any(picture.boxes for picture in drawn)
)


@settings(deadline=None, max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
@given(drawn=data_sets, data=st.data())
def test_coco_files_are_read_back(drawn: list[Drawn], data: st.DataObject) -> None:
    def choose(values: Sequence[Any]) -> Any:
        return data.draw(st.sampled_from(values))

    layout = choose(["a file a split", "a file a split, apart", "one file"])
    folder = "{}/" if layout == "a file a split" else choose(["{}/images/", "images/{}/", "{}/"])
    form, kind = choose(["NFC", "NFD"]), choose([int, str, float])
    categories = [{"id": kind(k), "name": name} for k, name in enumerate(CLASSES)]
    files: Files = {folder.format(p.split) + unicodedata.normalize(form, p.name): PICTURE for p in drawn}
    groups = [drawn] if layout == "one file" else [[p for p in drawn if p.split == split] for split in SPLITS]
    for split, group in zip(SPLITS, groups, strict=False):
        images, annotations = [], []
        for number, picture in enumerate(group):
            whole = folder.format(picture.split) + picture.name
            images.append({"id": number, "file_name": choose(spellings(picture.name, whole, layout)), "width": WIDTH})
            for label, box in picture.boxes:
                ids = {"image_id": choose([int, str, float])(number), "category_id": choose([int, str, float])(label)}
                annotations.append({"id": len(annotations), **ids, **choose(outlines(box))})
        where = {
            "a file a split": f"{split}/_annotations.coco.json",
            "a file a split, apart": f"annotations/instances_{split}.json",
            "one file": choose(["result.json", "annotations/result.json"]),
        }[layout]
        content = {"images": images, "annotations": annotations, "categories": categories}
        if images and annotations:
            files[where] = json.dumps(content).encode(choose(["utf-8", "utf-8-sig", "utf-16"]))
        else:
            files = {name: one for name, one in files.items() if f"{split}/" not in name}
            drawn = [picture for picture in drawn if picture.split != split]
    check(files, {folder.format(p.split) + unicodedata.normalize(form, p.name): p for p in drawn}, "COCO")


def spellings(name: str, whole: str, layout: str) -> list[str]:
    """How a COCO file may call a picture; one file about both splits must say which."""
    full = [
        whole,
        f"/home/me/set/{whole}",
        "C:\\set\\" + whole.replace("/", "\\"),
        quote(whole),
        f"/data/local-files/?d={quote(whole)}",
        f"https://host/set/{quote(whole)}?token=1",
    ]
    return full if layout == "one file" else [name, quote(name), unicodedata.normalize("NFD", name), *full]


def outlines(box: Box) -> list[dict[str, Any]]:
    """How a COCO annotation may say where an object is."""
    left, top, right, bottom = box
    ring = [left, top, right, top, right, bottom, left, bottom]
    runs, at = [], 0
    for column in range(left, right):
        runs += [column * HEIGHT + top - at, bottom - top]
        at = column * HEIGHT + bottom
    mask = {"size": [HEIGHT, WIDTH], "counts": [*runs, WIDTH * HEIGHT - at]}
    return [
        {"bbox": [left, top, right - left, bottom - top], "iscrowd": 0},
        {"bbox": [right, bottom, left - right, top - bottom]},
        {"segmentation": [ring]},
        {"bbox": [], "segmentation": ring},
        {"bbox": None, "segmentation": [ring[:6], ring[2:]]},
        {"bbox": [0, 0, 0, 0], "segmentation": mask},
        {"keypoints": [left, top, 2, 0, 0, 0, right, bottom, 1]},
    ]


@settings(deadline=None, max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
@given(drawn=data_sets, data=st.data())
def test_voc_files_are_read_back(drawn: list[Drawn], data: st.DataObject) -> None:
    def choose(values: Sequence[Any]) -> Any:
        return data.draw(st.sampled_from(values))

    folder, beside = choose(
        [("{}/", "{}/"), ("JPEGImages/{}/", "Annotations/{}/"), ("{}/images/", "{}/xml/"), ("images/{}/", "voc/{}/")]
    )
    files: Files = {}
    expected = {}
    for picture in drawn:
        name = folder.format(picture.split) + picture.name
        files[name], expected[name] = PICTURE, picture
        file = beside.format(picture.split) + choose([picture.stem, picture.name, quote(picture.stem)]) + ".xml"
        size = choose(
            ["", f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>", "<size><width>0</width></size>"]
        )
        stated = choose(["", f"<filename>{picture.name}</filename>", "<filename>elsewhere.bmp</filename>"])
        objects = "".join(
            f"<object><name>{CLASSES[k]}</name>{choose(xml_outlines(box))}</object>" for k, box in picture.boxes
        )
        encoding = choose(["utf-8", "utf-8-sig", "utf-16", "gb18030", "shift_jis"])
        declared = f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?>'
        text = f"{declared}<annotation>{stated}{size}{objects}</annotation>"
        try:
            files[file] = text.encode(encoding)
        except UnicodeEncodeError:  # no é in Japan
            files[file] = text.replace(encoding, "utf-8").encode()
    check(files, expected, "VOC")


def xml_outlines(box: Box) -> list[str]:
    """How a VOC file may say where an object is."""
    left, top, right, bottom = box
    corners = "<bndbox><{0}>{2}</{0}><ymin>{3}</ymin><{1}>{4}</{1}><ymax>{5}</ymax></bndbox>"
    middle = f"<cx>{(left + right) / 2}</cx><cy>{(top + bottom) / 2}</cy>"
    return [
        corners.format("xmin", "xmax", left, top, right, bottom),
        corners.format("xmin", "xmax", right, bottom, left, top),
        corners.format("XMIN", "Xmax", f" {left}.0 ", f"{top}", right, bottom),
        "<part><name>ear</name>"
        + corners.format("xmin", "xmax", 0, 0, 1, 1)
        + "</part>"
        + corners.format("xmin", "xmax", left, top, right, bottom),
        f"<polygon><x1>{left}</x1><y1>{top}</y1><x2>{right}</x2><y2>{bottom}</y2></polygon>",
        f"<robndbox>{middle}<w>{right - left}</w><h>{bottom - top}</h><angle>0.0</angle></robndbox>",
    ]


@settings(deadline=None, max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
@given(drawn=data_sets, data=st.data())
def test_yolo_files_are_read_back(drawn: list[Drawn], data: st.DataObject) -> None:
    def choose(values: Sequence[Any]) -> Any:
        return data.draw(st.sampled_from(values))

    folder, beside = choose([("{}/", "{}/"), ("images/{}/", "labels/{}/"), ("{}/images/", "{}/labels/")])
    write = choose([plain, scored, tracked, polygon, turned, posed, posed_with_visibility])
    files: Files = {}
    expected = {}
    for picture in drawn:
        name = folder.format(picture.split) + picture.name
        files[name], expected[name] = PICTURE, picture
        stem = choose([picture.stem, picture.name, quote(picture.stem)])
        lines = [f"{k} {' '.join(f'{value:.9g}' for value in write(box))}" for k, box in picture.boxes]
        ending = choose(["\n", "\r\n", "\n\n"])
        files[beside.format(picture.split) + stem + choose([".txt", ".TXT"])] = ending.join([*lines, ""]).encode()
    shape = {posed: "kpt_shape: [2, 2]\n", posed_with_visibility: "kpt_shape: [2, 3]\n"}.get(write, "")
    if shape:
        files["data.yaml"] = f"{shape}names: {json.dumps(dict(enumerate(CLASSES)))}".encode()
    else:
        listed = "\n".join(CLASSES)
        described = f"names:\n{''.join(f'  {k}: {name}{chr(10)}' for k, name in enumerate(CLASSES))}"
        file, text = choose(
            [("data.yaml", described), ("Classes.txt", listed), ("my.names", f"{listed}\n\n"), ("labels.txt", listed)]
        )
        files[file] = text.encode(choose(["utf-8", "utf-8-sig", "utf-16"]))
    check(files, expected, "YOLO")


def plain(box: Box) -> list[float]:
    left, top, right, bottom = box
    return [(left + right) / 2 / WIDTH, (top + bottom) / 2 / HEIGHT, (right - left) / WIDTH, (bottom - top) / HEIGHT]


def scored(box: Box) -> list[float]:
    return [*plain(box), 0.875]


def tracked(box: Box) -> list[float]:
    return [*plain(box), 0.875, 12]


def turned(box: Box) -> list[float]:
    left, top, right, bottom = box[0] / WIDTH, box[1] / HEIGHT, box[2] / WIDTH, box[3] / HEIGHT
    return [left, top, right, top, right, bottom, left, bottom]


def polygon(box: Box) -> list[float]:
    corners = turned(box)
    middle = [(corners[0] + corners[2]) / 2, corners[1]]
    return [*corners[:2], *middle, *corners[2:]] if box[0] % 2 else [*corners, *corners[:2], *corners[:2]]


def posed(box: Box) -> list[float]:
    corners = turned(box)
    return [*plain(box), *corners[:2], *corners[4:6]]


def posed_with_visibility(box: Box) -> list[float]:
    corners = turned(box)
    return [*plain(box), *corners[:2], 2, *corners[4:6], 1]


def check(files: Files, expected: Mapping[str, Drawn], format_name: str) -> None:
    """Every picture has its boxes and labels, and nothing was left out."""
    if not any(picture.boxes for picture in expected.values()):
        return
    dataset = read_dataset(UploadedFiles(files.items()))
    assert dataset.format == format_name
    assert [f"{one.file}: {one.reason}" for one in dataset.skipped] == []
    assert [image.image for image in dataset.images] == sorted(expected)
    for image in dataset.images:
        wanted = expected[image.image].boxes
        assert image.labels == tuple(CLASSES[k] for k, _ in wanted)
        np.testing.assert_allclose(image.boxes, np.array([box for _, box in wanted], float).reshape(-1, 4), atol=1e-5)
