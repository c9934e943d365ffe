import gc
import threading
from functools import partial

import numpy as np
import pytest

from convfe_core.backbones.backbone import Backbone, freeze_maps, freeze_network, load_backbone
from convfe_core.backbones.batch_norm_folding import Fold
from convfe_core.backbones.frozen_graph import WeightsSpentError, trace
from convfe_core.backbones.network import KerasNetwork, Network, load_as, open_network
from convfe_core.backbones.precision import Precision
from convfe_core.base.errors import SpecError, WeightsError
from convfe_core.catalog.specs import find_architecture, parse_spec
from convfe_core.machine.memory import tensor_memory
from convfe_core.maps.extraction import extract_maps
from convfe_core.maps.input_size import Size
from convfe_core.serving.backbone_pool import BackbonePool
from tests.support.builders import noise, photo

SMALL = "MobileNet-0.25:untrained"


@pytest.fixture(scope="module")
def small():
    return load_backbone(parse_spec(SMALL))


def tensor_megabytes() -> float:
    """0 where TensorFlow does not count, which is without oneDNN."""
    return (tensor_memory() or {"current": 0})["current"] / 2**20


@pytest.mark.machine
def test_maps_are_the_maximum_and_the_mean_of_the_features_that_keras_computes(small) -> None:
    network = open_network(parse_spec(SMALL))
    batch = np.stack([noise(96, 128), noise(96, 128, seed=1)])
    import keras

    model = keras.Model(network.model.inputs, network.tensor)
    features = np.asarray(model(batch.astype(np.float32) / 127.5 - 1, training=False))
    maximum, mean = small.reduce(batch)
    assert maximum.shape == mean.shape == (2, 3, 4)
    np.testing.assert_allclose(maximum, features.max(-1), atol=1e-4 * np.ptp(features))
    np.testing.assert_allclose(mean, features.mean(-1), atol=1e-4 * np.ptp(features))


def test_untrained_weights_depend_on_the_seed_alone(small) -> None:
    batch = noise(64, 64)[None]
    first, _ = small.reduce(batch)
    again, _ = load_backbone(parse_spec(SMALL)).reduce(batch)
    other, _ = load_backbone(parse_spec(SMALL), seed=1).reduce(batch)
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other, atol=0)


def test_many_images_of_many_shapes_trace_once() -> None:
    import tensorflow as tf

    traces = []

    def brightest(pixels):
        traces.append(pixels.shape)
        return tf.reduce_max(tf.cast(pixels, tf.float32), axis=-1)

    graph = trace(brightest, [tf.TensorSpec((None, None, None, 3), tf.uint8)])
    for height, width, count in [(32, 32, 1), (32, 32, 5), (64, 96, 2), (32, 32, 1)]:
        graph(tf.zeros((count, height, width, 3), tf.uint8))
    assert len(traces) == 1


def test_a_batch_gives_what_single_images_give(small) -> None:
    photos = [photo(96, 128, seed) for seed in range(3)] + [photo(128, 96, 9)]
    together = list(extract_maps(small, photos, Size("128")))
    for one, maps in zip(photos, together, strict=True):
        alone = next(extract_maps(small, [one], Size("128")))
        assert maps.digest == one.digest
        np.testing.assert_allclose(maps.max, alone.max, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(maps.mean, alone.mean, rtol=1e-4, atol=1e-5)


def test_cells_on_the_padding_are_cut_away(small) -> None:
    wide = photo(50, 160)
    maps = next(extract_maps(small, [wide], Size("160")))
    assert (maps.frame.input_height, maps.frame.input_width) == (64, 160)
    assert maps.max.shape == maps.mean.shape == (len(maps.centres_y), len(maps.centres_x))
    assert maps.centres_y[-1] < 50
    assert maps.centres_y[-1] + 32 >= 50
    assert maps.centres_x[-1] < 160


def test_centres_are_in_pixels_of_the_original_image(small) -> None:
    maps = next(extract_maps(small, [photo(320, 640)], Size("320")))
    assert maps.frame.content_width == 320
    assert np.diff(maps.centres_x) == pytest.approx(64)


def test_a_weight_file_of_another_architecture_is_refused(tmp_path) -> None:
    network = open_network(parse_spec("TinyMobileNet:untrained"))
    path = tmp_path / "other.weights.h5"
    network.model.save_weights(path)
    with pytest.raises(WeightsError, match=r"MobileNet-0\.25"):
        open_network(parse_spec(f"MobileNet-0.25:{path}"))


def test_a_weight_file_of_the_users_is_what_runs(tmp_path, small) -> None:
    network = open_network(parse_spec(SMALL), seed=5)
    path = tmp_path / "mine.weights.h5"
    network.model.save_weights(path)
    loaded = load_backbone(parse_spec(f"MobileNet-0.25:{path}"))
    batch = noise(64, 64)[None]
    np.testing.assert_array_equal(loaded.reduce(batch)[0], load_backbone(parse_spec(SMALL), seed=5).reduce(batch)[0])
    assert loaded.weights == "mine.weights.h5"


def test_a_layer_that_does_not_exist_is_named() -> None:
    with pytest.raises(SpecError, match="block_99"):
        open_network(parse_spec(SMALL), tap="block_99")


@pytest.mark.machine
@pytest.mark.parametrize("name", ["MobileNetV2-0.35", "MobileNet-0.25"])
def test_real_weights_give_the_maps_of_plain_keras_calls(real_weights, name) -> None:
    import keras

    family, width = name.split("-")
    weights = find_architecture(name).weight_file
    plain = getattr(keras.applications, family)(
        include_top=False,
        weights=str(real_weights / "models" / weights.name),
        alpha=float(width),
        input_shape=(224, 224, 3),
    )
    relu6 = plain.layers[-1]
    model = keras.Model(plain.inputs, keras.layers.ReLU()(relu6.input))
    picture = noise(224, 224, seed=3)
    module = getattr(keras.applications, "mobilenet_v2" if family.endswith("V2") else "mobilenet")
    features = np.asarray(model(module.preprocess_input(picture[None].astype(np.float32))))[0]
    maps = next(extract_maps(load_backbone(parse_spec(name)), [photo(224, 224, seed=3)], Size("224")))
    assert np.abs(maps.max - features.max(-1)).max() < 1e-3 * np.ptp(features.max(-1))
    assert np.abs(maps.mean - features.mean(-1)).max() < 1e-3 * np.ptp(features.mean(-1))
    assert maps.weights == "imagenet"


def test_a_pool_loads_once_for_many_threads() -> None:
    pool = BackbonePool(budget_mb=1000)
    found = []
    threads = [threading.Thread(target=lambda: found.append(pool.get(parse_spec(SMALL)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len({id(backbone) for backbone in found}) == 1


@pytest.mark.parametrize(
    "name", ["MobileNet-0.25:untrained", "EfficientNetB0:untrained", "TinyResNet", "TinyMobileNet"]
)
def test_maps_are_the_same_whether_or_not_the_weights_are_variables(name: str) -> None:
    spec, batch = parse_spec(name), noise(96, 64)[None]
    plain, lean = (
        load_as(partial(freeze_network, fold="spend"), spec, seed=3, variables=variables) for variables in (True, False)
    )
    for expected, found in zip(plain.reduce(batch), lean.reduce(batch), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert np.ptp(expected) > 0


def test_a_network_that_is_only_run_never_has_variables() -> None:
    import keras

    network = open_network(parse_spec(SMALL), variables=False)
    with keras.StatelessScope():  # at whose end Keras gives values to all variables that it knows to have none
        pass
    assert network.model.variables
    assert all(variable._value is None for variable in network.model.variables)
    assert network.count_params() == open_network(parse_spec(SMALL)).count_params()


def test_weights_of_a_network_that_is_only_run_are_gone_once_it_is_frozen() -> None:
    network = open_network(parse_spec("TinyResNet"), variables=False)
    assert isinstance(network, KerasNetwork)
    beside = network.weights_beside
    assert beside.state_mapping
    assert all(isinstance(weight, np.ndarray) for weight in beside.state_mapping.values())
    backbone = freeze_network(network, fold="spend")
    assert not beside.state_mapping
    assert np.ptp(backbone.reduce(noise(96, 64)[None])[0]) > 0


def test_a_network_whose_weights_were_spent_in_vain_is_opened_once_more_with_variables() -> None:
    opened = []

    def make(network: Network) -> Network:
        assert isinstance(network, KerasNetwork)
        opened.append(network)
        if network.weights_beside is not None:
            raise WeightsSpentError
        return network

    network = load_as(make, parse_spec(SMALL), variables=False)
    assert opened[1:] == [network]
    assert all(variable._value is not None for variable in network.model.variables)


@pytest.mark.machine
@pytest.mark.parametrize("precision", ["float32", "fast"])
def test_a_control_on_the_graph_of_another_network_gives_the_maps_of_one_that_is_opened(precision: Precision) -> None:
    spec, batch = parse_spec("TinyResNet:untrained"), noise(96, 64)[None]
    make = partial(freeze_maps, Backbone, precision=precision, fold="spend")
    first = load_as(partial(make, keep_traced=True), parse_spec("TinyResNet"), variables=False)
    assert first.traced is not None
    on_graph = partial(make, traced=first.traced)
    control = load_as(on_graph, spec, seed=3, variables=False, untrained=first.traced.untrained)
    opened = load_as(make, spec, seed=3, variables=False)
    assert control.weights == opened.weights == "untrained"
    assert control.precision == opened.precision
    for expected, found in zip(opened.reduce(batch), control.reduce(batch), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert np.ptp(expected) > 0


@pytest.mark.parametrize("fold", ["copy", "spend"])
def test_what_is_kept_for_controls_holds_no_weights(fold: Fold) -> None:
    gc.collect()
    before = tensor_megabytes()
    network = open_network(parse_spec("VGG16:untrained"), variables=False)
    backbone = freeze_maps(Backbone, network, "float32", fold, keep_traced=True)
    traced, megabytes = backbone.traced, network.megabytes
    assert traced is not None
    del network, backbone
    gc.collect()
    assert megabytes > 50
    assert tensor_megabytes() - before < 0.1 * megabytes
    assert not traced.maps.captured_inputs


def test_what_controls_need_is_kept_for_those_alone_who_ask_for_it(small) -> None:
    assert small.traced is None


def test_a_control_whose_weights_were_spent_in_vain_is_opened_once_more_with_variables() -> None:
    untrained = open_network(parse_spec(SMALL), variables=False).untrained()

    def make(network: Network) -> Network:
        assert isinstance(network, KerasNetwork)
        if network.weights_beside is not None:
            raise WeightsSpentError
        return network

    network = load_as(make, parse_spec(SMALL), seed=3, variables=False, untrained=untrained)
    assert all(variable._value is not None for variable in network.model.variables)
