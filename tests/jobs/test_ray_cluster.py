"""A ranking on two nodes, one of them lost in the middle, ends with the numbers of one process to the last digit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from convfe_core.base.errors import EngineError
from convfe_core.base.file_sets import open_files
from convfe_core.base.pace import Progress
from convfe_core.catalog.specs import parse_spec
from convfe_core.datasets.boxes import Dataset
from convfe_core.datasets.read_dataset import read_dataset
from convfe_core.jobs import shards
from convfe_core.jobs.ray_engine import RayEngine
from convfe_core.jobs.ray_workers import Workers
from convfe_core.maps.input_size import Size
from convfe_core.ranking.results import RankOptions, RankResult
from convfe_core.ranking.run import RankRun
from convfe_core.ranking.tables import to_json
from tests.jobs.conftest import NODE
from tests.support.rankings import patches

pytestmark = pytest.mark.slow

SPECS = [parse_spec("TinyMobileNet")]
OPTIONS = RankOptions(size=Size("96"), control=False, cost=False)

BARE = """
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "convfe_core":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Nothing())
"""


@pytest.fixture
def images(tmp_path: Path) -> Dataset:
    """Sixty pictures with a box each, one of them cut short."""
    folder = tmp_path / "set"
    folder.mkdir()
    for name, data in patches(60).items():
        (folder / name).write_bytes(data[: len(data) // 2] if name == "047.png" else data)
    return read_dataset(open_files(folder))


def test_a_lost_node_changes_nothing(
    cluster: Any, images: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cell probe has learned when it goes, and a third of the 30 shards is scored."""
    monkeypatch.setattr(shards, "SHARD_IMAGES", 2)
    node = cluster.add_node(**NODE)
    lost: list[str] = []

    def lose_it(progress: Progress) -> None:
        if progress.who == "ray" and progress.share > 2 / 3 and ", 2 workers" in progress.doing and not lost:
            cluster.remove_node(node, allow_graceful=False)
            lost.append(progress.doing)

    engine = RayEngine(cluster.address, Workers(least=2, most=2, cpus=2))
    far: RankResult = RankRun(images, SPECS, OPTIONS, lose_it, work=tmp_path / "parts", engine=engine).run()
    assert int(lost[0].split()[0]) < 20 < 31 == len(list((tmp_path / "parts").iterdir()))
    assert far.missing == ()
    near = RankRun(images, SPECS, OPTIONS).run()
    assert json.dumps(to_json(far)) == json.dumps(to_json(near))
    assert [one.file for one in far.skipped] == ["047.png"]


def test_a_machine_without_the_project_is_named_before_anything_begins(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(BARE)
    engine = RayEngine(cluster.address, Workers(cpus=1))
    engine.check(100)
    node = cluster.add_node(**NODE, env_vars={"PYTHONPATH": str(tmp_path)})
    with pytest.raises(EngineError) as told:
        engine.check(100)
    cluster.remove_node(node)
    assert str(told.value) == (
        "Expected the same packages on every machine, got “RayTaskError(RuntimeError): ModuleNotFoundError: No module "
        f"named 'convfe_core'” from {node.node_ip_address}; install there what is installed here."
    )
