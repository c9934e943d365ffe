"""Hostile model files: each is refused by reading, its code never runs, and no loader is reached."""

import json
import pickle
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from convfe_core.model_files.safety import MOST_LAYERS, check_config
from tests.model_files.described_models import MARK, hdf5_model, keras_file, layer, refuse, sequential

HOSTILE_LAYERS = {
    "lambda": (layer("Lambda", function=["4wEAAAA", None, None]), "Lambda"),
    "lambda in an activation": (layer("Conv2D", activation={"class_name": "__lambda__", "config": {}}), "Lambda"),
    "old lambda in an activation": (layer("Activation", activation={"value": ["4wEAAAA", None, None]}), "code"),
    "os.system": (layer("system", module="os", command="touch ran.txt"), "'system' from 'os'"),
    "a function that loads": (
        layer("function", module="keras.config", registered="enable_unsafe_deserialization"),
        "function",
    ),
    "a custom layer": (layer("Mine", module="mine.layers", registered="mine>Mine"), "Mine"),
    "a registered layer of the old format": (layer("Custom>Mine", module=None), "Custom>Mine"),
    "a saved model": (layer("TFSMLayer", filepath="/tmp/other"), "TFSMLayer"),
    "a pickled module": (layer("TorchModuleWrapper"), "TorchModuleWrapper"),
    "a vocabulary in a file": (layer("StringLookup", vocabulary="/etc/passwd"), "StringLookup"),
    "a file operation": (layer("TFOpLambda", module=None, function="io.write_file"), "io.write_file"),
    "a function of the user's": (layer("Dense", units=1, activation="my_activation"), "my_activation"),
    "a class of keras in another role": (layer("get_file", module="keras.utils"), "get_file"),
    "an initializer of the user's": (
        layer("Conv2D", kernel_initializer={"class_name": "Mine", "module": "mine", "config": {}}),
        "Mine",
    ),
    "a function of another module": (
        layer("Conv2D", activation={"class_name": "function", "module": "mine", "config": "relu"}),
        "'function' from 'mine'",
    ),
    "parts without number": (layer("Split", module="keras.src.ops.numpy", indices_or_sections=10**9), "1,000,000,000"),
    "a function in a recurrent cell": (
        layer("RNN", cell=layer("LSTMCell", name="evil", units=4, recurrent_activation="mine")),
        "mine",
    ),
    "a Lambda spread over time": (
        layer("TimeDistributed", layer=layer("Lambda", function=["4wE", None, None])),
        "Lambda",
    ),
}


@pytest.mark.parametrize("name", HOSTILE_LAYERS)
def test_a_hostile_layer_is_refused_by_name_in_every_format(tmp_path: Path, name: str) -> None:
    hostile, word = HOSTILE_LAYERS[name]
    nested = sequential(sequential(hostile))
    refuse(keras_file(tmp_path / "m.keras", nested), "'evil'", word)
    refuse(hdf5_model(tmp_path / "m.h5", nested), "'evil'", word)


def test_a_real_lambda_layer_does_not_run(tmp_path: Path) -> None:
    import keras

    mark = tmp_path / MARK
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Lambda(lambda x: x, name="evil")])
    for suffix in ("keras", "h5"):
        model.save(tmp_path / f"m.{suffix}")
        refuse(tmp_path / f"m.{suffix}", "'evil'", "Lambda")
    assert not mark.exists()


def test_the_configuration_of_a_saved_model_is_judged_before_anything_is_built(tmp_path: Path) -> None:
    from tf_keras.protobuf import saved_metadata_pb2

    metadata = saved_metadata_pb2.SavedMetadata()
    node = metadata.nodes.add()
    node.node_id, node.identifier = 0, "_tf_keras_sequential"
    node.metadata = json.dumps(sequential(HOSTILE_LAYERS["lambda"][0]))
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"")
    (folder / "keras_metadata.pb").write_bytes(metadata.SerializeToString())
    refuse(folder, "'evil'")
    with zipfile.ZipFile(tmp_path / "saved.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, f"saved/{path.name}")
    refuse(tmp_path / "saved.zip", "'evil'")
    (folder / "keras_metadata.pb").unlink()
    refuse(folder, "keras_metadata.pb")


class _Evil:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (Path.write_text, (self.mark, "ran"))


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    data = pickle.dumps(_Evil(tmp_path / MARK))
    (tmp_path / "m.h5").write_bytes(data)
    refuse(tmp_path / "m.h5", "pickle")
    for entry in ("archive/data.pkl", "model.pickle"):
        with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
            archive.writestr(entry, data)
        refuse(tmp_path / "m.zip", Path(entry).name)


def test_more_layers_than_any_network_has_are_refused_before_keras_builds_them(tmp_path: Path) -> None:
    many = [layer("Activation", f"a{number}", activation="relu") for number in range(MOST_LAYERS)]
    check_config(sequential(*many[:-1]), "m.keras")  # with the input just as many as may be
    refuse(keras_file(tmp_path / "m.keras", sequential(*many)), f"more than {MOST_LAYERS:,} layers")


BIG_TILE = {
    "class_name": "Tile",
    "module": "keras.src.ops.numpy",
    "registered_name": "Tile",
    "name": "evil",
    "config": {"name": "evil", "repeats": [10**6, 10**6]},
}
NUMBERS_ALONE = {
    "of Keras 3": BIG_TILE | {"inbound_nodes": [{"args": [[1.0]], "kwargs": {}}]},
    "among others": BIG_TILE
    | {
        "inbound_nodes": [
            {"args": [{"class_name": "__keras_tensor__", "config": {"keras_history": ["in", 0, 0]}}], "kwargs": {}},
            {"args": [{"class_name": "__numpy__", "config": {"value": [1.0], "dtype": "float32"}}], "kwargs": {}},
        ]
    },
    "of Keras 2": {
        "class_name": "TFOpLambda",
        "name": "evil",
        "config": {"name": "evil", "function": "tile"},
        "inbound_nodes": [["_CONSTANT_VALUE", -1, [1.0], {"multiples": [10**12]}]],
    },
}


@pytest.mark.parametrize("name", NUMBERS_ALONE)
def test_a_layer_that_is_called_with_numbers_alone_would_run_while_a_file_opens_and_is_refused(
    tmp_path: Path, name: str
) -> None:
    described = sequential(NUMBERS_ALONE[name])
    for path in (keras_file(tmp_path / "m.keras", described), hdf5_model(tmp_path / "m.h5", described)):
        refuse(path, "'evil'", "called with numbers alone")


@pytest.mark.parametrize("operation", ["WriteFile", "ReadFile", "PyFunc", "Fill", None])
def test_a_node_of_tensorflows_graph_that_does_more_than_compute_is_refused(
    tmp_path: Path, operation: str | None
) -> None:
    node = layer("TensorFlowOpLayer", module=None, node_def={"op": operation}, constants={})
    refuse(hdf5_model(tmp_path / "m.h5", sequential(node)), "'evil'", f"calls TensorFlow's '{operation}'")


@pytest.mark.parametrize("attribute", [5, h5py.Empty("f"), np.arange(3)], ids=["number", "nothing", "array"])
def test_a_description_that_is_no_text_is_one_sentence(tmp_path: Path, attribute: object) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.attrs["model_config"] = attribute
    refuse(tmp_path / "m.h5", "expected text")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (b"PK\x03\x04 and no more", "damaged"),
        (b"\x89HDF\r\n\x1a\n", "damaged"),
        (b"\x1c\0\0\0TFL3", "TensorFlow Lite"),
        (b"hello", "another kind"),
    ],
)
def test_what_is_no_model_is_named(tmp_path: Path, content: bytes, word: str) -> None:
    (tmp_path / "m.keras").write_bytes(content)
    refuse(tmp_path / "m.keras", word)


def test_a_file_that_is_not_there_and_a_folder_without_a_model_are_named(tmp_path: Path) -> None:
    refuse(tmp_path / "nowhere.keras", "no such file")
    refuse(tmp_path, "saved_model.pb")


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000, "null"])
def test_a_damaged_description_is_one_sentence(tmp_path: Path, text: str) -> None:
    refuse(keras_file(tmp_path / "m.keras", text), "description")


def test_weights_alone_are_told_how_to_be_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["kernel"] = np.zeros(3)
    refuse(tmp_path / "w.h5", "MobileNetV2-0.35:w.h5")
