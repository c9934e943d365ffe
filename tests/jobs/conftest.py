"""One Ray cluster of this machine, and an object store that it reaches, for all tests of the engine."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest

from tests.conftest import need
from tests.support.object_store import object_store

NODE = {"num_cpus": 2, "object_store_memory": 200 * 2**20, "include_dashboard": False}
NODE |= {"include_log_monitor": False, "no_monitor": True}
"""A node of the cluster; a worker that asks for two CPUs has one to itself.

No process of Ray's looks for logs to print or for machines to add: these asked again and again.
"""


@pytest.fixture(scope="session")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with object_store(tmp_path_factory.mktemp("store")) as address:
        yield address


@pytest.fixture(scope="session")
def cluster(bucket: str) -> Iterator[Any]:
    """A cluster of one node, to which others can be added and lost; it reaches the object store."""
    need(find_spec("ray") is not None, "Ray, which the extra named test brings")
    from ray.cluster_utils import Cluster

    found = Cluster(initialize_head=True, head_node_args=NODE)
    yield found
    found.shutdown()


@pytest.fixture(scope="module")
def here(cluster: Any) -> Iterator[Any]:
    """Ray, connected to the cluster."""
    import ray

    ray.init(cluster.address, log_to_driver=False)
    yield ray
    ray.shutdown()
