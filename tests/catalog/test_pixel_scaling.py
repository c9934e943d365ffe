"""Pixels are scaled exactly as each family's own ``preprocess_input`` scales them."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from convfe_core.catalog.pixel_scaling import scale_pixels
from convfe_core.catalog.specs import CATALOG, Architecture

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

CHANNELS = np.stack(np.meshgrid(np.arange(256), [0, 128, 255], [7, 200]), axis=-1).reshape(1, -1, 6, 3)
ALL_VALUES = np.concatenate([np.roll(CHANNELS, shift, axis=-1) for shift in range(3)]).astype(np.uint8)
"""(3, 256, 6, 3): every value in every channel."""

KERAS_ENTRIES = [a for a in CATALOG.values() if a.weight_file is not None]


def module_of(architecture: Architecture) -> str:
    return MODULES.get(architecture.keras_name) or MODULES[architecture.family]


ONE_PER_MODULE = list({module_of(a): a for a in KERAS_ENTRIES}.values())


def test_every_entry_belongs_to_the_module_that_keras_keeps_its_class_in() -> None:
    import keras

    for architecture in KERAS_ENTRIES:
        module = importlib.import_module(f"keras.applications.{module_of(architecture)}")
        name = architecture.keras_name
        assert getattr(module, name, None) is getattr(keras.applications, name) or name.startswith("MobileNetV3")


def test_entries_of_one_module_are_scaled_alike() -> None:
    modes = {(module_of(a), a.preprocessing) for a in KERAS_ENTRIES}
    assert len(modes) == len(ONE_PER_MODULE)


@pytest.mark.parametrize("architecture", ONE_PER_MODULE, ids=lambda a: a.name)
def test_scaling_equals_the_family_s_own_bit_for_bit(architecture: Architecture) -> None:
    """On arrays, on tensors, and in a graph, where TensorFlow turns divisions by constants into products."""
    import keras
    import tensorflow as tf

    preprocess_input = importlib.import_module(f"keras.applications.{module_of(architecture)}").preprocess_input
    pixels = ALL_VALUES.astype(np.float32)
    ours = scale_pixels(pixels, architecture.preprocessing)
    assert ours.dtype == np.float32
    np.testing.assert_array_equal(ours, preprocess_input(pixels.copy()))

    tensor = tf.constant(pixels)
    ours = scale_pixels(tensor, architecture.preprocessing)
    np.testing.assert_array_equal(ours.numpy(), keras.ops.convert_to_numpy(preprocess_input(tensor)))

    ours = tf.function(lambda x: scale_pixels(x, architecture.preprocessing))(tensor)
    np.testing.assert_array_equal(ours.numpy(), tf.function(lambda x: preprocess_input(x))(tensor).numpy())


def test_scaling_does_not_change_its_input() -> None:
    pixels = ALL_VALUES.astype(np.float32)
    for mode in ("tf", "torch", "caffe"):
        scale_pixels(pixels, mode)
    np.testing.assert_array_equal(pixels, ALL_VALUES)


def test_an_unknown_mode_is_named() -> None:
    with pytest.raises(ValueError, match="Received: 'keras'"):
        scale_pixels(ALL_VALUES.astype(np.float32), "keras")
