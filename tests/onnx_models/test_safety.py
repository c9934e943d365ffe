"""Hostile files are refused in one sentence, before any session is made of them and before they take memory or time."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from convfe_core.base.errors import ModelFileError
from convfe_core.onnx_models.opening import open_onnx
from convfe_core.onnx_models.taps import OnnxMaps
from tests.conftest import posix
from tests.onnx_models.made_graphs import convolution, graph_of, kernel, numbers, plain_network, written
from tests.support.children import python


def node(kind: str, *inputs: str, output: str = "out", **settings):
    return helper.make_node(kind, list(inputs), [output], **settings)


def endless_loop():
    state = helper.make_tensor_value_info("go", TensorProto.BOOL, [])
    body = helper.make_graph(
        [node("Identity", "go", output="on")],
        "body",
        [helper.make_tensor_value_info("turn", TensorProto.INT64, []), state],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, [])],
    )
    return graph_of([node("Loop", "", "yes", body=body)], [numbers("yes", True, bool)])


def branches():
    one = helper.make_graph(
        [node("Identity", "picture", output="same")], "one", [], [helper.make_empty_tensor_value_info("same")]
    )
    return graph_of([node("If", "yes", then_branch=one, else_branch=one)], [numbers("yes", True, bool)])


def own_domain():
    return graph_of([node("Conv", "picture", domain="com.evil")])


def own_function():
    made = helper.make_function(
        "mine", "f", ["x"], ["y"], [node("Relu", "x", output="y")], [helper.make_opsetid("", 17)]
    )
    return graph_of([node("f", "picture", domain="mine")], functions=[made])


def sequence():
    return graph_of([node("SequenceConstruct", "picture")])


def made_of_nothing():
    value = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    return graph_of(
        [node("ConstantOfShape", "sides", output="big", value=value), node("Add", "picture", "big")],
        [numbers("sides", [1, 3, 100_000, 100_000])],
    )


def many_made_of_nothing():
    nodes = [node("ConstantOfShape", "sides", output=f"big{k}") for k in range(200)]
    return graph_of([*nodes, node("Relu", "picture")], [numbers("sides", [4_000_000])])


def tiled():
    return graph_of([node("Tile", "picture", "times")], [numbers("times", [1, 1, 3_000, 3_000])])


def padded():
    return graph_of([node("Pad", "picture", "pads")], [numbers("pads", [0, 0, 0, 0, 0, 0, 100_000, 100_000])])


def resized():
    return graph_of([node("Resize", "picture", "", "scales")], [numbers("scales", [1, 1, 4_000, 4_000], np.float32)])


def expanded():
    nodes = [node("ReduceMean", "picture", output="mean", axes=[1]), node("Expand", "mean", "sides")]
    return graph_of(nodes, [numbers("sides", [1, 1_000_000, 320, 320])])


def counted():
    bounds = [numbers("start", 0), numbers("end", 10**12), numbers("step", 1)]
    return graph_of([node("Range", "start", "end", "step", output="row"), node("Relu", "picture")], bounds)


def doubled():
    nodes, source = [], "picture"
    for k in range(40):
        nodes.append(node("Concat", source, source, output=f"x{k}", axis=1))
        source = f"x{k}"
    return graph_of(nodes)


def endless_product():
    return graph_of([node("Einsum", "picture", "picture", equation="abcd,efgh->abcdefgh")])


def summed_product():
    return graph_of([node("Einsum", "picture", "picture", equation="abcd,efgh->ae")])


def wide_product():
    return graph_of(
        [node("ConstantOfShape", "sides", output="a"), node("MatMul", "a", "a", output="b"), node("Relu", "picture")],
        [numbers("sides", [2_000, 2_000])],
    )


def kernel_without_numbers():
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[64, 3, 10_000, 10_000], float_data=[1.0])
    return graph_of([node("Conv", "picture", "w")], [weight])


def negative_kernel():
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[-1, 3, 3, 3], raw_data=b"")
    return graph_of([node("Conv", "picture", "w")], [weight])


def words_for_numbers():
    weight = TensorProto(name="w", data_type=TensorProto.STRING, dims=[1], string_data=[b"x"])
    return graph_of([node("Add", "picture", "w")], [weight])


def two_pictures():
    model = plain_network()
    model.graph.input.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, [1, 3, 8, 8]))
    return model


def nothing_makes_it():
    return graph_of([node("Add", "picture", "ghost")])


def own_circle():
    return graph_of([node("Add", "picture", "b", output="a"), node("Relu", "a", output="b")])


def without_map():
    nodes = [node("GlobalAveragePool", "picture", output="mean"), node("Flatten", "mean")]
    return graph_of(nodes)


def shape_by_content():
    return graph_of([node("NonZero", "picture", output="where"), node("Cast", "where", to=TensorProto.FLOAT)])


def made_twice():
    return graph_of([node("Relu", "picture"), node("Neg", "picture")])


def making_nothing():
    model = plain_network()
    model.graph.node[1].ClearField("output")
    return model


def names_that_are_no_text():
    return onnx.ModelProto.FromString(plain_network().SerializeToString().replace(b"relu2", b"\xff\xfe\xff\xfe\xff"))


def before_all_versions():
    return plain_network(opset=6)


def of_no_version():
    model = plain_network()
    model.ClearField("opset_import")
    return model


def from_the_future():
    return plain_network(opset=999)


def bfloat16():
    weight = TensorProto(name="w", data_type=TensorProto.BFLOAT16, dims=[4, 3, 1, 1], raw_data=b"\0" * 24)
    return graph_of([node("Conv", "picture", "w")], [weight])


def another_number_of_channels():
    return graph_of([node("Conv", "picture", "w")], [kernel("w", 4, 5, 3, 3)])


HOSTILE = [
    endless_loop, branches, own_domain, own_function, sequence, made_of_nothing, many_made_of_nothing, tiled, padded,
    resized, expanded, counted, doubled, endless_product, summed_product, kernel_without_numbers, negative_kernel,
    words_for_numbers, two_pictures, nothing_makes_it, own_circle, without_map, shape_by_content, made_twice,
    making_nothing, names_that_are_no_text, before_all_versions, of_no_version,
    from_the_future, bfloat16, another_number_of_channels,
]  # fmt: skip


def opened(path: Path) -> OnnxMaps:
    return OnnxMaps(open_onnx(path).without_weights())


@pytest.mark.parametrize("make", HOSTILE)
def test_a_hostile_file_is_refused_in_a_sentence(make, tmp_path):
    with pytest.raises(ModelFileError, match=r"^bad\.onnx: .*[.)]$") as refused:
        opened(written(make(), tmp_path / "bad.onnx"))
    assert len(str(refused.value)) < 400
    assert "\n" not in str(refused.value)


def with_data(folder: Path, **said) -> Path:
    """A network whose first kernel lies in another file."""
    model = plain_network()
    tensor = model.graph.initializer[0]
    (folder / "net.onnx.data").write_bytes(b"\0" * 16 + tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in ({"location": "net.onnx.data", "offset": "16", "length": str(4 * 4 * 27)} | said).items():
        tensor.external_data.add(key=key, value=value)
    return written(model, folder / "net.onnx")


@pytest.mark.parametrize(
    "said",
    [
        {"location": "../net.onnx.data"},
        {"location": "/etc/passwd"},
        {"location": "sub/net.onnx.data"},
        {"location": "C:\\net.onnx.data"},
        {"location": ".."},
        {"location": ""},
        {"location": "missing.data"},
        {"offset": "17"},
        {"offset": "-1"},
        {"length": "99999999999999999999"},
        {"length": "4"},
    ],
    ids=str,
)
def test_data_that_lies_elsewhere_or_is_not_all_there_is_refused(said, tmp_path):
    with pytest.raises(ModelFileError, match=r"net\.onnx: "):
        open_onnx(with_data(tmp_path, **said))


@posix
def test_data_behind_a_link_is_refused(tmp_path):
    path = with_data(tmp_path)
    (tmp_path / "net.onnx.data").rename(tmp_path / "real")
    (tmp_path / "net.onnx.data").symlink_to(tmp_path / "real")
    with pytest.raises(ModelFileError, match="a link"):
        open_onnx(path)


def test_a_file_that_was_cut_off_or_is_something_else_is_refused(tmp_path):
    whole = plain_network().SerializeToString()
    for name, data in {"cut.onnx": whole[:-50], "picture.onnx": b"\x89PNG\r\n\x1a\n" * 9, "empty.onnx": b""}.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ModelFileError, match=f"{name}: "):
            opened(tmp_path / name)
    with pytest.raises(ModelFileError, match="could not be read"):
        open_onnx(tmp_path / "nowhere.onnx")


def test_what_is_tiny_at_one_size_and_huge_at_another_is_refused_there(tmp_path):
    """The scale of the resizing is the picture's own height to the fourth, over what it is at the usual size."""
    nodes = [
        node("Shape", "picture", output="shape"),
        node("Cast", "shape", output="sides", to=TensorProto.FLOAT),
        node("Div", "sides", "usual", output="ratio"),
        node("Pow", "ratio", "four", output="scales"),
        convolution("conv", "picture", (3, 4), 3, 2)[0],
        node("Resize", "conv", "", "scales"),
    ]
    weights = [
        numbers("usual", [1, 3, 320, 320], np.float32),
        numbers("four", 4, np.float32),
        convolution("conv", "picture", (3, 4), 3, 2)[1],
    ]
    maps = opened(written(graph_of(nodes, weights), tmp_path / "grows.onnx"))
    assert maps.check(["out"], 320, 320).of["out"] == (1, 4, 160, 160)
    with pytest.raises(ModelFileError, match="expected at most"):
        maps.check(["out"], 2048, 2048)


_WATCHED = """
import resource, sys, time
from pathlib import Path
import onnx, onnx.reference, onnx.shape_inference, numpy
from convfe_core.base.errors import ModelFileError
from convfe_core.onnx_models.opening import open_onnx
from convfe_core.onnx_models.taps import OnnxMaps
import convfe_core.machine.memory
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in map(Path, sys.argv[1:]):
    start = time.process_time()
    try:
        OnnxMaps(open_onnx(path).without_weights())
    except ModelFileError:
        refused = True
    else:
        refused = False
    assert refused, path
    assert time.process_time() - start < 5, path
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@posix
def test_refusing_hostile_files_takes_neither_time_nor_memory(tmp_path):
    paths = [written(make(), tmp_path / f"{make.__name__}.onnx") for make in HOSTILE]
    assert float(python("-c", _WATCHED, *paths, timeout=120).stdout) < 300


def test_a_large_but_honest_product_is_opened(tmp_path):
    opened(written(wide_product(), tmp_path / "wide.onnx"))


def test_operations_without_number_are_refused(tmp_path):
    nodes = [node("Relu", "picture" if k == 0 else f"x{k - 1}", output=f"x{k}") for k in range(10_001)]
    with pytest.raises(ModelFileError, match="at most 10,000 operations"):
        opened(written(graph_of(nodes), tmp_path / "long.onnx"))


def test_sparse_weights_are_refused(tmp_path):
    model = plain_network()
    sparse = model.graph.sparse_initializer.add()
    sparse.values.CopyFrom(kernel("s", 1))
    sparse.indices.CopyFrom(numbers("i", [0]))
    sparse.dims.append(1)
    with pytest.raises(ModelFileError, match="dense weights"):
        opened(written(model, tmp_path / "sparse.onnx"))
