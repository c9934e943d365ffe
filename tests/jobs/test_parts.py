"""Parts and pieces: what a run has finished is found again, whatever ended it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from convfe_core.jobs import shards
from convfe_core.jobs.parts import Parts, shard_table
from convfe_core.jobs.shards import Row, Shard, cut_shards
from tests.jobs.test_shards import SCHEMA, images, one_shard
from tests.support.children import python

BATCH = 3


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


def test_a_finished_shard_is_one_part_with_the_rows_in_order(tmp_path: Path) -> None:
    shard, parts = one_shard(), Parts(tmp_path / "parts", SCHEMA)
    assert parts.missing([shard]) == [shard]
    batches = list(parts.compute(shard, values))
    assert [len(batch) for batch in batches] == [3, 3, 2]
    assert parts.missing([shard]) == []
    assert parts.folder.names() == {f"{shard.name}.parquet"}
    assert parts.read(shard) == shard_table(shard, values, SCHEMA)
    assert parts.read(shard)["value"].to_pylist() == [place / 7 for place in range(8)]


@pytest.mark.parametrize("batches", [0, 1, 2])
def test_a_killed_shard_goes_on_after_its_last_finished_batch(tmp_path: Path, batches: int) -> None:
    shard, parts = one_shard(), Parts(tmp_path, SCHEMA)
    with pytest.raises(Killed):
        list(parts.compute(shard, killed_after(batches)))
    assert parts.missing([shard]) == [shard]
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
    assert parts.missing([old, new]) == [old, new]
    assert parts.begun([begun]) == 0
    assert parts.begun([new]) == BATCH
    assert (tmp_path / "notes.txt").is_file()


def test_a_shard_without_rows_is_finished_too(tmp_path: Path) -> None:
    shard, parts = one_shard(), Parts(tmp_path, SCHEMA)
    assert list(parts.compute(shard, lambda _shard, _first: iter(()))) == []
    assert parts.read(shard).num_rows == 0


def test_a_part_of_another_layout_is_not_taken_for_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a release before this one wrote it, or its rows had other columns."""
    (now,), old = cut_shards(images(8), ["VGG16"], {}, SCHEMA), Parts(tmp_path, SCHEMA.remove(1))
    (other,) = cut_shards(images(8), ["VGG16"], {}, old.schema)
    monkeypatch.setattr(shards, "LAYOUT", shards.LAYOUT - 1)
    (before,) = cut_shards(images(8), ["VGG16"], {}, SCHEMA)
    for shard in (other, before):
        list(old.compute(shard, values))
    assert Parts(tmp_path, SCHEMA).missing([other, before, now]) == [now]
    assert len({other.name, before.name, now.name}) == 3


def test_a_part_is_read_without_threads_that_could_outlive_the_run() -> None:
    """Arrow's threads may let go of a part's bytes when Python has ended, which aborts the process now and then."""
    code = """
import psutil, pyarrow
from convfe_core.jobs.parts import Parts, packed
from convfe_core.jobs.shards import Shard
schema = pyarrow.schema({"value": pyarrow.float64(), "cells": pyarrow.list_(pyarrow.float32())})
parts, shard = Parts(None, schema), Shard("any", 0, (), "0")
parts.write(shard, packed(pyarrow.table({"value": [0.5] * 9, "cells": [[1.0]] * 9}, schema)))
before = psutil.Process().num_threads()
print(parts.read(shard).num_rows, psutil.Process().num_threads() - before)
"""
    assert python("-c", code).stdout.split() == ["9", "0"]


def test_parts_in_memory_leave_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shard, parts = one_shard(), Parts(None, SCHEMA)
    list(parts.compute(shard, values))
    assert parts.read(shard) == shard_table(shard, values, SCHEMA)
    assert [(image.place, row["value"]) for image, row in parts.rows(shard)] == [(k, k / 7) for k in range(8)]
    parts.drop(shard)
    assert parts.missing([shard]) == [shard]
    assert list(tmp_path.iterdir()) == []
