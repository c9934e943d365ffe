"""What layers for pictures do to the places of cells: windows, margins, and other sizes."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from convfe_core.geometry.axis_changes import Change, Finer, Margin, Pair, Resized, Window
from convfe_core.geometry.layouts import NOWHERE, Layout, UnknownPlaceError
from convfe_core.graph.layer_call import LayerCall, Rule


def _spatial(call: LayerCall) -> tuple[int, int]:
    """The dimensions that a layer for pictures takes for rows and columns."""
    if len(call.shapes[0]) != 4:
        raise UnknownPlaceError
    return (2, 3) if getattr(call.operation, "data_format", None) == "channels_first" else (1, 2)


def _both(call: LayerCall, rows: Change, columns: Change) -> Layout:
    return call.changed(dict(zip(_spatial(call), (rows, columns), strict=True)))


def _pair(value: Any) -> Pair[int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _windows(call: LayerCall, size: str) -> Layout:
    """Sliding windows; they follow each other without a gap where no strides are set.

    Parameters
    ----------
    size : the layer's setting that says how large they are
    """
    layer, sizes = call.operation, getattr(call.operation, size)
    if not isinstance(sizes, int) and len(sizes) != 2:
        raise UnknownPlaceError
    padding: Literal["same", "valid"] = "same" if getattr(layer, "padding", "valid") == "same" else "valid"
    rows, columns = (
        Window((cells - 1) * dilation + 1, step, padding)
        for cells, dilation, step in zip(
            _pair(sizes),
            _pair(getattr(layer, "dilation_rate", 1)),
            _pair(getattr(layer, "strides", None) or sizes),
            strict=True,
        )
    )
    return _both(call, rows, columns)


def _transposed_convolution(call: LayerCall) -> Layout:
    layer = call.operation
    extra = (None, None) if layer.output_padding is None else _pair(layer.output_padding)
    sizes = [(k - 1) * d + 1 for k, d in zip(layer.kernel_size, _pair(layer.dilation_rate), strict=True)]
    rows, columns = (
        Finer(factor, size, layer.padding, more)
        for factor, size, more in zip(_pair(layer.strides), sizes, extra, strict=True)
    )
    return _both(call, rows, columns)


def _finer(call: LayerCall, factors: str) -> Layout:
    """Each cell becomes several; `factors` is the layer's setting that says how many."""
    rows, columns = _pair(getattr(call.operation, factors))
    return _both(call, Finer(rows, rows, "same"), Finer(columns, columns, "same"))


def _margins(call: LayerCall, setting: str, sign: int) -> Layout:
    (top, bottom), (left, right) = getattr(call.operation, setting)
    return _both(call, Margin(sign * top, sign * bottom), Margin(sign * left, sign * right))


def _margins_in_pixels(call: LayerCall, word: str, sign: int) -> Layout:
    """`keras.ops.image.pad_images` and `crop_images`: what is not given follows from the sizes."""
    changes: dict[int, Change] = {}
    for dimension, sides in zip(_spatial(call), (("top", "bottom"), ("left", "right")), strict=True):
        before, after = (getattr(call.operation, f"{side}_{word}") for side in sides)
        old, new = call.shapes[0][dimension], call.shape[dimension]
        if before is None or after is None:
            if old is None or new is None or before is after:
                raise UnknownPlaceError
            more = sign * (new - old)
            before, after = (more - after, after) if before is None else (before, more - before)
        changes[dimension] = Margin(sign * before, sign * after)
    return call.changed(changes)


def _together(call: LayerCall, change: Resized) -> Layout:
    """A change of rows and columns at once."""
    layout, (down, across) = call.first, _spatial(call)
    axes = layout.axis(down), layout.axis(across)
    if axes == (None, None):
        return layout
    if {*axes} != {0, 1}:
        raise UnknownPlaceError
    return call.stepped(change if axes == (0, 1) else change.turned)


def _resizing(call: LayerCall) -> Layout:
    layer = call.operation
    rows, columns = _pair(layer.size) if hasattr(layer, "size") else (layer.height, layer.width)
    fit: Literal["stretch", "crop", "pad"] = "stretch"
    if layer.crop_to_aspect_ratio or layer.pad_to_aspect_ratio:
        fit = "crop" if layer.crop_to_aspect_ratio else "pad"
    return _together(call, Resized(rows, columns, fit))


PICTURE_LAYERS: dict[str, Rule] = {
    "GlobalAveragePooling2D GlobalMaxPooling2D": lambda _call: NOWHERE,
    "Conv2D DepthwiseConv2D SeparableConv2D": partial(_windows, size="kernel_size"),
    "MaxPooling2D AveragePooling2D MaxPool AveragePool": partial(_windows, size="pool_size"),
    "ExtractPatches": partial(_windows, size="size"),
    "SpaceToDepth": partial(_windows, size="block_size"),
    "DepthToSpace": partial(_finer, factors="block_size"),
    "UpSampling2D": partial(_finer, factors="size"),
    "Conv2DTranspose": _transposed_convolution,
    "ZeroPadding2D": partial(_margins, setting="padding", sign=1),
    "Cropping2D": partial(_margins, setting="cropping", sign=-1),
    "ZeroPadding1D": lambda call: call.changed({1: Margin(*_pair(call.operation.padding))}),
    "Cropping1D": lambda call: call.changed({1: Margin(*(-side for side in _pair(call.operation.cropping)))}),
    "PadImages": partial(_margins_in_pixels, word="padding", sign=1),
    "CropImages": partial(_margins_in_pixels, word="cropping", sign=-1),
    "Resizing Resize": _resizing,
    "CenterCrop": lambda call: _together(call, Resized(call.operation.height, call.operation.width, "middle")),
    "AdaptiveAveragePooling2D AdaptiveMaxPooling2D": lambda call: _together(
        call, Resized(*_pair(call.operation.output_size))
    ),
}
"""Names of layers, and what they do."""
