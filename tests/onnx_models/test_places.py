"""Cells lie where the network really looks, measured by what a single bright pixel lights up."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from convfe_core.onnx_models.opening import open_onnx
from convfe_core.onnx_models.session import OnnxRun
from convfe_core.onnx_models.taps import OnnxMaps
from tests.onnx_models.made_graphs import convolution, graph_of, kernel, numbers, written

SIDE = 32


def node(kind: str, *inputs: str, output: str, **settings):
    return helper.make_node(kind, list(inputs), [output], **settings)


def ones(name: str, *shape: int):
    return numpy_helper.from_array(np.ones(shape, np.float32), name)


def conv(name: str, source: str, channels: int = 1, size: int = 3, stride: int = 1, **settings):
    made = node("Conv", source, f"{name}.w", output=name, strides=[stride] * 2, kernel_shape=[size] * 2, **settings)
    return made, ones(f"{name}.w", 1, channels, size, size)


def plain(**settings):
    first, weight = conv("a", "picture", 3, **settings)
    return [first], [weight]


def pooled():
    nodes, weights = plain(pads=[1] * 4)
    return [*nodes, node("MaxPool", "a", output="b", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)], weights


def pooled_over_the_edge():
    nodes, weights = plain()
    return [*nodes, node("AveragePool", "a", output="b", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)], weights


def padded_before():
    nodes, weights = plain(stride=2)
    pad = node("Pad", "picture", "pads", output="wide")
    nodes[0].input[0] = "wide"
    return [pad, *nodes], [*weights, numbers("pads", [0, 0, 0, 1, 0, 0, 1, 0])]


def cropped():
    nodes, weights = plain(pads=[1] * 4)
    cut = node("Slice", "a", "starts", "ends", "axes", "steps", output="b")
    given = {"starts": [4, 2], "ends": [2**63 - 1, -3], "axes": [2, 3], "steps": [2, 2]}
    return [*nodes, cut], [*weights, *(numbers(name, value) for name, value in given.items())]


def split():
    nodes, weights = plain(pads=[1] * 4)
    parts = helper.make_node("Split", ["a", "sizes"], ["rest", "b"], axis=2)
    return [*nodes, parts], [*weights, numbers("sizes", [10, 22])]


def enlarged():
    nodes, weights = plain(stride=4)
    return [
        *nodes,
        node("Resize", "a", "", "scales", output="b", mode="nearest", coordinate_transformation_mode="asymmetric"),
    ], [
        *weights,
        numbers("scales", [1, 1, 2, 2], np.float32),
    ]


def transposed():
    nodes, weights = plain(stride=4)
    up = node("ConvTranspose", "a", "up.w", output="b", strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1])
    return [*nodes, up], [*weights, ones("up.w", 1, 1, 3, 3)]


def space_to_depth():
    focus = node("SpaceToDepth", "picture", output="deep", blocksize=2)
    first, weight = conv("a", "deep", 12, pads=[1] * 4)
    return [focus, first], [weight]


def focus_of_slices():
    """YOLOv5's first layer: four slices of every second pixel, side by side."""
    nodes, weights = [], [numbers("axes", [2, 3]), numbers("ends", [2**63 - 1] * 2), numbers("steps", [2, 2])]
    for down in (0, 1):
        for across in (0, 1):
            name = f"s{down}{across}"
            weights.append(numbers(f"{name}.start", [down, across]))
            nodes.append(node("Slice", "picture", f"{name}.start", "ends", "axes", "steps", output=name))
    nodes.append(node("Concat", "s00", "s10", "s01", "s11", output="deep", axis=1))
    first, weight = conv("a", "deep", 12, pads=[1] * 4)
    return [*nodes, first], [*weights, weight]


def residual():
    nodes, weights = plain(pads=[1] * 4, stride=2)
    second, more = conv("b", "a", pads=[1] * 4)
    return [*nodes, second, node("Add", "a", "b", output="c")], [*weights, more]


def to_channels_last():
    nodes, weights = plain(pads=[1] * 4, stride=2)
    return [*nodes, node("Transpose", "a", output="b", perm=[0, 2, 3, 1])], weights


def turned_over():
    nodes, weights = plain(pads=[1] * 4, stride=2)
    return [*nodes, node("Transpose", "a", output="b", perm=[0, 1, 3, 2])], weights


def computed_reshape():
    """To tokens and back by sizes that are computed from the map, as PyTorch writes it."""
    nodes, weights = plain(pads=[1] * 4, stride=2)
    nodes += [
        node("Reshape", "a", "flat", output="tokens"),
        node("Transpose", "tokens", output="turned", perm=[0, 2, 1]),
        node("Softmax", "turned", output="soft", axis=-1),
        node("Mul", "soft", "turned", output="gated"),
        node("Transpose", "gated", output="back", perm=[0, 2, 1]),
        node("Shape", "a", output="shape"),
        node("Gather", "shape", "two", output="rows"),
        node("Unsqueeze", "rows", "zero", output="row"),
        node("Slice", "shape", "three", "four", output="column"),
        node("Concat", "minus", "one", "row", "column", output="sides", axis=0),
        node("Reshape", "back", "sides", output="b"),
    ]
    given = {"two": 2, "zero": [0], "three": [3], "four": [4], "minus": [-1], "one": [1], "flat": [0, 1, -1]}
    return nodes, [*weights, *(numbers(name, value) for name, value in given.items())]


def computed_padding():
    """TensorFlow's "same", by pads that are computed from the picture's sides, as timm writes it."""
    last, weight = conv("a", "padded", 3, size=5, stride=2)
    nodes = [
        node("Shape", "picture", output="shape"),
        node("Slice", "shape", "2", "4", output="whole"),
        node("Cast", "whole", output="sides", to=TensorProto.FLOAT),
        node("Div", "sides", "stride", output="steps"),
        node("Ceil", "steps", output="cells"),
        node("Mul", "cells", "stride", output="reach"),
        node("Add", "reach", "overlap", output="needed"),
        node("Sub", "needed", "sides", output="lacking"),
        node("Clip", "lacking", "none", output="pads"),
        node("Div", "pads", "stride", output="half"),
        node("Floor", "half", output="front"),
        node("Sub", "pads", "front", output="behind"),
        node("Concat", "nothing", "front", "nothing", "behind", output="both", axis=0),
        node("Cast", "both", output="widths", to=TensorProto.INT64),
        node("Pad", "picture", "widths", output="padded"),
        last,
    ]
    given = {"stride": 2.0, "overlap": 3.0, "none": 0.0, "nothing": [0.0, 0.0]}
    weights = [weight, *(numbers(name, value, np.float32) for name, value in given.items())]
    return nodes, [*weights, numbers("2", [2]), numbers("4", [4])]


def shifted_windows():
    """Swin's: the map goes round by 3 rows and 2 columns, is cut into windows, put together and turned back."""
    nodes, weights = plain(pads=[1] * 4, stride=2)
    weights += [numbers(name, [value]) for name, value in (("0", 0), ("end", 2**63 - 1))]

    def roll(source: str, first: dict[int, int]) -> str:
        for axis, cells in first.items():
            name = f"{source}.{axis}"
            weights.extend([numbers(f"{name}.at", [cells]), numbers(f"{name}.axis", [axis])])
            nodes.extend(
                [
                    node("Slice", source, f"{name}.at", "end", f"{name}.axis", output=f"{name}.last"),
                    node("Slice", source, "0", f"{name}.at", f"{name}.axis", output=f"{name}.first"),
                    node("Concat", f"{name}.last", f"{name}.first", output=name, axis=axis),
                ]
            )
            source = name
        return source

    nodes += [
        node("Reshape", roll("a", {2: 3, 3: -2}), "cut", output="cells"),
        node("Transpose", "cells", output="windows", perm=[0, 2, 4, 1, 3, 5]),
        node("Relu", "windows", output="attended"),
        node("Transpose", "attended", output="uncut", perm=[0, 3, 1, 4, 2, 5]),
        node("Reshape", "uncut", "whole", output="back"),
    ]
    weights += [numbers("cut", [-1, 1, 4, 4, 2, 8]), numbers("whole", [-1, 1, 16, 16])]
    nodes.append(node("Add", "a", roll("back", {2: -3, 3: 2}), output="b"))
    return nodes, weights


CASES = {
    "same": lambda: plain(auto_pad="SAME_UPPER", stride=2),
    "same, rest in front": lambda: plain(auto_pad="SAME_LOWER", stride=2),
    "one side padded": lambda: plain(pads=[0, 2, 2, 0], stride=2),
    "dilated": lambda: plain(pads=[2] * 4, dilations=[2, 2], stride=2),
    "patches": lambda: plain(size=8, stride=8),
}
MADE = [
    pooled, pooled_over_the_edge, padded_before, cropped, split, enlarged, transposed, space_to_depth, focus_of_slices,
    residual, to_channels_last, turned_over, computed_reshape, computed_padding, shifted_windows,
]  # fmt: skip
CASES |= {make.__name__: make for make in MADE}


def seen_by(run: OnnxRun) -> np.ndarray:
    """(h, w, SIDE, SIDE): which pixels change a cell, one bright pixel at a time."""
    pixels = np.zeros((SIDE * SIDE, SIDE, SIDE, 3), np.float32)
    places = np.arange(SIDE * SIDE)
    pixels[places, places // SIDE, places % SIDE] = 1
    (maps,) = run(pixels)
    return maps[..., 0].transpose(1, 2, 0).reshape(*maps.shape[1:3], SIDE, SIDE) > 1e-6


@pytest.mark.parametrize("name", CASES)
def test_a_cell_lies_in_the_middle_of_the_pixels_that_it_sees(name, tmp_path):
    picture = ("N", 3, SIDE, SIDE) if name in ("split", "shifted_windows") else ("N", 3, "H", "W")
    graph = open_onnx(written(graph_of(*CASES[name](), picture=picture), tmp_path / "net.onnx"))
    maps = OnnxMaps(graph.without_weights())
    last = maps.maps[-1]
    assert last.known
    grid = maps.path(last).grid(SIDE, SIDE)
    seen = seen_by(OnnxRun(graph, maps, [last]))
    assert seen.shape[:2] == (grid.rows, grid.columns)
    row, column = grid.rows // 2, grid.columns // 2  # away from the border, where part of what a cell sees is padding
    for axis, (offset, stride, cell) in enumerate(
        ((grid.offset_y, grid.stride_y, row), (grid.offset_x, grid.stride_x, column))
    ):
        pixels = np.flatnonzero(seen[row, column].any(axis=1 - axis))
        middle = (pixels[0] + pixels[-1] + 1) / 2
        reach = pixels[-1] + 1 - pixels[0]
        slack = 1.01 if name in ("enlarged", "transposed") else 1e-6  # which see in steps of the map before
        assert abs(offset + stride * cell - middle) <= slack * max(1, stride if slack > 1 else 1), (axis, reach)


def vision_transformer(registers: int, side: int = 32, *, written_out: bool = False, drop: bool = False):
    """Patches of 8 pixels, tokens in front of them, one block of attention, a last normalisation."""
    count = (side // 8) ** 2
    nodes = [
        node("Conv", "picture", "patch.w", output="patches", strides=[8, 8], kernel_shape=[8, 8]),
        node("Reshape", "patches", "flat", output="rows"),
        node("Transpose", "rows", output="tokens", perm=[0, 2, 1]),
        node("Shape", "picture", output="shape"),
        node("Slice", "shape", "zero", "one", output="count"),
        node("Concat", "count", "rest", output="wanted", axis=0),
        node("Expand", "class", "wanted", output="classes"),
        node("Concat", "classes", "tokens", output="all", axis=1),
        node("Resize", "position", "", "", "position.sides", output="position.here", mode="linear"),
        node("Add", "all", "position.here", output="x"),
        node("LayerNormalization", "x", "gain", "shift", output="n", axis=-1),
    ]
    for name in "qkv":
        nodes += [
            node("MatMul", "n", f"{name}.w", output=f"{name}1"),
            node("Reshape", f"{name}1", "heads", output=f"{name}2"),
            node("Transpose", f"{name}2", output=name, perm=[0, 2, 3, 1] if name == "k" else [0, 2, 1, 3]),
        ]
    nodes += [
        node("MatMul", "q", "k", output="scores"),
        node("Softmax", "scores", output="shares", axis=-1),
        node("MatMul", "shares", "v", output="mixed"),
        node("Transpose", "mixed", output="together", perm=[0, 2, 1, 3]),
        node("Reshape", "together", "joined", output="flat2"),
        node("Add", "x", "flat2", output="last"),
    ]
    if written_out:
        nodes += [
            node("ReduceMean", "last", output="mean", axes=[-1]),
            node("Sub", "last", "mean", output="centred"),
            node("Mul", "centred", "centred", output="squares"),
            node("ReduceMean", "squares", output="variance", axes=[-1]),
            node("Sqrt", "variance", output="spread"),
            node("Div", "centred", "spread", output="unit"),
            node("Mul", "unit", "gain", output="scaled"),
            node("Add", "scaled", "shift", output="normed"),
        ]
    else:
        nodes.append(node("LayerNormalization", "last", "gain", "shift", output="normed", axis=-1))
    if drop:
        nodes.append(node("Slice", "normed", "before", "end", "axis", output="features"))
    else:
        nodes.append(node("Gather", "normed", "first", output="features", axis=1))
    weights = [
        kernel("patch.w", 6, 3, 8, 8),
        numbers("flat", [0, 6, -1]),
        numbers("zero", [0]),
        numbers("one", [1]),
        numbers("rest", [registers, 6]),
        kernel("class", 1, registers, 6),
        kernel("position", 1, 9, 6),
        numbers("position.sides", [1, count + registers, 6]),
        ones("gain", 6),
        ones("shift", 6),
        *(kernel(f"{name}.w", 6, 6) for name in "qkv"),
        numbers("heads", [0, 0, 2, 3]),
        numbers("joined", [0, 0, 6]),
        numbers("first", 0),
        numbers("before", [registers]),
        numbers("end", [2**31 - 1]),
        numbers("axis", [1]),
    ]
    return graph_of(nodes, weights, picture=(1, 3, side, side))


@pytest.mark.parametrize("written_out", [False, True])
@pytest.mark.parametrize("registers", [1, 5])
@pytest.mark.parametrize("drop", [False, True])
def test_tokens_before_the_last_normalisation_become_a_map(registers, written_out, drop, tmp_path):
    path = written(vision_transformer(registers, written_out=written_out, drop=drop), tmp_path / "vit.onnx")
    graph = open_onnx(path)
    maps = OnnxMaps(graph.without_weights())
    found, tap = maps.find("auto")
    assert (tap.layer, tap.channels, tap.stride) == ("last", 6, 8)
    assert (found.placed.before, found.placed.cells, found.known) == (registers, (4, 4), True)
    grid = maps.path(found).grid(32, 32)
    assert (grid.rows, grid.columns, grid.stride_y, grid.offset_y) == (4, 4, 8.0, 4.0)

    import onnxruntime

    graph.proto.graph.output[0].name = "last"
    graph.proto.graph.output.extend([helper.make_tensor_value_info("normed", TensorProto.FLOAT, None)])
    pictures = np.random.default_rng(0).random((1, 32, 32, 3), np.float32)
    whole = onnxruntime.InferenceSession(graph.proto.SerializeToString(), providers=["CPUExecutionProvider"])
    tokens = whole.run(["last"], {"picture": pictures.transpose(0, 3, 1, 2)})[0]
    (values,) = OnnxRun(graph, maps, [found])(pictures)
    np.testing.assert_allclose(values[0], tokens[0, registers:].reshape(4, 4, 6), rtol=1e-5, atol=1e-6)


def test_what_is_not_followed_is_offered_by_its_sizes_and_says_so(tmp_path):
    first, weight = convolution("conv", "picture", (3, 8), 3, 4)
    mixed = node("Einsum", "conv", output="turned", equation="nchw->nhwc")
    graph = open_onnx(written(graph_of([first, mixed], [weight], opset=17), tmp_path / "net.onnx"))
    maps = OnnxMaps(graph.without_weights())
    found, tap = maps.find("turned")
    assert (found.known, tap.channels, tap.stride) == (False, 8, 4)
    assert "approximate" in maps.notes(found)[0]
    grid = maps.path(found).grid(64, 128)
    assert (grid.rows, grid.columns, grid.stride_x, grid.offset_x) == (16, 32, 4.0, 2.0)


def test_tokens_in_an_order_that_is_not_followed_are_no_map_and_a_note_says_so(tmp_path):
    nodes = [
        node("Conv", "picture", "patch.w", output="patches", strides=[8, 8], kernel_shape=[8, 8]),
        node("Reshape", "patches", "flat", output="rows"),
        node("Transpose", "rows", output="tokens", perm=[0, 2, 1]),
        node("Concat", "tokens", "class", output="behind", axis=1),
        node("MatMul", "behind", "w", output="mixed"),
        node("Add", "behind", "mixed", output="block"),
    ]
    weights = [
        kernel("patch.w", 6, 3, 8, 8),
        numbers("flat", [0, 6, -1]),
        kernel("class", 1, 1, 6),
        kernel("w", 6, 6),
    ]
    graph = open_onnx(written(graph_of(nodes, weights, picture=(1, 3, 32, 32)), tmp_path / "net.onnx"))
    maps = OnnxMaps(graph.without_weights())
    found, tap = maps.find("auto")
    assert tap.layer == "tokens"
    assert "'behind'" in maps.notes(found)[0]
