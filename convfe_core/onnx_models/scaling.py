"""How an ONNX network wants its pixels: what its file says, what its first layers tell, or what is usual."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from convfe_core.base.arrays import FloatArray, PixelArray
from convfe_core.catalog.architectures import Preprocessing
from convfe_core.catalog.pixel_scaling import SCALINGS, ScalingGuess, fitting_scaling, scale_pixels, to_grey
from convfe_core.graph.batch_norm_statistics import norm_divergence
from convfe_core.onnx_models.opening import OnnxGraph
from convfe_core.onnx_models.session import OnnxRun
from convfe_core.onnx_models.taps import OnnxMap, OnnxMaps
from convfe_core.photos.gallery import DEFAULT_SAMPLES, load_sample
from convfe_core.photos.letterbox import place_on_canvas, plan_frame

_SCALING = ("Add", "Sub", "Mul", "Div")
_WITH_WEIGHTS = ("Conv", "MatMul", "Gemm", "BatchNormalization")


@dataclass(frozen=True)
class Entry:
    """Where pixels enter the layers of a graph.

    Attributes
    ----------
    operation : name of the first tensor that is made with trained weights, empty where there is none
    entering : the map that enters it, None for the picture as it is
    scaled_by : names of what scales pixels before it
    """

    operation: str
    entering: OnnxMap | None
    scaled_by: tuple[str, ...]


def find_entry(graph: OnnxGraph, maps: OnnxMaps) -> Entry:
    """Find the first operation with trained weights, and what comes before it."""
    known = {one.name: one for one in maps.maps}
    scaled: list[str] = []
    for node in graph.nodes:
        if not maps.shapes.from_picture.intersection(node.output):
            continue
        if node.op_type in _WITH_WEIGHTS:
            return Entry(str(node.output[0]), known.get(node.input[0]), tuple(scaled))
        if node.op_type in _SCALING:
            scaled.append(str(node.output[0]))
    return Entry("", None, tuple(scaled))


def guess_onnx_scaling(graph: OnnxGraph, maps: OnnxMaps) -> ScalingGuess:
    """Guess how pixels enter a graph; what the file says comes first, then what photographs tell."""
    if graph.picture.dtype.kind in "iu":
        return ScalingGuess("raw", "it takes whole numbers")
    if graph.said.get("author") == "Ultralytics":
        return ScalingGuess("unit", "the file is Ultralytics', whose networks take them so")
    entry = find_entry(graph, maps)
    if entry.scaled_by and entry.entering is not None:
        mode = _mode_before(graph, maps, entry.entering)
        return ScalingGuess(mode, f"its operation {entry.scaled_by[-1]!r} scales them further itself")
    fits = fitting_scaling(onnx_norm_misfits(graph, maps, _samples(maps)))
    if fits is not None:
        return fits
    if graph.proto.producer_name == "pytorch":
        return ScalingGuess(
            "torch",
            "nothing in the file tells; nearly all models of timm and torchvision take ToTensor and then Normalize "
            "with ImageNet's mean and deviation",
        )
    return ScalingGuess("unit", "nothing in the file tells; this is the most common, check the picture in Inspect")


def onnx_norm_misfits(graph: OnnxGraph, maps: OnnxMaps, pictures: Iterable[PixelArray]) -> dict[Preprocessing, float]:
    """As `convfe_core.user_models.input_scaling.norm_misfits`; most exports have no BatchNormalization left."""
    node = next((one for one in graph.nodes if one.op_type == "BatchNormalization"), None)
    entering = None if node is None else next((one for one in maps.maps if one.name == node.input[0]), None)
    if node is None or entering is None or any(name not in graph.weights for name in node.input[1:5]):
        return {}
    gain, shift, mean, variance = graph.arrays(node.input[1:5])
    if not (mean.any() or shift.any()) and bool((variance == 1).all() and (gain == 1).all()):
        return {}
    stored = mean.astype(np.float64), variance.astype(np.float64)
    run, pictures = OnnxRun(graph, maps, [entering]), list(pictures)
    misfits: dict[Preprocessing, float] = {}
    for mode in SCALINGS if graph.picture.channels == 3 else SCALINGS[:3]:
        values = [run(scaled_pictures(graph, one[None], mode))[0].astype(np.float64) for one in pictures]
        mean_of = np.mean([one.mean((0, 1, 2)) for one in values], axis=0)
        square = np.mean([np.square(one).mean((0, 1, 2)) for one in values], axis=0)
        misfits[mode] = norm_divergence(mean_of, np.maximum(square - mean_of**2, 0), stored)[0]
    return misfits


def scaled_pictures(graph: OnnxGraph, pictures: PixelArray, mode: Preprocessing) -> FloatArray:
    """(N, H, W, 3) of 0..255 -> (N, H, W, C) as a graph takes them."""
    scaled = scale_pixels(pictures.astype(np.float32), mode)
    return np.asarray(scaled if graph.picture.channels == 3 else to_grey(scaled), np.float32)


def _mode_before(graph: OnnxGraph, maps: OnnxMaps, scaled: OnnxMap) -> Preprocessing:
    """0..255 or 0..1, whichever comes out of a graph's own scaling with a spread nearer to 1."""
    run, samples = OnnxRun(graph, maps, [scaled]), np.stack(_samples(maps))
    spreads = {mode: float(np.std(run(scaled_pictures(graph, samples, mode))[0])) for mode in SCALINGS[:2]}
    return min(spreads, key=lambda mode: abs(np.log(max(spreads[mode], 1e-9))))


def _samples(maps: OnnxMaps) -> list[PixelArray]:
    """(H, W, 3) sample photographs, on the input that a graph is looked at with."""
    canvases = []
    for name in DEFAULT_SAMPLES:
        photo = load_sample(name)
        frame = plan_frame(photo.height, photo.width, None, fixed=(maps.height, maps.width))
        canvases.append(place_on_canvas(photo, frame))
    return canvases
