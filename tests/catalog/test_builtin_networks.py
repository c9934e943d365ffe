"""The built-in backbones: their shapes, their weights, and that the weights are worth having."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from convfe_core.base.errors import SpecError, WeightsError
from convfe_core.catalog import builtin_networks as builtin
from convfe_core.catalog.specs import CATALOG
from tests.conftest import need
from tests.support.children import python

NAMES = list(builtin.BUILTIN_BUILDERS)
PARAMETERS = {"TinyResNet": 1_217_576, "TinyMobileNet": 480_224}
LARGEST_FILE = 3_000_000


@pytest.fixture(scope="module", params=NAMES)
def trained(request):
    """(name, model with the package's weights)."""
    model = builtin.BUILTIN_BUILDERS[request.param]()
    builtin.load_builtin_weights(model, request.param)
    return request.param, model


@pytest.fixture(scope="module")
def photo():
    """A (1, 192, 256, 3) photograph in -1..1."""
    from PIL import Image
    from skimage import data

    picture = Image.fromarray(data.chelsea()).resize((256, 192))
    return np.asarray(picture, dtype=np.float32)[None] / 127.5 - 1


@pytest.mark.parametrize("name", NAMES)
def test_parameter_count_is_what_the_card_says(name):
    model = builtin.BUILTIN_BUILDERS[name]()
    assert model.name == name
    assert model.count_params() == PARAMETERS[name]
    card = (builtin.builtin_weight_file(name).parent / "MODEL_CARD.md").read_text()
    assert f"{PARAMETERS[name]:,}" in card


@pytest.mark.parametrize(("height", "width", "rows", "columns"), [(160, 160, 10, 10), (96, 224, 6, 14), (32, 32, 2, 2)])
def test_stride_is_16_at_any_size(trained, height, width, rows, columns):
    _, model = trained
    features = model(np.zeros((2, height, width, 3), dtype=np.float32))
    assert features.shape == (2, rows, columns, builtin.FEATURES)


@pytest.mark.parametrize(("name", "offset"), [("TinyResNet", 12.0), ("TinyMobileNet", 8.5)])
def test_the_centre_of_a_cell_lies_inside_it(name, offset):
    from convfe_core.graph.tracing import trace_path

    model = builtin.BUILTIN_BUILDERS[name]()
    grid = trace_path(model, model.output).grid(160, 96)
    assert (grid.stride_y, grid.stride_x) == (16, 16)
    assert (grid.offset_y, grid.offset_x) == (offset, offset)


def test_last_layer_is_a_plain_relu_without_a_cap(trained):
    import keras

    _, model = trained
    last = model.layers[-1]
    assert isinstance(last, keras.layers.ReLU)
    assert last.max_value is None


def test_maps_of_a_photograph_are_finite_alive_and_not_alike(trained, photo):
    _, model = trained
    features = np.asarray(model(photo))[0]
    maximum, mean = features.max(-1), features.mean(-1)
    assert np.isfinite(features).all()
    assert mean.std() > 0.05 * mean.mean() > 0
    assert maximum.std() > 0.05 * maximum.mean() > 0
    assert (features.max((0, 1)) > 0).mean() > 0.9, "most channels answer to a photograph"
    assert np.corrcoef(maximum.ravel(), mean.ravel())[0, 1] < 0.98


@pytest.mark.parametrize("name", NAMES)
def test_an_untrained_network_gives_a_usable_map_and_follows_the_seed(name, photo):
    import keras

    def mean_map(seed):
        keras.utils.set_random_seed(seed)
        return np.asarray(builtin.BUILTIN_BUILDERS[name]()(photo))[0].mean(-1)

    first = mean_map(1)
    assert np.isfinite(first).all()
    assert first.std() > 0.01 * first.mean() > 1e-5
    np.testing.assert_array_equal(first, mean_map(1))
    assert not np.array_equal(first, mean_map(2))


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_small(name):
    assert builtin.builtin_weight_file(name).stat().st_size < LARGEST_FILE


def test_weights_come_back_as_they_were_saved_up_to_half_precision(tmp_path):
    import keras

    keras.utils.set_random_seed(3)
    model = builtin.build_tiny_mobilenet()
    builtin.save_builtin_weights(model, tmp_path / "w.npz", {"head/bias": np.zeros(4)})
    other = builtin.build_tiny_mobilenet()
    builtin.load_builtin_weights(other, "TinyMobileNet", tmp_path / "w.npz")
    for saved, loaded in zip(model.weights, other.weights, strict=True):
        half = saved.value.numpy().astype(np.float16)
        np.testing.assert_array_equal(loaded.value.numpy(), half.astype(np.float32))
    assert [path.name for path in tmp_path.iterdir()] == ["w.npz"]


def test_missing_weights_are_named(tmp_path):
    model = builtin.build_tiny_resnet()
    with pytest.raises(WeightsError, match=r"TinyResNet: expected its weights in .*gone\.npz"):
        builtin.load_builtin_weights(model, "TinyResNet", tmp_path / "gone.npz")


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 cut short"])
def test_damaged_weights_are_refused(tmp_path, content):
    file = tmp_path / "broken.npz"
    file.write_bytes(content)
    with pytest.raises(WeightsError, match="damaged"):
        builtin.load_builtin_weights(builtin.build_tiny_resnet(), "TinyResNet", file)


def test_a_file_cut_short_is_refused(tmp_path):
    file = tmp_path / "short.npz"
    file.write_bytes(builtin.builtin_weight_file("TinyResNet").read_bytes()[:100_000])
    with pytest.raises(WeightsError, match="damaged"):
        builtin.load_builtin_weights(builtin.build_tiny_resnet(), "TinyResNet", file)


def test_weights_of_the_other_network_are_refused_and_change_nothing():
    model = builtin.build_tiny_resnet()
    before = [weight.value.numpy() for weight in model.weights]
    with pytest.raises(WeightsError, match="does not fit"):
        builtin.load_builtin_weights(model, "TinyResNet", builtin.builtin_weight_file("TinyMobileNet"))
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight.value.numpy(), value)


def test_an_unknown_name_is_refused():
    with pytest.raises(SpecError, match="Received: TinyVGG"):
        builtin.builtin_weight_file("TinyVGG")


def test_importing_the_module_does_not_import_keras():
    code = "import sys, convfe_core.catalog.builtin_networks; assert not {'keras', 'tensorflow'} & {*sys.modules}"
    python("-c", code)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("dataset", "margin"), [("coco128", 0.05), ("raccoon", 0.03)])
def test_trained_maps_find_boxes_better_than_untrained_ones(name, dataset, margin):
    folder = Path(__file__).parents[3] / "shared" / "datasets" / dataset
    need(folder.is_dir(), f"the data set {dataset}")
    from training.evaluate_builtin import separation_of

    size = CATALOG[name].working_size
    scores = separation_of(name, folder, builtin.builtin_weight_file(name), size)
    assert scores.trained["mean"] - scores.control["mean"] >= margin
