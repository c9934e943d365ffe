"""Calls of TensorFlow inside models of Keras 2: each is what tf-keras computes, read from a file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from convfe_core.base.errors import ModelFileError
from convfe_core.user_models.flatten import flatten_model
from convfe_core.user_models.open_model import open_model
from convfe_core.user_models.read_model_file import load_model_file
from tests.user_models.test_open_model import saved

COLOURS = [103.0, 117.0, 124.0]
SIDE = 12


def picture_values(side: int = SIDE, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (2, side, side, channels)).astype(np.float32)


def arithmetic(tf: Any, x: Any) -> list[Any]:
    constant = tf.constant(COLOURS)
    return [
        *(x + COLOURS, x - COLOURS, x * COLOURS, x / COLOURS, COLOURS - x, 2.0 - x, 2.0 / (x + 1.0), -x),
        *(x - constant, constant / (x + 1.0), np.float32(COLOURS) * x, x**0.5, x // 7.0, x % 7.0, abs(x - 100.0)),
        *(tf.add(x, 1.0), tf.subtract(x, np.float32(COLOURS)), tf.multiply(2.0, x), tf.divide(x, constant)),
        *(tf.realdiv(x, 3.0), tf.math.divide_no_nan(x, [0.0, 1.0, 2.0]), tf.math.scalar_mul(2.0, x), tf.add_n([x, x])),
        *(tf.sqrt(x), tf.math.rsqrt(x + 1.0), tf.square(x), tf.math.squared_difference(x, 1.0), tf.exp(-x)),
        *(tf.math.log(x + 1.0), tf.math.log1p(x), tf.math.expm1(-x), tf.round(x), tf.math.floor(x), tf.math.ceil(x)),
        *(tf.sign(x - 9.0), tf.maximum(x, 9.0), tf.minimum(9.0, x), tf.math.reciprocal(x + 1.0), tf.math.erf(x / 255)),
        *(tf.sin(x), tf.cos(x), tf.math.atan2(x, x + 1.0), tf.clip_by_value(x, 50.0, [60.0, 70.0, 80.0])),
        *(tf.cast(x, tf.float32), tf.cast(tf.cast(x, "int32"), tf.float32), tf.identity(x), tf.stop_gradient(x)),
        *(tf.where(x > 9.0, x, 0.0), tf.cast(tf.math.logical_and(x > 9.0, x <= 99.0), tf.float32)),
        *(tf.zeros_like(x), tf.ones_like(x), tf.math.pow(x, 2.0), tf.debugging.check_numerics(x, "numbers")),
        *(tf.linalg.matmul(x, tf.ones((3, 4))), tf.tensordot(x, tf.ones((3, 2)), 1)),
        tf.matmul(x, x, transpose_b=True),
        *(tf.image.convert_image_dtype(x, tf.float32), tf.one_hot(tf.argmax(x, -1), 3), tf.math.l2_normalize(x, -1)),
    ]


def activations(tf: Any, x: Any) -> list[Any]:
    import tf_keras

    x = (x - 128.0) / 40.0
    nn, own, backend = tf.nn, tf_keras.activations, tf_keras.backend
    return [
        *(nn.relu(x), nn.relu6(x), nn.leaky_relu(x), nn.leaky_relu(x, alpha=0.1), nn.elu(x), nn.selu(x), nn.gelu(x)),
        *(nn.gelu(x, approximate=True), nn.silu(x), nn.swish(x), nn.softmax(x), nn.softmax(x, axis=1), nn.tanh(x)),
        *(nn.log_softmax(x), nn.softplus(x), nn.sigmoid(x), nn.softsign(x), nn.crelu(x), nn.lrn(x, 2)),
        *(nn.bias_add(x, [1.0, 2.0, 3.0]), nn.l2_normalize(x, -1), nn.local_response_normalization(x, 1)),
        *(own.relu(x, max_value=6.0), own.mish(x), own.hard_sigmoid(x), own.gelu(x), own.softmax(x), own.swish(x)),
        *(backend.relu(x, max_value=6), backend.hard_sigmoid(x), backend.clip(x, 0, 1), backend.l2_normalize(x, -1)),
        *(backend.bias_add(x, backend.constant([1.0, 2.0, 3.0])), backend.sqrt(x), backend.pow(x, 2)),
        *(backend.mean(x, axis=[1, 2]), backend.std(x, -1), backend.max(x, axis=-1)),
        nn.batch_normalization(x, *np.asarray([[0.1, 0.2, 0.3], [1, 2, 3], [0, 1, 2], [4, 5, 6]], np.float32), 1e-3),
    ]


def places(tf: Any, x: Any) -> list[Any]:
    from tf_keras import backend

    grey = x[..., :1]
    one, two, three = tf.split(x, 3, axis=-1)
    first, second = tf.split(x, [1, -1], -1)
    red, _, blue = tf.unstack(x, axis=-1)
    return [
        *(x[..., ::-1], x[:, 2:-2, 1:], x[:, ::2, ::2, 1:2], x[:, None], x[..., 0], x[..., tf.newaxis], x[:, -1]),
        *(tf.concat([three, two, one], -1), tf.concat([second, first], axis=3), tf.stack([red, blue], -1)),
        *(tf.expand_dims(red, -1), tf.squeeze(grey, -1), tf.reshape(x, [-1, SIDE * SIDE, 3])),
        *(tf.reshape(x, [tf.shape(x)[0], SIDE * SIDE, 3]), tf.reshape(x, (-1, SIDE, SIDE // 2, 6))),
        *(tf.transpose(x, [0, 3, 1, 2]), tf.pad(x, [[0, 0], [1, 2], [3, 4], [0, 0]])),
        *(
            tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], "REFLECT"),
            tf.pad(x, [[0, 0]] * 3 + [[0, 1]], constant_values=7),
        ),
        *(tf.tile(x, [1, 1, 1, 2]), tf.repeat(x, 2, axis=-1), tf.reverse(x, [-1]), tf.gather(x, [2, 1, 0], axis=-1)),
        *(tf.slice(x, [0, 1, 2, 0], [-1, 8, 8, 3]), tf.strided_slice(x, [0, 1, 2, 0], [2, 8, 8, 3], [1, 2, 1, 1])),
        *(tf.roll(x, 1, 1), tf.reduce_mean(x, [1, 2], keepdims=True)),
        *(tf.reduce_max(x, -1), tf.reduce_sum(x, axis=[1, 2]), tf.reduce_min(x, 1), tf.math.reduce_std(x, [1, 2])),
        *(tf.math.reduce_variance(x, -1), tf.reduce_logsumexp(x / 255.0, -1), tf.norm(x, axis=-1)),
        *(tf.nn.space_to_depth(x, 2), tf.nn.depth_to_space(tf.concat([x] * 4, -1), 2), *tf.nn.moments(x, [1, 2])),
        *(tf.nn.max_pool2d(x, 2, 2, "SAME"), tf.nn.max_pool(x, 3, 2, "VALID"), tf.nn.avg_pool(x, 2, 2, "VALID")),
        *(tf.nn.avg_pool2d(x, 3, 1, "SAME"), backend.pool2d(x, (2, 2)), backend.pool2d(x, (2, 2), pool_mode="avg")),
        *(tf.nn.conv2d(x, picture_values(3)[:1].transpose(1, 2, 3, 0) / 255.0, 2, "SAME"), backend.squeeze(grey, -1)),
        tf.nn.depthwise_conv2d(x, np.ones((3, 3, 3, 2), np.float32), [1, 1, 1, 1], "SAME"),
        *(tf.pad(x, [[0, 0], [1, 1], [0, 0], [0, 0]], "CONSTANT", 7.0), tf.gather(x, [2, 0], None, 3)),
        *(tf.nn.conv2d(x, tf.ones((3, 3, 3, 2)), 1, "SAME", "NHWC", 2), tf.nn.max_pool(x, 2, 2, "SAME", "NHWC")),
        *(backend.conv2d(x, tf.ones((3, 3, 3, 2))), backend.repeat_elements(x, 2, -1), backend.reverse(x, 1)),
        *(
            backend.resize_images(x, 2, 2, "channels_last"),
            backend.spatial_2d_padding(x),
            backend.dot(x, tf.ones((3, 2))),
        ),
        *(backend.permute_dimensions(x, (0, 2, 1, 3)), backend.concatenate([x, x]), backend.tile(x, [1, 2, 1, 1])),
    ]


def pictures(tf: Any, x: Any) -> list[Any]:
    image, grey = tf.image, x[..., 1:2]
    return [
        *(image.grayscale_to_rgb(grey), image.rgb_to_grayscale(x), image.per_image_standardization(x)),
        *(image.rgb_to_hsv(x / 255.0), image.hsv_to_rgb(x / 255.0), image.rgb_to_yuv(x), image.flip_left_right(x)),
        *(image.flip_up_down(x), image.adjust_contrast(x, 2.0), image.adjust_brightness(x, 9.0)),
        *(
            image.adjust_gamma(x / 255.0, 0.5, 2.0),
            image.central_crop(x, 0.5),
            image.crop_to_bounding_box(x, 1, 2, 5, 6),
        ),
        *(image.pad_to_bounding_box(x, 1, 2, 20, 30), image.resize_with_crop_or_pad(x, 9, 15)),
        *(image.resize_with_crop_or_pad(x, 17, 7), image.resize(x, (8, 10)), image.resize(x, (30, 20), "nearest")),
        *(image.resize(x, (7, 7), method="bicubic"), image.resize(x, (5, 5), antialias=True)),
        *(image.resize(grey, tf.shape(x)[1:3] * 2), image.resize(x, tf.shape(x)[1:3] // 2)),
    ]


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("calls", [arithmetic, activations, places, pictures])
def test_each_call_of_tensorflow_is_what_tf_keras_computes(tmp_path: Path, calls: Callable[..., list[Any]]) -> None:
    import tensorflow as tf
    import tf_keras

    picture = tf_keras.Input((SIDE, SIDE, 3))
    made = calls(tf, picture)
    wide = [tf_keras.layers.Flatten()(one) if len(one.shape) > 1 else tf.expand_dims(one, -1) for one in made]
    model = tf_keras.Model(picture, tf_keras.layers.Concatenate()(wide))
    loaded, opened_with = load_model_file(saved(model, tmp_path / "m.h5"))
    assert opened_with.startswith("tf-keras")
    ends = np.cumsum([one.shape[-1] for one in wide])[:-1]
    got = np.split(np.asarray(flatten_model(loaded)(picture_values())), ends, axis=-1)
    want = np.split(np.asarray(model(picture_values())), ends, axis=-1)
    for call, mine, theirs in zip(made, got, want, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-4, err_msg=str(call))


MODES = ("caffe", "tf", "torch")


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("side", [32, None])
def test_what_preprocess_input_of_keras_2_does_inside_a_model_is_done(
    tmp_path: Path, mode: str, side: int | None
) -> None:
    import tf_keras

    picture = tf_keras.Input((side, side, 3))
    x = tf_keras.applications.imagenet_utils.preprocess_input(picture, mode=mode)
    model = tf_keras.Model(picture, tf_keras.layers.Conv2D(4, 3, 2, name="last")(x))
    opened = open_model(saved(model, tmp_path / "m.h5"))
    assert opened.scaling.mode == "raw"
    assert opened.native == (None if side is None else (side, side))
    np.testing.assert_allclose(
        np.asarray(opened.model(picture_values(32))), np.asarray(model(picture_values(32))), rtol=1e-4, atol=1e-3
    )


def test_whole_numbers_become_a_picture_of_0_to_1_where_a_model_says_so() -> None:
    import tensorflow as tf
    import tf_keras

    picture = tf_keras.Input((SIDE, SIDE, 3), dtype="uint8")
    model = tf_keras.Model(picture, tf_keras.layers.Conv2D(2, 1)(tf.image.convert_image_dtype(picture, tf.float32)))
    pixels = np.round(picture_values())
    np.testing.assert_allclose(
        np.asarray(flatten_model(model)(pixels)), np.asarray(model(pixels.astype(np.uint8))), atol=1e-5
    )


def node(name: str, before: str | list[str], op: str, constants: dict[str, Any], **attributes: Any) -> dict[str, Any]:
    """A layer as TensorFlow 2.0 to 2.3 wrote it."""
    sources = [before] if isinstance(before, str) else before
    return {
        "class_name": "TensorFlowOpLayer",
        "name": name,
        "config": {
            "name": name.removeprefix("tf_op_layer_"),
            "trainable": True,
            "dtype": "float32",
            "node_def": {
                "name": op,
                "op": op,
                "input": [f"i{place}" for place in range(len(sources) + len(constants))],
                "attr": {"T": {"type": "DT_FLOAT"}, **attributes},
            },
            "constants": constants,
        },
        "inbound_nodes": [[[source, 0, 0, {}] for source in sources]],
    }


MASKS = {f"{name}_mask": {"i": "0"} for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")}
WHOLE = {"type": "DT_INT32"}
NODES: dict[str, tuple[dict[str, Any], dict[str, Any], Callable[[Any, np.ndarray], Any]]] = {
    "RealDiv": ({"1": COLOURS}, {}, lambda _, x: x / np.float32(COLOURS)),
    "Sub": ({"0": COLOURS}, {}, lambda _, x: np.float32(COLOURS) - x),
    "Mul": ({"1": COLOURS}, {}, lambda _, x: x * np.float32(COLOURS)),
    "AddV2": ({"1": -1.0}, {}, lambda _, x: x - 1),
    "Maximum": ({"1": 9.0}, {}, lambda _, x: np.maximum(x, 9)),
    "BiasAdd": ({"1": COLOURS}, {"data_format": {"s": "TkhXQw=="}}, lambda _, x: x + np.float32(COLOURS)),
    "Relu6": ({}, {}, lambda tf, x: tf.nn.relu6(x)),
    "LeakyRelu": ({}, {"alpha": {"f": 0.1}}, lambda tf, x: tf.nn.leaky_relu(x - 0.0, 0.1)),
    "Cast": ({}, {"SrcT": {"type": "DT_FLOAT"}, "DstT": {"type": "DT_FLOAT"}, "T": None}, lambda _, x: x),
    "ReverseV2": ({"1": [-1]}, {"Tidx": WHOLE}, lambda _, x: x[..., ::-1]),
    "StridedSlice": (
        {"1": [0, 2, 0, 0], "2": [0, -2, 0, 0], "3": [1, 1, 2, -1]},
        {**MASKS, "begin_mask": {"i": "13"}, "end_mask": {"i": "13"}, "Index": WHOLE},
        lambda _, x: x[:, 2:-2, ::2, ::-1],
    ),
    "Pad": (
        {"1": [[0, 0], [1, 2], [3, 4], [0, 0]]},
        {"Tpaddings": WHOLE},
        lambda tf, x: tf.pad(x, [[0, 0], [1, 2], [3, 4], [0, 0]]),
    ),
    "Mean": ({"1": [1, 2]}, {"Tidx": WHOLE, "keep_dims": {"b": True}}, lambda _, x: x.mean((1, 2), keepdims=True)),
    "Tile": ({"1": [1, 1, 1, 2]}, {"Tmultiples": WHOLE}, lambda _, x: np.tile(x, 2)),
    "Reshape": ({"1": [-1, SIDE, SIDE // 2, 6]}, {"Tshape": WHOLE}, lambda _, x: x.reshape(-1, SIDE, SIDE // 2, 6)),
    "ResizeBilinear": (
        {"1": [20, 7]},
        {"half_pixel_centers": {"b": True}, "align_corners": {"b": False}},
        lambda tf, x: tf.image.resize(x, (20, 7)),
    ),
    "MaxPool": (
        {},
        {
            "ksize": {"list": {"i": ["1", "2", "2", "1"]}},
            "strides": {"list": {"i": ["1", "2", "2", "1"]}},
            "padding": {"s": "U0FNRQ=="},
            "data_format": {"s": "TkhXQw=="},
        },
        lambda tf, x: tf.nn.max_pool2d(x, 2, 2, "SAME"),
    ),
}


def described(*layers: dict[str, Any]) -> dict[str, Any]:
    shape = {"batch_input_shape": [None, SIDE, SIDE, 3], "dtype": "float32", "name": "picture"}
    picture = {"class_name": "InputLayer", "name": "picture", "config": shape, "inbound_nodes": []}
    ends = {"input_layers": [["picture", 0, 0]], "output_layers": [[layers[-1]["name"], 0, 0]]}
    return {"class_name": "Functional", "config": {"name": "m", "layers": [picture, *layers], **ends}}


def hdf5(path: Path, config: dict[str, Any]) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["keras_version"], file.attrs["backend"] = "2.4.0", "tensorflow"
        file.create_group("model_weights").attrs["layer_names"] = []
        file["model_weights"].attrs["keras_version"] = "2.4.0"
        file["model_weights"].attrs["backend"] = "tensorflow"
    return path


@pytest.mark.parametrize("op", NODES)
def test_a_node_that_tensorflow_2_0_to_2_3_wrote_is_what_it_computes(tmp_path: Path, op: str) -> None:
    import tensorflow as tf

    constants, attributes, expected = NODES[op]
    layer = node("tf_op_layer_op", "picture", op, constants, **attributes)
    layer["config"]["node_def"]["attr"] = {k: v for k, v in layer["config"]["node_def"]["attr"].items() if v}
    loaded, _ = load_model_file(hdf5(tmp_path / "m.h5", described(layer)))
    flat = flatten_model(loaded)
    assert flat.operations[-1].name == "tf_op_layer_op"
    np.testing.assert_allclose(
        np.asarray(flat(picture_values())), np.asarray(expected(tf, picture_values())), rtol=1e-4, atol=1e-3
    )


def test_nodes_of_several_inputs_and_outputs_open(tmp_path: Path) -> None:
    split = node("tf_op_layer_split", "picture", "Split", {"0": 3}, num_split={"i": "3"})
    joined = node("tf_op_layer_concat", "", "ConcatV2", {"2": 3}, N={"i": "2"}, Tidx=WHOLE)
    joined["inbound_nodes"] = [[["tf_op_layer_split", 0, 2, {}], ["tf_op_layer_split", 0, 0, {}]]]
    joined["config"]["node_def"]["input"] = ["a", "b", "axis"]
    loaded, _ = load_model_file(hdf5(tmp_path / "m.h5", described(split, joined)))
    got = np.asarray(flatten_model(loaded)(picture_values()))
    np.testing.assert_array_equal(got, picture_values()[..., [2, 0]])


def test_a_resize_of_tensorflow_1_is_refused_in_a_sentence(tmp_path: Path) -> None:
    layer = node(
        "tf_op_layer_resize",
        "picture",
        "ResizeBilinear",
        {"1": [20, 7]},
        align_corners={"b": True},
        half_pixel_centers={"b": False},
    )
    loaded, _ = load_model_file(hdf5(tmp_path / "m.h5", described(layer)))
    with pytest.raises(ModelFileError, match="resizes as TensorFlow 1 did, by corners instead of pixel centres"):
        flatten_model(loaded)


def test_names_of_calls_can_be_chosen_as_layers_and_do_not_collide() -> None:
    import tensorflow as tf
    import tf_keras

    picture = tf_keras.Input((SIDE, SIDE, 3))
    x = tf_keras.layers.Conv2D(3, 1, name="true_divide")(picture / 255.0)
    model = tf_keras.Model(picture, tf_keras.layers.Add(name="add")([x, tf.nn.relu(1.0 - x) + 1.0]))
    names = [operation.name for operation in flatten_model(model).operations]
    assert {"true_divide", "add"} <= set(names)
    assert any(name.startswith("tf.nn.relu") for name in names)
    assert len(names) == len(set(names))


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("file", ["m.h5", "m.keras"])
@pytest.mark.parametrize("sides", [(16, 20), (8, 30)])
def test_a_random_crop_of_keras_2_makes_pictures_of_its_size_as_keras_2_does(
    tmp_path: Path, file: str, sides: tuple[int, int]
) -> None:
    import tf_keras

    picture = tf_keras.Input((*sides, 3))
    model = tf_keras.Model(picture, tf_keras.layers.Conv2D(2, 1)(tf_keras.layers.RandomCrop(SIDE, SIDE)(picture)))
    loaded, _ = load_model_file(saved(model, tmp_path / file))
    values = np.random.default_rng(0).uniform(0, 255, (1, *sides, 3)).astype(np.float32)
    want = np.asarray(model(values, training=False))
    np.testing.assert_allclose(np.asarray(flatten_model(loaded)(values)), want, atol=1e-3)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_a_random_crop_of_keras_2_is_none_of_keras_3_where_that_could_read_it(tmp_path: Path) -> None:
    import tf_keras

    layers = [tf_keras.Input((16, 20, 3)), tf_keras.layers.RandomCrop(SIDE, SIDE), tf_keras.layers.ReLU(name="last")]
    path = saved(tf_keras.Sequential(layers), tmp_path / "m.h5")
    with h5py.File(path, "a") as file:  # as TensorFlow 2.3 to 2.8 wrote it
        file.attrs["model_config"] = file.attrs["model_config"].replace('"rng_type": "stateful", ', "")
    loaded, opened_with = load_model_file(path)
    assert opened_with.startswith("tf-keras")
    assert flatten_model(loaded).output_shape == (None, SIDE, SIDE, 3)
