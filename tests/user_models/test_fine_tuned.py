"""A backbone of the catalog, fine-tuned for a moment: opened, recognised, moved where it was trained, and healthy."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convfe_core.backbones.backbone import freeze_network
from convfe_core.backbones.network import Network, open_network
from convfe_core.catalog.specs import parse_spec
from convfe_core.inspection.health_report import examine
from convfe_core.maps.extraction import extract_maps
from convfe_core.maps.input_size import Size
from convfe_core.photos.gallery import SAMPLES, load_sample
from convfe_core.photos.photo import Photo
from convfe_core.user_models.open_model import open_model

pytestmark = pytest.mark.slow

TRAINED = ("stage4_block3", "features")
"""Beginnings of the names of the last layers."""
SIDE, PICTURES, EPOCHS = 64, 96, 4


def square_or_bar(number: int) -> np.ndarray:
    """A picture, (64, 64, 3) uint8: part of a photograph with a bright square on it, or a bar if the number is odd."""
    random = np.random.default_rng(number)
    photo = load_sample(SAMPLES[number % len(SAMPLES)].name)
    part = min(photo.height, photo.width) * 2 // 3
    top, left = random.integers(0, photo.height - part), random.integers(0, photo.width - part)
    whole = Image.fromarray(photo.pixels)
    picture = np.array(whole.resize((SIDE, SIDE), box=(left, top, left + part, top + part)))
    height, width = (6, 40) if number % 2 else (16, 16)
    top, left = random.integers(0, SIDE - height), random.integers(0, SIDE - width)
    picture[top : top + height, left : left + width] = random.integers(160, 256, 3)
    return picture


@pytest.fixture(scope="module")
def unseen() -> list[Photo]:
    """Pictures of the same kind that it was not trained on."""
    numbers = range(PICTURES, PICTURES + 8)
    return [Photo(f"{number}.png", square_or_bar(number), str(number)) for number in numbers]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float]]:
    """A saved classifier on TinyResNet, whose last block was trained with the head, and its losses."""
    import keras

    keras.utils.set_random_seed(0)
    backbone = open_network(parse_spec("TinyResNet")).model
    for layer in backbone.layers:
        layer.trainable = layer.name.startswith(TRAINED)
    picture = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.GlobalAveragePooling2D()(backbone(keras.layers.RandomFlip()(picture)))
    model = keras.Model(picture, keras.layers.Dense(2, activation="softmax")(keras.layers.Dropout(0.2)(x)))
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    pictures = np.stack([square_or_bar(number) for number in range(PICTURES)]) / np.float32(127.5) - 1
    losses = model.fit(pictures, np.arange(PICTURES) % 2, batch_size=8, epochs=EPOCHS, verbose=0).history["loss"]
    path = tmp_path_factory.mktemp("runs") / "tuned.keras"
    model.save(path)
    return path, losses


def test_a_fine_tuned_backbone_is_recognised_and_its_head_left_out(tuned: tuple[Path, list[float]]) -> None:
    path, losses = tuned
    assert losses[-1] < losses[0]
    opened = open_model(path)
    assert opened.architecture.name == "TinyResNet"
    assert opened.scaling.mode == "tf"
    assert opened.head[-1].startswith("dense")


def test_its_maps_have_moved_where_it_was_trained_and_only_there(
    tuned: tuple[Path, list[float]], unseen: list[Photo]
) -> None:
    path, _ = tuned
    mine, frozen = (open_network(parse_spec(text)) for text in (f"mine={path}", "TinyResNet"))

    def maps(network: Network) -> list[np.ndarray]:
        return [maps.mean for maps in extract_maps(freeze_network(network), unseen[:2], Size("160"))]

    for pair, moved in (((mine.at("C3"), frozen.at("C3")), False), ((mine, frozen), True)):
        for mine_map, frozen_map in zip(*map(maps, pair), strict=True):
            assert mine_map.shape == frozen_map.shape
            change = float(np.abs(mine_map - frozen_map).max() / np.ptp(frozen_map))
            assert (change > 0.05) if moved else (change < 1e-5)


def test_it_is_healthy_on_pictures_of_its_kind(tuned: tuple[Path, list[float]], unseen: list[Photo]) -> None:
    path, _ = tuned
    report = examine(open_network(parse_spec(f"mine={path}")), unseen, Size("own"))
    assert report.verdict == "Healthy over 8 images: all 11 checks passed."
