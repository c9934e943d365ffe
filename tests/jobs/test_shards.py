from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from convfe_core.base.folders import file_stamp
from convfe_core.jobs.shards import Parts, Row, Shard, ShardImage, cut_shards, shard_table

SCHEMA = pa.schema([("image", pa.string()), ("value", pa.float64())])
BATCH = 3


def images(count: int) -> list[ShardImage]:
    return [ShardImage(f"{place}.png", place) for place in range(count)]


def one_shard(count: int = 8) -> Shard:
    (shard,) = cut_shards(images(count), ["VGG16"], {}, SCHEMA)
    return shard


def values(shard: Shard, first: int) -> Iterator[tuple[int, list[Row]]]:
    """A value for each image, in batches of three counted from `first`."""
    for start in range(first, len(shard.images), BATCH):
        batch = shard.images[start : start + BATCH]
        yield start + len(batch), [{"image": image.path, "value": image.place / 7} for image in batch]


class Killed(BaseException):
    """The process ends here."""


def killed_after(batches: int):
    def compute(shard: Shard, first: int) -> Iterator[tuple[int, list[Row]]]:
        for number, batch in enumerate(values(shard, first)):
            if number == batches:
                raise Killed
            yield batch

    return compute


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


def test_a_finished_shard_is_one_part_with_the_rows_in_order(tmp_path: Path) -> None:
    shard, parts = one_shard(), Parts(tmp_path / "parts", SCHEMA)
    assert not parts.has(shard)
    batches = list(parts.compute(shard, values))
    assert [len(batch) for batch in batches] == [3, 3, 2]
    assert parts.has(shard)
    assert parts.folder.names() == {f"{shard.name}.parquet"}
    assert parts.read(shard) == shard_table(shard, values, SCHEMA)
    assert parts.read(shard)["value"].to_pylist() == [place / 7 for place in range(8)]


@pytest.mark.parametrize("batches", [0, 1, 2])
def test_a_killed_shard_goes_on_after_its_last_finished_batch(tmp_path: Path, batches: int) -> None:
    shard, parts = one_shard(), Parts(tmp_path, SCHEMA)
    with pytest.raises(Killed):
        list(parts.compute(shard, killed_after(batches)))
    assert not parts.has(shard)
    assert parts.begun([shard]) == batches * BATCH
    again = list(Parts(tmp_path, SCHEMA).compute(shard, values))
    assert sum(len(batch) for batch in again) == 8 - batches * BATCH
    assert parts.read(shard) == shard_table(shard, values, SCHEMA)
    assert parts.begun([shard]) == 0
    assert len(list(tmp_path.iterdir())) == 1


def test_a_shard_killed_twice_keeps_what_both_runs_did(tmp_path: Path) -> None:
    shard, parts = one_shard(), Parts(tmp_path, SCHEMA)
    for _ in range(2):
        with pytest.raises(Killed):
            list(parts.compute(shard, killed_after(1)))
    assert parts.begun([shard]) == 2 * BATCH
    assert [len(batch) for batch in parts.compute(shard, values)] == [2]
    assert parts.read(shard) == shard_table(shard, values, SCHEMA)


def test_parts_and_pieces_of_another_request_are_removed(tmp_path: Path) -> None:
    parts = Parts(tmp_path, SCHEMA)
    old, begun, new = (cut_shards(images(8), ["VGG16"], {"size": size}, SCHEMA)[0] for size in "abc")
    list(parts.compute(old, values))
    for shard in (begun, new):
        with pytest.raises(Killed):
            list(parts.compute(shard, killed_after(1)))
    (tmp_path / "notes.txt").write_text("mine")
    parts.keep_only([new])
    assert not parts.has(old)
    assert parts.begun([begun]) == 0
    assert parts.begun([new]) == BATCH
    assert (tmp_path / "notes.txt").is_file()


def test_a_shard_without_rows_is_finished_too(tmp_path: Path) -> None:
    shard, parts = one_shard(), Parts(tmp_path, SCHEMA)
    assert list(parts.compute(shard, lambda _shard, _first: iter(()))) == []
    assert parts.read(shard).num_rows == 0
