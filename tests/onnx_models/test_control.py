"""The control of an ONNX file has weights as before training, and nothing else of it changes."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from convfe_core.base.errors import ModelFileError
from convfe_core.onnx_models.control import without_training
from convfe_core.onnx_models.opening import open_onnx
from tests.onnx_models.made_graphs import convolution, graph_of, kernel, numbers, written


def node(kind: str, *inputs: str, output: str, **settings):
    return helper.make_node(kind, list(inputs), [output], **settings)


@pytest.fixture
def graph(tmp_path):
    """Pixels are scaled, convolved, shifted and multiplied, put through a hard swish, and weighed by a matrix."""
    first, weight = convolution("conv", "scaled", (3, 8), 3, 2)
    first.input.append("bias")
    nodes = [
        node("Sub", "picture", "mean", output="moved"),
        node("Div", "moved", "deviation", output="scaled"),
        first,
        node("Mul", "conv", "gain", output="gained"),
        node("Add", "gained", "shift", output="shifted"),
        node("Add", "shifted", "three", output="up"),
        node("Clip", "up", "zero", "six", output="gate"),
        node("Mul", "shifted", "gate", output="swished"),
        node("GlobalAveragePool", "swished", output="pooled"),
        node("Flatten", "pooled", output="flat"),
        node("Transpose", "head", output="turned", perm=[1, 0]),
        node("MatMul", "flat", "turned", output="classes"),
    ]
    wide = (8, 1, 1)
    weights = [
        weight,
        numbers("mean", np.full((3, 1, 1), 100), np.float32),
        numbers("deviation", np.full((3, 1, 1), 50), np.float32),
        numbers("bias", range(8), np.float32),
        numbers("gain", np.full(wide, 7), np.float32),
        numbers("shift", np.full(wide, 5), np.float32),
        numbers("three", 3, np.float32),
        numbers("zero", 0, np.float32),
        numbers("six", 6, np.float32),
        kernel("head", 10, 8),
    ]
    return open_onnx(written(graph_of(nodes, weights, picture=(1, 3, 16, 16)), tmp_path / "net.onnx"))


def values(graph) -> dict[str, np.ndarray]:
    return {name: numpy_helper.to_array(tensor) for name, tensor in graph.weights.items()}


def test_kernels_are_drawn_shifts_are_0_gains_are_1_and_the_rest_stays(graph):
    before, after = values(graph), values(without_training(graph, 3))
    limit = np.sqrt(6 / ((8 + 3) * 9))
    fresh = after["conv.weight"]
    assert np.abs(fresh).max() <= limit
    assert fresh.std() == pytest.approx(limit / np.sqrt(3), rel=0.15)
    assert abs(np.corrcoef(fresh.ravel(), before["conv.weight"].ravel())[0, 1]) < 0.25
    assert np.abs(after["head"]).max() <= np.sqrt(6 / 18)
    assert not after["bias"].any()
    assert not after["shift"].any()
    assert (after["gain"] == 1).all()
    for name in ("mean", "deviation", "three", "zero", "six"):
        np.testing.assert_array_equal(after[name], before[name])


def test_the_same_seed_gives_the_same_weights_and_the_file_keeps_its_own(graph):
    before = values(graph)
    one, two, other = (values(without_training(graph, seed)) for seed in (1, 1, 2))
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert not np.array_equal(one["conv.weight"], other["conv.weight"])
    assert all(np.array_equal(before[name], now) for name, now in values(graph).items())


def test_what_normalises_is_as_before_training(tmp_path):
    first, weight = convolution("conv", "picture", (3, 4), 3, 2)
    names = ["gain", "shift", "mean", "variance"]
    nodes = [first, node("BatchNormalization", "conv", *names, output="normed")]
    stored = [numbers(name, [2, 3, 4, 5], np.float32) for name in names]
    made = values(without_training(open_onnx(written(graph_of(nodes, [weight, *stored]), tmp_path / "m.onnx")), 0))
    assert [made[name].tolist() for name in names] == [[1] * 4, [0] * 4, [0] * 4, [1] * 4]


def test_whole_numbers_and_graphs_without_kernels_have_no_control(tmp_path):
    whole = numpy_helper.from_array(np.ones((4, 3, 3, 3), np.int8), "w")
    nodes = [
        node("Cast", "w", output="k", to=TensorProto.FLOAT),
        node("Conv", "picture", "k", output="conv"),
    ]
    with pytest.raises(ModelFileError, match="no untrained control: expected kernels of floating-point"):
        without_training(open_onnx(written(graph_of(nodes, [whole]), tmp_path / "whole.onnx")), 0)
    plain = graph_of([node("Relu", "picture", output="out")])
    with pytest.raises(ModelFileError, match="no untrained control"):
        without_training(open_onnx(written(plain, tmp_path / "plain.onnx")), 0)


@pytest.mark.parametrize(
    ("kind", "shape", "keras_shape"),
    [
        ("Conv", (64, 32, 3, 3), (3, 3, 32, 64)),
        ("Conv", (1024, 1, 3, 3), (3, 3, 1024, 1)),
        ("MatMul", (96, 200), (96, 200)),
    ],
    ids=["convolution", "depthwise", "matrix"],
)
def test_kernels_are_drawn_as_keras_draws_them_so_that_both_controls_score_alike_on_average(
    kind, shape, keras_shape, tmp_path
):
    import keras

    drawn_by_keras = np.asarray(keras.initializers.GlorotUniform(seed=1)(keras_shape))
    source = "tokens" if kind == "MatMul" else "picture"
    nodes = [node(kind, source, "w", output="out", **({"group": shape[0]} if shape[1] == 1 else {}))]
    if kind == "MatMul":
        nodes.insert(0, node("Reshape", "picture", "sides", output="tokens"))
    weights = [kernel("w", *shape), numbers("sides", [0, -1, 96])]
    graph = open_onnx(written(graph_of(nodes, weights, picture=(1, 3, 32, 32)), tmp_path / "m.onnx"))
    drawn = values(without_training(graph, seed=3))["w"]
    assert drawn.std() == pytest.approx(drawn_by_keras.std(), rel=0.03)
    assert np.abs(drawn).max() == pytest.approx(np.abs(drawn_by_keras).max(), rel=0.01)
