"""A backbone's graph for ranking: maps, projections and averages over boxes, without returning the feature map."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convfe_core.backbones.backbone import FrozenNetwork, freeze_maps
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
    """A frozen network that also averages its features over boxes.

    Beside pixels and directions `run` takes the (B, N, h) and (B, N, w) weights of `convfe_core.scoring.roi_align`;
    after maps and projection it returns (B, N, C) averages and the (B,) share of dead channels.
    """


def freeze_for_scoring(network: Network, precision: Precision = "float32", fold: Fold = "copy") -> ScoringBackbone:
    """Turn a network into a graph that scores photographs; see `convfe_core.backbones.backbone.freeze_network`."""
    import tensorflow as tf

    weights = [tf.TensorSpec((None, None, None), tf.float32) for _ in ("rows", "columns")]

    def without_boxes(batch: PixelArray) -> tuple[Any, ...]:
        grid, count = network.grid(*batch.shape[1:3]), len(batch)
        return np.zeros((count, 1, grid.rows), np.float32), np.zeros((count, 1, grid.columns), np.float32)

    return freeze_maps(ScoringBackbone, network, precision, fold, _average, weights, without_boxes)


def _average(features: Any, rows: Any, columns: Any) -> tuple[Any, Any]:
    """(B, h, w, C) features -> their (B, N, C) averages over boxes, and the (B,) share of dead channels."""
    import tensorflow as tf

    shape = tf.shape(features)
    count, boxes, channels = shape[0], tf.shape(rows)[1], features.shape[-1]
    # (B, N, h) x (B, h, w * C), then (B, N, 1, w) x (B, N, w, C): never more than N rows of the map at once.
    by_row = tf.matmul(rows, tf.reshape(features, (count, shape[1], shape[2] * channels)))
    by_row = tf.reshape(by_row, (count, boxes, shape[2], channels))
    averages = tf.matmul(columns[:, :, None, :], by_row)[:, :, 0]
    alive = tf.reduce_any(features != 0, axis=(1, 2))
    return averages, 1 - tf.reduce_mean(tf.cast(alive, tf.float32), axis=-1)


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
        return backbone.run(batch.canvases, directions, *_stack_weights(backbone, batch.members, boxes))

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
