"""The plots of a ranking: separation with intervals, separation against cost, by box size, and image by image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from convfe_core.rank import RankedResult, RankResult
from convfe_core.ranking import RankedBackbone
from convfe_core.separation import SIZE_GROUPS

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a7a00", "#999999")
"""Okabe and Ito's, told apart without colour vision; yellow is darkened."""

CONTROL_COLOUR = "#8a8f98"
COSTS = {"latency": "ms per image, batch 8", "flops": "GFLOPs per image", "params": "million parameters"}
LINE_HEIGHT = 44


def separation_figure(result: RankResult, ink: str) -> dict[str, Any]:
    """Draw each backbone's S with its interval, the highest on top, and its untrained control as a hollow mark.

    Parameters
    ----------
    result : a run
    ink : colour of the words

    Returns
    -------
    A Plotly figure as plain data.
    """
    ranked = [one for one in result.ranking.backbones if one.separation]
    reduction = result.ranking.reduction
    labels = [one.label for one in ranked]
    own = [one.separation[reduction].S for one in ranked]
    controls = [(one.label, one.separation[reduction].control) for one in ranked]
    data = [_interval_marks("backbone", labels, own, COLOURS[0], "circle")]
    known = [(label, control) for label, control in controls if control is not None]
    if known:
        names, estimates = [label for label, _ in known], [control for _, control in known]
        data.append(_interval_marks("untrained control", names, estimates, CONTROL_COLOUR, "diamond-open"))
    layout = _layout(ink, height=110 + LINE_HEIGHT * max(1, len(labels)))
    layout["xaxis"] = _axis(f"S of the {reduction} map, 95 % interval", ink) | {"zeroline": True}
    layout["yaxis"] = _axis("", ink) | {"autorange": "reversed", "type": "category"}
    return {"data": data, "layout": layout}


def cost_of(one: RankedResult, against: str) -> float | None:
    """What a backbone costs in one of `COSTS`; None where it was not measured."""
    if one.cost is None:
        return None
    if against == "latency":
        return min(one.cost.latency, key=lambda latency: abs(latency.batch - 8)).median
    return one.cost.flops / 1e9 if against == "flops" else one.cost.params / 1e6


def cost_figure(result: RankResult, against: str, ink: str) -> dict[str, Any]:
    """Draw S against a cost, with the front of backbones that no other beats in both.

    Parameters
    ----------
    against : a key of `COSTS`
    """
    found = {one.label: one for one in result.ranking.backbones if one.separation}
    reduction = result.ranking.reduction
    points = [
        (cost, found[one.label].separation[reduction].S.value, one.label)
        for one in result.results
        if one.label in found and (cost := cost_of(one, against)) is not None
    ]
    front = pareto_front([(cost, value) for cost, value, _ in points])
    line = sorted(points[index] for index in front)
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "front",
            "x": [point[0] for point in line],
            "y": [point[1] for point in line],
            "line": {"color": CONTROL_COLOUR, "shape": "hv", "dash": "dot"},
            "hoverinfo": "skip",
        },
        {
            "type": "scatter",
            "mode": "markers+text",
            "name": "backbones",
            "x": [point[0] for point in points],
            "y": [point[1] for point in points],
            "text": [point[2] for point in points],
            "textposition": "top center",
            "cliponaxis": False,
            "marker": {
                "size": 11,
                "color": [COLOURS[0] if index in front else CONTROL_COLOUR for index in range(len(points))],
            },
            "hovertemplate": f"%{{text}}<br>S %{{y:.3f}}<br>%{{x:.3g}} {COSTS[against]}<extra></extra>",
        },
    ]
    layout = _layout(ink, height=380)
    layout["xaxis"] = _axis(f"{COSTS[against]}, fewer is better", ink) | {"type": "log"}
    layout["yaxis"] = _axis(f"S of the {reduction} map", ink)
    return {"data": data, "layout": layout}


def pareto_front(points: Sequence[tuple[float, float]]) -> set[int]:
    """Indices of (cost, score) points such that no other is as cheap and as good, and better in one of the two.

    Examples
    --------
    >>> sorted(pareto_front([(1, 0.1), (2, 0.3), (3, 0.2), (2, 0.3)]))
    [0, 1, 3]
    """
    return {
        index
        for index, (cost, score) in enumerate(points)
        if not any(c <= cost and s >= score and (c, s) != (cost, score) for c, s in points)
    }


def size_figure(result: RankResult, ink: str) -> dict[str, Any]:
    """Draw each backbone's S on small, medium and large boxes alone, measured in cells of its map."""
    data = []
    for number, one in enumerate(result.ranking.backbones):
        known = [(name, one.by_size[name].S) for name in SIZE_GROUPS if name in one.by_size]
        kept = [(name, estimate) for name, estimate in known if estimate is not None]
        marks = _interval_marks(
            one.label,
            [name for name, _ in kept],
            [estimate for _, estimate in kept],
            COLOURS[number % len(COLOURS)],
            "circle",
            upright=True,
        )
        data.append(marks)
    layout = _layout(ink, height=340)
    layout["xaxis"] = _axis("size of the boxes, in cells", ink) | {
        "type": "category",
        "categoryarray": list(SIZE_GROUPS),
        "categoryorder": "array",
    }
    layout["yaxis"] = _axis(f"S of the {result.ranking.reduction} map", ink) | {"zeroline": True}
    layout["scattermode"] = "group"
    return {"data": data, "layout": layout}


def duel_figure(result: RankResult, first: RankedBackbone, second: RankedBackbone, ink: str) -> dict[str, Any]:
    """Draw one point an image: its S under one backbone against its S under another.

    Points above the diagonal are images that `first` wins. ``customdata`` holds the image's place in the data set.
    """
    reduction = result.ranking.reduction
    ours, theirs = (result.result(one.label).scores.maps[reduction].separation for one in (first, second))
    usable = np.flatnonzero(np.isfinite(ours) & np.isfinite(theirs))
    low = float(min(ours[usable].min(initial=0), theirs[usable].min(initial=0)))
    high = float(max(ours[usable].max(initial=0), theirs[usable].max(initial=0)))
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [low, high],
            "y": [low, high],
            "line": {"color": CONTROL_COLOUR, "dash": "dot"},
            "hoverinfo": "skip",
            "showlegend": False,
        },
        {
            "type": "scatter",
            "mode": "markers",
            "showlegend": False,
            "x": theirs[usable],
            "y": ours[usable],
            "text": [result.dataset.images[place].image for place in usable],
            "customdata": usable,
            "marker": {
                "size": 9,
                "opacity": 0.8,
                "color": [COLOURS[0] if ours[place] >= theirs[place] else COLOURS[1] for place in usable],
            },
            "hovertemplate": f"%{{text}}<br>{first.label} %{{y:.2f}}<br>{second.label} %{{x:.2f}}<extra></extra>",
        },
    ]
    layout = _layout(ink, height=420)
    layout["xaxis"] = _axis(f"S under {second.label}", ink)
    layout["yaxis"] = _axis(f"S under {first.label}", ink)
    return {"data": data, "layout": layout}


def _interval_marks(
    name: str, places: Sequence[str], estimates: Sequence[Any], colour: str, symbol: str, *, upright: bool = False
) -> dict[str, Any]:
    values = [estimate.value for estimate in estimates]
    spread = {
        "type": "data",
        "symmetric": False,
        "array": [estimate.high - estimate.value for estimate in estimates],
        "arrayminus": [estimate.value - estimate.low for estimate in estimates],
        "thickness": 1.5,
    }
    across, along = ("x", "y") if upright else ("y", "x")
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        across: list(places),
        along: values,
        f"error_{along}": spread,
        "marker": {"size": 11, "color": colour, "symbol": symbol, "line": {"width": 2, "color": colour}},
        "hovertemplate": f"%{{{across}}}<br>S %{{{along}:.3f}}<extra>{name}</extra>",
    }


def _layout(ink: str, height: int) -> dict[str, Any]:
    return {
        "height": height,
        "font": {"color": ink},
        "margin": {"l": 10, "r": 10, "t": 34, "b": 10},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "paper_bgcolor": "rgba(0, 0, 0, 0)",
        "plot_bgcolor": "rgba(0, 0, 0, 0)",
    }


def _axis(title: str, ink: str) -> dict[str, Any]:
    return {
        "title": {"text": title, "font": {"color": ink}},
        "tickfont": {"color": ink},
        "automargin": True,
        "gridcolor": "rgba(128, 128, 128, 0.25)",
        "zerolinecolor": "rgba(128, 128, 128, 0.6)",
        "zeroline": False,
    }
