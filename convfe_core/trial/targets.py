"""What a detector is to say at each cell of a map: FCOS (Z. Tian et al., ICCV 2019) on a single level.

A cell belongs to the smallest box that holds its centre. There the score is to be the box's centre-ness, and four
numbers are to be the logarithms of the distances to its sides, in strides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convfe_core.base.arrays import BoxArray, FloatArray, Values
from convfe_core.datasets.boxes import box_areas
from convfe_core.geometry.cell_geometry import CellGrid
from convfe_core.maps.feature_maps import cell_centres
from convfe_core.photos.letterbox import Frame

LEAST_DISTANCE, MOST_DISTANCE = 1 / 16, 256.0
"""Strides from a cell's centre to a side of its box: what is less, or on the other side, counts as the least."""


@dataclass(frozen=True, eq=False)
class CellPlaces:
    """Where the cells of a map lie on a photograph, in its pixels.

    Attributes
    ----------
    centres_y, centres_x : (h,) and (w,)
    stride_y, stride_x : from one cell to the next
    """

    centres_y: Values
    centres_x: Values
    stride_y: float
    stride_x: float

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.centres_y), len(self.centres_x)


def cell_places(frame: Frame, grid: CellGrid) -> CellPlaces:
    """Where the cells of a grid on a network's input lie on the photograph there."""
    return CellPlaces(
        *cell_centres(frame, grid),
        abs(grid.stride_y) * frame.image_height / frame.content_height,
        abs(grid.stride_x) * frame.image_width / frame.content_width,
    )


@dataclass(frozen=True, eq=False)
class Targets:
    """What a detector is to say of one photograph.

    Attributes
    ----------
    owner : (h, w) int, the box that each cell belongs to, -1 for none
    score : (h, w) float32 in 0..1, the box's centre-ness, 0 without a box
    distances : (h, w, 4) float32, logarithms of the distances left, up, right and down, in strides; 0 without a box
    without_cell : (N,) bool, boxes that got the nearest cell because none belonged to them, or none at all
    """

    owner: NDArray[np.int64]
    score: FloatArray
    distances: FloatArray
    without_cell: NDArray[np.bool_]


def detector_targets(boxes: BoxArray, places: CellPlaces) -> Targets:
    """Divide the cells of a map among boxes.

    A box that no cell belongs to gets the cell nearest to its centre that is free or one of several of its owner's,
    with a score of 1, as there is no better one. Where no such cell lies within a stride of it, it gets none.

    Parameters
    ----------
    boxes : (N, 4) in pixels of the photograph

    Examples
    --------
    >>> places = CellPlaces(np.array([5.0]), np.array([5.0, 15.0]), 10.0, 10.0)
    >>> found = detector_targets(np.array([[0.0, 0, 10, 10]]), places)
    >>> found.owner.tolist(), found.score.tolist(), np.exp(found.distances[0, 0]).tolist()
    ([[0, -1]], [[1.0, 0.0]], [0.5, 0.5, 0.5, 0.5])
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    distances = _distances(boxes, places)
    areas = box_areas(boxes)
    by_area = np.where((distances > 0).all(axis=-1), areas[:, None, None], np.inf)
    held = np.isfinite(by_area).any(axis=0) if len(boxes) else np.zeros(places.shape, bool)
    owner = np.where(held, by_area.argmin(axis=0), -1) if len(boxes) else np.full(places.shape, -1)
    cells = np.bincount(owner[held], minlength=len(boxes))
    without_cell = cells == 0
    nearest = np.zeros(places.shape, bool)
    for box in np.flatnonzero(without_cell)[np.argsort(areas[without_cell], kind="stable")]:
        away = np.abs((distances[box, ..., :2] - distances[box, ..., 2:]) / 2).max(axis=-1)
        outside = np.maximum(-distances[box].min(axis=-1), 0)
        kept = (owner >= 0) & (cells[owner] == 1)
        away = np.where(kept | (outside > 1), np.inf, away)
        cell = np.unravel_index(away.argmin(), away.shape)
        if np.isfinite(away[cell]):
            if owner[cell] >= 0:
                cells[owner[cell]] -= 1
            owner[cell], nearest[cell], cells[box] = box, True, 1
    owned = owner >= 0
    own = np.zeros((*places.shape, 4))
    own[owned] = np.clip(distances[owner[owned], *np.nonzero(owned)], LEAST_DISTANCE, MOST_DISTANCE)
    return Targets(
        owner=owner,
        score=np.where(nearest, 1.0, np.where(owned, _centreness(own), 0.0)).astype(np.float32),
        distances=np.log(np.where(owned[..., None], own, 1.0)).astype(np.float32),
        without_cell=without_cell,
    )


def boxes_at(distances: FloatArray, places: CellPlaces, height: int, width: int) -> BoxArray:
    """The boxes that a detector says, cut to the photograph.

    Parameters
    ----------
    distances : (h, w, 4) as of `Targets`
    height, width : of the photograph

    Returns
    -------
    (h * w, 4) in pixels of the photograph, each with an area
    """
    away = np.exp(np.clip(distances.astype(np.float64), np.log(LEAST_DISTANCE), np.log(MOST_DISTANCE)))
    y, x = places.centres_y[:, None], places.centres_x[None, :]
    sides = [
        x - away[..., 0] * places.stride_x,
        y - away[..., 1] * places.stride_y,
        x + away[..., 2] * places.stride_x,
        y + away[..., 3] * places.stride_y,
    ]
    most = np.array([width, height, width, height], np.float64)
    return np.clip(np.stack(sides, axis=-1).reshape(-1, 4), 0.0, most)


def _distances(boxes: BoxArray, places: CellPlaces) -> NDArray[np.float64]:
    """(N, h, w, 4) from every cell's centre left, up, right and down to the sides of every box, in strides."""
    y, x = places.centres_y[None, :, None], places.centres_x[None, None, :]
    x_min, y_min, x_max, y_max = (side[:, None, None] for side in boxes.T)
    across, down = np.zeros_like(y), np.zeros_like(x)
    return np.stack(
        [
            (x - x_min) / places.stride_x + across,
            (y - y_min) / places.stride_y + down,
            (x_max - x) / places.stride_x + across,
            (y_max - y) / places.stride_y + down,
        ],
        axis=-1,
    )


def _centreness(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Equation 3 of FCOS: 1 at a box's centre, less towards its sides; (..., 4) -> (...)."""
    pairs = distances[..., :2], distances[..., 2:]
    with np.errstate(invalid="ignore"):
        centreness: NDArray[np.float64] = np.sqrt(np.prod(np.minimum(*pairs) / np.maximum(*pairs), axis=-1))
    return centreness
