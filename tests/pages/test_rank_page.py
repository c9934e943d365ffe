"""The page that ranks backbones, driven without a browser."""

from pathlib import Path

import pytest

from convfe_core.backbones.precision import Precision, bfloat16_unit, explain_precision
from tests.support.apps import charts, open_page, rows
from tests.support.builders import noise, png, voc_folder


@pytest.fixture(autouse=True)
def own_machine(no_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A visitor's own machine, where folders may be read, without a network."""
    monkeypatch.setenv("CONVFE_HOSTED", "0")


@pytest.mark.machine
def test_ranking_names_a_leader_and_shows_table_and_plots(tmp_path: Path) -> None:
    folder = voc_folder(tmp_path / "squares", images=24)
    app = open_page("rank")
    assert "boxes" in app.info[0].value
    app.text_input(key="dataset_folder").set_value(str(folder)).run()
    app.toggle(key="rank_control").set_value(False).run()
    app.button(key="rank_start").click().run()
    assert not app.exception
    assert not app.error
    assert any(word in heading.value for heading in app.subheader for word in ("separate", "tied", "leads"))
    table = app.dataframe[0].value
    assert sorted(table["Backbone"]) == ["TinyMobileNet", "TinyResNet"]
    assert not {"Control", "Top-1"} & set(table.columns)  # nothing was computed or published for these
    assert len(charts(app)) == 4

    app.button(key="rank-extremes").click().run()
    assert not app.exception
    assert len(charts(app)) == 8  # of eleven rows, eight a page
    assert all(row["boxes"] for row in rows(app))

    app.switch_page("pages/rank.py").run()
    assert app.text_input(key="dataset_folder").value == str(folder)
    assert sorted(app.dataframe[0].value["Backbone"]) == ["TinyMobileNet", "TinyResNet"]
    assert not app.warning
    app.multiselect(key="backbones").unselect("TinyResNet").run()
    assert [warning.value.endswith("rank again.") for warning in app.warning] == [True]


@pytest.mark.slow
def test_a_trial_says_beforehand_how_long_it_takes_and_then_shows_what_it_found(tmp_path: Path) -> None:
    app = open_page("rank", backbones="TinyResNet")
    app.text_input(key="dataset_folder").set_value(str(voc_folder(tmp_path / "squares", images=2))).run()
    app.toggle(key="rank_control").set_value(False)
    app.toggle(key="rank_probe").set_value(False)
    assert app.toggle(key="rank_trial").label == "Try a small detector, about 1 minute"
    app.toggle(key="rank_trial").set_value(True)
    app.button(key="rank_start").click().run()
    assert not app.exception
    assert app.dataframe[0].value["AP50"].notna().all()
    assert "TinyResNet, AP50 " in " ".join(charts(app))
    assert app.selectbox(key="trial-backbone").value == "TinyResNet"
    assert any("trial on 2 images" in caption.value for caption in app.caption)

    app.button(key="rank-extremes").click().run()
    app.switch_page("pages/compare.py").run()  # where the button leads, which AppTest forgets at the next run
    assert not app.get("image")
    app.toggle(key="detections").set_value(True).run()
    assert not app.exception
    assert len(app.get("image")) == 2  # one backbone; the samples stay without
    assert sum("had not seen this photograph" in caption.value for caption in app.caption) == 2
    drawn = {key: picture for key, (_, _, picture) in app.session_state.found.items()}
    app.toggle(key="smooth").set_value(False).run()
    assert len(app.get("image")) == len(drawn) == 2
    assert all(app.session_state.found[key][2] is picture for key, picture in drawn.items())  # not drawn anew


@pytest.mark.slow
def test_a_ranking_in_fast_arithmetic_says_so(tmp_path: Path) -> None:
    folder = voc_folder(tmp_path / "squares", images=4)
    app = open_page("rank", backbones="TinyResNet")
    app.text_input(key="dataset_folder").set_value(str(folder)).run()
    app.toggle(key="rank_control").set_value(False)
    app.toggle(key="rank_probe").set_value(False)
    app.button(key="rank_start").click().run()
    assert any(caption.value.endswith("Arithmetic: float32.") for caption in app.caption)
    app.toggle(key="fast").set_value(bfloat16_unit() is not None).run()
    app.button(key="rank_start").click().run()
    assert not app.exception
    expected: Precision = "fast" if bfloat16_unit() else "float32"
    assert any(caption.value.endswith(f"Arithmetic: {explain_precision(expected)}.") for caption in app.caption)
    assert app.session_state.ranked.options.precision == expected


def test_a_folder_without_boxes_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(png(noise(64, 64)))
    app = open_page("rank")
    app.text_input(key="dataset_folder").set_value(str(tmp_path)).run()
    assert not app.exception
    assert len(app.error) == 1
    assert "VOC, YOLO or COCO" in app.error[0].value


def test_what_was_decided_about_the_boxes_is_shown(tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(png(noise(64, 64)))
    (tmp_path / "one.txt").write_bytes(b"0 0.5 0.5 0.5 0.5 0.9")
    app = open_page("rank")
    app.text_input(key="dataset_folder").set_value(str(tmp_path)).run()
    assert not app.exception
    (shown,) = [caption.value for caption in app.caption if "label lines" in caption.value]
    assert "- no file names the classes, which go by their numbers" in shown
    assert "- label lines of 6 values read as boxes with a confidence or a track number (1 box)" in shown


def test_uploaded_images_and_annotations_are_read_together_and_stay(tmp_path: Path) -> None:
    folder = voc_folder(tmp_path / "squares", images=3)
    app = open_page("rank")
    for path in sorted(folder.iterdir()):
        app.file_uploader(key="dataset_uploads").upload(path.name, path.read_bytes())
    app.run()
    assert not app.exception
    assert "3 images, 3 boxes, 1 class" in app.caption[0].value
    app.switch_page("pages/guide.py").run()
    app.switch_page("pages/rank.py").run()
    assert "3 images, 3 boxes, 1 class" in app.caption[0].value
    app.text_input(key="dataset_folder").set_value(str(folder)).run()
    assert app.caption[0].value.startswith("**squares**")
    app.text_input(key="dataset_folder").set_value("").run()
    assert app.caption[0].value.startswith("**the uploaded files**: 3 images, 3 boxes, 1 class")
    app.button(key="dataset_uploads_remove").click().run()
    assert "boxes" in app.info[0].value
