"""TensorFlow's functions on pictures and maps, made of Keras 3's layers and operations: windows, resizing, colours.

Windows are layers, which keep constant kernels as their weights and whose geometry is known. Arguments are called as in
TensorFlow; see `tensorflow_calls`.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from convfe_core.base.errors import ModelFileError

_RESIZING = {0: "bilinear", 1: "nearest", 2: "bicubic"}
_RESIZINGS = ("bilinear", "nearest", "bicubic", "lanczos3", "lanczos5")


def known_sides(sides: Any) -> list[int]:
    """Sides of a picture as numbers.

    Raises
    ------
    ModelFileError : some are open
    """
    if any(side is None for side in sides):
        raise ModelFileError("it computes with the sides of a picture, which are open here.")
    return [int(side) for side in sides]


def max_pool(input: Any, ksize: Any, strides: Any = None, padding: str = "VALID", *_: Any) -> Any:
    """Take the largest value of each window."""
    return keras.layers.MaxPooling2D(_sides(ksize), _sides(strides or 1), _padding(padding))(input)


def average_pool(input: Any, ksize: Any, strides: Any = None, padding: str = "VALID", *_: Any) -> Any:
    """Take the mean of each window."""
    return keras.layers.AveragePooling2D(_sides(ksize), _sides(strides or 1), _padding(padding))(input)


def conv2d(
    input: Any,
    filter: Any = None,
    strides: Any = None,
    padding: Any = "VALID",
    _format: Any = None,
    dilations: Any = None,
    *,
    filters: Any = None,
    dilation_rate: Any = None,
) -> Any:
    """Convolve with constant kernels (height, width, channels, filters)."""
    kernel = np.asarray(filters if filter is None else filter, np.float32)
    dilation = dilations if dilation_rate is None else dilation_rate
    layer = keras.layers.Conv2D(
        kernel.shape[-1],
        kernel.shape[:2],
        strides=_sides(strides or 1),
        padding=_padding(padding),
        dilation_rate=_sides(dilation or 1),
        groups=int(input.shape[-1]) // kernel.shape[2],
        use_bias=False,
        kernel_initializer=keras.initializers.Constant(kernel),
    )
    return layer(input)


def depthwise_conv2d(
    input: Any, filter: Any, strides: Any, padding: Any, rate: Any = None, *, dilations: Any = None
) -> Any:
    """Convolve each channel with constant kernels (height, width, channels, multiplier)."""
    kernel = np.asarray(filter, np.float32)
    dilation = dilations if rate is None else rate
    layer = keras.layers.DepthwiseConv2D(
        kernel.shape[:2],
        strides=_sides(strides),
        padding=_padding(padding),
        depth_multiplier=kernel.shape[-1],
        dilation_rate=_sides(dilation or 1),
        use_bias=False,
        depthwise_initializer=keras.initializers.Constant(kernel),
    )
    return layer(input)


def _sides(setting: Any) -> tuple[int, int]:
    """(down, across) of a setting that TensorFlow takes as one number, two, or four with pictures and channels."""
    values = [int(value) for value in np.ravel(setting)]
    down, across = values[1:3] if len(values) == 4 else (values * 2)[:2]
    return down, across


def _padding(setting: Any) -> str:
    if str(setting).upper() not in ("SAME", "VALID"):
        raise ModelFileError(f"its padding is {setting!r}; expected SAME or VALID. Use ZeroPadding2D before it.")
    return str(setting).lower()


def rgb_to_grayscale(images: Any) -> Any:
    """ITU-R BT.601's luma with the digits that TensorFlow has."""
    return ops.sum(ops.multiply(images, np.asarray([0.2989, 0.587, 0.114], np.float32)), axis=-1, keepdims=True)


def rgb_to_yuv(images: Any) -> Any:
    """ITU-R BT.601's YUV with the digits that TensorFlow has."""
    kernel = [[0.299, -0.14714119, 0.61497538], [0.587, -0.28886916, -0.51496512], [0.114, 0.43601035, -0.10001026]]
    return ops.tensordot(images, np.asarray(kernel, np.float32), axes=1)


def per_image_standardization(image: Any) -> Any:
    """Mean 0 and deviation 1 of each picture; of a flat one the deviation is taken for 1 / sqrt(its values)."""
    mean = ops.mean(image, axis=(-3, -2, -1), keepdims=True)
    deviation = ops.std(image, axis=(-3, -2, -1), keepdims=True)
    values = ops.sqrt(ops.sum(ops.ones_like(image), axis=(-3, -2, -1), keepdims=True))
    return ops.divide(ops.subtract(image, mean), ops.maximum(deviation, ops.reciprocal(values)))


def adjust_contrast(images: Any, contrast_factor: Any) -> Any:
    """Move each value away from its channel's mean."""
    mean = ops.mean(images, axis=(-3, -2), keepdims=True)
    return ops.add(ops.multiply(ops.subtract(images, mean), float(contrast_factor)), mean)


def resize(
    images: Any, size: Any, method: Any = "bilinear", preserve_aspect_ratio: bool = False, antialias: bool = False
) -> Any:
    """Interpolate pictures to (height, width)."""
    way = _RESIZING.get(method, method)
    if way not in _RESIZINGS or preserve_aspect_ratio:
        what = "preserve_aspect_ratio" if preserve_aspect_ratio else str(method)
        raise ModelFileError(f"it resizes with {what}; expected one of {', '.join(_RESIZINGS)}. Use Keras' Resizing.")
    return ops.image.resize(images, tuple(known_sides(size)), interpolation=way, antialias=bool(antialias))


def resize_as_node(images: Any, size: Any, method: str, *, align_corners: bool, half_pixel_centers: bool) -> Any:
    """Resize as a node of a graph says, which has settings that functions have not."""
    if align_corners or not half_pixel_centers:
        raise ModelFileError(
            "it resizes as TensorFlow 1 did, by corners instead of pixel centres, which Keras 3 cannot; "
            "use Keras' Resizing or UpSampling2D."
        )
    return resize(images, size, method)


def resize_with_crop_or_pad(image: Any, target_height: int, target_width: int) -> Any:
    """The middle of a picture, or the picture in the middle of zeros, along each side."""
    height, width = known_sides(image.shape[-3:-1])
    down, across = int(target_height) - height, int(target_width) - width
    cut = image[:, max(-down // 2, 0) :][:, : int(target_height)]
    cut = cut[:, :, max(-across // 2, 0) :][:, :, : int(target_width)]
    if down <= 0 and across <= 0:
        return cut
    return pad_to_box(cut, max(down, 0) // 2, max(across, 0) // 2, target_height, target_width)


def central_crop(image: Any, central_fraction: Any) -> Any:
    """The middle of a picture, a share of each side."""
    height, width = known_sides(image.shape[-3:-1])
    top, left = (int((side - side * float(central_fraction)) / 2) for side in (height, width))
    return image[:, top : height - top, left : width - left]


def crop_to_box(image: Any, offset_height: int, offset_width: int, target_height: int, target_width: int) -> Any:
    """A part of a picture by its first pixel and its sides."""
    top, left = int(offset_height), int(offset_width)
    return image[:, top : top + int(target_height), left : left + int(target_width)]


def pad_to_box(image: Any, offset_height: int, offset_width: int, target_height: int, target_width: int) -> Any:
    """A picture on zeros, by where its first pixel goes and the sides of the whole."""
    height, width = known_sides(image.shape[-3:-1])
    top, left = int(offset_height), int(offset_width)
    below, right = int(target_height) - top - height, int(target_width) - left - width
    return ops.pad(image, [[0, 0], [top, below], [left, right], [0, 0]])
