"""Models of one's own on the pages, driven without a browser."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.apps import charts, new_app
from tests.test_model_files import saved, small_model


@pytest.fixture
def app(no_weights: Path) -> AppTest:
    return new_app(backbones="TinyMobileNet", samples="chelsea")


def test_an_uploaded_model_gets_its_columns_and_its_scaling_and_layer_can_be_changed(
    app: AppTest, tmp_path: Path
) -> None:
    path = saved(small_model(), tmp_path / "mine.keras")
    app.run()
    app.file_uploader(key="model_files").upload("mine.keras", path.read_bytes())
    app.file_uploader(key="model_files").upload("broken.h5", b"\x80 no model")
    app.run()
    assert not app.exception
    assert all("mine max" in spec and "TinyMobileNet mean" in spec for spec in charts(app))
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
    assert any("norm" in caption.value for caption in app.caption)


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
