"""Maps as NumPy archives (.npz), for use outside this tool.

Both layouts open with ``numpy.load(file)`` and need no pickle. Sizes are (height, width) in pixels, strides
and offsets (vertical, horizontal) in pixels of the network's input: the centre of cell ``(row, column)`` lies
at ``offset + (row, column) * stride`` there, and at ``image_size / content_size``
times that on the photograph.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convfe_core.maps.feature_maps import FeatureMaps


def single_npz(maps: FeatureMaps) -> bytes:
    """Pack the maps of one photograph under one backbone.

    Returns
    -------
    an archive of

    =================================  ==================================================================
    ``max``, ``mean``                  (h, w) float32
    ``pca``                            (h, w, 3) uint8, where it was asked for
    ``probe``                          (h, w) float32, where it was learned from boxes
    ``image_size``                     (2,) int64, of the photograph
    ``content_size``                   (2,) int64, of the photograph on the network's input
    ``input_size``                     (2,) int64, of the network's input
    ``stride``, ``offset``             (2,) float64
    ``image``, ``digest``              text: file name and SHA-256 of the photograph
    ``label``, ``weights``, ``tap``    text: the backbone, its weights, the layer
    =================================  ==================================================================
    """
    return _pack({**maps.pictures, **_facts(maps)})


def maps_npz(maps: Iterable[FeatureMaps]) -> bytes:
    """Pack the maps of several photographs and backbones.

    Returns
    -------
    an archive with ``max_0000``, ``mean_0000``, ``max_0001`` ... as in :func:`single_npz`, and for everything
    else there one array whose entry ``i`` belongs to ``max_i`` and ``mean_i``: ``image`` (n,), ``image_size``
    (n, 2) and so on
    """
    arrays: dict[str, NDArray[Any]] = {}
    facts: list[dict[str, NDArray[Any]]] = []
    for index, one in enumerate(maps):
        arrays |= {f"{name}_{index:04d}": values for name, values in one.pictures.items()}
        facts.append(_facts(one))
    if not facts:
        raise ValueError("Expected at least one pair of maps. Received: none")
    return _pack({**{name: np.stack([fact[name] for fact in facts]) for name in facts[0]}, **arrays})


def _facts(maps: FeatureMaps) -> dict[str, NDArray[Any]]:
    frame, grid = maps.frame, maps.grid
    return {
        "image": np.array(maps.image),
        "digest": np.array(maps.digest),
        "label": np.array(maps.label),
        "weights": np.array(maps.weights),
        "tap": np.array(maps.tap),
        "image_size": np.array([frame.image_height, frame.image_width], np.int64),
        "content_size": np.array([frame.content_height, frame.content_width], np.int64),
        "input_size": np.array([frame.input_height, frame.input_width], np.int64),
        "stride": np.array([grid.stride_y, grid.stride_x], np.float64),
        "offset": np.array([grid.offset_y, grid.offset_x], np.float64),
    }


def _pack(arrays: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()
