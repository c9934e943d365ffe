"""A visitor of a hosted app: what they may ask for, and what they see when something breaks."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from convfe_core.faults import STRUCK_OUT
from convfe_core.hosting import VISITOR
from tests.apps import TIME_LIMIT_S, new_app
from tests.builders import noise, png


@pytest.fixture
def app(no_weights: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The app as a visitor of a hosted one opens it, with one backbone."""
    monkeypatch.setenv("CONVFE_HOSTED", "1")
    return new_app(backbones="TinyResNet", samples="gravel")


def rows(app: AppTest) -> int:
    return len(app.get("plotly_chart"))


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


def test_photographs_of_one_name_and_different_content_never_share_a_map(app: AppTest) -> None:
    app.run()
    for seed in (1, 2):
        app.file_uploader(key="uploads").upload("same.png", png(noise(64, 96, seed)))
    app.run()
    assert rows(app) == 3
    first, second = list(app.session_state["map_store"]._kept.values())[-2:]
    assert first.digest != second.digest
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

        from pages.parts.guard import guarded

        with guarded():
            for upload in st.file_uploader("Images", key="images", accept_multiple_files=True):
                raise ValueError(f"cannot do anything with {upload.name!r}")

    app = AppTest.from_function(page, default_timeout=TIME_LIMIT_S).run()
    app.file_uploader(key="images").upload("aunt mary.png", png(noise(64, 64))).run()
    assert "reference" in app.error[0].value
    assert f"ValueError: cannot do anything with '{STRUCK_OUT}'" in caplog.text
    assert "aunt mary" not in caplog.text


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
