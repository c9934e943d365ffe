import threading

import pytest

from convfe_core.machine.machine_queue import Gate

LIMIT_S = 30


def test_one_thread_at_a_time_is_inside() -> None:
    gate, inside, most = Gate(), [], []

    def work() -> None:
        for _ in range(200):
            with gate.passing():
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    assert len(most) == 1600
    assert max(most) == 1
    assert gate.waiting == 0
    assert gate.passed == 1600


def test_threads_pass_in_the_order_in_which_they_came() -> None:
    gate, order, came = Gate(), [], [threading.Event() for _ in range(4)]

    def work(number: int) -> None:
        with gate.passing(lambda _before: came[number].set()):
            order.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    with gate.passing():
        for number, thread in enumerate(threads):
            thread.start()
            assert came[number].wait(LIMIT_S)
    for thread in threads:
        thread.join(LIMIT_S)
    assert order == [0, 1, 2, 3]


def test_an_error_inside_leaves_the_gate_open() -> None:
    gate = Gate()
    with pytest.raises(BaseException, match="stopped"), gate.passing():
        raise KeyboardInterrupt("stopped")
    with gate.passing():
        assert gate.waiting == 1


def test_who_no_longer_wants_to_wait_leaves_the_queue_and_the_next_one_passes() -> None:
    gate, left, passed = Gate(), threading.Event(), threading.Event()

    def leave(_before: int) -> None:
        raise SystemExit

    def give_up() -> None:
        try:
            with gate.passing(leave):
                pytest.fail("the gate was held by another thread")
        except SystemExit:
            left.set()

    def stay() -> None:
        with gate.passing():
            passed.set()

    with gate.passing():
        threads = [threading.Thread(target=work) for work in (give_up, stay)]
        for thread in threads:
            thread.start()
        assert left.wait(LIMIT_S)
        assert not passed.is_set()
    assert passed.wait(LIMIT_S)
    for thread in threads:
        thread.join(LIMIT_S)
    assert gate.waiting == 0


def test_who_waits_is_told_how_many_are_before() -> None:
    gate, told = Gate(), []
    heard = threading.Event()

    def hear(before: int) -> None:
        told.append(before)
        heard.set()

    def work() -> None:
        with gate.passing(hear):
            told.append(0)

    with gate.passing():
        thread = threading.Thread(target=work)
        thread.start()
        assert heard.wait(LIMIT_S)
    thread.join(LIMIT_S)
    assert told[0] == 1
    assert told[-1] == 0


def test_a_thread_that_is_inside_may_pass_again() -> None:
    gate = Gate()
    with gate.passing(), gate.passing():
        assert gate.waiting == 1
    assert gate.waiting == 0


def test_a_closed_gate_lets_nobody_in_once_who_was_inside_has_left() -> None:
    gate, inside, leave, given_up = Gate(), threading.Event(), threading.Event(), threading.Event()

    def compute() -> None:
        with gate.passing():
            inside.set()
            leave.wait()

    def give_up(_before: int) -> None:
        given_up.set()
        raise KeyboardInterrupt

    def come_later() -> None:
        with pytest.raises(KeyboardInterrupt), gate.passing(give_up):
            pytest.fail("came in")

    computing = threading.Thread(target=compute)
    computing.start()
    inside.wait()
    assert not gate.close(patience_s=0)
    leave.set()
    computing.join()
    later = threading.Thread(target=come_later)
    later.start()
    later.join()
    assert given_up.is_set()
    assert gate.close(patience_s=0)


def test_who_does_not_wait_gets_in_only_where_nobody_is() -> None:
    gate, found = Gate(), []

    def look() -> None:
        with gate.if_free() as free:
            found.append(free)

    def look_elsewhere() -> bool:
        thread = threading.Thread(target=look)
        thread.start()
        thread.join(LIMIT_S)
        return bool(found.pop())

    assert look_elsewhere()
    with gate.passing():
        assert not look_elsewhere()
        look()
        assert found.pop()
    with gate.if_free():
        assert not look_elsewhere()
    assert gate.waiting == 0
    assert gate.close(1)
    assert not look_elsewhere()
