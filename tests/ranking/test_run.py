"""Ranking runs: the numbers of design.md, bad input named, and the machine and its engines used as they should be."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convfe_core.backbones.network import open_network
from convfe_core.base.errors import ConvfeError, SpecError
from convfe_core.base.file_sets import open_files
from convfe_core.catalog.specs import Spec, parse_spec
from convfe_core.datasets.boxed_photos import open_boxed
from convfe_core.datasets.boxes import ImageBoxes
from convfe_core.datasets.read_dataset import read_dataset
from convfe_core.jobs.local_engine import LocalEngine
from convfe_core.jobs.shards import Job
from convfe_core.machine.machine_queue import MACHINE
from convfe_core.maps.input_size import Size
from convfe_core.photos.photo import Photo
from convfe_core.ranking import score_rows
from convfe_core.ranking.results import RankOptions, RankResult
from convfe_core.ranking.run import RankRun
from convfe_core.ranking.tables import skipped_in_words, to_json, to_text
from tests.support.datasets import told
from tests.support.rankings import OTHER, QUICK, SMALL, dataset, patches


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


def test_the_same_seed_and_input_give_the_same_numbers() -> None:
    """Of controls it is seen where rankings are killed, or computed by Ray."""
    found, specs = dataset(patches(12)), [parse_spec(SMALL), parse_spec(OTHER)]
    options = RankOptions(Size("96"), control=False, cost=False)
    first, second = (to_json(RankRun(found, specs, options).run()) for _ in range(2))
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


@pytest.mark.slow
def test_where_others_compute_nothing_is_loaded_here_and_the_numbers_are_the_same() -> None:
    asked: list[str] = []
    found, specs, options = dataset(patches(3)), [parse_spec(SMALL)], RankOptions(Size("96"), control=False, cost=False)
    far = RankRun(found, specs, options, engine=Elsewhere(), make_room=lambda spec: asked.append(spec.label)).run()
    assert asked == []
    assert to_json(far) == to_json(RankRun(found, specs, options).run())


def test_where_others_compute_a_backbone_is_loaded_here_for_its_cost() -> None:
    asked: list[str] = []
    found, specs, options = dataset(patches(3)), [parse_spec(SMALL)], replace(QUICK, cost=True)
    run = RankRun(found, specs, options, engine=Elsewhere(), make_room=lambda spec: asked.append(spec.label))
    assert to_json(run.run())["backbones"][0]["cost"] is not None
    assert asked == [SMALL]


EXPECTED = {
    "coco128": {"MobileNetV2-0.35": (0.15, 0.05)},
    "raccoon": {"MobileNet-0.25": (0.17, 0.00)},
}
"""Mean-map S and its control's at 320, computed independently (../shared/design.md); each network on one data set."""


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


def test_photographs_are_decoded_once_and_before_a_backbone_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []

    def noted(image: ImageBoxes, path: str, data: bytes) -> Photo:
        decoded.append(path)
        return open_boxed(image, path, data)

    monkeypatch.setattr(score_rows, "open_boxed", noted)
    files = patches(4)
    files["001.png"] = files["001.png"][:-30]
    ranking = RankRun(dataset(files), [parse_spec(SMALL)], QUICK)
    with ranking.decoding():
        pass
    names = ["000.png", "002.png", "003.png"]
    assert sorted(name for name in decoded if name != "001.png") == names
    result = ranking.run()
    assert sorted(name for name in decoded if name != "001.png") == names
    assert [one.file for one in result.skipped] == ["001.png"]
