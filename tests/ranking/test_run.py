"""Ranking runs: the numbers of design.md, bad input named, progress told, a stop that keeps what is finished."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convfe_core.backbones.network import open_network
from convfe_core.base.errors import ConvfeError, SpecError
from convfe_core.base.file_sets import open_files
from convfe_core.base.pace import Progress
from convfe_core.catalog.specs import Spec, parse_spec
from convfe_core.cli.commands import main
from convfe_core.datasets.read_dataset import read_dataset
from convfe_core.jobs.local_engine import LocalEngine
from convfe_core.jobs.shards import Job
from convfe_core.machine.machine_queue import MACHINE
from convfe_core.maps.input_size import Size
from convfe_core.ranking.results import RankOptions, RankResult
from convfe_core.ranking.run import RankRun
from convfe_core.ranking.tables import skipped_in_words, to_json, to_text
from convfe_core.scoring import cell_probe
from tests.conftest import ROOT
from tests.support.datasets import told
from tests.support.rankings import OTHER, QUICK, SMALL, as_png, dataset, patches


def test_a_run_gives_every_number_of_the_schema(full: RankResult) -> None:
    found = json.loads(json.dumps(to_json(full), allow_nan=False))
    assert found["dataset"]["images"] == 24
    assert found["dataset"]["usable"] == full.ranking.usable >= 20
    assert found["dataset"]["boxes"] == 24
    assert found["dataset"]["classes"] == ["class 0", "class 1"]
    assert found["dataset"]["skipped"] == []
    assert {"size": "96", "tap": "auto", "map": "mean", "seed": 0}.items() <= found["settings"].items()
    assert [b["spec"] for b in found["backbones"]] == [b.label for b in full.ranking.backbones]
    for backbone in found["backbones"]:
        assert backbone["weights"] == "builtin"
        assert backbone["stride"] == 16
        for name in ("max", "mean"):
            found_map = backbone["separation"][name]
            assert found_map["ci"][0] <= found_map["S"] <= found_map["ci"][1]
            assert found_map["control"]["ci"][0] <= found_map["control"]["S"] <= found_map["control"]["ci"][1]
            assert 0 <= found_map["auroc"] <= 1
        cell_probe = backbone["cell_probe"]
        assert cell_probe["ci"][0] <= cell_probe["S"] <= cell_probe["ci"][1]
        assert cell_probe["control"]["ci"][0] <= cell_probe["control"]["S"] <= cell_probe["control"]["ci"][1]
        assert cell_probe["S"] > backbone["separation"]["mean"]["S"]
        assert cell_probe["images"] == 24
        assert cell_probe["beats_control"] in (True, False)
        assert backbone["trial"] is None
        assert backbone["probe"]["classes"] == ["background", "class 0", "class 1"]
        assert backbone["probe"]["chance"] == pytest.approx(1 / 3)
        assert 0 <= backbone["probe"]["balanced_accuracy"] <= 1
        assert backbone["cost"]["latency_ms"]["batch"] == 1
        assert backbone["cost"]["latency_ms_batched"]["batch"] == 8
        assert 0 < backbone["cost"]["latency_ms"]["median"] <= backbone["cost"]["latency_ms"]["p95"]
        assert backbone["cost"]["input"] == [96, 96]
        assert backbone["cost"]["cells"] == 36
        assert backbone["small_boxes"]["median_cells"] == pytest.approx(2)
        assert backbone["baselines"]["imagenet_top1"] is None
    assert found["verdict"]["text"].endswith(".")
    assert set(found["verdict"]["beats_control"]) == {SMALL, OTHER}


def test_costs_are_those_of_the_graph(full: RankResult) -> None:
    cost = full.result(SMALL).cost
    assert cost is not None
    network = open_network(parse_spec(SMALL))
    assert cost.params == network.model.count_params()
    assert cost.flops == network.count_flops(96, 96)


def test_the_same_seed_and_input_give_the_same_numbers(full: RankResult) -> None:
    again = RankRun(full.dataset, [parse_spec(SMALL), parse_spec(OTHER)], RankOptions(Size("96"), cost=False)).run()
    first, second = to_json(full), to_json(again)
    assert first["verdict"] == second["verdict"]
    assert first["differences"] == second["differences"]
    for one, other in zip(first["backbones"], second["backbones"], strict=True):
        for key in ("separation", "by_size", "cell_probe", "probe", "small_boxes", "diagnostics"):
            assert one[key] == other[key]


def test_an_untrained_backbone_has_nothing_over_its_control() -> None:
    spec = parse_spec(f"{SMALL}:untrained")
    result = RankRun(dataset(patches(24)), [spec], RankOptions(Size("96"), probe=False, cost=False)).run()
    found = result.ranking.backbones[0].separation["mean"]
    assert found.control is not None
    assert abs(found.S.value - found.control.value) < 0.3
    assert not result.ranking.verdict.beats_control[spec.text]


def test_noise_on_grey_is_found_and_boxes_shuffled_between_images_are_not() -> None:
    specs = [parse_spec(SMALL)]
    honest, shuffled = (
        RankRun(dataset(patches(60, shuffled=shuffle)), specs, QUICK).run().ranking.backbones[0].separation["mean"].S
        for shuffle in (False, True)
    )
    assert honest.low > 0.1
    assert shuffled.low < 0 < shuffled.high


def test_what_cannot_be_read_is_named_and_the_rest_is_ranked() -> None:
    files = patches(5)
    files["001.png"] = files["001.png"][:400]  # the header is whole, the picture is not
    files["002.txt"] = b"nonsense"
    del files["003.txt"]
    result = RankRun(dataset(files), [parse_spec(SMALL)], QUICK).run()
    reasons = {s.file: s.reason for s in result.skipped}
    assert "damaged or cut short" in reasons["001.png"]
    assert "class number" in reasons["002.txt"]
    assert reasons["003.png"] == "no YOLO annotation for this picture"
    assert len(reasons) == 3
    (note,) = to_json(result)["dataset"]["notes"]
    assert note == "no file names the classes, which go by their numbers"
    assert skipped_in_words(result)[-1] == f"YOLO: {note}"
    assert told(result.dataset).keys() == reasons.keys() - {"001.png"}
    assert result.ranking.usable == 2
    assert "No winner is named: 2 images" in result.ranking.verdict.text


def test_a_backbone_that_fails_is_named_and_the_others_are_ranked(no_weights: Path) -> None:
    assert not no_weights.exists()
    result = RankRun(dataset(patches(4)), [parse_spec("VGG16"), parse_spec(SMALL)], QUICK).run()
    assert [b.label for b in result.ranking.backbones] == [SMALL]
    assert [f.file for f in result.failed] == ["VGG16"]
    assert "VGG16" in to_text(result)
    with pytest.raises(ConvfeError):
        RankRun(dataset(patches(4)), [parse_spec("VGG16")], QUICK).run()
    with pytest.raises(SpecError, match="nolayer"):
        RankRun(dataset(patches(4)), [parse_spec(SMALL)], replace(QUICK, tap="nolayer")).run()


def test_a_backbone_whose_maps_are_no_numbers_comes_last_and_says_why(tmp_path: Path) -> None:
    import keras

    picture = keras.Input((None, None, 3))
    model = keras.Model(picture, keras.layers.Conv2D(4, 3, 16, "same")(picture))
    kernel, bias = model.get_weights()
    model.set_weights([kernel, np.full_like(bias, np.nan)])
    model.save(tmp_path / "bad.keras")
    specs = [parse_spec(f"bad={tmp_path / 'bad.keras'}"), parse_spec(SMALL)]
    result = RankRun(dataset(patches(20)), specs, replace(QUICK, probe=True)).run()
    assert [one.label for one in result.ranking.backbones] == [SMALL, "bad"]
    assert "features are numbers" in to_json(result)["backbones"][1]["cell_probe"]["reason"]
    assert to_json(result)["backbones"][0]["cell_probe"]["S"] > 0.3
    assert result.ranking.verdict.leader == SMALL
    assert json.loads(json.dumps(to_json(result), allow_nan=False))["backbones"][1]["separation"] == {}
    assert "bad: its maps hold values that are no numbers" in to_text(result)


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


@pytest.mark.machine
def test_one_network_at_a_time_is_loaded_and_room_is_made_for_each() -> None:
    asked: list[tuple[str, int]] = []

    def make_room(spec: Spec) -> None:
        asked.append((spec.label, MACHINE.waiting))

    options = RankOptions(size=Size("96"), probe=False, cost=False)
    RankRun(dataset(patches(3)), [parse_spec(SMALL)], options, make_room=make_room).run()
    assert asked == [(SMALL, 1)] * 4  # itself and three controls, each inside the gate


class Elsewhere:
    """An engine that gets a copy of the job, as other processes do."""

    elsewhere = True

    def finish(self, job: Job, *arguments: Any) -> dict[str, ConvfeError]:
        return LocalEngine().finish(pickle.loads(pickle.dumps(job)), *arguments)


def test_where_others_compute_nothing_is_loaded_here_and_the_numbers_are_the_same() -> None:
    asked: list[str] = []
    found, specs, options = dataset(patches(3)), [parse_spec(SMALL)], RankOptions(Size("96"), cost=False)
    far = RankRun(found, specs, options, engine=Elsewhere(), make_room=lambda spec: asked.append(spec.label)).run()
    assert asked == []
    assert to_json(far) == to_json(RankRun(found, specs, options).run())


def test_where_others_compute_a_backbone_is_loaded_here_for_its_cost() -> None:
    asked: list[str] = []
    found, specs, options = dataset(patches(3)), [parse_spec(SMALL)], replace(QUICK, cost=True)
    run = RankRun(found, specs, options, engine=Elsewhere(), make_room=lambda spec: asked.append(spec.label))
    assert to_json(run.run())["backbones"][0]["cost"] is not None
    assert asked == [SMALL]


def test_somebody_who_waits_for_the_machine_is_told_and_can_stop() -> None:
    said: list[str] = []
    run = RankRun(
        dataset(patches(3)),
        [parse_spec(SMALL)],
        QUICK,
        on_progress=lambda progress: said.append(progress.doing),
        should_stop=lambda: "waiting for 1 other" in said,
    )

    def wait_and_stop() -> None:
        with pytest.raises(ConvfeError, match="before the first backbone was finished"):
            run.run()

    with MACHINE.passing():
        thread = threading.Thread(target=wait_and_stop)
        thread.start()
        thread.join(60)
        assert not thread.is_alive()
    assert said[-1] == "waiting for 1 other"


def test_progress_rises_and_names_what_is_done() -> None:
    told_so_far: list[Progress] = []
    RankRun(dataset(patches(4)), [parse_spec(SMALL)], RankOptions(Size("96"), cost=False), told_so_far.append).run()
    shares = [p.share for p in told_so_far]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    doing = [p.doing for p in told_so_far]
    assert "cell probe, image 4 of 4" in doing
    assert "image 4 of 4" in doing
    assert "untrained control 3 of 3, cell probe, image 4 of 4" in doing
    assert "untrained control 3 of 3, image 4 of 4" in doing
    assert told_so_far[0].seconds_left is None
    assert told_so_far[-1].seconds_left == pytest.approx(0)
    for progress in told_so_far:
        assert (progress.images_per_second is not None) == ("image" in progress.doing)


def test_a_stop_keeps_what_is_finished() -> None:
    current: list[str] = []
    run = RankRun(
        dataset(patches(4)),
        [parse_spec(SMALL), parse_spec(OTHER)],
        QUICK,
        on_progress=lambda p: current.append(p.who),
        should_stop=lambda: bool(current) and current[-1] == OTHER,
    )
    assert [b.label for b in run.run().ranking.backbones] == [SMALL]
    with pytest.raises(ConvfeError, match="before the first backbone was finished"):
        RankRun(dataset(patches(4)), [parse_spec(SMALL)], QUICK, should_stop=lambda: True).run()


@pytest.mark.machine
def test_the_command_prints_a_verdict_and_writes_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, data in patches(4).items():
        (tmp_path / name).write_bytes(data)
    out = tmp_path / "out"
    out.mkdir()
    command = ["rank", str(tmp_path), "--backbone", SMALL, "--size", "96", "--no-probe", "--no-control", "--limit", "3"]
    files = [f"--{kind}={out / kind}" for kind in ("json", "csv", "html")]
    assert main([*command, *files]) == 0
    said = capsys.readouterr()
    assert "No winner is named" in said.out.splitlines()[-1]
    assert re.search(r"image 3 of 3, [\d.]+ images/s", said.err)
    found = json.loads((out / "json").read_text())
    assert found["dataset"]["images"] == 3
    assert found["backbones"][0]["probe"] is None
    assert found["backbones"][0]["separation"]["mean"]["control"] is None
    assert (out / "csv").read_text().startswith("spec,")
    assert (out / "html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "status", "word"),
    [
        (["missing", "--backbone", SMALL], 1, "expected a folder"),
        ([".", "--backbone", SMALL], 1, "expected pictures with boxes, got no picture"),
        ([".", "--backbone", "VGG61"], 2, "VGG16"),
        ([".", "--backbone", SMALL, "--html", "nowhere/page.html"], 2, "for --html. Received: nowhere/page.html"),
    ],
)
def test_a_wrong_call_is_one_line(
    arguments: list[str],
    status: int,
    word: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["rank", *arguments]) == status
    error = capsys.readouterr().err
    assert word in error
    assert error.count("\n") == 1


EXPECTED = {
    "coco128": {"MobileNetV2-0.35": (0.15, 0.05), "MobileNet-0.25": (0.16, 0.04)},
    "raccoon": {"MobileNetV2-0.35": (0.16, 0.01), "MobileNet-0.25": (0.17, 0.00)},
}
"""Mean-map S and its control's at 320, computed independently (../shared/design.md)."""


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_separation_agrees_with_an_independent_computation(name: str, shared: Path, real_weights: Path) -> None:
    assert real_weights.is_dir()
    specs = [parse_spec(text) for text in EXPECTED[name]]
    options = RankOptions(size=Size("320"), probe=False, cost=False)
    result = RankRun(read_dataset(open_files(shared / "datasets" / name)), specs, options).run()
    for ranked in result.ranking.backbones:
        found = ranked.separation["mean"]
        S, control = EXPECTED[name][ranked.label]  # noqa: N806 - its name in design.md
        assert found.S.value == pytest.approx(S, abs=0.02)
        assert found.control is not None
        assert found.control.value == pytest.approx(control, abs=0.03)
        assert ranked.beats_control


MEMORY = """
import sys
from dataclasses import replace
from pathlib import Path
from convfe_core.datasets.read_dataset import read_dataset
from convfe_core.catalog.specs import parse_spec
from convfe_core.machine.memory import resident_mb
from convfe_core.maps.input_size import Size
from convfe_core.base.file_sets import open_files
from convfe_core.ranking.run import RankRun
from convfe_core.ranking.results import RankOptions
seen = []
def watch(progress):
    if "image" in progress.doing:
        seen.append((int(progress.doing.rpartition("image ")[2].split()[0]), resident_mb()))
folder, work = map(Path, sys.argv[1:])
options = RankOptions(size=Size("own"), control=False, cost=False)
result = RankRun(
    read_dataset(open_files(folder)), [parse_spec("MobileNet-0.25:untrained")], options, watch, work=work
).run()
assert result.ranking.usable > 480
print(max(mb for images, mb in seen if images <= 200), max(mb for _, mb in seen), resident_mb())
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    """Once 200 of 500 images are through, the other 300 add less than 24 kB each: a picture takes 28 kB decoded.

    So it is while the cell probe learns and while images are scored. What comes after the last one takes room once:
    50 MB, most of it for scikit-learn.
    """
    files = {name: data for name, data in patches(50).items() if name.endswith(".png")}
    folder = tmp_path / "in"
    folder.mkdir()
    for n in range(500):
        (folder / f"{n:04}.png").write_bytes(files[f"{n % 50:03}.png"])
        (folder / f"{n:04}.txt").write_text(f"{n % 2} 0.{30 + n % 40} 0.5 0.4 0.4")
    command = [sys.executable, "-c", MEMORY, str(folder), str(tmp_path / "work")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    early, late, end = map(float, done.stdout.split())
    assert late - early < 7
    assert end - early < 50
