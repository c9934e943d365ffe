"""Taps, stages, and cells that lie where the network looks."""

import numpy as np
import pytest

from convfe_core.base.errors import SpecError
from convfe_core.catalog.builders import build_layers, build_model
from convfe_core.catalog.specs import CATALOG
from convfe_core.graph import layer_places
from convfe_core.graph.taps import resolve_tap, stage_taps
from convfe_core.graph.tracing import trace_path


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("ResNet50", ["conv2_block3_out", "conv3_block4_out", "conv4_block6_out", "conv5_block3_out"]),
        ("VGG16", ["block3_conv3", "block4_conv3", "block5_conv3", "block5_pool"]),
        ("MobileNet-0.25", ["conv_pw_3_relu", "conv_pw_5_relu", "conv_pw_11_relu", "conv_pw_13_relu"]),
        ("MobileNetV2-0.35", ["block_3_expand_relu", "block_6_expand_relu", "block_13_expand_relu", "out_relu"]),
    ],
)
def test_stages_end_where_detectors_take_them(name: str, layers: list[str]) -> None:
    stages = stage_taps(build_layers(CATALOG[name]))
    assert [tap.layer for tap in stages.values()] == layers


@pytest.mark.parametrize("name", ["MobileNet-0.25", "MobileNetV2-0.35"])
def test_a_capped_ending_is_looked_at_without_its_cap(name: str) -> None:
    import keras

    architecture = CATALOG[name]
    model = build_model(architecture)
    tensor, tap = resolve_tap(model, architecture, "auto")
    capped, plain = resolve_tap(model, architecture, "output")
    assert tap.uncapped
    assert not plain.uncapped
    assert tap.layer == plain.layer
    model.layers[-2].beta.assign(np.linspace(-10, 20, tap.channels))
    pixels = np.random.default_rng(0).normal(0, 100, (1, 96, 96, 3)).astype(np.float32)
    free, held = keras.Model(model.input, [tensor, capped])(pixels)
    assert np.max(free) > 6
    np.testing.assert_array_equal(np.minimum(free, 6), held)


@pytest.mark.parametrize("name", ["VGG16", "MobileNetV3Small-0.75", "TinyMobileNet"])
def test_other_endings_are_left_alone(name: str) -> None:
    model = build_layers(CATALOG[name])
    tensor, tap = resolve_tap(model, CATALOG[name], "auto")
    assert tensor is model.output
    assert not tap.uncapped


def test_convnext_is_looked_at_before_its_last_normalisation() -> None:
    model = build_layers(CATALOG["ConvNeXtTiny"])
    tensor, tap = resolve_tap(model, CATALOG["ConvNeXtTiny"], "auto")
    assert tensor is model.layers[-1].input
    assert not tap.uncapped
    assert resolve_tap(model, CATALOG["ConvNeXtTiny"], "output")[0] is model.output


def test_a_layer_is_looked_at_as_it_is() -> None:
    model = build_layers(CATALOG["MobileNet-0.25"])
    tensor, tap = resolve_tap(model, CATALOG["MobileNet-0.25"], "conv_pw_3_relu")
    assert tensor is model.get_layer("conv_pw_3_relu").output
    assert (tap.name, tap.layer, tap.channels, tap.stride, tap.uncapped) == (
        "conv_pw_3_relu",
        "conv_pw_3_relu",
        32,
        4,
        False,
    )


def test_an_unknown_layer_is_answered_with_near_ones() -> None:
    model = build_layers(CATALOG["MobileNet-0.25"])
    with pytest.raises(SpecError, match=r"Received: 'conv_pw_3_rely'\. Did you mean conv_pw_3_relu"):
        resolve_tap(model, CATALOG["MobileNet-0.25"], "conv_pw_3_rely")


def test_a_stage_that_is_not_there_is_named() -> None:
    model = build_layers(CATALOG["TinyResNet"])
    with pytest.raises(SpecError, match="C5"):
        resolve_tap(model, CATALOG["TinyResNet"], "C5")


def test_a_layer_without_a_map_is_refused() -> None:
    model = build_layers(CATALOG["EfficientNetB0"])
    with pytest.raises(SpecError, match=r"Expected a layer with a map|is \(n, h, w, C\)"):
        resolve_tap(model, CATALOG["EfficientNetB0"], "block1a_se_squeeze")
    with pytest.raises(SpecError, match="Expected a layer with a map"):
        resolve_tap(model, CATALOG["EfficientNetB0"], "block1a_se_expand")


def test_a_backbone_inside_a_larger_model_is_found_before_its_head() -> None:
    """Teachable Machine and most tutorials nest the backbone like this."""
    import keras

    backbone = build_model(CATALOG["MobileNetV2-0.35"])
    model = keras.Sequential(
        [
            keras.Input((96, 128, 3)),
            keras.Sequential([keras.layers.Rescaling(2.0), backbone]),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3),
        ]
    )
    tensor, tap = resolve_tap(model, None, "auto")
    assert (tap.channels, tap.stride, tap.uncapped) == (1280, 32, True)
    pixels = np.random.default_rng(0).normal(0, 50, (1, 96, 128, 3)).astype(np.float32)
    inner, _ = resolve_tap(backbone, None, "auto")
    expected = keras.Model(backbone.input, inner)(pixels * 2)
    np.testing.assert_allclose(keras.Model(model.inputs, tensor)([pixels]), expected, rtol=1e-5, atol=1e-4)
    direct = trace_path(backbone, inner).grid(96, 128)
    assert trace_path(model, tensor).grid(96, 128) == direct


def test_a_model_without_maps_is_refused() -> None:
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    with pytest.raises(SpecError, match=r"\(n, h, w, C\)"):
        resolve_tap(model, None, "auto")


def test_cells_that_went_through_attention_are_still_in_their_place_and_a_decoders_are_not() -> None:
    import keras

    picture = keras.Input((32, 48, 3))
    cells = keras.layers.Conv2D(6, 3, 8, "same")(picture)
    row = keras.layers.Reshape((24, 6))(cells)
    row = keras.layers.Attention()([row, row])
    grid = keras.layers.Reshape((4, 6, 6), name="grid")(row)
    vector = keras.layers.Dense(144)(keras.layers.Flatten()(grid))
    model = keras.Model(picture, keras.layers.Reshape((4, 6, 6), name="decoded")(vector))
    path = trace_path(model, model.get_layer("grid").output)
    assert path.grid(32, 48) == trace_path(model, cells).grid(32, 48)
    assert path.placed
    assert not trace_path(model, model.outputs[0]).placed


def test_a_layer_of_the_catalog_that_is_not_known_ends_in_a_sentence_and_never_in_an_earlier_map(monkeypatch) -> None:
    architecture = CATALOG["MobileNetV2-0.35"]
    model = build_layers(architecture)
    assert resolve_tap(model, architecture, "auto")[1].stride == 32
    monkeypatch.delitem(layer_places._RULES, "DepthwiseConv2D")
    with pytest.raises(SpecError, match=r"Expected MobileNetV2-0\.35 of layers that are known here\."):
        resolve_tap(model, architecture, "auto")


def test_a_layer_behind_one_that_is_not_known_is_refused_by_the_name_of_that_one() -> None:
    import keras

    picture = keras.Input((32, 32, 3))
    rolled = keras.ops.roll(keras.layers.Conv2D(4, 3, name="before")(picture), 1, axis=1)
    model = keras.Model(picture, keras.layers.Conv2D(4, 3, name="behind")(rolled))
    assert resolve_tap(model, None, "auto")[1].layer == "before"
    with pytest.raises(SpecError, match=r"Expected a layer before 'roll.*', behind which nobody knows where cells lie"):
        resolve_tap(model, None, "behind")


def test_the_network_with_a_layer_of_its_own_is_looked_at_where_it_ends() -> None:
    architecture = CATALOG["InceptionResNetV2"]
    assert resolve_tap(build_layers(architecture), architecture, "auto")[1].stride == architecture.stride == 32
