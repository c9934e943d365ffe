"""The numbers of a SavedModel that ``model.export()`` wrote: variables without layers, read from its checkpoint.

The checkpoint keeps the variables in the order of the model's layers, and of each the name that Keras gave it, such as
``Conv1/kernel``. That is enough to tell the backbone and to find its weights again; the graph is never opened.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from convfe_core.catalog.architectures import ARCHITECTURES, Architecture
from convfe_core.catalog.builders import build_layers
from convfe_core.model_files.saved_model_folder import VARIABLES

_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_LIST = "variables"
"""The list of a model's variables in an export of Keras 2 or 3."""
_SEED = "seed_generator_state"
"""What random layers keep, which is no weight."""
_NUMBERED = re.compile(r"(.+)_(\d+)")
_MOST_BUILT = 3
"""At most this many architectures are built and compared with a file; usually only one has as many numbers."""


@dataclass
class _Layer:
    """A layer that has weights.

    Attributes
    ----------
    name : the last part of its path
    variables : of each, by its own name, the shape and what stands for it
    """

    name: str
    variables: dict[str, tuple[tuple[int, ...], Any]] = field(default_factory=dict)

    @property
    def numbers(self) -> int:
        return sum(math.prod(shape) for shape, _ in self.variables.values())

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: shape for name, (shape, _) in self.variables.items()}


def identify_export(folder: Path) -> Architecture | None:
    """Find the largest architecture of the catalog whose weights an exported SavedModel holds, in one run of layers.

    Layers before and after it, such as a classifier's head, do no harm.

    Raises
    ------
    Exception : of many kinds, where the checkpoint is damaged
    """
    layers = _exported_layers(folder)
    possible = [architecture for architecture in ARCHITECTURES if _runs(layers, architecture.parameters)]
    for architecture in sorted(possible, key=lambda one: -one.parameters)[:_MOST_BUILT]:
        if _pairs(_layers_of(build_layers(architecture)), layers) is not None:
            return architecture
    return None


def count_exported(folder: Path) -> int:
    """How many numbers the layers of an exported SavedModel hold."""
    return sum(layer.numbers for layer in _exported_layers(folder))


def load_exported(model: Any, folder: Path) -> None:
    """Put the numbers of an exported SavedModel into a model that `build_model` made.

    Raises
    ------
    ValueError : the model's layers are not there, or are there twice
    Exception : of many kinds, where the checkpoint is damaged
    """
    pairs = _pairs(_layers_of(model), _exported_layers(folder))
    if pairs is None:
        raise ValueError("layers or shapes differ")
    reader = _reader(folder)
    for variable, key in pairs:
        variable.assign(reader.get_tensor(key))


def _reader(folder: Path) -> Any:
    import tensorflow as tf

    return tf.compat.v1.train.NewCheckpointReader(str(folder / VARIABLES / VARIABLES))


def _exported_layers(folder: Path) -> list[_Layer]:
    """The layers of the model that was exported, in its order; none where the checkpoint has no list of variables."""
    from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

    if not (folder / VARIABLES / f"{VARIABLES}.index").is_file():
        return []
    reader = _reader(folder)
    shapes, types = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    said = sum(math.prod(shape) * types[key].size for key, shape in shapes.items())
    if said > sum(file.stat().st_size for file in (folder / VARIABLES).iterdir()):
        raise ValueError("more numbers than bytes")
    if _GRAPH not in shapes:
        return []
    nodes = TrackableObjectGraph.FromString(reader.get_tensor(_GRAPH)).nodes
    found = next((nodes[child.node_id] for child in nodes[0].children if child.local_name == _LIST), None)
    if found is None:
        return []
    variables = []
    for child in sorted(found.children, key=lambda child: int(child.local_name)):
        for attribute in nodes[child.node_id].attributes:
            key = attribute.checkpoint_key
            variables.append((attribute.full_name, tuple(shapes[key]), key))
    return _by_layer(variables)


def _layers_of(model: Any) -> list[_Layer]:
    return _by_layer((variable.path, tuple(variable.shape), variable) for variable in model.weights)


def _by_layer(variables: Iterable[tuple[str, tuple[int, ...], Any]]) -> list[_Layer]:
    """Put variables together by layer, whether layer by layer or all that are trained first; a layer twice is two."""
    layers: dict[tuple[str, int], _Layer] = {}
    seen: Counter[str] = Counter()
    for path, shape, what in variables:
        place, _, own = path.partition(":")[0].rpartition("/")
        if own == _SEED:
            continue
        layer = layers.setdefault((place, seen[path]), _Layer(place.rpartition("/")[2]))
        layer.variables[own.removeprefix("depthwise_")] = shape, what  # which Keras 2 writes and Keras 3 does not
        seen[path] += 1
    return list(layers.values())


def _runs(layers: Sequence[_Layer], numbers: int) -> list[Sequence[_Layer]]:
    """Every stretch of layers that holds so many numbers."""
    ends = np.cumsum([0, *(layer.numbers for layer in layers)])
    last = np.searchsorted(ends, ends + numbers)
    return [
        layers[first:end] for first, end in enumerate(last) if end < len(ends) and ends[end] - ends[first] == numbers
    ]


def _pairs(wanted: Sequence[_Layer], held: Sequence[_Layer]) -> list[tuple[Any, Any]] | None:
    """Each wanted variable with its key in the checkpoint; None where they are not there, or there in two ways.

    They are looked for in runs of layers that hold as many numbers first, then among all.
    """
    runs = _runs(held, sum(layer.numbers for layer in wanted))
    found = [pairs for run in runs if (pairs := _by_name(wanted, run)) is not None]
    if len(found) > 1:
        return None
    return found[0] if found else _by_name(wanted, held)


def _by_name(wanted: Sequence[_Layer], held: Sequence[_Layer]) -> list[tuple[Any, Any]] | None:
    """Pair layers by name and shapes.

    Layers without a name of their own are numbered through by Keras, on from those that were made before in the same
    program: of each kind the numbers must differ by one and the same amount.
    """
    theirs, pairs = _by_number(held), []
    for kind, ours in _by_number(wanted).items():
        there = theirs.get(kind, {})
        first = min(ours)
        shifts = [
            number - first
            for number in there
            if all(_same(layers, there.get(own + number - first, [])) for own, layers in ours.items())
        ]
        if len(shifts) != 1:
            return None
        for number, (layer,) in ours.items():
            (other,) = there[number + shifts[0]]
            pairs += [(what, other.variables[own][1]) for own, (_, what) in layer.variables.items()]
    return pairs


def _same(ours: Sequence[_Layer], theirs: Sequence[_Layer]) -> bool:
    return len(ours) == len(theirs) == 1 and ours[0].shapes == theirs[0].shapes


def _by_number(layers: Iterable[_Layer]) -> dict[str, dict[int, list[_Layer]]]:
    """Layers by their name without its number, and by that; the first of a kind has none, which is 0."""
    found: dict[str, dict[int, list[_Layer]]] = {}
    for layer in layers:
        match = _NUMBERED.fullmatch(layer.name)
        kind, number = (match[1], int(match[2])) if match else (layer.name, 0)
        found.setdefault(kind, {}).setdefault(number, []).append(layer)
    return found
