"""Which cells a box averages over: RoI-Align sampling as two small weight vectors a box.

RoI-Align (K. He et al., "Mask R-CNN", 2017, section 3) reads a map bilinearly at regular points of a box. On a grid
that is aligned with the image, the average of those reads is a product of a weight for each row and one for each
column, so a whole map is averaged with two small matrix products, inside or outside a TensorFlow graph.
"""

from __future__ import annotations

import numpy as np

from convfe_core.base.arrays import BoxArray, Values

SAMPLES = 14
"""Points a side of a box: 7 x 7 bins of 2 x 2 points, as detectors take."""


def roi_weights(boxes: BoxArray, centres_y: Values, centres_x: Values, samples: int = SAMPLES) -> tuple[Values, Values]:
    """Weights of the rows and the columns of a map in the average over each box.

    Points beyond the outermost centres read the outermost cells.

    Parameters
    ----------
    boxes : (N, 4) in image pixels
    centres_y, centres_x : (h,) and (w,) centres of the cells in image pixels, evenly spaced
    samples : points a side

    Returns
    -------
    (N, h) and (N, w), each row adding up to 1; the average over box ``n`` of a map ``F`` of shape (h, w, C) is
    ``einsum("h,w,hwc->c", rows[n], columns[n], F)``
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    return (
        _axis_weights(boxes[:, 1], boxes[:, 3], centres_y, samples),
        _axis_weights(boxes[:, 0], boxes[:, 2], centres_x, samples),
    )


def _axis_weights(low: Values, high: Values, centres: Values, samples: int) -> Values:
    weights = np.zeros((len(low), len(centres)))
    spacing = centres[1] - centres[0] if len(centres) > 1 else 1.0
    places = (np.arange(samples) + 0.5) / samples
    points = low[:, None] + (high - low)[:, None] * places
    cells = np.clip((points - centres[0]) / spacing, 0, len(centres) - 1)
    below = np.floor(cells).astype(np.int64)
    above = np.minimum(below + 1, len(centres) - 1)
    box = np.arange(len(low))[:, None]
    np.add.at(weights, (box, below), (1 - (cells - below)) / samples)
    np.add.at(weights, (box, above), (cells - below) / samples)
    return weights
