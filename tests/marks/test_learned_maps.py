"""The probe's map on Compare: offered from three marked photographs on, scikit-learn's, and it follows the boxes."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from streamlit.testing.v1 import AppTest

from convfe_core.backbones.network import open_network
from convfe_core.catalog.specs import parse_spec
from convfe_core.datasets.write_coco import coco_json
from convfe_core.machine.machine_queue import MACHINE
from convfe_core.maps.npz import maps_npz
from convfe_core.marks.marked_photos import mark_photo
from convfe_core.photos.letterbox import place_on_canvas
from convfe_core.ranking.results import RankOptions
from convfe_core.ranking.run import RankRun
from convfe_core.scoring.cell_probe import COMPONENTS, PENALTY, deal_folds
from convfe_core.scoring.separation import inside_mask
from convfe_core.serving import visitors
from pages.app import compute_maps
from pages.marks.learned_maps import Learned
from tests.marks.test_marks_page import BOXES, NAMES, PHOTOS, all_marks, mark, text
from tests.support.apps import new_app, rows

SMALL = "TinyResNet"


@pytest.fixture
def app(no_weights: Path) -> AppTest:
    """Compare with one small backbone and three photographs, not marked yet."""
    app = new_app(backbones=SMALL, samples=NAMES).run()
    assert not app.exception
    return app


def learned(app: AppTest) -> Learned:
    (found,) = app.session_state["learned"].values()
    return found


def show_probe(app: AppTest) -> None:
    app.get_by_key("maps").set_value(["mean", "probe"]).run()
    assert not app.exception


def test_it_is_offered_from_three_photographs_with_boxes_on_and_never_without(app: AppTest) -> None:
    assert app.get_by_key("maps").options == ["max", "mean", "pca"]
    two = dict(list(all_marks().items())[:2])
    mark(app, two)
    assert app.get_by_key("maps").options == ["max", "mean", "pca"]
    mark(app, all_marks())
    assert app.get_by_key("maps").options == ["max", "mean", "pca", "probe"]
    show_probe(app)
    assert all(f"{SMALL} probe" in row["figure"] for row in rows(app))
    app.button(key="marks-remove").click().run()
    assert not app.exception
    assert not any(f"{SMALL} probe" in row["figure"] for row in rows(app))
    app.switch_page("pages/depth.py").run()
    assert not app.exception


def test_a_file_of_boxes_offers_it_at_once(app: AppTest) -> None:
    app.toggle(key="marking").set_value(True).run()
    app.file_uploader(key="marks_file").upload("mine.json", coco_json(list(all_marks().values())).encode()).run()
    assert not app.exception
    assert "mine.json: 3 boxes added." in text(app)
    assert app.get_by_key("maps").options == ["max", "mean", "pca", "probe"]


def test_it_is_what_scikit_learn_predicts_from_the_other_photographs(app: AppTest) -> None:
    mark(app, all_marks())
    show_probe(app)
    network = open_network(parse_spec(SMALL))
    by_digest = {one.digest: one for one in app.session_state["map_store"]._kept.values()}
    ordered = sorted(PHOTOS, key=lambda photo: photo.name)
    features, targets = [], []
    for photo in ordered:
        one, box = by_digest[photo.digest], BOXES[PHOTOS.index(photo)]
        rows_, columns = one.mean.shape
        canvas = place_on_canvas(photo, one.frame)[None]
        features.append(network.features(canvas).numpy()[0, :rows_, :columns].astype(np.float64))
        targets.append(inside_mask(np.array([box], np.float64), one.centres_y, one.centres_x))
    folds = deal_folds(range(3))
    for place, photo in enumerate(ordered):
        training = [other for other in range(3) if folds[other] != folds[place]]
        # Cells are repeated until every photograph weighs the same.
        most = np.lcm.reduce([targets[other].size for other in training])
        cells = np.concatenate(
            [np.repeat(features[o].reshape(targets[o].size, -1), most // targets[o].size, 0) for o in training]
        )
        wanted = np.concatenate([np.repeat(targets[o].ravel(), most // targets[o].size) for o in training])
        whiten = PCA(min(COMPONENTS, cells.shape[1]), whiten=True, svd_solver="full")
        whitened = whiten.fit_transform(cells)
        ridge = Ridge(PENALTY * (len(whitened) - 1)).fit(whitened, wanted)
        expected = ridge.predict(whiten.transform(features[place].reshape(targets[place].size, -1)))
        found = learned(app).maps[photo.digest].ravel()
        np.testing.assert_allclose(found - found.mean(), expected - expected.mean(), atol=0.02)


def test_it_follows_the_boxes_without_running_a_backbone(app: AppTest) -> None:
    mark(app, all_marks())
    show_probe(app)
    first, passed = learned(app), MACHINE.passed
    app.selectbox(key="colours").set_value("Inferno").run()
    assert learned(app) is first
    assert MACHINE.passed == passed
    mark(app, {**all_marks(), PHOTOS[0].digest: mark_photo(PHOTOS[0], [(200, 100, 400, 290)])[0]})
    second = learned(app)
    assert MACHINE.passed == passed + 1  # to learn in
    for photo in PHOTOS[1:]:
        assert not np.array_equal(second.maps[photo.digest], first.maps[photo.digest])
    np.testing.assert_array_equal(second.maps[PHOTOS[0].digest], first.maps[PHOTOS[0].digest])
    assert set(rows(app)[1]["notes"]) == {f"{SMALL} mean", f"{SMALL} probe"}


def test_its_s_is_that_of_a_ranking_on_the_same_boxes(app: AppTest) -> None:
    mark(app, all_marks())
    show_probe(app)
    assert "| Backbone | S of max | S of mean | S of probe |" in text(app)
    look = app.session_state["last_look"][1]
    app.button(key="marks-rank").click().run()
    options = RankOptions(control=False, cost=False)
    ranked = RankRun(app.session_state["carried"], [parse_spec(SMALL)], options).run().ranking
    assert ranked.backbones[0].cell_probe is not None
    assert look.ranking.backbones[0].separation["probe"].S.value == pytest.approx(
        ranked.backbones[0].cell_probe.S.value, abs=1e-9
    )


def test_features_that_are_too_many_are_run_through_when_asked(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    mark(app, all_marks())
    show_probe(app)
    kept = learned(app)
    monkeypatch.setattr(compute_maps, "allowance", lambda: replace(visitors.LOCAL, features_mb=0.01))
    app.session_state["features"].clear()
    mark(app, {**all_marks()})
    assert app.session_state["learned"] == {}
    assert "more features than are kept in memory" in text(app)
    assert app.session_state["features"] == {}
    app.button(key="probe-learn").click().run()
    assert not app.exception
    assert "more features than are kept in memory" not in text(app)
    for digest, values in learned(app).maps.items():
        np.testing.assert_allclose(values, kept.maps[digest], rtol=1e-3, atol=1e-4)


def test_boxes_that_hold_no_cell_are_a_sentence_and_an_empty_map(app: AppTest) -> None:
    mark(app, {photo.digest: mark_photo(photo, [(0, 0, 1, 1)])[0] for photo in PHOTOS})
    show_probe(app)
    assert "has no probe map: no cell of this map has its centre in a box" in text(app)
    assert "flat: every cell has the same value" in text(app)


def test_the_file_of_all_maps_has_it(app: AppTest) -> None:
    mark(app, all_marks())
    show_probe(app)
    found = [replace(one, probe=learned(app).maps[one.digest]) for one in app.session_state["map_store"]._kept.values()]
    with np.load(io.BytesIO(maps_npz(found))) as arrays:
        np.testing.assert_array_equal(arrays["probe_0001"], found[1].probe)
    assert json.loads(rows(app)[0]["figure"])["data"][-2]["name"] == f"{SMALL} probe"
