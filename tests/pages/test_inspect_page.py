"""Inspect, driven without a browser."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.support.apps import charts, open_page
from tests.user_models.test_open_model import saved, small_model


@pytest.fixture
def app(no_weights: Path) -> AppTest:
    return open_page("inspect", backbones="TinyMobileNet")


@pytest.mark.machine
def test_a_backbone_is_shown_beside_its_control_with_the_difference_and_called_healthy(app: AppTest) -> None:
    assert not app.exception
    assert not app.error
    assert len(charts(app)) == 6
    assert "TinyResNet max" in charts(app)[0]
    assert "TinyResNet:untrained mean" in charts(app)[0]
    assert "TinyResNet \\u2212 TinyResNet:untrained max" in charts(app)[1]
    assert "Healthy over 3 images" in app.success[0].value


def test_an_own_model_with_pixels_scaled_twice_is_told_so(app: AppTest, tmp_path: Path) -> None:
    import keras

    model = small_model(front=(keras.layers.Rescaling(1 / 255, name="to_unit"),))
    path = saved(model, tmp_path / "mine.keras")
    app.file_uploader(key="model_files").upload("mine.keras", path.read_bytes()).run()
    assert not app.exception
    assert "mine max" in charts(app)[0]
    assert "mine:untrained max" in charts(app)[0]
    scaling = next(box for box in app.selectbox if box.label == "Its pixels")
    assert scaling.value == "raw"
    scaling.set_value("unit").run()
    assert "Scaled twice" in app.error[0].value
