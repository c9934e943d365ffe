"""The stages of a network are those of its encoder, whatever a decoder or attention makes of them."""

from pathlib import Path

import numpy as np
from onnx import helper

from convfe_core.onnx_models.opening import open_onnx
from convfe_core.onnx_models.taps import OnnxMaps
from tests.onnx_models.made_graphs import convolution, graph_of, numbers, written


def node(kind: str, *inputs: str, output: str, **settings):
    return helper.make_node(kind, list(inputs), [output], **settings)


def maps_of(tmp_path: Path, layers: list, others: list = ()) -> OnnxMaps:
    """The maps of a graph of layers that come with a kernel each, and of other operations between them."""
    made = {one[0].output[0]: one[0] for one in layers} | {one.output[0]: one for one in others}
    ordered, known = [], {"picture", ""}
    weights = [one[1] for one in layers] + [numbers("twice", [1, 1, 2, 2], np.float32)]
    known |= {weight.name for weight in weights}
    while made:
        name = next(name for name, one in made.items() if known.issuperset(one.input))
        ordered.append(made.pop(name))
        known.add(name)
    return OnnxMaps(open_onnx(written(graph_of(ordered, weights), tmp_path / "net.onnx")).without_weights())


def down(count: int) -> list:
    """Convolutions c1, c2 and so on, each of which halves the sides."""
    channels, names = (3, 4, 6, 8, 10, 12), ("picture", "c1", "c2", "c3", "c4", "c5")
    return [convolution(names[k + 1], names[k], channels[k : k + 2], 3, 2) for k in range(count)]


def test_what_joins_a_decoder_from_the_side_is_no_stage(tmp_path: Path) -> None:
    """As RT-DETR has it: finer maps wait until the coarsest one was enlarged."""
    layers = [*down(5), convolution("lateral4", "c4", (10, 12), 1, 1, [0] * 4)]
    layers += [convolution("lateral3", "c3", (8, 12), 1, 1, [0] * 4), convolution("head", "p3", (12, 5), 3, 1)]
    others = [
        node("Resize", "c5", "", "twice", output="up4", mode="nearest"),
        node("Add", "up4", "lateral4", output="p4"),
        node("Resize", "p4", "", "twice", output="up3", mode="nearest"),
        node("Add", "up3", "lateral3", output="p3"),
    ]
    maps = maps_of(tmp_path, layers, others)
    assert [(stage, tap.layer) for stage, tap in maps.stages().items()] == [(f"C{k}", f"c{k}") for k in range(2, 6)]
    assert maps.find("auto")[1].layer == "c5"


def test_attention_that_was_computed_coarsely_does_not_end_the_encoder(tmp_path: Path) -> None:
    """As GhostNetV2 has it: a map is weighed by one of half its sides."""
    layers = [*down(2), convolution("coarse", "c2", (6, 6), 3, 2), convolution("c3", "weighed", (6, 8), 3, 2)]
    others = [
        node("Sigmoid", "coarse", output="squashed"),
        node("Resize", "squashed", "", "twice", output="attention", mode="nearest"),
        node("Mul", "c2", "attention", output="weighed"),
    ]
    maps = maps_of(tmp_path, layers, others)
    last, tap = maps.find("auto")
    assert (tap.layer, tap.stride, last.known) == ("c3", 8, True)
    plain = maps_of(tmp_path, down(3))
    assert maps.path(last).grid(320, 320) == plain.path(plain.find("auto")[0]).grid(320, 320)


def test_an_activation_of_what_was_enlarged_is_no_attention(tmp_path: Path) -> None:
    others = [
        node("Resize", "c3", "", "twice", output="up", mode="nearest"),
        node("Sigmoid", "up", output="squashed"),
        node("Mul", "up", "squashed", output="activated"),
    ]
    maps = maps_of(tmp_path, [*down(3), convolution("head", "activated", (8, 5), 3, 1)], others)
    assert maps.find("auto")[1].layer == "c3"
