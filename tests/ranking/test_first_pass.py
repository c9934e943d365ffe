"""A small data set is run once under each set of weights; its numbers are those of a second pass."""

from __future__ import annotations

import numpy as np
import pytest

from convfe_core.backbones.network import open_network
from convfe_core.base.file_sets import UploadedFiles
from convfe_core.catalog.specs import parse_spec
from convfe_core.datasets.boxes import Dataset
from convfe_core.datasets.read_dataset import read_dataset
from convfe_core.geometry.cell_geometry import CellGrid
from convfe_core.jobs.parts import shard_table
from convfe_core.jobs.shards import Shard, ShardImage
from convfe_core.jobs.weight_pass import Pass
from convfe_core.machine.memory import KEPT_MB
from convfe_core.maps.feature_maps import FeatureMaps
from convfe_core.maps.input_size import Size
from convfe_core.photos.letterbox import plan_frame
from convfe_core.ranking.first_pass import MOST_IMAGES, FirstPass
from convfe_core.ranking.results import RankOptions
from convfe_core.ranking.score_rows import SCHEMA, RankJob
from convfe_core.scoring.scoring_graph import Scored, ScoringBackbone, freeze_for_scoring
from tests.support.rankings import patches

SPEC = "TinyMobileNet"
OPTIONS = RankOptions(size=Size("96"), cost=False)


@pytest.fixture(scope="module")
def backbone() -> ScoringBackbone:
    return freeze_for_scoring(open_network(parse_spec(SPEC)))


@pytest.fixture
def images() -> Dataset:
    files = patches(24)
    files["007.png"] = b"not a picture"
    return read_dataset(UploadedFiles(files.items()))


def rows(job: RankJob, backbone: ScoringBackbone, shard: Shard) -> str:
    table = shard_table(shard, lambda one, first: job.rows(backbone, one, first), SCHEMA)
    return repr(table.to_pylist())  # as text, in which no number is unlike itself


def test_rows_are_those_of_a_second_pass_and_no_photograph_is_read_for_them(
    images: Dataset, backbone: ScoringBackbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Pass(parse_spec(SPEC))
    job = RankJob(images, OPTIONS, {SPEC: one}, bfloat16=False)
    learning, scoring = job.shards(one)
    rows(job, backbone, learning)
    with monkeypatch.context() as patch:
        patch.setattr(images.source, "read", None)  # a second reading would call it
        at_once = rows(job, backbone, scoring)
    assert at_once.count("'reason': None") == 23
    assert not job.first_passes
    assert rows(job, backbone, scoring) == at_once


def test_what_was_learned_elsewhere_is_scored_by_a_pass_of_its_own(images: Dataset, backbone: ScoringBackbone) -> None:
    one = Pass(parse_spec(SPEC))
    here, there = (RankJob(images, OPTIONS, {SPEC: one}, bfloat16=False) for _ in range(2))
    learning, scoring = here.shards(one)
    rows(here, backbone, learning)
    there.learned.update(here.learned)
    assert rows(there, backbone, scoring) == rows(here, backbone, scoring)


def scored(features: np.ndarray) -> Scored:
    frame = plan_frame(32, 32, 32, 32)
    cell = np.zeros((1, 1), np.float32)
    maps = FeatureMaps("a.png", "", "net", "untrained", "last", cell, cell, frame, CellGrid(1, 1, 32, 32, 15.5, 15.5))
    return Scored(maps, features, np.zeros((0, features.shape[-1]), np.float32), 0.0)


def image(place: int) -> ShardImage:
    return ShardImage(f"{place}.png", place)


def test_nothing_is_kept_of_more_photographs_than_a_shard_holds() -> None:
    for count, kept in ((MOST_IMAGES, True), (MOST_IMAGES + 1, False)):
        seen = FirstPass(count)
        seen.keep(0, scored(np.ones((1, 1, 8), np.float32)))
        assert seen.room == kept
        assert seen.covers([image(0)]) == kept
        assert bool(seen.scored) == kept


def test_all_is_let_go_once_features_take_too_much_memory() -> None:
    seen = FirstPass(2)
    seen.keep(0, scored(np.ones((1, 1, 8), np.float32)))
    huge = np.broadcast_to(np.float32(0), (1, 1, int(KEPT_MB * 2**20 / 4)))  # says so, and takes four bytes
    seen.keep(1, scored(huge))
    assert not seen.scored
    seen.keep(1, scored(np.ones((1, 1, 8), np.float32)))
    assert not seen.scored
    assert not seen.covers([image(0)])


def test_a_photograph_of_which_nothing_is_known_is_not_covered() -> None:
    seen = FirstPass(3)
    seen.keep(0, scored(np.ones((1, 1, 8), np.float32)))
    seen.note_unreadable([image(0), image(1)], [{}, {"reason": "no picture"}])
    assert seen.unreadable == {1: "no picture"}
    assert seen.covers([image(0), image(1)])
    assert not seen.covers([image(2)])
