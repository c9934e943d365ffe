"""Heads of users' models, of both Keras versions: whatever comes after the map, the map before it is shown."""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convfe_core.model_files.allowed_names import layers_of_applications
from convfe_core.user_models.flatten import flatten_model
from convfe_core.user_models.open_model import open_model
from tests.user_models.test_open_model import saved

SIDE = 16
FORMATS = ("m.keras", "m.h5")


def pixels() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 1, (1, SIDE, SIDE, 3)).astype(np.float32)


def network(keras: Any, head: Any) -> tuple[Any, Any]:
    """A convolution to 8 x 8 cells of 6 channels with a head after it; the whole and the part before the head."""
    picture = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Conv2D(6, 3, 2, "same", activation="relu", name="map")(picture)
    return keras.Model(picture, head(keras.layers, x)), keras.Model(picture, x)


def rows(layers: Any, x: Any) -> Any:
    return layers.Reshape((64, 6))(x)


HEADS = {
    "dense": lambda la, x: la.Dense(3, kernel_regularizer="l2", kernel_constraint="max_norm")(la.Flatten()(x)),
    "attention": lambda la, x: la.Flatten()(la.MultiHeadAttention(2, 4)(rows(la, x), rows(la, x))),
    "plain attention": lambda la, x: la.Attention()([rows(la, x), rows(la, x)]),
    "additive attention": lambda la, x: la.AdditiveAttention()([rows(la, x), rows(la, x)]),
    "gru": lambda la, x: la.GRU(4)(rows(la, x)),
    "lstm of cells": lambda la, x: la.RNN([la.LSTMCell(4), la.LSTMCell(3)])(rows(la, x)),
    "bidirectional": lambda la, x: la.Bidirectional(la.LSTM(4, return_sequences=True))(rows(la, x)),
    "two ways": lambda la, x: la.Bidirectional(la.GRU(4), backward_layer=la.GRU(3, go_backwards=True))(rows(la, x)),
    "over time": lambda la, x: la.TimeDistributed(la.Dense(4))(rows(la, x)),
    "states": lambda la, x: la.Concatenate()(la.LSTM(4, return_state=True)(rows(la, x))),
    "normalised": lambda la, x: la.Dense(2)(la.UnitNormalization()(la.LayerNormalization()(la.Flatten()(x)))),
    "embedding": lambda la, x: la.Embedding(9, 4)(la.Dense(2, activation="sigmoid")(la.Flatten()(x))),
    "repeated": lambda la, x: la.SimpleRNN(3)(la.RepeatVector(5)(la.GlobalMaxPooling2D()(x))),
    "one dimension": lambda la, x: la.SeparableConv1D(4, 3)(la.ZeroPadding1D(1)(rows(la, x))),
}


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("version", ["keras", "tf_keras"])
def test_a_model_with_any_head_shows_the_map_before_it(tmp_path: Path, head: str, version: str) -> None:
    keras = pytest.importorskip(version)
    whole, part = network(keras, HEADS[head])
    opened = open_model(saved(whole, tmp_path / ("m.keras" if version == "keras" else "m.h5")))
    np.testing.assert_allclose(np.asarray(opened.model(pixels())), np.asarray(part(pixels())), atol=1e-5)
    flat = flatten_model(whole)
    np.testing.assert_allclose(np.asarray(flat(pixels())), np.asarray(whole(pixels())), atol=1e-5)


@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
def test_a_quantized_model_opens(tmp_path: Path, mode: str) -> None:
    import keras

    whole, part = network(keras, lambda la, x: la.Dense(3)(la.EinsumDense("abc,cd->abd", (64, 4))(rows(la, x))))
    whole.quantize(mode)
    opened = open_model(saved(whole, tmp_path / "m.keras"))
    np.testing.assert_allclose(np.asarray(opened.model(pixels())), np.asarray(part(pixels())), atol=1e-5)


def test_a_model_with_lora_opens_with_what_lora_added(tmp_path: Path) -> None:
    import keras

    whole, _ = network(keras, lambda la, x: la.Conv2D(5, 3, name="last")(la.BatchNormalization()(x)))
    for name in ("map", "last"):
        whole.get_layer(name).enable_lora(2)
        whole.get_layer(name).lora_kernel_b.assign(np.ones(whole.get_layer(name).lora_kernel_b.shape))
    np.testing.assert_allclose(np.asarray(flatten_model(whole)(pixels())), np.asarray(whole(pixels())), atol=1e-5)
    opened = open_model(saved(whole, tmp_path / "m.keras"))
    np.testing.assert_allclose(np.asarray(opened.model(pixels())), np.asarray(whole(pixels())), atol=1e-5)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_operations_of_several_outputs_open_from_both_files(tmp_path: Path) -> None:
    import keras

    picture = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(8, 3, 2, "same")(picture)
    first, second = keras.ops.split(x, 2, axis=-1)
    red, *others = keras.ops.unstack(keras.layers.Conv2D(3, 1)(second), axis=-1)
    x = keras.layers.Concatenate()([first, keras.ops.stack([red, *others], axis=-1), keras.ops.repeat(second, 2, -1)])
    model = keras.Model(picture, keras.layers.Conv2D(4, 3, padding="same")(x))
    for file in FORMATS:
        opened = open_model(saved(model, tmp_path / file))
        np.testing.assert_allclose(np.asarray(opened.model(pixels())), np.asarray(model(pixels())), atol=1e-5)


def test_pictures_pass_layers_for_training_as_they_are(tmp_path: Path) -> None:
    import keras

    la = keras.layers
    picture = keras.Input((SIDE, SIDE, 3))
    x = la.RandomCrop(12, 12)(la.RandomFlip()(la.MixUp()(picture)))
    x = la.Pipeline([la.RandomErasing(0.5), la.RandomHue(0.5, value_range=(0, 1))])(x)
    model = keras.Model(picture, la.Conv2D(4, 3, padding="same")(x))
    opened = open_model(saved(model, tmp_path / "m.keras"))
    want = model.layers[-1](pixels())
    np.testing.assert_allclose(np.asarray(opened.model(pixels())), np.asarray(want), atol=1e-5)


@pytest.mark.parametrize("package", ["keras", "tf_keras"])
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_layers_that_applications_have_for_themselves_open_from_both_versions_and_files(
    tmp_path: Path, package: str, suffix: str
) -> None:
    maker = import_module(package)
    own = layers_of_applications(package)
    la = maker.layers
    picture = la.Input((SIDE, SIDE, 3))
    x = la.Conv2D(4, 3, strides=2, padding="same")(picture)
    x = own["CustomScaleLayer"](scale=0.2)([x, la.Conv2D(4, 3, padding="same")(x)])
    x = la.Add()([x, own["StochasticDepth"](0.5)(own["LayerScale"](0.3, 4)(x))])
    model = maker.Model(picture, la.Conv2D(4, 1)(x))
    model.save(tmp_path / f"m{suffix}")
    opened = open_model(tmp_path / f"m{suffix}")
    want = np.asarray(model(pixels()))
    np.testing.assert_allclose(np.asarray(opened.model(pixels())), want, atol=1e-5)
    assert opened.notes == ()
