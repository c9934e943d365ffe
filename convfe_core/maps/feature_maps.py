"""The max and mean maps of one photograph under one backbone, and where their cells lie on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

REDUCTIONS = ("max", "mean")


@dataclass(frozen=True)
class Frame:
    """Where a photograph lies on the canvas that a network receives.

    The resized photograph sits in the top left corner; what is right of it and below it is padding.
    """

    image_height: int
    image_width: int
    content_height: int
    content_width: int
    input_height: int
    input_width: int


@dataclass(frozen=True)
class CellGrid:
    """The cells of a feature map on a network's input.

    Coordinates are continuous: input pixel ``i`` covers ``[i, i + 1)``. The centre of cell ``(row, column)`` is
    ``(offset_y + row * stride_y, offset_x + column * stride_x)``.
    """

    rows: int
    columns: int
    stride_y: float
    stride_x: float
    offset_y: float
    offset_x: float


@dataclass(frozen=True, eq=False)
class FeatureMaps:
    """The two maps of one photograph, cut to the cells whose centre lies on it.

    Attributes
    ----------
    image : file name of the photograph
    digest : SHA-256 of its bytes, hex
    label : how the backbone is called in titles and files, for instance ``MobileNetV2-0.35`` or ``VGG16:untrained``
    weights : ``imagenet``, ``untrained``, ``builtin`` or the name of a file
    tap : the layer whose output was reduced
    max, mean : (h, w) float32
    frame : the photograph on the network's input
    grid : the cells on the network's input; ``rows`` and ``columns`` are those of `max` and `mean`
    """

    image: str
    digest: str
    label: str
    weights: str
    tap: str
    max: FloatArray
    mean: FloatArray
    frame: Frame
    grid: CellGrid

    @property
    def centres_y(self) -> NDArray[np.float64]:
        """(h,) vertical centres of the cells, in pixels of the original image."""
        return cell_centres(self.frame, self.grid)[0]

    @property
    def centres_x(self) -> NDArray[np.float64]:
        """(w,) horizontal centres of the cells, in pixels of the original image."""
        return cell_centres(self.frame, self.grid)[1]


def cell_centres(frame: Frame, grid: CellGrid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(h,) vertical and (w,) horizontal centres of a grid's cells, in pixels of the original image."""
    y = grid.offset_y + np.arange(grid.rows, dtype=np.float64) * grid.stride_y
    x = grid.offset_x + np.arange(grid.columns, dtype=np.float64) * grid.stride_x
    return y * (frame.image_height / frame.content_height), x * (frame.image_width / frame.content_width)
