"""The cell probe in a ranking: what it finds, and where it cannot learn a word about why."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convfe_core.catalog.specs import parse_spec
from convfe_core.ranking.run import RankRun
from convfe_core.ranking.tables import to_json
from convfe_core.scoring import cell_probe
from tests.support.rankings import QUICK, SMALL, as_png, dataset, patches


def test_the_cell_probe_finds_what_one_combination_of_channels_marks(tmp_path: Path) -> None:
    """Red squares on blocks of every brightness: the mean map sees brightness, red less green sees the squares."""
    import keras

    picture = keras.Input((None, None, 3))
    blocks = keras.layers.AveragePooling2D(16)(picture)
    model = keras.Model(picture, keras.layers.Conv2D(8, 1)(blocks))
    random = np.random.default_rng(0)
    model.set_weights([random.uniform(0.5, 1, (1, 1, 3, 8)), np.zeros(8)])
    model.save(tmp_path / "mine.keras")
    files = {}
    for number in range(24):
        grey = random.integers(0, 180, (6, 6, 1)).repeat(16, 0).repeat(16, 1).repeat(3, 2).astype(np.uint8)
        row, column = (16 * random.integers(0, 5, 2)).tolist()
        grey[row : row + 32, column : column + 32, 0] += 60
        files[f"{number}.png"] = as_png(grey)
        files[f"{number}.txt"] = f"0 {(column + 16) / 96} {(row + 16) / 96} {32 / 96} {32 / 96}".encode()
    specs = [parse_spec(f"mine={tmp_path / 'mine.keras'}")]
    found = RankRun(dataset(files), specs, replace(QUICK, probe=True)).run().ranking.backbones[0]
    assert found.cell_probe is not None
    assert found.cell_probe.auroc == pytest.approx(1)
    assert found.cell_probe.S.value == pytest.approx(0.5, abs=0.03)
    assert found.separation["mean"].S.value < 0.25


@pytest.mark.parametrize(
    ("box", "count", "reason"),
    [
        ("0 0.5 0.5 0.3 0.3", 1, "expected two images at least"),
        ("0 0.5 0.5 0.01 0.01", 6, "no cell of this map has its centre in a box"),
        ("0 0.5 0.5 1 1", 6, "every cell of this map has its centre in a box"),
    ],
)
def test_where_no_probe_can_learn_the_ranking_says_why(box: str, count: int, reason: str) -> None:
    files = patches(count) | {f"{number:03}.txt": box.encode() for number in range(count)}
    result = RankRun(dataset(files), [parse_spec(SMALL)], replace(QUICK, probe=True)).run()
    found = json.loads(json.dumps(to_json(result), allow_nan=False))["backbones"][0]["cell_probe"]
    assert reason in found.pop("reason")
    assert {found[name] for name in ("S", "ci", "control", "beats_control")} == {None}
    assert result.ranking.verdict.leader is None


def test_a_probe_for_which_there_is_no_room_says_so_and_the_maps_are_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cell_probe, "room_mb", lambda: 0.4)
    found = to_json(RankRun(dataset(patches(3)), [parse_spec(SMALL)], replace(QUICK, probe=True)).run())
    (backbone,) = found["backbones"]
    assert re.fullmatch(r"learning takes \d+ MB, and 0 MB are free", backbone["cell_probe"]["reason"])
    assert backbone["cell_probe"]["S"] is None
    assert backbone["separation"]["mean"]["S"] > 0


def test_fewer_images_than_folds_have_a_probe_and_images_that_cannot_be_read_are_left_out() -> None:
    files = patches(4)
    files["001.png"] = files["001.png"][:400]  # the header is whole, the picture is not
    result = RankRun(dataset(files), [parse_spec(SMALL)], replace(QUICK, probe=True)).run()
    found = to_json(result)["backbones"][0]["cell_probe"]
    assert found["images"] == result.ranking.usable == 3
    assert found["reason"] is None
    assert found["S"] > 0
