"""A transformer saved as plain Keras: its tokens become a map of as many rows and columns as there are patches."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convfe_core.backbones.network import Network, open_network
from convfe_core.base.errors import SpecError
from convfe_core.catalog.specs import parse_spec
from convfe_core.inspection.health_report import examine
from convfe_core.inspection.layer_table import layer_table
from convfe_core.maps.input_size import Size
from tests.support.builders import photo
from tests.user_models.test_open_model import saved

HEIGHT, WIDTH, PATCH, CHANNELS = 32, 24, 8, 6
ROWS, COLUMNS = HEIGHT // PATCH, WIDTH // PATCH


def put_before(tokens: Any, how: str, count: int) -> Any:
    """Tokens of the class and registers before those of the patches, the ways that Keras has for it."""
    import keras

    if how == "padding layer":
        return keras.layers.ZeroPadding1D((count, 0))(tokens)
    if how == "padding":
        return keras.ops.pad(tokens, [[0, 0], [count, 0], [0, 0]])
    learned = keras.layers.Dense(count * CHANNELS)(keras.layers.GlobalAveragePooling1D()(tokens))
    learned = keras.layers.Reshape((count, CHANNELS))(learned)
    order = [tokens, learned] if how == "behind" else [learned, tokens]
    return keras.layers.Concatenate(axis=1, name="together")(order)


def transformer(before: int = 1, how: str = "concatenated", end: str = "class", side: int | None = HEIGHT) -> Any:
    """Two blocks of attention over patches, and a last normalisation; ``block`` is what enters it."""
    import keras

    keras.utils.set_random_seed(3)
    layers = keras.layers
    picture = keras.Input((side, side and WIDTH, 3))
    x = layers.Conv2D(CHANNELS, PATCH, PATCH, name="patches")(layers.Rescaling(1 / 255)(picture))
    x = layers.Reshape((-1, CHANNELS))(x)
    if before:
        x = put_before(x, how, before)
    if side:
        x = x + np.random.default_rng(0).normal(size=(1, x.shape[1], CHANNELS)).astype(np.float32)
    for name in ("first", "block"):
        normed = layers.LayerNormalization()(x)
        x = layers.Add()([x, layers.MultiHeadAttention(2, 3)(normed, normed)])
        wide = layers.Dense(12, activation="gelu")(layers.LayerNormalization()(x))
        x = layers.Add(name=name)([x, layers.Dense(CHANNELS)(wide)])
    x = layers.LayerNormalization(name="norm")(x)
    if end == "class":
        x = layers.Dense(3)(x[:, 0])
    elif end == "patches":
        x = layers.Dense(3)(layers.GlobalAveragePooling1D()(x[:, before:]))
    elif end == "map":
        x = layers.Reshape((ROWS, COLUMNS, CHANNELS))(layers.Cropping1D((before, 0))(x))
    return keras.Model(picture, x)


def opened(model: Any, folder: Path) -> Network:
    return open_network(parse_spec(f"mine={saved(model, folder / 'm.keras')}"))


@pytest.mark.parametrize(
    ("before", "how", "end"),
    [
        (0, "", "tokens"),
        (1, "concatenated", "class"),
        (5, "concatenated", "patches"),
        (1, "padding layer", "tokens"),
        (2, "padding", "map"),
    ],
)
def test_tokens_before_the_last_normalisation_are_shown_as_a_map(
    before: int, how: str, end: str, tmp_path: Path
) -> None:
    import keras

    model = transformer(before, how, end)
    network = opened(model, tmp_path)
    assert (network.tap.layer, network.tap.channels, network.tap.stride) == ("block", CHANNELS, PATCH)
    assert network.fixed == (HEIGHT, WIDTH)
    grid = network.grid(HEIGHT, WIDTH)
    assert (grid.rows, grid.columns, grid.stride_y, grid.offset_x) == (ROWS, COLUMNS, PATCH, PATCH / 2)
    pixels = np.random.default_rng(1).integers(0, 256, (2, HEIGHT, WIDTH, 3), np.uint8)
    tokens = np.asarray(keras.Model(model.input, model.get_layer("block").output)(pixels))
    wanted = tokens[:, before:].reshape(2, ROWS, COLUMNS, CHANNELS)
    np.testing.assert_allclose(np.asarray(network.features(pixels)), wanted, atol=1e-5)
    assert network.stages()["C3"].layer == "block"
    assert network.at("first").tap.channels == CHANNELS


def test_inspect_and_the_table_of_layers_take_tokens(tmp_path: Path) -> None:
    network = opened(transformer(), tmp_path)
    assert {check.name: check.state for check in examine(network, [photo(40, 30)], Size("own")).checks}
    rows = {row["name"]: row for row in layer_table(network)}
    assert (rows["block"]["output"], rows["block"]["stride"]) == (f"{1 + ROWS * COLUMNS} × {CHANNELS}", f"{PATCH}")


def test_tokens_of_a_model_of_any_size_are_looked_at_in_the_usual_one(tmp_path: Path) -> None:
    network = opened(transformer(0, end="tokens", side=None), tmp_path)
    assert network.fixed == (320, 320)
    assert network.grid(320, 320).rows == 320 // PATCH


def test_tokens_in_an_order_that_is_not_known_are_no_map_and_a_note_says_so(tmp_path: Path) -> None:
    network = opened(transformer(2, "behind"), tmp_path)
    assert network.tap.layer == "patches"
    assert "'together'" in network.notes[0]
    with pytest.raises(SpecError, match="block"):
        network.at("block")
