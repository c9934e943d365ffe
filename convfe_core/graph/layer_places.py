"""What each kind of layer does to the places of cells; of kinds that are not named here, nothing is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace
from typing import Any, Literal

from convfe_core.graph.axis_changes import Change, Cut, Finer, Margin, Pair, Resized, Window
from convfe_core.graph.cell_geometry import GrowingPath, Step
from convfe_core.graph.layouts import NOWHERE, Layout, UnknownPlaceError, lined_up
from convfe_core.graph.walk import arguments_of

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

_REDUCING = "All Amax Amin Any Logsumexp Max Mean Min Moments Prod Std Sum Var"


@dataclass(frozen=True)
class LayerCall:
    """One call of a layer.

    Attributes
    ----------
    operation : the layer
    tensor : of what it gave
    shapes : of its inputs
    sources : their layouts
    path : the steps so far
    """

    operation: Any
    tensor: Any
    shapes: Sequence[tuple[int | None, ...]]
    sources: Sequence[Layout]
    path: GrowingPath

    @property
    def rank(self) -> int:
        """How many dimensions its output has."""
        return len(self.tensor.shape)

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Of its output."""
        return tuple(self.tensor.shape)

    @property
    def inputs(self) -> list[Layout]:
        """Of its inputs; of one that has no place the dimensions are there nevertheless."""
        return [
            one if one.dimensions else Layout(((),) * len(shape))
            for one, shape in zip(self.sources, self.shapes, strict=True)
        ]

    @property
    def first(self) -> Layout:
        """Of its first input, see `inputs`."""
        return self.inputs[0]

    def dimension(self, number: int, rank: int | None = None) -> int:
        """A dimension counted from the front."""
        return number % (len(self.shapes[0]) if rank is None else rank)

    def meet(self, layouts: Sequence[Layout]) -> Layout:
        """What is computed number by number from tensors laid out like this."""
        found = lined_up(layouts, self.rank)
        placed = [one for one in layouts if one.placed]
        if len({one.dimensions[-self.rank :] for one in placed}) <= 1:
            return found
        if any(len(one.places) != 1 for one in placed):
            raise UnknownPlaceError
        places = dict.fromkeys(place for one in placed for place in one.places)
        return found if len(places) == 1 else found.at(self.path.add(Step(tuple(places))))

    def changed(self, changes: dict[int, Change]) -> Layout:
        """What is left of the first input when some of its dimensions change."""
        layout = self.first
        pair: list[Change | None] = [None, None]
        for dimension, change in changes.items():
            if layout.is_row(dimension):
                layout = self._row_changed(layout, dimension, change)
                continue
            axis = layout.axis(dimension)
            if axis is not None:
                pair[axis] = change
        if pair == [None, None]:
            return layout
        return replace(self, sources=[layout, *self.sources[1:]]).stepped((pair[0], pair[1]))

    def _row_changed(self, layout: Layout, dimension: int, change: Change) -> Layout:
        """Tokens that stand for no place come before all cells of a map, or go."""
        size = self.shapes[0][dimension]
        if size is None:
            raise UnknownPlaceError
        if isinstance(change, Margin) and change.before >= 0 == change.after:
            return layout.with_tokens_before(dimension, size + change.before)
        if isinstance(change, Margin) and change.after == 0:
            change = Cut(-change.before, None)
        if not isinstance(change, Cut):
            raise UnknownPlaceError
        kept = range(size)[change.start : change.stop : change.step]
        if kept == range(size):
            return layout
        cells = (axis.cells for axis in self.path.axes(layout.dimensions[dimension][0].place))
        return layout.with_tokens_before(dimension, size).tokens_kept(dimension, kept, *cells)

    def stepped(self, change: Pair[Change | None] | Resized) -> Layout:
        """The first input's dimensions, counting the cells of a new step."""
        layout = self.first
        if len(layout.places) != 1:
            raise UnknownPlaceError
        for dimension in range(len(layout.dimensions)):
            layout.axis(dimension)  # each must be a whole one to be counted anew
        return layout.at(self.path.add(Step(tuple(layout.places), change)), self.shape)


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


def _spatial(call: LayerCall) -> tuple[int, int]:
    """The dimensions that a layer for pictures takes for rows and columns."""
    if len(call.shapes[0]) != 4:
        raise UnknownPlaceError
    return (2, 3) if getattr(call.operation, "data_format", None) == "channels_first" else (1, 2)


def _both(call: LayerCall, rows: Change, columns: Change) -> Layout:
    return call.changed(dict(zip(_spatial(call), (rows, columns), strict=True)))


def _pair(value: Any) -> Pair[int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _counted(axes: Any, rank: int) -> list[int]:
    """Dimensions counted from the front, as settings of layers name them: one, several, or None for all."""
    if axes is None:
        return [*range(rank)]
    return [axis % rank for axis in ([axes] if isinstance(axes, int) else axes)]


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


def _dense(call: LayerCall) -> Layout:
    return call.first.placeless([len(call.first.dimensions) - 1])


def _attention(call: LayerCall) -> Layout:
    """What each query gathers stands where the query does; scores are no map."""
    return _dense(call) if call.tensor._keras_history.tensor_index == 0 else NOWHERE


def _matmul(call: LayerCall) -> Layout:
    left, right = call.inputs
    if len(left.dimensions) != len(right.dimensions) or len(left.dimensions) < 2:
        raise UnknownPlaceError
    return Layout((*left.dimensions[:-1], right.dimensions[-1]))


def _dot(call: LayerCall) -> Layout:
    left, right = call.inputs
    axes = call.operation.axes
    first, second = (axes, axes) if isinstance(axes, int) else axes
    kept, others = left.without([first % len(left.dimensions)]), right.without([0, second % len(right.dimensions)])
    return Layout((*kept.dimensions, *others.dimensions))


def _einsum(call: LayerCall) -> Layout:
    """By the letters: each stands where it does in the first tensor that has it."""
    equation = getattr(call.operation, "equation", None) or call.operation.subscripts
    taken, _, made = equation.replace(" ", "").partition("->")
    found: dict[str, Any] = {}
    for letters, layout in zip(taken.split(","), call.sources, strict=False):
        if layout.dimensions and len(letters) != len(layout.dimensions):  # an ellipsis
            raise UnknownPlaceError
        for letter, dimension in zip(letters, layout.dimensions, strict=False):
            found[letter] = found.get(letter) or dimension
    if "." in made or len(made) != call.rank:
        raise UnknownPlaceError
    return Layout(tuple(found.get(letter, ()) for letter in made))


def _concatenated(call: LayerCall) -> Layout:
    axis = call.dimension(call.operation.axis)
    if not any(one.dimensions and one.dimensions[axis] for one in call.sources):
        return call.meet(call.sources)
    *before, last = call.inputs
    if any(one.dimensions[axis] for one in before):
        raise UnknownPlaceError
    return last.with_tokens_before(axis, call.shape[axis])


def _stacked(call: LayerCall) -> Layout:
    axis = call.dimension(call.operation.axis, call.rank)
    return call.meet([one.with_new(axis) if one.dimensions else one for one in call.sources])


def _reduced(call: LayerCall) -> Layout:
    operation = call.operation
    axes = operation.axes if hasattr(operation, "axes") else operation.axis
    gone = _counted(axes, len(call.first.dimensions))
    return call.first.placeless(gone) if operation.keepdims else call.first.without(gone)


def _transpose(call: LayerCall) -> Layout:
    return call.first.permuted(_counted(call.operation.axes or range(call.rank)[::-1], call.rank))


def _moved_axes(call: LayerCall) -> Layout:
    rank, operation = call.rank, call.operation
    sources, goals = _counted(operation.source, rank), _counted(operation.destination, rank)
    order = [axis for axis in range(rank) if axis not in sources]
    for goal, source in sorted(zip(goals, sources, strict=True)):
        order.insert(goal, source)
    return call.first.permuted(order)


def _swapped_axes(call: LayerCall) -> Layout:
    order = [*range(call.rank)]
    one, other = call.operation.axis1, call.operation.axis2
    order[one], order[other] = order[other], order[one]
    return call.first.permuted(order)


def _expanded(call: LayerCall) -> Layout:
    layout = call.first
    for axis in sorted(_counted(call.operation.axis, call.rank)):
        layout = layout.with_new(axis)
    return layout


def _squeezed(call: LayerCall) -> Layout:
    axes, shape = call.operation.axis, call.shapes[0]
    single = [k for k, size in enumerate(shape) if size == 1]
    return call.first.without(single if axes is None else _counted(axes, len(shape)))


def _rolled(call: LayerCall) -> Layout:
    axes = call.operation.axis
    if axes is None or any(call.first.dimensions[k] for k in _counted(axes, call.rank)):
        raise UnknownPlaceError
    return call.first


def _repeated(call: LayerCall) -> Layout:
    operation = call.operation
    if operation.axis is None or not isinstance(operation.repeats, int):
        raise UnknownPlaceError
    times = operation.repeats
    return call.changed({call.dimension(operation.axis): Finer(times, times, "same")})


def _tiled(call: LayerCall) -> Layout:
    repeats = call.operation.repeats
    repeats = [repeats] if isinstance(repeats, int) else [*repeats]
    repeats = [1] * (len(call.first.dimensions) - len(repeats)) + repeats
    if len(repeats) != len(call.first.dimensions):
        raise UnknownPlaceError
    if any(times != 1 and dimension for times, dimension in zip(repeats, call.first.dimensions, strict=True)):
        raise UnknownPlaceError
    return call.first


def _split(call: LayerCall) -> Layout:
    operation, number = call.operation, call.tensor._keras_history.tensor_index
    axis = call.dimension(operation.axis)
    cuts, size = operation.indices_or_sections, call.shapes[0][axis]
    if not call.first.dimensions[axis]:
        return call.first
    if isinstance(cuts, int):
        if size is None:
            raise UnknownPlaceError
        cuts = [size // cuts * k for k in range(1, cuts)]
    edges = [0, *cuts, None]
    return call.changed({axis: Cut(edges[number], edges[number + 1])})


def _taken(call: LayerCall) -> Layout:
    axis = call.operation.axis
    if axis is None or call.first.dimensions[call.dimension(axis)] or call.rank != len(call.shapes[0]):
        raise UnknownPlaceError
    return call.first


def _sliced(call: LayerCall) -> Layout:
    """`keras.ops.slice`: so many values of each dimension from the ones named."""
    starts = arguments_of(call.tensor)[1]
    if not isinstance(starts, list | tuple) or not all(isinstance(start, int) for start in starts):
        raise UnknownPlaceError
    spans = zip(starts, call.operation.shape, strict=True)
    return call.changed({k: Cut(start, start + size) for k, (start, size) in enumerate(spans)})


def _item(call: LayerCall) -> Layout:
    """``x[key]``: slices cut, numbers take one and drop the dimension, None adds one."""
    key = arguments_of(call.tensor)[1]
    keys = list(key) if isinstance(key, list | tuple) else [key]
    used = sum(one is not None and one is not Ellipsis for one in keys)
    rest = [slice(None)] * (len(call.shapes[0]) - used)
    place = next((k for k, one in enumerate(keys) if one is Ellipsis), len(keys))
    keys = [*keys[:place], *rest, *keys[place + 1 :]]
    if not all(one is None or isinstance(one, int | slice) for one in keys):
        raise UnknownPlaceError
    along = [one for one in keys if one is not None]
    gone = [k for k, one in enumerate(along) if isinstance(one, int)]
    changes: dict[int, Change] = {
        k: Cut(one.start, one.stop, one.step)
        for k, one in enumerate(along)
        if isinstance(one, slice) and one != slice(None) and call.first.dimensions[k]
    }
    layout = _cut(call, changes).without(gone)
    for position, one in enumerate(key for key in keys if not isinstance(key, int)):
        layout = layout.with_new(position) if one is None else layout
    return layout


def _cut(call: LayerCall, changes: dict[int, Change]) -> Layout:
    """The first input with some dimensions cut, none of them dropped yet."""
    if not changes:
        return call.first
    sizes = [
        len(range(size)[change.start : change.stop : change.step])
        if size is not None and isinstance(change := changes.get(k), Cut)
        else size
        for k, size in enumerate(call.shapes[0])
    ]
    return replace(call, tensor=SimpleNamespace(shape=tuple(sizes))).changed(changes)


def _margined(call: LayerCall) -> Layout:
    """`keras.ops.pad`, whatever it fills the margin with."""
    widths = call.operation.pad_width
    widths = [*widths] * len(call.shapes[0]) if len(widths) == 1 else widths
    changes: dict[int, Change] = {}
    for k, width in enumerate(widths):
        before, after = (width[0], width[-1])
        if (before, after) != (0, 0):
            changes[k] = Margin(int(before), int(after))
    return call.changed(changes)


def _wrapped(call: LayerCall) -> Layout:
    """A layer around another one that does to places what that one does."""
    return layout_after(replace(call, operation=call.operation.layer))


def _over_time(call: LayerCall) -> Layout:
    """A layer applied to each slice of the second dimension: known where it works on the last one alone."""
    inner = type(call.operation.layer).__name__
    if inner != "Dense" and inner not in _NUMBER_BY_NUMBER.split():
        raise UnknownPlaceError
    return _wrapped(call)


_Rule = Callable[[LayerCall], Layout]


_RULES_OF: dict[str, _Rule] = {
    _NUMBER_BY_NUMBER: lambda call: call.meet(call.sources),
    _REDUCING: _reduced,
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
    "Pad": _margined,
    "Resizing Resize": _resizing,
    "CenterCrop": lambda call: _together(call, Resized(call.operation.height, call.operation.width, "middle")),
    "AdaptiveAveragePooling2D AdaptiveMaxPooling2D": lambda call: _together(
        call, Resized(*_pair(call.operation.output_size))
    ),
    "Dense": _dense,
    "AdditiveAttention Attention DotProductAttention GroupedQueryAttention MultiHeadAttention": _attention,
    "Matmul": _matmul,
    "Dot": _dot,
    "Einsum EinsumDense": _einsum,
    "Concatenate": _concatenated,
    "Stack": _stacked,
    "Unstack": lambda call: call.first.without([call.dimension(call.operation.axis)]),
    "Split": _split,
    "Reshape Flatten Ravel": lambda call: call.first.reshaped(call.shapes[0], call.shape),
    "Permute": lambda call: call.first.permuted((0, *call.operation.dims)),
    "Transpose": _transpose,
    "Moveaxis": _moved_axes,
    "Swapaxes": _swapped_axes,
    "ExpandDims": _expanded,
    "Squeeze": _squeezed,
    "Flip": lambda call: call.changed(
        dict.fromkeys(_counted(call.operation.axis, call.rank), Cut(None, None, -1)),
    ),
    "Roll": _rolled,
    "Repeat": _repeated,
    "Tile": _tiled,
    "Take": _taken,
    "Slice": _sliced,
    "GetItem": _item,
    "SpectralNormalization": _wrapped,
    "TimeDistributed": _over_time,
}
_RULES = {name: rule for names, rule in _RULES_OF.items() for name in names.split()}
