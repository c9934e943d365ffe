"""Planted defects are diagnosed, and a healthy network is called healthy."""

from dataclasses import replace

import numpy as np
import pytest

from convfe_core.backbones.network import open_network
from convfe_core.base.errors import ImageError
from convfe_core.catalog.specs import parse_spec
from convfe_core.inspection.channel_statistics import ChannelGatherer, border_lead, effective_rank
from convfe_core.inspection.health_report import examine
from convfe_core.inspection.layer_faults import FiniteWatch, weight_faults
from convfe_core.inspection.layer_watch import layers_of, watch_photos
from convfe_core.maps.input_size import Size
from convfe_core.photos.gallery import SAMPLES, load_sample
from tests.user_models.test_open_model import saved, small_model

SIZE = Size("160")
"""Shows a planted defect as well as the photographs' own size, which is asked whether nothing is wrong."""


@pytest.fixture(scope="module")
def photos():
    return [load_sample(sample.name) for sample in SAMPLES[:4]]


@pytest.fixture(scope="module")
def two(photos):
    """As many as show what is wrong."""
    return photos[:2]


@pytest.fixture(scope="module")
def whole():
    """TinyMobileNet, and the weights that it came with."""
    network = open_network(parse_spec("TinyMobileNet"))
    return network, network.model.get_weights()


@pytest.fixture
def trained(whole):
    """TinyMobileNet with its weights, which a test may change."""
    network, weights = whole
    yield network
    network.model.set_weights(weights)


def states(report) -> dict[str, str]:
    return {check.name: check.state for check in report.checks}


def is_bad(report) -> bool:
    return "bad" in states(report).values()


def finding(report, name: str) -> str:
    return next(check.finding for check in report.checks if check.name == name)


def test_a_trained_network_is_healthy(trained, photos) -> None:
    report = examine(trained, photos, Size("own"))
    assert not is_bad(report)
    assert report.verdict == "Healthy over 4 images: all 11 checks passed."
    assert set(states(report).values()) == {"fine"}


def test_a_zeroed_layer_is_named(trained, two) -> None:
    kernel = trained.model.get_layer("features_conv").kernel
    kernel.assign(np.zeros(kernel.shape))
    report = examine(trained, two, SIZE)
    assert report.verdict.startswith("Not healthy. Look first at: Weights. Layer 'features_conv' is all zeros.")
    assert states(report)["Answer to the image"] == "bad"


def test_nan_in_the_middle_is_found_in_the_layer_where_it_begins(trained, two) -> None:
    layer = trained.model.get_layer("stage3_block2_project_conv")
    layer.kernel.assign(np.full(layer.kernel.shape, np.nan))
    report = examine(trained, two, SIZE)
    assert report.checks[0].name == "NaN and infinity"
    assert "layer 'stage3_block2_project_conv'" in report.verdict
    assert "diverged" in report.verdict


def test_values_that_overflow_are_found_in_the_layer_where_they_do(trained, photos) -> None:
    layer = trained.model.get_layer("stage2_block1_project_norm")
    for value, first in ((np.inf, "stage2_block1_project_norm"), (1, None)):
        layer.gamma.assign(np.full(layer.gamma.shape, value))
        watch = FiniteWatch(layers_of(trained))
        watch_photos(trained, photos[:1], SIZE, [watch], lambda _features: None)
        assert watch.first_layer() == first


def test_infinite_weights_are_named_and_nothing_else_is_judged_by_what_are_no_numbers(trained, two) -> None:
    layer = trained.model.get_layer("stage3_block2_project_conv")
    layer.kernel.assign(np.full(layer.kernel.shape, np.inf))
    report = examine(trained, two, SIZE)
    assert "first in layer 'stage3_block2_project_conv'. Its weights hold NaN or infinity" in report.verdict
    assert [name for name, state in states(report).items() if state != "fine"] == ["NaN and infinity"]
    for name in ("Dead channels", "Border artefacts"):
        assert finding(report, name) == "Not judged: values are no numbers."


def shift(network, name: str, by: float) -> None:
    beta = network.model.get_layer(name).beta
    beta.assign(np.asarray(beta) + by)


def test_a_layer_in_the_middle_that_never_fires_is_named_before_what_follows_from_it(trained, two) -> None:
    shift(trained, "stage3_block2_expand_norm", -100)
    report = examine(trained, two, SIZE)
    assert report.verdict.startswith("Not healthy. Look first at: Silent layers. At 'stage3_block2_expand_relu' 100%")


def test_a_relu6_that_is_driven_into_its_cap_is_named_in_the_middle_and_where_the_map_is_taken_off_it(
    tmp_path, two
) -> None:
    import keras

    middle = small_model()
    middle.get_layer("inner").get_layer("first").bias.assign(np.full(6, 1000.0))
    picture = keras.Input((64, 64, 3))
    convolution = keras.layers.Conv2D(8, 3, 4, bias_initializer=keras.initializers.Constant(1000))
    last = keras.Model(picture, keras.layers.ReLU(6.0, name="last")(convolution(picture)))
    for model, layer in ((middle, "capped"), (last, "last")):
        network = open_network(parse_spec(f"mine={saved(model, tmp_path / f'{layer}.keras')}"))
        assert network.tap.uncapped == (layer == "last")
        report = examine(network, two, SIZE)
        assert finding(report, "Saturation") == f"At '{layer}' 100% of the values are at its cap."
        assert report.verdict.startswith("Not healthy. Look first at: Saturation.")


def test_statistics_that_are_wrong_in_one_layer_are_named_before_the_channels_that_die_of_it(trained, two) -> None:
    norm = trained.model.get_layer("stage3_block2_project_norm")
    norm.moving_mean.assign(np.asarray(norm.moving_mean) + 9 * np.sqrt(norm.moving_variance))
    report = examine(trained, two, SIZE)
    assert "first 'stage3_block2_project_norm'" in finding(report, "Batch-norm statistics")
    assert states(report)["Batch-norm statistics"] != "fine"


def test_statistics_that_were_never_gathered_beside_trained_gains_do_not_count_as_untrained(trained, two) -> None:
    import keras

    for layer in trained.model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(np.zeros(layer.moving_mean.shape))
            layer.moving_variance.assign(np.ones(layer.moving_variance.shape))
    report = examine(trained, two, SIZE)
    assert is_bad(report)
    assert "do not fit the images" in finding(report, "Batch-norm statistics")


def test_equal_depthwise_filters_are_a_fault_and_a_blur_is_none(trained, photos) -> None:
    kernel = trained.model.get_layer("stage3_block2_depthwise_conv").kernel
    kernel.assign(np.repeat(np.asarray(kernel)[:, :, :1], kernel.shape[2], axis=2))
    assert [fault.layer for fault in weight_faults(layers_of(trained))] == ["stage3_block2_depthwise_conv"]
    kernel.assign(np.full(kernel.shape, 1 / 9))
    assert weight_faults(layers_of(trained)) == []


def test_one_photograph_raises_no_false_alarm_and_a_copy_of_it_is_no_second_one(trained, photos) -> None:
    one = examine(trained, photos[:1], Size("own"))
    assert one.verdict == "Healthy over 1 image: all 11 checks passed."
    copied = examine(trained, [photos[0], replace(photos[0], name="copy.png", digest="e" * 64)], Size("own"))
    assert copied.verdict == one.verdict


def test_a_scaling_that_is_a_little_off_is_told_by_the_one_that_fits(trained, photos) -> None:
    report = examine(replace(trained, weights="mine.h5", preprocessing="unit"), photos, SIZE)
    assert report.checks[0].name == "Input scaling"
    assert "-1..1 would fit" in report.checks[0].cause
    assert not is_bad(examine(replace(trained, weights="mine.h5"), photos, SIZE))


def test_equal_filters_in_the_last_layer_are_a_collapse(tmp_path, two) -> None:
    model = small_model()
    layer = model.get_layer("inner").get_layer("second")
    kernel = np.array(layer.kernel)
    layer.kernel.assign(np.repeat(kernel[..., :1], kernel.shape[-1], axis=-1))
    network = open_network(parse_spec(f"mine={saved(model, tmp_path / 'm.keras')}"))
    report = examine(network, two, SIZE)
    assert is_bad(report)
    assert "'second' has equal filters" in report.verdict
    assert states(report)["Collapse"] == "bad"
    assert "rank 1.0" in finding(report, "Collapse")


def test_inputs_that_are_scaled_twice_are_named_whether_layers_or_statistics_tell(trained, tmp_path, two) -> None:
    import keras

    inside = small_model(front=(keras.layers.Rescaling(1 / 255, name="to_unit"),))
    spec = replace(parse_spec(f"mine={saved(inside, tmp_path / 'm.keras')}"), preprocessing="unit")
    report = examine(open_network(spec), two, SIZE)
    assert report.verdict.startswith("Not healthy. Look first at: Input scaling.")
    assert "Scaled twice" in report.verdict
    assert "'to_unit'" in report.verdict
    picture = keras.Input((64, 64, 3))
    outer = keras.Model(picture, trained.model(keras.layers.Rescaling(1 / 127.5, -1)(picture)))
    spec = replace(parse_spec(f"tiny={saved(outer, tmp_path / 't.keras')}"), preprocessing="unit")
    twice = examine(open_network(spec), two, SIZE)
    assert twice.checks[0].name == "Input scaling"
    assert is_bad(twice)


def test_pixels_of_the_wrong_scale_are_seen_in_the_batch_norm_statistics(trained, two) -> None:
    report = examine(replace(trained, preprocessing="raw"), two, SIZE)
    assert report.checks[0].name == "Input scaling"
    assert "as in training" in report.verdict


def test_an_untrained_network_is_worth_a_look(two) -> None:
    report = examine(open_network(parse_spec("TinyMobileNet:untrained")), two, SIZE)
    assert states(report)["Batch-norm statistics"] == "look"


def test_dead_channels_and_channels_that_ignore_the_image_are_listed() -> None:
    random = np.random.default_rng(0)
    gatherer = ChannelGatherer(3)
    for _ in range(3):
        values = random.random((6, 8, 4), np.float32)
        values[..., 1] = 0
        values[..., 2] = np.arange(8)
        gatherer.add(values)
    seen = gatherer.finish()
    assert (seen.images, seen.cells, seen.channels) == (3, 144, 4)
    np.testing.assert_array_equal(seen.dead, [1])
    np.testing.assert_array_equal(seen.ignoring, [2])


def test_saturated_values_are_counted() -> None:
    gatherer = ChannelGatherer(1)
    gatherer.add(np.minimum(np.arange(16, dtype=np.float32), 6).reshape(4, 4, 1))
    assert gatherer.finish().saturated == 10 / 16


@pytest.mark.parametrize(
    ("features", "rank"),
    [
        (np.eye(4), 4.0),
        (np.ones((5, 3)), 1.0),
        (np.zeros((5, 3)), 0.0),
        (np.diag([1.0, 1.0, 0.0]), 2.0),
    ],
)
def test_the_effective_rank_counts_directions(features, rank) -> None:
    assert effective_rank(features.astype(np.float32)) == pytest.approx(rank)


def test_a_border_leads_by_the_pairs_that_it_wins_whatever_the_size_of_the_map() -> None:
    for side in (3, 8, 30):
        assert border_lead(np.pad(np.zeros((side, side), np.float32), 1, constant_values=1)) == 1
        assert border_lead(np.pad(np.ones((side, side), np.float32), 1)) == 0
        assert border_lead(np.zeros((side, side), np.float32)) == 0.5


def counting_neighbours(trained, padding: str):
    """A trained network with a layer that counts the neighbours that a cell lacks: with padding, at the border."""
    import keras

    layers, channels = keras.layers, trained.tap.channels
    random = np.random.default_rng(0)
    ones = layers.Conv2D(1, 1, bias_initializer="ones", name="ones")
    lacking = layers.Conv2D(channels, 3, padding=padding, name="lacking")
    inside = trained.tensor if padding == "same" else layers.Cropping2D(1)(trained.tensor)
    map_ = layers.ReLU(name="last")(layers.Add()([inside, lacking(ones(trained.tensor))]))
    ones.kernel.assign(1e-6 * random.normal(size=ones.kernel.shape))
    weights = random.uniform(0.5, 1.5, channels)
    lacking.set_weights([np.broadcast_to(-weights, (3, 3, 1, channels)), 9 * weights])
    return keras.Model(trained.model.inputs, map_)


@pytest.mark.slow
def test_a_border_that_lights_up_by_zero_padding_alone_is_named_and_its_twin_without_is_healthy(
    trained, photos, tmp_path
) -> None:
    for padding in ("same", "valid"):
        spec = parse_spec(f"mine={saved(counting_neighbours(trained, padding), tmp_path / f'{padding}.keras')}")
        network = open_network(replace(spec, preprocessing=trained.preprocessing))
        assert network.tap.layer == "last"
        for side in ("96", "own"):
            report = examine(network, photos, Size(side))
            if padding == "valid":
                assert set(states(report).values()) == {"fine"}, side
                continue
            (check,) = (check for check in report.checks if check.name == "Border artefacts")
            assert check.state == "look"
            assert "Zero padding makes an edge" in check.cause
            assert "worth a look: Border artefacts. A cell on the border is stronger" in report.verdict


def test_without_photographs_there_is_nothing_to_examine(trained) -> None:
    with pytest.raises(ImageError):
        examine(trained, [], SIZE)
