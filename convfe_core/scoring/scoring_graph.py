"""A backbone's graph for ranking: max and mean maps, and averages over boxes; the feature map never leaves it."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convfe_core.backbones.backbone import FrozenNetwork, Network, freeze_maps
from convfe_core.backbones.batch_norm_folding import Fold
from convfe_core.backbones.precision import Precision
from convfe_core.base.arrays import BoxArray, FloatArray, PixelArray
from convfe_core.base.machine_queue import MACHINE
from convfe_core.graph.cell_geometry import CellGrid
from convfe_core.maps.extraction import Batch, cells_on_photo, in_order, maps_on_photo, sized_windows
from convfe_core.maps.feature_maps import FeatureMaps, cell_centres
from convfe_core.maps.input_size import Size
from convfe_core.photos.letterbox import Frame
from convfe_core.photos.photo import Photo
from convfe_core.scoring.roi_align import roi_weights

Float32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Scored:
    """What one photograph's forward pass gave.

    Attributes
    ----------
    maps : its max and mean maps
    averages : (N, C) features averaged over each of the boxes asked for
    dead : share of the channels that are 0 on every cell of the whole input, 0..1
    """

    maps: FeatureMaps
    averages: FloatArray
    dead: float


class ScoringBackbone(FrozenNetwork):
    """A frozen network that also averages its features over boxes."""

    def run(
        self, batch: NDArray[np.uint8], rows: Float32, columns: Float32
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Run one batch.

        Parameters
        ----------
        batch : (B, H, W, 3) RGB
        rows, columns : (B, N, h) and (B, N, w) weights of the averages, see `convfe_core.scoring.roi_align`

        Returns
        -------
        (B, h, w) max, (B, h, w) mean, (B, N, C) averages, (B,) share of dead channels
        """
        import tensorflow as tf

        found = self._graph(tf.constant(batch), tf.constant(rows), tf.constant(columns))
        maximum, mean, averages, dead = (tensor.numpy() for tensor in found)
        return maximum, mean, averages, dead

    def run_blank(self, batch: NDArray[np.uint8]) -> None:
        """Run one batch for its time alone."""
        grid = self.grid(*batch.shape[1:3])
        count = len(batch)
        self.run(batch, np.zeros((count, 1, grid.rows), np.float32), np.zeros((count, 1, grid.columns), np.float32))


def freeze_for_scoring(network: Network, precision: Precision = "float32", fold: Fold = "copy") -> ScoringBackbone:
    """Turn a network into a graph that scores photographs; see `convfe_core.backbones.backbone.freeze_network`."""
    import tensorflow as tf

    read = network.reader([network.tensor], fold)

    def reduce_channels(pixels: Any, rows: Any, columns: Any) -> tuple[Any, Any, Any, Any]:
        (features,) = read(pixels)
        shape = tf.shape(features)
        count, boxes, channels = shape[0], tf.shape(rows)[1], features.shape[-1]
        # (B, N, h) x (B, h, w * C), then (B, N, 1, w) x (B, N, w, C): never more than N rows of the map at once.
        by_row = tf.matmul(rows, tf.reshape(features, (count, shape[1], shape[2] * channels)))
        by_row = tf.reshape(by_row, (count, boxes, shape[2], channels))
        averages = tf.matmul(columns[:, :, None, :], by_row)[:, :, 0]
        alive = tf.reduce_any(features != 0, axis=(1, 2))
        dead = 1 - tf.reduce_mean(tf.cast(alive, tf.float32), axis=-1)
        return tf.reduce_max(features, axis=-1), tf.reduce_mean(features, axis=-1), averages, dead

    weights = [
        tf.TensorSpec((None, None, None), tf.float32),
        tf.TensorSpec((None, None, None), tf.float32),
    ]

    def blank(batch: PixelArray) -> tuple[Any, ...]:
        grid = network.path.grid(*batch.shape[1:3])
        return batch, np.zeros((1, 1, grid.rows), np.float32), np.zeros((1, 1, grid.columns), np.float32)

    return freeze_maps(ScoringBackbone, network, reduce_channels, weights, precision, blank)


def score_windows(
    backbone: ScoringBackbone,
    photos: Iterable[tuple[int, Photo]],
    size: Size,
    boxes: Mapping[int, BoxArray],
) -> Generator[list[tuple[int, Scored]], None, None]:
    """Run photographs and yield what they gave, window by window (see `sized_windows`), in their order.

    Parameters
    ----------
    photos : each with its place in the data set
    size : how large they enter
    boxes : by place, (N, 4) boxes to average features over, in image pixels; places left out have none
    """
    with closing(sized_windows(backbone, photos, size)) as windows:
        for window in windows:
            found: dict[int, tuple[int, Scored]] = {}
            for batch in window:
                wanted = [boxes.get(one.key, np.empty((0, 4))) for one in batch.members]
                for one, scored in zip(batch.members, _score(backbone, batch, wanted), strict=True):
                    found[one.place] = one.key, scored
            yield in_order(found)


def _score(backbone: ScoringBackbone, batch: Batch[int], boxes: list[BoxArray]) -> Iterator[Scored]:
    grid = backbone.grid(*batch.canvases.shape[1:3])
    rows, columns = _stack_weights([one.frame for one in batch.members], grid, boxes)
    with MACHINE.passing():
        maxima, means, averages, dead = backbone.run(batch.canvases, rows, columns)
    for k, one in enumerate(batch.members):
        maps = maps_on_photo(one.photo, one.frame, backbone, grid, maxima[k], means[k])
        yield Scored(maps, averages[k, : len(boxes[k])].copy(), float(dead[k]))


def _stack_weights(frames: list[Frame], grid: CellGrid, boxes: list[BoxArray]) -> tuple[Float32, Float32]:
    """(B, N, h) and (B, N, w) weights of a batch; photographs with fewer boxes, and cells on padding, get zeros."""
    most = max(1, *(len(b) for b in boxes)) if boxes else 1
    rows = np.zeros((len(boxes), most, grid.rows), np.float32)
    columns = np.zeros((len(boxes), most, grid.columns), np.float32)
    for k, (frame, of_photo) in enumerate(zip(frames, boxes, strict=True)):
        if len(of_photo):
            own = cells_on_photo(frame, grid)
            of_rows, of_columns = roi_weights(of_photo, *cell_centres(frame, own))
            rows[k, : len(of_photo), : own.rows] = of_rows
            columns[k, : len(of_photo), : own.columns] = of_columns
    return rows, columns
