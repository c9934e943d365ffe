"""Models of KerasHub and its forerunners: how one is told, and the three lines that save it as plain Keras.

Their files hold the class and its settings (``ResNetBackbone``, 64 filters, ...) and no layers, so that only the
library itself can make the network again.
"""

from __future__ import annotations

from typing import Any

LIBRARIES = {"keras_cv": "KerasCV", "keras_hub": "KerasHub", "keras_nlp": "KerasNLP"}
"""By the package that their classes come from."""

PLAIN_KERAS = (
    "import keras, {package}",
    'b = keras.saving.load_model("{file}"){part}',
    'keras.Model(b.inputs, b.outputs).save("x.keras")',
)
"""Saves a network of such a library as the Keras layers that it is made of, where the library is installed."""


def refusal_of_library(node: dict[str, Any], layer: str, file_name: str, *, outermost: bool) -> str | None:
    """Say why a class of another library is not opened and what to do; None for a class that is of none.

    Parameters
    ----------
    node : what a model's description says of the class
    layer : its name
    outermost : it is the whole model
    """
    homes = str(node.get("module")).partition(".")[0], str(node.get("registered_name")).partition(">")[0]
    package = next((home for home in homes if home in LIBRARIES), None)
    if package is None:
        return None
    kind, library = str(node.get("class_name"))[:60], LIBRARIES[package]
    if not (outermost or kind.endswith("Backbone")):
        return (
            f"{file_name}: layer {layer!r} is {library}'s own {kind!r}, whose program code is not run here. Networks "
            f"of {library} whose layers are all Keras' own are opened, such as ResNet, CSPNet, DenseNet, VGG and the "
            "first EfficientNet."
        )
    part = f".get_layer({layer!r})" if not outermost else "" if kind.endswith("Backbone") else ".backbone"
    lines = "; ".join(line.format(package=package, file=file_name, part=part) for line in PLAIN_KERAS)
    return (
        f"{file_name}: was saved with {library}, and holds the settings of its {kind!r} instead of layers. Where "
        f"{library} is installed, three lines save it as plain Keras: {lines}"
    )
