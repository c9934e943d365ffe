"""What each operation of ONNX does to where the cells of its inputs lie.

What is not listed here moves cells in a way that nobody knows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from convfe_core.geometry.axis_changes import Change, Cut, Finer, Margin, Pair, Resized, Window
from convfe_core.geometry.cell_geometry import GrowingPath, Step
from convfe_core.geometry.layouts import NOWHERE, TOKENS, Dimension, Layout, UnknownPlaceError, lined_up
from convfe_core.onnx_models.shapes import KERNEL, Shapes, Sides


class OnnxCall(NamedTuple):
    """One operation, what enters it and the shape of one thing that leaves it.

    Attributes
    ----------
    number : of that output
    path : the steps so far
    known : the graph's tensors of this size
    """

    node: Any
    settings: dict[str, Any]
    layouts: list[Layout]
    shapes: list[Sides]
    shape: Sides
    number: int
    path: GrowingPath
    known: Shapes

    def value(self, position: int, name: str = "") -> list[Any] | None:
        """A setting that is an input in later versions of the standard and an attribute in earlier ones."""
        if name and name in self.settings:
            found = self.settings[name]
            return list(found) if isinstance(found, list | tuple) else [found]
        if position < len(self.node.input) and self.node.input[position]:
            known = self.known.values.get(self.node.input[position])
            if known is None:
                raise UnknownPlaceError
            return list(known.reshape(-1).tolist())
        return None

    @property
    def first(self) -> Layout:
        """How its first input is laid out."""
        return self.layouts[0]

    def dimension(self, number: int) -> int:
        """A dimension of its first input, counted from its end where the number is negative."""
        return int(number) % len(self.shapes[0])


def layout_behind(call: OnnxCall) -> Layout:
    """How an output is laid out.

    Raises
    ------
    UnknownPlaceError : what the operation does to places is not known
    SpecError : what it takes does not fit together
    """
    rule = _RULES.get(call.node.op_type)
    if rule is None:
        raise UnknownPlaceError
    return rule(call)


def is_whole(dimension: Dimension) -> bool:
    """Whether it holds the cells along one axis, all of them in their order."""
    return len(dimension) == 1 and dimension[0].is_whole


def _meet(call: OnnxCall, layouts: Sequence[Layout]) -> Layout:
    """What is computed number by number from tensors laid out like this."""
    rank = len(call.shape)
    placed = [one for one in layouts if one.placed]
    found = lined_up(layouts, rank)
    if len({one.dimensions[-rank:] for one in placed}) <= 1:
        return found
    if any(len(one.places) != 1 for one in placed):
        raise UnknownPlaceError
    places = dict.fromkeys(place for one in placed for place in one.places)
    return found if len(places) == 1 else found.at(call.path.add(Step(tuple(places))))


def _number_by_number(call: OnnxCall) -> Layout:
    return _meet(call, call.layouts)


def _product(call: OnnxCall) -> Layout:
    """A map stays where it is when it is weighed by one that was computed coarsely and enlarged."""
    enlarged = [any(call.path.enlarges(place) for place in one.places) for one in call.layouts]
    kept = [one for one, coarse in zip(call.layouts, enlarged, strict=True) if not coarse]
    return _meet(call, kept if any(one.placed for one in kept) else call.layouts)


def _like_first(call: OnnxCall) -> Layout:
    return call.first


def _nowhere(_call: OnnxCall) -> Layout:
    return NOWHERE


def _spatial_pair(layout: Layout, dimensions: Sequence[int], changes: Sequence[Change]) -> Pair[Change | None]:
    """Changes of some dimensions as those of rows and of columns."""
    pair: list[Change | None] = [None, None]
    for dimension, change in zip(dimensions, changes, strict=True):
        axis = layout.axis(dimension)
        if axis not in (0, 1):
            raise UnknownPlaceError
        pair[axis] = change
    return pair[0], pair[1]


def _stepped(call: OnnxCall, changes: Sequence[Pair[Change | None] | Resized]) -> Layout:
    """The first input's dimensions counting the cells of new steps, one after the other."""
    layout = call.first
    if len(layout.places) != 1 or not all(is_whole(one) for one in layout.dimensions if one):
        raise UnknownPlaceError
    (place,) = layout.places
    for change in changes:
        place = call.path.add(Step((place,), change))
    return layout.at(place, call.shape)


def _sliding(call: OnnxCall) -> Layout:
    """A convolution or pooling over (N, C, H, W)."""
    if len(call.shape) != 4 or any(part.axis is not None for part in call.first.dimensions[1]):
        raise UnknownPlaceError
    kernel = call.settings.get("kernel_shape") or call.shapes[KERNEL[call.node.op_type]][2:]
    strides = call.settings.get("strides") or [1, 1]
    dilations = call.settings.get("dilations") or [1, 1]
    sizes = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    auto = (call.settings.get("auto_pad") or b"NOTSET").decode()
    kind: Literal["same", "valid"] = "same" if auto == "SAME_UPPER" else "valid"
    pads = _pads(call, sizes, strides, auto)
    spatial = 2, 3
    windows = [Window(size, step, kind) for size, step in zip(sizes, strides, strict=True)]
    changes = [_spatial_pair(call.first, spatial, windows)]
    if any(before or after for before, after in pads):
        changes.insert(0, _spatial_pair(call.first, spatial, [Margin(*pair) for pair in pads]))
    return _stepped(call, changes)


def _pads(call: OnnxCall, sizes: Sequence[int], strides: Sequence[int], auto: str) -> list[Pair[int]]:
    """Cells added before and after, along rows and along columns."""
    if auto == "SAME_LOWER":
        cells = zip(call.shapes[0][2:], call.shape[2:], sizes, strides, strict=True)
        spare = [max((out - 1) * step + size - given, 0) for given, out, size, step in cells]
        return [(one - one // 2, one // 2) for one in spare]
    if auto != "NOTSET":
        return [(0, 0), (0, 0)]
    pads = list(call.settings.get("pads") or [0, 0, 0, 0])
    if call.settings.get("ceil_mode"):
        cells = zip(call.shapes[0][2:], call.shape[2:], sizes, strides, strict=True)
        for axis, (given, out, size, step) in enumerate(cells):
            pads[axis + 2] = max(pads[axis + 2], (out - 1) * step + size - given - pads[axis])
    return [(pads[0], pads[2]), (pads[1], pads[3])]


def _transposed_convolution(call: OnnxCall) -> Layout:
    auto = (call.settings.get("auto_pad") or b"NOTSET").decode()
    if len(call.shape) != 4 or auto != "NOTSET" or call.settings.get("output_shape"):
        raise UnknownPlaceError
    kernel, strides = call.shapes[1][2:], call.settings.get("strides") or [1, 1]
    dilations = call.settings.get("dilations") or [1, 1]
    pads, extra = call.settings.get("pads") or [0] * 4, call.settings.get("output_padding") or [0, 0]
    finer = [Finer(step, (k - 1) * d + 1, "valid", 0) for k, d, step in zip(kernel, dilations, strides, strict=True)]
    margins = [Margin(-pads[0], extra[0] - pads[2]), Margin(-pads[1], extra[1] - pads[3])]
    spatial = 2, 3
    return _stepped(call, [_spatial_pair(call.first, spatial, one) for one in (finer, margins)])


def _resize(call: OnnxCall) -> Layout:
    """New rows and columns spread evenly over the old ones."""
    layout = call.first
    spatial = [k for k, one in enumerate(layout.dimensions) if one]
    old, new = call.shapes[0], call.shape
    if all(new[k] % old[k] == 0 for k in spatial):
        finer = [Finer(new[k] // old[k], new[k] // old[k], "same") for k in spatial]
        return _stepped(call, [_spatial_pair(layout, spatial, finer)])
    cells = {layout.axis(k): new[k] for k in spatial}
    if set(cells) != {0, 1}:
        raise UnknownPlaceError
    return _stepped(call, [Resized(cells[0], cells[1])])


def _depth_to_space(call: OnnxCall) -> Layout:
    block = int(call.settings["blocksize"])
    return _stepped(call, [_spatial_pair(call.first, (2, 3), [Finer(block, block, "same")] * 2)])


def _space_to_depth(call: OnnxCall) -> Layout:
    block = int(call.settings["blocksize"])
    return _stepped(call, [_spatial_pair(call.first, (2, 3), [Window(block, block, "valid")] * 2)])


def _pad(call: OnnxCall) -> Layout:
    pads = call.value(1, "pads")
    assert pads is not None
    axes = call.value(3) or list(range(len(call.shapes[0])))
    changes: dict[int, Change] = {}
    for k, axis in enumerate(map(call.dimension, axes)):
        before, after = int(pads[k]), int(pads[k + len(axes)])
        if call.first.dimensions[axis] and (before or after):
            changes[axis] = Margin(before, after)
    return _changed(call, changes)


def _changed(call: OnnxCall, changes: dict[int, Change]) -> Layout:
    if not changes:
        return call.first
    return _stepped(call, [_spatial_pair(call.first, list(changes), list(changes.values()))])


def pieces_of(call: OnnxCall) -> dict[int, slice]:
    """What a Slice keeps of each dimension, as Python's slices say it.

    Raises
    ------
    UnknownPlaceError : it depends on the picture
    """
    starts, ends = call.value(1, "starts"), call.value(2, "ends")
    assert starts is not None
    assert ends is not None
    axes = call.value(3, "axes") or list(range(len(starts)))
    steps = call.value(4, "steps") or [1] * len(starts)
    pieces = {}
    for axis, start, stop, step in zip(map(call.dimension, axes), starts, ends, steps, strict=True):
        size = call.shapes[0][axis]
        from_first, to_last = start <= -size, not -size <= stop < size
        pieces[axis] = slice(None if from_first else int(start), None if to_last else int(stop), int(step))
    return pieces


def _slice(call: OnnxCall) -> Layout:
    return _cut(call, pieces_of(call))


def _split(call: OnnxCall) -> Layout:
    axis = call.dimension(call.settings.get("axis", 0))
    sizes = call.value(1, "split")
    if sizes is None:
        count = len(call.node.output)
        each = -(-call.shapes[0][axis] // count)
        sizes = [each] * count
    start = sum(sizes[: call.number])
    return _cut(call, {axis: slice(start, start + sizes[call.number])})


def _cut(call: OnnxCall, pieces: dict[int, slice]) -> Layout:
    """Keep a piece of some dimensions."""
    layout = call.first
    changes: dict[int, Change] = {}
    for k, piece in pieces.items():
        size = call.shapes[0][k]
        kept = range(size)[piece]
        if not layout.dimensions[k] or kept == range(size):
            continue
        if len(kept) == 1:
            layout = layout.placeless([k])
        elif layout.dimensions[k][0].axis == TOKENS:
            cells = (axis.cells for axis in call.path.axes(layout.dimensions[k][0].place))
            layout = layout.tokens_kept(k, kept, *cells)
        else:
            changes[k] = Cut(piece.start, piece.stop, piece.step)
    return _changed(call._replace(layouts=[layout]), changes)


def _concat(call: OnnxCall) -> Layout:
    axis = call.dimension(call.settings["axis"])
    placed = [one for one in call.layouts if one.dimensions[axis]]
    if not placed:
        return _meet(call, call.layouts)
    if len(placed) != 1 or placed[0] is not call.layouts[-1]:
        raise UnknownPlaceError
    return placed[0].with_tokens_before(axis, call.shape[axis])


def _gather(call: OnnxCall) -> Layout:
    axis = call.dimension(call.settings.get("axis", 0))
    indices = call.known.of[call.node.input[1]]
    if call.first.dimensions[axis] and math.prod(indices) != 1:
        raise UnknownPlaceError
    dimensions = call.first.dimensions
    return Layout((*dimensions[:axis], *((),) * len(indices), *dimensions[axis + 1 :]))


def _reduce(call: OnnxCall) -> Layout:
    axes = call.settings.get("axis") if "axis" in call.settings else call.value(1, "axes")
    axes = list(range(len(call.shapes[0]))) if axes is None or axes == [] else axes
    gone = [call.dimension(axis) for axis in (axes if isinstance(axes, list | tuple) else [axes])]
    kept = call.settings.get("keepdims", 1)
    return call.first.placeless(gone) if kept else call.first.without(gone)


def _transpose(call: OnnxCall) -> Layout:
    order = call.settings.get("perm") or list(range(len(call.shape)))[::-1]
    return call.first.permuted(order)


def _reshape(call: OnnxCall) -> Layout:
    return call.first.reshaped(call.shapes[0], call.shape)


def _squeeze(call: OnnxCall) -> Layout:
    axes = call.value(1, "axes")
    gone = [k for k, side in enumerate(call.shapes[0]) if side == 1] if axes is None else map(call.dimension, axes)
    return call.first.without(list(gone))


def _unsqueeze(call: OnnxCall) -> Layout:
    axes = call.value(1, "axes")
    assert axes is not None
    layout = call.first
    for axis in sorted(int(one) % len(call.shape) for one in axes):
        layout = layout.with_new(axis)
    return layout


def _tile(call: OnnxCall) -> Layout:
    for dimension, old, new in zip(call.first.dimensions, call.shapes[0], call.shape, strict=True):
        if dimension and old != new:
            raise UnknownPlaceError
    return call.first


def _matmul(call: OnnxCall) -> Layout:
    left, right = call.layouts[:2]
    if min(len(left.dimensions), len(right.dimensions)) < 2:
        raise UnknownPlaceError
    stacks = [Layout(one.dimensions[:-2]) for one in (left, right)]
    outer = lined_up(stacks, len(call.shape) - 2) if len(call.shape) > 2 else Layout(())
    return Layout((*outer.dimensions, left.dimensions[-2], right.dimensions[-1]))


def _gemm(call: OnnxCall) -> Layout:
    left, right = call.layouts[:2]
    rows = left.dimensions[1 if call.settings.get("transA") else 0]
    columns = right.dimensions[0 if call.settings.get("transB") else 1]
    return Layout((rows, columns))


_NUMBER_BY_NUMBER = """
Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift Cast CastLike Ceil Celu Clip Cos Cosh DequantizeLinear Div Dropout
Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Less
LessOrEqual Log Max Mean Min Mish Mod Neg Not Or PRelu Pow QuantizeLinear Reciprocal Relu Round Selu Shrink Sigmoid
Sign Sin Sinh Softplus Softsign Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu Where Xor Expand
"""
_LIKE_FIRST = """
Attention BatchNormalization DynamicQuantizeLinear GroupNormalization Hardmax InstanceNormalization LRN
LayerNormalization LogSoftmax LpNormalization MeanVarianceNormalization RMSNormalization RotaryEmbedding Softmax
"""
_REDUCING = "L1 L2 LogSum LogSumExp Max Mean Min Prod Sum SumSquare"

_RULES: dict[str, Callable[[OnnxCall], Layout]] = {
    **dict.fromkeys(_NUMBER_BY_NUMBER.split(), _number_by_number),
    **dict.fromkeys(_LIKE_FIRST.split(), _like_first),
    **dict.fromkeys([f"Reduce{name}" for name in _REDUCING.split()], _reduce),
    **dict.fromkeys(["ArgMax", "ArgMin"], _reduce),
    **dict.fromkeys(["Conv", "ConvInteger", "QLinearConv", "AveragePool", "LpPool", "MaxPool"], _sliding),
    **dict.fromkeys(["GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool"], _nowhere),
    **dict.fromkeys(["Resize", "Upsample"], _resize),
    **dict.fromkeys(["Reshape", "Flatten"], _reshape),
    "Mul": _product,
    "ConvTranspose": _transposed_convolution,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
    "Pad": _pad,
    "Slice": _slice,
    "Split": _split,
    "Concat": _concat,
    "Gather": _gather,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Tile": _tile,
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "Gemm": _gemm,
}
