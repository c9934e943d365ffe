"""What slides a window over maps, in ONNX: convolutions and pooling, their margins, and the ways to larger maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convfe_core.engine.onnx_writer import UntranslatableError, Value
from convfe_core.engine.operation_call import OperationCall


def translate_convolution(call: OperationCall) -> Value:
    """A convolution, whole, in groups or of each channel by itself."""
    rows, columns, taken, made = call.known(1).shape
    dilations = list(call.setting("dilations"))[1:3]
    if call.operation.type == "DepthwiseConv2dNative":
        groups = taken
        weights = call.writer.kernel(call.inputs[1], (2, 3, 0, 1), (taken * made, 1, rows, columns))
    else:
        channels = call.operation.inputs[0].shape[-1]
        if channels is None:
            raise UntranslatableError("a convolution of unknown channels")
        groups = channels // taken
        weights = call.writer.kernel(call.inputs[1], (3, 2, 0, 1))
    return Value(
        first=call.writer.add(
            "Conv",
            call.writer.first(call.inputs[0]),
            weights,
            group=groups,
            kernel_shape=[rows, columns],
            dilations=dilations,
            **_window(call, [rows, columns], dilations),
        )
    )


def translate_transposed_convolution(call: OperationCall) -> Value:
    """What the gradient of a convolution does: each cell is spread over a window, of a map whose size is given.

    Without margins that map has ``(cells - 1) * stride + window`` cells down or across. Where it should have fewer, a
    convolution of it would have margins: half of what is too much goes at the beginning, rounded down, and the rest at
    the end. Where it should have more, zeros follow.
    """
    call.require_channels_last()
    padding, writer = call.setting("padding"), call.writer
    if padding not in ("SAME", "VALID") or set(call.setting("dilations")) != {1}:
        raise UntranslatableError("a transposed convolution with margins of its own or gaps")
    if call.operation.inputs[0].shape.as_list() != [4]:
        raise UntranslatableError("a transposed convolution to a size that is not of four dimensions")
    kernel = call.known(1)
    whole = writer.add(
        "ConvTranspose",
        writer.first(call.inputs[2]),
        writer.kernel(call.inputs[1], (3, 2, 0, 1)),
        kernel_shape=list(kernel.shape[:2]),
        strides=list(call.setting("strides"))[1:3],
    )
    none = writer.numbers(0, 0)
    made = writer.add("Shape", whole, start=2)
    wanted = writer.add("Slice", writer.last(call.inputs[0]), writer.numbers(1), writer.numbers(3))
    missing = writer.add("Max", writer.add("Sub", wanted, made), none)
    padded = writer.add("Pad", whole, writer.add("Concat", none, none, none, missing, axis=0))
    start = none
    if padding == "SAME":
        start = writer.add("Div", writer.add("Max", writer.add("Sub", made, wanted), none), writer.numbers(2, 2))
    stop = writer.add("Add", start, wanted)
    return Value(first=writer.add("Slice", padded, start, stop, writer.numbers(2, 3)))


def translate_pooling(call: OperationCall) -> Value:
    """The maximum or the mean of a window; margins count in neither."""
    size = list(call.setting("ksize"))
    if size[0] != 1 or size[3] != 1:
        raise UntranslatableError("pooling over pictures or channels")
    kind = "MaxPool" if call.operation.type == "MaxPool" else "AveragePool"
    window = _window(call, size[1:3])
    return Value(first=call.writer.add(kind, call.writer.first(call.inputs[0]), kernel_shape=size[1:3], **window))


def translate_resizing(call: OperationCall) -> Value:
    """Maps of another size, from pixels whose centres lie half a pixel from their edges."""
    if not call.setting("half_pixel_centers") or call.setting("align_corners"):
        raise UntranslatableError(f"{call.operation.type} from the corners of pixels")
    if call.operation.inputs[0].dtype.name != "float32":
        raise UntranslatableError("resizing of other than float32")
    writer = call.writer
    maps = writer.first(call.inputs[0])
    size = writer.add("Concat", writer.add("Shape", maps, end=2), writer.last(call.inputs[1]), axis=0)
    settings = {"coordinate_transformation_mode": "half_pixel", "nearest_mode": "round_prefer_ceil"}
    mode = "linear" if call.operation.type == "ResizeBilinear" else "nearest"
    return Value(first=writer.add("Resize", maps, "", "", size, mode=mode, **settings))


def _window(call: OperationCall, sizes: Sequence[int], gaps: Sequence[int] = (1, 1)) -> dict[str, Any]:
    """Strides and margins of a window.

    Parameters
    ----------
    sizes, gaps : of the window, down and across
    """
    call.require_channels_last()
    padding, strides = call.setting("padding"), list(call.setting("strides"))[1:3]
    if padding not in ("SAME", "VALID"):
        raise UntranslatableError(f"padding {padding}")
    margins = [(size - 1) * gap for size, gap in zip(sizes, gaps, strict=True)]
    if padding == "VALID" or not any(margins):
        return {"strides": strides}
    if strides == [1, 1]:
        before = [margin // 2 for margin in margins]
        return {"strides": strides, "pads": [*before, *(margins[k] - before[k] for k in (0, 1))]}
    # onnxruntime finds other margins than TensorFlow for windows with gaps, and none for those below their stride.
    if set(gaps) != {1} or any(size < stride for size, stride in zip(sizes, strides, strict=True)):
        raise UntranslatableError(f"a window of {sizes} with strides {strides} and gaps {gaps}")
    return {"strides": strides, "auto_pad": "SAME_UPPER"}
