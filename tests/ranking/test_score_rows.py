"""A ranking goes on where it was; that one which is killed ends with the same numbers is seen in tests/jobs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from convfe_core.backbones.network import open_network
from convfe_core.backbones.precision import computes_in_bfloat16
from convfe_core.base.file_sets import UploadedFiles, open_files
from convfe_core.base.pace import Progress
from convfe_core.catalog.specs import parse_spec
from convfe_core.datasets.boxes import Dataset
from convfe_core.datasets.read_dataset import read_dataset
from convfe_core.jobs import shards
from convfe_core.jobs.parts import shard_table
from convfe_core.jobs.weight_pass import Pass
from convfe_core.maps import extraction
from convfe_core.maps.input_size import Size
from convfe_core.ranking.passes import learned_from
from convfe_core.ranking.results import RankOptions, RankResult
from convfe_core.ranking.run import RankRun, work_folder
from convfe_core.ranking.score_rows import SCHEMA, RankJob
from convfe_core.ranking.tables import to_json
from convfe_core.scoring.scoring_graph import freeze_for_scoring
from tests.conftest import posix
from tests.support.builders import noise
from tests.support.rankings import patches

SPEC = "TinyMobileNet"
OPTIONS = RankOptions(size=Size("96"), cost=False)


@pytest.fixture
def images() -> Dataset:
    files = patches(24)
    files["007.png"] = b"not a picture"
    return read_dataset(UploadedFiles(files.items()))


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "WINDOW_IMAGES", 5)


def run(images: Dataset, work: Path | None, watch=lambda _progress: None) -> RankResult:
    return RankRun(images, [parse_spec(SPEC)], OPTIONS, on_progress=watch, work=work).run()


def test_what_is_finished_is_not_computed_again(images: Dataset, tmp_path: Path) -> None:
    told: list[Progress] = []
    first = run(images, tmp_path)
    parts = sorted(tmp_path.iterdir())
    assert len(parts) == 8  # the backbone and three controls, and what the cell probe of each learned
    before = [part.stat().st_mtime_ns for part in parts]
    second = run(images, tmp_path, told.append)
    assert not [one for one in told if "image" in one.doing]
    assert {one.seconds_left for one in told} == {None}  # nothing is known of a pace
    assert [part.stat().st_mtime_ns for part in parts] == before
    assert to_json(first) == to_json(second)


def test_the_order_of_shards_does_not_matter(images: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SHARD_IMAGES", 8)
    one = Pass(parse_spec(SPEC))
    job = RankJob(images, OPTIONS, {SPEC: one}, bfloat16=False)
    backbone = freeze_for_scoring(open_network(parse_spec(SPEC)))
    learning, *cut = job.shards(one)
    shard_table(learning, lambda s, first: job.rows(backbone, s, first), SCHEMA)
    tables = [shard_table(shard, lambda s, first: job.rows(backbone, s, first), SCHEMA) for shard in cut]
    again = [shard_table(shard, lambda s, first: job.rows(backbone, s, first), SCHEMA) for shard in cut[::-1]]
    assert [repr(table.to_pylist()) for table in tables] == [repr(table.to_pylist()) for table in again[::-1]]  # NaN
    assert [image.place for shard in cut for image in shard.images] == list(range(len(images.images)))
    assert [table.num_rows for table in tables] == [len(shard.images) for shard in cut]


def test_a_probe_that_is_resumed_learns_what_it_would_have_learned(images: Dataset) -> None:
    one = Pass(parse_spec(SPEC))
    backbone = freeze_for_scoring(open_network(parse_spec(SPEC)))
    whole, resumed = (RankJob(images, OPTIONS, {SPEC: one}, bfloat16=False) for _ in range(2))
    (learning, *_) = whole.shards(one)
    batches = list(whole.rows(backbone, learning, 0))
    middle = batches[1][0]
    rest = list(resumed.rows(backbone, learning, middle))
    assert rest == batches[2:]
    rows = pa.Table.from_pylist([row for _, batch in batches for row in batch], SCHEMA).to_pylist()
    assert len(rows) == len(learning.images) == len(images.images)
    learned = learned_from(zip(learning.images, rows, strict=True))
    np.testing.assert_array_equal(learned.directions, resumed.learned[SPEC].directions)
    assert learned.folds == resumed.learned[SPEC].folds
    assert learned.reason is None


def test_what_a_probe_learned_from_is_part_of_what_scores_depend_on(tmp_path: Path) -> None:
    """A photograph that changes is scored anew, and so are all others, whose maps it taught."""
    for name, data in patches(6).items():
        (tmp_path / name).write_bytes(data)
    one = Pass(parse_spec(SPEC))

    def digests(options: RankOptions) -> list[str]:
        dataset = read_dataset(open_files(tmp_path))
        return [shard.digest for shard in RankJob(dataset, options, {SPEC: one}, bfloat16=False).shards(one)]

    def both() -> tuple[list[str], list[str]]:
        return digests(OPTIONS), digests(replace(OPTIONS, probe=False))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "SHARD_IMAGES", 3)
        before, before_alone = both()
        (tmp_path / "005.png").write_bytes(patches(7)["006.png"])
        after, after_alone = both()
    assert len(before) == 3
    assert not {*before} & {*after}
    assert before_alone[0] == after_alone[0]
    assert before_alone[1] != after_alone[1]


@pytest.mark.parametrize("cost", [True, False])
def test_controls_are_loaded_on_the_layers_of_their_backbone(images: Dataset, cost: bool) -> None:
    specs = parse_spec(SPEC), parse_spec("TinyResNet")
    passes = {one.name: one for spec in specs for one in (Pass(spec), Pass(spec, 2))}
    control = Pass(specs[0], 2).name
    job, alone = (RankJob(images, replace(OPTIONS, cost=cost), passes, bfloat16=False) for _ in range(2))
    job.load(SPEC, print)
    shared = job.traced[specs[0]]
    found, expected = job.load(control, print), alone.load(control, print)
    assert found.traced is shared
    assert (found.label, found.weights, found.tap, found.path) == (
        f"{SPEC}:untrained",
        "untrained",
        expected.tap,
        expected.path,
    )
    batch = noise(96, 64)[None]
    for ours, theirs in zip(found.run_blank(batch), expected.run_blank(batch), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    job.load("TinyResNet", print)
    assert {*job.traced} == {specs[1]}  # one at a time


@posix
def test_a_work_folder_belongs_to_a_call(images: Dataset, tmp_path: Path) -> None:
    specs = [parse_spec(SPEC)]
    folder = work_folder(OPTIONS, images, specs, tmp_path)
    assert folder.is_dir()
    (tmp_path / "rank" / "gone").symlink_to("nowhere")  # as for one that another run has just removed
    assert folder == work_folder(OPTIONS, images, specs, tmp_path)
    assert folder != work_folder(RankOptions(), images, specs, tmp_path)
    assert folder.parent.parent == tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kept"), [("coco128", ("MobileNetV2-0.35", "MobileNet-0.25")), ("raccoon", ())])
def test_fast_arithmetic_leaves_separation_and_order_as_they_are(
    name: str, kept: tuple[str, ...], shared: Path, real_weights: Path
) -> None:
    """Those that stay in float32 are asked once, on the larger data set."""
    assert real_weights.is_dir()
    dataset = read_dataset(open_files(shared / "datasets" / name), limit=32)
    specs = [parse_spec(text) for text in (*kept, "TinyResNet", "TinyMobileNet")]
    exact, fast = (
        RankRun(dataset, specs, RankOptions(probe=False, control=False, cost=False, precision=precision)).run()
        for precision in ("float32", "fast")
    )
    assert [one.label for one in exact.ranking.backbones] == [one.label for one in fast.ranking.backbones]
    for one, other in zip(exact.ranking.backbones, fast.ranking.backbones, strict=True):
        for reduction in ("max", "mean"):
            found = other.separation[reduction].S.value
            assert found == pytest.approx(one.separation[reduction].S.value, abs=0.005)
    told = {label for label, remark in fast.remarks if remark.startswith("float32 all the same")}
    if computes_in_bfloat16("fast"):
        assert told == {*kept}
        assert {one.label for one in fast.results if one.precision == "float32"} == told
    else:
        assert not told
