"""An ONNX file is a backbone like any other: the same maps as Keras gives of the same layers, everywhere."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convfe_core.backbones.backbone import Backbone, freeze_network, load_backbone
from convfe_core.backbones.network import Network, open_network
from convfe_core.base.errors import ModelFileError, SpecError
from convfe_core.catalog.specs import Spec, parse_spec
from convfe_core.cli.commands import main
from convfe_core.inspection.health_report import examine
from convfe_core.inspection.layer_table import layer_table, summary_text
from convfe_core.maps.every_layer import EveryLayer
from convfe_core.maps.extraction import extract_maps
from convfe_core.maps.input_size import Size
from convfe_core.photos.gallery import load_sample
from convfe_core.reports.snippet import write_snippet
from convfe_core.user_models.model_card import card_of
from tests.onnx_models.made_graphs import graph_of, kernel, numbers, plain_network, written
from tests.onnx_models.test_places import vision_transformer
from tests.onnx_models.test_safety import with_data
from tests.support.builders import photo, png
from tests.support.children import python


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """TinyMobileNet as Keras exports it."""
    model = open_network(parse_spec("TinyMobileNet")).model
    model(np.zeros((1, 64, 64, 3), np.float32))
    path = tmp_path_factory.mktemp("onnx") / "tiny.onnx"
    model.export(path, format="onnx", verbose=False)
    return path


@pytest.fixture(scope="module")
def both(tiny: Path) -> tuple[Network, Network]:
    keras_way = open_network(parse_spec("TinyMobileNet"))
    return keras_way, open_network(spec_of(tiny, keras_way))


def spec_of(path: Path, like: Network) -> Spec:
    return replace(parse_spec(f"mine={path}"), preprocessing=like.preprocessing)


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """The largest difference, as a share of the range."""
    return float(np.abs(one - other).max() / np.ptp(one))


@pytest.mark.parametrize("size", ["64", "160", "225"])
def test_maps_and_places_are_those_of_the_keras_model_that_was_exported(both, size):
    photos = [load_sample("chelsea"), load_sample("coffee")]
    keras_way, onnx_way = map(freeze_network, both)
    for one, other in zip(
        extract_maps(keras_way, photos, Size(size)), extract_maps(onnx_way, photos, Size(size)), strict=True
    ):
        assert one.grid.rows == other.grid.rows
        assert one.grid.stride_y == other.grid.stride_y
        assert apart(one.max, other.max) < 1e-4
        assert apart(one.mean, other.mean) < 1e-4


def test_stages_and_whole_features_are_those_of_the_keras_model(both):
    keras_way, onnx_way = (EveryLayer(network) for network in both)
    shown = load_sample("chelsea")
    names = [[layer.tap.name for layer in one.stages.layers] for one in (keras_way, onnx_way)]
    assert names[0] == names[1]
    for one, other in zip(
        keras_way.stages.maps(shown, Size("160")), onnx_way.stages.maps(shown, Size("160")), strict=True
    ):
        assert apart(one.max, other.max) < 1e-4
    (first,), (second,) = (way.layer("C4").whole(shown, Size("160")) for way in (keras_way, onnx_way))
    assert apart(first.components, second.components) < 1e-4


def test_its_cost_is_counted_from_the_graph(both):
    keras_way, onnx_way = both
    assert onnx_way.count_flops(160, 160) == pytest.approx(keras_way.count_flops(160, 160), rel=0.05)
    assert onnx_way.count_params() == pytest.approx(keras_way.count_params(), rel=0.05)


@pytest.mark.slow
def test_real_weights_give_the_same_maps_both_ways(shared, tmp_path):
    import keras

    file = shared / "models" / "efficientnet_lite0.keras"
    model = keras.saving.load_model(file, compile=False)
    model(np.zeros((1, 64, 64, 3), np.float32))
    model.export(tmp_path / "lite.onnx", format="onnx", verbose=False)
    backbones: list[Backbone] = [
        load_backbone(replace(parse_spec(f"mine={path}"), preprocessing="tf"))
        for path in (file, tmp_path / "lite.onnx")
    ]
    for size in ("224", "320", "449"):
        one, other = (next(extract_maps(way, [load_sample("coffee")], Size(size))) for way in backbones)
        assert one.grid == other.grid
        assert apart(one.max, other.max) < 1e-4
        assert apart(one.mean, other.mean) < 1e-4


def test_ultralytics_stages_size_and_scaling_are_known(shared):
    network = open_network(parse_spec(f"yolo={shared / 'models' / 'onnx' / 'yolo11n.onnx'}"))
    assert {name: tap.layer.split("/")[1] for name, tap in network.stages().items()} == {
        "C2": "model.2",
        "C3": "model.4",
        "C4": "model.6",
        "C5": "model.10",
    }
    assert (network.tap.layer, network.preprocessing, network.fixed) == (
        "/model.10/cv2/act/Mul_output_0",
        "unit",
        (640, 640),
    )
    assert network.at("/model.16/cv2/act/Mul_output_0").tap.stride == 8


def test_a_file_with_its_data_opens_alone_in_a_folder_and_in_a_zip(tmp_path):
    folder = tmp_path / "exported"
    folder.mkdir()
    path = with_data(folder)
    with zipfile.ZipFile(tmp_path / "both.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"inside/{file.name}")
    taps = [open_network(parse_spec(f"mine={one}")).tap for one in (path, folder, tmp_path / "both.zip")]
    assert [(tap.layer, tap.channels, tap.stride) for tap in taps] == [("relu3", 8, 8)] * 3
    written(plain_network(), folder / "second.onnx")
    with pytest.raises(ModelFileError, match=r"one file that ends in \.onnx"):
        open_network(parse_spec(f"mine={folder}"))


def test_batches_and_half_precision_and_whole_numbers_are_taken_as_the_file_wants_them(tmp_path):
    from onnx import TensorProto, helper

    pictures = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    fixed = written(plain_network(picture=(2, 3, 64, 64)), tmp_path / "two.onnx")
    free = written(plain_network(), tmp_path / "free.onnx")
    found = [
        freeze_network(open_network(replace(parse_spec(f"m={path}"), preprocessing="unit"))) for path in (fixed, free)
    ]
    for one, other in zip(found[0].reduce(pictures), found[1].reduce(pictures), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    model = plain_network(dtype=TensorProto.UINT8)
    cast = helper.make_node("Cast", ["picture"], ["numbers"], to=TensorProto.FLOAT)
    model.graph.node[0].input[0] = "numbers"
    model.graph.node.insert(0, cast)
    network = open_network(parse_spec(f"m={written(model, tmp_path / 'bytes.onnx')}"))
    assert network.preprocessing == "raw"
    for one, other in zip(freeze_network(network).reduce(pictures), found[1].reduce(pictures), strict=True):
        np.testing.assert_allclose(one, 255 * other, rtol=1e-4)


def open_sides(model):
    """As Paddle and older versions of tf2onnx write them."""
    for side, value in zip(model.graph.input[0].type.tensor_type.shape.dim, (-1, 3, 0, -1), strict=True):
        side.dim_value = value


def size_of_the_original(model):
    """RT-DETR's second input, which only what comes after the maps takes."""
    from onnx import TensorProto, helper

    model.graph.input.append(helper.make_tensor_value_info("sizes", TensorProto.INT64, ["N", 2]))
    model.graph.node.append(helper.make_node("Cast", ["sizes"], ["boxes"], to=TensorProto.FLOAT))
    model.graph.output.append(helper.make_tensor_value_info("boxes", TensorProto.FLOAT, None))


def remarks_that_are_no_text(model):
    model.metadata_props.add(key="imgsz", value="[[9999999999, -3")
    model.metadata_props.add(key="author", value="QQQQ")
    model.ParseFromString(model.SerializeToString().replace(b"QQQQ", b"\xff\xfe\xff\xfe"))


def added_at_the_end(model):
    """As converters to half precision add what casts the picture."""
    from onnx import TensorProto, helper

    model.graph.node[0].input[0] = "cast"
    model.graph.node.append(helper.make_node("Cast", ["picture"], ["cast"], to=TensorProto.FLOAT))


def an_output_that_nobody_takes(model):
    from onnx import helper

    model.graph.node[-1].output[0] = "before"
    model.graph.node.append(helper.make_node("Dropout", ["before"], ["relu3", "mask"]))


@pytest.mark.parametrize(
    "change",
    [open_sides, size_of_the_original, remarks_that_are_no_text, added_at_the_end, an_output_that_nobody_takes],
)
def test_what_exporters_write_besides_changes_no_map(change, tmp_path):
    model = plain_network()
    change(model)
    paths = [written(plain_network(), tmp_path / "plain.onnx"), written(model, tmp_path / "changed.onnx")]
    pixels = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), np.uint8)
    plain, changed = (open_network(replace(parse_spec(f"m={path}"), preprocessing="unit")) for path in paths)
    assert (changed.tap, changed.fixed) == (plain.tap, None)
    np.testing.assert_array_equal(changed.features(pixels), plain.features(pixels))


def test_layers_of_whole_numbers_are_convolutions_like_others(tmp_path):
    """A map of QLinearConv is within one step of its scale of the same layer in float32."""
    from onnx import helper

    rng = np.random.default_rng(0)
    whole = rng.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8)
    scales = {"pixel": 1 / 255, "weight": 0.01, "map": 0.05}
    zeros = {"pixel.zero": np.uint8, "weight.zero": np.int8, "map.zero": np.uint8}
    around = {"strides": [2, 2], "pads": [1, 1, 1, 1]}
    both = [
        helper.make_node("QuantizeLinear", ["picture", "pixel", "pixel.zero"], ["pixels"]),
        helper.make_node(
            "QLinearConv",
            ["pixels", "pixel", "pixel.zero", "w", "weight", "weight.zero", "map", "map.zero"],
            ["whole"],
            **around,
        ),
        helper.make_node("DequantizeLinear", ["whole", "map", "map.zero"], ["out"]),
    ]
    weights = [numbers(name, value, np.float32) for name, value in scales.items()]
    weights += [numbers(name, 128 if name == "map.zero" else 0, dtype) for name, dtype in zeros.items()]
    path = written(graph_of(both, [*weights, numbers("w", whole, np.int8)]), tmp_path / "whole.onnx")
    plain = [helper.make_node("Conv", ["picture", "w"], ["out"], **around)]
    exact = written(graph_of(plain, [numbers("w", whole * np.float32(0.01), np.float32)]), tmp_path / "exact.onnx")
    one, other = (open_network(replace(parse_spec(f"m={file}"), preprocessing="unit")) for file in (path, exact))
    assert one.notes == ()
    assert one.grid(64, 96) == other.grid(64, 96)
    pixels = rng.integers(0, 256, (1, 64, 96, 3), np.uint8)
    clipped = np.clip(other.features(pixels), -128 * 0.05, 127 * 0.05)
    np.testing.assert_allclose(one.features(pixels), clipped, atol=0.026)


@pytest.mark.parametrize(
    ("scale", "shift", "mode"), [(1 / 127.5, -1.0, "raw"), (1 / 0.226, -0.45 / 0.226, "unit"), (1.0, 0.0, "raw")]
)
def test_scaling_inside_the_graph_is_seen(scale, shift, mode, tmp_path):
    from onnx import helper

    model = plain_network()
    model.graph.node[0].input[0] = "shifted"
    if scale == 1.0:  # whitened by ImageNet's deviation over 0..255
        scale, shift = 1 / 58.0, -2.0
    model.graph.node.insert(0, helper.make_node("Add", ["scaled", "shift"], ["shifted"]))
    model.graph.node.insert(0, helper.make_node("Mul", ["picture", "scale"], ["scaled"]))
    model.graph.initializer.extend([numbers("scale", scale, np.float32), numbers("shift", shift, np.float32)])
    card = card_of(parse_spec(f"m={written(model, tmp_path / 'm.onnx')}"))
    assert card.scaling.mode == mode
    assert "'shifted'" in card.scaling.reason


def test_pytorchs_files_are_taken_for_imagenets_statistics_in_its_words(shared):
    card = card_of(parse_spec(f"tv={shared / 'models' / 'onnx' / 'tv_mobilenetv2_dyn.onnx'}"))
    assert card.scaling.mode == "torch"
    assert "Normalize" in card.scaling.reason
    assert (card.layer, card.channels, card.stride, card.native) == ("hardtanh_34", 1280, 32, None)
    assert card.layers[0] == "getitem"


def test_a_layer_that_is_not_there_is_named_with_near_ones(tmp_path):
    path = written(plain_network(), tmp_path / "m.onnx")
    assert open_network(parse_spec(f"m={path}"), "conv2").tap.stride == 4
    with pytest.raises(SpecError, match="Did you mean relu2"):
        open_network(parse_spec(f"m={path}"), "rellu2")
    with pytest.raises(SpecError, match="C5"):
        open_network(parse_spec(f"m={path}"), "C5")


def test_inspect_finds_what_is_wrong_with_a_graph(tmp_path):
    photos = [photo(64, 64, seed) for seed in range(3)]
    path = written(plain_network(picture=("N", 3, 64, 64)), tmp_path / "m.onnx")
    network = open_network(replace(parse_spec(f"m={path}"), preprocessing="unit"))
    report = examine(network, photos, Size("own"))
    assert report.audit.layer == "conv1"
    assert 0 <= report.audit.low < report.audit.high <= 1
    assert {check.name: check.state for check in report.checks}["Weights"] == "fine"
    model = plain_network(picture=("N", 3, 64, 64))
    model.graph.initializer[1].CopyFrom(kernel("conv2.weight", 6, 4, 3, 3))
    values = np.zeros((6, 4, 3, 3), np.float32)
    model.graph.initializer[1].raw_data = values.tobytes()
    broken = open_network(parse_spec(f"b={written(model, tmp_path / 'b.onnx')}"))
    report = examine(broken, photos, Size("own"))
    weights = next(check for check in report.checks if check.name == "Weights")
    assert weights.state != "fine"
    assert "conv2" in weights.finding
    rows = layer_table(network)
    assert [(row["name"], row["type"], row["output"], row["stride"]) for row in rows[:2]] == [
        ("conv1", "Conv", "4 × 32 × 32", "2"),
        ("relu1", "Relu", "4 × 32 × 32", "2"),
    ]
    assert "relu3" in summary_text(network)


def test_the_command_line_writes_its_maps(tmp_path, capsys):
    path = written(plain_network(), tmp_path / "m.onnx")
    (tmp_path / "one.png").write_bytes(png(np.full((64, 96, 3), 120, np.uint8)))
    code = main(
        [
            "maps",
            str(tmp_path / "one.png"),
            "--backbone",
            f"mine={path}",
            "--size",
            "96",
            "--out",
            str(tmp_path / "out"),
        ]
    )
    assert code == 0, capsys.readouterr().err
    (archive,) = (tmp_path / "out").rglob("*.npz")
    with np.load(archive) as maps:
        assert maps["max"].shape == (8, 12)
        assert str(maps["tap"]) == "relu3"


def test_the_program_to_take_along_gives_the_same_maps_without_convfe(tmp_path, both):
    network = both[1]
    spec = spec_of(tmp_path / "unused.onnx", network)
    (tmp_path / "unused.onnx").write_bytes(network.model.proto.SerializeToString())
    program: dict[str, object] = {"__name__": "taken"}
    exec(write_snippet(network, spec, 160, "convfe maps"), program)
    photo_file = tmp_path / "one.png"
    photo_file.write_bytes(png(load_sample("chelsea").pixels))
    found = program["extractor"](program["read"](photo_file), training=False)["map"]
    (whole,) = EveryLayer(network).layer().whole(load_sample("chelsea"), Size("160"))
    rows, columns = whole.components.shape[:2]
    np.testing.assert_allclose(found[0, :rows, :columns], whole.components, rtol=1e-3, atol=1e-4)


def test_the_program_to_take_along_lays_out_tokens(tmp_path):
    path = written(vision_transformer(5), tmp_path / "vit.onnx")
    spec = replace(parse_spec(f"m={path}"), preprocessing="unit")
    network = open_network(spec)
    program: dict[str, object] = {"__name__": "taken"}
    exec(write_snippet(network, spec, None, "convfe maps"), program)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
    found = program["extractor"](pixels / np.float32(255), training=False)["map"]
    np.testing.assert_allclose(found, np.asarray(network.features(pixels)), rtol=1e-5, atol=1e-6)


def test_onnx_is_imported_only_where_a_network_is_loaded():
    script = (
        "import json, sys; import convfe_core.backbones.backbone, convfe_core.user_models.model_card; "
        "print(json.dumps([name for name in sys.modules if name.split('.')[0] in ('onnx', 'onnxruntime')]))"
    )
    assert json.loads(python("-c", script).stdout) == []


def test_a_graph_without_a_map_is_no_network(tmp_path):
    from onnx import helper

    model = graph_of([helper.make_node("GlobalAveragePool", ["picture"], ["mean"])])
    with pytest.raises(ModelFileError, match="feature maps"):
        open_network(parse_spec(f"m={written(model, tmp_path / 'm.onnx')}"))
