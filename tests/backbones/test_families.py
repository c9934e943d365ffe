"""One network of every family, built once: where its cells lie, what its snippet finds, what folding leaves alike.

The tests stand in the order in which they change its weights.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from convfe_core.backbones.backbone import freeze_network
from convfe_core.backbones.network import KerasNetwork, open_network
from convfe_core.base.errors import SpecError
from convfe_core.catalog.architectures import Architecture
from convfe_core.catalog.builders import build_layers
from convfe_core.catalog.pixel_scaling import scale_pixels
from convfe_core.catalog.specs import CATALOG, parse_spec
from convfe_core.graph.taps import STAGES, resolve_tap, stage_taps
from convfe_core.graph.tracing import trace_path
from convfe_core.model_files.safety import check_config
from tests.backbones.test_batch_norm_folding import randomised
from tests.reports.test_snippet import check_found, found_by, write_program

SMALLEST = {
    **{a.family: a for a in sorted(CATALOG.values(), key=lambda a: -a.parameters)},
    "Inception ResNet": CATALOG["InceptionResNetV2"],
    "MobileNetV3": CATALOG["MobileNetV3Small-0.75"],
    "MobileNetV3 minimalistic": CATALOG["MobileNetV3Small-1.0-minimalistic"],
}
"""The smallest of every family, and two more that are built differently."""
QUICK = ("Built in", "VGG", "MobileNetV2")
"""Families that stand for all of them in the short loop."""
NETWORKS = [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in SMALLEST]
SCALINGS = ("MobileNetV2", "VGG", "ConvNeXt", "DenseNet")
"""Families of every scaling of pixels but the one between 0 and 1, which no network of Keras wants."""
FOLDED = ("ResNet", "ResNetV2", "DenseNet", "Xception", "EfficientNet", "NASNet")
"""Families that have batch normalisation in all of its places."""


@pytest.fixture(scope="module", params=NETWORKS)
def network(request: pytest.FixtureRequest):
    """A family's smallest architecture with random weights."""
    import keras

    yield open_network(parse_spec(f"{SMALLEST[request.param].name}:untrained"))
    keras.backend.clear_session()


def architecture_of(network: KerasNetwork) -> Architecture:
    return CATALOG[parse_spec(network.label).name]


def test_every_stage_has_as_many_cells_as_its_output(network: KerasNetwork) -> None:
    import keras

    architecture, model = architecture_of(network), network.model
    stages = {stage: resolve_tap(model, architecture, stage) for stage in stage_taps(model)}
    assert set(stages) == {stage for stage, stride in STAGES.items() if stride <= architecture.stride}
    maps = keras.Model(model.input, [tensor for tensor, _ in stages.values()])
    paths = [trace_path(model, tensor) for tensor, _ in stages.values()]
    for height, width in [(96, 160)] if architecture.family == "NASNet" else [(96, 160), (97, 131), (130, 99)]:
        outputs = maps(np.zeros((1, height, width, 3), np.float32))
        for path, output, (stage, (_, tap)) in zip(paths, outputs, stages.items(), strict=True):
            grid = path.grid(height, width)
            assert output.shape[1:] == (grid.rows, grid.columns, tap.channels), stage
            assert grid.stride_y == grid.stride_x == tap.stride == STAGES[stage]
    if architecture.family == "NASNet":
        with pytest.raises(SpecError, match="multiples of 32"):
            paths[-1].grid(331, 331)


@pytest.mark.slow
def test_every_layer_is_allowed_in_a_model_file(network: KerasNetwork) -> None:
    import keras

    described = keras.saving.serialize_keras_object(network.model)
    check_config(json.loads(json.dumps(described)), network.label)  # as a file holds it


@pytest.mark.slow
@pytest.mark.parametrize("network", ["NASNet"], indirect=True)
def test_layers_are_called_alike_in_every_build(network: KerasNetwork) -> None:
    names = [layer.name for layer in build_layers(architecture_of(network)).layers]
    assert [layer.name for layer in network.model.layers] == names


@pytest.mark.slow
@pytest.mark.parametrize("network", SCALINGS, indirect=True)
def test_a_snippet_gives_the_maps_that_are_shown(network: KerasNetwork, picture: Path, tmp_path: Path) -> None:
    """In this process: that one runs alone is seen in `test_snippet`."""
    program = write_program(parse_spec(network.label), network, tmp_path)
    assert "convfe_core" not in program.read_text()
    check_found(found_by(program, picture), network, picture)


@pytest.mark.slow
@pytest.mark.parametrize("network", ["NASNet"], indirect=True)
def test_a_snippet_opens_what_keras_alone_would_draw_otherwise(network: KerasNetwork, tmp_path: Path) -> None:
    """That such a one gives the maps that are shown is seen in `test_snippet`."""
    text = write_program(parse_spec(network.label), network, tmp_path).read_text()
    assert f"network = open_network(parse_spec('NASNetMobile:untrained'), {network.tap.layer!r})\n" in text


@pytest.mark.slow
@pytest.mark.parametrize("network", FOLDED, indirect=True)
def test_folding_gives_what_plain_keras_calls_give(network: KerasNetwork) -> None:
    import keras

    randomised(network.model)
    batch = np.random.default_rng(0).integers(0, 256, (1, 96, 128, 3), np.uint8)
    plain = keras.Model(network.model.inputs, network.tensor)
    expected = np.asarray(plain(scale_pixels(batch.astype(np.float32), network.preprocessing), training=False))
    found = freeze_network(network).reduce(batch)
    for ours, theirs in zip(found, (expected.max(-1), expected.mean(-1)), strict=True):
        assert np.abs(ours - theirs).max() < 1e-3 * np.ptp(theirs)


def give_constant_positive_weights(model) -> None:
    """Kernels that average, normalisation that changes nothing."""
    for layer in model._flatten_layers(include_self=False):
        for variable in [] if hasattr(layer, "layers") else layer.weights:
            shape = tuple(variable.shape)
            depthwise = "depthwise" in variable.path
            if "kernel" in variable.name:
                variable.assign(np.full(shape, 1 / np.prod(shape[:2] if depthwise else shape[:-1])))
            else:
                variable.assign(np.full(shape, float(variable.name not in ("beta", "bias", "mean", "moving_mean"))))


@pytest.mark.slow
def test_a_bright_patch_answers_where_the_geometry_puts_it(
    network: KerasNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a size that is neither native nor square, within half a cell."""
    import keras

    # with constant weights all channels are alike, which a LayerNormalization would turn to zero
    monkeypatch.setattr(keras.layers.LayerNormalization, "call", lambda _, inputs: inputs)
    height, width = 288, 256
    model, tap = network.model, network.tap
    give_constant_positive_weights(model)
    grid = network.grid(height, width)

    # pixels stay positive behind the scaling inside the network, and below caps at 6 elsewhere
    grey, bright = (160.0, 255.0) if network.preprocessing == "raw" else (2**-14, 2**-12)
    batch = np.full((3, height, width, 3), grey, np.float32)
    centres = [(131, 115), (162, 137)]
    for picture, (y, x) in zip(batch[1:], centres, strict=True):
        picture[y - 4 : y + 4, x - 4 : x + 4] = bright
    features = np.asarray(keras.Model(model.input, network.tensor)(batch), np.float64)

    assert features.shape == (3, grid.rows, grid.columns, tap.channels)
    assert (grid.stride_y, grid.stride_x) == (architecture_of(network).stride,) * 2 == (tap.stride, tap.stride)
    for feature, (y, x) in zip(features[1:], centres, strict=True):
        response = np.abs(feature - features[0]).mean(-1)
        response /= response.sum()
        found_y = response.sum(1) @ (grid.offset_y + np.arange(grid.rows) * grid.stride_y)
        found_x = response.sum(0) @ (grid.offset_x + np.arange(grid.columns) * grid.stride_x)
        assert abs(found_y - y) < grid.stride_y / 2
        assert abs(found_x - x) < grid.stride_x / 2
