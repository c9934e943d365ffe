"""Real and made model files, opened like any backbone."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from convfe_core.backbones.backbone import load_backbone
from convfe_core.backbones.network import open_network
from convfe_core.base.errors import ModelFileError, SpecError
from convfe_core.catalog.specs import choose_preprocessing, parse_spec
from convfe_core.cli.commands import main
from convfe_core.maps.extraction import extract_maps
from convfe_core.maps.input_size import Size
from convfe_core.user_models.input_scaling import audit_input
from convfe_core.user_models.model_card import describe_model
from convfe_core.user_models.open_model import open_model
from tests.support.builders import noise, photo, png


def small_model(*, side: int | None = 64, front: tuple = (), head: bool = True):
    """A Keras 3 model with its backbone nested: two convolutions of stride 2, 8 channels."""
    import keras

    keras.utils.set_random_seed(3)
    picture = keras.Input((side, side, 3))
    x = keras.layers.Conv2D(6, 3, 2, "same", name="first")(picture)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.ReLU(6.0, name="capped")(x)
    x = keras.layers.Conv2D(8, 3, 2, "same", activation="relu", name="second")(x)
    inner = keras.Model(picture, x, name="inner")
    outer = keras.Input((side, side, 3))
    y = outer
    for layer in front:
        y = layer(y)
    y = inner(y)
    if head:
        y = keras.layers.GlobalAveragePooling2D()(y)
        y = keras.layers.Dense(2, name="classes")(keras.layers.Dropout(0.5)(y))
    return keras.Model(outer, y, name="outer")


def saved(model, path: Path) -> Path:
    model.save(path)
    return path


@pytest.fixture
def teachable(shared: Path) -> Path:
    return shared / "models" / "teachable_machine_waste.h5"


@pytest.fixture
def resnet8(shared: Path) -> Path:
    return shared / "models" / "resnet8_cifar10.h5"


@pytest.mark.slow
def test_a_teachable_machine_export_is_recognised_and_shows_the_maps_of_its_frozen_backbone(
    teachable: Path, real_weights: Path
) -> None:
    card = describe_model(open_model(teachable))
    assert card.opened_with.startswith("tf-keras")
    assert card.recognised == "MobileNetV2-0.35"
    assert (card.layer, card.channels, card.stride, card.native) == ("out_relu", 1280, 32, (224, 224))
    assert card.scaling.mode == "tf"
    assert "MobileNetV2-0.35" in card.scaling.reason
    assert card.head[-1] == "dense_Dense2"
    photos = [photo(200, 300, 1), photo(224, 224, 2)]
    own = extract_maps(load_backbone(parse_spec(f"waste={teachable}")), photos, Size("224"))
    real = extract_maps(load_backbone(parse_spec("MobileNetV2-0.35")), photos, Size("224"))
    for one, other in zip(own, real, strict=True):
        assert one.label == "waste"
        assert one.weights == "teachable_machine_waste.h5"
        assert np.abs(one.max - other.max).max() < 1e-3 * np.ptp(other.max)
        assert np.abs(one.mean - other.mean).max() < 1e-3 * np.ptp(other.mean)


def test_a_resnet8_opens_at_its_own_size_with_three_stages(resnet8: Path) -> None:
    from convfe_core.graph.taps import stage_taps

    opened = open_model(resnet8)
    card = describe_model(opened)
    assert (card.native, card.layer, card.stride, card.recognised) == ((32, 32), "activation_6", 4, None)
    assert card.scaling.mode == "raw"
    assert "BatchNormalization" in card.scaling.reason
    assert {name: tap.stride for name, tap in stage_taps(opened.model).items()} == {"C0": 1, "C1": 2, "C2": 4}
    maps = next(extract_maps(load_backbone(parse_spec(f"cifar={resnet8}")), [photo(64, 64)], Size("own")))
    assert maps.max.shape == (8, 8)
    assert maps.frame.input_height == 32


@pytest.mark.machine
def test_the_last_map_inside_a_nested_model_is_found_and_is_what_keras_computes(tmp_path: Path) -> None:
    model = small_model()
    spec = parse_spec(f"mine={saved(model, tmp_path / 'm.keras')}")
    card = describe_model(open_model(tmp_path / "m.keras"))
    assert (card.layer, card.channels, card.stride) == ("second", 8, 4)
    assert {"first", "norm", "capped", "second"} <= set(card.layers)
    assert card.head == ("global_average_pooling2d", "classes") or card.head[-1] == "classes"
    (spec,) = choose_preprocessing([spec], ["mine=tf"])
    picture = photo(64, 64)
    maps = next(extract_maps(load_backbone(spec), [picture], Size("64")))
    features = np.asarray(model.get_layer("inner")(picture.pixels[None].astype(np.float32) / 127.5 - 1))[0]
    np.testing.assert_allclose(maps.max, features.max(-1), atol=1e-4)
    np.testing.assert_allclose(maps.mean, features.mean(-1), atol=1e-4)


def test_any_layer_can_be_chosen_and_a_cap_is_taken_off_only_by_itself(tmp_path: Path) -> None:
    spec = parse_spec(f"mine={saved(small_model(), tmp_path / 'm.keras')}")
    assert open_network(spec, "capped").tap.stride == 2
    with pytest.raises(SpecError, match="second"):
        open_network(spec, "secnd")


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_every_format_gives_the_same_numbers(tmp_path: Path, suffix: str) -> None:
    model = small_model()
    network = open_network(parse_spec(f"mine={saved(model, tmp_path / f'm{suffix}')}"))
    batch = np.random.default_rng(0).random((1, 64, 64, 3), np.float32)
    np.testing.assert_allclose(network.model(batch), model.get_layer("inner")(batch), atol=1e-5)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_zip_around_one_model_file_opens_as_teachable_machine_packs_it(tmp_path: Path, suffix: str) -> None:
    model = saved(small_model(), tmp_path / f"keras_model{suffix}")
    with zipfile.ZipFile(tmp_path / "converted_keras.zip", "w") as archive:
        archive.write(model, f"export/{model.name}")
        archive.writestr("export/labels.txt", "0 cat\n1 dog\n")
        archive.writestr(f"__MACOSX/._{model.name}", "of the machine that packed it")
    batch = np.random.default_rng(0).random((1, 64, 64, 3), np.float32)
    opened = open_model(tmp_path / "converted_keras.zip")
    np.testing.assert_array_equal(opened.model(batch), open_model(model).model(batch))


def test_a_network_with_attention_opens_and_gives_what_keras_computes(tmp_path: Path) -> None:
    import keras

    keras.utils.set_random_seed(5)
    picture = keras.Input((16, 16, 3))
    x = keras.layers.RandomGaussianBlur()(keras.layers.Rescaling(1 / 255)(picture))
    x = keras.layers.SpectralNormalization(keras.layers.Conv2D(8, 3, 4, "same", activation="gelu"))(x)
    x = keras.layers.Reshape((16, 8))(x)
    tokens = keras.layers.LayerNormalization()(x)
    x = x + keras.layers.MultiHeadAttention(2, 4, name="attention")(tokens, tokens)
    x = x + keras.layers.EinsumDense("btc,cd->btd", output_shape=(None, 8), activation="silu")(x)
    x = keras.layers.Attention(name="plain_attention")([x, x])
    x = keras.layers.Reshape((4, 4, 8))(keras.ops.tanh(x))
    x = keras.layers.Conv2D(5, 3, padding="same", name="last")(x)
    model = keras.Model(picture, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)))
    opened = open_model(saved(model, tmp_path / "m.keras"))
    batch = np.random.default_rng(0).uniform(0, 255, (1, 16, 16, 3)).astype(np.float32)
    wanted = keras.Model(picture, model.get_layer("last").output)(batch, training=False)
    np.testing.assert_allclose(np.asarray(opened.model(batch)), np.asarray(wanted), atol=1e-5)
    assert describe_model(opened).layer == "last"


def describe_as_before_tensorflow_2_5(folder: Path) -> None:
    """Move the description of a SavedModel's layers from its own file to where it once was."""
    from tensorflow.core.protobuf import saved_model_pb2
    from tf_keras.protobuf import saved_metadata_pb2

    saved, metadata = saved_model_pb2.SavedModel(), saved_metadata_pb2.SavedMetadata()
    saved.ParseFromString((folder / "saved_model.pb").read_bytes())
    metadata.ParseFromString((folder / "keras_metadata.pb").read_bytes())
    for node in metadata.nodes:
        saved.meta_graphs[0].object_graph_def.nodes[node.node_id].user_object.metadata = node.metadata
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString())
    (folder / "keras_metadata.pb").unlink()


def test_a_saved_model_of_keras_2_opens_as_a_folder_and_as_a_zip(tmp_path: Path) -> None:
    import tf_keras

    inner = tf_keras.Sequential(
        [tf_keras.layers.DepthwiseConv2D(3, padding="same"), tf_keras.layers.Conv2D(5, 1, 2, name="last")], name="inner"
    )
    picture = tf_keras.Input((32, 32, 3))
    y = tf_keras.applications.mobilenet_v2.preprocess_input(picture)
    model = tf_keras.Model(picture, tf_keras.layers.Flatten(name="flatten")(inner(y)))
    folder = tmp_path / "saved"
    model.save(folder, save_format="tf")
    with zipfile.ZipFile(tmp_path / "saved.zip", "w") as archive:
        for path in folder.rglob("*"):
            archive.write(path, f"export/{path.relative_to(folder)}")
    old = tmp_path / "old"
    shutil.copytree(folder, old)
    describe_as_before_tensorflow_2_5(old)
    batch = np.random.default_rng(0).random((1, 32, 32, 3), np.float32) * 255
    wanted = np.asarray(inner(batch / 127.5 - 1))
    for path in (folder, tmp_path / "saved.zip", old):
        opened = open_model(path)
        np.testing.assert_allclose(np.asarray(opened.model(batch)), wanted, atol=1e-4)
        assert opened.scaling.mode == "raw"
        assert opened.head == ("flatten",)


def test_a_saved_model_without_layers_says_how_to_save_it(tmp_path: Path) -> None:
    small_model().export(tmp_path / "exported", verbose=False)
    with pytest.raises(ModelFileError, match=r"model\.save\('model\.keras'\)"):
        open_model(tmp_path / "exported")


def test_a_size_that_cannot_be_freed_is_kept_and_pictures_are_letterboxed_to_it(tmp_path: Path) -> None:
    import keras

    picture = keras.Input((16, 24, 3))
    x = keras.layers.Reshape((16, 24, 3))(picture)
    model = keras.Model(picture, keras.layers.Conv2D(4, 3, 2, "same", name="last")(x))
    backbone = load_backbone(parse_spec(f"fixed={saved(model, tmp_path / 'm.keras')}"))
    assert backbone.fixed == (16, 24)
    maps = next(extract_maps(backbone, [photo(90, 60)], Size("320")))
    assert (maps.frame.input_height, maps.frame.input_width, maps.frame.content_width) == (16, 24, 11)
    assert maps.max.shape == (8, 5)


def test_a_grey_network_sees_grey(tmp_path: Path) -> None:
    import keras

    picture = keras.Input((None, None, 1))
    model = keras.Model(picture, keras.layers.Conv2D(1, 1, use_bias=False, kernel_initializer="ones")(picture))
    (spec,) = choose_preprocessing([parse_spec(f"grey={saved(model, tmp_path / 'm.keras')}")], ["grey=unit"])
    picture = photo(32, 32)
    maps = next(extract_maps(load_backbone(spec), [picture], Size("32")))
    np.testing.assert_allclose(maps.max, picture.pixels @ [0.299, 0.587, 0.114] / 255, atol=1e-3)


def test_scaling_layers_inside_mean_raw_pixels_and_scaling_twice_is_warned_of(tmp_path: Path) -> None:
    import keras

    model = small_model(front=(keras.layers.Rescaling(1 / 255, name="to_unit"),))
    opened = open_model(saved(model, tmp_path / "m.keras"))
    assert opened.scaling.mode == "raw"
    assert "to_unit" in opened.scaling.reason
    right = audit_input(opened.model, "raw", photo(64, 64), (64, 64))
    assert 0 <= right.low < right.high <= 1
    assert right.warnings == ()
    assert right.layer == "first"
    twice = audit_input(opened.model, "unit", photo(64, 64), (64, 64))
    assert twice.high <= 1 / 255 + 1e-6
    assert "to_unit" in twice.warnings[0]


def test_the_control_has_the_layers_but_not_the_weights_and_is_the_same_every_time(tmp_path: Path) -> None:
    path = saved(small_model(), tmp_path / "m.keras")
    spec = parse_spec(f"mine:untrained={path}")
    assert (spec.label, spec.text, spec.own) == ("mine:untrained", f"mine:untrained={path}", True)
    batch = noise(64, 64)[None]
    control, again = load_backbone(spec), load_backbone(spec)
    assert control.weights == "untrained"
    np.testing.assert_array_equal(control.reduce(batch)[0], again.reduce(batch)[0])
    assert not np.allclose(control.reduce(batch)[0], load_backbone(parse_spec(f"mine={path}")).reduce(batch)[0])


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda keras: keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)]), "one picture"),
        (lambda keras: keras.Sequential([keras.Input((8, 8, 5)), keras.layers.Conv2D(2, 3)]), "3 colours"),
        (lambda keras: keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()]), "feature maps"),
    ],
)
def test_a_model_without_pictures_or_maps_is_one_sentence(tmp_path: Path, make, word: str) -> None:
    import keras

    path = saved(make(keras), tmp_path / "m.keras")
    with pytest.raises(ModelFileError, match=word) as caught:
        open_model(path)
    assert "m.keras" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("choice", ["mine=loud", "other=tf", "tf"])
def test_a_scaling_for_nobody_or_of_no_kind_is_refused(choice: str) -> None:
    with pytest.raises(SpecError, match="LABEL="):
        choose_preprocessing([parse_spec("mine=m.keras"), parse_spec("VGG16")], [choice])


def test_a_label_must_not_be_a_backbones_name() -> None:
    with pytest.raises(SpecError, match="label"):
        parse_spec("vgg16=m.keras")


def test_the_command_line_takes_models_and_their_scaling(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = saved(small_model(), tmp_path / "m.keras")
    (tmp_path / "in.png").write_bytes(png(noise(64, 64)))
    out = tmp_path / "out"
    call = ["maps", str(tmp_path / "in.png"), "--backbone", f"mine={model}", "--size", "64", "--out", str(out)]
    assert main([*call, "--preprocess", "mine=caffe"]) == 0
    with np.load(out / "in.mine.npz") as arrays:
        (spec,) = choose_preprocessing([parse_spec(f"mine={model}")], ["mine=caffe"])
        from convfe_core.photos.photo import open_photo

        maps = next(extract_maps(load_backbone(spec), [open_photo(tmp_path / "in.png")], Size("64")))
        np.testing.assert_array_equal(arrays["max"], maps.max)
    assert main([*call, "--preprocess", "mine=loud"]) == 2
    model.write_bytes(b"broken")
    assert main([*call]) == 1
    assert "m.keras: expected" in capsys.readouterr().err
