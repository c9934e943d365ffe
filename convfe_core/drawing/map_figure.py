"""One interactive Plotly figure per photograph: the picture, then every backbone's maps on the same axes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convfe_core.drawing.colour_maps import BOX_COLOUR, colour_ramp_uri
from convfe_core.drawing.colour_scales import ScaleKey, percentiles
from convfe_core.drawing.figure_text import Word, escape, words_trace
from convfe_core.drawing.map_traces import Look, colour_cells, heatmap, on_axes
from convfe_core.drawing.sheet import PANEL_GAP, Place, Sheet
from convfe_core.maps.feature_maps import FeatureMaps, Limits
from convfe_core.maps.map_diagnostics import map_warning
from convfe_core.photos.photo import Photo

FONT = '"Source Sans", sans-serif'
"""That of the pages."""
HEAD_HEIGHT = 54
"""Pixels above the panels for the backbone's name and what each map is."""
NAME_HEIGHT = 17
"""Pixels more above the panels for each further line of a backbone's name."""
NAME_LETTER = 8
"""Pixels across a letter of a name, on average."""
NOTE_HEIGHT = 15
"""Pixels more above the panels for each line about a backbone's cells."""
FOOT_HEIGHT = 34
"""Pixels below the panels for the scale and the facts."""
FIGURE_AXES = "x", "y"
"""Axes of the whole figure in pixels, y upwards; drawn first, so that those of panels lie on top and get the mouse."""
SCALE_TOP, SCALE_HEIGHT = 6, 6
"""Pixels from a panel down to its colour scale, and across that."""
ENDS_BELOW = 26
"""Pixels from a panel down to the line that its scale's ends stand on."""
LETTER_WIDTH, LEAST_SPACE = 4.8, 6
"""Pixels across a letter of the smallest words, on average, and pixels that the three below a panel leave between."""
SCALE = "scale"
"""What the pictures of colour scales are called, so that a browser may colour them anew."""
WARNING_HEIGHT = 20
"""Pixels more where a map carries a warning."""
WARNING_COLOUR = "#d97706"
UNCOVERED_COLOUR = "rgba(128, 128, 128, 0.15)"
"""Of what no cell covers: centres of cells lie where padding puts them, half a cell off the edge at worst."""
HOVER_COLOUR = "#26302f"
MODEBAR_COLOUR = "rgba(128, 128, 128, 0.7)"


@dataclass(frozen=True)
class Panel:
    """One map in a row of panels."""

    maps: FeatureMaps
    reduction: str

    @property
    def name(self) -> str:
        """What it is called in the figure."""
        return f"{self.maps.label} {self.reduction}"

    @property
    def values(self) -> NDArray[Any]:
        """(h, w) float32, or (h, w, 3) uint8 colours."""
        return self.maps.picture(self.reduction)

    @property
    def coloured(self) -> bool:
        """Whether it has colours of its own, and so no scale."""
        return self.reduction not in self.maps.scalars

    @property
    def warning(self) -> str | None:
        """Why it cannot be trusted."""
        return None if self.coloured else map_warning(self.values)


def row_figure(
    photo: Photo,
    thumbnail: str,
    rows: Sequence[FeatureMaps],
    limits: Mapping[ScaleKey, Limits],
    look: Look,
    boxes: Iterable[Sequence[float]] = (),
    receptive_fields: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Draw one photograph and its maps side by side, with axes that zoom and pan together.

    Parameters
    ----------
    photo : the photograph, for its size
    thumbnail : the photograph as a data address, at any resolution
    rows : the maps of each backbone, at least one
    limits : for every (digest, label, reduction) with a scale its two ends, from `scale_limits`
    look : how to draw
    boxes : (x_min, y_min, x_max, y_max) in image pixels, drawn on every panel
    receptive_fields : by label, input pixels that a cell sees; said with the number of cells beside each name

    Returns
    -------
    A Plotly figure as plain data: building its classes would take most of the time that a change of colour may cost.
    """
    panels = [Panel(maps, reduction) for maps in rows for reduction in look.reductions]
    warned = any(panel.warning for panel in panels)
    notes = _notes(rows, receptive_fields, look) if receptive_fields else [[] for _ in rows]
    across = look.across or len(rows)
    sheet = Sheet(
        columns=1 + across * len(look.reductions),
        lines=-(-len(rows) // across),
        panels=len(panels),
        panel_width=look.panel_width,
        panel_height=look.panel_width * photo.height / photo.width,
        head=HEAD_HEIGHT + NOTE_HEIGHT * max(map(len, notes)) + NAME_HEIGHT * (_most_names(rows, look) - 1),
        foot=FOOT_HEIGHT + (WARNING_HEIGHT if warned else 0),
    )
    layout = base_layout(sheet.width, sheet.height, look.ink)
    layout |= {"showlegend": False, "dragmode": "zoom"} | _axes(sheet, photo)
    marked = [tuple(float(edge) for edge in box) for box in boxes]
    corner = sheet.place(0)
    words = [Word(corner.centre, corner.top + 8, escape(_shorten(photo.name, look.panel_width)), size=13)]
    data, images, shapes = [_corner(sheet.axes(0), photo)], [_picture(sheet.axes(0), photo, thumbnail)], []
    for index, panel in enumerate(panels, start=1):
        place, axes = sheet.place(index), sheet.axes(index)
        ends = None if panel.coloured else limits[panel.maps.digest, panel.maps.label, panel.reduction]
        own: list[dict[str, Any]] = []
        if ends:
            data.append(_panel_map(axes, panel, ends, look))
        else:
            trace, own = _panel_colours(axes, panel, look)
            data.append(trace)
        words += _panel_words(panel, ends, place, look, tell_cells=not receptive_fields)
        if panel.reduction == look.reductions[0]:
            last, lines = sheet.place(index + len(look.reductions) - 1), notes[(index - 1) // len(look.reductions)]
            middle, above = (place.left + last.right) / 2, place.top + 27
            words += [Word(middle, above + NOTE_HEIGHT * k, line) for k, line in enumerate(reversed(lines))]
            above += NOTE_HEIGHT * len(lines)
            names = _name_lines(panel.maps.label, last.right - place.left)
            words += [
                Word(middle, above + NAME_HEIGHT * k, f"<b>{escape(line)}</b>", size=14)
                for k, line in enumerate(reversed(names))
            ]
        if look.overlay < 1:
            images.append(_picture(axes, photo, thumbnail))
        images += own
        images += [_scale(FIGURE_AXES, place, look)] if ends else []
        shapes.append(_ground(axes, photo))
    shapes += [_box(sheet.axes(index), box) for index in range(len(panels) + 1) for box in marked]
    data.append(words_trace(words, look.ink, *FIGURE_AXES))
    return {"data": data, "layout": layout | {"images": images, "shapes": shapes}}


def base_layout(width: float, height: float, ink: str) -> dict[str, Any]:
    """What every figure of maps has in common: its size in pixels and how its words look.

    Nothing of a figure changes once it is drawn, and ``datarevision`` says so: Streamlit draws every figure twice, and
    without it Plotly would compute all of it again, arrays being new objects.
    """
    return {
        "width": round(width),
        "height": round(height),
        "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
        "font": {"family": FONT, "color": ink},
        "hoverlabel": {"bgcolor": HOVER_COLOUR, "bordercolor": "#ffffff", "font": {"family": FONT, "color": "#ffffff"}},
        "hovermode": "closest",
        "modebar": {"bgcolor": "rgba(0, 0, 0, 0)", "color": MODEBAR_COLOUR, "activecolor": ink},
        "paper_bgcolor": "rgba(0, 0, 0, 0)",
        "plot_bgcolor": "rgba(0, 0, 0, 0)",
        "datarevision": 1,
    }


def _corner(axes: tuple[str, str], photo: Photo) -> dict[str, Any]:
    """Make an invisible trace, so that the photograph's panel has axes to zoom."""
    return {
        "type": "scatter",
        "x": [photo.width / 2],
        "y": [photo.height / 2],
        "mode": "markers",
        "marker": {"opacity": 0},
        "hoverinfo": "skip",
        "xaxis": axes[0],
        "yaxis": axes[1],
    }


def _axes(sheet: Sheet, photo: Photo) -> dict[str, Any]:
    """Describe all axes: those of maps zoom with the photograph's, those of the figure are fixed."""
    axes = {
        "x": {**_axis(0, sheet.width, sheet.width), "range": [0, sheet.width], "fixedrange": True},
        "y": {**_axis(0, sheet.height, sheet.height), "range": [0, sheet.height], "fixedrange": True},
    }
    first_x, first_y = sheet.axes(0)
    for index in range(sheet.panels + 1):
        place, (x, y) = sheet.place(index), sheet.axes(index)
        axes[x] = {**_axis(place.left, place.right, sheet.width), "range": [0, photo.width], "anchor": y}
        axes[x] |= {"matches": first_x} if index else {}
        if y not in axes:
            axes[y] = {**_axis(place.bottom, place.top, sheet.height), "range": [photo.height, 0], "anchor": x}
            axes[y] |= {"scaleanchor": first_x} if y == first_y else {"matches": first_y}
    return {f"{name[0]}axis{name[1:]}": axis for name, axis in axes.items()}


def _axis(start: float, end: float, whole: float) -> dict[str, Any]:
    """An axis without lines or numbers, from `start` to `end` of so many pixels."""
    return {"domain": [max(start / whole, 0.0), min(end / whole, 1.0)], "constrain": "domain", "visible": False}


def _picture(axes: tuple[str, str], photo: Photo, thumbnail: str) -> dict[str, Any]:
    """Lay the photograph into a panel."""
    size = {"x": 0, "y": 0, "sizex": photo.width, "sizey": photo.height}
    return {**size, "source": thumbnail, **on_axes(axes), "sizing": "stretch", "layer": "below"}


def _scale(axes: tuple[str, str], place: Place, look: Look) -> dict[str, Any]:
    """Draw the colour scale below a panel; Plotly's own colour bar is an axis more and takes ten times as long."""
    return {
        "name": SCALE,
        "source": colour_ramp_uri(look.colour_map),
        **on_axes(axes),
        "x": place.left,
        "y": place.bottom - SCALE_TOP,
        "sizex": place.right - place.left,
        "sizey": SCALE_HEIGHT,
        "sizing": "stretch",
        "opacity": look.overlay,
    }


def _panel_map(axes: tuple[str, str], panel: Panel, ends: Limits, look: Look) -> dict[str, Any]:
    maps, values = panel.maps, panel.values
    extent = maps.frame.image_height, maps.frame.image_width
    rows, columns = np.indices(values.shape)
    return {
        **heatmap(panel.name, values, (maps.centres_y, maps.centres_x), extent, axes, ends, look),
        "opacity": look.overlay,
        "customdata": np.stack([percentiles(values), rows, columns], axis=-1).astype(np.float32),
        "hovertemplate": (
            f"{escape(panel.name)}<br>"
            "<b>%{z:.4g}</b>, percentile %{customdata[0]:.0f} of the map<br>"
            "pixel x %{x:.0f}, y %{y:.0f}<br>cell row %{customdata[1]}, column %{customdata[2]}<extra></extra>"
        ),
    }


def _panel_colours(axes: tuple[str, str], panel: Panel, look: Look) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    maps = panel.maps
    extent = maps.frame.image_height, maps.frame.image_width
    return colour_cells(panel.name, panel.values, (maps.centres_y, maps.centres_x), extent, axes, look)


def _notes(rows: Sequence[FeatureMaps], fields: Mapping[str, float], look: Look) -> list[list[str]]:
    """Say of each backbone how many cells it has and how much they see, in one line where there is room for it."""
    across = _across(look)
    notes = []
    for maps in rows:
        parts = [_cells(maps.max), f"receptive field {fields[maps.label]:.0f} px"]
        whole = ", ".join(parts)
        notes.append([whole] if LETTER_WIDTH * len(whole) + LEAST_SPACE <= across else parts)
    return notes


def _cells(values: NDArray[Any]) -> str:
    return f"{values.shape[1]} × {values.shape[0]} cells"


def _panel_words(panel: Panel, ends: Limits | None, place: Place, look: Look, *, tell_cells: bool) -> list[Word]:
    """Say what the map is above it, and below it the ends of its scale, if any, and how many cells it has."""
    below = place.bottom - ENDS_BELOW
    low, high = (f"{end:.3g}" for end in ends or (0, 0))
    words = [Word(place.centre, place.top + 8, panel.reduction, size=13)]
    if ends:
        words += [Word(place.left, below, low, anchor="left"), Word(place.right, below, high, anchor="right")]
    cells = _cells(panel.values)
    if tell_cells and LETTER_WIDTH * (2 * max(len(low), len(high)) + len(cells)) + LEAST_SPACE <= look.panel_width:
        words.append(Word(place.centre, below, cells))
    if panel.warning:
        text = f"⚠ {re.split('[:,]', panel.warning)[0]}"
        words.append(Word(place.centre, below - WARNING_HEIGHT, text, size=12, colour=WARNING_COLOUR))
    return words


def _ground(axes: tuple[str, str], photo: Photo) -> dict[str, Any]:
    """Show how far the photograph reaches where no cell covers it."""
    whole = _rectangle(axes, (0, 0, photo.width, photo.height))
    return {**whole, "fillcolor": UNCOVERED_COLOUR, "line": {"width": 0}, "layer": "below"}


def _box(axes: tuple[str, str], box: Sequence[float]) -> dict[str, Any]:
    return {**_rectangle(axes, box), "line": {"color": BOX_COLOUR, "width": 1.5}}


def _rectangle(axes: tuple[str, str], box: Sequence[float]) -> dict[str, Any]:
    x_min, y_min, x_max, y_max = box
    return {"type": "rect", **on_axes(axes), "x0": x_min, "y0": y_min, "x1": x_max, "y1": y_max}


def _most_names(rows: Sequence[FeatureMaps], look: Look) -> int:
    """How many lines the longest name takes."""
    return max(len(_name_lines(maps.label, _across(look))) for maps in rows)


def _across(look: Look) -> float:
    """Pixels across all maps of a backbone."""
    return len(look.reductions) * (look.panel_width + PANEL_GAP) - PANEL_GAP


def _name_lines(label: str, width: float) -> list[str]:
    """A backbone's name in lines that fit so many pixels, broken where its parts meet, or anywhere if one is too long.

    Examples
    --------
    >>> _name_lines("MobileNetV2-0.35:untrained", 130)
    ['MobileNetV2-', '0.35:untrained']
    """
    most = max(8, int(width) // NAME_LETTER)
    lines = [""]
    parts = re.split(r"(?<=[:\-_ ])|(?<=[a-z0-9])(?=[A-Z])", label)
    for part in (whole[start : start + most] for whole in parts for start in range(0, len(whole), most)):
        if len(lines[-1]) + len(part) <= most:
            lines[-1] += part
        else:
            lines.append(part)
    return lines


def _shorten(name: str, width: float) -> str:
    """A photograph's name that fits so many pixels, its ending kept: that of its number and kind."""
    most = max(8, int(width) // 8)
    return name if len(name) <= most else f"{name[: most // 2]}…{name[-(most // 2 - 1) :]}"
