"""A model of the user's own, opened: its backbone up to the last feature map, ready to be looked at like any other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from convfe_core.base.errors import ConvfeError, ModelFileError, SpecError
from convfe_core.catalog.architectures import Architecture
from convfe_core.graph.taps import last_map, operation_of, trace_path
from convfe_core.user_models.allocation_limits import check_enlargement, shapes_in_a_pass
from convfe_core.user_models.flatten import flatten_model
from convfe_core.user_models.input_scaling import ScalingGuess, guess_scaling
from convfe_core.user_models.read_model_file import load_model_file
from convfe_core.user_models.recognition import recognise_backbone

USUAL_SIZE = 320
"""Longest side, in pixels, for a model that takes any size and was not recognised."""

_POOLING = ("AveragePooling2D", "AdaptiveAveragePooling2D")


@dataclass(frozen=True, eq=False)
class OpenedModel:
    """A model file's backbone.

    Attributes
    ----------
    model : keras.Model, flat, from the picture to the last feature map
    fixed : (height, width) of its input where it takes no other
    native : (height, width) that the file was saved with, None where any
    head : layers after the last feature map, which are left out
    opened_with : ``Keras 3.15.1`` or ``tf-keras 2.21.0``
    """

    model: Any
    fixed: tuple[int, int] | None
    native: tuple[int, int] | None
    head: tuple[str, ...]
    opened_with: str
    _as_saved: Any

    @cached_property
    def architecture(self) -> Architecture | None:
        """What its layers are in the catalog."""
        return recognise_backbone(self._as_saved)

    @cached_property
    def scaling(self) -> ScalingGuess:
        """How its pixels seem to be scaled."""
        return guess_scaling(self._as_saved, self.architecture)

    @property
    def working_size(self) -> int:
        """Longest side that photographs get: the one it was made for, where it says one."""
        if self.native is not None:
            return max(self.native)
        return self.architecture.working_size if self.architecture else USUAL_SIZE


def open_model(path: Path, *, trained: bool = True) -> OpenedModel:
    """Open a model file and cut it after its last feature map.

    That is the last map before global pooling or flattening, nested models entered. The input takes any size where
    the layers up to there allow it.

    Parameters
    ----------
    path : ``.keras``, ``.h5``, ``.hdf5``, a SavedModel folder or a zip of one
    trained : with its weights; else with fresh ones from Keras' global seed, as a control

    Raises
    ------
    ModelFileError : one sentence that says what was expected and what came
    """
    loaded, opened_with = load_model_file(path)
    try:
        whole = flatten_model(loaded)
        asked = _resizing(loaded)
        del loaded
        backbone, head = _without_head(whole)
        native = asked or _size(whole)
        check_enlargement(backbone, *(native or (USUAL_SIZE, USUAL_SIZE)))
        model = _open_input(backbone, trained=trained)
        return OpenedModel(
            model=model,
            fixed=_size(model),
            native=native,
            head=head,
            opened_with=opened_with,
            _as_saved=backbone,
        )
    except ModelFileError as error:
        raise ModelFileError(f"{path.name}: {error}") from error
    except ConvfeError as error:
        raise ModelFileError(f"{path.name}: expected a network with feature maps. {error}") from error
    except Exception as error:  # Keras raises many kinds for layers that do not fit together
        reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise ModelFileError(f"{path.name}: its layers could not be put together ({reason}).") from error


def _without_head(whole: Any) -> tuple[Any, tuple[str, ...]]:
    """Cut a model after its last map; a pooling that leaves one cell, or averages at the end, belongs to the head."""
    import keras

    tensor = last_map(whole)
    while type(operation_of(tensor)).__name__ in _POOLING or _one_cell(tensor):
        operation = operation_of(tensor)
        if not hasattr(operation, "pool_size") and type(operation).__name__ not in _POOLING:
            break
        tensor = operation.input
    backbone = keras.Model(whole.inputs, tensor, name=whole.name)
    kept = {layer.name for layer in backbone.layers}
    return backbone, tuple(layer.name for layer in whole.layers if layer.name not in kept)


def _one_cell(tensor: Any) -> bool:
    return tuple(tensor.shape[1:3]) == (1, 1)


def _open_input(backbone: Any, *, trained: bool) -> Any:
    """Let a model take any size; as it was where its layers or its geometry do not allow that."""
    try:
        opened = flatten_model(backbone, (None, None), trained=trained)
        if _size(backbone) is not None and any(opened.outputs[0].shape[1:3]):
            raise SpecError("Expected layers that take any size. Received: one that makes its own.")
        _check_geometry(opened, backbone)
    except Exception:  # a layer that needs to know its size raises nearly anything
        opened = flatten_model(backbone, trained=trained)
        _check_geometry(opened, backbone)
    return opened


def _check_geometry(model: Any, original: Any) -> None:
    """Make sure that there are as many cells as the path says, at the size the model was made for or the usual one."""
    size = _size(original) or (USUAL_SIZE, USUAL_SIZE)
    shape = shapes_in_a_pass(original, *size).get(id(original.outputs[0]))
    if shape is None:  # it does not take the usual size
        return
    grid, real = trace_path(model, model.outputs[0]).grid(*size), shape[1:3]
    if (grid.rows, grid.columns) != real:
        raise SpecError(
            f"Expected {grid.rows} x {grid.columns} cells from its strides. Received: {real[0]} x {real[1]}; "
            "one of its layers moves cells in a way that is not known here."
        )


def _size(model: Any) -> tuple[int, int] | None:
    height, width = model.inputs[0].shape[1:3]
    return None if height is None or width is None else (int(height), int(width))


def _resizing(loaded: Any) -> tuple[int, int] | None:
    """The size that a Resizing layer in front asks for."""
    for layer in getattr(loaded, "layers", []):
        if type(layer).__name__ == "Resizing":
            return int(layer.height), int(layer.width)
    return None
