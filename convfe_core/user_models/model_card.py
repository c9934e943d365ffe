"""What there is to say about a model file before its maps are looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from convfe_core.base.errors import ModelFileError
from convfe_core.base.onnx_files import is_onnx
from convfe_core.catalog.memory_need import require_room
from convfe_core.catalog.pixel_scaling import ScalingGuess
from convfe_core.catalog.specs import Spec
from convfe_core.graph.taps import map_layers, resolve_tap, stage_taps
from convfe_core.machine.machine_queue import BUILDING
from convfe_core.machine.memory import give_back
from convfe_core.onnx_models.opening import open_onnx
from convfe_core.onnx_models.scaling import guess_onnx_scaling
from convfe_core.onnx_models.taps import OnnxMaps, size_said
from convfe_core.user_models.open_model import OpenedModel, open_model


@dataclass(frozen=True)
class ModelCard:
    """What there is to say about a model file; holds no weights.

    Attributes
    ----------
    layer : the last feature map, which is looked at unless another one is chosen
    channels, stride : of it
    stages : the stages that it has, each with its layer, the finest first
    layers : every layer that can be looked at instead, from the picture on
    others as in `OpenedModel`
    """

    opened_with: str
    native: tuple[int, int] | None
    fixed: bool
    recognised: str | None
    scaling: ScalingGuess
    layer: str
    channels: int
    stride: int
    stages: Mapping[str, str]
    layers: tuple[str, ...]
    head: tuple[str, ...]
    notes: tuple[str, ...]
    parameters: int


def card_of(spec: Spec) -> ModelCard:
    """Open a spec's model file, describe it and let it go.

    Raises
    ------
    ModelFileError : it cannot or must not be opened
    MemoryLimitError : it does not fit
    """
    if spec.path is None:
        raise ModelFileError(f"Expected a model file for {spec.label}. Received: none.")
    require_room(spec)
    if is_onnx(spec.path):
        card = describe_onnx(spec.path)
    else:
        with BUILDING:
            card = describe_model(open_model(spec.path))
    give_back()
    return card


def describe_onnx(path: Path) -> ModelCard:
    """Say what an ONNX file holds."""
    graph = open_onnx(path)
    maps = OnnxMaps(graph.without_weights())
    found, tap = maps.find("auto")
    way = maps.before([found.name])
    return ModelCard(
        opened_with=f"onnxruntime, written by {graph.made_by}",
        native=graph.picture.size or ((maps.working_size,) * 2 if size_said(graph) else None),
        fixed=graph.picture.size is not None,
        recognised=None,
        scaling=guess_onnx_scaling(graph, maps),
        layer=tap.layer,
        channels=tap.channels,
        stride=tap.stride,
        stages={name: one.layer for name, one in maps.stages().items()},
        layers=tuple(one.name for one in maps.maps),
        head=tuple(str(node.name or node.op_type) for node in graph.nodes if node not in way),
        notes=maps.notes(found),
        parameters=graph.count_numbers(),
    )


def describe_model(opened: OpenedModel) -> ModelCard:
    """Say what a model file holds."""
    _, tap = resolve_tap(opened.model, None, "auto")
    return ModelCard(
        opened_with=opened.opened_with,
        native=opened.native,
        fixed=opened.fixed is not None,
        recognised=opened.architecture.name if opened.architecture else None,
        scaling=opened.scaling,
        layer=tap.layer,
        channels=tap.channels,
        stride=tap.stride,
        stages={name: one.layer for name, one in stage_taps(opened.model).items()},
        layers=map_layers(opened.model),
        head=opened.head,
        notes=opened.notes,
        parameters=int(opened.model.count_params()),
    )
