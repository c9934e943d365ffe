"""Layers that move cells about, in model files: maps are those of plain Keras, and cells lie where kernels look."""

from pathlib import Path

import numpy as np
import pytest

from convfe_core.backbones.backbone import load_backbone
from convfe_core.backbones.network import open_network
from convfe_core.base.errors import ModelFileError, SpecError
from convfe_core.catalog.specs import choose_preprocessing, parse_spec
from convfe_core.cli.commands import main
from convfe_core.graph.tracing import trace_path
from convfe_core.maps.extraction import extract_maps
from convfe_core.maps.feature_maps import FeatureMaps
from convfe_core.maps.input_size import Size
from convfe_core.user_models.flatten import flatten_model
from convfe_core.user_models.model_card import describe_model
from convfe_core.user_models.open_model import open_model
from tests.support.builders import noise, photo, png


def saved(model, path: Path) -> Path:
    model.save(path)
    return path


def maps_of(path: Path, picture, tap: str = "auto") -> FeatureMaps:
    """The maps of a photograph at its own size, pixels as they are."""
    (spec,) = choose_preprocessing([parse_spec(f"m={path}")], ["m=raw"])
    return next(extract_maps(load_backbone(spec, tap), [picture], Size("image")))


def assert_maps_of_keras(found: FeatureMaps, layer_output) -> None:
    """Compare with (1, h, w, C) values of plain Keras."""
    values = np.asarray(layer_output)[0]
    assert found.max.shape == values.shape[:2]
    np.testing.assert_allclose(found.max, values.max(-1), atol=1e-4 * np.ptp(values) + 1e-5)
    np.testing.assert_allclose(found.mean, values.mean(-1), atol=1e-4 * np.ptp(values) + 1e-5)


def outputs_of(model, layer: str, picture):
    import keras

    batch = picture.pixels[None].astype(np.float32)
    return keras.Model(model.inputs, model.get_layer(layer).output)([batch])


@pytest.mark.parametrize("side", [64, None])
@pytest.mark.parametrize("way", ["bilinear", "bicubic", "lanczos3", "lanczos5"])
def test_upsampling_of_every_kind_runs_at_one_size_and_at_any(tmp_path: Path, way: str, side: int | None) -> None:
    import keras

    picture = keras.Input((side, side, 3))
    x = keras.layers.Conv2D(4, 3, 4, "same", activation="relu")(picture)
    x = keras.layers.UpSampling2D((2, 3), interpolation=way)(x)
    model = keras.Model(picture, keras.layers.Conv2D(3, 1, name="last")(x))
    backbone = load_backbone(
        choose_preprocessing([parse_spec(f"m={saved(model, tmp_path / 'm.keras')}")], ["m=raw"])[0]
    )
    assert backbone.fixed is None
    for shape in [(64, 64)] if side else [(64, 64), (96, 128)]:
        one = photo(*shape)
        found = next(extract_maps(backbone, [one], Size("image")))
        assert_maps_of_keras(found, model(one.pixels[None].astype(np.float32)))
        assert (found.grid.stride_y, found.grid.stride_x) == (2, pytest.approx(4 / 3))


def test_bilinear_upsampling_of_keras_2_runs(tmp_path: Path) -> None:
    import tf_keras

    picture = tf_keras.Input((64, 64, 3))
    x = tf_keras.layers.Conv2D(4, 3, 4, "same")(picture)
    model = tf_keras.Model(picture, tf_keras.layers.UpSampling2D((2, 2), interpolation="bilinear")(x))
    one = photo(64, 64)
    assert_maps_of_keras(maps_of(saved(model, tmp_path / "m.h5"), one), model(one.pixels[None].astype(np.float32)))


def test_a_networks_own_horizon_is_cut_off_and_its_cells_lie_where_its_kernels_look(tmp_path: Path) -> None:
    """Self-driving toy cars cut off the sky: 60 of 120 rows."""
    import keras

    picture = keras.Input((120, 160, 3))
    x = keras.layers.Cropping2D(((60, 0), (0, 0)))(picture)
    x = keras.layers.Conv2D(8, 5, 2, activation="relu")(x)
    x = keras.layers.Conv2D(8, 5, 2, activation="relu", name="last")(x)
    model = keras.Model(picture, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
    found = maps_of(saved(model, tmp_path / "m.keras"), photo(120, 160))
    assert (found.centres_y[0], found.centres_x[0]) == (66.5, 6.5)
    assert (found.grid.stride_y, found.centres_y[-1]) == (4, 118.5)


def test_margins_that_a_window_takes_for_itself_move_nothing(tmp_path: Path) -> None:
    """MobileNet pads below and on the right alone before it halves a map; its cells are evened out as ever."""
    import keras

    made = {}
    for name, before in {"padded": ((0, 1), (0, 1)), "moved": ((9, 0), (0, 0))}.items():
        picture = keras.Input((64, 64, 3))
        x = keras.layers.ZeroPadding2D(before)(picture)
        model = keras.Model(picture, keras.layers.Conv2D(4, 3, 2)(x))
        made[name] = maps_of(saved(model, tmp_path / f"{name}.keras"), photo(64, 64))
    assert (made["padded"].centres_y[0], made["padded"].centres_y[-1]) == (1.0, 63.0)
    assert made["moved"].centres_y[0] == 1.5 - 9


@pytest.mark.parametrize("open_size", [False, True])
def test_a_resizing_is_applied_where_it_stands(tmp_path: Path, open_size: bool) -> None:
    import keras

    picture = keras.Input((None, None, 3) if open_size else (128, 160, 3))
    x = keras.layers.Cropping2D(((64, 0), (0, 0)))(picture)
    x = keras.layers.Resizing(64, 64)(x)
    model = keras.Model(picture, keras.layers.Conv2D(8, 3, 2, "same", name="last")(x))
    one = photo(128, 160)
    found = maps_of(saved(model, tmp_path / "m.keras"), one)
    assert found.max.shape == (32, 32)
    assert_maps_of_keras(found, model(one.pixels[None].astype(np.float32)))
    assert (found.grid.stride_y, found.grid.stride_x) == (2, 5)
    assert found.centres_y[0] == 64 + 1.5  # a stride of 2 pads after the last row alone
    assert found.centres_x[0] == 1.25 + 2.5


@pytest.mark.parametrize("first", ["resizing", "rescaling"])
def test_a_model_that_resizes_pictures_first_has_the_stages_of_that_size(tmp_path: Path, first: str) -> None:
    import keras

    picture = keras.Input((None, None, 3))
    layers = [keras.layers.Resizing(64, 64), keras.layers.Rescaling(1 / 255)]
    x = picture
    for layer in layers if first == "resizing" else layers[::-1]:
        x = layer(x)
    for number in range(4):
        x = keras.layers.Conv2D(4, 3, 2, "same", name=f"c{number + 1}")(x)
    model = keras.Model(picture, x)
    one = photo(96, 128)
    path = saved(model, tmp_path / "m.keras")
    assert_maps_of_keras(maps_of(path, one), model(one.pixels[None].astype(np.float32)))
    card = describe_model(open_model(path))
    assert (card.layer, card.stride) == ("c4", 16)
    assert open_network(parse_spec(f"m={path}"), "C3").tap.layer == "c3"


def test_a_learnable_resizer_in_front_opens(tmp_path: Path) -> None:
    """As on keras.io: the picture resized, plus features of it resized."""
    import keras

    picture = keras.Input((96, 96, 3))
    x = keras.layers.Conv2D(8, 7, padding="same", activation="relu")(picture)
    x = keras.layers.Resizing(48, 48)(x)
    x = keras.layers.Add()([keras.layers.Conv2D(3, 3, padding="same")(x), keras.layers.Resizing(48, 48)(picture)])
    model = keras.Model(picture, keras.layers.Conv2D(8, 3, 2, "same", name="last")(x))
    one = photo(96, 96)
    found = maps_of(saved(model, tmp_path / "m.keras"), one)
    assert_maps_of_keras(found, model(one.pixels[None].astype(np.float32)))
    assert found.grid.stride_y == 4


@pytest.mark.parametrize("inside", ["middle of a larger", "middle of a smaller", "keras.ops"])
def test_other_resizings_are_known_too(tmp_path: Path, inside: str) -> None:
    import keras

    picture = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, padding="same")(picture)
    if inside == "keras.ops":
        x = keras.ops.image.resize(x, (48, 24), "bicubic", crop_to_aspect_ratio=True)
        rows, columns, first = 48, 24, (2 / 3, 16 + 2 / 3)  # 64 x 32 of 64 x 64
    else:
        side = 40 if inside == "middle of a larger" else 80
        x = keras.layers.CenterCrop(side, side)(x)
        rows = columns = side
        first = (12.5, 12.5) if side == 40 else (0.4, 0.4)
    model = keras.Model(picture, keras.layers.Conv2D(2, 1, name="last")(x))
    one = photo(64, 64)
    found = maps_of(saved(model, tmp_path / "m.keras"), one)
    assert (found.grid.rows, found.grid.columns) == (rows, columns)
    assert_maps_of_keras(found, model(one.pixels[None].astype(np.float32)))
    np.testing.assert_allclose((found.centres_y[0], found.centres_x[0]), first)


def test_random_cropping_of_keras_2_makes_the_middle_larger_and_of_keras_3_nothing() -> None:
    import keras
    import tf_keras

    batch = np.random.default_rng(0).random((1, 64, 96, 3), np.float32)
    for kind, cells in ((tf_keras, (32, 32)), (keras, (64, 96))):
        picture = kind.Input((64, 96, 3))
        model = kind.Model(picture, kind.layers.RandomCrop(32, 32)(picture))
        flat = flatten_model(model)
        assert trace_path(flat, flat.outputs[0]).grid(64, 96).rows == cells[0]
        np.testing.assert_allclose(flat(batch), model(batch, training=False), atol=1e-5)


@pytest.mark.parametrize("outputs", ["dict", "list", "nested"])
def test_of_several_outputs_the_main_one_is_shown_and_all_layers_can_be_chosen(tmp_path: Path, outputs: str) -> None:
    import keras

    picture = keras.Input((64, 64, 3))
    early = keras.layers.Conv2D(6, 3, 2, "same", activation="relu", name="early")(picture)
    side = keras.layers.Conv2D(5, 3, 2, "same", name="side")(early)
    late = keras.layers.Conv2D(12, 3, 2, "same", activation="relu", name="late")(early)
    late = keras.layers.Conv2D(7, 3, padding="same", name="last")(late)
    aux, wanted = (keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)) for x in (side, late))
    model = keras.Model(
        picture, {"dict": {"main": wanted, "aux": aux}, "list": [aux, wanted], "nested": [aux, {"b": wanted}]}[outputs]
    )
    path, one = saved(model, tmp_path / "m.keras"), photo(64, 64)
    found = maps_of(path, one)
    assert found.tap == "last"
    assert_maps_of_keras(found, outputs_of(model, "last", one))
    assert_maps_of_keras(maps_of(path, one, "side"), outputs_of(model, "side", one))
    (note,) = found.notes
    assert "2 outputs" in note
    card = describe_model(open_model(path))
    assert card.notes == found.notes
    assert {"early", "side", "late", "last"} <= set(card.layers)


def test_a_pyramid_of_maps_shows_the_deepest(tmp_path: Path) -> None:
    import keras

    picture = x = keras.Input((None, None, 3))
    maps = []
    for number in range(3):
        x = keras.layers.Conv2D(4, 3, 2, "same", name=f"level{number}")(x)
        maps.append(x)
    opened = open_model(saved(keras.Model(picture, maps), tmp_path / "m.keras"))
    card = describe_model(opened)
    assert (card.layer, card.stride) == ("level2", 8)
    assert opened.fixed is None


@pytest.mark.parametrize("way", ["permute", "transpose", "swapaxes", "moveaxis", "flip"])
def test_a_map_that_is_turned_or_mirrored_is_shown_upright(tmp_path: Path, way: str) -> None:
    import keras

    turns = {
        "permute": keras.layers.Permute((2, 1, 3)),
        "transpose": lambda x: keras.ops.transpose(x, (0, 2, 1, 3)),
        "swapaxes": lambda x: keras.ops.swapaxes(x, 1, 2),
        "moveaxis": lambda x: keras.ops.moveaxis(x, 2, 1),
        "flip": lambda x: keras.ops.flip(x, 2),
    }
    back = (lambda x: np.asarray(x)[:, :, ::-1]) if way == "flip" else (lambda x: np.swapaxes(x, 1, 2))
    picture = keras.Input((64, 64, 3))
    x = keras.layers.Conv2D(8, 3, 2, "same", activation="relu", name="before")(picture)
    turned = turns[way](x)
    after = keras.layers.Conv2D(4, (1, 3), padding="same", name="after")(turned)
    one = photo(64, 64)
    path = saved(keras.Model(picture, turned), tmp_path / "turned.keras")
    found = maps_of(path, one)
    assert found.tap == "before"
    assert_maps_of_keras(found, keras.Model(picture, x)(one.pixels[None].astype(np.float32)))
    model = keras.Model(picture, after)
    found = maps_of(saved(model, tmp_path / "after.keras"), one)
    assert_maps_of_keras(found, back(model(one.pixels[None].astype(np.float32))))
    assert found.grid.stride_x == 2


def test_a_text_reader_shows_the_map_before_its_columns_become_a_sequence(tmp_path: Path) -> None:
    import keras

    picture = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(picture)
    x = keras.layers.MaxPooling2D(2, name="pooled")(x)
    x = keras.layers.TimeDistributed(keras.layers.Flatten())(keras.layers.Permute((2, 1, 3))(x))
    model = keras.Model(picture, keras.layers.Bidirectional(keras.layers.LSTM(4, return_sequences=True))(x))
    one = photo(32, 32)
    found = maps_of(saved(model, tmp_path / "m.keras"), one)
    assert_maps_of_keras(found, outputs_of(model, "pooled", one))
    assert found.notes == ()


@pytest.mark.parametrize("order", ["rows first", "columns first"])
def test_a_reshape_that_swaps_rows_and_columns_is_seen_in_a_square_map(tmp_path: Path, order: str) -> None:
    import keras

    picture = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(6, 3, 4, "same")(picture)
    x = keras.layers.Permute((2, 1, 3))(x) if order == "columns first" else x
    row = keras.layers.Dense(5)(keras.layers.Reshape((64, 6))(x))
    model = keras.Model(picture, keras.layers.Conv2D(4, 1)(keras.layers.Reshape((8, 8, 5))(row)))
    one = photo(32, 32)
    found = maps_of(saved(model, tmp_path / "m.keras"), one)
    values = np.asarray(model(one.pixels[None].astype(np.float32)))
    assert_maps_of_keras(found, np.swapaxes(values, 1, 2) if order == "columns first" else values)


def test_fully_connected_layers_written_as_convolutions_belong_to_the_head(tmp_path: Path) -> None:
    import keras

    picture = keras.Input((64, 64, 3))
    x = keras.layers.MaxPooling2D(4)(keras.layers.Conv2D(8, 3, padding="same", activation="relu")(picture))
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="conv5_3")(x)
    x = keras.layers.Conv2D(16, 4, activation="relu", name="fc6")(keras.layers.MaxPooling2D(4)(x))
    x = keras.layers.Conv2D(5, 1, name="fc8")(keras.layers.Dropout(0.5)(x))
    model = keras.Model(picture, keras.layers.Activation("softmax")(keras.layers.Flatten()(x)))
    path, one = saved(model, tmp_path / "m.keras"), photo(64, 64)
    found = maps_of(path, one)
    assert (found.tap, found.max.shape) == ("conv5_3", (16, 16))
    assert_maps_of_keras(found, outputs_of(model, "conv5_3", one))
    assert "fc6" in found.notes[0]
    assert "fc8" in describe_model(open_model(path)).head


def test_a_map_of_one_row_of_cells_is_shown(tmp_path: Path) -> None:
    import keras

    picture = keras.Input((32, 64, 3))
    model = keras.Model(picture, keras.layers.Conv2D(4, (32, 4), (1, 4), name="line")(picture))
    found = maps_of(saved(model, tmp_path / "m.keras"), photo(32, 64))
    assert (found.tap, found.max.shape) == ("line", (1, 16))


def test_maps_before_a_layer_of_unknown_doing_are_offered_and_those_behind_it_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import keras

    picture = keras.Input((64, 64, 3))
    x = keras.layers.Conv2D(8, 3, 2, "same", activation="relu", name="before")(picture)
    x = keras.layers.Conv2D(4, 3, padding="same", name="behind")(keras.ops.roll(x, 5, 1))
    model = keras.Model(picture, x)
    path, one = saved(model, tmp_path / "m.keras"), photo(64, 64)
    found = maps_of(path, one)
    assert found.tap == "before"
    assert_maps_of_keras(found, outputs_of(model, "before", one))
    assert "roll" in found.notes[0]
    with pytest.raises(SpecError, match="behind"):
        maps_of(path, one, "behind")
    (tmp_path / "in.png").write_bytes(png(noise(64, 64)))
    assert main(["maps", str(tmp_path / "in.png"), "--backbone", f"mine={path}", "--out", str(tmp_path / "out")]) == 0
    assert f"mine: {found.notes[0]}" in capsys.readouterr().err


@pytest.mark.parametrize("side", [None, 64])
@pytest.mark.parametrize("name", ["slice", "pad", "ops.slice"])
def test_slices_and_paddings_put_cells_where_kernels_look(tmp_path: Path, name: str, side: int | None) -> None:
    import keras

    moves = {
        "slice": lambda x: x[:, 3:],
        "pad": lambda x: keras.ops.pad(x, ((0, 0), (3, 0), (0, 0), (0, 0)), mode="reflect"),
        "ops.slice": lambda x: keras.ops.slice(x, (0, 3, 0, 0), (1, 5, 8, 4)),
    }
    picture = keras.Input((side, side, 3), batch_size=1 if name == "ops.slice" else None)
    moved = moves[name](keras.layers.Conv2D(4, 8, 8)(picture))
    path = saved(keras.Model(picture, keras.layers.Conv2D(4, 1)(moved)), tmp_path / "moved.keras")
    found = maps_of(path, photo(64, 64))
    assert found.centres_y[0] == (4 - 3 * 8 if name == "pad" else 4 + 3 * 8)
    assert found.centres_x[0] == 4


def test_a_model_whose_layers_do_not_run_is_one_sentence_and_others_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its table has ten rows, and pixels ask for the 255th; black ones do not, so that it loads."""
    import keras

    picture = keras.Input((64, 64, 3))
    brightest = keras.layers.Flatten()(keras.layers.Embedding(10, 4)(keras.layers.GlobalMaxPooling2D()(picture)))
    x = keras.layers.Multiply()([keras.layers.Conv2D(4, 3)(picture), keras.layers.Dense(4)(brightest)])
    path = saved(keras.Model(picture, x), tmp_path / "m.keras")
    (spec,) = choose_preprocessing([parse_spec(f"mine={path}")], ["mine=raw"])
    with pytest.raises(ModelFileError, match=r"^mine: expected layers that run .* is not in \[0, 10\)") as caught:
        next(extract_maps(load_backbone(spec), [photo(64, 64)], Size("64")))
    assert "\n" not in str(caught.value)
    (tmp_path / "in.png").write_bytes(png(noise(64, 64)))
    call = ["maps", str(tmp_path / "in.png"), "--backbone", f"mine={path}", "--backbone", "TinyResNet"]
    assert main([*call, "--preprocess", "mine=raw", "--out", str(tmp_path / "out")]) == 1
    assert "mine: expected layers that run" in capsys.readouterr().err
    assert (tmp_path / "out" / "in.TinyResNet.npz").exists()
