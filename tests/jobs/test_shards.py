"""Requests cut into shards, and the rows of one."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from convfe_core.base.errors import ImageError, Skipped
from convfe_core.base.folders import file_stamp
from convfe_core.jobs.shards import Row, Shard, ShardImage, cut_shards, missing_in_words, rows_of_shard
from convfe_core.photos.photo import Photo

SCHEMA = pa.schema([("image", pa.string()), ("value", pa.float64())])


def images(count: int) -> list[ShardImage]:
    return [ShardImage(f"{place}.png", place) for place in range(count)]


def one_shard(count: int = 8) -> Shard:
    (shard,) = cut_shards(images(count), ["VGG16"], {}, SCHEMA)
    return shard


def test_every_image_is_in_one_shard_of_each_backbone_in_order() -> None:
    shards = cut_shards(images(7), ["VGG16", "ResNet50"], {}, SCHEMA, per_shard=3)
    assert [(shard.backbone, shard.number, len(shard.images)) for shard in shards] == [
        ("VGG16", 0, 3),
        ("VGG16", 1, 3),
        ("VGG16", 2, 1),
        ("ResNet50", 0, 3),
        ("ResNet50", 1, 3),
        ("ResNet50", 2, 1),
    ]
    assert [image.place for shard in shards[:3] for image in shard.images] == list(range(7))
    assert cut_shards([], ["VGG16"], {}, SCHEMA) == []


@pytest.mark.parametrize(
    "other",
    [
        cut_shards(images(8), ["VGG16"], {"size": "320"}, SCHEMA),
        cut_shards(images(8), ["VGG19"], {}, SCHEMA),
        cut_shards(images(7), ["VGG16"], {}, SCHEMA),
        cut_shards([*images(7), ShardImage("7.png", 7, stamp="12:34")], ["VGG16"], {}, SCHEMA),
        cut_shards([*images(7), ShardImage("7.png", 7, name="seven")], ["VGG16"], {}, SCHEMA),
        cut_shards(images(8), ["VGG16"], {}, SCHEMA.append(pa.field("other", pa.int64()))),
        cut_shards(images(8), ["VGG16"], {}, pa.schema([("image", pa.string()), ("value", pa.float32())])),
    ],
)
def test_a_digest_tells_whatever_rows_depend_on(other: list[Shard]) -> None:
    assert other[0].digest != one_shard().digest
    assert one_shard().digest == one_shard().digest


def test_a_stamp_changes_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    assert file_stamp(path) == ""
    path.write_bytes(b"a")
    before = file_stamp(path)
    path.write_bytes(b"ab")
    assert file_stamp(path) not in {"", before}


def rows(first: int = 0) -> list[tuple[int, list[Row]]]:
    """Eight images in windows of three, of which 2 has no file, 3 is no picture, and 7 neither."""

    def read(image: ShardImage) -> bytes:
        if image.place in (2, 7):
            raise ImageError(f"{image.path}: gone")
        return bytes([image.place])

    def decode(image: ShardImage, data: bytes) -> Photo:
        if data == b"\x03":
            raise ImageError(f"{image.path}: damaged")
        return Photo(image.path, np.full((1, 1, 3), data[0], np.uint8), "")

    def process(photos: Iterator[tuple[int, Photo]]) -> Generator[list[tuple[int, Row]], None, None]:
        found = [(position, {"value": int(photo.pixels[0, 0, 0]) ** 2}) for position, photo in photos]
        for start in range(0, len(found), 3):
            yield found[start : start + 3]

    return list(rows_of_shard(one_shard(), first, read, decode, process, readers=2))


def test_every_image_of_a_shard_becomes_a_row_in_its_place_or_a_reason() -> None:
    gone, damaged, last = ({"reason": text} for text in ("2.png: gone", "3.png: damaged", "7.png: gone"))
    assert rows() == [
        (5, [{"value": 0}, {"value": 1}, gone, damaged, {"value": 16}]),
        (7, [{"value": 25}, {"value": 36}]),
        (8, [last]),
    ]
    assert rows(first=5) == rows()[1:]
    assert rows(first=7) == [(8, [last])]


def test_the_sentence_for_what_is_missing_names_the_first_ones() -> None:
    missing = [Skipped(f"VGG16, images {n}1 to {n + 1}0", "why") for n in range(5)]
    assert missing_in_words(missing[:1]) == (
        "1 shard is missing, everything else is done: VGG16, images 01 to 10 (why); "
        "the same call again does only what is missing."
    )
    assert " and 2 more; " in missing_in_words(missing)
