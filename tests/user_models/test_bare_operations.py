"""Models with bare operations between their layers, as of ``preprocess_input``, in both of Keras' files."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from convfe_core.backbones.backbone import load_backbone
from convfe_core.backbones.network import open_network
from convfe_core.base.errors import ModelFileError
from convfe_core.catalog.specs import parse_spec
from convfe_core.maps.extraction import extract_maps
from convfe_core.maps.input_size import Size
from convfe_core.user_models.open_model import open_model
from convfe_core.user_models.read_model_file import load_model_file
from tests.support.builders import photo
from tests.user_models.test_open_model import saved

FORMATS = ("m.keras", "m.h5")


def maps_of(text: str):
    return next(extract_maps(load_backbone(parse_spec(text)), [photo(64, 64)], Size("64")))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_a_model_as_in_keras_own_tutorial_opens_from_both_files_and_takes_pixels_as_they_are(
    tmp_path: Path, real_weights: Path
) -> None:
    import keras

    name = "MobileNet-0.25"  # where the tutorial has MobileNetV2, whose twice as many layers are opened likewise
    backbone = open_network(parse_spec(name)).model
    augmentation = keras.Sequential([keras.layers.RandomFlip("horizontal"), keras.layers.RandomRotation(0.2)])
    picture = keras.Input((64, 64, 3))
    x = keras.applications.mobilenet.preprocess_input(augmentation(picture))
    x = keras.layers.GlobalAveragePooling2D()(backbone(x, training=False))
    model = keras.Model(picture, keras.layers.Dense(1, activation="sigmoid")(keras.layers.Dropout(0.2)(x)))
    real = maps_of(name)
    for file in FORMATS:
        opened = open_model(saved(model, tmp_path / file))
        assert opened.opened_with.startswith("Keras 3")
        assert (opened.architecture.name, opened.scaling.mode) == (name, "raw")
        assert "true_divide" in opened.scaling.reason
        mine = maps_of(f"mine={tmp_path / file}")
        np.testing.assert_allclose(mine.max, real.max, atol=1e-5 * np.ptp(real.max))
        np.testing.assert_allclose(mine.mean, real.mean, atol=1e-5 * np.ptp(real.mean))


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("family", ["vgg16", "densenet", "mobilenet_v2", "efficientnet"])
@pytest.mark.parametrize("side", [32, None])
def test_what_each_family_does_to_its_pixels_inside_a_model_is_seen(
    tmp_path: Path, family: str, side: int | None
) -> None:
    import keras

    picture = keras.Input((side, side, 3))
    scaled = getattr(keras.applications, family).preprocess_input(picture)
    model = keras.Model(picture, keras.layers.Conv2D(4, 3, 2, "same", activation="relu", name="last")(scaled))
    batch = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)
    for file in FORMATS:
        opened = open_model(saved(model, tmp_path / file))
        assert opened.scaling.mode == ("unit" if family == "efficientnet" else "raw")  # which scales in its layers
        np.testing.assert_array_equal(np.asarray(opened.model(batch)), np.asarray(model(batch)))


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_an_operation_is_told_from_a_layer_of_the_same_name(tmp_path: Path) -> None:
    import keras

    ops = keras.ops
    keras.utils.set_random_seed(5)
    picture = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(4, 3, 2, "same")(picture / 127.5 - 1)
    x = keras.layers.Subtract()([x, ops.relu6(x * 2.0)])
    x = keras.layers.Concatenate()([x, ops.concatenate([x, ops.maximum(x, 0.0)], axis=-1)])
    x = ops.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])[:, 1:-1, 1:-1, :]
    x = keras.layers.Softmax()(ops.softmax(x)) + ops.mean(x, axis=-1, keepdims=True)
    model = keras.Model(picture, keras.layers.Conv2D(5, 1, name="last")(ops.cast(x, "float32")))
    batch = np.random.default_rng(0).uniform(0, 255, (1, 16, 16, 3)).astype(np.float32)
    for file in FORMATS:
        opened = open_model(saved(model, tmp_path / file))
        np.testing.assert_array_equal(np.asarray(opened.model(batch)), np.asarray(model(batch)))


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"class_name": "Arange"}, "'Arange'"),
        ({"module": "os"}, "'TrueDivide' from 'os'"),
        ({"registered_name": "mine>TrueDivide"}, "'TrueDivide'"),
    ],
    ids=["an operation that makes arrays", "another module", "a registered class"],
)
def test_an_operation_that_is_not_on_the_list_is_refused(tmp_path: Path, change: dict, word: str) -> None:
    import keras

    picture = keras.Input((8, 8, 3))
    path = saved(keras.Model(picture, keras.layers.Conv2D(2, 3)(picture / 255.0)), tmp_path / "m.h5")
    with h5py.File(path, "a") as file:
        config = json.loads(file.attrs["model_config"])
        next(one for one in config["config"]["layers"] if one["class_name"] == "TrueDivide").update(change)
        file.attrs["model_config"] = json.dumps(config)
    with pytest.raises(ModelFileError, match=rf"layer 'true_divide\w*' is (Keras' )?{word}"):
        load_model_file(path)
