"""Compare and its controls, the guide and the system page, driven without a browser."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from convfe_core.machine.machine_queue import MACHINE
from convfe_core.photos.gallery import SAMPLES
from pages.app.process import backbone_pool, sample_maps
from tests.support.apps import charts, new_app
from tests.support.builders import noise, png


@pytest.fixture
def app(no_weights: Path) -> AppTest:
    """The app as a visitor without a network opens it."""
    return new_app()


@pytest.mark.machine
def test_the_first_page_shows_both_built_in_backbones_on_three_samples(app: AppTest) -> None:
    app.run()
    assert not app.exception
    assert not app.error
    assert len(charts(app)) == 3
    assert all("TinyResNet max" in spec and "TinyMobileNet mean" in spec for spec in charts(app))


def test_a_page_of_samples_is_the_same_after_a_new_start_and_loads_no_backbone(
    app: AppTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for started_with in (sample_maps, backbone_pool):
        started_with.clear()
    app.run()
    assert len(backbone_pool().held()) == 2
    backbone_pool.clear()
    again = new_app()
    again.run()
    assert not again.exception
    assert charts(again) == charts(app)
    assert backbone_pool().held() == []
    sample_maps.clear()


def test_choosing_another_backbone_adds_its_columns(app: AppTest) -> None:
    app.run()
    app.multiselect(key="backbones").select("MobileNet-0.25:untrained").run()
    assert not app.exception
    assert all("MobileNet-0.25:untrained mean" in spec for spec in charts(app))
    assert app.query_params["backbones"] == "TinyResNet,TinyMobileNet,MobileNet-0.25:untrained"


def test_a_link_reopens_samples_backbones_and_settings(app: AppTest) -> None:
    app.query_params["backbones"] = "MobileNet-0.25:untrained"
    app.query_params["scale"] = "This image"
    app.run()
    assert not app.exception
    assert all("MobileNet-0.25:untrained max" in spec and "TinyResNet" not in spec for spec in charts(app))
    assert app.selectbox(key="scale").value == "image"


def test_an_uploaded_photograph_gets_its_row_and_a_broken_file_its_sentence(app: AppTest) -> None:
    app.run()
    app.file_uploader(key="uploads").upload("mine.png", png(noise(80, 120)))
    app.file_uploader(key="uploads").upload("broken.png", b"no picture")
    app.run()
    assert not app.exception
    assert len(charts(app)) == 4
    assert "mine.png" in charts(app)[0]
    assert len(app.error) == 1
    assert "broken.png" in app.error[0].value


def test_uploads_outlive_a_change_of_page_until_they_are_removed(app: AppTest) -> None:
    app.run()
    app.file_uploader(key="uploads").upload("mine.png", png(noise(80, 120)))
    app.run()
    for page in ("guide", "inspect", "compare"):
        app.switch_page(f"pages/{page}.py").run()
    assert not app.exception
    assert len(charts(app)) == 4
    assert "mine.png" in charts(app)[0]
    app.file_uploader(key="uploads").upload("more.png", png(noise(80, 120, seed=1)))
    app.run()
    assert len(charts(app)) == 5
    app.button(key="uploads_remove").click().run()
    assert len(charts(app)) == 4
    assert "more.png" in charts(app)[0]
    assert "uploads_remove" not in [button.key for button in app.button]


def test_changes_of_display_keep_the_maps_and_run_no_backbone(app: AppTest) -> None:
    app.run()
    before = list(app.session_state["map_store"]._kept.values())
    assert sum(maps.pca is not None for maps in before) == 6
    for kind, key, value in (
        ("selectbox", "scale", "all"),
        ("selectbox", "scale", "backbone"),
        ("selectbox", "colours", "Cividis"),
        ("toggle", "smooth", False),
        ("slider", "opacity", 0.5),
        ("toggle", "present", True),
    ):
        getattr(app, kind)(key=key).set_value(value).run()
        assert not app.exception
        after = list(app.session_state["map_store"]._kept.values())
        assert {id(maps) for maps in before} == {id(maps) for maps in after}, (key, value)


def test_one_map_alone_can_be_shown(app: AppTest) -> None:
    app.run()
    app.get("pills")
    app.get_by_key("maps").set_value(["mean"]).run()
    assert all("TinyResNet mean" in spec and "TinyResNet max" not in spec for spec in charts(app))


def test_pca_colours_are_drawn_for_all_images_and_kept_through_a_change_of_display(app: AppTest) -> None:
    app.run()
    app.get_by_key("maps").set_value(["max", "pca"]).run()
    assert not app.exception
    assert all("TinyResNet pca" in spec and "TinyResNet mean" not in spec for spec in charts(app))
    made = {id(maps) for maps in app.session_state["map_store"]._kept.values() if maps.pca is not None}
    assert made
    app.toggle(key="present").set_value(True).run()
    assert not app.exception
    assert "TinyResNet pca" in charts(app)[0]
    assert {id(maps) for maps in app.session_state["map_store"]._kept.values() if maps.pca is not None} == made


def test_another_size_computes_new_maps(app: AppTest) -> None:
    app.run()
    before = len(app.session_state["map_store"])
    app.selectbox(key="size").set_value("224").run()
    assert not app.exception
    assert len(app.session_state["map_store"]) == before + 12  # with PCA colours and without


def test_an_earlier_stage_has_smaller_cells(app: AppTest) -> None:
    app.query_params["backbones"] = "MobileNet-0.25:untrained"
    app.run()
    app.selectbox(key="tap").set_value("C3").run()
    assert not app.exception
    assert not app.error
    strides = {maps.grid.stride_x for maps in app.session_state["map_store"]._kept.values()}
    assert strides == {32, 8}


def test_presenting_shows_one_image_at_a_time(app: AppTest) -> None:
    app.run()
    app.toggle(key="present").set_value(True).run()
    assert not app.exception
    assert len(charts(app)) == 1


def test_more_than_eight_images_come_in_pages(app: AppTest) -> None:
    app.run()
    for seed in range(9):
        app.file_uploader(key="uploads").upload(f"{seed}.png", png(noise(64, 64, seed)))
    app.run()
    assert not app.exception
    assert len(charts(app)) == 8


def test_pages_are_turned_above_and_below_the_rows_and_run_no_backbone_twice(app: AppTest) -> None:
    app.query_params["backbones"] = "TinyMobileNet"
    app.query_params["samples"] = [sample.name for sample in SAMPLES][:9]
    app.run()
    assert len(charts(app)) == 8
    app.get_by_key("page_below").set_value(2).run()
    assert not app.exception
    assert len(charts(app)) == 1
    assert app.get_by_key("page").value == 2
    passed = MACHINE.passed
    app.get_by_key("page").set_value(1).run()
    assert len(charts(app)) == 8
    assert app.get_by_key("page_below").value == 1
    app.get_by_key("page_below").set_value(2).run()
    assert len(charts(app)) == 1
    assert MACHINE.passed == passed
    app.get_by_key("samples").set_value([SAMPLES[0].name]).run()
    assert not app.exception
    assert len(charts(app)) == 1
    assert not app.get("pagination")


def test_weights_that_cannot_be_fetched_are_one_sentence_and_the_rest_is_shown(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVFE_HOSTED", "0")
    app.query_params["backbones"] = "TinyResNet,VGG16"
    app.run()
    assert not app.exception
    assert len(charts(app)) == 3
    assert len(app.error) == 1
    assert "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5" in app.error[0].value


def test_an_unknown_backbone_is_one_sentence(app: AppTest) -> None:
    app.query_params["backbones"] = "TinyResNet,VGG61"
    app.run()
    assert not app.exception
    assert "VGG16" in app.error[0].value


def test_without_images_or_backbones_the_page_says_what_to_do(app: AppTest) -> None:
    app.query_params["samples"] = ""
    app.run()
    assert not app.exception
    assert "sample" in app.info[0].value
    other = new_app().run()
    other.multiselect(key="backbones").set_value([]).run()
    assert "built-in" in other.info[0].value


def test_a_visitor_from_elsewhere_is_offered_no_folder_and_no_address(app: AppTest) -> None:
    app.run()
    assert not [field for field in app.text_input if field.key in ("folder", "address")]


def test_a_folder_of_this_machine_is_read(app: AppTest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CONVFE_HOSTED", "0")
    (tmp_path / "one.png").write_bytes(png(noise(64, 96)))
    app.run()
    app.text_input(key="folder").set_value(str(tmp_path)).run()
    assert not app.exception
    assert len(charts(app)) == 4
    app.text_input(key="folder").set_value(str(tmp_path / "nowhere")).run()
    assert len(app.error) == 1
    assert len(charts(app)) == 3


def test_the_guide_opens_and_shows_a_trained_and_an_untrained_backbone(app: AppTest) -> None:
    app.run()
    app.switch_page("pages/guide.py").run()
    assert not app.exception
    assert len(charts(app)) == 1
    assert "TinyResNet:untrained max" in charts(app)[0]
    assert any('keras.Model(b.inputs, b.outputs).save("x.keras")' in one.value for one in app.code)
    assert any("torch.onnx.export" in one.value for one in app.code)


def test_the_system_page_lists_what_is_loaded(app: AppTest) -> None:
    app.query_params["size"] = "224"  # at their own size the maps of samples may be there without a backbone
    app.run()
    app.switch_page("pages/system.py").run()
    assert not app.exception
    assert {"TinyResNet", "TinyMobileNet"} <= set(app.dataframe[0].value["Backbone"])


def test_the_system_page_examines_the_machine_for_those_who_sit_at_it_alone(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVFE_HOSTED", "0")
    app.query_params["backbones"] = "TinyMobileNet"
    app.run()
    app.switch_page("pages/system.py").run()
    app.button(key="examine").click().run()
    assert not app.exception
    table = app.dataframe[-1].value
    assert list(table["What"])[-1] == "A real pass"
    assert table["Found"].iloc[-1].startswith("TinyResNet on “chelsea”")
    assert app.code[0].value.splitlines()[0].startswith("ok  CONV-FE")
    monkeypatch.setenv("CONVFE_HOSTED", "1")
    app.run()
    assert "examine" not in {button.key for button in app.button}
    assert not app.code
