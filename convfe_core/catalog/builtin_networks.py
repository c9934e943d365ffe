"""The two small backbones that come inside the package, so that the app has trained maps with no download.

Both take pictures in -1..1 of any size and end in a plain, uncapped ReLU at stride 16. They are for trying out and for
tests; ``builtin_weights/MODEL_CARD.md`` says how they were trained and what they are not for.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convfe_core.base.errors import SpecError, WeightsError

if TYPE_CHECKING:
    import keras

FEATURES = 256
"""Channels of both feature maps."""


def build_tiny_resnet() -> keras.Model:
    """Residual network, stride 16: a stem and six blocks of two 3x3 convolutions (He et al. 2015).

    Returns
    -------
    keras.Model
        (n, H, W, 3) pictures in -1..1 -> (n, ceil(H/16), ceil(W/16), 256) feature map, >= 0.

    References
    ----------
    https://arxiv.org/abs/1512.03385
    """
    import keras

    def block(x: keras.KerasTensor, channels: int, stride: int, name: str) -> keras.KerasTensor:
        shortcut = x
        if stride > 1:  # averaging first loses no pixel, as a strided 1x1 convolution would
            shortcut = keras.layers.AveragePooling2D(2, padding="same", name=f"{name}_shortcut_pool")(x)
            shortcut = _conv_norm(shortcut, channels, 1, 1, f"{name}_shortcut")
        x = _relu(_conv_norm(x, channels, 3, stride, f"{name}_1"), f"{name}_1")
        x = _conv_norm(x, channels, 3, 1, f"{name}_2")
        return _relu(keras.layers.Add(name=f"{name}_add")([shortcut, x]), f"{name}_out")

    picture = keras.Input((None, None, 3), name="picture")
    x = _relu(_conv_norm(picture, 24, 3, 2, "stem"), "stem")
    for stage, (channels, blocks) in enumerate([(32, 1), (64, 2), (144, 3)], start=2):
        for number in range(1, blocks + 1):
            x = block(x, channels, 2 if number == 1 else 1, f"stage{stage}_block{number}")
    x = _relu(_conv_norm(x, FEATURES, 1, 1, "features"), "features")
    return keras.Model(picture, x, name="TinyResNet")


def build_tiny_mobilenet() -> keras.Model:
    """Inverted residuals with linear bottlenecks, stride 16, in the manner of MobileNetV2 (Sandler et al. 2018).

    Its ReLUs have no cap: a cap of 6 would flatten the max map. A strided convolution with "same" padding pads on the
    right and below only, which moves every later cell by half a stride; with four of them a cell's centre would lie
    15.5 pixels into its 16. The first three are padded evenly, so that it lies 8.5 pixels in, near the cell's middle.

    Returns
    -------
    keras.Model
        (n, H, W, 3) pictures in -1..1 -> (n, ceil(H/16), ceil(W/16), 256) feature map, >= 0.

    References
    ----------
    https://arxiv.org/abs/1801.04381
    """
    import keras

    def block(x: keras.KerasTensor, channels: int, expansion: int, stride: int, name: str) -> keras.KerasTensor:
        inside = expansion * x.shape[-1]
        y = _relu(_conv_norm(x, inside, 1, 1, f"{name}_expand"), f"{name}_expand")
        even = stride > 1 and not name.startswith("stage4")
        if even:
            y = keras.layers.ZeroPadding2D(1, name=f"{name}_pad")(y)
        y = keras.layers.DepthwiseConv2D(
            3,
            stride,
            "valid" if even else "same",
            use_bias=False,
            depthwise_initializer=keras.initializers.RandomNormal(stddev=(2 / 9) ** 0.5),  # He, 9 inputs a channel
            name=f"{name}_depthwise_conv",
        )(y)
        y = keras.layers.BatchNormalization(momentum=0.9, name=f"{name}_depthwise_norm")(y)
        y = _relu(y, f"{name}_depthwise")
        y = _conv_norm(y, channels, 1, 1, f"{name}_project")
        if stride == 1 and x.shape[-1] == channels:
            y = keras.layers.Add(name=f"{name}_add")([x, y])
        return y

    picture = keras.Input((None, None, 3), name="picture")
    x = keras.layers.ZeroPadding2D(1, name="stem_pad")(picture)
    x = _relu(_conv_norm(x, 16, 3, 2, "stem", "valid"), "stem")
    stages = [(24, 3, 2, 1), (40, 4, 2, 2), (96, 4, 2, 3), (128, 4, 1, 2)]
    for stage, (channels, expansion, stride, blocks) in enumerate(stages, start=2):
        for number in range(1, blocks + 1):
            first = number == 1
            x = block(x, channels, expansion, stride if first else 1, f"stage{stage}_block{number}")
    x = _relu(_conv_norm(x, FEATURES, 1, 1, "features"), "features")
    return keras.Model(picture, x, name="TinyMobileNet")


def _conv_norm(
    x: keras.KerasTensor, channels: int, size: int, stride: int, name: str, padding: str = "same"
) -> keras.KerasTensor:
    import keras

    x = keras.layers.Conv2D(
        channels, size, stride, padding, use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv"
    )(x)
    return keras.layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)


def _relu(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    import keras

    return keras.layers.ReLU(name=f"{name}_relu")(x)


BUILTIN_BUILDERS: dict[str, Callable[[], keras.Model]] = {
    "TinyResNet": build_tiny_resnet,
    "TinyMobileNet": build_tiny_mobilenet,
}


def builtin_weight_file(name: str) -> Path:
    """Path of the weights that come with the package.

    Raises
    ------
    SpecError : there is no built-in backbone of that name
    """
    _check_name(name)
    return Path(__file__).parents[1] / "builtin_weights" / f"{name}.npz"


def load_builtin_weights(model: keras.Model, name: str, file: Path | None = None) -> None:
    """Give `model` the trained weights of the built-in backbone `name`.

    Parameters
    ----------
    model : what ``BUILTIN_BUILDERS[name]()`` returns
    name : ``TinyResNet`` or ``TinyMobileNet``
    file : another file written by `save_builtin_weights`; by default the one in the package

    Raises
    ------
    WeightsError : the file is missing or damaged, or holds the weights of another architecture; `model` is as it was
    """
    file = builtin_weight_file(name) if file is None else file
    try:
        with np.load(file, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files if not key.startswith("head/")}
    except FileNotFoundError:
        raise WeightsError(f"{name}: expected its weights in {file}, found no such file; reinstall convfe.") from None
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise WeightsError(f"{name}: the weight file {file} is damaged ({error}); reinstall convfe.") from error
    wanted = {variable.path: tuple(variable.shape) for variable in model.weights}
    received = {key: array.shape for key, array in arrays.items()}
    if wanted != received:
        wrong = sorted(key for key in wanted.keys() | received.keys() if wanted.get(key) != received.get(key))
        raise WeightsError(
            f"{name}: {file.name} does not fit this architecture, first at {wrong[0]}: "
            f"expected {wanted.get(wrong[0])}, received {received.get(wrong[0])}."
        )
    for variable in model.weights:
        variable.assign(arrays[variable.path].astype(np.float32))


def save_builtin_weights(model: keras.Model, file: Path, extra: dict[str, NDArray[Any]] | None = None) -> None:
    """Write the weights in half precision, and `extra` arrays beside them, under names that begin with ``head/``."""
    arrays: dict[str, Any] = {variable.path: variable.value.numpy().astype(np.float16) for variable in model.weights}
    for key, array in (extra or {}).items():
        arrays[key] = array.astype(np.float16) if array.dtype.kind == "f" else array
    temporary = file.with_name(f"{file.stem}.part.npz")
    np.savez_compressed(temporary, **arrays)
    temporary.replace(file)


def _check_name(name: str) -> None:
    if name not in BUILTIN_BUILDERS:
        raise SpecError(f"Expected a built-in backbone: {', '.join(BUILTIN_BUILDERS)}. Received: {name}.")
