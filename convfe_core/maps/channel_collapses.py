"""The channels behind a map: more ways to collapse them, and which ones are strongest at a place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convfe_core.base.arrays import FloatArray

ORDERS = ("maximum", "mean", "variance")


def first_component(features: FloatArray) -> FloatArray:
    """Project every cell on the first right singular vector of all cells, not centred (EigenCAM).

    Its sign is free; here it is the one that agrees with the L2 map, so that strong cells are high.

    Parameters
    ----------
    features : (h, w, C)

    Returns
    -------
    (h, w) float32

    References
    ----------
    Muhammad and Yeasin 2020, https://arxiv.org/abs/2008.00299
    """
    height, width, channels = features.shape
    cells = np.nan_to_num(features.reshape(-1, channels).astype(np.float64))
    left, values, _ = np.linalg.svd(cells, full_matrices=False)
    scores = left[:, 0] * values[0]
    if scores @ np.linalg.norm(cells, axis=1) < 0:
        scores = -scores
    return np.asarray(scores.reshape(height, width), np.float32)


COLLAPSES: dict[str, Callable[[FloatArray], FloatArray]] = {
    "std": lambda features: features.std(axis=-1),
    "L2": lambda features: np.sqrt(np.square(features).sum(axis=-1)),
    "first component": first_component,
    "median": lambda features: np.median(features, axis=-1).astype(np.float32),
}
"""Ways to collapse channels beside max and mean: (h, w, C) to (h, w)."""

COLLAPSE_WORDS = {
    "std": "standard deviation over the channels: do they disagree here?",
    "L2": "length of the cell's feature vector: how much fires, whatever it is?",
    "first component": "the direction in which cells differ most from nothing (EigenCAM), its sign as in L2",
    "median": "the middle channel; 0 wherever more than half are silent",
}


@dataclass(frozen=True)
class Strength:
    """One channel at a place.

    Attributes
    ----------
    maximum, mean : over the cells of the place
    variance : of the channel over the whole photograph
    """

    channel: int
    maximum: float
    mean: float
    variance: float


def strongest_channels(
    features: FloatArray, place: NDArray[np.bool_], order: str = "maximum", count: int = 12
) -> list[Strength]:
    """Name the channels that are strongest at a place, the strongest first; those that are silent there never count.

    Parameters
    ----------
    features : (h, w, C)
    place : (h, w) mask of the cells in question, at least one
    order : by ``maximum`` or ``mean`` at the place, or by ``variance`` over the photograph among those that are above
        their own average there
    """
    if order not in ORDERS:
        raise ValueError(f"Expected an order among {', '.join(ORDERS)}. Received: {order!r}")
    values = np.nan_to_num(features)
    here = values[place]
    maximum, mean = here.max(axis=0), here.mean(axis=0)
    variance = values.var(axis=(0, 1))
    key = {"maximum": maximum, "mean": mean, "variance": np.where(mean > values.mean(axis=(0, 1)), variance, -1)}[order]
    alive = values.max(axis=(0, 1)) > 0
    ranked = [int(channel) for channel in np.argsort(-key, kind="stable") if alive[channel] and key[channel] > 0]
    return [
        Strength(channel, float(maximum[channel]), float(mean[channel]), float(variance[channel]))
        for channel in ranked[:count]
    ]


def dead_channels(features: FloatArray) -> list[int]:
    """Channels that are above zero on no cell of a (h, w, C) feature map."""
    return [int(channel) for channel in np.flatnonzero(np.nan_to_num(features).max(axis=(0, 1)) <= 0)]


def cells_in_box(
    centres_y: NDArray[np.float64], centres_x: NDArray[np.float64], box: tuple[float, float, float, float]
) -> NDArray[np.bool_]:
    """Mark the cells whose centre lies in a box of image pixels, or the one nearest its middle if none does.

    Parameters
    ----------
    centres_y, centres_x : (h,) and (w,) in image pixels
    box : (x_min, y_min, x_max, y_max); a point is a box of no size

    Returns
    -------
    (h, w) bool, at least one True
    """
    x_min, y_min, x_max, y_max = box
    rows = (centres_y >= y_min) & (centres_y <= y_max)
    columns = (centres_x >= x_min) & (centres_x <= x_max)
    if not rows.any():
        rows[np.abs(centres_y - (y_min + y_max) / 2).argmin()] = True
    if not columns.any():
        columns[np.abs(centres_x - (x_min + x_max) / 2).argmin()] = True
    return rows[:, None] & columns[None, :]
