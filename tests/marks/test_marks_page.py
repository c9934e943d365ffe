"""Marking on Compare, driven without a browser: numbers, files, changes of page, and the way to Rank."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from convfe_core.datasets.boxes import ImageBoxes
from convfe_core.datasets.write_coco import coco_json
from convfe_core.machine.machine_queue import MACHINE
from convfe_core.marks.marked_photos import mark_photo
from convfe_core.photos.gallery import load_sample
from convfe_core.photos.photo import Photo
from tests.support.apps import new_app, rows
from tests.support.builders import voc_folder

NAMES = ["chelsea", "motorcycle", "tissue"]
PHOTOS = [load_sample(name) for name in NAMES]
BOXES = [(30, 0, 400, 290), (90, 15, 680, 450), (250, 300, 380, 505)]


def marks(photo: Photo, *boxes: tuple[float, ...], label: str = "thing") -> ImageBoxes:
    return mark_photo(photo, boxes, [label] * len(boxes))[0]


def all_marks() -> dict[str, ImageBoxes]:
    return {photo.digest: marks(photo, box) for photo, box in zip(PHOTOS, BOXES, strict=True)}


@pytest.fixture
def app(no_weights: Path) -> AppTest:
    """Compare as a visitor without a network opens it, with one small backbone, ready to mark."""
    app = new_app(backbones="TinyResNet", samples=NAMES).run()
    app.toggle(key="marking").set_value(True).run()
    assert not app.exception
    return app


def mark(app: AppTest, given: dict[str, ImageBoxes]) -> None:
    app.session_state["marks"] = given
    app.run()
    assert not app.exception


def text(app: AppTest) -> str:
    return "\n".join(one.value for kind in (app.markdown, app.caption) for one in kind)


def load(app: AppTest, name: str, data: str) -> None:
    app.file_uploader(key="marks_file").upload(name, data.encode()).run()
    assert not app.exception


def carry(app: AppTest) -> None:
    """Go to Rank with what is marked."""
    app.button(key="marks-rank").click().run()
    assert not app.exception
    app.switch_page("pages/rank.py").run()  # a test's app would go on with the page whose button it was


def boxes_of(app: AppTest, place: int) -> list[list[float]]:
    return [[box[edge] for edge in ("x0", "y0", "x1", "y1")] for box in rows(app)[place]["boxes"]]


def test_every_map_gets_its_number_at_once_and_no_backbone_runs(app: AppTest) -> None:
    assert [row["notes"] for row in rows(app)] == [{}, {}, {}]
    assert all(row["marking"] for row in rows(app))
    assert "Draw boxes around your objects" in text(app)
    passed = MACHINE.passed
    mark(app, {PHOTOS[0].digest: marks(PHOTOS[0], BOXES[0])})
    first = rows(app)[0]
    assert set(first["notes"]) == {"TinyResNet max", "TinyResNet mean"}
    assert all(re.fullmatch(r"(AUROC )?0\.\d\d", note) for note in first["notes"].values())
    (best,) = first["outlined"]
    assert first["notes"][best] == max(first["notes"].values())
    assert first["boxes"] == [{"x0": 30, "y0": 0, "x1": 400, "y1": 290, "label": "thing"}]
    assert rows(app)[1]["notes"] == {}
    assert "1 photograph marked." in text(app)
    assert MACHINE.passed == passed


def test_from_three_marked_photographs_on_s_is_there_and_no_winner(app: AppTest) -> None:
    mark(app, all_marks())
    assert "3 images: a first look, no winner." in text(app)
    assert "| Backbone | S of max | S of mean |" in text(app)
    app.toggle(key="marking").set_value(False).run()
    assert "3 images: a first look, no winner." in text(app)  # what is marked is told without the switch too
    assert not any(row["marking"] for row in rows(app))


def test_marks_outlive_pages_and_photographs_that_are_put_away(app: AppTest) -> None:
    mark(app, all_marks())
    app.switch_page("pages/guide.py").run()
    app.switch_page("pages/compare.py").run()
    assert app.toggle(key="marking").value
    assert [boxes_of(app, place) for place in range(3)] == [[list(box)] for box in BOXES]
    app.get_by_key("samples").set_value(NAMES[:1]).run()
    assert "1 photograph marked." in text(app)
    app.get_by_key("samples").set_value(NAMES).run()
    assert [boxes_of(app, place) for place in range(3)] == [[list(box)] for box in BOXES]


def test_marks_belong_to_one_window(app: AppTest) -> None:
    mark(app, all_marks())
    other = new_app(backbones="TinyResNet", samples=NAMES).run()
    assert "marks" not in other.session_state or not other.session_state["marks"]
    assert [row["boxes"] for row in rows(other)] == [[], [], []]


def test_a_file_of_marks_joins_those_that_are_there(app: AppTest) -> None:
    mark(app, {PHOTOS[0].digest: marks(PHOTOS[0], BOXES[0])})
    file = coco_json(
        [*all_marks().values(), ImageBoxes("dog.png", 9, 9, marks(PHOTOS[0], (1, 2, 3, 4)).boxes, ("dog",))]
    )
    load(app, "mine.json", file)
    assert [boxes_of(app, place) for place in range(3)] == [[list(box)] for box in BOXES]
    assert "mine.json: 2 boxes added." in text(app)
    assert "mine.json is not used as a whole: no picture goes by dog.png." in text(app)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            coco_json([marks(load_sample("coins"), (1, 2, 300, 200))]),
            "none of which is there (for instance coins.png)",
        ),
        ("no json", "is no well-formed JSON"),
        ('{"shapes": [], "imagePath": ""}', "is a file of labelme"),
    ],
)
def test_a_file_that_does_not_fit_is_one_sentence_and_nothing_is_lost(app: AppTest, data: str, sentence: str) -> None:
    mark(app, all_marks())
    load(app, "other.json", data)
    assert sentence in text(app).replace("\\", "")
    assert [boxes_of(app, place) for place in range(3)] == [[list(box)] for box in BOXES]


def test_five_hundred_boxes_on_one_photograph_are_scored(app: AppTest) -> None:
    many = [(x, y, x + 8, y + 8) for x in range(0, 400, 16) for y in range(0, 280, 14)]
    assert len(many) == 500
    mark(app, {**all_marks(), PHOTOS[0].digest: marks(PHOTOS[0], *many)})
    assert len(rows(app)[0]["boxes"]) == 500
    assert "3 images: a first look, no winner." in text(app)


def test_all_marks_can_be_removed(app: AppTest) -> None:
    mark(app, all_marks())
    app.button(key="marks-remove").click().run()
    assert [row["boxes"] for row in rows(app)] == [[], [], []]
    assert "Draw boxes around your objects" in text(app)


def test_rank_takes_the_marked_photographs_and_finds_the_same_s(app: AppTest) -> None:
    mark(app, all_marks())
    look = app.session_state["last_look"][1]
    carry(app)
    assert "**your marks**: 3 images, 3 boxes, 1 class (marked by hand)." in text(app)
    app.toggle(key="rank_control").set_value(False)
    app.toggle(key="rank_probe").set_value(False).run()
    app.button(key="rank_start").click().run()
    assert not app.exception
    ranked = app.session_state["ranked"].ranking
    for name, separation in look.ranking.backbones[0].separation.items():
        assert ranked.backbones[0].separation[name] == separation
    app.button(key="rank-extremes").click().run()
    assert not app.exception
    assert sorted(json.loads(row["figure"])["layout"]["width"] > 0 for row in rows(app)) == [True] * 3
    assert sorted(boxes_of(app, place) for place in range(3)) == sorted([list(box)] for box in BOXES)


def test_what_was_carried_gives_way_to_files_and_can_be_closed(
    app: AppTest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CONVFE_HOSTED", "0")
    mark(app, all_marks())
    carry(app)
    app.text_input(key="dataset_folder").set_value(str(voc_folder(tmp_path / "squares", images=3))).run()
    assert app.caption[0].value.startswith("**squares**")
    app.text_input(key="dataset_folder").set_value("").run()
    assert "boxes" in app.info[0].value
    app.switch_page("pages/compare.py").run()
    carry(app)
    app.button(key="close-carried").click().run()
    assert "boxes" in app.info[0].value


@pytest.mark.slow
def test_boxes_of_a_data_set_are_corrected_on_compare_and_the_correction_stays(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.switch_page("pages/rank.py").run()
    app.button(key="dataset_samples").click().run()
    app.selectbox(key="size").set_value("224").run()  # stands in the address then
    app.toggle(key="rank_control").set_value(False)
    app.toggle(key="rank_probe").set_value(False).run()
    app.button(key="rank_start").click().run()
    assert "No winner is named: 11 images can be scored" in app.subheader[-1].value + text(app) + app.subheader[0].value
    app.button(key="rank-extremes").click().run()
    before = [boxes_of(app, place) for place in range(8)]
    assert all(before)
    app.switch_page("pages/compare.py").run()
    first = app.session_state["opened"][0]
    mark(app, {first.digest: marks(first, (1, 2, 200, 200))})
    assert boxes_of(app, 0) == [[1, 2, 200, 200]]
    assert [boxes_of(app, place) for place in range(1, 8)] == before[1:]
    app.button(key="close-opened").click().run()
    assert not app.exception
    assert first.digest in app.session_state["marks"]


def test_the_samples_are_ranked_by_one_click_and_say_that_they_are_few(app: AppTest) -> None:
    app.switch_page("pages/rank.py").run()
    app.button(key="dataset_samples").click().run()
    assert not app.exception
    assert "**samples**: 11 images, 49 boxes, 19 classes (COCO)." in text(app)
    assert "A first look: a winner is named from 20 images on." in text(app)


def keep_boxes_script() -> None:
    import streamlit as st

    from convfe_core.photos.gallery import load_sample
    from pages.app.session import MARKS, MARKS_SAID
    from pages.charts.show_row import DrawnBox
    from pages.marks.kept_marks import boxes_keeper, drawn_boxes, labels_in_use

    cat = load_sample("chelsea")
    keep = boxes_keeper([cat])
    keep("another photograph", [DrawnBox(x0=1, y0=2, x1=3, y1=4, label="")])
    st.text(len(MARKS.get()))
    keep(cat.digest, [DrawnBox(x0=-9, y0=2, x1=30, y1=40, label="eye"), DrawnBox(x0=1, y0=2, x1=3, y1=4, label="")])
    st.json([drawn_boxes(cat), labels_in_use(), list(MARKS_SAID.get())])


def test_what_is_drawn_is_kept_by_photograph_and_said_where_it_was_cut() -> None:
    app = AppTest.from_function(keep_boxes_script).run()
    assert not app.exception
    assert app.text[0].value == "0"
    assert json.loads(app.json[0].value) == [
        [
            {"x0": 0, "y0": 2, "x1": 30, "y1": 40, "label": "eye"},
            {"x0": 1, "y0": 2, "x1": 3, "y1": 4, "label": ""},
        ],
        ["eye"],
        ["chelsea.png: 1 box cut at the edge of the photograph."],
    ]
