"""A visitor of a hosted app: what they may ask for, and what they see when something breaks."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from streamlit import config
from streamlit.testing.v1 import AppTest

from convfe_core.base.file_sets import UploadedFiles
from convfe_core.datasets.read_dataset import read_dataset
from convfe_core.marks.marked_photos import boxes_on
from convfe_core.serving.fault_log import STRUCK_OUT
from convfe_core.serving.visitors import VISITOR
from pages.app.visitor import is_stranger
from pages.views.rank_results import photo_with_boxes
from tests.photos.test_image_refusals import png_of_size
from tests.support.apps import TIME_LIMIT_S, charts, new_app
from tests.support.builders import noise, png
from tests.support.datasets import zipped

RANKED = {"a.png": png(noise(96, 128)), "a.txt": b"0 0.5 0.5 0.5 0.5\n"}
VGG16_FILE = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"


@pytest.fixture
def app(no_weights: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The app as a visitor of a hosted one opens it, with one backbone."""
    monkeypatch.setenv("CONVFE_HOSTED", "1")
    return new_app(backbones="TinyResNet", samples="gravel")


def rows(app: AppTest) -> int:
    return len(charts(app))


@pytest.mark.parametrize("spec", ["VGG16:/etc/passwd.h5", "VGG16:../../weights.h5", "mine=/models/mine.keras"])
def test_a_visitor_cannot_name_a_file_of_the_server(app: AppTest, spec: str) -> None:
    app.query_params["backbones"] = f"TinyResNet,{spec}"
    app.run()
    assert not app.exception
    assert len(app.error) == 1
    assert "/" not in app.error[0].value
    assert rows(app) == 1


def test_markup_in_the_address_is_shown_as_it_is(app: AppTest) -> None:
    app.query_params["backbones"] = "TinyResNet,[click](https://a.example)"
    app.run()
    assert "\\[click\\]" in app.error[0].value


def test_a_large_photograph_is_reduced_before_it_is_kept(app: AppTest) -> None:
    app.run()
    app.file_uploader(key="uploads").upload("large.png", png(noise(1500, 2000))).run()
    assert not app.exception
    (kept,) = app.session_state["decoded"].values()
    assert kept.pixels.shape == (960, 1280, 3)
    assert any("1280 × 960" in caption.value for caption in app.caption)


def test_too_many_images_are_left_out_with_a_sentence(app: AppTest) -> None:
    app.run()
    for number in range(VISITOR.most_images + 1):
        app.file_uploader(key="uploads").upload(f"{number}.png", png(noise(32, 32, number)))
    app.run()
    assert not app.exception
    assert f"Expected up to {VISITOR.most_images} images at once" in app.error[0].value
    assert len(app.session_state["decoded"]) == VISITOR.most_images


def test_an_image_that_is_taken_away_is_forgotten(app: AppTest) -> None:
    app.run()
    app.file_uploader(key="uploads").upload("mine.png", png(noise(64, 64))).run()
    assert len(app.session_state["decoded"]) == 1
    app.file_uploader(key="uploads").clear().run()
    assert len(app.session_state["decoded"]) == 0


def test_a_picture_with_too_many_pixels_is_refused(app: AppTest) -> None:
    app.run()
    app.file_uploader(key="uploads").upload("huge.png", png(np.zeros((5200, 5000, 3), np.uint8))).run()
    assert not app.exception
    assert "25 megapixels" in app.error[0].value
    assert rows(app) == 1


@pytest.mark.parametrize("page", ["compare", "depth", "rank"])
def test_weights_that_cannot_be_had_are_told_without_the_servers_folders(
    app: AppTest, no_weights: Path, caplog: pytest.LogCaptureFixture, page: str
) -> None:
    app.query_params["backbones"] = "TinyResNet,VGG16"
    app.run()
    if page != "compare":
        app.switch_page(f"pages/{page}.py").run()
    if page == "depth":
        app.selectbox(key="depth_backbone_").set_value("VGG16").run()
    if page == "rank":
        for name, data in RANKED.items():
            app.file_uploader(key="dataset_uploads").upload(name, data)
        app.toggle(key="rank_control").set_value(False)
        app.toggle(key="rank_probe").set_value(False)
        app.run().button(key="rank_start").click().run()
    assert not app.exception
    (error,) = app.error
    assert "VGG16" in error.value
    assert r"take VGG16\:untrained or one of the built-in backbones" in error.value
    assert str(no_weights) not in error.value
    assert "127.0.0.1" not in error.value
    assert f"Keras looks for {VGG16_FILE} (59 MB) in {no_weights / 'models'}" in caplog.text


def test_a_data_set_is_bounded_like_single_images(app: AppTest) -> None:
    app.run().switch_page("pages/rank.py").run()
    for name, data in (RANKED | {"huge.png": png_of_size(5200, 5000), "huge.txt": RANKED["a.txt"]}).items():
        app.file_uploader(key="dataset_uploads").upload(name, data)
    app.run()
    assert not app.exception
    assert app.caption[0].value == "**the uploaded files**: 1 image, 1 box, 1 class (YOLO)."
    assert list(app.dataframe[0].value["Reason"]) == ["expected at most 25 megapixels, got 5200 x 5000 pixels"]
    many = zipped({f"{number}.txt": b"" for number in range(VISITOR.dataset.max_files + 1)})
    app.file_uploader(key="dataset_uploads").clear().run()
    app.file_uploader(key="dataset_uploads").upload("boxes.zip", many).run()
    assert "expected at most 1,000 files, got 1,001" in app.error[0].value


def test_an_image_of_a_data_set_is_reduced_with_its_boxes_before_compare_keeps_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = {"a.png": png(noise(1500, 2000)), "a.txt": b"0 0.5 0.5 0.5 0.5"}
    dataset = read_dataset(UploadedFiles(files.items()))
    monkeypatch.setenv("CONVFE_HOSTED", "1")
    photo, marked = photo_with_boxes(dataset, 0)
    assert photo.pixels.shape == (960, 1280, 3)
    np.testing.assert_allclose(boxes_on(photo, marked), [[320, 240, 960, 720]])
    monkeypatch.setenv("CONVFE_HOSTED", "0")
    photo, marked = photo_with_boxes(dataset, 0)
    assert photo.pixels.shape == (1500, 2000, 3)
    np.testing.assert_allclose(boxes_on(photo, marked), [[500, 375, 1500, 1125]])


@pytest.mark.parametrize(("option", "value"), [("server.enableAgentApi", True), ("server.address", "unix:///run/s")])
def test_somebody_whose_address_is_unknown_is_a_visitor(
    no_weights: Path, monkeypatch: pytest.MonkeyPatch, option: str, value: object
) -> None:
    monkeypatch.delenv("CONVFE_HOSTED", raising=False)
    assert not is_stranger("127.0.0.1", {"Host": "localhost"})
    before = config.get_option(option)
    config.set_option(option, value)
    try:
        assert is_stranger(None, {"Host": "localhost"})
    finally:
        config.set_option(option, before)


def test_photographs_of_one_name_and_different_content_never_share_a_map(app: AppTest) -> None:
    app.run()
    for seed in (1, 2):
        app.file_uploader(key="uploads").upload("same.png", png(noise(64, 96, seed)))
    app.run()
    assert rows(app) == 3
    kept = {maps.digest: maps for maps in app.session_state["map_store"]._kept.values() if maps.image == "same.png"}
    first, second = kept.values()
    assert not np.array_equal(first.max, second.max)


def test_an_unexpected_error_shows_a_reference_number_and_no_traceback(
    app: AppTest, caplog: pytest.LogCaptureFixture
) -> None:
    app.session_state["map_store"] = "no store"
    app.run()
    assert not app.exception
    reference = re.search("reference ([0-9A-F]{8})", app.error[0].value)
    assert reference
    assert "AttributeError" not in app.error[0].value
    assert f"fault {reference.group(1)}" in caplog.text
    assert "AttributeError" in caplog.text


def test_an_unexpected_error_does_not_name_the_visitors_files_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def page() -> None:
        import streamlit as st

        from pages.app.guard import guarded

        with guarded():
            for upload in st.file_uploader("Images", key="images", accept_multiple_files=True):
                raise ValueError(f"cannot do anything with {upload.name!r}")

    app = AppTest.from_function(page, default_timeout=TIME_LIMIT_S).run()
    app.file_uploader(key="images").upload("aunt mary.png", png(noise(64, 64))).run()
    assert "reference" in app.error[0].value
    assert f"ValueError: cannot do anything with '{STRUCK_OUT}'" in caplog.text
    assert "aunt mary" not in caplog.text


def test_a_download_that_fails_names_no_file_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def page() -> None:
        import streamlit as st

        from pages.app.guard import guarded_download

        def make() -> bytes:
            raise ValueError("cannot draw aunt mary.png after uncle.png, whose file is street/mary.png in the archive")

        from convfe_core.base.file_sets import UploadedFiles
        from convfe_core.datasets.read_dataset import read_dataset
        from tests.pages.test_visitors import RANKED
        from tests.support.builders import photo

        st.session_state.datasets = {1: read_dataset(UploadedFiles([("street/mary.png", b""), *RANKED.items()]))}
        st.session_state.decoded = {"taken before the page was changed": photo(name="uncle.png")}
        st.file_uploader("Images", key="images", accept_multiple_files=True)
        st.session_state.make = guarded_download(make)

    app = AppTest.from_function(page, default_timeout=TIME_LIMIT_S).run()
    app.file_uploader(key="images").upload("aunt mary.png", png(noise(64, 64))).run()
    with pytest.raises(RuntimeError, match=r"see fault [0-9A-F]{8}$") as failed:
        app.session_state["make"]()
    assert failed.value.__context__ is None  # which Streamlit would log
    assert f"cannot draw {STRUCK_OUT} after {STRUCK_OUT}, whose file is {STRUCK_OUT} in the archive" in caplog.text
    assert "mary.png in" not in caplog.text


def test_a_visitor_does_not_see_what_anothers_own_model_is_called(
    app: AppTest, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "secret-project.h5"
    weights.write_bytes(next((shared / "keras" / "models").glob("mobilenet_2_5*.h5")).read_bytes())
    monkeypatch.setenv("CONVFE_HOSTED", "0")
    app.query_params["backbones"] = f"MobileNet-0.25:{weights}"
    app.run()
    assert rows(app) == 1
    app.switch_page("pages/system.py").run()
    assert "secret-project" in str(app.dataframe[0].value)
    monkeypatch.setenv("CONVFE_HOSTED", "1")
    app.run()
    assert not app.exception
    assert "secret-project" not in str(app.dataframe[0].value)
    assert "a model of a visitor's own" in str(app.dataframe[0].value)
