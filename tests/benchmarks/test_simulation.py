"""The simulated cluster against runs that can be worked out by hand."""

from __future__ import annotations

from random import Random

import pytest

from benchmarks.cluster.scale import DataSet, Dispatch, Measured, foresee
from benchmarks.cluster.simulation import Cluster, Task, simulate, stragglers, uneven
from benchmarks.records import FOLDER, Record

FAST = float("inf")


def test_one_worker_does_one_shard_after_the_other():
    outcome = simulate(Cluster(1, 8, FAST, start=5.0, hand_out=0.5), [Task(2.0), Task(3.0)], [1.0])
    assert outcome.finished == [7.5, 11.0]
    assert outcome.shares == pytest.approx(
        {"computing": 5 / 11, "reading": 0.0, "head": 1 / 11, "starting": 5 / 11, "end": 0.0}
    )


def test_the_worker_that_is_free_first_gets_the_next_shard():
    outcome = simulate(Cluster(2, 8, FAST, 0.0, 0.0), [Task(4.0), Task(1.0), Task(2.0)], [1.0, 1.0])
    assert outcome.finished == [1.0, 3.0, 4.0]
    assert outcome.shares["end"] == pytest.approx(1 / 8)


def test_workers_of_a_machine_share_its_line():
    tasks = [Task(1.0, 300.0)] * 4
    one_machine = simulate(Cluster(4, 4, 100.0, 0.0, 0.0), tasks, [1.0] * 4)
    four_machines = simulate(Cluster(4, 1, 100.0, 0.0, 0.0), tasks, [1.0] * 4)
    assert (one_machine.seconds, four_machines.seconds) == (12.0, 3.0)
    assert one_machine.shares["reading"] == pytest.approx(11 / 12)


def test_a_head_that_is_asked_by_many_decides():
    outcome = simulate(Cluster(100, 8, FAST, 0.0, 0.01), [Task(0.1)] * 1000, [1.0] * 100)
    assert outcome.seconds == pytest.approx(1000 * 0.01 + 0.1)
    assert max(outcome.shares, key=lambda name: outcome.shares[name]) == "head"


def test_a_worker_waits_until_its_end_is_noticed():
    outcome = simulate(Cluster(1, 8, FAST, start=5.0, hand_out=0.5, notice=0.25), [Task(2.0), Task(3.0)], [1.0])
    assert outcome.finished == [7.5, 11.25]
    assert outcome.shares["head"] == pytest.approx(1.25 / 11.25)


def test_a_slow_worker_gets_fewer_shards_and_ends_last():
    outcome = simulate(Cluster(2, 8, FAST, 0.0, 0.0), [Task(1.0)] * 5, [1.0, 3.0])
    assert outcome.finished == [1.0, 2.0, 3.0, 3.0, 4.0]


def test_all_time_of_all_workers_is_accounted_for():
    random = Random(0)
    tasks = [Task(seconds, 40.0) for seconds in uneven(random, 500, 10.0, 0.3)]
    outcome = simulate(Cluster(30, 8, 100.0, 5.0, 0.02), tasks, stragglers(random, 30, 0.1, 2.0))
    assert sum(outcome.shares.values()) == pytest.approx(1.0)
    assert all(share >= 0 for share in outcome.shares.values())


def test_workers_without_a_shard_wait_for_the_end():
    outcome = simulate(Cluster(4, 8, FAST, 1.0, 0.0), [Task(3.0)], [1.0] * 4)
    assert outcome.shares == pytest.approx(
        {"computing": 3 / 16, "reading": 0.0, "head": 0.0, "starting": 4 / 16, "end": 9 / 16}
    )


def test_a_share_of_the_workers_is_slow():
    assert sorted(stragglers(Random(0), 50, 0.04, 2.0)) == [1.0] * 48 + [2.0] * 2


def test_the_hours_of_a_million_photographs_follow_from_the_measured_rates():
    """What the documentation quotes is simulated from what is kept, whichever of the two was measured last."""
    (path,) = FOLDER.glob("scale-*.json")
    tables = Record.read(path).tables
    (taken,) = (line.row for line in tables["the simulation and Ray"])
    busy, notice = taken["the head is busy with a shard, ms"], taken["and notices its end after, ms"]
    measured = Measured.kept(path.stem.replace("scale", "cluster"))
    told = {line.row["backbone, workers"]: float(line.row["hours"]) for line in tables["workers, simulated"]}
    found = foresee(measured, Dispatch(busy / 1e3, notice / 1e3), DataSet(1_000_000, 160.0, 100.0))
    hours = {row["backbone, workers"]: float(row["hours"]) for row in found}
    assert hours == pytest.approx(told, rel=0.01, abs=0.011)  # the two that it follows from were rounded, and so was it
