"""A backbone's graph for ranking: maps, projections and averages over boxes, without returning the feature map."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convfe_core.backbones.backbone import FrozenNetwork, Traced, freeze_maps, maps_and_projection
from convfe_core.backbones.batch_norm_folding import Fold
from convfe_core.backbones.network import Network
from convfe_core.backbones.precision import Precision
from convfe_core.base.arrays import BoxArray, FloatArray, PixelArray
from convfe_core.maps.extraction import Batch, Member, Result, cells_on_photo, project_on_photo, run_windows
from convfe_core.maps.feature_maps import FeatureMaps, cell_centres
from convfe_core.maps.input_size import Size
from convfe_core.photos.photo import Photo
from convfe_core.scoring.roi_align import roi_weights

Float32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Scored:
    """What one photograph's forward pass gave.

    Attributes
    ----------
    maps : its max and mean maps
    components : (h, w, k) its features along the directions asked for, of the same cells
    averages : (N, C) features averaged over each of the boxes asked for
    dead : share of the channels that are 0 on every cell of the whole input, 0..1
    """

    maps: FeatureMaps
    components: FloatArray
    averages: FloatArray
    dead: float


class ScoringBackbone(FrozenNetwork):
    """A frozen network that also averages its features over boxes."""

    def score(self, batch: PixelArray, directions: FloatArray, rows: Float32, columns: Float32) -> list[NDArray[Any]]:
        """Run one batch of B photographs, and average its features over N boxes of each.

        Parameters
        ----------
        batch, directions : as of `run`
        rows, columns : (B, N, h) and (B, N, w) weights of `convfe_core.scoring.roi_align`

        Returns
        -------
        what `run` returns, the (B, N, C) averages, and the (B,) share of dead channels
        """
        features, maximum, mean = map(np.asarray, self._graph(batch))
        averages, dead = _average(features, rows, columns), _dead_share(features)
        return [*maps_and_projection(features, maximum, mean, directions), averages, dead]


def freeze_for_scoring(
    network: Network, precision: Precision = "float32", fold: Fold = "copy", traced: Traced | None = None
) -> ScoringBackbone:
    """Turn a network into a graph that scores photographs; see `convfe_core.backbones.backbone.freeze_maps`."""
    return freeze_maps(ScoringBackbone, network, precision, fold, traced=traced, keep_traced=True)


def _average(features: Float32, rows: Float32, columns: Float32) -> Float32:
    """(B, h, w, C) features -> their (B, N, C) averages over boxes."""
    count, height, width, channels = features.shape
    # (B, N, h) x (B, h, w * C), then (B, N, 1, w) x (B, N, w, C): never more than N rows of the map at once.
    by_row = rows @ features.reshape(count, height, width * channels)
    found: Float32 = (columns[:, :, None, :] @ by_row.reshape(count, -1, width, channels))[:, :, 0]
    return found


def _dead_share(features: Float32) -> Float32:
    """(B, h, w, C) features -> the (B,) share of the channels that are 0 on every cell, 0..1."""
    dead = ~(features != 0).any(axis=(1, 2))
    share: Float32 = dead.mean(axis=-1, dtype=np.float32)
    return share


def score_windows(
    backbone: ScoringBackbone,
    photos: Iterable[tuple[int, Photo]],
    size: Size,
    boxes: Mapping[int, BoxArray],
    directions: FloatArray,
    keep: Callable[[int, Scored], Result],
) -> Generator[list[tuple[int, Result]], None, None]:
    """Run photographs and yield what is kept of each, window by window (see `run_windows`), in their order.

    Parameters
    ----------
    photos : each with its place in the data set
    size : how large they enter
    boxes : by place, (N, 4) boxes to average features over, in image pixels; places left out have none
    directions : (C, k) to project features on; with the identity the components are the features themselves
    keep : takes what a photograph gave, batch by batch, so that whole features need not stay in memory
    """

    def run(batch: Batch[int]) -> list[NDArray[Any]]:
        return backbone.score(batch.canvases, directions, *_stack_weights(backbone, batch.members, boxes))

    def reduce(one: Member[int], values: list[NDArray[Any]]) -> tuple[int, Result]:
        *projected, averages, dead = values
        found = project_on_photo(one, backbone, *projected)
        averages = averages[: len(boxes.get(one.key, ()))].copy()
        return one.key, keep(one.key, Scored(found.maps, found.components, averages, float(dead)))

    return run_windows(backbone, photos, size, run, reduce, early=True)


def _stack_weights(
    backbone: ScoringBackbone, members: list[Member[int]], boxes: Mapping[int, BoxArray]
) -> tuple[Float32, Float32]:
    """(B, N, h) and (B, N, w) weights of a batch; photographs with fewer boxes, and cells on padding, get zeros."""
    grid = backbone.grid(*members[0].shape)
    most = max(1, *(len(boxes.get(one.key, ())) for one in members))
    rows = np.zeros((len(members), most, grid.rows), np.float32)
    columns = np.zeros((len(members), most, grid.columns), np.float32)
    for k, one in enumerate(members):
        if one.key in boxes and len(boxes[one.key]):
            own = cells_on_photo(one.frame, backbone)
            of_rows, of_columns = roi_weights(boxes[one.key], *cell_centres(one.frame, own))
            rows[k, : len(of_rows), : own.rows] = of_rows
            columns[k, : len(of_columns), : own.columns] = of_columns
    return rows, columns
