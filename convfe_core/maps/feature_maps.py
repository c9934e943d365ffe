"""The maps of one photograph under one backbone, and where their cells lie on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from convfe_core.base.arrays import FloatArray, PixelArray
from convfe_core.base.errors import SpecError
from convfe_core.geometry.cell_geometry import CellGrid
from convfe_core.photos.letterbox import Frame

REDUCTIONS = ("max", "mean")
"""What the features of a cell are reduced to, one number each."""
PROBE = "probe"
"""The map that a cell probe predicts, see `convfe_core.scoring.cell_probe`."""
WITHOUT_BOXES = (*REDUCTIONS, "pca")
"""Pictures that take nothing but photographs."""
PICTURES = (*WITHOUT_BOXES, PROBE)
"""Fields of `FeatureMaps` that can be looked at."""


@dataclass(frozen=True, eq=False)
class FeatureMaps:
    """The maps of one photograph, cut to the cells whose centre lies on it.

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
    notes : one sentence for each thing that a reader of the maps should know
    pca : (h, w, 3) uint8 RGB of the principal components, see `convfe_core.maps.pca_colours`; None if not asked for
    probe : (h, w) float32, what a cell probe predicts that learned from other photographs' boxes; None without one
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
    notes: tuple[str, ...] = ()
    pca: PixelArray | None = None
    probe: FloatArray | None = None

    def picture(self, name: str) -> NDArray[Any]:
        """One of `PICTURES`: (h, w) float32, or (h, w, 3) uint8 where it has colours of its own.

        Raises
        ------
        ValueError : it is not there
        """
        if name not in PICTURES or (values := getattr(self, name)) is None:
            raise ValueError(f"Expected a picture among {', '.join(self.pictures)}. Received: {name!r}")
        return cast(NDArray[Any], values)

    @property
    def pictures(self) -> dict[str, NDArray[Any]]:
        """Those of `PICTURES` that are there, by name."""
        return {name: values for name in PICTURES if (values := getattr(self, name)) is not None}

    @property
    def scalars(self) -> dict[str, FloatArray]:
        """Those of them that have one number a cell, and so a colour scale."""
        return {name: values for name, values in self.pictures.items() if values.ndim == 2}

    @property
    def nbytes(self) -> int:
        """What they take."""
        return sum(values.nbytes for values in self.pictures.values())

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


def subtract_maps(one: FeatureMaps, other: FeatureMaps) -> FeatureMaps:
    """Subtract one photograph's max and mean maps under another network from those under this one.

    Cells are told by their place in the map. Where training has moved what they see, as `SpatialPath.centred` has it,
    a row or column that is on the photograph for one network alone is left out.

    Raises
    ------
    SpecError : the cells are not the same: another size of input, layer or stride
    """
    strides = [(maps.grid.stride_y, maps.grid.stride_x) for maps in (one, other)]
    if one.frame != other.frame or strides[0] != strides[1] or one.digest != other.digest:
        raise SpecError(
            f"Expected maps with the same cells to subtract. Received: {one.label} with {_cells(one)}, "
            f"{other.label} with {_cells(other)}; give both one size, and layers of one stride."
        )
    rows, columns = (min(sides) for sides in zip(one.max.shape, other.max.shape, strict=True))
    return replace(
        one,
        label=f"{one.label} − {other.label}",
        max=one.max[:rows, :columns] - other.max[:rows, :columns],
        mean=one.mean[:rows, :columns] - other.mean[:rows, :columns],
        pca=None,
        probe=None,
        grid=replace(one.grid, rows=rows, columns=columns),
    )


def smallest_share(found: Sequence[FeatureMaps]) -> float:
    """How much of one scale for all networks the map would get that gets least, 1 for a map alone."""
    shares = [1.0]
    for reduction in REDUCTIONS if found else ():
        every = [getattr(one, reduction) for one in found]
        low, high = value_range(every)
        shares += [_width(values) / (high - low) for values in every]
    return min(shares) if len(found) > 1 else 1.0


def _width(values: FloatArray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.max() - finite.min()) if finite.size else 0.0


def to_unit(maps: FeatureMaps) -> FeatureMaps:
    """Maps stretched to 0..1 each, so that their shapes can be compared whatever their magnitudes."""
    stretched = {}
    for reduction in REDUCTIONS:
        values = getattr(maps, reduction)
        low, high = value_range([values])
        stretched[reduction] = (values - low) / (high - low)
    return replace(maps, **stretched)


def _cells(maps: FeatureMaps) -> str:
    return f"{maps.max.shape[1]} x {maps.max.shape[0]} cells of {maps.grid.stride_x:g} pixels"


Limits = tuple[float, float]
"""(lowest, highest) value of a colour scale, lowest < highest"""


def value_range(members: Sequence[FloatArray]) -> Limits:
    """Lowest and highest finite value of several maps.

    Where all values are equal, the range is opened evenly, so that they take the middle of the scale and not
    one of its ends; where there are none it is (0, 1).

    Examples
    --------
    >>> value_range([np.float32([[3, 3]])])
    (1.5, 4.5)
    """
    finite = [values[np.isfinite(values)] for values in members]
    if not any(values.size for values in finite):
        return 0.0, 1.0
    lowest = min(float(values.min()) for values in finite if values.size)
    highest = max(float(values.max()) for values in finite if values.size)
    if lowest < highest:
        return lowest, highest
    half = abs(lowest) / 2 or 0.5
    return lowest - half, highest + half
