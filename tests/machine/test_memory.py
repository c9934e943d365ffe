import gc
import threading
import weakref
from pathlib import Path

import pytest

from convfe_core.machine import memory
from convfe_core.machine.memory import collect_soon, collected_afterwards, memory_limit_mb


def test_the_containers_limit_counts_where_it_is_lower(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text(f"{512 * 2**20}\n")
    assert memory_limit_mb({}, (limit,)) == 512


def test_no_limit_means_the_machines_memory(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text("max\n")
    assert memory_limit_mb({}, (limit,)) == memory_limit_mb({}, ())
    assert memory_limit_mb({}, ()) > 128


def test_the_setting_decides(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text("1048576")
    assert memory_limit_mb({"CONVFE_MEMORY_MB": "1000"}, (limit,)) == 1000


class Ring:
    """Something that refers to itself, which no count of references frees."""

    def __init__(self) -> None:
        self.me = self


def test_garbage_is_collected_a_moment_later_once_for_all_who_asked() -> None:
    gone, collections = threading.Event(), []
    gc.disable()
    try:
        watched = weakref.ref(Ring(), lambda _: gone.set())
        gc.callbacks.append(count := lambda phase, _: collections.append(phase))
        for _ in range(3):
            collect_soon(pause=0.2)
        assert watched() is not None
        assert gone.wait(30)
        assert collections.count("start") == 1
        gone.clear()
        again = weakref.ref(Ring(), lambda _: gone.set())
        collect_soon(pause=0)  # what comes later is asked for anew
        assert gone.wait(30)
        assert again() is None
    finally:
        gc.callbacks.remove(count)
        gc.enable()


def test_a_block_that_fails_leaves_no_garbage_either_and_the_collector_rests_meanwhile() -> None:
    seen: list[weakref.ref[Ring]] = []

    def fail() -> None:
        with collected_afterwards():
            assert not gc.isenabled()
            seen.append(weakref.ref(Ring()))
            assert seen[0]() is not None
            raise ValueError("on the way")

    with pytest.raises(ValueError, match="on the way"):
        fail()
    assert seen[0]() is None
    assert gc.isenabled()


def test_no_more_is_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "KEPT_MB", 10 / 2**20)
    room = memory.RoomToKeep()
    assert room.take(6)
    assert not room.take(5)
    assert room.take(4)
    assert not room.take(1)


def test_a_quarter_of_the_memory_that_is_left_may_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "room_mb", lambda: 40 / 2**20)
    room = memory.RoomToKeep()
    assert room.take(10)
    assert not room.take(1)
