"""One interactive Plotly figure per photograph: the picture, then every backbone's maps on the same axes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convfe_core.colours import COLOUR_MAPS, DIFFERENCES
from convfe_core.diagnostics import map_warning
from convfe_core.images import Photo
from convfe_core.maps import FeatureMaps
from convfe_core.scales import Limits, MapKey, percentiles

PANEL_GAP = 14
"""Pixels between two panels."""
HEAD_HEIGHT = 54
"""Pixels above the panels for the backbone's name and what each map is."""
FOOT_HEIGHT = 34
"""Pixels below the panels for the scale and the facts."""
WIDE_ENOUGH = 120
"""Pixels from which on a panel has room for the number of its cells between the ends of its scale."""
WARNING_HEIGHT = 20
"""Pixels more where a map carries a warning."""
WARNING_COLOUR = "#d97706"
UNCOVERED_COLOUR = "rgba(128, 128, 128, 0.15)"
"""Of what no cell covers: centres of cells lie where padding puts them, half a cell off the edge at worst."""
BOX_COLOUR = "#22d3ee"


@dataclass(frozen=True)
class Look:
    """How maps are drawn; nothing here ever needs a backbone to run.

    Attributes
    ----------
    reductions : which maps, of ``max`` and ``mean``
    colour_map : a key of `COLOUR_MAPS` or `DIFFERENCES`
    scope : what shares a scale, see `convfe_core.scales`
    smoothed : interpolate between cells instead of showing them
    overlay : opacity of the map over the photograph, 0..1; 1 hides the photograph
    panel_width : pixels across one panel
    stacked : one line of maps a backbone instead of all in one line
    ink : colour of the words, for the ground that the figure will stand on
    """

    reductions: tuple[str, ...] = ("max", "mean")
    colour_map: str = "Viridis"
    scope: str = "map"
    smoothed: bool = False
    overlay: float = 1.0
    panel_width: int = 180
    stacked: bool = False
    ink: str = "#1c2b2a"


@dataclass(frozen=True)
class Panel:
    """One map in a row of panels."""

    maps: FeatureMaps
    reduction: str

    @property
    def values(self) -> NDArray[np.float32]:
        """(h, w) float32."""
        return self.maps.max if self.reduction == "max" else self.maps.mean


@dataclass(frozen=True)
class Place:
    """Where a panel lies on the figure, in fractions of the plotting area; y upwards."""

    left: float
    right: float
    bottom: float
    top: float

    @property
    def centre(self) -> float:
        """Horizontal middle."""
        return (self.left + self.right) / 2


@dataclass(frozen=True)
class Sheet:
    """The panels of one figure: the photograph in the corner, the maps beside it in lines of equal length.

    Attributes
    ----------
    columns : panels across, the photograph's column included
    lines : lines of maps
    panel_width, panel_height : pixels
    foot : pixels below a line of panels, for the scale and the facts
    """

    columns: int
    lines: int
    panel_width: float
    panel_height: float
    foot: int

    @property
    def width(self) -> float:
        """Pixels across the figure."""
        return self.columns * (self.panel_width + PANEL_GAP) - PANEL_GAP

    @property
    def plot_height(self) -> float:
        """Pixels from the top of the first line of panels to the bottom of the last."""
        return self.lines * self._line_height - self.foot - HEAD_HEIGHT

    @property
    def _line_height(self) -> float:
        return HEAD_HEIGHT + self.panel_height + self.foot

    def place(self, index: int) -> Place:
        """Place panel `index`: 0 is the photograph, the maps follow line by line."""
        line, column = divmod(index - 1, self.columns - 1) if index else (0, -1)
        left = (column + 1) * (self.panel_width + PANEL_GAP) / self.width
        top = 1 - line * self._line_height / self.plot_height
        bottom = top - self.panel_height / self.plot_height
        return Place(left, min(left + self.panel_width / self.width, 1.0), max(bottom, 0.0), top)


def row_figure(
    photo: Photo,
    thumbnail: str,
    rows: Sequence[FeatureMaps],
    limits: Mapping[MapKey, Limits],
    look: Look,
    boxes: Iterable[Sequence[float]] = (),
) -> dict[str, Any]:
    """Draw one photograph and its maps side by side, with axes that zoom and pan together.

    Parameters
    ----------
    photo : the photograph, for its size
    thumbnail : the photograph as a data address, at any resolution
    rows : the maps of each backbone, at least one
    limits : for every (digest, label, reduction) the two ends of its scale, from `scale_limits`
    look : how to draw
    boxes : (x_min, y_min, x_max, y_max) in image pixels, drawn on every panel

    Returns
    -------
    A Plotly figure as plain data: building its classes would take most of the time that a change of colour may cost.
    """
    panels = [Panel(maps, reduction) for maps in rows for reduction in look.reductions]
    warned = any(map_warning(panel.values) for panel in panels)
    sheet = Sheet(
        columns=1 + (len(look.reductions) if look.stacked else len(panels)),
        lines=len(rows) if look.stacked else 1,
        panel_width=look.panel_width,
        panel_height=look.panel_width * photo.height / photo.width,
        foot=FOOT_HEIGHT + (WARNING_HEIGHT if warned else 0),
    )
    figure: dict[str, Any] = {"data": [_corner(photo)], "layout": _layout(sheet, look.ink)}
    layout = figure["layout"]
    _add_axes(layout, 0, sheet.place(0), photo)
    _add_photo(layout, 0, photo, thumbnail)
    name = escape(_shorten(photo.name, look.panel_width))
    _add_text(layout, sheet.place(0).centre, 1, 5, name, size=13)
    for index, panel in enumerate(panels, start=1):
        place = sheet.place(index)
        ends = limits[panel.maps.digest, panel.maps.label, panel.reduction]
        _add_axes(layout, index, place, photo)
        if look.overlay < 1:
            _add_photo(layout, index, photo, thumbnail)
        figure["data"].append(_heatmap(index, panel, ends, look, place))
        _add_words(layout, panel, ends, place, look)
        if panel.reduction == look.reductions[0]:
            last = sheet.place(index + len(look.reductions) - 1)
            label = f"<b>{escape(panel.maps.label)}</b>"
            _add_text(layout, (place.left + last.right) / 2, place.top, 24, label, size=14)
    ground = [_ground(index, photo) for index in range(1, len(panels) + 1)]
    marked = [tuple(float(edge) for edge in box) for box in boxes]
    layout["shapes"] = ground + [_box(index, box) for index in range(len(panels) + 1) for box in marked]
    return figure


def _layout(sheet: Sheet, ink: str) -> dict[str, Any]:
    return {
        "width": round(sheet.width),
        "height": round(HEAD_HEIGHT + sheet.plot_height + sheet.foot),
        "margin": {"l": 0, "r": 0, "t": HEAD_HEIGHT, "b": sheet.foot},
        "font": {"color": ink},
        "showlegend": False,
        "hovermode": "closest",
        "dragmode": "zoom",
        "plot_bgcolor": "rgba(0, 0, 0, 0)",
        "annotations": [],
        "images": [],
    }


def _corner(photo: Photo) -> dict[str, Any]:
    """Make an invisible trace, so that the photograph's panel has axes to zoom."""
    return {
        "type": "scatter",
        "x": [photo.width / 2],
        "y": [photo.height / 2],
        "mode": "markers",
        "marker": {"opacity": 0},
        "hoverinfo": "skip",
        "xaxis": "x",
        "yaxis": "y",
    }


def _axis_name(index: int, letter: str) -> str:
    return letter if index == 0 else f"{letter}{index + 1}"


def _add_axes(layout: dict[str, Any], index: int, place: Place, photo: Photo) -> None:
    """Add one panel's axes in image pixels, y downwards; all follow the first."""
    hidden = {"showgrid": False, "zeroline": False, "showticklabels": False, "ticks": "", "showline": False}
    x = {**hidden, "domain": [place.left, place.right], "range": [0, photo.width], "constrain": "domain"}
    y = {**hidden, "domain": [place.bottom, place.top], "range": [photo.height, 0], "constrain": "domain"}
    x["anchor"], y["anchor"] = _axis_name(index, "y"), _axis_name(index, "x")
    if index:
        x["matches"], y["matches"] = "x", "y"
    y["scaleanchor"] = _axis_name(index, "x")
    layout[f"xaxis{index + 1 if index else ''}"] = x
    layout[f"yaxis{index + 1 if index else ''}"] = y


def _add_photo(layout: dict[str, Any], index: int, photo: Photo, thumbnail: str) -> None:
    layout["images"].append(
        {
            "source": thumbnail,
            "xref": _axis_name(index, "x"),
            "yref": _axis_name(index, "y"),
            "x": 0,
            "y": 0,
            "sizex": photo.width,
            "sizey": photo.height,
            "sizing": "stretch",
            "layer": "below",
        }
    )


def _heatmap(index: int, panel: Panel, ends: Limits, look: Look, place: Place) -> dict[str, Any]:
    values = panel.values
    rows, columns = np.indices(values.shape)
    return {
        "type": "heatmap",
        "name": f"{panel.maps.label} {panel.reduction}",
        "z": values,
        "x0": float(panel.maps.centres_x[0]),
        "dx": _step(panel.maps.centres_x, panel.maps.frame.image_width),
        "y0": float(panel.maps.centres_y[0]),
        "dy": _step(panel.maps.centres_y, panel.maps.frame.image_height),
        "zmin": ends[0],
        "zmax": ends[1],
        "colorscale": (COLOUR_MAPS | DIFFERENCES)[look.colour_map],
        "zsmooth": "best" if look.smoothed and min(values.shape) > 1 else False,
        "opacity": look.overlay,
        "customdata": np.stack([percentiles(values), rows, columns], axis=-1).astype(np.float32),
        "hovertemplate": (
            "<b>%{z:.4g}</b>, percentile %{customdata[0]:.0f} of the map<br>"
            "pixel x %{x:.0f}, y %{y:.0f}<br>cell row %{customdata[1]}, column %{customdata[2]}"
            f"<extra>{escape(panel.maps.label)} {panel.reduction}</extra>"
        ),
        "colorbar": {
            "orientation": "h",
            "x": place.centre,
            "xanchor": "center",
            "y": place.bottom,
            "yanchor": "top",
            "ypad": 6,
            "xpad": 0,
            "len": place.right - place.left,
            "lenmode": "fraction",
            "thickness": 6,
            "outlinewidth": 0,
            "showticklabels": False,
            "ticks": "",
        },
        "xaxis": _axis_name(index, "x"),
        "yaxis": _axis_name(index, "y"),
    }


def _step(centres: NDArray[np.float64], extent: int) -> float:
    return float(centres[1] - centres[0]) if len(centres) > 1 else float(extent)


def _add_words(layout: dict[str, Any], panel: Panel, ends: Limits, place: Place, look: Look) -> None:
    """Say what the map is above it, and below it the ends of its scale and how many cells it has."""
    _add_text(layout, place.centre, place.top, 5, panel.reduction, size=13)
    _add_text(layout, place.left, place.bottom, -30, f"{ends[0]:.3g}", size=11, anchor="left")
    _add_text(layout, place.right, place.bottom, -30, f"{ends[1]:.3g}", size=11, anchor="right")
    if look.panel_width >= WIDE_ENOUGH:
        facts = f"{panel.values.shape[1]} × {panel.values.shape[0]} cells"
        _add_text(layout, place.centre, place.bottom, -30, facts, size=11)
    warning = map_warning(panel.values)
    if warning:
        text = f"⚠ {re.split('[:,]', warning)[0]}"
        _add_text(layout, place.centre, place.bottom, -48, text, size=12, colour=WARNING_COLOUR)


def _add_text(
    layout: dict[str, Any],
    x: float,
    y: float,
    shift: float,
    text: str,
    *,
    size: int,
    colour: str | None = None,
    anchor: str = "center",
) -> None:
    layout["annotations"].append(
        {
            "text": text,
            "x": x,
            "y": y,
            "xref": "paper",
            "yref": "paper",
            "yshift": shift,
            "xanchor": anchor,
            "yanchor": "bottom",
            "showarrow": False,
            "font": {"size": size, "color": colour or layout["font"]["color"]},
        }
    )


def _ground(index: int, photo: Photo) -> dict[str, Any]:
    """Show how far the photograph reaches where no cell covers it."""
    return {
        **_rectangle(index, (0, 0, photo.width, photo.height)),
        "fillcolor": UNCOVERED_COLOUR,
        "line": {"width": 0},
        "layer": "below",
    }


def _box(index: int, box: Sequence[float]) -> dict[str, Any]:
    return {**_rectangle(index, box), "line": {"color": BOX_COLOUR, "width": 1.5}}


def _rectangle(index: int, box: Sequence[float]) -> dict[str, Any]:
    x_min, y_min, x_max, y_max = (float(edge) for edge in box)
    return {
        "type": "rect",
        "xref": _axis_name(index, "x"),
        "yref": _axis_name(index, "y"),
        "x0": x_min,
        "y0": y_min,
        "x1": x_max,
        "y1": y_max,
    }


def _shorten(name: str, width: int) -> str:
    """A file name that fits a panel of this many pixels, its ending kept."""
    most = max(8, width // 8)
    return name if len(name) <= most else f"{name[: most // 2]}…{name[-(most // 2 - 1) :]}"


def escape(text: str) -> str:
    """Plotly reads a few HTML tags in text; a file name must not be one of them."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
