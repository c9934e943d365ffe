"""Hostile model files: each is refused by reading, its code never runs, and no loader is reached."""

import inspect
import json
import pickle
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from convfe_core.base.errors import ModelFileError, WeightsError
from convfe_core.model_files.allowed_names import ONLY_IN_TRAINING
from convfe_core.model_files.safety import MOST_LAYERS, check_config
from convfe_core.user_models import read_model_file as model_formats
from convfe_core.user_models.read_model_file import load_model_file
from tests.support.networks import layers_of

MARK = "ran.txt"


@pytest.fixture(autouse=True)
def no_loader(monkeypatch: pytest.MonkeyPatch) -> None:
    def reached(name, loaders):
        pytest.fail("a loader was reached")

    monkeypatch.setattr(model_formats, "_first_that_opens", reached)


def refuse(path: Path, *words: str) -> None:
    with pytest.raises(ModelFileError) as caught:
        load_model_file(path)
    sentence = str(caught.value)
    assert "\n" not in sentence
    for word in (path.name, *words):
        assert word in sentence
    assert not (path.parent / MARK).exists()


def layer(kind: str, name: str = "evil", module: str | None = "keras.layers", registered: str | None = None, **config):
    return {"class_name": kind, "module": module, "registered_name": registered, "config": {"name": name, **config}}


def sequential(*layers) -> dict:
    return {
        "class_name": "Sequential",
        "module": "keras",
        "registered_name": None,
        "config": {"name": "m", "layers": [layer("InputLayer", "in", batch_shape=[None, 32, 32, 3]), *layers]},
    }


def keras_file(path: Path, config: object, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", config if isinstance(config, str) else json.dumps(config))
        archive.writestr("model.weights.h5", b"")
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def hdf5_model(path: Path, config: dict) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        file.create_group("model_weights")
    return path


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


def test_hdf5_that_reaches_into_other_files_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["numbers"] = np.arange(4.0)
    (tmp_path / "raw.bin").write_bytes(bytes(32))

    def link(file):
        file["model_weights/there"] = h5py.ExternalLink(str(secret), "/numbers")

    def external(file):
        file.create_dataset("model_weights/there", (4,), "f8", external=[(str(tmp_path / "raw.bin"), 0, 32)])

    def virtual(file):
        layout = h5py.VirtualLayout((4,), "f8")
        layout[:] = h5py.VirtualSource(str(secret), "numbers", (4,))
        file.create_virtual_dataset("model_weights/there", layout)

    def bomb(file):
        file.create_dataset("model_weights/there", (10**9,), "f8", chunks=(10**6,), compression="gzip")

    for plant, word in ((link, "secret.h5"), (external, "another file"), (virtual, "another file"), (bomb, "GB")):
        path = hdf5_model(tmp_path / "m.h5", sequential())
        with h5py.File(path, "a") as file:
            plant(file)
        refuse(path, word)
        packed = tmp_path / "m.keras"
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("config.json", json.dumps(sequential()))
            archive.write(path, "model.weights.h5")
        refuse(packed, word)


@pytest.mark.parametrize("entry", ["../../evil.h5", "/etc/evil", "a\\..\\..\\evil", "C:evil"])
def test_an_archive_that_writes_outside_is_refused(tmp_path: Path, entry: str) -> None:
    refuse(keras_file(tmp_path / "m.keras", sequential(), **{entry: b"x"}), "outside")


def test_an_archive_with_a_link_is_refused(tmp_path: Path) -> None:
    path = keras_file(tmp_path / "m.keras", sequential())
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("variables")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc")
    refuse(path, "outside")


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convfe_core.model_files.safety.MOST_BYTES", 1000)
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", " " * 10**6)
    refuse(path, "GB")


def test_what_unpacks_to_many_times_its_size_is_refused_before_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convfe_core.model_files.safety.HARMLESS_BYTES", 10**5)
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", json.dumps(sequential()))
        archive.writestr("model.weights.h5", bytes(10**6))
    refuse(path, "unpack to 1 MB")
    inner = hdf5_model(tmp_path / "m.h5", sequential())
    with h5py.File(inner, "a") as file:
        file.create_dataset("model_weights/there", data=np.zeros(10**6, np.float32), compression="gzip")
    refuse(inner, "unpack to 4 MB")


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


KERAS_HUB = {
    "module": "keras_hub.src.models.resnet.resnet_backbone",
    "class_name": "ResNetBackbone",
    "registered_name": "keras_hub>ResNetBackbone",
    "config": {"name": "res_net_backbone", "input_conv_filters": [64], "image_shape": [None, None, 3]},
}


def test_a_model_of_kerashub_is_told_the_three_lines_that_save_it_as_plain_keras(tmp_path: Path) -> None:
    refuse(
        keras_file(tmp_path / "m.keras", KERAS_HUB),
        "was saved with KerasHub, and holds the settings of its 'ResNetBackbone' instead of layers",
        'import keras, keras_hub; b = keras.saving.load_model("m.keras"); '
        'keras.Model(b.inputs, b.outputs).save("x.keras")',
    )
    task = KERAS_HUB | {"class_name": "ResNetImageClassifier", "registered_name": "keras_hub>ResNetImageClassifier"}
    refuse(keras_file(tmp_path / "m.keras", task), 'b = keras.saving.load_model("m.keras").backbone; ')
    refuse(
        keras_file(tmp_path / "m.keras", sequential(KERAS_HUB)),
        "b = keras.saving.load_model(\"m.keras\").get_layer('res_net_backbone'); ",
    )


def test_a_layer_of_kerashubs_own_is_called_that(tmp_path: Path) -> None:
    block = layer("ConvBnActBlock", module="keras_hub.src.models.mobilenet", registered="keras_hub>ConvBnActBlock")
    refuse(keras_file(tmp_path / "m.keras", sequential(block)), "layer 'evil' is KerasHub's own 'ConvBnActBlock'")


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


@pytest.mark.slow
def test_layers_that_are_left_out_change_nothing_outside_training() -> None:
    import keras

    settings: dict[str, dict] = {
        "ActivityRegularization": {},
        "SpatialDropout1D": {"rate": 0.5},
        "GaussianNoise": {"stddev": 1.0},
        "RandomCrop": {"height": 12, "width": 12},
        "RandomTranslation": {"height_factor": 0.2, "width_factor": 0.2},
        "RandomZoom": {"height_factor": 0.2},
        "RandomPosterization": {"factor": 4},
    }
    settings |= {name: {"rate": 0.5} for name in ONLY_IN_TRAINING if "Dropout" in name}
    seen = set()
    for name in ONLY_IN_TRAINING & set(vars(keras.layers)):
        maker = getattr(keras.layers, name)
        needs_factor = "factor" in inspect.signature(maker.__init__).parameters
        made = maker(**settings.get(name, {"factor": 0.2} if needs_factor else {}))
        sides = {"1D": (12,), "3D": (12, 12, 2)}.get(name[-2:], (12, 12))
        values = np.random.default_rng(0).uniform(0, 255, (1, *sides, 3)).astype(np.float32)
        np.testing.assert_allclose(np.asarray(made(values, training=False)), values, atol=1e-3, err_msg=name)
        seen.add(name)
    assert {"RandomShear", "AugMix", "Dropout"} <= seen


@pytest.mark.slow
def test_every_layer_of_the_catalog_is_allowed() -> None:
    import keras

    from convfe_core.catalog.specs import find_architecture

    for name in (
        "MobileNetV2-0.35",
        "MobileNetV3Small-0.75",
        "EfficientNetB0",
        "ConvNeXtTiny",
        "NASNetMobile",
        "ResNet50",
    ):
        described = keras.saving.serialize_keras_object(layers_of(find_architecture(name)))
        check_config(json.loads(json.dumps(described)), name)  # as a file holds it


def test_a_weight_file_with_external_links_is_refused_too(tmp_path: Path) -> None:
    from convfe_core.catalog.builders import build_model
    from convfe_core.catalog.specs import find_architecture
    from convfe_core.model_files.load_weights import load_weights

    path = tmp_path / "w.weights.h5"
    with h5py.File(path, "w") as file:
        file["layers"] = h5py.ExternalLink("/etc/secret.h5", "/x")
    architecture = find_architecture("MobileNet-0.25")
    with pytest.raises(WeightsError, match=r"secret\.h5"):
        load_weights(build_model(architecture), path, architecture)
