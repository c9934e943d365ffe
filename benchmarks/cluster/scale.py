"""A million photographs on 10, 100 and more workers, simulated; and the simulation against Ray with two nodes.

    python -m benchmarks.cluster.scale [--images 1000000] [--kilobytes 160] [--line 100] [--measured NAME]

What a worker computes and how long it takes to start come from what ``benchmarks.cluster`` measured on this kind of
machine, or on that of ``--measured``. What Ray does for a shard is measured here, on a cluster of two nodes on this
machine. Shards without work say how long the head is busy with one; shards that all wait as long, on four workers, how
long it takes to notice their end: where several run, Ray waits a tenth of a second for all of them. Then four workers
run shards that wait for as long as the simulation draws, and both should be done at the same time. Waiting needs no
processor, so that two cores can be any number of workers.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from random import Random

from benchmarks.cluster.simulation import Cluster, Outcome, Task, simulate, stragglers, uneven
from benchmarks.cluster.waiting import Waiting
from benchmarks.machine import describe_machine
from benchmarks.records import FOLDER, Record, Run, TableRow, keep, machine_slug, markdown
from convfe_core.base.pace import Pace, Progress
from convfe_core.jobs.parts import Parts
from convfe_core.jobs.ray_engine import RayEngine
from convfe_core.jobs.ray_workers import WORKERS_ON_A_NODE, Workers
from convfe_core.jobs.shards import SHARD_IMAGES, ShardImage, cut_shards

WORKERS = (10, 100, 1000)
SPREAD, SLOW_SHARE, SLOWNESS = 0.1, 0.02, 2.0
"""How much shards differ, and how many workers take how many times as long: assumed, not measured."""
NODES, WORKERS_OF_CHECK, SHARDS_OF_CHECK, SECONDS_OF_CHECK = 2, 4, 160, 0.3
UNLIMITED = float("inf")


def run_on_two_nodes(seconds: Sequence[float], workers: int) -> list[float]:
    """When shards that wait were done on a Ray cluster of two nodes, in seconds from the start, in order."""
    done: list[float] = []
    start = time.perf_counter()

    def tell(_progress: Progress) -> None:
        done.append(time.perf_counter() - start)

    shards = cut_shards([ShardImage(str(k), k) for k in range(len(seconds))], ["waiting"], {}, Waiting.schema, 1)
    engine = RayEngine(workers=Workers(workers, workers, 1, memory_mb=Waiting.megabytes))
    with tempfile.TemporaryDirectory() as folder:
        missing = engine.finish(Waiting(tuple(seconds)), shards, Parts(folder, Waiting.schema), Pace(len(shards)), tell)
    if missing:
        raise RuntimeError(f"shards failed: {missing}")
    return done


@dataclass(frozen=True)
class Dispatch:
    """What Ray takes for a shard, in seconds; see `Cluster`."""

    hand_out: float
    notice: float


def check() -> tuple[Dispatch, list[TableRow]]:
    """Measure what Ray takes, and compare a run with the same one simulated, from all workers' first shards on."""
    import ray
    from ray.cluster_utils import Cluster as RayCluster

    from convfe_core.jobs.ray_cluster import guard_own_cluster

    guard_own_cluster()
    node = {"num_cpus": WORKERS_OF_CHECK // NODES, "object_store_memory": 200 * 2**20, "include_dashboard": False}
    cluster = RayCluster(initialize_head=True, head_node_args=node)
    try:
        for _ in range(NODES - 1):
            cluster.add_node(**node)
        ray.init(cluster.address, log_to_driver=False, logging_level=logging.ERROR)
        hand_out = _each(run_on_two_nodes([0.0] * SHARDS_OF_CHECK, 1))
        even = run_on_two_nodes([SECONDS_OF_CHECK] * (SHARDS_OF_CHECK // 2), WORKERS_OF_CHECK)
        each = _each(even[WORKERS_OF_CHECK - 1 :]) * WORKERS_OF_CHECK
        dispatch = Dispatch(hand_out, max(0.0, each - SECONDS_OF_CHECK - hand_out))
        seconds = uneven(Random(0), SHARDS_OF_CHECK, SECONDS_OF_CHECK, 5 * SPREAD)
        measured = run_on_two_nodes(seconds, WORKERS_OF_CHECK)
    finally:
        ray.shutdown()
        cluster.shutdown()
    played = simulate(
        Cluster(WORKERS_OF_CHECK, WORKERS_OF_CHECK // NODES, UNLIMITED, 0.0, dispatch.hand_out, dispatch.notice),
        [Task(one) for one in seconds],
        [1.0] * WORKERS_OF_CHECK,
    )
    took, expected = (each[-1] - each[WORKERS_OF_CHECK - 1] for each in (measured, played.finished))
    row: TableRow = {
        f"{SHARDS_OF_CHECK} shards that wait, {WORKERS_OF_CHECK} workers on {NODES} nodes": "after the first ones",
        "Ray, s": round(took, 1),
        "simulated, s": round(expected, 1),
        "Ray / simulated": round(took / expected, 2),
        "the head is busy with a shard, ms": round(1e3 * dispatch.hand_out, 1),
        "and notices its end after, ms": round(1e3 * dispatch.notice, 1),
    }
    return dispatch, [row]


def _each(done: Sequence[float]) -> float:
    """Seconds from one shard to the next."""
    return (done[-1] - done[0]) / (len(done) - 1)


@dataclass(frozen=True)
class Measured:
    """What `benchmarks.cluster` found on a kind of machine."""

    rates: dict[str, float]
    start: float

    @classmethod
    def kept(cls, result: str) -> Measured:
        """From a file of its results; a rate is that of one of two workers with a core each."""
        tables = Record.read(FOLDER / f"{result}.json").tables
        rates, starts = {}, []
        for line in tables["images a second"]:
            backbone, _, way = str(line.row["backbone, where"]).partition(", Ray, workers x CPUs of each: ")
            if way == "2 x 1":
                rates[backbone] = float(line.row["images/s"]) / 2
                starts += [float(line.row["first shards after, s"])] if "first shards after, s" in line.row else []
        return cls(rates, statistics.median(starts))


@dataclass(frozen=True)
class DataSet:
    """Photographs, kilobytes of each, and the megabytes a second that come to a machine."""

    images: int
    kilobytes: float
    line: float


def play(measured: Measured, dispatch: Dispatch, backbone: str, workers: int, data: DataSet) -> Outcome:
    """Simulate a pass over a data set."""
    random = Random(0)
    shards = -(-data.images // SHARD_IMAGES)
    seconds = uneven(random, shards, SHARD_IMAGES / measured.rates[backbone], SPREAD)
    tasks = [Task(one, SHARD_IMAGES * data.kilobytes / 1e3) for one in seconds]
    cluster = Cluster(workers, WORKERS_ON_A_NODE, data.line, measured.start, dispatch.hand_out, dispatch.notice)
    return simulate(cluster, tasks, stragglers(random, workers, SLOW_SHARE, SLOWNESS))


def foresee(measured: Measured, dispatch: Dispatch, data: DataSet) -> list[TableRow]:
    """A line for each backbone and number of workers."""
    rows: list[TableRow] = []
    for backbone, workers in product(measured.rates, WORKERS):
        outcome = play(measured, dispatch, backbone, workers, data)
        lost = {name: share for name, share in outcome.shares.items() if name != "computing"}
        first = max(lost, key=lambda name: lost[name])
        rows.append(
            {
                "backbone, workers": f"{backbone}, {workers}",
                "hours": f"{outcome.seconds / 3600:.2f}",
                "images/s": round(data.images / outcome.seconds),
                **{name: f"{share:.1%}" for name, share in outcome.shares.items()},
                "most is lost to": first,
            }
        )
    return rows


def limits(measured: Measured, dispatch: Dispatch, data: DataSet) -> list[TableRow]:
    """From how many workers on something else than computing decides, by the arithmetic of the simulation."""
    return [
        {
            "a worker with": backbone,
            "computes, images/s": round(rate, 1),
            "reads, MB/s": round(rate * data.kilobytes / 1e3, 2),
            "workers that fill a machine's line": int(data.line / (rate * data.kilobytes / 1e3)),
            "workers that keep the head busy": int(SHARD_IMAGES / rate / dispatch.hand_out),
        }
        for backbone, rate in measured.rates.items()
    ]


def main() -> None:
    """Print the figures, and keep them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--kilobytes", type=float, default=160.0, help="of a photograph (default 160, as COCO's)")
    parser.add_argument("--line", type=float, default=100.0, help="MB/s from the object store to a machine")
    parser.add_argument("--measured", default=f"cluster-{machine_slug()}", help="a result of benchmarks.cluster")
    options = parser.parse_args()
    print(describe_machine(), "\n")
    run = Run.now("cluster.scale", ("ray",))
    dispatch, rows = check()
    print(markdown(rows), "\n", flush=True)
    measured, data = Measured.kept(options.measured), DataSet(options.images, options.kilobytes, options.line)
    tables = {
        "workers, simulated": foresee(measured, dispatch, data),
        "what would be full first": limits(measured, dispatch, data),
    }
    for table in tables.values():
        print(markdown(table), "\n")
    keep("scale", run, {"the simulation and Ray": rows, **tables})


if __name__ == "__main__":
    main()
