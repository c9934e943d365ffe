import threading
from collections.abc import Iterator

import pytest

from convfe_core.base.background import ahead, map_ahead


def threads_ahead() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "convfe-ahead"]


def test_items_come_in_their_order_from_another_thread() -> None:
    makers = set()

    def numbers() -> Iterator[int]:
        for number in range(100):
            makers.add(threading.current_thread().name)
            yield number

    assert list(ahead(numbers(), depth=3)) == list(range(100))
    assert makers == {"convfe-ahead"}
    assert threads_ahead() == []


def test_nothing_at_all_is_nothing() -> None:
    assert list(ahead([])) == []


def test_an_error_comes_after_everything_before_it() -> None:
    def numbers() -> Iterator[int]:
        yield 1
        yield 2
        raise KeyError("three")

    items = ahead(numbers())
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(KeyError, match="three"):
        next(items)
    assert threads_ahead() == []


@pytest.mark.parametrize("depth", [1, 4])
def test_no_more_than_the_depth_is_made_ahead(depth: int) -> None:
    made = []
    enough = threading.Semaphore(0)

    def numbers() -> Iterator[int]:
        for number in range(1000):
            made.append(number)
            enough.release()
            yield number

    generator = ahead(numbers(), depth)
    assert next(generator) == 0
    for _ in range(1 + depth):
        assert enough.acquire(timeout=30)
    generator.close()
    assert len(made) == 1 + depth
    assert threads_ahead() == []


def test_an_abandoned_generator_leaves_no_thread() -> None:
    def endless() -> Iterator[int]:
        while True:
            yield 1

    generator = ahead(endless())
    next(generator)
    assert len(threads_ahead()) == 1
    del generator
    assert threads_ahead() == []


def test_an_error_of_the_consumer_ends_the_thread() -> None:
    def fail() -> None:
        for number in ahead(range(100)):
            if number == 3:
                raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        fail()
    assert threads_ahead() == []


@pytest.mark.parametrize("threads", [0, 1, 4])
def test_results_come_in_the_order_of_their_items(threads: int) -> None:
    assert list(map_ahead(lambda n: n * n, range(50), threads)) == [n * n for n in range(50)]
    assert list(map_ahead(str, [], threads)) == []


@pytest.mark.parametrize("threads", [1, 4])
def test_an_error_comes_at_the_turn_of_its_item(threads: int) -> None:
    found = map_ahead(lambda n: 6 // n, [3, 2, 0, 1], threads)
    assert [next(found), next(found)] == [2, 3]
    with pytest.raises(ZeroDivisionError):
        next(found)


def test_no_more_is_taken_ahead_than_twice_the_threads() -> None:
    taken: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    found = map_ahead(lambda n: n, numbers(), 3)
    assert next(found) == 0
    assert len(taken) == 6
    found.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("convfe-read")]


def test_several_items_are_worked_on_at_a_time() -> None:
    together = threading.Barrier(3, timeout=60)
    assert len(list(map_ahead(lambda _: together.wait(), range(3), 3))) == 3
