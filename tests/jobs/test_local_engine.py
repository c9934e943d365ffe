"""This process as the engine: one backbone after the other, what fails named, what is there not computed again."""

from __future__ import annotations

from pathlib import Path

import pytest

from convfe_core.base.errors import SpecError, WeightsError
from convfe_core.base.pace import Pace, Progress
from convfe_core.catalog.specs import parse_spec
from convfe_core.jobs.local_engine import LocalEngine
from convfe_core.jobs.parts import Parts
from tests.jobs.squares import Squares, shards

EARLY = {name: parse_spec("TinyResNet") for name in ("Square", "Odd", "Bad")}


@pytest.mark.parametrize("early", [{}, EARLY], ids=["one by one", "the next one early"])
def test_every_shard_becomes_a_part_and_a_backbone_that_fails_costs_nothing_else(
    tmp_path: Path, early: dict[str, object]
) -> None:
    cut, parts = shards(2, "Square", "Bad", "Odd"), Parts(None, Squares.schema)
    told: list[Progress] = []
    errors = LocalEngine(early).finish(Squares(tmp_path, damaged=("Bad",)), cut, parts, Pace(60), told.append)
    assert parts.missing(cut) == [shard for shard in cut if shard.backbone == "Bad"]
    assert set(errors) == {shard.name for shard in cut if shard.backbone == "Bad"}
    assert all(isinstance(error, WeightsError) and str(error) == "Bad is damaged" for error in errors.values())
    for name in ("Square", "Odd"):
        found = [row for shard in cut if shard.backbone == name for _, row in parts.rows(shard)]
        assert found == [{"place": n, "square": n * n} for n in range(20)]
    images = [f"squaring, image {n} of 20" for n in (4, 8, 10, 14, 18, 20)]
    first = ["squaring, loading"]
    assert [one.doing for one in told if one.who == "Odd" and "opening" not in one.doing] == [
        *first,
        "squaring, is odd",
        *images,
    ]
    assert [one.doing for one in told if one.who == "Bad"] == first
    assert told[-1].share == 1


def test_what_is_there_is_counted_and_not_computed_again(tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def kill(progress: Progress) -> None:
        if progress.doing.endswith("image 14 of 20"):
            raise Killed

    log = tmp_path / "log"
    log.mkdir()
    cut, parts = shards(2), Parts(tmp_path / "parts", Squares.schema)
    with pytest.raises(Killed):
        LocalEngine().finish(Squares(log), cut, parts, Pace(20), kill)
    told: list[Progress] = []
    assert LocalEngine().finish(Squares(log), cut, parts, Pace(20), told.append) == {}
    assert [one.doing for one in told][2:] == [f"squaring, image {n} of 20" for n in (18, 20)]
    assert [round(one.share, 2) for one in told] == [0.5, 0.5, 0.9, 1]
    assert sorted(path.name for path in log.iterdir()) == ["0-0", "1-0", "1-1"]
    told.clear()
    assert LocalEngine().finish(Squares(log), cut, parts, Pace(20), told.append) == {}
    assert told == []


def test_a_call_that_is_wrong_ends_the_run(tmp_path: Path) -> None:
    cut, parts = shards(2), Parts(None, Squares.schema)
    with pytest.raises(SpecError, match="no layer seven"):
        LocalEngine().finish(Squares(tmp_path, unknown=("Square",)), cut, parts, Pace(20), lambda _progress: None)
