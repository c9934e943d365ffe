"""Shards computed by Ray Data: a pool of workers on one machine or many, each with one backbone loaded.

Workers only compute. What they find comes back as the bytes of a part, which is written here, so that workers need no
access to the parts. A shard that is lost with a worker or a node is tried again, three times in all. Those that are
missing even then are named, and another call with the same arguments computes only them.
"""

from __future__ import annotations

import logging
import os
import pickle
import threading
import time
import warnings
from collections import Counter, deque
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from convfe_core.base.errors import ConvfeError, EngineError, SpecError
from convfe_core.base.pace import Pace, Tell, tell_nobody
from convfe_core.base.wording import counted
from convfe_core.jobs.parts import Parts, packed, shard_table
from convfe_core.jobs.ray_cluster import (
    check_machines,
    cluster_address,
    connected,
    error_in_words,
    package_versions,
    require_same_packages,
)
from convfe_core.jobs.ray_workers import WorkerPlan, Workers, plan_workers
from convfe_core.jobs.shards import Job, Shard
from convfe_core.machine.tensorflow_import import keep_lean

ATTEMPTS = 3
"""A shard may fail so often; and Ray may break off so often in succession without a single shard finished."""
SHARDS_AT_ONCE, SHARDS_A_WORKER = 4096, 32
"""Most shards of one round: the larger of the first number and the second times the workers.

While a round lasts, each of its shards takes a tenth of a megabyte in this process.
"""
RECENT = 64
"""Shards by which the workers are counted that are at work."""
THREAD_SECONDS = 1.0
"""So long, at most, is waited for the threads that Ray Data began in a round; some outlive it, but hold no block."""
LOST = "the worker that had it was lost each time; it may need more memory, see --worker-memory"


@dataclass(frozen=True)
class RayEngine:
    """Finishes shards on a Ray cluster, as a `convfe_core.jobs.shards.Engine`.

    Parameters
    ----------
    address : of the cluster; None for the one in ``RAY_ADDRESS``, or else for one on this machine while it is needed
    workers : how many, and how large
    """

    address: str | None = None
    workers: Workers = field(default_factory=Workers)
    elsewhere = True

    def check(self, megabytes: float) -> None:
        """Check before a long run that the cluster can be reached and has room for a worker.

        A cluster of this machine alone is not checked: it is started when it is needed.

        Parameters
        ----------
        megabytes : what a worker needs if nobody said otherwise

        Raises
        ------
        EngineError : it cannot be reached, has no room for a worker, or one of its machines has other packages
        """
        if cluster_address(self.address) != "local":
            with connected(self.address) as ray:
                check_machines(ray)
                plan_workers(_resources(ray), self.workers, megabytes, 1)

    def finish(
        self, job: Job, shards: Sequence[Shard], parts: Parts, pace: Pace, tell: Tell = tell_nobody
    ) -> dict[str, ConvfeError]:
        """Compute those shards that are not finished; see `convfe_core.jobs.shards.Engine`.

        Raises
        ------
        EngineError : Ray is not there, does not answer, or has no room for a worker
        SpecError : no such backbone or layer
        """
        missing = parts.missing(shards)
        pace.skip(sum(len(shard.images) for shard in shards) - sum(len(shard.images) for shard in missing))
        if not missing:
            return {}
        with connected(self.address) as ray:
            plan = plan_workers(_resources(ray), self.workers, job.megabytes, len(missing))
            reasons = _Run(ray, job, parts, plan, pace, tell).finish(missing)
        return {name: EngineError(reason) for name, reason in reasons.items()}


class _Run:
    """One run over some shards, in rounds over what is missing, until nothing is or attempts are used up."""

    def __init__(self, ray: Any, job: Job, parts: Parts, plan: WorkerPlan, pace: Pace, tell: Tell) -> None:
        self._ray = ray
        self._parts = parts
        self._plan = plan
        self._pace = pace
        self._tell = tell
        self._job = ray.put(job)
        self._reasons: dict[str, str] = {}
        self._failures: Counter[str] = Counter()
        self._workers: deque[str] = deque(maxlen=RECENT)  # of the last shards

    def finish(self, shards: Sequence[Shard]) -> dict[str, str]:
        """Compute shards and return why, by name, some could not be finished."""
        left = {shard.name: shard for shard in shards}
        most = max(SHARDS_AT_ONCE, SHARDS_A_WORKER * self._plan.most)
        idle = 0
        while idle < ATTEMPTS and (wanted := [s for s in left.values() if self._failures[s.name] < ATTEMPTS][:most]):
            before = len(left)
            if self._round(wanted, left, len(shards)):
                idle = idle + 1 if len(left) == before else 0
            else:
                idle = 0
                self._failures.update(shard.name for shard in wanted if shard.name in left)
        return {name: self._reasons.get(name, LOST) for name in left}

    def _round(self, shards: Sequence[Shard], left: dict[str, Shard], of: int) -> bool:
        """Map the workers over shards, take what is finished out of `left`, and say whether Ray itself broke off."""
        with closing(self._results(shards)) as results:  # or, stopped here, Ray's threads would outlive its shutdown
            while True:
                try:
                    result = next(results, None)
                except Exception as error:  # a lost node shows in many ways; what it had is done in the next round
                    self._reasons.update({name: error_in_words(error) for name in left if name not in self._reasons})
                    return True
                if result is None:
                    return False
                self._take(shards[result["number"]], result, left, of)

    def _take(self, shard: Shard, result: dict[str, Any], left: dict[str, Shard], of: int) -> None:
        """Write what a worker found and tell of it, or note why it found nothing."""
        if result["wrong"]:
            raise SpecError(result["reason"])
        if result["reason"]:
            self._reasons[shard.name] = result["reason"]
            return
        self._parts.write(shard, result["part"])
        del left[shard.name]
        self._pace.count(len(shard.images))
        self._workers.append(result["worker"])
        done, workers = of - len(left), counted(len(set(self._workers)), "worker")
        self._tell(self._pace.progress("ray", f"{done} of {of} shards, {workers}", done / of))

    def _results(self, shards: Sequence[Shard]) -> Generator[dict[str, Any], None, None]:
        from ray.data import ActorPoolStrategy, DataContext
        from ray.util.annotations import RayDeprecationWarning

        context = DataContext.get_current()
        context.max_errored_blocks = -1  # what a lost worker had is done in the next round
        context.enable_progress_bars = context.print_on_execution_start = False
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        items = [{"number": number, "shard": pickle.dumps(shard)} for number, shard in enumerate(shards)]
        plan = self._plan.at_most(len(items))
        with warnings.catch_warnings():
            # Ray 2.60 calls its ways to pass on max_restarts and max_task_retries deprecated, and has no other yet.
            warnings.simplefilter("ignore", RayDeprecationWarning)
            found = self._ray.data.from_items(items, override_num_blocks=len(items)).map(
                _Worker,
                fn_constructor_args=(self._job, package_versions()),
                # One shard at a time for each worker: those that wait for it would be lost with it, and called failed.
                compute=ActorPoolStrategy(
                    min_size=plan.least, max_size=plan.most, initial_size=plan.first, max_tasks_in_flight_per_actor=1
                ),
                num_cpus=plan.cpus,
                num_gpus=plan.gpus,
                memory=plan.bytes,
                max_restarts=-1,
                max_task_retries=0,  # or a shard that kills its worker would do so for ever
            )
        others = set(threading.enumerate())
        try:
            with closing(
                iter(found.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0))
            ) as blocks:
                for block in blocks:
                    yield from block.to_pylist()
        finally:  # a thread of Ray Data's that lets go of a block once Ray is shut down would end this process
            end = time.monotonic() + THREAD_SECONDS
            for thread in set(threading.enumerate()) - others:
                thread.join(max(0.0, end - time.monotonic()))


def _resources(ray: Any) -> list[dict[str, float]]:
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


class _Worker:
    """Computes shards in a process of its own and keeps the backbone of the last one."""

    def __init__(self, job: Any, packages: dict[str, str]) -> None:
        import ray

        # TensorFlow keeps its own number of threads, one for each core, whatever the worker's share of them: on very
        # small maps the order in which it adds depends on that number, and with it the last digits.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        keep_lean()
        self._packages = packages
        self._job: Job = ray.get(job)
        self._worker = ray.get_runtime_context().get_actor_id()
        self._backbone: str | None = None
        self._loaded: Any = None

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        shard: Shard = pickle.loads(row["shard"])
        part, reason, wrong = b"", "", False
        try:
            part = self._part(shard)
        except Exception as error:  # told where the run is, which tries the shard again unless the call is wrong
            reason = error_in_words(error)
            wrong = isinstance(error, SpecError) and self._backbone is None  # it was raised by `load`
        return {"number": row["number"], "worker": self._worker, "part": part, "reason": reason, "wrong": wrong}

    def _part(self, shard: Shard) -> bytes:
        if shard.backbone != self._backbone:
            require_same_packages(self._packages, package_versions(), "a worker")
            self._backbone = self._loaded = None  # two at once would take twice the memory
            self._loaded = self._job.load(shard.backbone, lambda _phrase: None)
            self._backbone = shard.backbone
        return packed(shard_table(shard, lambda one, first: self._job.rows(self._loaded, one, first), self._job.schema))
