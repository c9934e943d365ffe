"""What Ray costs and brings on this machine: images a second, and what each shard takes besides its work.

    python -m benchmarks.cluster [--images 1024] [--per-shard 64] [--rounds 3] [--backbone TinyResNet ...]
                               [--way 2x1 ...]

Generated photographs of 320 x 320 with a box each are scored as `convfe rank` does it: by this process alone, by one
Ray worker with two CPUs, by one with one, and by two with one each, in turn. Starting workers and loading backbones is
timed apart: the rate is that of the shards which follow the first one of each worker. Reading and decoding the
photographs is timed alone, on one thread. What a shard takes besides its work is measured with shards that have none.
Needs ``pip install -e ".[ray]"`` and two cores.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.cluster.waiting import Waiting
from benchmarks.machine import describe_machine
from benchmarks.records import Run, TableRow, keep, markdown
from convfe_core.backbones.precision import computes_in_bfloat16
from convfe_core.base.file_sets import open_files
from convfe_core.base.pace import Pace, Progress
from convfe_core.catalog.specs import parse_spec
from convfe_core.datasets.boxed_photos import open_boxed
from convfe_core.datasets.boxes import Dataset
from convfe_core.datasets.read_dataset import read_dataset
from convfe_core.jobs.parts import Parts, shard_table
from convfe_core.jobs.ray_engine import RayEngine
from convfe_core.jobs.ray_workers import Workers
from convfe_core.jobs.shards import Job, Shard, ShardImage, cut_shards
from convfe_core.jobs.weight_pass import Pass
from convfe_core.photos.photo import DEFAULT_LIMITS
from convfe_core.ranking.results import RankOptions
from convfe_core.ranking.score_rows import RankJob

HERE = "here"
WAYS = {"1x2": (1, 2), "1x1": (1, 1), "2x1": (2, 1)}
"""Workers, and CPUs of each."""
EMPTY_SHARDS = 300


@dataclass(frozen=True)
class Timed:
    """When the first shards were done, and how fast the others were."""

    seconds_to_first: float
    images_per_second: float


def write_photographs(folder: Path, count: int) -> None:
    """Noise with a brighter patch, as JPEG files, and YOLO boxes around the patches."""
    random = np.random.default_rng(0)
    for number in range(count):
        pixels = random.integers(0, 160, (320, 320, 3), np.uint8)
        x, y = random.integers(0, 220, 2).tolist()
        pixels[y : y + 100, x : x + 100] += 90
        Image.fromarray(pixels).save(folder / f"{number:05d}.jpg", quality=85)
        label = f"0 {(x + 50) / 320} {(y + 50) / 320} {100 / 320} {100 / 320}"
        (folder / f"{number:05d}.txt").write_text(label, "utf-8")


def make_job(dataset: Dataset, backbone: str) -> RankJob:
    """The pass of a backbone over a data set, without probe and control."""
    options = RankOptions(probe=False, control=False, cost=False)
    return RankJob(dataset, options, {backbone: Pass(parse_spec(backbone))}, computes_in_bfloat16(options.precision))


def run_here(job: RankJob, backbone: str, shards: Sequence[Shard]) -> Timed:
    """Score every shard in this process."""
    start = time.perf_counter()
    loaded = job.load(backbone, lambda _phrase: None)
    done = []
    for shard in shards:
        shard_table(shard, lambda one, first: job.rows(loaded, one, first), job.schema)
        done.append(time.perf_counter() - start)
    return _timed(done, shards, 1)


def run_on_ray(job: Job, shards: Sequence[Shard], workers: int, cpus: int) -> Timed:
    """Score every shard on a cluster of this machine."""
    done: list[float] = []
    start = time.perf_counter()

    def tell(_progress: Progress) -> None:
        done.append(time.perf_counter() - start)

    engine = RayEngine(workers=Workers(workers, workers, cpus, memory_mb=1500))
    with tempfile.TemporaryDirectory() as folder:
        missing = engine.finish(job, shards, Parts(folder, job.schema), Pace(len(shards)), tell)
    if missing:
        raise RuntimeError(f"shards failed: {missing}")
    return _timed(done, shards, workers)


def read_alone(dataset: Dataset) -> float:
    """Photographs a second that one thread of this process reads and decodes."""
    start = time.perf_counter()
    for image in dataset.images:
        open_boxed(image, image.image, dataset.source.read(image.image, DEFAULT_LIMITS.max_bytes))
    return len(dataset.images) / (time.perf_counter() - start)


def _timed(done: Sequence[float], shards: Sequence[Shard], workers: int) -> Timed:
    rest = sum(len(shard.images) for shard in shards[workers:])
    return Timed(done[workers - 1], rest / (done[-1] - done[workers - 1]))


@contextlib.contextmanager
def cluster_of_two_cpus() -> Iterator[None]:
    """A Ray cluster of this machine, so that its start counts for nobody."""
    import ray

    from convfe_core.jobs.ray_cluster import guard_own_cluster

    guard_own_cluster()
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


def _row(backbone: str, way: str, runs: Sequence[Timed]) -> TableRow:
    name = "this process" if way == HERE else "Ray, workers x CPUs of each: {} x {}".format(*WAYS[way])
    return {
        "backbone, where": f"{backbone.removesuffix(':untrained')}, {name}",
        "images/s": round(statistics.median(run.images_per_second for run in runs), 1),
        "first shards after, s": round(statistics.median(run.seconds_to_first for run in runs), 1),
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--per-shard", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backbone", action="append", dest="backbones", metavar="SPEC")
    parser.add_argument("--way", action="append", dest="ways", choices=[HERE, *WAYS], help="workers x CPUs of each")
    options = parser.parse_args()
    ways = options.ways or [HERE, *WAYS]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    print(describe_machine(), "\n")
    measured = Run.now("cluster", ("ray",))
    with tempfile.TemporaryDirectory() as folder, cluster_of_two_cpus():
        write_photographs(Path(folder), options.images)
        dataset = read_dataset(open_files(folder))
        reading = statistics.median(read_alone(dataset) for _ in range(options.rounds))
        alone: TableRow = {"where": "reading and decoding alone, one thread", "images/s": round(reading)}
        print(markdown([alone]), "\n", flush=True)
        keep("cluster", measured, {"images a second without a backbone": [alone]})
        for backbone in options.backbones or ["TinyResNet"]:
            job = make_job(dataset, backbone)
            images = [ShardImage(image.image, place) for place, image in enumerate(dataset.images)]
            shards = cut_shards(images, [backbone], {}, job.schema, options.per_shard)
            found: dict[str, list[Timed]] = {way: [] for way in ways}
            for _ in range(options.rounds):
                for way in ways:
                    found[way].append(
                        run_here(job, backbone, shards) if way == HERE else run_on_ray(job, shards, *WAYS[way])
                    )
            rows: list[TableRow] = [_row(backbone, way, runs) for way, runs in found.items()]
            print(markdown(rows), "\n", flush=True)
            keep("cluster", measured, {"images a second": rows})
        empty = cut_shards([ShardImage(str(k), k) for k in range(EMPTY_SHARDS)], ["nothing"], {}, Waiting.schema, 1)
        each = [1000 / run_on_ray(Waiting(), empty, 1, 1).images_per_second for _ in range(options.rounds)]
        empty_row: TableRow = {"": "a shard without work", "ms": round(statistics.median(each), 1)}
        print(markdown([empty_row]))
        keep("cluster", measured, {"what Ray takes": [empty_row]})


if __name__ == "__main__":
    main()
