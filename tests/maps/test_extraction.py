import threading
from collections.abc import Iterator

import numpy as np
import pytest

from convfe_core.backbones.backbone import load_backbone
from convfe_core.backbones.described import Described
from convfe_core.base.errors import ImageError
from convfe_core.catalog.specs import parse_spec
from convfe_core.geometry.cell_geometry import SpatialPath
from convfe_core.graph.taps import Tap
from convfe_core.maps.extraction import (
    BATCH_MB,
    WINDOW_IMAGES,
    WINDOW_LAYERS_MB,
    WINDOW_PHOTOS_MB,
    Batch,
    extract_maps,
    sized_windows,
)
from convfe_core.maps.input_size import Size
from convfe_core.photos.photo import Photo
from tests.support.builders import photo


def network(activation_bytes: float, minimum_size: int = 1) -> Described:
    """What batching needs to know of a network."""
    return Described(
        label="Net",
        weights="untrained",
        tap=Tap("auto", "last", 8, 32, False),
        path=SpatialPath(()),
        working_size=64,
        native_size=64,
        minimum_size=minimum_size,
        megabytes=1.0,
        activation_bytes=activation_bytes,
    )


def photos(count: int, height: int = 64, width: int = 64) -> list[tuple[int, Photo]]:
    pixels = np.zeros((height, width, 3), np.uint8)
    return [(number, Photo(f"{number}.png", pixels, str(number))) for number in range(count)]


def sizes(windows: Iterator[list[Batch[int]]]) -> list[list[int]]:
    return [[len(batch.members) for batch in window] for window in windows]


def megabytes_a_photo(megabytes: float) -> Described:
    return network(megabytes * 2**20 / 64**2)


def test_batches_are_as_large_as_the_layers_leave_room_for() -> None:
    assert sizes(sized_windows(megabytes_a_photo(BATCH_MB / 4), photos(10), Size("own"))) == [[4, 4, 2]]
    assert sizes(sized_windows(megabytes_a_photo(BATCH_MB * 3), photos(2), Size("own"))) == [[1, 1]]


def test_windows_are_as_long_as_layers_photographs_and_patience_allow() -> None:
    slow = sizes(sized_windows(megabytes_a_photo(WINDOW_LAYERS_MB / 3), photos(4), Size("own")))
    assert slow == [[1, 1, 1], [1]]
    each_mb = 2048 * 1024 * 3 / 2**20
    large = sizes(sized_windows(network(1), photos(5, 2048, 1024), Size("own")))
    assert [sum(window) for window in large[:2]] == [int(WINDOW_PHOTOS_MB / each_mb)] * 2
    many = sizes(sized_windows(network(1), photos(WINDOW_IMAGES + 1), Size("own")))
    assert many == [[WINDOW_IMAGES], [1]]


def test_photographs_of_one_shape_share_a_batch_and_keep_their_places() -> None:
    mixed = [*photos(2), *photos(3, 64, 32), *photos(1)]
    (window,) = sized_windows(network(1), mixed, Size("own"))
    assert [batch.canvases.shape for batch in window] == [(3, 64, 64, 3), (3, 64, 32, 3)]
    assert [[one.place for one in batch.members] for batch in window] == [[0, 1, 5], [2, 3, 4]]


def test_a_canvas_is_never_smaller_than_the_network_takes() -> None:
    (((thin,),),) = [list(sized_windows(network(1, minimum_size=75), photos(1, 20, 400), Size("320")))]
    assert thin.canvases.shape == (1, 96, 320, 3)


def test_to_go_on_after_a_window_gives_the_windows_that_would_have_come() -> None:
    mixed = [*photos(25), *photos(31, 64, 32), *photos(19)]
    plan = megabytes_a_photo(BATCH_MB / 4)
    whole = sizes(sized_windows(plan, mixed, Size("own")))
    assert len(whole) > 2
    for done in range(len(whole)):
        rest = mixed[sum(map(sum, whole[:done])) :]
        assert sizes(sized_windows(plan, rest, Size("own"))) == whole[done:]


def test_maps_come_in_the_order_of_their_photographs() -> None:
    backbone = load_backbone(parse_spec("TinyResNet"))
    mixed = [photo(*shape, seed) for seed, shape in enumerate([(96, 64), (64, 96), (96, 64), (80, 80), (64, 96)])]
    together = list(extract_maps(backbone, mixed, Size("96")))
    assert [maps.digest for maps in together] == [one.digest for one in mixed]
    for one, maps in zip(mixed, together, strict=True):
        alone = next(extract_maps(backbone, [one], Size("96")))
        np.testing.assert_allclose(maps.max, alone.max, rtol=1e-4, atol=1e-5)


def test_an_error_while_decoding_comes_after_the_windows_before_it_and_ends_the_thread() -> None:
    def source() -> Iterator[tuple[int, Photo]]:
        yield from photos(WINDOW_IMAGES + 2)
        raise ImageError("no picture")

    windows = sized_windows(network(1), source(), Size("own"))
    assert sum(len(batch.members) for batch in next(windows)) == WINDOW_IMAGES
    with pytest.raises(ImageError, match="no picture"):
        next(windows)
    assert not [thread for thread in threading.enumerate() if thread.name == "convfe-ahead"]
