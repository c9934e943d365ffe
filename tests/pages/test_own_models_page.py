"""Models of one's own on the pages, driven without a browser."""

import gc
import tempfile
import threading
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from convfe_core.backbones.network import open_network
from convfe_core.catalog.builders import build_model
from convfe_core.catalog.specs import Spec, find_architecture, parse_spec
from convfe_core.serving.backbone_pool import BackbonePool
from convfe_core.serving.visitors import VISITOR
from pages.sidebar.model_shelf import ModelShelf
from tests.model_files.test_exported_weights import exported, with_head, zipped
from tests.onnx_models.test_safety import with_data
from tests.support.apps import charts, new_app
from tests.user_models.test_open_model import saved, small_model


@pytest.fixture
def app(no_weights: Path) -> AppTest:
    return new_app(backbones="TinyResNet", samples="chelsea")


def test_an_uploaded_model_gets_its_columns_and_its_scaling_and_layer_can_be_changed(
    app: AppTest, tmp_path: Path
) -> None:
    path = saved(small_model(), tmp_path / "mine.keras")
    app.run()
    app.file_uploader(key="model_files").upload("mine.keras", path.read_bytes())
    app.file_uploader(key="model_files").upload("broken.h5", b"\x80 no model")
    app.run()
    assert not app.exception
    assert all("mine max" in spec and "TinyResNet mean" in spec for spec in charts(app))
    assert len(app.error) == 1
    assert "pickle" in app.error[0].value
    scaling = next(box for box in app.selectbox if box.label == "Its pixels")
    assert scaling.value == "unit"
    before = charts(app)
    scaling.set_value("caffe").run()
    assert charts(app) != before
    layer = next(box for box in app.selectbox if box.label == "Its layer")
    assert "norm" in layer.options
    layer.set_value("norm").run()
    assert not app.exception
    assert any("layer norm," in caption.proto.help for caption in app.caption)


def test_an_onnx_file_and_its_weights_are_uploaded_one_after_the_other(app: AppTest, tmp_path: Path) -> None:
    path = with_data(tmp_path)
    app.run()
    app.file_uploader(key="model_files").upload("net.onnx", path.read_bytes()).run()
    assert not app.exception
    assert "its weights are in a second file, 'net.onnx.data'" in app.error[0].value
    app.file_uploader(key="model_files").upload("net.onnx.data", (tmp_path / "net.onnx.data").read_bytes()).run()
    assert not app.exception
    assert not app.error
    assert all("net max" in spec and "TinyResNet mean" in spec for spec in charts(app))
    layer = next(box for box in app.selectbox if box.label == "Its layer")
    assert layer.options[:4] == ["relu3 (last)", "C1: relu1", "C2: relu2", "C3: relu3"]
    assert layer.options[4:] == ["relu3", "conv3", "relu2", "conv2", "relu1", "conv1"]
    layer.set_value("C1").run()
    assert any("layer relu1," in caption.proto.help for caption in app.caption)
    next(button for button in app.button if button.label == "Remove net.onnx").click().run()
    assert not app.exception
    assert not any("net max" in spec for spec in charts(app))


def test_weights_without_a_model_are_of_the_architecture_that_the_user_names(app: AppTest, tmp_path: Path) -> None:
    import keras

    name = "MobileNet-0.25"
    bare = build_model(find_architecture(name))
    headed = keras.Model(bare.inputs, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(bare.output)))
    app.run()
    for model, file in ((bare, "bare.weights.h5"), (headed, "headed.weights.h5")):
        model.save_weights(tmp_path / file)
        app.file_uploader(key="model_files").upload(file, (tmp_path / file).read_bytes())
    app.run()
    first, second = (box for box in app.selectbox if box.label.startswith("Architecture of"))
    assert (first.value, second.value) == (name, None)
    assert len(charts(app)) == 1
    assert charts(app)[0].count(name) > 0
    second.set_value(name).run()
    assert not app.exception
    assert not app.error
    assert f"{name}:headed" in charts(app)[0]


@pytest.mark.slow
def test_a_zip_of_an_export_is_weights_whose_architecture_is_found(app: AppTest, tmp_path: Path) -> None:
    path = zipped(
        exported(with_head(open_network(parse_spec("TinyResNet")).model), tmp_path / "best"), tmp_path / "b.zip"
    )
    app.run()
    app.file_uploader(key="model_files").upload("best.zip", path.read_bytes())
    app.run()
    (box,) = (box for box in app.selectbox if box.label.startswith("Architecture of"))
    assert box.value == "TinyResNet"
    assert not app.exception
    assert not app.error
    assert "TinyResNet:best.zip max" in charts(app)[0]
    assert any("Pixels guessed: as TinyResNet takes them" in caption.value for caption in app.caption)
    (pixels,) = (box for box in app.selectbox if box.label == "Its pixels")
    assert pixels.value == "tf"
    before = charts(app)
    pixels.set_value("raw").run()
    assert not app.exception
    assert len(charts(app)) == len(before)
    assert all(chart != earlier for chart, earlier in zip(charts(app), before, strict=True))
    assert any("Pixels chosen; the guess was -1..1: as TinyResNet" in caption.value for caption in app.caption)


def test_someone_at_the_machine_names_a_path_and_a_visitor_cannot(
    app: AppTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(small_model(), tmp_path / "mine.keras")
    app.run()
    assert not [field for field in app.text_input if field.key == "model_path"]
    monkeypatch.setenv("CONVFE_HOSTED", "0")
    app.run()
    app.text_input(key="model_path").set_value(f"best={path}").run()
    assert not app.exception
    assert all("best max" in spec for spec in charts(app))
    app.text_input(key="model_path").set_value(str(tmp_path / "nowhere.keras")).run()
    assert len(app.error) == 1
    assert "no such file" in app.error[0].value


def test_a_visitor_brings_so_many_models_and_no_more(
    app: AppTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVFE_HOSTED", "1")
    data = saved(small_model(), tmp_path / "mine.keras").read_bytes()
    app.run()
    for number in range(VISITOR.most_models + 1):
        app.file_uploader(key="model_files").upload(f"model-{number}.keras", data)
    app.run()
    assert not app.exception
    assert f"Expected up to {VISITOR.most_models} model files at once" in app.error[0].value
    assert len([one for one in app.button if one.label.startswith("Remove model-")]) == VISITOR.most_models


def test_a_disk_that_takes_no_model_costs_the_model_alone(
    app: AppTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = saved(small_model(), tmp_path / "mine.keras").read_bytes()
    app.run()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    app.file_uploader(key="model_files").upload("mine.keras", data).run()
    assert not app.exception
    assert len(charts(app)) == 1
    assert "mine.keras: could not be kept on the server (No such file or directory)" in app.error[0].value
    assert str(tmp_path) not in app.error[0].value


class Upload:
    """What Streamlit hands over for an uploaded file."""

    def __init__(self, name: str, data: bytes) -> None:
        self.file_id, self.name, self._data = name, name, data

    def getbuffer(self) -> memoryview:
        return memoryview(self._data)


def test_a_model_goes_with_its_session_from_the_disk_and_from_memory(tmp_path: Path) -> None:
    data = saved(small_model(), tmp_path / "mine.keras").read_bytes()
    pool = BackbonePool(budget_mb=1e6)
    shelf = ModelShelf(most=4, forget=pool.forget)
    shelf.add([Upload("first.keras", data), Upload("second.keras", data)])
    for path in shelf.files.values():
        pool.get(Spec(path.stem, "model", path))
    pool.get(Spec("TinyResNet", "untrained"))
    first, second = shelf.files
    folder = shelf.files[second].parent.parent
    shelf.remove(first)
    assert not list(folder.glob("*/first.keras"))
    assert [held.label for held in pool.held()] == ["second", "TinyResNet:untrained"]
    del shelf
    gc.collect()
    for thread in threading.enumerate():
        if thread.name == "convfe-forget":
            thread.join(30)
    assert not folder.exists()
    assert [held.label for held in pool.held()] == ["TinyResNet:untrained"]
