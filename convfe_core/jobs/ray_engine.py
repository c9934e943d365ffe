"""Shards computed by Ray Data: a pool of workers on one machine or many, each with one backbone loaded.

Workers only compute. What they find comes back as the bytes of a part, which is written here, so that workers need no
way to the parts, and whatever was lost with a worker or a node is simply not there. What is not there is tried again,
three times in all; what is missing even then is named, and another call with the same arguments does only that.
"""

from __future__ import annotations

import logging
import os
import pickle
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from convfe_core.base.errors import Skipped
from convfe_core.base.pace import Pace
from convfe_core.base.tensorflow_import import keep_lean
from convfe_core.jobs.ray_cluster import (
    check_machines,
    cluster_address,
    connected,
    error_in_words,
    package_versions,
    require_same_packages,
)
from convfe_core.jobs.ray_workers import WorkerPlan, Workers, plan_workers
from convfe_core.jobs.shards import Job, Parts, Shard, packed, shard_table

ATTEMPTS = 3
"""How often a shard may fail, and how often in succession Ray may break off with nothing finished."""
SHARDS_AT_ONCE, SHARDS_A_WORKER = 4096, 32
"""The most that one round has, whichever is more: each takes a tenth of a megabyte here while the round lasts."""
LOST = "the worker that had it was lost each time; it may need more memory, see --worker-memory"


@dataclass(frozen=True)
class RayProgress:
    """How far the shards are.

    Attributes
    ----------
    shards, of : how many are done, of how many
    workers : how many had a hand in the last ones
    words : that, the pace and the number of workers, for one line
    seconds_left : estimate, None at the beginning
    """

    shards: int
    of: int
    workers: int
    words: str
    seconds_left: float | None


@dataclass(frozen=True)
class RayEngine:
    """Finishes shards on a Ray cluster.

    Parameters
    ----------
    address : of the cluster; None for the one in ``RAY_ADDRESS``, or else for one on this machine while it is needed
    workers : how many, and how large
    """

    address: str | None = None
    workers: Workers = field(default_factory=Workers)

    def look(self, megabytes: float) -> None:
        """Look whether a cluster would do, before anything long begins; one of this machine alone is not there yet.

        Parameters
        ----------
        megabytes : what a worker needs if nobody said otherwise

        Raises
        ------
        EngineError : it does not let us in or has no room for a worker, or one of its machines has other packages
        """
        if cluster_address(self.address) != "local":
            with connected(self.address) as ray:
                check_machines(ray)
                plan_workers(_resources(ray), self.workers, megabytes, 1)

    def finish(
        self,
        job: Job,
        shards: Sequence[Shard],
        parts: Parts,
        megabytes: float,
        tell: Callable[[RayProgress], None] = lambda _progress: None,
    ) -> dict[str, str]:
        """Compute shards and write their parts as they come.

        Parameters
        ----------
        shards : those that are not finished, neighbours with the same backbone
        megabytes : what a worker needs if nobody said otherwise
        tell : called after each shard; may raise to end it all

        Returns
        -------
        why, by the names of the shards that could not be finished

        Raises
        ------
        EngineError : Ray is not there, does not answer, or has no room for a worker
        """
        if not shards:
            return {}
        with connected(self.address) as ray:
            plan = plan_workers(_resources(ray), self.workers, megabytes, len(shards))
            return _Run(ray, job, parts, plan, tell).finish(shards)


def missing_in_words(missing: Sequence[Skipped], most: int = 3) -> str:
    """One sentence that names what could not be finished; at least one shard."""
    named = "; ".join(f"{one.file} ({one.reason})" for one in missing[:most])
    more = f" and {len(missing) - most} more" if len(missing) > most else ""
    count = f"{len(missing)} shards are" if len(missing) > 1 else "1 shard is"
    return f"{count} missing, everything else is done: {named}{more}; the same call again does only what is missing."


class _Run:
    """One run over some shards: rounds over what is missing, until nothing is or it is hopeless."""

    def __init__(self, ray: Any, job: Job, parts: Parts, plan: WorkerPlan, tell: Callable[[RayProgress], None]) -> None:
        self._ray = ray
        self._parts = parts
        self._plan = plan
        self._tell = tell
        self._job = ray.put(job)
        self._reasons: dict[str, str] = {}
        self._failures: Counter[str] = Counter()

    def finish(self, shards: Sequence[Shard]) -> dict[str, str]:
        """See `RayEngine.finish`."""
        left = {shard.name: shard for shard in shards}
        progress = _Counted(len(shards), sum(len(shard.images) for shard in shards))
        most = max(SHARDS_AT_ONCE, SHARDS_A_WORKER * self._plan.most)
        idle = 0
        while idle < ATTEMPTS and (wanted := [s for s in left.values() if self._failures[s.name] < ATTEMPTS][:most]):
            before = len(left)
            if self._round(wanted, left, progress):
                idle = idle + 1 if len(left) == before else 0
            else:
                idle = 0
                self._failures.update(shard.name for shard in wanted if shard.name in left)
        return {name: self._reasons.get(name, LOST) for name in left}

    def _round(self, shards: Sequence[Shard], left: dict[str, Shard], progress: _Counted) -> bool:
        """Map the workers over shards, take what is finished out of `left`, and say whether Ray itself broke off."""
        results = self._results(shards)
        while True:
            try:
                result = next(results, None)
            except Exception as error:  # a lost node shows in many ways; what it had is done in the next round
                self._reasons.update({name: error_in_words(error) for name in left if name not in self._reasons})
                return True
            if result is None:
                return False
            shard = shards[result["number"]]
            if result["reason"]:
                self._reasons[shard.name] = result["reason"]
                continue
            self._parts.write_packed(shard, result["part"])
            del left[shard.name]
            self._tell(progress.after(shard, result["worker"]))

    def _results(self, shards: Sequence[Shard]) -> Iterator[dict[str, Any]]:
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
        for block in found.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            yield from block.to_pylist()


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
        part, reason = b"", ""
        try:
            part = self._part(shard)
        except Exception as error:  # told where the run is, which tries the shard again
            reason = error_in_words(error)
        return {"number": row["number"], "worker": self._worker, "part": part, "reason": reason}

    def _part(self, shard: Shard) -> bytes:
        if shard.backbone != self._backbone:
            require_same_packages(self._packages, package_versions(), "a worker")
            self._backbone = self._loaded = None  # two at once would take twice the memory
            self._loaded = self._job.load(shard.backbone)
            self._backbone = shard.backbone
        return packed(shard_table(shard, lambda one, first: self._job.rows(self._loaded, one, first), self._job.schema))


class _Counted:
    """What is done, for the line that tells of it."""

    def __init__(self, shards: int, images: int) -> None:
        self._shards = shards
        self._done = 0
        self._pace = Pace(images)
        self._workers: deque[str] = deque(maxlen=64)

    def after(self, shard: Shard, worker: str) -> RayProgress:
        """Count one more shard."""
        self._done += 1
        self._pace.count(len(shard.images))
        self._workers.append(worker)
        count = len(set(self._workers))
        words = f"{self._done} of {self._shards} shards, {count} worker{'' if count == 1 else 's'}"
        rate = self._pace.images_per_second
        left = None if rate is None else (self._pace.total - self._pace.done) / rate
        return RayProgress(self._done, self._shards, count, f"{words}, {rate:.3g} images/s" if rate else words, left)
