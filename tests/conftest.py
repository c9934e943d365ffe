"""What several tests need: made-up photographs and maps, exact to the pixel."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from convfe_core.images import Photo
from convfe_core.maps import CellGrid, FeatureMaps, Frame


@pytest.fixture
def make_maps() -> Callable[..., FeatureMaps]:
    """Maps of a photograph of 96 x 64 pixels, seen in its own size with a stride of 32: 2 x 3 cells."""

    def make(
        maximum: object, mean: object, *, digest: str = "a", label: str = "VGG16", **changes: object
    ) -> FeatureMaps:
        arguments: dict[str, object] = {
            "image": f"{digest}.png",
            "digest": digest,
            "label": label,
            "weights": "imagenet",
            "tap": "block5_conv3",
            "max": np.array(maximum, np.float32),
            "mean": np.array(mean, np.float32),
            "frame": Frame(64, 96, 64, 96, 64, 96),
            "grid": CellGrid(2, 3, 32.0, 32.0, 16.0, 16.0),
        }
        return FeatureMaps(**{**arguments, **changes})  # type: ignore[arg-type]

    return make


@pytest.fixture
def plain_photo() -> Photo:
    """The photograph of `make_maps`: 96 x 64 pixels, orange."""
    return Photo("a.png", np.full((64, 96, 3), (230, 120, 20), np.uint8), "a")
