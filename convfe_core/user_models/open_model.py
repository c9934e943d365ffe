"""A model of the user's own, opened: its backbone up to the last feature map, ready to be looked at like any other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from convfe_core.base.errors import ConvfeError, ModelFileError, SpecError
from convfe_core.catalog.architectures import Architecture
from convfe_core.catalog.pixel_scaling import ScalingGuess
from convfe_core.graph.heads import cut_heads, output_names
from convfe_core.graph.tracing import trace_path
from convfe_core.user_models.allocation_limits import check_enlargement
from convfe_core.user_models.flatten import flatten_model, picture_shape
from convfe_core.user_models.input_scaling import guess_scaling
from convfe_core.user_models.read_model_file import load_model_file
from convfe_core.user_models.recognition import recognise_backbone

USUAL_SIZE = 320
"""Longest side, in pixels, for a model that takes any size and was not recognised."""

_OTHER_SIZES = (224, 256, 299, 512)
"""Sides that such a model is tried with where its layers do not take the usual one."""


@dataclass(frozen=True, eq=False)
class OpenedModel:
    """A model file's backbone.

    Attributes
    ----------
    model : keras.Model, flat, from the picture to the last feature map
    fixed : (height, width) of its input where it takes no other
    native : (height, width) that the file was saved with, None where any
    head : layers after the last feature map, which are left out
    notes : one sentence for each thing that a reader of its maps should know
    opened_with : ``Keras 3.15.1`` or ``tf-keras 2.21.0``
    """

    model: Any
    fixed: tuple[int, int] | None
    native: tuple[int, int] | None
    head: tuple[str, ...]
    notes: tuple[str, ...]
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
        own, asked = picture_shape(loaded)[:2], _size_asked_for(loaded)
        names = output_names(loaded)
        whole, size = _at_one_size(loaded)
        del loaded
        cut = cut_heads(whole, names)
        check_enlargement(cut.backbone, *size)
        model = _open_input(cut.backbone, own, trained=trained)
        return OpenedModel(
            model=model,
            fixed=_size(model),
            native=asked if None in own else size,
            head=cut.head,
            notes=cut.notes,
            opened_with=opened_with,
            _as_saved=cut.way_to_map,
        )
    except ModelFileError as error:
        raise ModelFileError(f"{path.name}: {error}") from error
    except ConvfeError as error:
        raise ModelFileError(f"{path.name}: expected a network with feature maps. {error}") from error
    except Exception as error:  # Keras raises many kinds for layers that do not fit together
        reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise ModelFileError(f"{path.name}: its layers could not be put together ({reason}).") from error


def _at_one_size(loaded: Any) -> tuple[Any, tuple[int, int]]:
    """Rebuild a model flat for one size of picture, its own where it has one, so that all its maps have a size."""
    height, width, _ = picture_shape(loaded)
    asked = _size_asked_for(loaded)
    sizes = [asked] if asked else [(side, side) for side in (USUAL_SIZE, *_OTHER_SIZES)]
    for number, (down, across) in enumerate(sizes, start=1):
        size = height or down, width or across
        try:
            return flatten_model(loaded, size), size
        except ModelFileError:
            raise
        except Exception:  # a layer that does not take this size raises nearly anything
            if number == len(sizes) or None not in (height, width):
                raise
    raise AssertionError


def _open_input(cut: Any, loaded_size: tuple[int | None, int | None], *, trained: bool) -> Any:
    """Let a model take any size; one size alone where its layers or its geometry do not allow that."""
    try:
        opened = flatten_model(cut, (None, None), trained=trained)
        if any(len(output.shape) != 4 for output in opened.outputs):
            raise SpecError("Expected a map. Received: tokens, whose rows and columns only their number tells.")
        if None not in loaded_size and any(side for output in opened.outputs for side in output.shape[1:3]):
            raise SpecError("Expected layers that take any size. Received: one that makes its own.")
        _check_places(opened, cut)
    except Exception:  # a layer that needs to know its size raises nearly anything
        opened = flatten_model(cut, trained=trained)
    return opened


def _check_places(opened: Any, at_one_size: Any) -> None:
    """Make sure that a model of any size puts cells where it puts them at the size that its maps were judged at."""
    size = _size(at_one_size)
    assert size is not None
    for tensor, known in zip(opened.outputs, at_one_size.outputs, strict=True):
        if trace_path(opened, tensor).grid(*size) != trace_path(at_one_size, known).grid(*size):
            raise SpecError("Expected cells in the same places whatever the size. Received: others.")


def _size(model: Any) -> tuple[int, int] | None:
    height, width = model.inputs[0].shape[1:3]
    return None if height is None or width is None else (int(height), int(width))


def _size_asked_for(loaded: Any) -> tuple[int, int] | None:
    """What a picture of any size is resized to by the model itself, where that comes first."""
    layers = [layer for layer in getattr(loaded, "layers", []) if type(layer).__name__ != "InputLayer"]
    if layers and type(layers[0]).__name__ == "Resizing":
        return int(layers[0].height), int(layers[0].width)
    return None
