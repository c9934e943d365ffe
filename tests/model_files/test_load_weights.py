"""Weights are read only into the networks that they belong to."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from convfe_core.base.errors import WeightsError
from convfe_core.catalog.builders import build_layers, build_model
from convfe_core.catalog.specs import CATALOG
from convfe_core.model_files.load_weights import load_weights
from convfe_core.model_files.weight_cache import cached_path, fetch_weights, weights_state

SMALL = CATALOG["MobileNetV2-0.35"]
FORMATS = ("w.h5", "w.weights.h5", "w.keras")
OTHERS = ("MobileNetV2-0.5", "MobileNet-0.25", "MobileNetV3Small-1.0")


@pytest.fixture(scope="module")
def trained():
    """A network whose weights all differ, standing in for a trained one."""
    model = build_model(SMALL)
    random = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(random.normal(size=variable.shape))
    return model


@pytest.fixture(scope="module")
def files(trained, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The trained network in each format of Keras, by file name."""
    folder = tmp_path_factory.mktemp("weights")
    return {name: save(trained, folder / name) for name in FORMATS}


@pytest.fixture(scope="module")
def others():
    """Networks that refuse files and therefore need no weights, by name."""
    return {name: build_layers(CATALOG[name]) for name in (SMALL.name, *OTHERS)}


def assert_same_weights(model, other) -> None:
    for variable, expected in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(variable.numpy(), expected.numpy(), err_msg=variable.path)


def save(model, path: Path) -> Path:
    if path.name.endswith(".weights.h5"):
        model.save_weights(path)
    else:
        model.save(path)
    return path


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("name", FORMATS)
def test_each_format_of_keras_is_read(trained, files: dict[str, Path], name: str) -> None:
    model = build_model(SMALL)
    load_weights(model, files[name], SMALL)
    assert_same_weights(model, trained)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_a_head_on_top_is_left_out(trained, tmp_path: Path) -> None:
    import keras

    top = keras.layers.Dense(5)(keras.layers.GlobalAveragePooling2D()(trained.output))
    model = build_model(SMALL)
    load_weights(model, save(keras.Model(trained.input, top), tmp_path / "w.h5"), SMALL)
    assert_same_weights(model, trained)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_a_backbone_inside_a_larger_model_is_found_by_its_names(trained, tmp_path: Path) -> None:
    import keras

    whole = keras.Sequential([keras.Input((64, 64, 3)), trained, keras.layers.GlobalAveragePooling2D()])
    model = build_model(SMALL)
    load_weights(model, save(whole, tmp_path / "w.h5"), SMALL)
    assert_same_weights(model, trained)


def test_teachable_machine_s_backbone_is_found(shared: Path) -> None:
    model = build_model(SMALL)
    before = model.get_layer("block_5_depthwise").get_weights()[0]
    load_weights(model, shared / "models" / "teachable_machine_waste.h5", SMALL)
    assert not np.allclose(model.get_layer("block_5_depthwise").get_weights()[0], before)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("other", OTHERS)
def test_another_architecture_s_file_is_refused_by_name(files: dict[str, Path], others, name: str, other: str) -> None:
    expected = rf"Expected weights of {other} \([0-9,]+ numbers\), the file {name} holds "
    with pytest.raises(WeightsError, match=expected) as error:
        load_weights(others[other], files[name], CATALOG[other])
    assert "410,208 numbers, as many as MobileNetV2-0.35" in str(error.value)


NO_WEIGHTS = "Expected weights of MobileNetV2-0.35 (410,208 numbers), the file {} holds no weights that can be read."
DAMAGED = "{}: expected a whole file, but it is damaged or cut off; copy it again."


@pytest.mark.parametrize("suffix", [".h5", ".weights.h5", ".keras"])
@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", NO_WEIGHTS),
        (b"<html>not found</html>", NO_WEIGHTS),
        (b"\x89HDF\r\n\x1a\n" + bytes(500), DAMAGED),
    ],
    ids=["empty", "another kind", "only the beginning"],
)
def test_a_file_that_is_no_weight_file_is_refused(
    tmp_path: Path, others, suffix: str, content: bytes, sentence: str
) -> None:
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError) as error:
        load_weights(others[SMALL.name], path, SMALL)
    assert str(error.value) == sentence.format(path.name)


def test_a_keras_file_whose_numbers_are_cut_off_is_refused(files: dict[str, Path], others, tmp_path: Path) -> None:
    whole, cut = files["w.keras"], tmp_path / "w.keras"
    with zipfile.ZipFile(whole) as archive, zipfile.ZipFile(cut, "w") as written:
        numbers = archive.read("model.weights.h5")
        written.writestr("model.weights.h5", numbers[: len(numbers) // 2])
    with pytest.raises(WeightsError) as error:
        load_weights(others[SMALL.name], cut, SMALL)
    assert str(error.value) == DAMAGED.format("w.keras")
    changed = bytearray(whole.read_bytes())
    changed[len(changed) // 2] ^= 0xFF
    cut.write_bytes(changed)
    with pytest.raises(WeightsError) as error:
        load_weights(others[SMALL.name], cut, SMALL)
    assert str(error.value) == DAMAGED.format("w.keras")


def test_a_missing_file_is_named(others, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="there is no such file"):
        load_weights(others[SMALL.name], tmp_path / "w.h5", SMALL)


@pytest.mark.parametrize("name", ["MobileNet-0.25", "MobileNetV2-0.35"])
def test_imagenet_weights_are_the_ones_that_keras_loads(real_weights: Path, name: str) -> None:
    import keras

    architecture = CATALOG[name]
    assert weights_state(architecture).ready
    model = build_model(architecture)
    load_weights(model, fetch_weights(architecture), architecture)
    theirs = getattr(keras.applications, architecture.keras_name)(
        alpha=architecture.width, include_top=False, weights=None, input_shape=(224, 224, 3)
    )
    theirs.load_weights(cached_path(architecture.weight_file))
    assert_same_weights(model, theirs)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_efficientnet_sees_what_keras_own_imagenet_network_sees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keras adds a layer for ``weights="imagenet"`` that a network built without weights lacks."""
    import keras
    from keras.src.utils import file_utils

    from convfe_core.catalog.pixel_scaling import IMAGENET_MEAN, IMAGENET_STD

    architecture = CATALOG["EfficientNetB0"]
    source = keras.applications.EfficientNetB0(include_top=False, weights=None)
    normalization = next(layer for layer in source.layers if isinstance(layer, keras.layers.Normalization))
    values = [IMAGENET_MEAN, IMAGENET_STD, np.int32(0)]
    normalization.set_weights([np.reshape(v, w.shape) for v, w in zip(values, normalization.weights, strict=True)])
    path = save(source, tmp_path / "efficientnetb0_notop.h5")
    monkeypatch.setattr(file_utils, "get_file", lambda *_, **__: str(path))
    theirs = keras.applications.EfficientNetB0(include_top=False, weights="imagenet")
    ours = build_model(architecture)
    load_weights(ours, path, architecture)
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype(np.float32)
    expected = np.asarray(theirs(pixels))
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(ours(pixels), expected, atol=1e-4 * np.ptp(expected))
