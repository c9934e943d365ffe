"""What each kind of layer does to the places of cells; of kinds that are not named here, nothing is known."""

from __future__ import annotations

from dataclasses import replace

from convfe_core.geometry.layouts import Layout, UnknownPlaceError
from convfe_core.graph.array_operations import ARRAY_OPERATIONS
from convfe_core.graph.layer_call import LayerCall, Rule
from convfe_core.graph.picture_layers import PICTURE_LAYERS

_NUMBER_BY_NUMBER = """
Abs Absolute Activation ActivityRegularization Add AlphaDropout AutoContrast Average BatchNormalization Cast Celu Clip
ContrastLimitedAdaptiveHistogramEqualization Copy Cos CustomScaleLayer Divide DivideNoNan Dropout ELU Elu Equal
Equalization Erf Exp Expm1 GaussianDropout GaussianNoise Gelu Glu Greater GreaterEqual GroupNormalization HSVToRGB
HardShrink HardSigmoid HardSilu HardTanh Identity Invert LayerNorm LayerNormalization LayerScale LeakyReLU LeakyRelu
Less LessEqual Log Log10 Log1p Log2 LogSigmoid LogSoftmax LogicalAnd LogicalNot LogicalOr Masking Maximum Minimum Mod
Multiply Negative Normalization Normalize NotEqual PReLU Power RGBToGrayscale RGBToHSV RMSNorm RMSNormalization ReLU
Reciprocal Relu Relu6 Rescaling Round Rsqrt Selu Sigmoid Sign Silu Sin SoftShrink Softmax Softplus Softsign
Solarization SpatialDropout1D SpatialDropout2D SpatialDropout3D Sqrt Square Squareplus StochasticDepth StopGradient
Subtract Tan Tanh TanhShrink ThresholdedReLU TrueDivide UnitNormalization Where
"""
"""Layers and operations that work cell by cell, or take in all cells alike."""


def layout_after(call: LayerCall) -> Layout:
    """How the output of a layer is laid out, with the steps on the path that lead to its cells.

    Raises
    ------
    UnknownPlaceError : what it does to places is not known
    """
    rule = _RULES.get(type(call.operation).__name__)
    if rule is None:
        raise UnknownPlaceError
    return rule(call)


def _wrapped(call: LayerCall) -> Layout:
    """A layer around another one that does to places what that one does."""
    return layout_after(replace(call, operation=call.operation.layer))


def _over_time(call: LayerCall) -> Layout:
    """A layer applied to each slice of the second dimension: known where it works on the last one alone."""
    inner = type(call.operation.layer).__name__
    if inner != "Dense" and inner not in _NUMBER_BY_NUMBER.split():
        raise UnknownPlaceError
    return _wrapped(call)


_RULES_OF: dict[str, Rule] = {
    _NUMBER_BY_NUMBER: lambda call: call.meet(call.sources),
    **PICTURE_LAYERS,
    **ARRAY_OPERATIONS,
    "SpectralNormalization": _wrapped,
    "TimeDistributed": _over_time,
}
_RULES = {name: rule for names, rule in _RULES_OF.items() for name in names.split()}
