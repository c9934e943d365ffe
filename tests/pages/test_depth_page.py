"""Depth, driven without a browser."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.support.apps import charts, open_page


@pytest.fixture
def app(no_weights: Path) -> AppTest:
    return open_page("depth", backbones="TinyResNet")


@pytest.mark.machine
def test_stages_layers_channels_and_the_table_are_shown(app: AppTest) -> None:
    assert not app.exception
    assert not app.error
    stages = [spec for spec in charts(app) if "C2 \\u00b7 stride 4 max" in spec]
    assert len(stages) == 3
    assert all("C4 \\u00b7 stride 16 mean" in spec for spec in stages)
    assert list(app.dataframe[0].value["Stride"]) == [4, 8, 16]
    for pixels in app.dataframe[0].value["Receptive field, pixels"]:
        assert all(f"cells, receptive field {pixels} px" in spec for spec in stages)
    assert app.dataframe[1].value["name"].iloc[0] == "picture"
    assert any("are dead on this image" in caption.value for caption in app.caption)


def test_layers_are_searched_by_name_or_type_and_what_is_missing_for_their_plot_is_said(
    app: AppTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    app.text_input(key="layer_search").set_value("averagepooling").run()
    assert not app.exception
    assert set(app.dataframe[1].value["type"]) == {"AveragePooling2D"}
    assert any("needs Graphviz and pydot" in caption.value for caption in app.caption)
    app.text_input(key="layer_search").set_value("no such layer").run()
    assert len(app.dataframe) == 1
    assert any("0 of " in caption.value for caption in app.caption)
    app.toggle(key="blocks").set_value(True).run()
    assert not app.exception
    assert "AveragePooling2D" in app.get("graphviz_chart")[0].proto.spec


def test_any_layer_and_more_collapses_can_be_chosen(app: AppTest) -> None:
    layer = next(box for box in app.selectbox if box.label == "Layer")
    layer.set_value("stem_relu").run()
    assert not app.exception
    assert any("max of stem\\\\_relu" in spec or "max of stem_relu" in spec for spec in charts(app))
    app.get_by_key("collapses").set_value(["L2", "first component"]).run()
    assert not app.exception
    assert any('"name":"L2"' in spec and '"name":"first component"' in spec for spec in charts(app))
    app.get_by_key("channel_order").set_value("variance").run()
    assert not app.exception


def test_the_network_that_is_looked_into_is_listed_among_what_the_server_holds(app: AppTest) -> None:
    app.switch_page("pages/system.py").run()
    assert not app.exception
    held = app.dataframe[0].value
    assert ("TinyResNet", "every layer") in set(zip(held["Backbone"], held["Layer"], strict=True))
