"""Which backbones exist, and how they are named: looking up architectures, reading specs."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast, get_args

from convfe_core.base.errors import SpecError
from convfe_core.base.onnx_files import is_onnx
from convfe_core.base.wording import file_stem
from convfe_core.catalog.architectures import ARCHITECTURES, Architecture, Preprocessing, WeightFile

__all__ = [
    "CATALOG",
    "Architecture",
    "Preprocessing",
    "Spec",
    "WeightFile",
    "choose_preprocessing",
    "control_of",
    "default_spec",
    "find_architecture",
    "from_anywhere",
    "parse_spec",
    "require_different_labels",
]

CATALOG: dict[str, Architecture] = {architecture.name: architecture for architecture in ARCHITECTURES}
"""Every architecture by name, the built-in ones first, then family by family."""

WEIGHT_SUFFIXES = (".h5", ".hdf5", ".keras", ".zip")

_NAME = re.compile(r"(?P<name>.+?)(?:-(?P<width>[0-9]*\.?[0-9]+))?(?P<minimalistic>-minimalistic)?", re.IGNORECASE)


def find_architecture(name: str) -> Architecture:
    """Look up an architecture by name, in any case; a width of 1 may be spelled ``1`` or left out.

    Raises
    ------
    SpecError : no such architecture; the message suggests near ones

    Examples
    --------
    >>> find_architecture("mobilenetv2-1").name
    'MobileNetV2-1.0'
    """
    match = _NAME.fullmatch(name.strip())
    if match is not None:
        keras_name, minimalistic = match["name"].casefold(), match["minimalistic"] is not None
        widths = (None, 1.0) if match["width"] is None else (float(match["width"]),)
        for architecture in ARCHITECTURES:
            same_class = architecture.keras_name.casefold() == keras_name
            if same_class and architecture.minimalistic == minimalistic and architecture.width in widths:
                return architecture
    raise SpecError(f"Expected the name of a backbone. Received: {name!r}.{_suggest(name)}")


def _suggest(name: str) -> str:
    names = {known.casefold(): known for known in CATALOG}
    near = difflib.get_close_matches(name.strip().casefold(), list(names), n=3, cutoff=0.6)
    if not near:
        return " `convfe list` shows every name."
    return f" Did you mean {', '.join(names[key] for key in near)}?"


@dataclass(frozen=True)
class Spec:
    """Which network with which weights.

    Attributes
    ----------
    name : canonical name of an architecture, or the user's label of a model of their own
    weights : ``imagenet``, ``builtin``, ``untrained``, ``file`` (a weight file for a known architecture),
        ``model`` (a model of the user's own) or ``control`` (the same with untrained weights)
    path : the user's file, None for weights that go by name
    preprocessing : how pixels are scaled, None for what the catalog says or the model file suggests
    layer : what ``auto`` stands for as the layer to look at, in a model of the user's own
    stamp : tells a file from an earlier one at the same path
    """

    name: str
    weights: str
    path: Path | None = None
    preprocessing: Preprocessing | None = None
    layer: str = "auto"
    stamp: str = ""

    @property
    def own(self) -> bool:
        """Whether it is a model file of the user's own, or its control."""
        return self.weights in ("model", "control")

    @property
    def in_onnx(self) -> bool:
        """Whether that file is a model in ONNX."""
        return self.own and self.path is not None and is_onnx(self.path)

    @property
    def trained(self) -> bool:
        """Whether its weights are the result of a training."""
        return self.weights not in ("untrained", "control")

    @property
    def weights_shown(self) -> str:
        """What its weights are called beside its maps."""
        if not self.trained:
            return "untrained"
        return self.path.name if self.path else self.weights

    @property
    def label(self) -> str:
        """How it is called in titles and files: the name alone for an architecture's default weights."""
        if self.own:
            return self.name if self.weights == "model" else f"{self.name}:untrained"
        if self.path is not None:
            return f"{self.name}:{self.path.name}"
        if self.weights == CATALOG[self.name].weights[0]:
            return self.name
        return f"{self.name}:{self.weights}"

    @property
    def text(self) -> str:
        """The spec as a user writes it; `parse_spec` reads it back."""
        if self.path is None:
            return self.label
        if self.own:
            return f"{self.label}={self.path}"
        path = str(self.path)
        return f"{self.name}:{path if _is_path(path) else f'./{path}'}"

    @property
    def architecture(self) -> Architecture | None:
        """The catalog's entry, None for a model of the user's own."""
        return None if self.own else CATALOG[self.name]


def default_spec(architecture: Architecture) -> Spec:
    """Name an architecture with the weights that it has when nothing else is said."""
    return Spec(architecture.name, architecture.weights[0])


def control_of(spec: Spec) -> Spec:
    """Name the same layers with untrained weights."""
    if spec.own:
        return replace(spec, weights="control")
    return Spec(spec.name, "untrained", preprocessing=spec.preprocessing)


def from_anywhere(spec: Spec) -> Spec:
    """The same spec with a path that does not depend on the working directory."""
    return spec if spec.path is None else replace(spec, path=spec.path.absolute())


def parse_spec(text: str) -> Spec:
    """Read a spec; files are not looked at here.

    ``NAME``, ``NAME:imagenet``, ``NAME:untrained``, ``NAME:builtin``, ``NAME:path/to/weights.h5``,
    ``NAME:path/to/exported``, ``LABEL=path/to/model.keras``, ``LABEL=path/to/model.onnx`` or, for its control,
    ``LABEL:untrained=path/to/model.keras``.

    Raises
    ------
    SpecError : an unknown name, weights that the architecture does not have, or an empty part

    Examples
    --------
    >>> parse_spec("vgg16:untrained").text
    'VGG16:untrained'
    """
    separator = re.search("[:=]", text)
    if separator is None:
        return default_spec(find_architecture(text))
    first, rest = text[: separator.start()].strip(), text[separator.end() :].strip()
    if not first or not rest:
        raise SpecError(
            f"Expected NAME, NAME:weights, LABEL=path/to/model.keras or LABEL=path/to/model.onnx. Received: {text!r}."
        )
    if separator.group() == "=":
        if first.casefold() in {name.casefold() for name in CATALOG}:
            raise SpecError(f"Expected a label of your own for {rest}. Received: {first!r}, a backbone's name.")
        return Spec(first, "model", Path(rest))
    if rest.casefold().startswith("untrained="):
        return replace(parse_spec(f"{first}={rest.partition('=')[2]}"), weights="control")
    architecture = find_architecture(first)
    if rest.casefold() in architecture.weights:
        return Spec(architecture.name, rest.casefold())
    if _is_path(rest):
        return Spec(architecture.name, "file", Path(rest))
    raise SpecError(
        f"Expected {architecture.name} with weights {', '.join(architecture.weights)} "
        f"or a file that ends in .h5, .keras or .zip, or a folder as in ./exported. Received: {text!r}."
    )


def _is_path(text: str) -> bool:
    """Whether a text names weights by where they lie: a file by its end, a folder by a slash."""
    return text.casefold().endswith(WEIGHT_SUFFIXES) or "/" in text or "\\" in text


def choose_preprocessing(specs: Sequence[Spec], choices: Sequence[str]) -> tuple[Spec, ...]:
    """Set how pixels are scaled for files of the user's own.

    Parameters
    ----------
    choices : ``LABEL=raw|unit|tf|torch|caffe``, one for each label at most

    Raises
    ------
    SpecError : a choice that is none, or whose label is no file's
    """
    modes = get_args(Preprocessing)
    chosen: dict[str, Preprocessing] = {}
    labels = {spec.label: spec for spec in specs if spec.path is not None}
    for choice in choices:
        label, _, mode = choice.rpartition("=")
        if label not in labels or mode not in modes:
            raise SpecError(
                f"Expected LABEL={'|'.join(modes)} with the label of a file of yours "
                f"({', '.join(labels) or 'there is none'}). Received: {choice!r}."
            )
        chosen[label] = cast(Preprocessing, mode)
    return tuple(
        replace(spec, preprocessing=chosen.get(spec.label, chosen.get(spec.name, spec.preprocessing))) for spec in specs
    )


def require_different_labels(specs: Sequence[Spec]) -> None:
    """Refuse backbones whose files and results would be taken for each other's; one that is named twice is fine.

    Raises
    ------
    SpecError : names the two
    """
    taken: dict[str, Spec] = {}
    for spec in specs:
        other = taken.setdefault(file_stem(spec.label).casefold(), spec)
        if other != spec:
            raise SpecError(
                f"Expected backbones that go by different names. Received: {other.text} and {spec.text}; "
                "give one of them another label, or its file another name."
            )
