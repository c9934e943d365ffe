"""Ray as the engine, on this machine: what fails is tried again, then named, and done by the next call."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pytest

from convfe_core import shards as shards_module
from convfe_core.annotations import read_dataset
from convfe_core.backbones import open_network
from convfe_core.catalog import parse_spec
from convfe_core.cli import main
from convfe_core.errors import EngineError
from convfe_core.extraction import Size
from convfe_core.filesets import Skipped, open_files
from convfe_core.folders import RemoteFolder
from convfe_core.rank import RankRun
from convfe_core.rank_report import html_report
from convfe_core.rank_results import Progress, RankOptions
from convfe_core.rank_tables import to_json
from convfe_core.ray_engine import ATTEMPTS, RayEngine, RayProgress, missing_in_words
from convfe_core.ray_workers import Workers
from convfe_core.shards import Parts, Row, Shard, ShardImage, cut_shards
from tests.conftest import ROOT, need
from tests.object_store import object_store
from tests.servers import free_port
from tests.test_rank import patches

pytestmark = pytest.mark.slow

SMALL = Workers(cpus=1, memory_mb=100)


@dataclass(frozen=True)
class Squares:
    """A job that needs no network: the square of each place.

    Attributes
    ----------
    log : a folder; every attempt at a shard leaves a file there
    bad : by the number of a shard, what happens to it: ``raise``, ``die``, or ``die once``
    """

    log: Path
    bad: tuple[tuple[int, str], ...] = ()
    schema = pa.schema([("place", pa.int64()), ("square", pa.int64())])

    def load(self, backbone: str) -> str:
        return backbone

    def rows(self, loaded: str, shard: Shard, first: int) -> Iterator[tuple[int, list[Row]]]:
        assert loaded == shard.backbone
        attempt = len(list(self.log.glob(f"{shard.number}-*")))
        (self.log / f"{shard.number}-{attempt}").touch()
        what = dict(self.bad).get(shard.number, "")
        if what == "die" or (what == "die once" and attempt == 0):
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "raise":
            raise ValueError("seven is no number")
        places = [image.place for image in shard.images[first:]]
        yield len(shard.images), [{"place": place, "square": place * place} for place in places]


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with object_store(tmp_path_factory.mktemp("store")) as address:
        yield address


@pytest.fixture(scope="module")
def here(bucket: str) -> Iterator[Any]:
    """A cluster of this machine, which reaches the object store."""
    need(find_spec("ray") is not None, "Ray, which the extra named test brings")
    import ray

    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=200 * 2**20)
    yield ray
    ray.shutdown()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    folder = tmp_path / "log"
    folder.mkdir()
    return folder


def shards(count: int) -> list[Shard]:
    return cut_shards([ShardImage(f"{n}.png", n) for n in range(count * 10)], ["Square"], {}, per_shard=10)


def attempts(log: Path) -> dict[int, int]:
    numbers = [int(path.name.partition("-")[0]) for path in log.iterdir()]
    return {number: numbers.count(number) for number in sorted(set(numbers))}


def test_every_shard_becomes_a_part(here: Any, log: Path, bucket: str) -> None:
    told: list[RayProgress] = []
    parts = Parts(f"{bucket}/squares", Squares.schema)
    cut = shards(6)
    assert RayEngine(workers=SMALL).finish(Squares(log), cut, parts, 100, told.append) == {}
    assert parts.finished(cut) == {shard.name for shard in cut}
    rows = [row for shard in cut for row in parts.read(shard).to_pylist()]
    assert rows == [{"place": n, "square": n * n} for n in range(60)]
    assert [one.shards for one in told] == [1, 2, 3, 4, 5, 6]
    assert told[-1].words.startswith("6 of 6 shards, ")
    assert told[-1].seconds_left == 0


def test_what_fails_three_times_is_named_and_all_else_is_done(here: Any, log: Path, tmp_path: Path) -> None:
    parts, cut = Parts(tmp_path / "parts", Squares.schema), shards(5)
    reasons = RayEngine(workers=SMALL).finish(Squares(log, ((2, "raise"),)), cut, parts, 100)
    assert reasons == {cut[2].name: "ValueError: seven is no number"}
    assert parts.finished(cut) == {shard.name for shard in cut if shard.number != 2}
    assert attempts(log) == {0: 1, 1: 1, 2: ATTEMPTS, 3: 1, 4: 1}

    left = [shard for shard in cut if not parts.has(shard)]
    assert RayEngine(workers=SMALL).finish(Squares(log), left, parts, 100) == {}
    assert attempts(log) == {0: 1, 1: 1, 2: ATTEMPTS + 1, 3: 1, 4: 1}


def test_a_killed_worker_costs_its_shard_another_attempt_and_nothing_else(here: Any, log: Path, tmp_path: Path) -> None:
    parts, cut = Parts(tmp_path / "parts", Squares.schema), shards(8)
    assert RayEngine(workers=SMALL).finish(Squares(log, ((3, "die once"),)), cut, parts, 100) == {}
    assert attempts(log) == {**dict.fromkeys(range(8), 1), 3: 2}


def test_a_shard_that_kills_every_worker_is_given_up(here: Any, log: Path, tmp_path: Path) -> None:
    parts, cut = Parts(tmp_path / "parts", Squares.schema), shards(5)
    reasons = RayEngine(workers=SMALL).finish(Squares(log, ((1, "die"),)), cut, parts, 100)
    assert list(reasons) == [cut[1].name]
    assert "--worker-memory" in reasons[cut[1].name]
    assert attempts(log) == {0: 1, 1: ATTEMPTS, 2: 1, 3: 1, 4: 1}


def test_workers_that_fit_nowhere_are_refused(here: Any, log: Path, tmp_path: Path) -> None:
    parts = Parts(tmp_path / "parts", Squares.schema)
    with pytest.raises(EngineError, match=r"Expected a node of the cluster with 99 CPUs and 100 MB .* --worker-cpus"):
        RayEngine(workers=Workers(cpus=99)).finish(Squares(log), shards(1), parts, 100)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Forty pictures with a box each, one of them cut short after its header."""
    folder = tmp_path / "set"
    folder.mkdir()
    for name, data in patches(40).items():
        (folder / name).write_bytes(data[: len(data) // 2] if name == "007.png" else data)
    return folder


def rank(*arguments: str, status: int = 0) -> dict[str, Any]:
    """The numbers of a ranking, as JSON."""
    out = Path(arguments[-1])
    more = ["--backbone", "TinyMobileNet", "--size", "96", "--json"]
    assert main(["rank", *arguments[:-1], *more, str(out)]) == status
    found: dict[str, Any] = json.loads(out.read_text())
    found["dataset"].pop("source")
    for backbone in found["backbones"]:
        backbone.pop("cost")
    return found


def test_a_ranking_from_and_to_an_object_store_is_the_local_one(
    here: Any, bucket: str, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = RemoteFolder(f"{bucket}/set")
    for path in dataset.iterdir():
        there.write(path.name, path.read_bytes())
    local = rank(str(dataset), str(tmp_path / "local.json"))
    call = (f"{bucket}/set", "--parts", f"{bucket}/ranking", "--engine", "ray", "--workers", "1", "--worker-cpus", "1")
    assert rank(*call, str(tmp_path / "ray.json")) == local
    assert [one["file"] for one in local["dataset"]["skipped"]] == ["007.png"]
    assert len(RemoteFolder(f"{bucket}/ranking").names()) == 4
    assert "ray: 4 of 4 shards, 1 worker, " in capsys.readouterr().err

    assert rank(*call, str(tmp_path / "again.json")) == local
    assert "ray: " not in capsys.readouterr().err


def test_a_ranking_goes_on_without_what_is_missing_and_the_next_one_mends_it(
    here: Any, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker is killed in the middle of the second backbone, and the weights are gone when the next one asks."""
    monkeypatch.setattr(shards_module, "SHARD_IMAGES", 10)
    weights = tmp_path / "own.weights.h5"
    open_network(parse_spec("TinyResNet")).model.save_weights(weights)
    specs = [parse_spec("TinyMobileNet"), parse_spec(f"TinyResNet:{weights}")]
    options = RankOptions(size=Size("96"), cost=False, control=False)
    images = read_dataset(open_files(dataset))
    engine = RayEngine(workers=Workers(least=1, most=1, cpus=1))

    def disturb(progress: Progress) -> None:
        if progress.doing.startswith("5 of 8 shards"):
            weights.rename(tmp_path / "gone")
            (worker,) = [one for one in psutil.Process().children(recursive=True) if "MapWorker" in one.name()]
            worker.kill()

    first = RankRun(images, specs, options, disturb, work=tmp_path / "parts", engine=engine).run()
    lost = len(first.missing)
    assert 1 <= lost <= 3
    assert all(one.file.startswith(f"TinyResNet:{weights}, images ") for one in first.missing)
    assert {found.label for found in first.ranking.backbones} == {spec.text for spec in specs}
    assert first.ranking.usable <= 40 - 10 * lost
    assert len(to_json(first)["missing"]) == lost
    assert f"missing {first.missing[0].file}: " in html_report(first, [], [])

    (tmp_path / "gone").rename(weights)
    told: list[str] = []
    second = RankRun(
        images, specs, options, lambda one: told.append(one.doing), work=tmp_path / "parts", engine=engine
    ).run()
    assert [doing.split(",")[0] for doing in told if "shards" in doing] == [
        f"{n + 1} of {lost} shards" for n in range(lost)
    ]
    assert to_json(second) == to_json(RankRun(images, specs, options).run())


def test_maps_are_the_local_ones(here: Any, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A single picture under EfficientNet is where TensorFlow's sums depend on its number of threads."""
    monkeypatch.chdir(tmp_path)  # relative paths must mean the same to the workers
    for name in sorted(path.name for path in dataset.iterdir())[16:]:
        (dataset / name).unlink()
    call = ["maps", dataset.name, "--backbone", "TinyMobileNet", "--backbone", "EfficientNetB0:untrained", "--out"]
    alone = ["maps", f"{dataset.name}/003.png", *call[2:-1], "--size", "160", "--out"]
    engine = ["--engine", "ray", "--workers", "1", "--worker-cpus", "1"]
    assert main([*call, "local", "--size", "96"]) == 1
    assert main([*call, "ray", "--size", "96", *engine]) == 1
    assert_same(tmp_path / "local", tmp_path / "ray", 2 * 2 * 7 + 1)
    assert main([*alone, "local1"]) == 0
    assert main([*alone, "ray1", *engine]) == 0
    assert_same(tmp_path / "local1", tmp_path / "ray1", 2 * 2 + 1)


def assert_same(one: Path, other: Path, files: int) -> None:
    local, ray = ({path.name: path.read_bytes() for path in folder.glob("*.*")} for folder in (one, other))
    assert len(local) == files
    assert local.keys() == ray.keys()
    for name, data in local.items():
        if name.endswith("npz"):  # an archive holds the time
            with np.load(io.BytesIO(data)) as here_made, np.load(io.BytesIO(ray[name])) as there_made:
                assert all((here_made[key] == there_made[key]).all() for key in here_made)
        else:
            assert ray[name] == data


def test_without_ray_one_sentence_says_how_to_install_it(dataset: Path) -> None:
    code = "import sys; sys.modules['ray'] = None; from convfe_core.cli import main; sys.exit(main(sys.argv[1:]))"
    call = ["rank", str(dataset), "--backbone", "TinyMobileNet", "--no-control", "--no-probe", "--size", "64"]
    found = subprocess.run(
        [sys.executable, "-c", code, *call, "--engine", "ray"], cwd=ROOT, capture_output=True, text=True
    )
    assert found.returncode == 1
    assert found.stderr.splitlines() == [
        'convfe: Expected Ray Data for --engine ray, got a Python without it; run: pip install "convfe[ray]".'
    ]
    assert subprocess.run([sys.executable, "-c", code, *call], cwd=ROOT, capture_output=True).returncode == 0


def test_nothing_of_ray_is_imported_for_a_local_run(dataset: Path) -> None:
    code = (
        "import sys; from convfe_core.cli import main; main(sys.argv[1:]); "
        "sys.exit(sorted(name for name in sys.modules if name.split('.')[0] == 'ray') or 0)"
    )
    call = ["rank", str(dataset), "--backbone", "TinyMobileNet", "--no-control", "--no-probe", "--size", "64"]
    subprocess.run([sys.executable, "-c", code, *call], cwd=ROOT, check=True, capture_output=True)


def test_options_for_ray_alone_are_refused_for_the_local_engine(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rank", str(dataset), "--backbone", "TinyMobileNet", "--workers", "2"]) == 2
    assert "Expected --engine ray beside --workers." in capsys.readouterr().err


def test_an_address_where_no_cluster_is_gets_one_sentence(dataset: Path, tmp_path: Path) -> None:
    call = ["rank", str(dataset), "--backbone", "TinyMobileNet", "--no-control", "--no-probe", "--size", "64"]
    engine = ["--engine", "ray", "--address", f"127.0.0.1:{free_port()}"]
    found = subprocess.run(
        [sys.executable, "-m", "convfe_core.cli", *call, *engine], cwd=ROOT, capture_output=True, text=True
    )
    assert found.returncode == 1
    last = found.stderr.splitlines()[-1]
    assert last.startswith(f"convfe: Expected a Ray cluster at {engine[-1]}, got “ConnectionRefusedError")
    assert "ray start --head" in last


def test_the_sentence_for_what_is_missing_names_the_first_ones() -> None:
    missing = [Skipped(f"VGG16, images {n}1 to {n + 1}0", "why") for n in range(5)]
    assert missing_in_words(missing[:1]) == (
        "1 shard is missing, everything else is done: VGG16, images 01 to 10 (why); "
        "the same call again does only what is missing."
    )
    assert " and 2 more; " in missing_in_words(missing)
