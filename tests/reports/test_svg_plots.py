"""Plots without a script: every mark lies where its numbers say, and tells them."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from convfe_core.reports.svg_plots import draw_svg

INK = "#000000"
SVG = "{http://www.w3.org/2000/svg}"


def axis(title: str = "", **changes: object) -> dict[str, object]:
    return {"title": {"text": title}, "gridcolor": "#ddd", **changes}


def drawn(*traces: dict[str, object], **layout: object) -> ElementTree.Element:
    figure = {"data": traces, "layout": {"font": {"color": INK}, "xaxis": axis(), "yaxis": axis(), **layout}}
    return ElementTree.fromstring(draw_svg(figure, "a plot"))


def points(x: list, y: list, **changes: object) -> dict[str, object]:
    marker = {"color": "#123456", "size": 10}
    return {
        "type": "scatter",
        "mode": "markers",
        "x": x,
        "y": y,
        "name": "found",
        "marker": marker,
        "hovertemplate": "%{x:.2f}<extra>one</extra>",
        **changes,
    }


def centres(svg: ElementTree.Element) -> list[tuple[float, float]]:
    """Of the discs, that of the legend left out."""
    return [(float(one.get("cx")), float(one.get("cy"))) for one in svg.iter(f"{SVG}circle")][1:]


def words(svg: ElementTree.Element) -> list[str]:
    return [one.text for one in svg.iter(f"{SVG}text") if one.text]


def test_points_lie_in_proportion_to_their_numbers():
    (left, low), (middle, half), (right, high) = centres(drawn(points([0, 1, 4], [0, 5, 10])))
    assert (middle - left) / (right - left) == pytest.approx(1 / 4, abs=1e-3)
    assert (low - half) / (low - high) == pytest.approx(1 / 2, abs=1e-3)
    assert low > high


def test_an_axis_of_logarithms_gives_every_factor_the_same_room():
    one, ten, hundred = (x for x, _ in centres(drawn(points([1, 10, 100], [0, 0, 1]), xaxis=axis(type="log"))))
    assert ten - one == pytest.approx(hundred - ten, abs=0.2)


def test_error_bars_reach_as_far_as_they_say():
    bars = {"array": [2.0, 0.0], "arrayminus": [1.0, 0.0], "color": INK}
    svg = drawn(points([10, 20], ["a", "b"], error_x=bars))
    (at, _), (other, _) = centres(svg)
    unit = (other - at) / 10
    ends = next(one.get("points") for one in svg.iter(f"{SVG}polyline") if one.get("stroke-width") == "1.5")
    left, right = (float(end.split(",")[0]) for end in ends.split())
    assert (at - left) / unit == pytest.approx(1, abs=0.02)
    assert (right - at) / unit == pytest.approx(2, abs=0.02)


def test_bars_stand_beside_each_other_on_zero():
    def bars(heights: list[float], name: str) -> dict[str, object]:
        none = {"array": [0.0] * 2, "arrayminus": [0.0] * 2, "color": INK}
        marker, told = {"color": "#123456"}, "%{y}"
        ways = {"x": ["a", "b"], "y": heights, "error_y": none, "marker": marker, "hovertemplate": told}
        return {"type": "bar", "name": name, **ways}

    svg = drawn(bars([2.0, -1.0], "first"), bars([4.0, 1.0], "second"))
    boxes = [{key: float(one.get(key)) for key in ("x", "y", "width", "height")} for one in svg.iter(f"{SVG}rect")]
    two, minus, four, one = (box for box in boxes if box["width"] > 12)
    assert four["height"] == pytest.approx(2 * two["height"], abs=0.2)
    assert two["y"] + two["height"] == pytest.approx(four["y"] + four["height"], abs=0.2)  # they stand on one line
    assert minus["y"] == pytest.approx(two["y"] + two["height"], abs=0.2)
    assert two["x"] + two["width"] == pytest.approx(four["x"], abs=0.2)
    assert one["x"] - four["x"] == pytest.approx(minus["x"] - two["x"], abs=0.2)


def test_a_mark_tells_its_numbers_and_names_are_shown_as_they_are():
    name = "&lt;b&gt; &amp; co"
    told = points([0.123, 1], [name, "b"], hovertemplate="%{y}<br>S %{x:.2f}<extra>backbone</extra>")
    svg = drawn(told)
    assert next(one.text for one in svg.iter(f"{SVG}title")) == "<b> & co\nS 0.12\nbackbone"
    assert {"<b> & co", "b", "found"} <= set(words(svg))


def test_a_plot_of_nothing_is_drawn_all_the_same():
    assert centres(drawn(points([], []))) == []
    assert centres(drawn(points([3], [3]))) != []


def test_a_staircase_goes_across_first():
    stairs = {"type": "scatter", "mode": "lines", "x": [0, 1], "y": [0, 1], "name": "front"}
    svg = drawn({**stairs, "line": {"color": "#123456", "shape": "hv"}})
    (way,) = (one for one in svg.iter(f"{SVG}polyline") if one.find(f"{SVG}title") is not None)
    first, corner, last = ([float(one) for one in point.split(",")] for point in way.get("points").split())
    assert corner == [last[0], first[1]]
