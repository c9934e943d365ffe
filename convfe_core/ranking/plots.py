"""The plots of a ranking, as Plotly figures in plain data: S with its intervals, and S against cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from convfe_core.drawing.figure_text import escape
from convfe_core.ranking.results import RankResult
from convfe_core.ranking.tables import table_rows
from convfe_core.ranking.verdict import RankedBackbone
from convfe_core.scoring.separation import SIZE_GROUPS
from convfe_core.trial.average_precision import RECALLS

COSTS = {
    "ms_batch_1": "milliseconds per image, one at a time",
    "ms_batch_8": "milliseconds per image, eight at a time",
    "flops": "floating-point operations per image",
    "params": "parameters",
    "memory_mb": "megabytes added",
}
"""What S can be plotted against: keys of a table row, and what they are called."""

COLOURS = ("#0f766e", "#b45309", "#4338ca")
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
CONTROL_COLOUR = "#9ca3af"
INK = "#1c2b2a"


_MARKS = (
    ("backbone", ("S", "S_low", "S_high"), COLOURS[0], "circle"),
    ("its untrained control", ("control_S", "control_low", "control_high"), CONTROL_COLOUR, "diamond-open"),
    ("cell probe", ("cell_probe", "cell_probe_low", "cell_probe_high"), COLOURS[1], "square"),
    (
        "the probe's untrained control",
        ("cell_probe_control", "cell_probe_control_low", "cell_probe_control_high"),
        CONTROL_COLOUR,
        "square-open",
    ),
)
"""What the plot of S shows: its name, keys of a table row (value, low, high), colour and symbol."""


def separation_figure(result: RankResult, ink: str = INK) -> dict[str, Any]:
    """S of every backbone's map and cell probe with intervals, the best on top, and of their controls, open."""
    ranked = [row for row in reversed(table_rows(result)) if row["S"] is not None]
    data = []
    for name, keys, colour, symbol in _MARKS:
        rows = [row for row in ranked if row[keys[0]] is not None]
        found = {
            "type": "scatter",
            "mode": "markers",
            "x": [row[keys[0]] for row in rows],
            "y": [escape(row["spec"]) for row in rows],
            "error_x": _bars(rows, keys) | {"color": colour},
            "marker": {"color": colour, "size": 11, "symbol": symbol, "line": {"width": 2, "color": colour}},
            "name": name,
            "hovertemplate": f"%{{y}}<br>S %{{x:.3f}}<extra>{name}</extra>",
        }
        if rows or name == "backbone":
            data.append(found)
    probed = " and the cell probe" if any(row["cell_probe"] is not None for row in ranked) else ""
    layout = _layout(ink, f"separation S of the {result.options.reduction} map{probed}", "")
    layout["height"] = 120 + 44 * len(ranked)
    layout["xaxis"] |= {"zeroline": True, "zerolinecolor": ink, "zerolinewidth": 1}
    layout["yaxis"] |= {"type": "category", "automargin": True}
    return {"data": data, "layout": layout}


def recall_figure(result: RankResult, ink: str = INK) -> dict[str, Any]:
    """Precision against recall of every detector that was tried, at an overlap of .5; on images it had not seen."""
    data = []
    for k, one in enumerate(result.result(ranked.label) for ranked in result.ranking.backbones):
        if one.tried is not None:
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "x": RECALLS.tolist(),
                    "y": one.tried.matches.curve.tolist(),
                    "name": f"{escape(one.label)}, AP50 {one.tried.scores.ap50.value:.2f}",
                    "line": {"dash": _DASHES[k % len(_DASHES)], "color": COLOURS[k % len(COLOURS)], "width": 2},
                    "hovertemplate": "recall %{x:.2f}, precision %{y:.2f}<extra></extra>",
                }
            )
    layout = _layout(ink, "recall", "precision")
    layout["xaxis"] |= {"range": [0, 1.01]}
    layout["yaxis"] |= {"range": [0, 1.01]}
    return {"data": data, "layout": layout}


def pareto_figure(result: RankResult, cost: str = "ms_batch_1", ink: str = INK) -> dict[str, Any]:
    """S against a cost, with the Pareto front: each of its backbones has a higher S than every cheaper one.

    Parameters
    ----------
    cost : a key of `COSTS`
    """
    if cost not in COSTS:
        raise ValueError(f"Expected a cost: {', '.join(COSTS)}. Received: {cost!r}")
    rows = [row for row in table_rows(result) if row["S"] is not None and row[cost] is not None]
    front = pareto_front(rows, cost)
    costs = [row[cost] for row in rows]
    middle = float(np.median(costs)) if costs else 0.0
    spread = min(costs, default=0.0) > 0 and max(costs) / min(costs) >= 10
    points = {
        "type": "scatter",
        "mode": "markers+text",
        "x": costs,
        "y": [row["S"] for row in rows],
        "text": [escape(row["spec"]) for row in rows],
        "textposition": ["top left" if found > middle else "top right" for found in costs],  # where the plot has room
        "error_y": _bars(rows, ("S", "S_low", "S_high")),
        "marker": {"color": COLOURS[0], "size": 10},
        "name": "backbone",
        "cliponaxis": False,
        "hovertemplate": "%{text}<br>S %{y:.3f}<br>%{x:.4g} " + COSTS[cost] + "<extra></extra>",
    }
    line = {
        "type": "scatter",
        "mode": "lines",
        "x": [row[cost] for row in front],
        "y": [row["S"] for row in front],
        "line": {"color": COLOURS[1], "dash": "dot", "shape": "hv"},
        "name": "nothing cheaper is better",
        "hoverinfo": "skip",
    }
    layout = _layout(ink, COSTS[cost], "separation S")
    # A logarithmic axis over less than a power of ten would have no number on it.
    layout["xaxis"] |= {"type": "log", "dtick": "D2"} if spread else {"type": "linear"}
    return {"data": [line, points], "layout": layout | {"height": 420}}


def pareto_front(rows: Sequence[Mapping[str, Any]], cost: str) -> list[Mapping[str, Any]]:
    """Rows, the cheapest first, of which each has a higher S than everything cheaper."""
    front: list[Mapping[str, Any]] = []
    for row in sorted(rows, key=lambda r: (r[cost], -r["S"])):
        if not front or row["S"] > front[-1]["S"]:
            front.append(row)
    return front


def size_figure(result: RankResult, ink: str = INK) -> dict[str, Any]:
    """S of small, medium and large boxes for every backbone, with intervals."""
    data = []
    ranked = result.ranking.backbones
    for colour, (group, (low, high)) in zip(COLOURS, SIZE_GROUPS.items(), strict=True):
        found = [(r.label, r.by_size[group]) for r in ranked if group in r.by_size and r.by_size[group].S is not None]
        rows = [{"S": s.S.value, "low": s.S.low, "high": s.S.high} for _, s in found if s.S is not None]
        bounds = f"from {low:g}" if high == float("inf") else f"{low:g} to {high:g}"
        data.append(
            {
                "type": "bar",
                "x": [escape(label) for label, _ in found],
                "y": [row["S"] for row in rows],
                "error_y": _bars(rows, ("S", "low", "high")) | {"color": ink},
                "marker": {"color": colour},
                "name": f"{group}: {bounds} cells",
                "customdata": [score.images for _, score in found],
                "hovertemplate": "%{x}<br>S %{y:.3f} on %{customdata} images<extra>" + group + "</extra>",
            }
        )
    layout = _layout(ink, "", "separation S") | {"barmode": "group", "height": 380}
    return {"data": data, "layout": layout}


def duel_figure(result: RankResult, first: RankedBackbone, second: RankedBackbone, ink: str = INK) -> dict[str, Any]:
    """Draw one point an image: its S under one backbone against its S under another.

    Points above the diagonal are images that `first` wins. ``customdata`` holds the image's place in the data set.
    """
    reduction = result.ranking.reduction
    up, across = escape(first.label), escape(second.label)
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
            "text": [escape(result.dataset.images[place].image) for place in usable.tolist()],
            "customdata": usable,
            "marker": {
                "size": 9,
                "opacity": 0.8,
                "color": [COLOURS[0] if ours[place] >= theirs[place] else COLOURS[1] for place in usable],
            },
            "hovertemplate": f"%{{text}}<br>{up} %{{y:.2f}}<br>{across} %{{x:.2f}}<extra></extra>",
        },
    ]
    layout = _layout(ink, f"S under {across}", f"S under {up}") | {"height": 420}
    return {"data": data, "layout": layout}


def _bars(rows: Sequence[Mapping[str, Any]], keys: tuple[str, str, str]) -> dict[str, Any]:
    value, low, high = keys
    return {
        "type": "data",
        "symmetric": False,
        "array": [row[high] - row[value] for row in rows],
        "arrayminus": [row[value] - row[low] for row in rows],
        "thickness": 1.5,
    }


def _layout(ink: str, x: str, y: str) -> dict[str, Any]:
    grid: dict[str, Any] = {"gridcolor": "rgba(128, 128, 128, 0.25)", "zeroline": False, "automargin": True}
    grid["tickfont"] = {"color": ink}
    return {
        "xaxis": {"title": {"text": x, "font": {"color": ink}}, **grid},
        "yaxis": {"title": {"text": y, "font": {"color": ink}}, **grid},
        "font": {"color": ink},
        "paper_bgcolor": "rgba(0, 0, 0, 0)",
        "plot_bgcolor": "rgba(0, 0, 0, 0)",
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        "margin": {"l": 10, "r": 20, "t": 40, "b": 10},
    }
