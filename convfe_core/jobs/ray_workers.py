"""How many workers a Ray cluster gets, and what is set aside for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from convfe_core.base.errors import EngineError

WORKERS_ON_A_NODE = 8
"""About so many share a node if nothing else is said."""


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
class WorkerPlan:
    """What `Workers` come to on a cluster.

    Attributes
    ----------
    least, most, first : how many there are at any time and at the beginning
    cpus, gpus, bytes : set aside for each
    """

    least: int
    most: int
    first: int
    cpus: float
    gpus: float
    bytes: int

    def at_most(self, workers: int) -> WorkerPlan:
        """The same plan without workers that would have nothing to do."""
        return replace(self, **{name: min(getattr(self, name), workers) for name in ("least", "most", "first")})


def plan_workers(nodes: Sequence[Mapping[str, float]], workers: Workers, megabytes: float, shards: int) -> WorkerPlan:
    """Decide how many workers there are and what each is given.

    Parameters
    ----------
    nodes : the resources of each as Ray names them: ``CPU``, ``GPU``, and ``memory`` in bytes
    megabytes : for each worker, where `workers` says nothing
    shards : how many there are to do

    Raises
    ------
    EngineError : no node has room for one, and nobody said that there will be any

    Examples
    --------
    >>> plan_workers([{"CPU": 16, "memory": 2**36}], Workers(), 1024, 1000).first
    8
    """
    cpus = workers.cpus
    if cpus is None:  # each worker has as many threads as its node has cores: a hundred of them would share these cores
        smallest = min((int(node["CPU"]) for node in nodes if node.get("CPU")), default=1)
        cpus = float(max(1, smallest // WORKERS_ON_A_NODE))
    memory = int((megabytes if workers.memory_mb is None else workers.memory_mb) * 2**20)
    wanted = {"CPU": cpus, "GPU": workers.gpus, "memory": float(memory)}
    room = sum(min(int(node.get(kind, 0) // amount) for kind, amount in wanted.items() if amount) for node in nodes)
    if not room and workers.most is None:
        gpus = f", {workers.gpus:g} GPUs" if workers.gpus else ""
        raise EngineError(
            f"Expected a node of the cluster with {cpus:g} CPUs{gpus} and {memory / 2**20:,.0f} MB for a worker, got "
            "none; change --worker-cpus, --worker-gpus or --worker-memory, or give --workers if nodes will still join."
        )
    most = workers.most or min(room, shards)
    least = min(workers.least or most, most)
    return WorkerPlan(least, most, max(least, min(most, room)), cpus, workers.gpus, memory)
