"""Data sets: every layout is found, the formats read alike, and whatever is off is named while the rest is used."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convfe_core.annotations.class_names import parse_class_names
from convfe_core.annotations.coco import parse_coco
from convfe_core.annotations.voc import parse_voc
from convfe_core.annotations.yolo import parse_yolo
from convfe_core.base.errors import AnnotationError
from convfe_core.base.file_sets import FileSet, UploadedFiles, ZipFiles, open_files
from convfe_core.datasets.boxes import Dataset
from convfe_core.datasets.read_dataset import open_boxes, read_dataset
from tests.support.datasets import coco, jpeg, told, voc, zipped

PICTURE = jpeg()
BOX = (6.0, 4.0, 36.0, 24.0)
YOLO_LINE = b"0 0.35 0.35 0.5 0.5\n"


def read(files: dict[str, bytes], limit: int | None = None) -> Dataset:
    return read_dataset(UploadedFiles(files.items()), limit=limit)


@pytest.mark.parametrize(
    "files",
    [
        {"a.jpg": PICTURE, "a.xml": voc([BOX])},
        {"images/a.jpg": PICTURE, "annotations/a.xml": voc([BOX])},
        {"JPEGImages/a.jpg": PICTURE, "Annotations/a.xml": voc([BOX])},
        {"images/a.jpg": PICTURE, "annotations/0001.xml": voc([BOX], filename="a.jpg")},
        {"a.jpg": PICTURE, "a.xml": voc([BOX], size=None)},
        {"a.jpg": PICTURE, "a.xml": voc([BOX], size=(0, 0))},
        {"a.jpg": PICTURE, "a.txt": YOLO_LINE, "classes.txt": b"cat\n"},
        {"a.jpg": PICTURE, "a.txt": b"\xef\xbb\xbf" + YOLO_LINE.replace(b"\n", b" 0.9\r\n\r\n"), "classes.txt": b"cat"},
        {"images/train/a.jpg": PICTURE, "labels/train/a.txt": YOLO_LINE, "data.yaml": b"names: [cat]"},
        {"train/images/a.jpg": PICTURE, "train/labels/a.txt": YOLO_LINE, "data.yaml": b"names: {0: cat}"},
        {"a.jpg": PICTURE, "a.txt": b"0 0.1 0.1 0.6 0.1 0.6 0.6 0.1 0.6", "data.yml": b"names: [cat]"},
        {"a.jpg": PICTURE, "boxes.json": coco({"a.jpg": [BOX]})},
        {"a.jpg": PICTURE, "boxes.json": coco({"a.jpg": [BOX]}, size=None)},
        {"train2017/a.jpg": PICTURE, "annotations/instances.json": coco({"a.jpg": [BOX]})},
        {"images/a.jpg": PICTURE, "instances.json": coco({"/home/me/images/a.jpg": [BOX]})},
        {"images/A.JPG": PICTURE, "instances.json": coco({"C:\\data\\a.jpg": [BOX]})},
    ],
)
def test_every_layout_gives_the_same_box(files: dict[str, bytes]) -> None:
    dataset = read(files)
    assert dataset.skipped == ()
    assert len(dataset.images) == 1
    image = dataset.images[0]
    np.testing.assert_allclose(image.boxes, [BOX], atol=1e-9)
    assert image.labels == ("cat",)
    assert dataset.classes == ("cat",)
    assert (image.height, image.width) == (40, 60)
    assert (dataset.clipped, dataset.degenerate, dataset.box_count) == (0, 0, 1)
    assert dataset.source.open(image.image).read() == PICTURE


def test_a_zip_and_a_folder_read_as_uploads_do(tmp_path: Path) -> None:
    files = {"set/images/a.jpg": PICTURE, "set/labels/a.txt": YOLO_LINE}
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    sets: list[FileSet] = [UploadedFiles(files.items()), ZipFiles(zipped(files)), open_files(tmp_path)]
    for dataset in map(read_dataset, sets):
        np.testing.assert_allclose(dataset.images[0].boxes, [BOX])
        assert dataset.classes == ("class 0",)


def test_coco128_reads_alike_as_yolo_and_as_coco(shared: Path) -> None:
    folder = shared / "datasets" / "coco128"
    as_coco = read_dataset(open_files(folder), open_boxes(folder / "instances_train2017.json"))
    as_yolo = read_dataset(open_files(folder), open_boxes(folder / "data.yaml"))
    labels_only = read_dataset(open_files(folder), open_boxes(folder / "labels"))
    assert (as_coco.format, as_yolo.format, labels_only.format) == ("COCO", "YOLO", "YOLO")
    assert as_coco.box_count == as_yolo.box_count == labels_only.box_count == 640
    assert as_coco.classes == as_yolo.classes
    assert as_coco.skipped == as_yolo.skipped == ()
    for one, other in zip(as_coco.images, as_yolo.images, strict=True):
        assert one.image == other.image
        assert one.labels == other.labels
        np.testing.assert_allclose(one.boxes, other.boxes, atol=0.002)


def test_raccoons_read_from_voc(shared: Path) -> None:
    dataset = read_dataset(open_files(shared / "datasets" / "raccoon"))
    assert (dataset.format, len(dataset.images), dataset.box_count, dataset.classes) == ("VOC", 80, 85, ("raccoon",))
    first = next(i for i in dataset.images if i.image.endswith("/raccoon-1.jpg"))
    assert first.boxes.tolist() == [[81, 88, 522, 408]]


def test_of_several_formats_the_fuller_one_is_read_and_the_other_named() -> None:
    files = {"a.jpg": PICTURE, "b.jpg": PICTURE, "a.txt": YOLO_LINE, "b.txt": YOLO_LINE, "a.xml": voc([BOX])}
    dataset = read(files)
    assert dataset.format == "YOLO"
    assert told(dataset) == {"the uploaded files": "1 VOC files are not used; boxes are read from YOLO"}


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_boxes_follow_the_picture_as_it_is_shown(orientation: int) -> None:
    """Annotations made on the stored picture are turned with it; those made on the upright one stay."""
    picture = jpeg(60, 40, orientation)
    upright_size = (60, 40) if orientation < 5 else (40, 60)
    upright = read({"a.jpg": picture, "a.xml": voc([(1, 2, 11, 22)], upright_size)})
    assert upright.images[0].boxes.tolist() == [[1, 2, 11, 22]]
    assert (upright.images[0].width, upright.images[0].height) == upright_size
    stored = read({"a.jpg": picture, "a.xml": voc([(1, 2, 11, 22)], (60, 40))})
    expected = {1: [1, 2, 11, 22], 3: [1, 2, 11, 22], 6: [18, 1, 38, 11], 8: [2, 49, 22, 59]}
    assert stored.images[0].boxes.tolist() == [expected[orientation]]


def test_a_turned_tiff_has_its_upright_size() -> None:
    dataset = read({"a.tif": jpeg(60, 40, 6, "TIFF"), "a.xml": voc([(1, 2, 11, 22)], (40, 60))})
    assert (dataset.images[0].width, dataset.images[0].height) == (40, 60)
    assert dataset.images[0].boxes.tolist() == [[1, 2, 11, 22]]


def test_boxes_are_clipped_dropped_and_counted() -> None:
    dataset = read({"a.jpg": PICTURE, "a.xml": voc([(-9, 0, 30, 20), (5, 5, 5, 9), BOX, (70, 1, 80, 2)])})
    assert dataset.images[0].boxes.tolist() == [[0, 0, 30, 20], list(BOX)]
    assert len(dataset.images[0].labels) == 2
    assert (dataset.clipped, dataset.degenerate) == (1, 2)
    assert dataset.in_words == "1 image, 2 boxes, 1 class (VOC)"
    assert dataset.notes == (
        "boxes over an edge of their image, cut there (1 box)",
        "boxes without an area inside their image, dropped (2 boxes)",
    )


def test_pictures_annotated_as_empty_are_kept_and_those_without_a_word_are_named() -> None:
    dataset = read({"a.jpg": PICTURE, "b.jpg": PICTURE, "c.jpg": PICTURE, "a.txt": YOLO_LINE, "b.txt": b""})
    assert [(i.image, len(i.boxes)) for i in dataset.images] == [("a.jpg", 1), ("b.jpg", 0)]
    assert told(dataset) == {"c.jpg": "no YOLO annotation for this picture"}


def test_a_limit_stops_early() -> None:
    files = {f"{n}.jpg": PICTURE for n in range(6)} | {f"{n}.txt": YOLO_LINE for n in range(6)}
    assert [i.image for i in read(files, limit=2).images] == ["0.jpg", "1.jpg"]
    counts: list[int] = []
    read_dataset(UploadedFiles(files.items()), limit=2, on_read=counts.append)
    assert counts == [1, 2]


GOOD = {"good.jpg": PICTURE}
NAN = float("nan")


@pytest.mark.parametrize(
    ("files", "file", "reason"),
    [
        ({"a.jpg": PICTURE, "a.xml": b""}, "a.xml", "is no well-formed XML"),
        ({"a.jpg": PICTURE, "a.xml": b"<annotation><object>"}, "a.xml", "is no well-formed XML"),
        (
            {"a.jpg": PICTURE, "a.xml": b"<svg/>"},
            "a.xml",
            "expected a VOC file with <annotation> at the top",
        ),
        (
            {"a.jpg": PICTURE, "a.xml": b'<!DOCTYPE x [<!ENTITY e "ha">]><annotation>&e;</annotation>'},
            "a.xml",
            "defines XML entities, which are refused",
        ),
        ({"a.jpg": PICTURE, "a.xml": voc([BOX], (61, 40))}, "a.xml", "its boxes are for 61 x 40 pixels"),
        ({"a.jpg": PICTURE, "a.xml": voc([(NAN, 1, 5, 9)])}, "a.xml", "object 1 has nan where a finite number"),
        ({"a.jpg": PICTURE, "a.xml": b"<annotation><object/></annotation>"}, "a.xml", "object 1 has no <bndbox>"),
        ({"a.xml": voc([BOX])}, "a.xml", "no picture goes by its name"),
        ({"a.xml": voc([BOX], filename="b.jpg")}, "a.xml", "no picture goes by b.jpg"),
        ({"x/a.jpg": PICTURE, "y/a.jpg": PICTURE, "a.xml": voc([BOX])}, "a.xml", "2 pictures go by its name"),
        ({"a.jpg": b"no picture", "a.xml": voc([BOX])}, "a.jpg", "is no picture that can be read"),
        ({"a.jpg": b"", "a.xml": voc([BOX])}, "a.jpg", "is no picture that can be read"),
        ({"x/good.xml": voc([BOX])}, "x/good.xml", "a second annotation for good.jpg"),
        ({"a.jpg": PICTURE}, "a.jpg", "no VOC annotation for this picture"),
    ],
)
def test_bad_voc_is_named_and_the_rest_is_used(files: dict[str, bytes], file: str, reason: str) -> None:
    dataset = read({**GOOD, "good.xml": voc([BOX]), **files})
    assert reason in told(dataset)[file]
    assert "good.jpg" in [image.image for image in dataset.images if len(image.boxes)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"0 0.5 0.5 0.1", "line 2 has 4 values, expected a class number and four"),
        (b"cat 0.5 0.5 0.1 0.1", "line 2 begins with 'cat', expected a class number"),
        (b"-1 0.5 0.5 0.1 0.1", "line 2 begins with '-1', expected a class number"),
        (b",", "line 2 begins with ',', expected a class number"),
        (b"0 0.5 nan 0.1 0.1", "line 2 has nan where a finite number is expected"),
        (b"0 0.5 1e999 0.1 0.1", "where a finite number is expected"),
        (b"0 0.5 x 0.1 0.1", "line 2 has 'x' where a number is expected"),
        (b"0 320 240 50 50", "line 2 has values far outside 0 to 1"),
        (b"5 0.5 0.5 0.1 0.1\n5 0.2 0.2 0.1 0.1", "class 5 has no name in the data set (2 boxes)"),
        (b"\xff\xfe\x00", "is no text in UTF-8"),
    ],
)
def test_bad_yolo_lines_are_named_and_the_rest_is_used(line: bytes, reason: str) -> None:
    files = {"a.jpg": PICTURE, "a.txt": YOLO_LINE + line, **GOOD, "good.txt": YOLO_LINE, "classes.txt": b"cat"}
    dataset = read(files)
    assert reason in told(dataset)["a.txt"]
    assert "good.jpg" in [image.image for image in dataset.images if len(image.boxes)]


def test_a_damaged_class_file_is_named_and_classes_go_by_number() -> None:
    dataset = read({**GOOD, "good.txt": YOLO_LINE, "data.yaml": b"names: [[[a]]"})
    assert told(dataset) == {"data.yaml": "is no well-formed YAML"}
    assert dataset.classes == ("class 0",)
    nested = b"a: &a [x, x]\nb: &b [*a, *a]\nnames: [*b, *b]"
    assert "expected “names”" in told(read({**GOOD, "good.txt": YOLO_LINE, "data.yaml": nested}))["data.yaml"]


def test_a_label_file_without_a_picture_is_named_and_a_readme_is_not() -> None:
    dataset = read({**GOOD, "good.txt": YOLO_LINE, "lost.txt": YOLO_LINE, "README.txt": b"Hello there"})
    assert told(dataset) == {"lost.txt": "no picture goes by its name"}


def with_good(**changes: object) -> bytes:
    content = json.loads(coco({"good.jpg": [BOX]}))
    for key, extra in changes.items():
        content[key] += extra
    return json.dumps(content).encode()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (with_good(images=[{"id": 9, "file_name": "lost.jpg"}]), "no picture goes by lost.jpg"),
        (with_good(images=[{"id": 1, "file_name": "good.jpg"}]), "image 2 (good.jpg) repeats the id 1"),
        (with_good(images=[{"id": [2]}, "x"]), "image 2 has no id or no file_name; "),
        (with_good(annotations=[{"image_id": 5, "bbox": [1, 1, 1, 1]}, 3]), "2 annotations belong to no image"),
        (with_good(annotations=[{"id": 4, "image_id": 1, "category_id": 8, "bbox": [1, 1, 2, 2]}]), "category 8"),
        (with_good(annotations=[{"id": 4, "image_id": 1, "category_id": 7}]), "annotation 4 has no box"),
        (with_good(annotations=[{"id": 4, "image_id": 1, "category_id": 7, "bbox": [1, NAN, 2, 2]}]), "has nan where"),
        (with_good(annotations=[{"id": 4, "image_id": 1, "category_id": 7, "bbox": [1, None, 2, 2]}]), "has None"),
        (with_good(annotations=[{"id": 4, "image_id": 1, "category_id": 7, "bbox": [1, 2]}]), "has 2 values"),
    ],
)
def test_bad_coco_entries_are_named_and_the_rest_is_used(data: bytes, reason: str) -> None:
    dataset = read({**GOOD, "boxes.json": data})
    assert reason in told(dataset)["boxes.json"]
    np.testing.assert_allclose(dataset.images[0].boxes, [BOX])


def test_crowd_regions_are_left_out() -> None:
    crowd = {"id": 4, "image_id": 1, "category_id": 7, "bbox": [1, 1, 20, 20], "iscrowd": 1}
    assert read({**GOOD, "boxes.json": with_good(annotations=[crowd])}).box_count == 1


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "expected pictures with boxes, got no picture"),
        ({"a.xml": voc([BOX])}, "expected pictures with boxes, got no picture"),
        (GOOD, "expected VOC, YOLO or COCO boxes for the 1 pictures, got none that fit"),
        ({**GOOD, "b.json": b"{"}, "b.json: is no well-formed JSON"),
        ({**GOOD, "b.json": b"[" * 100_000}, "b.json: is no well-formed JSON"),
        ({**GOOD, "b.json": b"{}"}, "expected a COCO file with the lists"),
        ({**GOOD, "b.json": coco({"other.jpg": [BOX]})}, "lists 1 pictures, none of which is there"),
        ({**GOOD, "good.xml": b"<annotation/>"}, "expected VOC annotations with boxes on the pictures, got none"),
        ({**GOOD, "good.xml": voc([(9, 9, 9, 9)])}, "expected VOC annotations with boxes on the pictures, got none"),
        ({"a.jpg": b"", "a.txt": YOLO_LINE}, "for instance, a.jpg is no picture that can be read"),
    ],
)
def test_nothing_usable_at_all_is_one_clear_error(files: dict[str, bytes], message: str) -> None:
    with pytest.raises(AnnotationError) as caught:
        read(files)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_boxes_can_be_named_by_hand(tmp_path: Path) -> None:
    pictures, elsewhere = tmp_path / "pictures", tmp_path / "elsewhere"
    pictures.mkdir()
    elsewhere.mkdir()
    (pictures / "good.jpg").write_bytes(PICTURE)
    (elsewhere / "a.json").write_bytes(coco({"good.jpg": [BOX]}))
    (elsewhere / "good.xml").write_bytes(voc([(0, 0, 9, 9)]))
    (elsewhere / "voc.zip").write_bytes(zipped({"good.xml": voc([(1, 1, 9, 9)])}))
    source = open_files(pictures)
    assert read_dataset(source, open_boxes(elsewhere / "a.json")).format == "COCO"
    assert read_dataset(source, open_boxes(elsewhere / "voc.zip")).images[0].boxes.tolist() == [[1, 1, 9, 9]]
    with pytest.raises(AnnotationError, match=r"expected a folder, a zip, a COCO JSON file or data\.yaml"):
        open_boxes(elsewhere / "good.xml")
    with pytest.raises(AnnotationError, match="expected a folder"):
        open_boxes(elsewhere / "missing")


finite = st.floats(0.05, 0.95)
centred = st.tuples(finite, finite).map(lambda p: (p[0], p[1], min(p[0], 1 - p[0]), min(p[1], 1 - p[1])))


@settings(deadline=None, max_examples=40)
@given(boxes=st.lists(centred, max_size=6))
def test_the_three_formats_say_the_same_of_any_boxes(boxes: list[tuple[float, float, float, float]]) -> None:
    lines = "\n".join(f"0 {x!r} {y!r} {w!r} {h!r}" for x, y, w, h in boxes).encode()
    pixels = [(60 * (x - w / 2), 40 * (y - h / 2), 60 * (x + w / 2), 40 * (y + h / 2)) for x, y, w, h in boxes]
    good = {"good.jpg": PICTURE}
    yolo = read({**good, "good.txt": YOLO_LINE, "a.jpg": PICTURE, "a.txt": lines})
    from_voc = read({**good, "good.xml": voc([BOX]), "a.jpg": PICTURE, "a.xml": voc(pixels)})
    from_coco = read({**good, "a.jpg": PICTURE, "boxes.json": coco({"good.jpg": [BOX], "a.jpg": pixels})})
    assert len(yolo.images[0].boxes) == len(boxes)
    np.testing.assert_allclose(from_voc.images[0].boxes, yolo.images[0].boxes, atol=1e-6)
    np.testing.assert_allclose(from_coco.images[0].boxes, yolo.images[0].boxes, atol=1e-6)


@settings(deadline=None, max_examples=200)
@given(data=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_readers_meet_any_bytes_with_nothing_but_their_own_error(data: bytes) -> None:
    for parse in (
        lambda: parse_voc(data, "a.xml"),
        lambda: parse_yolo(data, "a.txt", None),
        lambda: parse_coco(data),
        lambda: parse_class_names(data, "data.yaml"),
        lambda: parse_class_names(data, "classes.txt"),
    ):
        try:
            parse()
        except AnnotationError as error:
            assert "\n" not in str(error)  # noqa: PT017


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
entries = st.lists(
    st.dictionaries(
        st.sampled_from(["id", "image_id", "file_name", "category_id", "bbox", "width", "height", "iscrowd", "name"]),
        json_values | st.just("good.jpg") | st.just(1) | st.just([1, 2, 3, 4]),
    )
    | json_values,
    max_size=4,
)


@settings(deadline=None, max_examples=100)
@given(images=entries, annotations=entries, categories=json_values | entries)
def test_any_coco_content_still_gives_the_good_boxes(images: object, annotations: object, categories: object) -> None:
    odd = json.dumps({"images": images, "annotations": annotations, "categories": categories}).encode()
    # The odd file sorts after the good one, which is therefore the first annotation of good.jpg.
    dataset = read({**GOOD, "a.json": coco({"good.jpg": [BOX]}), "b.json": odd})
    np.testing.assert_allclose(dataset.images[0].boxes, [BOX])
