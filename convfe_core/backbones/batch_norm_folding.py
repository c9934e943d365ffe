"""A Keras model run for its values alone: weights fixed, batch normalisation folded into the convolutions before it.

A batch normalisation that follows a convolution multiplies each channel by a number and adds another one, so the kernel
can be multiplied once instead (arXiv 1712.05877, section 3.2). So it is with ConvNeXt's factors behind dense layers.
Scalings of pixels that follow each other become one.

A convolution with a group for each channel, which Keras has compiled by XLA for every size, becomes TensorFlow's
depthwise convolution.

The weights are handed to TensorFlow as tensors beside its graph, not as constants inside it, of which its optimiser
makes a dozen copies. Sums of branches become TensorFlow's ``AddN``, which never broadcasts, so that oneDNN joins them
to the convolution before them without knowing any shape.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from convfe_core.backbones.frozen_graph import Layers
from convfe_core.graph.walk import operation_of, sources_of, tensors_in_order

if TYPE_CHECKING:
    from convfe_core.catalog.weights_beside import WeightsBeside

Fold = Literal["copy", "spend", "none"]
_Calls = dict[int, tuple[Callable[..., Any], slice]]


@dataclass(eq=False)
class _Folding:
    """What changes in a model.

    Attributes
    ----------
    values : that take the place of a variable's own, by its id
    added : arrays that the model has not, and what takes the place of its layers needs
    calls : that take the place of layers, by a layer's id, each with the place of what it needs among these arrays
    """

    spend: bool = False
    values: dict[int, Any] = field(default_factory=dict)
    added: list[NDArray[np.float32]] = field(default_factory=list)
    calls: _Calls = field(default_factory=dict)

    def replace(self, variable: Any, value: NDArray[Any]) -> None:
        """Have another value take the place of a variable's own."""
        if self.spend:
            variable.assign(value)
        else:
            self.values[id(variable)] = _float32(value)

    def call(self, layer: Any, function: Callable[..., Any], *values: NDArray[Any]) -> None:
        """Have a function of some values and of the layer's input take the layer's place."""
        place = slice(len(self.added), len(self.added) + len(values))
        self.added += [value.astype(np.float32) for value in values]
        self.calls[id(layer)] = function, place


def fold_model(
    model: Any, wanted: list[Any], fold: Fold = "copy", weights_beside: WeightsBeside | None = None
) -> Layers:
    """Turn a model into a function of its input, to be traced or called as it is.

    Parameters
    ----------
    model : keras.Model. What is done to its weights later does not reach the function
    wanted : KerasTensors of it
    fold : ``copy`` keeps folded kernels beside the model's own; ``spend`` overwrites the model's, which nobody must use
        any more; ``none`` leaves them as they are and shares their memory
    weights_beside : what has the model's weights, where its variables do not; it must be entered

    Returns
    -------
    a function from the model's one input to the values of `wanted`, equal to the model's up to rounding
    """
    import keras
    import tensorflow as tf

    part = keras.Model(model.inputs, wanted)
    with tf.init_scope():
        folding = _Folding() if fold == "none" else _fold(part, spend=fold == "spend")
        spent = weights_beside if fold == "spend" else None
        weights = [
            folding.values.get(id(variable), tf.convert_to_tensor(variable.value))
            if spent is None
            else spent.take(variable)
            for variable in part.variables
        ]
    weights += folding.added

    def compute(pixels: Any, weights: Sequence[Any]) -> list[Any]:
        own, added = weights[: len(part.variables)], weights[len(part.variables) :]
        operation = partial(_operation, folding.calls, added)
        with keras.StatelessScope(state_mapping=zip(part.variables, own, strict=True)):
            outputs = part._run_through_graph([pixels], operation_fn=operation)
        return list(keras.tree.flatten(outputs))

    return Layers(compute, weights, has_only_copy=spent is not None)


def _operation(calls: _Calls, added: Sequence[Any], layer: Any) -> Any:
    """What computes a layer, given tensors of what a `_Folding` added."""
    if id(layer) not in calls:
        return layer
    function, place = calls[id(layer)]
    return partial(function, *added[place])


def _fold(model: Any, *, spend: bool) -> _Folding:
    """Go through the batch normalisations, the scalings of pixels and the sums of a model."""
    import keras
    import tensorflow as tf

    tensors = tensors_in_order(model)
    uses = Counter(id(operation_of(tensor)) for tensor in tensors)
    readers = Counter(id(source) for tensor in tensors for source in sources_of(tensor))
    readers.update(id(tensor) for tensor in model.outputs)
    folding = _Folding(spend)
    affine: dict[int, tuple[Any, _Affine]] = {}
    for tensor in tensors:
        layer, sources = operation_of(tensor), sources_of(tensor)
        if uses[id(layer)] > 1:
            continue
        if type(layer) is keras.layers.Add and len({source.shape for source in sources}) == 1:
            folding.call(layer, tf.add_n)
        if _is_depthwise(layer):
            folding.call(layer, partial(_convolve_depthwise, layer))
        if (own := _affine(layer, tensor)) is None:
            continue
        before = operation_of(sources[0])
        follows_alone = uses[id(before)] == readers[id(sources[0])] == 1
        if follows_alone and _multiplies_last(before):
            _fold_into(before, layer, own, folding)
            continue
        if follows_alone and id(before) in affine:
            _, first = affine.pop(id(before))
            own = own.after(first)
            folding.call(before, _unchanged)
        affine[id(layer)] = layer, own
    for layer, own in affine.values():
        folding.call(layer, _multiply_and_add, own.scale, own.shift)
    return folding


@dataclass(frozen=True, eq=False)
class _Affine:
    """What multiplies each channel and what is then added to it, both (C,) float64."""

    scale: NDArray[np.float64]
    shift: NDArray[np.float64]

    def after(self, first: _Affine) -> _Affine:
        """The two as one."""
        return _Affine(first.scale * self.scale, first.shift * self.scale + self.shift)


def _affine(layer: Any, tensor: Any) -> _Affine | None:
    """What a layer multiplies and adds, if that is all it does, the same at every pixel."""
    import keras

    kind = type(layer)
    kinds = keras.layers.BatchNormalization, keras.layers.Normalization, keras.layers.Rescaling, layer_scale()
    if kind not in kinds or layer.compute_dtype != "float32" or layer.variable_dtype != "float32":
        return None
    scale: Any
    shift: Any
    if kind is keras.layers.Rescaling:
        scale, shift = _float64(layer.scale), _float64(layer.offset)
    elif kind is layer_scale():
        scale, shift = _float64(layer.gamma), 0.0
    elif kind is keras.layers.Normalization:
        if layer.invert or layer.mean is None or layer.axis not in ((-1,), (len(tensor.shape) - 1,)):
            return None
        scale = 1 / np.maximum(np.sqrt(_float64(layer.variance)), keras.config.epsilon())
        shift = -_float64(layer.mean) * scale
    else:
        if layer.axis not in (-1, len(tensor.shape) - 1):
            return None
        scale = 1 / np.sqrt(_float64(layer.moving_variance) + layer.epsilon)
        scale = scale * _float64(layer.gamma) if layer.scale else scale
        shift = (_float64(layer.beta) if layer.center else 0.0) - _float64(layer.moving_mean) * scale
    if max(np.size(scale), np.size(shift)) > tensor.shape[-1]:
        return None  # another number for each pixel
    return _Affine(*(np.broadcast_to(np.ravel(value), tensor.shape[-1:]) for value in (scale, shift)))


@cache
def layer_scale() -> type:
    """Keras' factor for each channel, which only ConvNeXt has."""
    from keras.src.applications.convnext import LayerScale  # there is no public way

    return LayerScale  # type: ignore[no-any-return]


def _multiplies_last(layer: Any) -> bool:
    """Whether a layer ends with a product that another factor for each channel can go into."""
    import keras

    kinds = keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D, keras.layers.Dense
    return (
        type(layer) in kinds
        and layer.activation is keras.activations.linear
        and getattr(layer, "data_format", "channels_last") == "channels_last"
        and layer.compute_dtype == layer.variable_dtype == "float32"
        and not getattr(layer, "lora_enabled", False)  # its kernel is a sum of variables, not one
    )


def _fold_into(conv: Any, layer: Any, affine: _Affine, folding: _Folding) -> None:
    import keras

    kernel = conv.pointwise_kernel if isinstance(conv, keras.layers.SeparableConv2D) else conv.kernel
    depthwise = isinstance(conv, keras.layers.DepthwiseConv2D)
    factor = (affine.scale.reshape(kernel.shape[2:]) if depthwise else affine.scale).astype(np.float32)
    folding.replace(kernel, kernel.numpy() * factor)
    if conv.use_bias:
        folding.replace(conv.bias, conv.bias.numpy() * affine.scale + affine.shift)
        folding.call(layer, _unchanged)
    else:
        folding.call(layer, _add_bias, affine.shift)


def _is_depthwise(layer: Any) -> bool:
    """Whether a convolution has a group for each channel, and nothing that TensorFlow's depthwise one has not."""
    import keras

    return (
        type(layer) is keras.layers.Conv2D
        and layer.groups > layer.kernel.shape[2] == 1
        and layer.data_format == "channels_last"
        and layer.compute_dtype == "float32"
        and layer.dilation_rate == (1, 1)
        and len(set(layer.strides)) == 1
    )


def _convolve_depthwise(layer: Any, x: Any, **_: Any) -> Any:
    """What such a convolution gives; Keras has it compiled by XLA, whose code is slow here."""
    import tensorflow as tf

    kernel = tf.reshape(layer.kernel, (*layer.kernel_size, layer.groups, -1))
    found = tf.nn.depthwise_conv2d(x, kernel, (1, *layer.strides, 1), layer.padding.upper())
    if layer.use_bias:
        found = tf.nn.bias_add(found, layer.bias)
    return layer.activation(found)


def _add_bias(bias: Any, x: Any, **_: Any) -> Any:
    import tensorflow as tf

    return tf.nn.bias_add(x, bias)


def _multiply_and_add(factor: Any, summand: Any, x: Any, **_: Any) -> Any:
    return x * factor + summand


def _unchanged(x: Any, **_: Any) -> Any:
    return x


def _float64(values: Any) -> NDArray[np.float64]:
    return np.asarray(values, np.float64)


def _float32(values: NDArray[Any]) -> Any:
    import tensorflow as tf

    return tf.constant(values.astype(np.float32))
