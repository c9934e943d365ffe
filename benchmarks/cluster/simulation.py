"""Shards on a cluster that we do not have, played through event by event: who waits for what.

The head hands out one shard after the other, and a worker gets the next one when the head has noticed its end. It reads
photographs ahead while it computes, so that a shard takes as long as the slower of the two. Workers of a machine share
its line to the object store.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True)
class Cluster:
    """Machines, and the head that hands out shards.

    Attributes
    ----------
    workers : in all
    on_a_machine : workers that share a line to the object store
    line : megabytes a second that a machine's line brings
    start : seconds until a worker has imported TensorFlow and loaded a backbone
    hand_out : seconds that the head is busy with a shard
    notice : seconds until the head knows that a worker has finished one
    """

    workers: int
    on_a_machine: int
    line: float
    start: float
    hand_out: float
    notice: float = 0.0


@dataclass(frozen=True)
class Task:
    """A shard: the seconds that a worker computes, and the megabytes that it reads."""

    seconds: float
    megabytes: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """How a run went.

    Attributes
    ----------
    finished : seconds at which shards were done, in order
    shares : of all workers' time: ``computing``, ``reading`` (longer than they compute), ``head`` (waiting for it),
        ``starting``, and ``end`` (nothing left to do while others finish); together 1
    """

    finished: Sequence[float]
    shares: dict[str, float]

    @property
    def seconds(self) -> float:
        """Until all is done."""
        return self.finished[-1]


def simulate(cluster: Cluster, tasks: Sequence[Task], slowness: Sequence[float]) -> Outcome:
    """Play a run through.

    Parameters
    ----------
    tasks : in the order in which they are handed out; at least one
    slowness : of each worker: its seconds for one of a usual worker's
    """
    reading = cluster.line / min(cluster.on_a_machine, cluster.workers)
    spent = dict.fromkeys(("computing", "reading", "head", "starting", "end"), 0.0)
    spent["starting"] = cluster.start * cluster.workers
    asking = [(cluster.start, worker) for worker in range(cluster.workers)]
    heapq.heapify(asking)
    head_free = 0.0
    finished = []
    for task in tasks:
        free, worker = heapq.heappop(asking)
        noticed = free + (cluster.notice if free > cluster.start else 0.0)
        head_free = max(noticed, head_free) + cluster.hand_out
        computing = task.seconds * slowness[worker]
        took = max(computing, task.megabytes / reading)
        spent["computing"] += computing
        spent["reading"] += took - computing
        spent["head"] += head_free - free
        heapq.heappush(asking, (head_free + took, worker))
        finished.append(head_free + took)
    finished.sort()
    spent["end"] = sum(finished[-1] - last for last, _ in asking)
    whole = finished[-1] * cluster.workers
    return Outcome(finished, {name: seconds / whole for name, seconds in spent.items()})


def uneven(random: Random, count: int, seconds: float, spread: float) -> list[float]:
    """Seconds of shards that differ as those of photographs do: log-normal about a median."""
    return [seconds * random.lognormvariate(0.0, spread) for _ in range(count)]


def stragglers(random: Random, workers: int, share: float, slowness: float) -> list[float]:
    """The slowness of workers, of which a share is slow."""
    slow = set(random.sample(range(workers), round(share * workers)))
    return [slowness if worker in slow else 1.0 for worker in range(workers)]
