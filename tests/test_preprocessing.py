"""Pixels are scaled exactly as each family's own ``preprocess_input`` scales them."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from convfe_core.catalog import CATALOG
from convfe_core.preprocessing import scale_pixels

MODULES = {
    "VGG16": "vgg16",
    "VGG19": "vgg19",
    "ResNet": "resnet",
    "ResNetV2": "resnet_v2",
    "MobileNet": "mobilenet",
    "MobileNetV2": "mobilenet_v2",
    "MobileNetV3": "mobilenet_v3",
    "EfficientNet": "efficientnet",
    "EfficientNetV2": "efficientnet_v2",
    "ConvNeXt": "convnext",
    "DenseNet": "densenet",
    "InceptionV3": "inception_v3",
    "InceptionResNetV2": "inception_resnet_v2",
    "Xception": "xception",
    "NASNet": "nasnet",
}
"""Keras' modules, by family or by class where the classes of a family have their own."""

ALL_VALUES = (
    np.stack(np.meshgrid(np.arange(256), [0, 128, 255], [7, 200]), axis=-1).reshape(1, -1, 6, 3).astype(np.uint8)
)
KERAS_ENTRIES = [a for a in CATALOG.values() if a.weight_file is not None]


def test_every_module_of_keras_applications_is_compared() -> None:
    for architecture in KERAS_ENTRIES:
        assert architecture.keras_name in MODULES or architecture.family in MODULES


@pytest.mark.parametrize("name", [a.name for a in KERAS_ENTRIES])
@pytest.mark.parametrize("shift", [0, 1, 2])
def test_scaling_equals_the_family_s_own_bit_for_bit(name: str, shift: int) -> None:
    import keras
    import tensorflow as tf

    architecture = CATALOG[name]
    module = importlib.import_module(
        f"keras.applications.{MODULES.get(architecture.keras_name) or MODULES[architecture.family]}"
    )
    pixels = np.roll(ALL_VALUES, shift, axis=-1).astype(np.float32)
    theirs = keras.ops.convert_to_numpy(module.preprocess_input(pixels.copy()))
    ours = scale_pixels(pixels, architecture.preprocessing)
    in_graph = tf.function(lambda x: scale_pixels(x, architecture.preprocessing))(tf.constant(pixels)).numpy()
    assert ours.dtype == in_graph.dtype == np.float32
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(in_graph, theirs)


def test_scaling_does_not_change_its_input() -> None:
    pixels = ALL_VALUES.astype(np.float32)
    for mode in ("tf", "torch", "caffe"):
        scale_pixels(pixels, mode)
    np.testing.assert_array_equal(pixels, ALL_VALUES)


def test_an_unknown_mode_is_named() -> None:
    with pytest.raises(ValueError, match="Received: 'keras'"):
        scale_pixels(ALL_VALUES.astype(np.float32), "keras")  # type: ignore[arg-type]
