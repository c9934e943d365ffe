"""A trial goes through folds, resumes where it was killed, and says in a sentence what cannot be tried."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from convfe_core.backbones.network import open_network
from convfe_core.base.errors import AnnotationError, MemoryLimitError, ModelFileError, SpecError
from convfe_core.base.pace import Progress
from convfe_core.catalog.specs import Spec, parse_spec
from convfe_core.cli.commands import main
from convfe_core.datasets.boxes import Dataset
from convfe_core.jobs.shards import Shard
from convfe_core.jobs.weight_pass import Pass
from convfe_core.maps.every_layer import read_layers
from convfe_core.maps.input_size import Size
from convfe_core.scoring.bootstrap import interval
from convfe_core.trial import features
from convfe_core.trial.average_precision import match_detections
from convfe_core.trial.detector import Recipe
from convfe_core.trial.stages import ADDED, freeze_stages
from convfe_core.trial.trial_job import FOLDS, TrialJob, TrialOptions, folds
from convfe_core.trial.trial_run import TrialRun, Tried
from tests.conftest import posix
from tests.support.builders import photo, voc_folder
from tests.support.children import kill_when
from tests.support.rankings import SMALL, dataset, patches

QUICK = TrialOptions(size=Size("64"), recipe=Recipe(width=8, groups=2, epochs=2))
SPEC = parse_spec(SMALL)


class Stop(Exception):  # noqa: N818 - a wish
    pass


def tried(data: Dataset, spec: Spec = SPEC, options: TrialOptions = QUICK, **others) -> Tried:
    return TrialRun(data, [spec], options, **{"control": False, **others}).result(spec)


def numbers(found: Tried) -> list:
    return [[one.boxes.tolist(), one.scores.tolist()] for one in found.detections]


@pytest.fixture(scope="module")
def data() -> Dataset:
    return dataset(patches(11))


@pytest.fixture(scope="module")
def pair() -> Dataset:
    """The fewest images: each is a fold, and takes a fifth of a second to learn from."""
    return dataset(patches(2))


@pytest.fixture(scope="module")
def undisturbed(data) -> Tried:
    return tried(data)


def test_every_image_is_in_one_fold():
    for count in (1, 2, 4, 5, 6, 80, 401):
        found = folds(count)
        assert [k for begin, after in found for k in range(begin, after)] == [*range(count)]
        assert len(found) == min(FOLDS, count)


def test_what_it_finds_is_scored_with_an_interval(data, undisturbed):
    scores = undisturbed.scores
    matches = match_detections(data.images, undisturbed.detections)
    assert (scores.ap50.value, scores.ap, scores.recall) == (matches.ap50, matches.ap, matches.recall)
    assert (scores.ap50.low, scores.ap50.high) == interval(scores.resampled)
    assert scores.images == 11
    assert scores.seconds > 0
    assert scores.control is None
    assert undisturbed.notes == ("trial on 11 images; under 40 it names no winner",)


def test_the_same_seed_gives_the_same_boxes_and_another_does_not(pair):
    first = numbers(tried(pair))
    assert numbers(tried(pair)) == first
    assert numbers(tried(pair, options=replace(QUICK, seed=1))) != first


@pytest.mark.slow
def test_a_trained_backbone_is_tried_beside_its_control_and_an_untrained_one_alone(pair, tmp_path):
    """Others go on where one cannot be tried, and features are removed unless they are to be kept."""
    broken = own_model(tmp_path, weight=np.nan)
    run = TrialRun(pair, [broken, SPEC], QUICK, work=tmp_path / "a")
    with pytest.raises(ModelFileError):
        run.result(broken)
    scores = run.result(SPEC).scores
    assert (scores.images, scores.control is None) == (2, False)
    assert not [*tmp_path.rglob("*.features")]
    untrained = tried(pair, parse_spec(f"{SMALL}:untrained"), control=True, work=tmp_path / "b", keep_features=True)
    assert untrained.scores.control is None
    assert len([*tmp_path.rglob("*.features")]) == 1


def test_a_run_that_was_killed_goes_on_with_the_fold_that_it_was_at(data, undisturbed, tmp_path):
    said: list[str] = []

    def stop_in_third(progress: Progress) -> None:
        said.append(progress.doing)
        if progress.doing == "trial, fold 3 of 5":
            raise Stop

    with pytest.raises(Stop):
        tried(data, work=tmp_path, on_progress=stop_in_third)
    assert len([*tmp_path.glob("*.piece")]) == 2
    said.clear()
    found = tried(data, work=tmp_path, on_progress=lambda progress: said.append(progress.doing))
    assert numbers(found) == numbers(undisturbed)
    assert {"trial, features", "trial, fold 1 of 5", "trial, fold 2 of 5"}.isdisjoint(said)
    assert "trial, fold 5 of 5" in said
    said.clear()
    assert numbers(tried(data, work=tmp_path, on_progress=lambda p: said.append(p.doing))) == numbers(undisturbed)
    assert said == []


@pytest.mark.slow
def test_a_worker_elsewhere_with_features_in_several_files_computes_the_same_rows(
    data, undisturbed, monkeypatch, tmp_path
):
    monkeypatch.setattr(features, "IMAGES_A_FILE", 4)
    job = TrialJob(data, QUICK, {SMALL: Pass(SPEC)}, bfloat16=False)
    (shard,) = job.shards(job.passes[SMALL])
    sent: TrialJob = replace(pickle.loads(pickle.dumps(job)), features=tmp_path, keep=True)
    copy: Shard = pickle.loads(pickle.dumps(shard))
    rows = [row for _, some in sent.rows(sent.load(SMALL, lambda _phrase: None), copy, 0) for row in some]
    assert len([*tmp_path.rglob("*.features")]) == 3
    by_place = sorted(zip(shard.images, rows, strict=True), key=lambda pair: pair[0].place)
    found = [np.frombuffer(row["found"], np.float32).reshape(-1, 5)[:, :4].tolist() for _, row in by_place]
    assert found == [one.boxes.tolist() for one in undisturbed.detections]
    assert match_detections(data.images, undisturbed.detections).marked.sum() == 11


def test_of_many_images_some_are_drawn_and_that_is_told(data):
    found = tried(data, options=TrialOptions(size=QUICK.size, recipe=QUICK.recipe, images=3))
    assert found.scores.images == 3
    assert "trial on 3 images drawn from 11" in found.notes


def test_an_image_that_cannot_be_read_is_left_out():
    files = patches(4)
    whole = dataset(files)
    files["002.png"] = files["002.png"][:200]
    broken = Dataset(dataset(files).source, whole.format, whole.images, whole.classes, (), 0, 0)
    found = tried(broken)
    assert [one.image for one in found.images] == ["000.png", "001.png", "003.png"]


@pytest.mark.parametrize("count", [1, 2])
def test_an_image_alone_is_too_few_and_two_with_a_box_each_are_enough(count):
    if count == 2:
        assert tried(dataset(patches(2))).scores.images == 2
        return
    with pytest.raises(AnnotationError, match=r"at least 2 images with boxes that can be read, .* got 1"):
        tried(dataset(patches(1)))


def test_boxes_smaller_than_any_cell_are_told():
    files = patches(2)
    for name in [name for name in files if name.endswith(".txt")]:
        files[name] = b"0 0.53 0.53 0.02 0.02\n1 0.9 0.2 0.02 0.02"
    found = tried(dataset(files))
    assert any(note.startswith("trial: no cell belongs to 4 of 4 boxes (100%)") for note in found.notes)


@pytest.mark.slow
def test_features_that_float16_cannot_hold_give_what_larger_or_smaller_ones_do(pair, tmp_path):
    """Those of an untrained MobileNet are 1e-17."""
    import keras

    picture = keras.Input((None, None, 3))
    model = keras.Model(picture, keras.layers.Conv2D(4, 8, strides=8, use_bias=False, activation="relu")(picture))
    (kernel,) = model.get_weights()
    found = []
    for exponent in (0, -60, 40):
        model.set_weights([kernel * 2.0**exponent])
        path = tmp_path / f"{exponent}.keras"
        model.save(path)
        found.append(tried(pair, replace(parse_spec(f"own={path}"), preprocessing="tf")))
    assert numbers(found[2]) == numbers(found[1]) == numbers(found[0])
    assert max(one.scores.std() for one in found[0].detections) > 0


def test_features_that_are_no_numbers_are_a_sentence(pair, tmp_path):
    with pytest.raises(ModelFileError, match=r"Broken: expected features that are numbers"):
        tried(pair, own_model(tmp_path, weight=np.nan))


def test_a_map_of_one_cell_is_told(pair, tmp_path):
    found = tried(pair, own_model(tmp_path, weight=0.01, strides=64))
    assert "trial: its map is a single cell, so that one box an image can be found at most" in found.notes
    assert all(len(one.boxes) == 1 for one in found.detections)


def test_features_that_take_too_much_room_are_refused(data, monkeypatch):
    monkeypatch.setattr(features, "MOST_MB", 0.01)
    with pytest.raises(MemoryLimitError, match=r"features of at most 0 MB .* those of 11 images take"):
        tried(data)


@pytest.mark.slow
def test_a_backbone_is_tried_at_each_stage_and_at_all_added_up(pair):
    run = TrialRun(pair, [SPEC], QUICK, control=False)
    found = run.by_stage(SPEC)
    assert [*found] == ["C3", "C4", ADDED]  # it has no C5
    assert numbers(found["C4"]) == numbers(tried(pair, options=replace(QUICK, tap="C4")))
    assert numbers(found[ADDED]) != numbers(found["C3"])


def test_stages_added_up_are_one_behind_the_other_on_the_cells_of_the_finest():
    image = photo(64, 96)
    one = open_network(parse_spec(f"{SMALL}:untrained"))
    read = read_layers([one.at(name) for name in ("C3", "C4")]).whole(image, Size("image"))
    c3, c4 = (found.components for found in read)
    backbone, channels = freeze_stages(one, ADDED, "float32")
    assert channels == (c3.shape[-1], c4.shape[-1])
    added = backbone.run(image.pixels[None], np.eye(sum(channels), dtype=np.float32))[2][0]
    expected = np.concatenate([c3, c4.repeat(2, axis=0).repeat(2, axis=1)], axis=-1)
    assert added == pytest.approx(expected, abs=1e-4)


def test_a_network_without_stages_cannot_have_them_added(tmp_path):
    with pytest.raises(SpecError, match="two or more of the stages C3, C4, C5"):
        freeze_stages(open_network(own_model(tmp_path, weight=0.1)), ADDED, "float32")


def own_model(folder: Path, weight: float, strides: int = 16) -> Spec:
    """A model file of one convolution whose weights are all the same."""
    import keras

    model = keras.Sequential(
        [
            keras.layers.Input((None, None, 3)),
            keras.layers.Conv2D(4, 3, strides, padding="same", kernel_initializer=keras.initializers.Constant(weight)),
        ]
    )
    model.save(folder / "broken.keras")
    return parse_spec(f"Broken={folder / 'broken.keras'}")


def pieces_are(folder: Path, least: int) -> bool:
    return len([*folder.glob("*.piece")]) >= least


@posix
@pytest.mark.slow
def test_a_ranking_with_a_trial_that_is_killed_ends_with_the_same_numbers(tmp_path):
    where = voc_folder(tmp_path / "in", 2)  # a fold each

    def arguments(name: str) -> list[str]:
        parts, report = tmp_path / f"{name}-parts", tmp_path / f"{name}.json"
        wanted = ["--backbone", SMALL, "--size", "64", "--no-control", "--no-probe", "--trial"]
        return ["rank", str(where), *wanted, "--parts", str(parts), "--json", str(report)]

    assert main(arguments("quiet")) == 0
    kill_when(partial(pieces_are, tmp_path / "killed-parts", 1), "-m", "convfe_core.cli", *arguments("killed"))
    assert main(arguments("killed")) == 0
    quiet, killed = (json.loads((tmp_path / f"{name}.json").read_bytes()) for name in ("quiet", "killed"))
    trials = [found["backbones"][0]["trial"] for found in (quiet, killed)]
    assert {**trials[0], "seconds": 0} == {**trials[1], "seconds": 0}
