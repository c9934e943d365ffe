"""Files that make Keras loop over a long axis while it opens them: refused at once, or opened without the loop."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from convfe_core.base.errors import ModelFileError
from convfe_core.machine.memory import resident_mb
from convfe_core.model_files.safety import MOST_PARTS
from convfe_core.user_models.flatten import flatten_model
from convfe_core.user_models.read_model_file import load_model_file
from tests.model_files.described_models import hdf5_model, sequential
from tests.user_models.test_open_model import saved

MEMORY_MB = 300
GIANT = 10**7


def history(shape: list[Any], layer: str = "in", index: int = 0) -> dict[str, Any]:
    config = {"shape": shape, "dtype": "float32", "keras_history": [layer, 0, index]}
    return {"class_name": "__keras_tensor__", "config": config}


def functional(
    *layers: dict[str, Any], outermost: str = "evil", side: int = GIANT, old: bool = False
) -> dict[str, Any]:
    shape = {"name": "in", "batch_input_shape" if old else "batch_shape": [None, side, 4, 3], "dtype": "float32"}
    picture = {"class_name": "InputLayer", "name": "in", "config": shape, "inbound_nodes": []}
    if not old:
        picture |= {"module": "keras.layers", "registered_name": None}
    ends = {"input_layers": [["in", 0, 0]], "output_layers": [[outermost, 0, 0]]}
    config = {"name": "m", "trainable": True, "layers": [picture, *layers], **ends}
    named = {} if old else {"module": "keras.src.models.functional", "registered_name": "Functional"}
    return {"class_name": "Functional", "config": config, **named}


def unstack(name: str, shape: list[Any], num: int | None = None, registered: str | None = "Unstack") -> dict[str, Any]:
    home = {"module": "keras.src.ops.core", "registered_name": registered}
    config = {"name": name, "num": num, "axis": 1}
    return {"class_name": "Unstack", "name": name, "config": config, **home} | {
        "inbound_nodes": [{"args": [history(shape)], "kwargs": {}}]
    }


def call(function: str, **named: Any) -> dict[str, Any]:
    config = {"name": "evil", "trainable": True, "dtype": "float32", "function": function}
    return {"class_name": "TFOpLambda", "name": "evil", "config": config, "inbound_nodes": [["in", 0, 0, named]]}


def node(op: str, attributes: dict[str, Any], constants: dict[str, Any]) -> dict[str, Any]:
    described = {"name": op, "op": op, "input": ["in"], "attr": {"T": {"type": "DT_FLOAT"}, **attributes}}
    config = {"name": "evil", "trainable": True, "dtype": "float32", "node_def": described, "constants": constants}
    return {"class_name": "TensorFlowOpLayer", "name": "evil", "config": config, "inbound_nodes": [[["in", 0, 0, {}]]]}


SPLITTING: dict[str, Callable[[], dict[str, Any]]] = {
    "an axis": lambda: functional(unstack("evil", [None, GIANT, 4, 3])),
    "an axis by its number": lambda: functional(unstack("evil", [None, GIANT, 4, 3], GIANT)),
    "many axes": lambda: functional(*(unstack(f"evil{n}", [None, 4000, 4, 3]) for n in range(900)), outermost="evil0"),
    "a call of Keras 2": lambda: functional(call("unstack", axis=1), old=True),
    "a split of Keras 2": lambda: functional(call("split", num_or_size_splits=GIANT, axis=1), old=True),
    "sizes": lambda: functional(call("split", num_or_size_splits=[1] * 10**5, axis=1), side=10**5, old=True),
    "a node": lambda: functional(node("Unpack", {"num": {"i": str(GIANT)}, "axis": {"i": "1"}}, {}), old=True),
    "a split node": lambda: functional(node("Split", {"num_split": {"i": str(GIANT)}}, {"0": 1}), old=True),
}


@pytest.mark.parametrize("name", SPLITTING)
def test_what_splits_a_picture_into_millions_of_tensors_is_refused_before_it_does(tmp_path: Path, name: str) -> None:
    import keras  # noqa: F401
    import tf_keras  # noqa: F401

    path = hdf5_model(tmp_path / "m.h5", SPLITTING[name]())
    before = resident_mb()
    with pytest.raises(ModelFileError, match=rf"m\.h5: layer 'evil\d*' splits its input.*at most {MOST_PARTS:,}"):
        load_model_file(path)
    assert resident_mb() - before < MEMORY_MB


def test_an_axis_that_is_longer_than_the_file_says_makes_no_more_parts_than_it_says(tmp_path: Path) -> None:
    path = hdf5_model(tmp_path / "m.h5", functional(unstack("evil", [None, 4, 4, 3], registered=None)))
    before = resident_mb()
    loaded, _ = load_model_file(path)
    assert len(next(one for one in loaded.operations if one.name == "evil").output) == 4
    assert resident_mb() - before < MEMORY_MB


def test_an_axis_of_unknown_length_is_told(tmp_path: Path) -> None:
    path = hdf5_model(tmp_path / "m.h5", functional(unstack("evil", [None, None, 4, 3]), side=4))
    with pytest.raises(ModelFileError, match=r"m\.h5: splits an axis whose length it does not say"):
        load_model_file(path)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("file", ["m.keras", "m.h5"])
@pytest.mark.parametrize("version", ["keras", "tf_keras"])
def test_an_unrolled_layer_computes_what_it_did(tmp_path: Path, version: str, file: str) -> None:
    keras = pytest.importorskip(version)
    picture = keras.Input((4, 6, 3))
    x = keras.layers.Reshape((24, 3))(picture)
    x = keras.layers.Bidirectional(keras.layers.LSTM(2, unroll=True, return_sequences=True))(x)
    x = keras.layers.GRU(2, unroll=True, return_sequences=True)(x)
    x = keras.layers.Dense(3)(keras.layers.RNN(keras.layers.SimpleRNNCell(2), unroll=True)(x))
    model = keras.Model(picture, x)
    loaded, opened_with = load_model_file(saved(model, tmp_path / file))
    values = np.random.default_rng(0).random((1, 4, 6, 3), np.float32)
    np.testing.assert_allclose(np.asarray(flatten_model(loaded)(values)), np.asarray(model(values)), atol=1e-5)
    assert not any(getattr(layer, "unroll", False) for layer in loaded.layers), opened_with


def test_an_unrolled_layer_over_a_giant_axis_opens_without_its_steps(tmp_path: Path) -> None:
    steps = {"class_name": "Reshape", "config": {"name": "steps", "target_shape": [-1, 12]}}
    unrolled = {"class_name": "SimpleRNN", "config": {"name": "rnn", "units": 1, "unroll": True}}
    described = sequential()
    described["config"]["layers"] = [
        {"class_name": "InputLayer", "config": {"name": "in", "batch_input_shape": [None, GIANT, 4, 3]}},
        {"class_name": "DepthwiseConv2D", "config": {"name": "a", "kernel_size": [1, 1], "groups": 1}},
        steps,
        unrolled,
    ]
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": described["config"]})
        file.create_group("model_weights").attrs["layer_names"] = [b"in", b"a", b"steps", b"rnn"]
        for name in ("in", "a", "steps", "rnn"):
            file["model_weights"].create_group(name).attrs["weight_names"] = []
    before = resident_mb()
    with pytest.raises(ModelFileError, match="neither Keras 3 nor tf-keras could open it"):  # it holds no weights
        load_model_file(path)
    assert resident_mb() - before < MEMORY_MB
