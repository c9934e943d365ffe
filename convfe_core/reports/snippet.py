"""A backbone as Python text that runs on its own: the model, its layers, its pixels, and the call for its maps."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from convfe_core.backbones.network import UNTRAINED_SEED, Network
from convfe_core.backbones.onnx_network import OnnxNetwork
from convfe_core.base.errors import SpecError
from convfe_core.catalog.architectures import Architecture
from convfe_core.catalog.specs import Spec
from convfe_core.photos.letterbox import OWN_SIZE_CAP

_SCALINGS = {
    "raw": "pixels  # the network scales them itself",
    "unit": "pixels / 255",
    "tf": "pixels / 127.5 - 1",
    "torch": "(pixels / 255 - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])",
    "caffe": "pixels[..., ::-1] - np.float32([103.939, 116.779, 123.68])",
}

_KERAS = '''import keras
import numpy as np
from PIL import Image, ImageOps

{build}
LAYERS = {{  # name: the layer, pixels from cell to cell, and whether the cap of its ReLU is taken off
{layers}
}}


def tensor_of(layer, uncapped):
    """What a layer gives; of one that is capped, what enters it through a plain ReLU."""
    found = next(one for one in model.operations if one.name == layer)
    return keras.layers.ReLU()(found.input) if uncapped else found.output


extractor = keras.Model(
    model.inputs, {{name: tensor_of(layer, uncapped) for name, (layer, _, uncapped) in LAYERS.items()}}
)
'''

_CORE = """import keras
import numpy as np
from convfe_core import parse_spec
from convfe_core.backbones.network import open_network
from PIL import Image, ImageOps

# {why}
network = open_network(parse_spec({text!r}), {tap!r})
LAYERS = {{  # name: the layer, pixels from cell to cell, and whether the cap of its ReLU is taken off
{layers}
}}
extractor = keras.Model(
    network.model.inputs, {{name: (network if name == "map" else network.at(name)).tensor for name in LAYERS}}
)
"""

_ONNX = '''import numpy as np
import onnx
import onnxruntime
from PIL import Image, ImageOps

LAYERS = {{  # name: the layer, pixels from cell to cell, and whether the cap of its ReLU is taken off
{layers}
}}
# Name: the tensor; its rows, columns and channels, or how many tokens come before those of (h, w) cells; and whether it
# goes through a plain ReLU.
TENSORS = {{
{tensors}
}}
model = onnx.load({path!r})
model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in dict.fromkeys(t[0] for t in TENSORS.values()))
session = onnxruntime.InferenceSession(model.SerializeToString())


def extractor(pictures, training):
    """(1, H, W, C) pictures -> (1, h, w, channels) by name."""
    fed = {{{picture!r}: {fed}}}
    found = {{}}
    for name, (tensor, axes, before, cells, rectified) in TENSORS.items():
        (value,) = session.run([tensor], fed)
        value = value[:, before:].reshape(1, *cells, -1) if cells else value.transpose(0, *axes)
        found[name] = np.maximum(value, 0) if rectified else value
    return found
'''

_REST = '''

def read(path):
    """(1, H, W, {colours}) float32: a photograph as the network takes it, padding repeats its last pixels."""
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
{frame}
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.pad(
        np.asarray(image, np.float32), ((0, input_height - height), (0, input_width - width), (0, 0)), mode="edge"
    )
    pixels = {scaling}
    return pixels[None]{grey}


if __name__ == "__main__":  # python THIS_FILE photo.jpg ...
    import sys

    for path in sys.argv[1:]:
        for name, features in extractor(read(path), training=False).items():
            maximum, mean = np.max(features, -1)[0], np.mean(features, -1)[0]
            print(path, name, f"stride {{LAYERS[name][1]}}", features.shape, f"max {{maximum.max():.4g}}, mean {{mean.mean():.4g}}")
'''  # noqa: E501

_ANY_SIZE = """    scale = {side} / max(image.size)
    width, height = (max(1, int(side * scale + 0.5)) for side in image.size)
    input_width, input_height = (-(-max(side, {smallest}) // {multiple}) * {multiple} for side in (width, height))"""

_FIXED_SIZE = """    input_height, input_width = {fixed}
    scale = min(input_width / image.width, input_height / image.height)
    width, height = (max(1, int(side * scale + 0.5)) for side in image.size)"""


def write_snippet(network: Network, spec: Spec, side: int | None, call: str) -> str:
    """Write the program that makes a network's features.

    With Keras alone where an architecture of Keras Applications has its own weights, weights drawn by its seed or those
    of an HDF5 file; else the model is opened as it is here.

    Parameters
    ----------
    network : looked at in the layer in question
    spec : what it was opened by
    side : longest side of a photograph there, in pixels; None for its own
    call : the command that makes the maps, from `maps_call`

    Returns
    -------
    Python text; ``extractor`` there is a keras.Model that gives (N, h, w, C) by name, ``map`` for the layer in question
    and ``C2`` to ``C5`` for the stages, and ``read`` takes a path to what it takes
    """
    tap = network.tap
    taps = {"map": tap, **network.stages()}
    layers = "\n".join(f"    {name!r}: {(one.layer, one.stride, one.uncapped)!r}," for name, one in taps.items())
    head = (
        f'"""{spec.label} as CONV-FE looks at it: layer {tap.layer}, stride {tap.stride}, {tap.channels} channels.\n\n'
        f'Its maps: {call}\n"""\n\n'
    ).replace("\\", "\\\\")
    architecture = spec.architecture
    if isinstance(network, OnnxNetwork):
        body = _ONNX.format(**_onnx_part(network, list(taps)), path=str(spec.path), layers=layers)
    elif architecture is not None and _with_keras_alone(spec, architecture):
        body = _KERAS.format(build=_build(spec, architecture), layers=layers)
    else:
        why = "CONV-FE has its weights." if spec.path is None else "CONV-FE reads the file, and runs no code from it."
        body = _CORE.format(why=why, text=spec.text, tap=tap.layer if tap.name == "auto" else tap.name, layers=layers)
    if network.fixed:
        frame = _FIXED_SIZE.format(fixed=network.fixed)
    else:
        longest = f"min(max(image.size), {OWN_SIZE_CAP})" if side is None else side
        frame = _ANY_SIZE.format(side=longest, smallest=network.minimum_size, multiple=max(32, tap.stride))
    colours = network.colours
    grey = " @ np.float32([[0.299], [0.587], [0.114]])" if colours == 1 else ""
    return head + body + _REST.format(colours=colours, frame=frame, scaling=_SCALINGS[network.preprocessing], grey=grey)


def _onnx_part(network: OnnxNetwork, names: Sequence[str]) -> dict[str, str]:
    """How the maps of an ONNX graph lie in its tensors, and how pictures enter it.

    Raises
    ------
    SpecError : tokens of a network that takes any size, which the program does not lay out as maps
    """
    rows = []
    for name in names:
        one = network.tensor if name == "map" else network.maps.find(name)[0]
        placed, tokens = one.placed, one.placed.rows == one.placed.columns
        if tokens and network.fixed is None:
            raise SpecError(
                f"Expected maps, or a network of one size, for a program of its own. Received: {network.label}."
            )
        axes = placed.rows, placed.columns, placed.channels
        lies = (None, placed.before, placed.cells) if tokens else (axes, 0, None)
        rows.append(f"    {name!r}: {(one.name, *lies, one.capped_by is not None)!r},")
    fed = "pictures.transpose(0, 3, 1, 2)" if network.model.picture.channels_first else "pictures"
    dtype = network.model.picture.dtype.name
    return {
        "tensors": "\n".join(rows),
        "picture": network.model.picture.name,
        "fed": f"{fed}.astype(np.{dtype})",
    }


def maps_call(spec: Spec, size: str, tap: str, precision: str, pictures: Sequence[str]) -> str:
    """The command that makes the maps that a page shows; what is usual is left out."""
    words = ["convfe", "maps", "PHOTOS", "--backbone", spec.text, "--size", size, "--tap", tap]
    words += ["--precision", precision] if precision != "float32" else []
    words += ["--preprocess", f"{spec.label}={spec.preprocessing}"] if spec.preprocessing else []
    words += ["--reductions", ",".join(pictures), "--out", "maps"]
    return shlex.join(words)


def _with_keras_alone(spec: Spec, architecture: Architecture) -> bool:
    if architecture.weight_file is None or (architecture.family == "NASNet" and spec.weights == "untrained"):
        return False  # weights that come with the package, or that are drawn for another build than Keras' own
    return spec.weights in ("imagenet", "untrained") or (spec.path is not None and spec.path.suffix == ".h5")


def _build(spec: Spec, architecture: Architecture) -> str:
    weights = "imagenet" if spec.weights == "imagenet" else None
    options = "".join(f", {name}={value!r}" for name, value in architecture.keras_arguments.items())
    lines = ["keras.utils.clear_session()  # layers are numbered from one, as below"]
    if spec.weights == "untrained":
        lines.append(f"keras.utils.set_random_seed({UNTRAINED_SEED})")
    side = 224 if architecture.family == "NASNet" else None
    lines.append(
        f"model = keras.applications.{architecture.keras_name}(\n"
        f"    include_top=False, weights={weights!r}, input_shape={(side, side, 3)}{options}\n)"
    )
    if side is not None:
        lines += [
            "# It is built for one size and opened for any that is a multiple of 32.",
            "config, values = model.get_config(), model.get_weights()",
            'config["layers"][0]["config"]["batch_shape"] = (None, None, None, 3)',
            "model = keras.Model.from_config(config)",
            "model.set_weights(values)",
        ]
    if spec.path is not None:
        lines.append(f"model.load_weights({str(spec.path)!r})")
    return "\n".join(lines) + "\n"
