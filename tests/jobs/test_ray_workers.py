"""How many workers fit, by hand-counted tables; none of Ray is needed for it."""

from __future__ import annotations

import pytest

from convfe_core.base.errors import EngineError
from convfe_core.jobs.ray_workers import Workers, plan_workers

GB = 2.0**30
SMALL = {"CPU": 2.0, "memory": 4 * GB}
LARGE = {"CPU": 64.0, "GPU": 4.0, "memory": 256 * GB}
NO_WORK = {"memory": 8 * GB}
"""A head that was started with ``--num-cpus 0``."""


@pytest.mark.parametrize(
    ("nodes", "workers", "shards", "expected"),
    [
        ([SMALL], Workers(), 100, (2, 2, 2, 1.0)),
        ([LARGE], Workers(), 100, (8, 8, 8, 8.0)),
        ([SMALL, LARGE], Workers(), 100, (66, 66, 66, 1.0)),
        ([NO_WORK, LARGE], Workers(), 100, (8, 8, 8, 8.0)),
        ([SMALL], Workers(), 1, (1, 1, 1, 1.0)),
        ([SMALL], Workers(memory_mb=3000), 100, (1, 1, 1, 1.0)),
        ([LARGE], Workers(gpus=1), 100, (4, 4, 4, 8.0)),
        ([LARGE], Workers(gpus=0.25, cpus=1), 100, (16, 16, 16, 1.0)),
        ([SMALL], Workers(1, 1), 100, (1, 1, 1, 1.0)),
        ([SMALL], Workers(1, 10), 100, (1, 10, 2, 1.0)),
        ([SMALL], Workers(5, 5), 100, (5, 5, 5, 1.0)),
        ([NO_WORK], Workers(1, 4), 100, (1, 4, 1, 1.0)),
    ],
)
def test_workers_are_as_many_as_fit_or_as_were_asked_for(
    nodes: list[dict[str, float]], workers: Workers, shards: int, expected: tuple[int, int, int, float]
) -> None:
    plan = plan_workers(nodes, workers, 1024, shards)
    assert (plan.least, plan.most, plan.first, plan.cpus) == expected
    assert plan.bytes == (workers.memory_mb or 1024) * 2**20
    assert plan.gpus == workers.gpus


def test_no_more_workers_are_made_than_there_is_work() -> None:
    plan = plan_workers([LARGE], Workers(2, 20), 1024, 100).at_most(3)
    assert (plan.least, plan.most, plan.first) == (2, 3, 3)


@pytest.mark.parametrize(
    ("nodes", "workers", "wanted"),
    [
        ([SMALL], Workers(cpus=3), "3 CPUs and 1,024 MB"),
        ([SMALL], Workers(gpus=0.5), "1 CPUs, 0.5 GPUs and 1,024 MB"),
        ([SMALL], Workers(memory_mb=5000), "1 CPUs and 5,000 MB"),
        ([NO_WORK], Workers(), "1 CPUs and 1,024 MB"),
        ([], Workers(), "1 CPUs and 1,024 MB"),
    ],
)
def test_where_no_worker_fits_the_sentence_says_what_was_wanted(
    nodes: list[dict[str, float]], workers: Workers, wanted: str
) -> None:
    with pytest.raises(EngineError) as told:
        plan_workers(nodes, workers, 1024, 1)
    assert str(told.value) == (
        f"Expected a node of the cluster with {wanted} for a worker, got none; change --worker-cpus, --worker-gpus or "
        "--worker-memory, or give --workers if nodes will still join."
    )
