"""Shards computed by Ray Data: a pool of workers on one machine or many, each with one backbone loaded.

Workers only compute. What they find comes back as the bytes of a part, which is written here, so that workers need no
way to the parts, and whatever was lost with a worker or a node is simply not there. What is not there is tried again,
three times in all; what is missing even then is named, and another call with the same arguments does only that.
"""

from __future__ import annotations

import logging
import os
import pickle
import secrets
import socket
import sys
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from typing import Any

from convfe_core.errors import ConvfeError, EngineError
from convfe_core.filesets import Skipped
from convfe_core.lean import keep_lean
from convfe_core.pace import Pace
from convfe_core.shards import Job, Parts, Shard, packed, shard_table

ATTEMPTS = 3
"""How often a shard may fail, and how many rounds may pass in which nothing at all is finished."""
LOST = "the worker that had it was lost each time; it may need more memory, see --worker-memory"
WORKERS_ON_A_NODE = 8
"""About so many share a node if nothing else is said."""
KNOCK_SECONDS = 10.0
_MOST_WORDS = 300


@dataclass(frozen=True)
class Workers:
    """How many workers there are and what is set aside for each.

    Attributes
    ----------
    least, most : None for as many as the cluster has room for; with both Ray adds and removes workers in between
    cpus : None for an eighth of the smallest node's, at least one
    gpus : shares of one are possible
    memory_mb : None for what the largest backbone takes
    """

    least: int | None = None
    most: int | None = None
    cpus: float | None = None
    gpus: float = 0.0
    memory_mb: float | None = None


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
    workers: Workers = Workers()

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
        with _connected(self.address) as ray:
            plan = _plan_workers(ray, self.workers, megabytes, len(shards))
            return _Run(ray, job, parts, plan, tell).finish(shards)


def require_ray() -> None:
    """Look whether Ray Data is installed.

    Raises
    ------
    EngineError : it is not; says how to install it
    """
    try:
        import ray.data  # noqa: F401
    except ImportError as error:
        raise EngineError(
            'Expected Ray Data for --engine ray, got a Python without it; run: pip install "convfe[ray]".'
        ) from error


def missing_in_words(missing: Sequence[Skipped], most: int = 3) -> str:
    """One sentence that names what could not be finished; at least one shard."""
    named = "; ".join(f"{one.file} ({one.reason})" for one in missing[:most])
    more = f" and {len(missing) - most} more" if len(missing) > most else ""
    count = f"{len(missing)} shards are" if len(missing) > 1 else "1 shard is"
    return f"{count} missing, everything else is done: {named}{more}; the same call again does only what is missing."


@dataclass(frozen=True)
class _Plan:
    least: int
    most: int
    first: int
    cpus: float
    gpus: float
    bytes: int

    def at_most(self, workers: int) -> _Plan:
        return replace(self, **{name: min(getattr(self, name), workers) for name in ("least", "most", "first")})


class _Run:
    """One run over some shards: rounds over what is missing, until nothing is or it is hopeless."""

    def __init__(self, ray: Any, job: Job, parts: Parts, plan: _Plan, tell: Callable[[RayProgress], None]) -> None:
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
        idle = 0
        while idle < ATTEMPTS and (wanted := [s for s in left.values() if self._failures[s.name] < ATTEMPTS]):
            before = len(left)
            broke_off = self._round(wanted, left, progress)
            idle = idle + 1 if len(left) == before else 0
            if not broke_off:
                self._failures.update(shard.name for shard in wanted if shard.name in left)
        return {name: self._reasons.get(name, LOST) for name in left}

    def _round(self, shards: Sequence[Shard], left: dict[str, Shard], progress: _Counted) -> bool:
        """Map the workers over shards, take what is finished out of `left`, and say whether Ray itself broke off."""
        results = self._results(shards)
        while True:
            try:
                result = next(results, None)
            except Exception as error:  # a lost node shows in many ways; what it had is done in the next round
                self._reasons.update({name: _in_words(error) for name in left if name not in self._reasons})
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
                fn_constructor_args=(self._job,),
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


class _Worker:
    """Computes shards in a process of its own and keeps the backbone of the last one."""

    def __init__(self, job: Any) -> None:
        import ray

        # TensorFlow keeps its own number of threads, one for each core, whatever the worker's share of them: on very
        # small maps the order in which it adds depends on that number, and with it the last digits.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        keep_lean()
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
            reason = _in_words(error)
        return {"number": row["number"], "worker": self._worker, "part": part, "reason": reason}

    def _part(self, shard: Shard) -> bytes:
        if shard.backbone != self._backbone:
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


@contextmanager
def _connected(address: str | None) -> Iterator[Any]:
    require_ray()
    import ray

    if ray.is_initialized():
        yield ray
        return
    where = address or os.environ.get("RAY_ADDRESS") or "local"
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its logs in files say more than its lines here
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if where == "local":
        settings["include_dashboard"] = False
        guard_own_cluster()
    try:
        _knock(where)
        ray.init(where, **settings)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise EngineError(
            f"Expected a Ray cluster at {where}, got “{_in_words(error)}”; start one with `ray start --head`, or leave "
            "out --address to use this machine."
        ) from error
    try:
        with redirect_stdout(sys.stderr):  # where Ray says which workers it has lost
            yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Look whether anybody listens at ``host:port``: Ray itself would ask for many minutes.

    Raises
    ------
    OSError : nobody does
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), KNOCK_SECONDS).close()


def guard_own_cluster() -> None:
    """Let nobody else into a cluster of this machine alone: Ray listens on every address that the machine has.

    It asks for a token in a cluster that it starts itself, and would put one into the home folder. This one is known
    to this process and those it starts alone. Ray remembers the first token of a process, so it stays.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if not any(name in os.environ for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")):
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _plan_workers(ray: Any, workers: Workers, megabytes: float, shards: int) -> _Plan:
    """Decide how many workers there are and what each is given.

    Raises
    ------
    EngineError : no node has room for one, and nobody said that there will be any
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus = workers.cpus
    if cpus is None:  # each worker has as many threads as its node has cores: a hundred of them would stand in line
        cpus = float(
            max(1, min((int(node["CPU"]) for node in nodes if node.get("CPU")), default=1) // WORKERS_ON_A_NODE)
        )
    memory = int((megabytes if workers.memory_mb is None else workers.memory_mb) * 2**20)
    wanted = {"CPU": cpus, "GPU": workers.gpus, "memory": float(memory)}
    room = sum(
        min((int(node.get(kind, 0) // amount) for kind, amount in wanted.items() if amount), default=0)
        for node in nodes
    )
    if not room and workers.most is None:
        gpus = f", {workers.gpus:g} GPUs" if workers.gpus else ""
        raise EngineError(
            f"Expected a node of the cluster with {cpus:g} CPUs{gpus} and {memory / 2**20:,.0f} MB for a worker, got "
            "none; change --worker-cpus, --worker-gpus or --worker-memory, or give --workers if nodes will still join."
        )
    most = workers.most or min(room, shards)
    least = min(workers.least or most, most)
    return _Plan(least, most, max(least, min(most, room)), cpus, workers.gpus, memory)


def _in_words(error: BaseException) -> str:
    """An error as one line: our own as it stands, any other with its kind."""
    text = " ".join(str(error).split())[:_MOST_WORDS]
    return text if isinstance(error, ConvfeError) and text else f"{type(error).__name__}: {text}"
