"""What ``model.export()`` writes: variables without layers, found by the names and the order that Keras gave them."""

import shutil
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from convfe_core.backbones.backbone import load_backbone
from convfe_core.backbones.network import open_network
from convfe_core.base.errors import ModelFileError, SpecError, WeightsAloneError, WeightsError
from convfe_core.catalog.builders import build_model
from convfe_core.catalog.specs import CATALOG, Spec, parse_spec
from convfe_core.cli.commands import main
from convfe_core.maps.extraction import extract_maps
from convfe_core.maps.input_size import Size
from convfe_core.model_files.exported_weights import identify_export
from convfe_core.model_files.load_weights import load_weights
from convfe_core.model_files.saved_model_folder import model_stamp
from convfe_core.user_models.open_model import open_model
from tests.model_files.test_load_weights import assert_same_weights
from tests.support.builders import noise, photo, png

TINY = "TinyResNet"


def exported(model, folder: Path) -> Path:
    model.export(folder, verbose=False)
    return folder


def zipped(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*"):
            archive.write(file, f"runs/{folder.name}/{file.relative_to(folder)}")
    return path


def with_head(backbone, *front):
    """A classifier on a nested backbone, with layers in front that hold numbers of their own."""
    import keras

    picture = keras.Input((64, 64, 3))
    x = keras.layers.Conv2D(3, 1)(keras.layers.RandomFlip()(picture))
    for layer in front:
        x = layer(x)
    x = keras.layers.GlobalAveragePooling2D()(backbone(x))
    return keras.Model(picture, keras.layers.Dense(2)(keras.layers.Dropout(0.2)(x)))


@pytest.fixture(scope="module")
def tiny():
    return open_network(parse_spec(TINY)).model


@pytest.fixture(scope="module")
def export(tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """TinyResNet with its trained weights and a head, exported."""
    return exported(with_head(tiny), tmp_path_factory.mktemp("runs") / "best")


@cache
def maps_of(spec: Spec):
    return next(extract_maps(load_backbone(spec), [photo(200, 300)], Size("224")))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bare", "sequential", "functional"])
def test_an_exported_network_of_keras_shows_the_maps_of_its_weights_to_the_last_digit(
    tmp_path: Path, real_weights: Path, kind: str
) -> None:
    import keras

    name = "MobileNet-0.25"
    model = open_network(parse_spec(name)).model
    if kind == "sequential":
        front = [keras.Input((96, 96, 3)), keras.layers.Rescaling(1 / 127.5, -1)]
        model = keras.Sequential([*front, model, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)])
    if kind == "functional":
        model = with_head(model, keras.applications.mobilenet.preprocess_input)
    folder = exported(model, tmp_path / "best")
    with pytest.raises(WeightsAloneError, match=f"as in {name}:path/to/best, or save the whole model") as caught:
        open_model(folder)
    assert caught.value.architecture == name
    mine, real = maps_of(Spec(name, "file", folder)), maps_of(parse_spec(name))
    np.testing.assert_array_equal(mine.max, real.max)
    np.testing.assert_array_equal(mine.mean, real.mean)
    assert (mine.label, mine.weights) == (f"{name}:best", "best")


def test_a_folder_and_a_zip_of_it_give_every_weight(tiny, export: Path, tmp_path: Path) -> None:
    for path in (export, zipped(export, tmp_path / "best.zip")):
        with pytest.raises(WeightsAloneError) as caught:
            open_model(path)
        assert caught.value.architecture == TINY
        fresh = build_model(CATALOG[TINY])
        load_weights(fresh, path, CATALOG[TINY])
        assert_same_weights(fresh, tiny)


@pytest.mark.slow
def test_layers_that_keras_numbers_are_found_whatever_was_made_before_them(tmp_path: Path) -> None:
    import keras

    keras.layers.Conv2D(1, 1), keras.layers.BatchNormalization()
    xception = keras.applications.Xception(include_top=False, weights=None, input_shape=(71, 71, 3))
    numbers = [layer.name for layer in xception.layers if layer.name.startswith("conv2d")]
    assert "conv2d" not in numbers
    folder = exported(xception, tmp_path / "shifted")
    assert identify_export(folder) is CATALOG["Xception"]
    fresh = build_model(CATALOG["Xception"])
    load_weights(fresh, folder, CATALOG["Xception"])
    assert_same_weights(fresh, xception)


def test_an_export_of_keras_2_names_its_variables_alike(tmp_path: Path) -> None:
    import tf_keras

    theirs = tf_keras.applications.MobileNet(alpha=0.25, include_top=False, weights=None, input_shape=(64, 64, 3))
    theirs.trainable = False  # which moves every variable among those that are not trained
    theirs.export(tmp_path / "old")
    fresh = build_model(CATALOG["MobileNet-0.25"])
    load_weights(fresh, tmp_path / "old", CATALOG["MobileNet-0.25"])
    assert identify_export(tmp_path / "old") is CATALOG["MobileNet-0.25"]
    batch = noise(64, 64)[None] / np.float32(255)
    np.testing.assert_allclose(np.asarray(fresh(batch)), np.asarray(theirs(batch)), atol=1e-5)


@pytest.mark.slow
def test_a_network_that_is_there_twice_is_nobodys(tiny, tmp_path: Path) -> None:
    import keras

    copy = keras.models.clone_model(tiny)
    twin = keras.Model(copy.inputs, copy.outputs[0], name="twin")
    picture = keras.Input((64, 64, 3))
    both = keras.layers.Concatenate()([tiny(picture), twin(picture)])
    folder = exported(keras.Model(picture, both), tmp_path / "twins")
    with pytest.raises(ModelFileError, match=r"model\.save\('model\.keras'\)"):
        open_model(folder)
    with pytest.raises(WeightsError):
        load_weights(build_model(CATALOG[TINY]), folder, CATALOG[TINY])


def test_another_architecture_is_refused_with_both_counts(export: Path) -> None:
    other = CATALOG["TinyMobileNet"]
    expected = r"Expected weights of TinyMobileNet \(480,224 numbers\), the file best holds 1,21\d,\d\d\d numbers"
    with pytest.raises(WeightsError, match=expected):
        load_weights(build_model(other), export, other)


@pytest.mark.parametrize("file", ["variables.index", "variables.data-00000-of-00001"])
def test_a_damaged_checkpoint_is_one_sentence(export: Path, tmp_path: Path, file: str) -> None:
    folder = tmp_path / "cut"
    shutil.copytree(export, folder)
    whole = (folder / "variables" / file).read_bytes()
    (folder / "variables" / file).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        ModelFileError, match="cut: its variables are damaged or cut off; copy the model again"
    ) as caught:
        open_model(folder)
    assert not isinstance(caught.value, WeightsAloneError)
    with pytest.raises(WeightsError, match="holds no weights that can be read"):
        load_weights(build_model(CATALOG[TINY]), folder, CATALOG[TINY])


def test_a_folder_of_weights_is_named_by_a_slash() -> None:
    spec = parse_spec(f"{TINY}:./best")
    assert spec == Spec(TINY, "file", Path("best"))
    assert parse_spec(spec.text) == spec
    assert parse_spec(f"{TINY}:best.zip") == Spec(TINY, "file", Path("best.zip"))
    with pytest.raises(SpecError, match=r"or a folder as in \./exported"):
        parse_spec(f"{TINY}:best")


def test_the_command_line_says_how_to_name_it_and_takes_it_then(
    export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.png").write_bytes(png(noise(64, 64)))
    call = ["maps", str(tmp_path / "in.png"), "--size", "64", "--out", str(tmp_path / "out"), "--backbone"]
    assert main([*call, f"mine={export}"]) == 1
    assert f"name their architecture, as in {TINY}:path/to/best, or save" in capsys.readouterr().err
    assert main([*call, f"{TINY}:{export}", "--backbone", TINY]) == 0
    with (
        np.load(tmp_path / "out" / "in.TinyResNet_best.npz") as mine,
        np.load(tmp_path / "out" / "in.TinyResNet.npz") as own,
    ):
        np.testing.assert_array_equal(mine["max"], own["max"])


def test_an_export_copied_over_another_is_told_from_it(tmp_path: Path) -> None:
    import keras

    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3)])
    folder = exported(model, tmp_path / "best")
    first = model_stamp(folder)
    assert model_stamp(folder) == first
    model.weights[0].assign(model.weights[0] + 1)
    shutil.copytree(exported(model, tmp_path / "better"), folder, dirs_exist_ok=True)
    assert model_stamp(folder) != first
