"""What is made of a ranking: tables, plots, and a report that needs nothing beside it."""

from __future__ import annotations

import csv
import io
import re
from base64 import b64decode
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageColor

from convfe_core.backbones.backbone import load_backbone
from convfe_core.base.file_sets import UploadedFiles
from convfe_core.catalog.specs import parse_spec
from convfe_core.drawing.colour_maps import BOX_COLOUR
from convfe_core.maps.extraction import extract_maps
from convfe_core.photos.photo import read_photo
from convfe_core.ranking.plots import COSTS, duel_figure, pareto_figure, pareto_front, separation_figure, size_figure
from convfe_core.ranking.results import REPORTED, RankResult
from convfe_core.ranking.run import RankRun
from convfe_core.ranking.tables import COLUMNS, to_csv, to_text
from convfe_core.reports.html_report import html_report
from tests.support.rankings import OTHER, QUICK, SMALL, dataset, patches, picture


def test_tables_have_a_line_for_each_backbone(full: RankResult) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(full))))
    assert list(rows[0]) == list(COLUMNS)
    assert [row["spec"] for row in rows] == [b.label for b in full.ranking.backbones]
    assert float(rows[0]["S"]) == full.ranking.backbones[0].separation["mean"].S.value
    text = to_text(full).splitlines()
    assert text[-1] == full.ranking.verdict.text
    assert sum(line.startswith((SMALL + "  ", OTHER + "  ")) for line in text) == 2


def test_pictures_of_a_report_need_no_backbone(full: RankResult, monkeypatch: pytest.MonkeyPatch) -> None:
    def loaded(*_: object, **__: object) -> None:
        raise AssertionError("a backbone was loaded")

    monkeypatch.setattr("convfe_core.backbones.network.open_network", loaded)
    assert html_report(full).count("<img") == 2 * REPORTED


def test_the_maps_of_a_report_are_those_that_the_backbone_makes(full: RankResult) -> None:
    names = [*full.reported[0], *full.reported[1]]
    photos = [read_photo(full.dataset.source.read(name, 2**20), name) for name in names]
    for one in full.results:
        made = list(extract_maps(load_backbone(one.spec), photos, full.options.size))
        assert list(one.maps) == names
        for kept, fresh in zip(one.maps.values(), made, strict=True):
            assert (kept.frame, kept.grid, kept.digest) == (fresh.frame, fresh.grid, fresh.digest)
            assert (kept.label, kept.weights, kept.tap) == (fresh.label, fresh.weights, fresh.tap)
            np.testing.assert_allclose(kept.mean, fresh.mean, rtol=1e-5)
            np.testing.assert_allclose(kept.max, fresh.max, rtol=1e-5)


def test_a_photograph_that_has_changed_is_not_shown_with_old_maps(full: RankResult) -> None:
    name = full.reported[0][0]
    files = patches(24) | {name: picture((0, 0), 99)}
    changed = replace(full, dataset=replace(full.dataset, source=UploadedFiles(files.items())))
    shown = html_report(changed)
    assert f'alt="{name}, S' not in shown
    assert shown.count("<img") == 2 * REPORTED - 1


def test_figures_show_what_the_ranking_says(full: RankResult) -> None:
    points, controls, probes, of_probes = separation_figure(full)["data"]
    assert list(reversed(points["y"])) == [b.label for b in full.ranking.backbones]
    best = full.ranking.backbones[0].separation["mean"].S
    assert points["x"][-1] == best.value
    assert points["error_x"]["array"][-1] == pytest.approx(best.high - best.value)
    assert len(controls["x"]) == len(of_probes["x"]) == 2
    found = full.ranking.backbones[0].cell_probe
    assert found is not None
    assert probes["x"][-1] == found.S.value
    assert len(size_figure(full)["data"]) == 3
    for cost in COSTS:
        assert sorted(pareto_figure(full, cost)["data"][1]["text"]) == sorted([SMALL, OTHER])
    with pytest.raises(ValueError, match="Expected a cost"):
        pareto_figure(full, "money")


MARKUP = '<a href="https://a.example">x</a><img src=x onerror=alert(1)>'


@pytest.fixture(scope="module")
def marked() -> RankResult:
    """A ranking whose backbone and images are called like HTML."""
    files = {f"{MARKUP}{name}": data for name, data in patches(4).items()}
    result = RankRun(dataset(files), [parse_spec(SMALL), parse_spec(OTHER)], replace(QUICK, cost=True)).run()
    results = tuple(replace(one, label=f"{MARKUP}{one.label}") for one in result.results)
    backbones = tuple(replace(one, label=f"{MARKUP}{one.label}") for one in result.ranking.backbones)
    return replace(result, results=results, ranking=replace(result.ranking, backbones=backbones))


def test_names_with_tags_are_shown_and_not_obeyed(marked: RankResult) -> None:
    first, second = marked.ranking.backbones
    for figure in (
        separation_figure(marked),
        size_figure(marked),
        pareto_figure(marked),
        duel_figure(marked, first, second),
    ):
        text = str(figure)
        assert "&lt;img src=x" in text
        assert "<img" not in text
        assert "<a " not in text
    page = html_report(marked)
    assert page.count("&lt;img src=x onerror=alert(1)&gt;") > 4
    assert "<img src=x" not in page
    assert '<a href="https://a' not in page


def test_an_axis_of_costs_always_has_numbers_on_it(full: RankResult) -> None:
    assert pareto_figure(full, "params")["layout"]["xaxis"]["type"] == "linear"  # 0.48 and 1.22 million
    dear = replace(full.results[0], cost=replace(full.results[0].cost, params=10**9))
    spread = replace(full, results=(dear, *full.results[1:]))
    assert pareto_figure(spread, "params")["layout"]["xaxis"]["type"] == "log"


def test_the_front_is_what_nothing_cheaper_beats() -> None:
    rows = [{"spec": n, "ms": ms, "S": s} for n, ms, s in (("a", 1, 0.1), ("b", 2, 0.3), ("c", 3, 0.2), ("d", 3, 0.4))]
    assert [row["spec"] for row in pareto_front(rows, "ms")] == ["a", "b", "d"]


def test_wins_and_losses_are_sorted_by_image(full: RankResult) -> None:
    wins = full.wins_and_losses(SMALL, OTHER)
    assert [value for _, value in wins] == sorted((value for _, value in wins), reverse=True)
    assert full.wins_and_losses(OTHER, SMALL)[-1][0] == wins[0][0]
    best, worst = full.best_and_worst(rows=2)
    assert len({*best, *worst}) == 4


def test_the_report_is_one_page_that_needs_nothing_beside_it(full: RankResult) -> None:
    page = html_report(full)
    assert full.ranking.verdict.text.split(";")[0] in page
    assert "<title>Backbones for the uploaded files</title>" in page
    assert "24 images, 24 boxes, 2 classes (YOLO)" in page
    pictures = re.findall('<img src="data:image/png;base64,([^"]+)"', page)
    assert len(pictures) == 2 * REPORTED
    cyan = ImageColor.getrgb(BOX_COLOUR)
    assert all((np.asarray(Image.open(io.BytesIO(b64decode(one))))[..., :3] == cyan).all(-1).any() for one in pictures)
    assert "top-1" not in page  # published for none of the two
    assert page.count("<svg") == 3
    assert "<script" not in page
    assert 'src="http' not in page
    assert 'href="http' not in page


def test_a_report_is_written_without_pictures_that_are_gone(full: RankResult) -> None:
    gone = replace(full, dataset=replace(full.dataset, source=UploadedFiles([])))
    page = html_report(gone)
    assert full.ranking.verdict.text in page
    assert "<img" not in page
