"""Ray as the engine, on this machine: what fails is tried again, then named, and done by the next call."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from convfe_core.backbones.network import open_network
from convfe_core.base.errors import EngineError, SpecError
from convfe_core.base.file_sets import open_files
from convfe_core.base.folders import RemoteFolder
from convfe_core.base.pace import Pace, Progress
from convfe_core.catalog.specs import parse_spec
from convfe_core.cli import commands as cli
from convfe_core.cli.commands import main
from convfe_core.cli.progress_lines import ProgressLines
from convfe_core.datasets.read_dataset import read_dataset
from convfe_core.jobs import ray_engine
from convfe_core.jobs import shards as shards_module
from convfe_core.jobs.local_engine import LocalEngine
from convfe_core.jobs.parts import Parts
from convfe_core.jobs.ray_cluster import package_versions
from convfe_core.jobs.ray_engine import ATTEMPTS, LOST, RayEngine
from convfe_core.jobs.ray_workers import Workers
from convfe_core.maps.input_size import Size
from convfe_core.ranking import results
from convfe_core.ranking import run as rank_run
from convfe_core.ranking.results import RankOptions
from convfe_core.trial.detector import Recipe
from convfe_core.trial.trial_job import TrialOptions
from convfe_core.trial.trial_run import TrialRun
from tests.conftest import ROOT, posix
from tests.jobs.squares import Squares, shards
from tests.onnx_models.made_graphs import plain_network, written
from tests.support.builders import noise, png, voc_folder
from tests.support.children import PYTHON, python
from tests.support.object_store import filled
from tests.support.rankings import patches
from tests.support.servers import free_port

pytestmark = pytest.mark.slow

KNOCK = """
import json, sys
from convfe_core.cli.commands import main

for address, *options in json.loads(sys.argv[1]):
    if options == ["OLD"]:
        import ray
        ray.__version__ = options.pop()
    call = ["rank", "nowhere", "--backbone", "TinyMobileNet", "--engine", "ray", "--address", address, *options]
    assert main(call) == 1
    print("END", file=sys.stderr)
"""

SMALL = Workers(cpus=1, memory_mb=100)
ONE = Workers(1, 1, cpus=1, memory_mb=100)
"""A worker takes Ray four seconds to start: tests have as few as their promise needs."""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    folder = tmp_path / "log"
    folder.mkdir()
    return folder


def attempts(log: Path) -> dict[int, int]:
    numbers = [int(path.name.partition("-")[0]) for path in log.iterdir()]
    return {number: numbers.count(number) for number in sorted(set(numbers))}


def test_every_shard_becomes_a_part_however_many_are_done_at_once(
    here: Any, log: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_engine, "SHARDS_AT_ONCE", 4)
    monkeypatch.setattr(ray_engine, "SHARDS_A_WORKER", 1)
    told: list[Progress] = []
    parts = Parts(f"{bucket}/squares", Squares.schema)
    cut = shards(5)
    assert RayEngine(workers=SMALL).finish(Squares(log), cut, parts, Pace(50), told.append) == {}
    assert parts.missing(cut) == []
    rows = [row for shard in cut for row in parts.read(shard).to_pylist()]
    assert rows == [{"place": n, "square": n * n} for n in range(50)]
    assert [one.doing.split(",")[0] for one in told] == [f"{n} of 5 shards" for n in range(1, 6)]
    assert [one.step for one in told] == [one.share for one in told] == [n / 5 for n in range(1, 6)]
    assert told[-1].line.startswith("ray: 5 of 5 shards, ")
    assert told[-1].seconds_left == 0

    told.clear()
    assert RayEngine(workers=SMALL).finish(Squares(log), cut, parts, Pace(50), told.append) == {}
    assert told == []
    assert attempts(log) == dict.fromkeys(range(5), 1)


def test_what_fails_costs_nothing_else_and_the_next_call_does_only_that(here: Any, log: Path, tmp_path: Path) -> None:
    """A shard that is wrong, one whose worker is killed once, and one that kills every worker that takes it."""
    parts, cut = Parts(tmp_path / "parts", Squares.schema), shards(8)
    bad = ((1, "die"), (2, "raise"), (5, "die once"))
    reasons = RayEngine(workers=ONE).finish(Squares(log, bad), cut, parts, Pace(80))
    assert {name: str(error) for name, error in reasons.items()} == {
        cut[1].name: LOST,
        cut[2].name: "ValueError: seven is no number",
    }
    assert "--worker-memory" in LOST
    assert parts.missing(cut) == [cut[1], cut[2]]
    assert attempts(log) == {**dict.fromkeys(range(8), 1), 1: ATTEMPTS, 2: ATTEMPTS, 5: 2}

    assert RayEngine(workers=ONE).finish(Squares(log), cut, parts, Pace(80)) == {}
    assert attempts(log) == {**dict.fromkeys(range(8), 1), 1: ATTEMPTS + 1, 2: ATTEMPTS + 1, 5: 2}


def test_a_call_that_is_wrong_ends_the_run_at_the_first_shard(here: Any, log: Path, tmp_path: Path) -> None:
    parts = Parts(tmp_path / "parts", Squares.schema)
    with pytest.raises(SpecError, match="no layer seven"):
        RayEngine(workers=ONE).finish(Squares(log, unknown=("Square",)), shards(2), parts, Pace(20))
    assert attempts(log) == {}


def test_a_worker_with_other_packages_computes_nothing(
    here: Any, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a machine that joins later would do: those that are there are asked before, see test_ray_cluster."""
    monkeypatch.setattr(ray_engine, "package_versions", lambda: {**package_versions(), "keras": "9.9"})
    monkeypatch.setattr(ray_engine, "ATTEMPTS", 1)  # that there are three is seen above
    monkeypatch.setattr(results, "RankOptions", partial(RankOptions, cost=False))  # measured here: tests/ranking
    (reason,) = (
        RayEngine(workers=ONE).finish(Squares(log), shards(1), Parts(tmp_path, Squares.schema), Pace(10)).values()
    )
    assert str(reason).startswith(
        f"Expected the same packages on every machine, got keras {version('keras')} (here 9.9) on"
    )
    assert attempts(log) == {}


def test_workers_that_fit_nowhere_are_refused(here: Any, log: Path, tmp_path: Path) -> None:
    parts = Parts(tmp_path / "parts", Squares.schema)
    with pytest.raises(EngineError, match=r"Expected a node of the cluster with 99 CPUs and 100 MB .* --worker-cpus"):
        RayEngine(workers=Workers(cpus=99)).finish(Squares(log), shards(1), parts, Pace(10))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty pictures with a box each, one of them cut short after its header."""
    folder = tmp_path_factory.mktemp("set")
    for name, data in patches(20).items():
        (folder / name).write_bytes(data[: len(data) // 2] if name == "007.png" else data)
    return folder


def rank(*arguments: str, status: int = 0) -> dict[str, Any]:
    """The numbers of a ranking, as JSON."""
    out = Path(arguments[-1])
    assert main(["rank", "--backbone", "TinyMobileNet", "--size", "96", *arguments[:-1], "--json", str(out)]) == status
    found: dict[str, Any] = json.loads(out.read_text())
    found["dataset"].pop("source")
    for backbone in found["backbones"]:
        backbone.pop("cost")
    return found


def test_a_ranking_goes_on_without_what_is_missing_and_the_next_one_ends_with_the_local_numbers(
    here: Any,
    bucket: str,
    dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Pictures, boxes and parts have an address each in an object store; two backbones share their control.

    The worker is killed in the middle of the last pass, and the weights are gone when the next one asks.
    """
    monkeypatch.setattr(shards_module, "SHARD_IMAGES", 5)
    monkeypatch.setattr(rank_run, "CONTROL_SEEDS", (0,))  # one of three is enough to see
    monkeypatch.setattr(ray_engine, "ATTEMPTS", 1)  # that there are three is seen above
    monkeypatch.setattr(results, "RankOptions", partial(RankOptions, cost=False))  # measured here: tests/ranking
    weights = tmp_path / "own.weights.h5"
    open_network(parse_spec("TinyMobileNet:untrained")).model.save_weights(weights)
    own = f"TinyMobileNet:{weights}"
    pictures, boxes = {}, {}
    for path in dataset.iterdir():
        (pictures if path.suffix == ".png" else boxes)[path.name] = path.read_bytes()
    filled(f"{bucket}/set", pictures)
    there = (f"{bucket}/set", "--boxes", filled(f"{bucket}/boxes", boxes), "--backbone", own)
    engine = ("--parts", f"{bucket}/ranking", "--engine", "ray", "--workers", "1", "--worker-cpus", "1")
    told: list[str] = []

    class Disturbing(ProgressLines):
        def __call__(self, progress: Progress) -> None:
            super().__call__(progress)
            if progress.who == "ray":
                told.append(progress.doing.split(",")[0])
            if told[-1:] == ["9 of 12 shards"] and weights.exists():
                weights.rename(tmp_path / "gone")
                workers = [one for one in psutil.Process().children(recursive=True) if "MapWorker" in one.name()]
                assert workers
                for worker in workers:  # that of the cell probes may not have ended yet
                    with contextlib.suppress(psutil.NoSuchProcess):
                        worker.kill()

    monkeypatch.setattr(cli, "ProgressLines", Disturbing)
    report = tmp_path / "report.html"
    first = rank(*there, *engine, "--html", str(report), str(tmp_path / "first.json"), status=1)
    lost = len(first["missing"])
    assert 1 <= lost <= 3
    assert all(one["shard"].startswith(f"{own}, images ") for one in first["missing"])
    assert {one["spec"] for one in first["backbones"]} == {"TinyMobileNet", own}
    assert first["dataset"]["usable"] <= 20 - 5 * lost
    assert f"missing {first['missing'][0]['shard']}: " in report.read_text()
    said = capsys.readouterr().err
    assert "ray: 3 of 3 shards, 1 worker, " in said  # the cell probes of three passes
    last = said.splitlines()[-1]
    assert last.startswith(f"convfe: {lost} shard")
    assert first["missing"][0]["shard"] in last

    (tmp_path / "gone").rename(weights)
    told.clear()
    second = rank(*there, *engine, str(tmp_path / "second.json"))
    assert told == [f"{n + 1} of {lost} shards" for n in range(lost)]
    assert len(RemoteFolder(f"{bucket}/ranking").names()) == 3 * (1 + 4)
    assert second == rank(str(dataset), "--backbone", own, str(tmp_path / "local.json"))
    assert [one["file"] for one in second["dataset"]["skipped"]] == ["007.png"]


@pytest.fixture
def eight(dataset: Path, tmp_path: Path) -> Path:
    """Eight of these pictures, the one that is cut short among them."""
    folder = tmp_path / "set"
    folder.mkdir()
    for path in sorted(dataset.glob("00[0-7].*")):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@posix
def test_ctrl_c_ends_a_run_with_every_process_of_it_and_the_next_call_goes_on(eight: Path, tmp_path: Path) -> None:
    """A cluster of a run's own; while it lasts, nobody without its token gets in. The next call needs no Ray."""
    out, local = tmp_path / "out", tmp_path / "local"
    parts = out / "parts"
    call = ["maps", str(eight), "--backbone", "TinyMobileNet", "--backbone", "TinyResNet", "--size", "96", "--out"]
    environment = {name: text for name, text in os.environ.items() if not name.startswith("RAY_")}
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # CI may ignore it
    code += "from convfe_core.cli.commands import main\nsys.exit(main(sys.argv[1:]))"
    run = subprocess.Popen(
        [*PYTHON, "-c", code, *call, str(out), "--engine", "ray", "--workers", "1"],
        cwd=ROOT,
        env={**environment, "HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while run.poll() is None and not (parts.is_dir() and any(parts.glob("*.parquet"))):
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(0.01)
    family = [psutil.Process(run.pid), *psutil.Process(run.pid).children(recursive=True)]
    (address,) = [
        argument.partition("=")[2]
        for one in family
        if one.name() == "raylet"
        for argument in one.cmdline()
        if argument.startswith("--gcs-address=")
    ]
    family[0].suspend()
    try:
        (refused,) = knock([address], RAY_AUTH_TOKEN="0" * 64)
    finally:
        os.killpg(run.pid, signal.SIGINT)
        family[0].resume()
    _, said = run.communicate()
    assert run.returncode == 1, said
    assert said.splitlines()[-1] == "convfe: stopped; files already written are whole."
    assert psutil.wait_procs(family, timeout=60)[1] == []
    assert not (tmp_path / ".ray").exists()
    assert refused.startswith(f"convfe: Expected to be let into the Ray cluster at {address}, got “ConnectionError")

    done = {path: path.stat().st_mtime_ns for path in parts.glob("*.parquet")}
    assert len(done) == 1  # of the first backbone
    assert [main([*call, str(folder)]) for folder in (out, local)] == [1, 1]
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert_same(local, out, 2 * 2 * 7 + 1)


def test_maps_are_the_local_ones(here: Any, eight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture alone in its batch is, under EfficientNet, where TensorFlow's sums depend on its number of threads."""
    monkeypatch.chdir(tmp_path)  # relative paths must mean the same to the workers
    (eight / "alone.png").write_bytes(png(noise(160, 160)))
    written(plain_network(), tmp_path / "own.onnx")
    backbones = "TinyMobileNet", "EfficientNetB0:untrained", "own=own.onnx"
    call = ["maps", "set", *(word for name in backbones for word in ("--backbone", name))]
    call += ["--reductions", "max,mean,pca"]
    assert main([*call, "--size", "own", "--out", "local"]) == 1
    engine = ["--engine", "ray", "--workers", "1", "--worker-cpus", "1"]
    assert main([*call, "--size", "own", "--out", "ray", *engine]) == 1
    assert_same(tmp_path / "local", tmp_path / "ray", 3 * 2 * 8 + 1)


def knock(*calls: Sequence[str], **environment: str) -> list[str]:
    """The last line, after Ray's own, that each ranking says whose cluster would not do.

    Parameters
    ----------
    calls : an address, with options; they follow each other in one process without Ray
    """
    environment = {**os.environ, "RAY_NUM_REDIS_GET_RETRIES": "1", **environment}
    found = python("-c", KNOCK, json.dumps(calls), env=environment)
    assert "Traceback" not in found.stderr
    said = found.stderr.split("END\n")[:-1]
    return [one.splitlines()[-1] for one in said]


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


def test_a_cluster_that_would_not_do_is_one_sentence_before_anything_begins(here: Any) -> None:
    address = here.get_runtime_context().gcs_address
    nobody = f"127.0.0.1:{free_port()}"
    small = [address, "--worker-cpus", "99", "--worker-memory", "99"]
    silent, full, old = knock([nobody], small, [address, "OLD"])
    assert silent.startswith(f"convfe: Expected a Ray cluster at {nobody}, got “ConnectionRefusedError")
    assert "ray start --head" in silent
    assert "with 99 CPUs and 99 MB for a worker, got none" in full
    assert old.startswith(
        "convfe: Expected the same Ray and Python on every machine, got “RuntimeError: Version mismatch: "
        f"The cluster was started with: Ray: {here.__version__} "
    )


def test_without_ray_one_sentence_says_how_to_install_it_and_nothing_else_asks_for_it(dataset: Path) -> None:
    code = """
import sys
asked = []
class Refusal:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "ray":
            asked.append(name)
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Refusal())
from convfe_core.cli.commands import main
print(main(sys.argv[1:]), asked, file=sys.stderr)
print(main([*sys.argv[1:], "--engine", "ray"]), file=sys.stderr)
"""
    call = ["rank", str(dataset), "--backbone", "TinyMobileNet", "--no-control", "--no-probe", "--size", "64"]
    call += ["--limit", "4"]
    found = python("-c", code, *call)
    assert found.stderr.splitlines()[-3:] == [
        "0 []",
        'convfe: Expected Ray Data for --engine ray, got a Python without it; run: pip install "convfe[ray]".',
        "1",
    ]


def test_options_for_ray_alone_are_refused_for_the_local_engine(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rank", str(dataset), "--backbone", "TinyMobileNet", "--workers", "2"]) == 2
    assert "Expected --engine ray beside --workers." in capsys.readouterr().err


def test_a_trial_is_a_task_for_each_backbone_and_gives_the_local_numbers(here: Any, tmp_path: Path) -> None:
    data = read_dataset(open_files(voc_folder(tmp_path, 3)))
    specs = [parse_spec("TinyMobileNet"), parse_spec("TinyMobileNet:untrained")]
    options = TrialOptions(size=Size("64"), recipe=Recipe(width=8, groups=2, epochs=2))
    engines = LocalEngine(), RayEngine(workers=ONE)
    local, elsewhere = (TrialRun(data, specs, options, control=False, engine=engine) for engine in engines)
    elsewhere.compute(specs)
    for spec in specs:
        one, other = local.result(spec), elsewhere.result(spec)
        assert [found.boxes.tolist() for found in one.detections] == [
            found.boxes.tolist() for found in other.detections
        ]
