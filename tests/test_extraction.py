import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from convfe_core.errors import ImageError
from convfe_core.extraction import BATCH_MB, PHOTOS_MB, Batch, Size, sized_batches
from convfe_core.images import Photo
from convfe_core.taps import Tap

LAST = Tap("auto", "last", 8, 32, False)


@dataclass(frozen=True)
class Plan:
    """What batching needs to know of a backbone."""

    activation_bytes: float
    label: str = "Net"
    weights: str = "untrained"
    tap: Tap = LAST
    working_size: int = 64
    native_size: int = 64
    fixed: tuple[int, int] | None = None


def photos(count: int, height: int = 64, width: int = 64) -> list[tuple[int, Photo]]:
    pixels = np.zeros((height, width, 3), np.uint8)
    return [(number, Photo(f"{number}.png", pixels, str(number))) for number in range(count)]


def sizes(batches: Iterator[Batch[int]]) -> list[int]:
    return [len(batch.members) for batch in batches]


def megabytes_a_photo(megabytes: float) -> Plan:
    return Plan(activation_bytes=megabytes * 2**20 / 64**2)


def test_batches_are_as_large_as_the_layers_leave_room_for() -> None:
    assert sizes(sized_batches(megabytes_a_photo(BATCH_MB / 4), photos(10), Size("own"))) == [4, 4, 2]
    assert sizes(sized_batches(megabytes_a_photo(BATCH_MB * 3), photos(3), Size("own"))) == [1, 1, 1]


def test_batches_of_large_photographs_are_small() -> None:
    side = 2048
    each_mb = side * side * 3 / 2**20
    found = sizes(sized_batches(Plan(activation_bytes=1), photos(9, side, side), Size("own")))
    assert found[0] == int(PHOTOS_MB / each_mb)
    assert sum(found) == 9


def test_only_neighbours_of_one_shape_share_a_batch() -> None:
    mixed = [*photos(2), *photos(3, 64, 32), *photos(1)]
    batches = list(sized_batches(Plan(1), mixed, Size("own")))
    assert [batch.canvases.shape for batch in batches] == [(2, 64, 64, 3), (3, 64, 32, 3), (1, 64, 64, 3)]


def test_to_go_on_after_a_batch_gives_the_batches_that_would_have_come() -> None:
    mixed = [*photos(5), *photos(7, 64, 32), *photos(9)]
    plan = megabytes_a_photo(BATCH_MB / 4)
    whole = sizes(sized_batches(plan, mixed, Size("own")))
    for done in range(len(whole)):
        rest = mixed[sum(whole[:done]) :]
        assert sizes(sized_batches(plan, rest, Size("own"))) == whole[done:]


def test_an_error_while_decoding_comes_after_the_batches_before_it_and_ends_the_thread() -> None:
    def source() -> Iterator[tuple[int, Photo]]:
        yield from photos(4)
        raise ImageError("no picture")

    batches = sized_batches(megabytes_a_photo(BATCH_MB / 2), source(), Size("own"))
    assert len(next(batches).members) == 2
    with pytest.raises(ImageError, match="no picture"):
        next(batches)
    assert not [thread for thread in threading.enumerate() if thread.name == "convfe-ahead"]
