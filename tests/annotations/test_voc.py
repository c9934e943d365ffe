"""Pascal VOC as the tools of this trade write it: the right boxes, and a word about what was decided."""

from __future__ import annotations

import pytest

from convfe_core.base.errors import AnnotationError
from tests.annotations.one_box import BOX, OTHER, PICTURE, boxes_of, coco_of, read
from tests.support.datasets import voc


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
