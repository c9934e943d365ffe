"""The plots of a ranking as SVG: they need no script, and a report with them a tenth of the bytes.

What is drawn are figures of `convfe_core.ranking.plots`, which the app hands to Plotly: points with error bars, lines,
grouped bars, on axes of numbers, of their logarithms, or of names. What Plotly says of a mark under the cursor is the
mark's title, which browsers show there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import unescape
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

WIDTH, HEIGHT = 960, 450
"""Units across, and down where a figure does not say."""
_LETTER = 7.4
"""Units that a letter takes across, about."""
_ROOM = 0.06
"""Share of an axis that stays free on each side of what is on it."""
_BARS = 0.8
"""Share of a name's place on an axis that its bars take together."""
_TICKS = 7
_LEGEND_LINE = 22
_DASHES = {"dash": "8 5", "dot": "2 4", "dashdot": "8 4 2 4", "longdash": "14 6"}

Figure = Mapping[str, Any]
"""``data`` and ``layout`` of a figure of `convfe_core.ranking.plots`."""


@dataclass(frozen=True)
class _Axis:
    """Where values lie across or down a plot.

    Attributes
    ----------
    start, end : units at which `low` and `high` lie; logarithms of these on an axis of logarithms
    names : where it is one of names; they lie at 0, 1, ...
    """

    low: float
    high: float
    start: float
    end: float
    names: tuple[str, ...] = ()
    logarithmic: bool = False

    def place(self, value: Any) -> float:
        """Where a value or a name lies."""
        number = self.names.index(value) if self.names else math.log10(value) if self.logarithmic else value
        return self.start + (number - self.low) / (self.high - self.low) * (self.end - self.start)

    @property
    def step(self) -> float:
        """Units from one name to the next."""
        return (self.end - self.start) / (self.high - self.low)

    def ticks(self) -> list[tuple[float, str]]:
        """Where something is written beside it, and what."""
        if self.names:
            return [(self.place(name), unescape(name)) for name in self.names]
        if self.logarithmic:
            powers = range(math.floor(self.low), math.ceil(self.high) + 1)
            values = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
            return [(self.place(one), f"{one:,g}") for one in values if self.low <= math.log10(one) <= self.high]
        rough = (self.high - self.low) / _TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(digit * power for digit in (1, 2, 5, 10) if digit * power >= rough)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [(self.place(k * step), f"{k * step:.6g}") for k in range(first, last + 1)]


def draw_svg(figure: Figure, title: str) -> str:
    """A figure as an SVG element.

    Parameters
    ----------
    title : what the plot is, for those who cannot see it
    """
    data, layout = figure["data"], figure["layout"]
    height = layout.get("height", HEIGHT)
    svg = Element("svg", viewBox=f"0 0 {WIDTH} {height}", role="img", xmlns="http://www.w3.org/2000/svg")
    svg.set("aria-label", title)
    svg.set("font-size", "13")
    svg.set("fill", layout["font"]["color"])
    top = _legend(svg, data) + 8
    names = _names(data, "y")
    left = 24 + _LETTER * (max(map(len, map(unescape, names))) if names else 6) + 16 * bool(_words(layout["yaxis"]))
    bottom = height - 28 - 20 * bool(_words(layout["xaxis"]))
    across = _axis(data, layout, "x", left, WIDTH - 20)
    down = _axis(data, layout, "y", bottom, top)
    _draw_grid(svg, across, down, layout)
    bars = [trace for trace in data if trace["type"] == "bar"]
    for trace in data:
        if trace["type"] == "bar":
            _draw_bars(svg, trace, across, down, bars.index(trace), len(bars))
        elif "lines" in trace["mode"]:
            _draw_line(svg, trace, across, down)
        else:
            _draw_points(svg, trace, across, down)
    return ElementTree.tostring(svg, encoding="unicode")


def _legend(svg: Element, data: Sequence[Figure]) -> float:
    """What each trace is, above the plot, and how far down that reaches."""
    left, line = 8.0, 0
    for trace in data:
        words = unescape(trace["name"])
        width = 44 + _LETTER * len(words)
        if left + width > WIDTH and left > 8:
            left, line = 8.0, line + 1
        y = 14.0 + _LEGEND_LINE * line
        if trace["type"] == "bar":
            SubElement(svg, "rect", _numbers(x=left, y=y - 6, width=12, height=12), fill=trace["marker"]["color"])
        elif "lines" in trace["mode"]:
            _path(svg, [(left - 4, y), (left + 16, y)], trace["line"])
        else:
            _mark(svg, left + 6, y, trace["marker"])
        _text(svg, words, left + 22, y + 4)
        left += width
    return 14.0 + _LEGEND_LINE * (line + 1)


def _names(data: Iterable[Figure], side: str) -> tuple[str, ...]:
    """The names on an axis, each once; none on one of numbers."""
    values = [value for trace in data for value in trace[side]]
    return tuple(dict.fromkeys(values)) if values and isinstance(values[0], str) else ()


def _axis(data: Sequence[Figure], layout: Figure, side: str, start: float, end: float) -> _Axis:
    names, told = _names(data, side), layout[f"{side}axis"]
    if names:
        return _Axis(-0.5, len(names) - 0.5, start, end, names)
    if "range" in told:
        low, high = told["range"]
        return _Axis(low, high, start, end)
    logarithmic = told.get("type") == "log"
    values = [value for trace in data for value in _reach(trace, side)]
    if logarithmic:
        values = [math.log10(value) for value in values]
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = _ROOM * (high - low) or 0.5
    return _Axis(low - room, high + room, start, end, logarithmic=logarithmic)


def _reach(trace: Figure, side: str) -> list[float]:
    """Everything that a trace puts on an axis of numbers: values, the ends of their error bars, the foot of bars."""
    values = [float(value) for value in trace[side]]
    ends = [end for value, error in zip(values, _errors(trace, side), strict=True) for end in _ends(value, error)]
    return [*values, *ends, *([0.0] if trace["type"] == "bar" else [])]


def _errors(trace: Figure, side: str) -> list[tuple[float, float]]:
    """How far error bars reach down and up from each value."""
    told = trace.get(f"error_{side}")
    if told is None:
        return [(0.0, 0.0)] * len(trace[side])
    return list(zip(told["arrayminus"], told["array"], strict=True))


def _ends(value: float, error: tuple[float, float]) -> tuple[float, float]:
    return value - error[0], value + error[1]


def _draw_grid(svg: Element, across: _Axis, down: _Axis, layout: Figure) -> None:
    faint = layout["xaxis"]["gridcolor"]
    for x, words in across.ticks():
        if not across.names:
            _path(svg, [(x, down.start), (x, down.end)], {"color": faint, "width": 1})
        _text(svg, words, x, down.start + 18, "middle")
    for y, words in down.ticks():
        _path(svg, [(across.start, y), (across.end, y)], {"color": faint, "width": 1})
        _text(svg, words, across.start - 8, y + 4, "end")
    zero = {"color": layout["font"]["color"], "width": 1}
    if layout["xaxis"].get("zeroline") and across.low <= 0 <= across.high:
        _path(svg, [(across.place(0), down.start), (across.place(0), down.end)], zero)
    _text(svg, _words(layout["xaxis"]), (across.start + across.end) / 2, down.start + 40, "middle")
    upright = _text(svg, _words(layout["yaxis"]), 0, 0, "middle")
    upright.set("transform", f"translate(14 {(down.start + down.end) / 2:.1f}) rotate(-90)")


def _draw_bars(svg: Element, trace: Figure, across: _Axis, down: _Axis, number: int, count: int) -> None:
    """The bars of one trace of several, beside each other at each name."""
    width = across.step * _BARS / count
    for k, (name, value, error) in enumerate(zip(trace["x"], trace["y"], _errors(trace, "y"), strict=True)):
        x = across.place(name) + (number - count / 2) * width
        foot, head = down.place(0), down.place(value)
        box = _numbers(x=x, y=min(foot, head), width=width, height=abs(foot - head))
        _describe(SubElement(svg, "rect", box, fill=trace["marker"]["color"]), trace, k)
        _whisker(svg, [(x + width / 2, down.place(end)) for end in _ends(value, error)], trace["error_y"]["color"])


def _draw_line(svg: Element, trace: Figure, across: _Axis, down: _Axis) -> None:
    points = [(across.place(x), down.place(y)) for x, y in zip(trace["x"], trace["y"], strict=True)]
    if trace["line"].get("shape") == "hv":  # first across, then up or down
        corners = [(after[0], before[1]) for before, after in pairwise(points)]
        points = [one for pair in zip(points, corners, strict=False) for one in pair] + points[-1:]
    SubElement(_path(svg, points, trace["line"]), "title").text = unescape(trace["name"])


def _draw_points(svg: Element, trace: Figure, across: _Axis, down: _Axis) -> None:
    for k, (x, y) in enumerate(zip(trace["x"], trace["y"], strict=True)):
        colour = trace["marker"]["color"]
        if "error_x" in trace:
            _whisker(svg, [(across.place(end), down.place(y)) for end in _ends(x, _errors(trace, "x")[k])], colour)
        if "error_y" in trace:
            _whisker(svg, [(across.place(x), down.place(end)) for end in _ends(y, _errors(trace, "y")[k])], colour)
        _describe(_mark(svg, across.place(x), down.place(y), trace["marker"]), trace, k)
        if "text" in trace:
            away, anchor = (-8, "end") if "left" in trace["textposition"][k] else (8, "start")
            _text(svg, unescape(trace["text"][k]), across.place(x) + away, down.place(y) - 8, anchor)


def _describe(mark: Element, trace: Figure, number: int) -> None:
    """Give a mark what Plotly says of it under the cursor as its title."""
    values = {side: trace[side][number] for side in ("x", "y", "text", "customdata") if side in trace}

    def fill(found: re.Match[str]) -> str:
        value = values[found[1]]
        return format(value, found[2]) if found[2] else str(value)

    told = re.sub(r"%\{(\w+)(?::([^}]+))?\}", fill, trace["hovertemplate"])
    told = re.sub(r"<extra>(.*?)</extra>", r"<br>\1", told)
    SubElement(mark, "title").text = unescape(told.replace("<br>", "\n")).strip()


def _mark(svg: Element, x: float, y: float, marker: Figure) -> Element:
    """A point: a disc, a square or a diamond, filled or open."""
    symbol = marker.get("symbol", "circle")
    colour, half = marker["color"], marker["size"] / 2
    look = {"fill": "#fff" if symbol.endswith("-open") else colour, "stroke": colour, "stroke-width": "2"}
    if symbol.startswith("circle"):
        return SubElement(svg, "circle", _numbers(cx=x, cy=y, r=half), **look)
    box = SubElement(svg, "rect", _numbers(x=x - half, y=y - half, width=2 * half, height=2 * half), **look)
    if symbol.startswith("diamond"):
        box.set("transform", f"rotate(45 {x:.1f} {y:.1f})")
    return box


def _whisker(svg: Element, ends: Sequence[tuple[float, float]], colour: str) -> None:
    _path(svg, ends, {"color": colour, "width": 1.5})


def _path(svg: Element, points: Sequence[tuple[float, float]], line: Figure) -> Element:
    way = SubElement(svg, "polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points), fill="none")
    way.set("stroke", line["color"])
    way.set("stroke-width", f"{line.get('width', 2):g}")
    if line.get("dash") in _DASHES:
        way.set("stroke-dasharray", _DASHES[line["dash"]])
    return way


def _text(svg: Element, words: str, x: float, y: float, anchor: str = "start") -> Element:
    text = SubElement(svg, "text", _numbers(x=x, y=y))
    text.set("text-anchor", anchor)
    text.text = words
    return text


def _words(axis: Figure) -> str:
    """What is written along an axis."""
    return unescape(axis["title"]["text"])


def _numbers(**places: float) -> dict[str, str]:
    return {name: f"{value:.1f}" for name, value in places.items()}
