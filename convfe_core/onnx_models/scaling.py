"""How an ONNX network wants its pixels: what its file says, what its first layers tell, or what is usual."""

from __future__ import annotations

from typing import Any

import numpy as np

from convfe_core.base.arrays import FloatArray
from convfe_core.catalog.architectures import Preprocessing
from convfe_core.catalog.pixel_scaling import SCALINGS, ScalingGuess, fitting_scaling, scale_pixels, to_grey
from convfe_core.graph.batch_norm_statistics import norm_divergence
from convfe_core.onnx_models.opening import OnnxGraph
from convfe_core.onnx_models.session import OnnxRun
from convfe_core.onnx_models.taps import OnnxMaps
from convfe_core.photos.gallery import DEFAULT_SAMPLES, load_sample
from convfe_core.photos.letterbox import place_on_canvas, plan_frame

_SCALING = ("Add", "Sub", "Mul", "Div")
_WITH_WEIGHTS = ("Conv", "MatMul", "Gemm", "BatchNormalization")


def guess_onnx_scaling(graph: OnnxGraph, maps: OnnxMaps) -> ScalingGuess:
    """Guess how pixels enter a graph; what the file says comes first, then what photographs tell."""
    if graph.picture.dtype.kind in "iu":
        return ScalingGuess("raw", "it takes whole numbers")
    if graph.said.get("author") == "Ultralytics":
        return ScalingGuess("unit", "the file is Ultralytics', whose networks take them so")
    inside = _scaling_operation(graph, maps)
    if inside is not None:
        return _before_its_own(graph, maps, inside)
    fits = fitting_scaling(_norm_misfits(graph, maps))
    if fits is not None:
        return fits
    if graph.proto.producer_name == "pytorch":
        return ScalingGuess(
            "torch",
            "nothing in the file tells; nearly all models of timm and torchvision take ToTensor and then Normalize "
            "with ImageNet's mean and deviation",
        )
    return ScalingGuess("unit", "nothing in the file tells; this is the most common, check the picture in Inspect")


def _scaling_operation(graph: OnnxGraph, maps: OnnxMaps) -> str | None:
    """The last tensor that pixels are scaled to before the first operation with weights."""
    found = None
    for node in graph.nodes:
        if not maps.shapes.from_picture.intersection(node.output):
            continue
        if node.op_type in _WITH_WEIGHTS:
            break
        if node.op_type in _SCALING:
            found = str(node.output[0])
    return found


def _before_its_own(graph: OnnxGraph, maps: OnnxMaps, scaled: str) -> ScalingGuess:
    """0..255 or 0..1, whichever comes out of a graph's own scaling with a spread nearer to 1."""
    one = maps.named(scaled)
    run = OnnxRun(graph, maps, [one])
    spreads = {mode: float(np.std(run(_samples(graph, maps, mode))[0])) for mode in SCALINGS[:2]}
    mode = min(spreads, key=lambda mode: abs(np.log(max(spreads[mode], 1e-9))))
    return ScalingGuess(mode, f"its operation {scaled!r} scales them further itself")


def _norm_misfits(graph: OnnxGraph, maps: OnnxMaps) -> dict[Preprocessing, float]:
    """As `convfe_core.user_models.input_scaling.norm_misfits`, of the first BatchNormalization that was not folded."""
    from onnx import numpy_helper

    node = next((one for one in graph.nodes if one.op_type == "BatchNormalization"), None)
    if node is None or any(name not in graph.weights for name in node.input[1:5]):
        return {}
    gain, shift, mean, variance = (numpy_helper.to_array(graph.weights[name]) for name in node.input[1:5])
    if not (mean.any() or shift.any()) and bool((variance == 1).all() and (gain == 1).all()):
        return {}
    stored = mean.astype(np.float64), variance.astype(np.float64)
    run = OnnxRun(graph, maps, [maps.named(node.input[0])])
    misfits: dict[Preprocessing, float] = {}
    for mode in SCALINGS if graph.picture.channels == 3 else SCALINGS[:3]:
        values = run(_samples(graph, maps, mode))[0].astype(np.float64)
        axes = 0, 1, 2
        misfits[mode] = norm_divergence(values.mean(axes), values.var(axes), stored)[0]
    return misfits


def _samples(graph: OnnxGraph, maps: OnnxMaps, mode: Preprocessing) -> FloatArray:
    """(N, H, W, C) sample photographs, scaled."""
    canvases = []
    for name in DEFAULT_SAMPLES:
        photo = load_sample(name)
        frame = plan_frame(photo.height, photo.width, None, fixed=(maps.height, maps.width))
        canvases.append(place_on_canvas(photo, frame))
    scaled: Any = scale_pixels(np.stack(canvases).astype(np.float32), mode)
    return scaled if graph.picture.channels == 3 else to_grey(scaled)
