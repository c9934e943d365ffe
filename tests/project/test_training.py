"""Training of the built-in backbones, on a handful of generated pictures."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from training import pictures
from training.pictures import UNLABELLED, make_canvases, read_pictures

TINY = {"size": 32, "canvases": 16, "batch": 8, "epochs": 2, "pools": 2}


@pytest.fixture(scope="module")
def class_folders(tmp_path_factory):
    """Two classes, blue and red pictures of different sizes, and one file that is no picture."""
    root = tmp_path_factory.mktemp("classes")
    rng = np.random.default_rng(0)
    for name, channel in [("blue", 2), ("red", 0)]:
        (root / name).mkdir()
        for i in range(6):
            pixels = rng.integers(0, 80, (40 + i, 50, 3), dtype=np.uint8)
            pixels[..., channel] += 150
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    (root / "blue" / "notes.txt").write_text("not a picture")
    return root


def run(class_folders, out, **changes):
    from training.train_builtin import Pools, Recipe, train

    recipe = Recipe("TinyMobileNet", **{**TINY, **changes})
    pools = Pools(recipe, class_folders, None, teacher=False, cache=None)
    return train(recipe, pools, out, ["blue", "red"])


def arrays_of(file):
    with np.load(file) as stored:
        return {key: stored[key] for key in stored.files}


def assert_same_arrays(one, other):
    assert one.keys() == other.keys()
    for key, array in one.items():
        np.testing.assert_array_equal(array, other[key], err_msg=key)


@pytest.fixture(scope="module")
def finished_run(class_folders, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    run(class_folders, out)
    return out


def test_pictures_of_class_folders_are_labelled_by_folder(class_folders):
    read = read_pictures(class_folders)
    assert read.classes == ["blue", "red"]
    assert read.labels.tolist() == [0] * 6 + [1] * 6
    assert read.images[0].shape == (40, 50, 3)


def test_a_zip_reads_like_the_folder_it_was_made_from(class_folders, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in class_folders.rglob("*.*"):
            archive.write(path, f"train/{path.relative_to(class_folders)}")
    one, other = read_pictures(class_folders), read_pictures(tmp_path / "a.zip", "train")
    assert one.names == other.names
    assert one.labels.tolist() == other.labels.tolist()
    for a, b in zip(one.images, other.images, strict=True):
        np.testing.assert_array_equal(a, b)


def test_loose_pictures_have_no_label(class_folders):
    assert set(read_pictures(class_folders / "red").labels.tolist()) == {UNLABELLED}


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Received: none"):
        read_pictures(tmp_path)


def test_large_pictures_are_reduced_when_read(tmp_path):
    Image.new("RGB", (600, 300)).save(tmp_path / "a.png")
    assert read_pictures(tmp_path).images[0].shape == (128, 256, 3)


def test_canvases_follow_the_seed(class_folders):
    read = read_pictures(class_folders)
    one, again, other = (make_canvases(read, None, 10, 64, (seed,)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.images, again.images)
    assert not np.array_equal(one.images, other.images)


def test_canvas_labels_name_what_lies_in_each_quadrant(class_folders):
    read = read_pictures(class_folders)
    canvases = make_canvases(read, read, 40, 64, (0,))
    labels = canvases.labels
    assert ((labels[:, :4] >= 0).all(1) | (labels[:, :4] == UNLABELLED).all(1)).all()
    assert (labels[:, 4] >= 0).any()
    for image, label in zip(canvases.images, labels, strict=True):
        for tile in range(4):
            if label[tile] != UNLABELLED:
                y, x = (32 * k for k in divmod(tile, 2))
                part = image[y : y + 32, x : x + 32].mean((0, 1))
                assert (part[0] > part[2]) == (label[tile] == 1)


def test_mirrored_labels_follow_their_quadrants():
    from training.train_builtin import _mirror_labels

    assert _mirror_labels(np.array([[1, 2, 3, 4, 5]])).tolist() == [[2, 1, 4, 3, 5]]


def test_input_lies_between_minus_one_and_one():
    values = pictures.as_input(np.array([[[[0, 127, 255]]]], dtype=np.uint8))
    np.testing.assert_allclose(values.ravel(), [-1, -0.00392157, 1], atol=1e-6)


@pytest.mark.slow
def test_another_seed_gives_other_weights(class_folders, finished_run, tmp_path):
    run(class_folders, tmp_path, seed=1)
    one, other = (arrays_of(out / "TinyMobileNet.npz")["features_conv/kernel"] for out in (tmp_path, finished_run))
    assert not np.array_equal(one, other)


@pytest.mark.slow
def test_runs_with_one_seed_agree_also_when_one_was_killed_on_the_way(
    class_folders, finished_run, tmp_path, monkeypatch
):
    from training import train_builtin

    real = train_builtin.Trainer.train_epoch

    def killed_in_the_second_epoch(self, epoch, *data):
        if epoch == 1:
            raise KeyboardInterrupt
        return real(self, epoch, *data)

    monkeypatch.setattr(train_builtin.Trainer, "train_epoch", killed_in_the_second_epoch)
    with pytest.raises(KeyboardInterrupt):
        run(class_folders, tmp_path)
    monkeypatch.undo()
    assert int(arrays_of(tmp_path / "checkpoint.npz")["epochs_done"]) == 1
    run(class_folders, tmp_path)
    assert_same_arrays(arrays_of(tmp_path / "checkpoint.npz"), arrays_of(finished_run / "checkpoint.npz"))
    assert len((tmp_path / "log.txt").read_text().splitlines()) == 2


@pytest.mark.slow
def test_a_folder_of_another_recipe_is_refused(class_folders, finished_run):
    with pytest.raises(ValueError, match="Expected the recipe in"):
        run(class_folders, finished_run, epochs=3)


@pytest.mark.slow
def test_training_learns_to_tell_two_colours(class_folders, tmp_path):
    run(class_folders, tmp_path, epochs=6, canvases=64, learning_rate=0.005)
    last = (tmp_path / "log.txt").read_text().splitlines()[-1]
    assert float(last.split("top1 ")[1].split()[0]) > 0.8
    assert json.loads((tmp_path / "recipe.json").read_text())["teacher"] is False


def test_a_cached_pool_is_the_pool(class_folders, tmp_path):
    from training.train_builtin import Pools, Recipe

    recipe = Recipe("TinyMobileNet", **TINY)
    fresh = Pools(recipe, class_folders, None, teacher=False, cache=None)[1]
    cached = Pools(recipe, class_folders, None, teacher=False, cache=tmp_path)
    for canvases, targets in (cached[1], cached[3]):
        np.testing.assert_array_equal(canvases.images, fresh[0].images)
        np.testing.assert_array_equal(canvases.labels, fresh[0].labels)
        assert targets is None
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.slow
def test_the_command_line_trains_from_a_folder(class_folders, tmp_path, capsys):
    from training.train_builtin import main

    options = ["--size=32", "--epochs=1", "--canvases=8", "--batch=8", f"--labelled={class_folders}"]
    assert main(["TinyResNet", *options, f"--out={tmp_path}"]) == 0
    assert "TinyResNet epoch 1/1 labels" in capsys.readouterr().out
    assert arrays_of(tmp_path / "TinyResNet.npz")["head/classes"].tolist() == ["blue", "red"]
