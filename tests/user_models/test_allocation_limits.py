"""Small files that describe huge layers: refused before anything is allocated, and nothing is left behind."""

import json
import random
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convfe_core.base.errors import ModelFileError
from convfe_core.machine.memory import resident_mb
from convfe_core.user_models.allocation_limits import (
    SPARE_NUMBERS,
    bounded_in_tf_keras,
    build_old_keras,
    check_allocation,
    check_enlargement,
    numbers_in_a_pass,
    numbers_in_keras,
)
from convfe_core.user_models.open_model import open_model
from convfe_core.user_models.read_model_file import load_model_file
from tests.model_files.described_models import hdf5_model, layer, sequential

HUGE = sequential(
    *(layer("Conv2D", f"evil{number}", filters=1 << 15, kernel_size=[3, 3], padding="same") for number in range(4))
)
MEMORY_MB = 200


def hostile_keras(path: Path) -> Path:
    inner = hdf5_model(path.with_suffix(".inner"), sequential())
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(HUGE))
        archive.write(inner, "model.weights.h5")
    return path


def hostile_hdf5(path: Path) -> Path:
    return hdf5_model(path, HUGE)


def hostile_old_hdf5(path: Path) -> Path:
    described = old(HUGE)
    described["config"]["layers"].insert(
        1, {"class_name": "DepthwiseConv2D", "config": {"name": "a", "kernel_size": [3, 3], "groups": 1}}
    )
    return hdf5_model(path, described)  # Keras 3 does not know this setting, so tf-keras gets the file


def hostile_saved_model(path: Path) -> Path:
    from tf_keras.protobuf import saved_metadata_pb2

    metadata = saved_metadata_pb2.SavedMetadata()
    node = metadata.nodes.add()
    node.node_id, node.identifier = 0, "_tf_keras_sequential"
    node.metadata = json.dumps(old(HUGE))
    path.mkdir()
    (path / "saved_model.pb").write_bytes(b"")
    (path / "keras_metadata.pb").write_bytes(metadata.SerializeToString())
    return path


def old(described: dict) -> dict:
    """The same layers as Keras 2 writes them."""
    layers = [
        {
            "class_name": one["class_name"],
            "config": {key.replace("batch_shape", "batch_input_shape"): v for key, v in one["config"].items()},
        }
        for one in described["config"]["layers"]
    ]
    return {"class_name": "Sequential", "config": {"name": "m", "layers": layers}}


def small_model(path: Path) -> Path:
    import keras

    keras.utils.set_random_seed(0)
    made = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(4, 3), keras.layers.Dropout(0.1)])
    made.save(path)
    return path


WRITERS: dict[str, Callable[[Path], Path]] = {
    "m.keras": hostile_keras,
    "m.h5": hostile_hdf5,
    "old.h5": hostile_old_hdf5,
    "saved": hostile_saved_model,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_small_file_cannot_make_the_machine_allocate_much(tmp_path: Path, name: str) -> None:
    import keras  # noqa: F401
    import tf_keras  # noqa: F401

    path = WRITERS[name](tmp_path / name)
    before = resident_mb()
    with pytest.raises(ModelFileError) as caught:
        load_model_file(path)
    assert re.fullmatch(
        rf"{name}: describes layers of at least [\d,]{{5,}}\.\d MB, but holds 0\.0 MB; expected a whole model. "
        "Save the model again.",
        str(caught.value),
    )
    assert resident_mb() - before < MEMORY_MB


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_refused_file_does_not_disturb_models_before_and_after_it(tmp_path: Path, suffix: str) -> None:
    import keras

    good, picture = (
        small_model(tmp_path / f"good.{suffix}"),
        np.random.default_rng(0).random((1, 16, 16, 3), np.float32),
    )
    before, _ = load_model_file(good)
    expected = np.asarray(before(picture))
    with pytest.raises(ModelFileError, match="describes layers of"):
        load_model_file(WRITERS[f"m.{suffix}"](tmp_path / f"m.{suffix}"))
    after, _ = load_model_file(good)
    np.testing.assert_array_equal(np.asarray(after(picture)), expected)
    np.testing.assert_array_equal(np.asarray(before(picture)), expected)
    fresh = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(2, 3)])
    with keras.StatelessScope():
        keras.layers.Dense(2).build((None, 2))  # initialises whatever was left uninitialised
    assert np.isfinite(np.asarray(fresh(picture[:, :4, :4]))).all()


def test_counting_leaves_seeds_and_names_to_the_model_that_is_loaded() -> None:
    import keras

    described = keras.saving.serialize_keras_object(
        keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(2, 3)])
    )

    def make() -> tuple[str, np.ndarray]:
        keras.utils.clear_session()
        keras.utils.set_random_seed(3)
        made = keras.layers.Conv2D(2, 3)
        made.build((None, 4, 4, 3))
        return made.name, np.asarray(made.kernel)

    expected = make()
    keras.utils.clear_session()
    keras.utils.set_random_seed(3)
    state = random.getstate()
    assert numbers_in_keras(described) == 3 * 9 * 2 + 2
    assert random.getstate() == state
    made = keras.layers.Conv2D(2, 3)
    made.build((None, 4, 4, 3))
    assert made.name == expected[0]
    np.testing.assert_array_equal(np.asarray(made.kernel), expected[1])


def test_keras_3_and_tf_keras_count_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    import tf_keras

    monkeypatch.setattr("convfe_core.user_models.allocation_limits.SPARE_NUMBERS", 0)
    small = sequential(layer("Conv2D", "a", filters=5, kernel_size=[3, 3]), layer("BatchNormalization", "b"))
    numbers = 9 * 3 * 5 + 5 + 4 * 5
    assert numbers_in_keras(small) == numbers
    assert numbers_in_keras(old(small), build_old_keras) == numbers
    with bounded_in_tf_keras(numbers, "m.h5"):
        tf_keras.models.model_from_config(old(small))
    with (
        pytest.raises(ModelFileError, match=r"describes layers of at least 0\.0 MB, but holds 0\.0 MB;"),
        bounded_in_tf_keras(numbers - 1, "m.h5"),
    ):
        tf_keras.models.model_from_config(old(small))


def test_layers_that_do_not_fit_are_refused_with_both_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convfe_core.user_models.allocation_limits.room_mb", lambda: 100.0)
    check_allocation(2**20, 2**20 - SPARE_NUMBERS, "m.keras")
    with pytest.raises(ModelFileError, match=r"m\.keras: describes layers of at least 4\.0 MB, but holds 0\.2 MB;"):
        check_allocation(2**20, 2**20 - SPARE_NUMBERS - 1, "m.keras")
    with pytest.raises(ModelFileError, match=r"m\.keras: its layers take at least 400 MB, and 100 MB are free"):
        check_allocation(100 * 2**20, 100 * 2**20, "m.keras")


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize(
    ("kind", "side"),
    [("UpSampling2D", 64), ("UpSampling2D", None), ("Conv2DTranspose", None), ("an operation", 64)],
)
def test_layers_that_enlarge_a_picture_beyond_measure_are_refused_before_it_passes_them(
    tmp_path: Path, kind: str, side: int | None, suffix: str
) -> None:
    import keras

    picture = x = keras.Input((side, side, 3))
    for factor in (256, 8, 16):
        if kind == "UpSampling2D":
            x = keras.layers.UpSampling2D(factor)(x)
        elif kind == "Conv2DTranspose":
            x = keras.layers.Conv2DTranspose(3, 1, factor)(x)
        else:
            x = keras.ops.pad(x, [[0, 0], [200 * factor] * 2, [200 * factor] * 2, [0, 0]])
    model = keras.Model(picture, keras.layers.BatchNormalization()(x))
    model.layers[-1].moving_mean.assign([1, 2, 3])  # trained, so that opening it would run photographs up to there
    model.save(tmp_path / f"m.{suffix}")
    before = resident_mb()
    with pytest.raises(ModelFileError) as caught:
        open_model(tmp_path / f"m.{suffix}")
    shown = side or 320
    expected = (
        rf"m\.{suffix}: its layers make [\d,]{{7,}} MB of a picture of {shown} x {shown} pixels; expected at most"
    )
    assert re.match(expected, str(caught.value))
    assert "\n" not in str(caught.value)
    assert resident_mb() - before < MEMORY_MB


def test_what_enters_and_leaves_a_layer_is_counted_at_the_size_that_a_picture_has() -> None:
    import keras

    picture = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(8, 3, 2, "same")(picture)
    wide = keras.layers.ZeroPadding2D(10)(x)
    model = keras.Model(picture, keras.layers.Concatenate()([wide, wide * 2.0]))
    assert numbers_in_a_pass(model, 32, 64) == 4 * 36 * 52 * 8
    check_enlargement(model, 32, 64)
    only = keras.Model(picture, keras.layers.Reshape((16, 16, 3))(picture))
    assert numbers_in_a_pass(only, 16, 16) == 2 * 16 * 16 * 3
    assert numbers_in_a_pass(only, 32, 32) == 0


def test_a_pass_that_does_not_fit_into_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    picture = keras.Input((None, None, 3))
    model = keras.Model(picture, keras.layers.UpSampling2D(64)(picture))
    check_enlargement(model, 100, 100)
    monkeypatch.setattr("convfe_core.user_models.allocation_limits.room_mb", lambda: 100.0)
    with pytest.raises(
        ModelFileError, match=r"its layers make 469 MB of a picture of 100 x 100 pixels; expected at most 100 MB\."
    ):
        check_enlargement(model, 100, 100)


HOSTILE_SIZES: dict[str, Callable[[Any, Any], Any]] = {
    "a picture": lambda _, x: x,
    "a margin": lambda keras, x: keras.layers.ZeroPadding2D(10**6)(x),
    "a size": lambda keras, x: keras.layers.UpSampling2D(10**5)(x),
    "repeats": lambda keras, x: keras.ops.repeat(x, 10**9, axis=1),
    "tiles": lambda keras, x: keras.ops.tile(x, [1, 10**5, 10**5, 1]),
    "a margin of an operation": lambda keras, x: keras.ops.pad(x, [[0, 0], [10**6, 0], [10**6, 0], [0, 0]]),
}


def test_what_is_broadcast_a_million_times_is_left_out_and_never_made(tmp_path: Path) -> None:
    import keras

    picture = keras.Input((32, 32, 3))
    large = keras.ops.broadcast_to(picture[:, :1, :1], [1, 10**6, 10**6, 3])
    keras.Model(picture, keras.layers.Conv2D(4, 1)(large)).save(tmp_path / "m.keras")
    before = resident_mb()
    opened = open_model(tmp_path / "m.keras")
    assert [operation.name for operation in opened.model.operations if "broadcast" in operation.name] == []
    assert resident_mb() - before < MEMORY_MB


@pytest.mark.parametrize("name", HOSTILE_SIZES)
def test_what_makes_terabytes_of_a_picture_is_refused_before_any_pass(tmp_path: Path, name: str) -> None:
    import keras

    side = 10**6 if name == "a picture" else 32
    picture = keras.Input((side, side, 3))
    x = keras.layers.Conv2D(4, 1)(HOSTILE_SIZES[name](keras, picture))
    keras.Model(picture, x).save(tmp_path / "m.keras")
    before = resident_mb()
    # What copies a picture moves its cells in a way that is not followed: nothing behind it is offered or run.
    unfollowed = name in ("tiles", "a broadcast")
    said = (
        r"expected a network with feature maps" if unfollowed else r"its layers make [\d,]{6,} MB of a picture of \d+ x"
    )
    with pytest.raises(ModelFileError, match=rf"m\.keras: {said}"):
        open_model(tmp_path / "m.keras")
    assert resident_mb() - before < MEMORY_MB


def test_large_pictures_and_long_features_open(tmp_path: Path) -> None:
    import keras

    picture = keras.Input((1920, 2560, 3))
    x = keras.layers.Conv2D(8, 3, 2, "same", name="map")(keras.layers.ZeroPadding2D(1500)(picture))
    features = keras.Input((100_000,))
    classes = keras.Sequential([features, keras.layers.Dense(2)], name="classes")
    x = keras.layers.Dense(100_000)(keras.layers.GlobalAveragePooling2D()(x))
    keras.Model(picture, classes(x)).save(tmp_path / "m.keras")
    opened = open_model(tmp_path / "m.keras")
    assert opened.native == (1920, 2560)
    assert opened.model.outputs[0].shape[-1] == 8


def test_giant_layers_without_their_numbers_are_refused(tmp_path: Path) -> None:
    for kind, settings in (
        ("Dense", {"units": 10**12}),
        ("Embedding", {"input_dim": 10**9, "output_dim": 10**6}),
        ("Conv2D", {"filters": 10**9, "kernel_size": [3, 3]}),
        ("PReLU", {}),
    ):
        described = sequential(layer(kind, "evil", **settings))
        described["config"]["layers"][0]["config"]["batch_shape"] = [None, 10**6, 10**6, 3]
        inner = hdf5_model(tmp_path / "inner.h5", sequential())
        with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
            archive.writestr("config.json", json.dumps(described))
            archive.write(inner, "model.weights.h5")
        with pytest.raises(ModelFileError, match=r"describes layers of at least [\d,]{5,}\.\d MB, but holds 0\.0 MB"):
            load_model_file(tmp_path / "m.keras")
