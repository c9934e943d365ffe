"""What operations on arrays do to the places of cells: products, reductions, other orders and shapes, and parts."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from convfe_core.geometry.axis_changes import Change, Cut, Finer, Margin
from convfe_core.geometry.layouts import NOWHERE, Layout, UnknownPlaceError
from convfe_core.graph.layer_call import LayerCall, Rule
from convfe_core.graph.walk import arguments_of


def _counted(axes: Any, rank: int) -> list[int]:
    """Dimensions counted from the front, as settings of layers name them: one, several, or None for all."""
    if axes is None:
        return [*range(rank)]
    return [axis % rank for axis in ([axes] if isinstance(axes, int) else axes)]


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


ARRAY_OPERATIONS: dict[str, Rule] = {
    "All Amax Amin Any Logsumexp Max Mean Min Moments Prod Std Sum Var": _reduced,
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
    "Pad": _margined,
}
"""Names of layers and operations, and what they do."""
