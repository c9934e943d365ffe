"""One interactive Plotly figure per photograph: the picture, then every backbone's maps on the same axes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convfe_core.colours import COLOUR_MAPS
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
    colour_map : a key of `COLOUR_MAPS`
    scope : what shares a scale, see `convfe_core.scales`
    smoothed : interpolate between cells instead of showing them
    overlay : opacity of the map over the photograph, 0..1; 1 hides the photograph
    panel_width : pixels across one panel
    ink : colour of the words, for the ground that the figure will stand on
    """

    reductions: tuple[str, ...] = ("max", "mean")
    colour_map: str = "Viridis"
    scope: str = "map"
    smoothed: bool = False
    overlay: float = 1.0
    panel_width: int = 180
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


def row_figure(
    photo: Photo,
    thumbnail: str,
    rows: Sequence[FeatureMaps],
    limits: Mapping[MapKey, Limits],
    look: Look,
    boxes: Sequence[Sequence[float]] = (),
) -> dict[str, Any]:
    """Draw one photograph and its maps side by side, with axes that zoom and pan together.

    Parameters
    ----------
    photo : the photograph, for its size
    thumbnail : the photograph as a data address, at any resolution
    rows : the maps of each backbone
    limits : for every (digest, label, reduction) the two ends of its scale, from `scale_limits`
    look : how to draw
    boxes : (x_min, y_min, x_max, y_max) in image pixels, drawn on every panel

    Returns
    -------
    A Plotly figure as plain data: building its classes would take most of the time that a change of colour may cost.
    """
    panels = [Panel(maps, reduction) for maps in rows for reduction in look.reductions]
    count = len(panels) + 1
    width = count * look.panel_width + (count - 1) * PANEL_GAP
    panel_height = look.panel_width * photo.height / photo.width
    warned = any(map_warning(panel.values) for panel in panels)
    figure: dict[str, Any] = {"data": [], "layout": _layout(width, panel_height, look.ink, warned)}
    for index in range(count):
        left = index * (look.panel_width + PANEL_GAP) / width
        _add_axes(figure["layout"], index, left, left + look.panel_width / width, photo)
    _add_photo(figure, 0, photo, thumbnail, 1.0)
    name = _escape(_shorten(photo.name, look.panel_width))
    _add_text(figure["layout"], 0.5 * look.panel_width / width, 1, 5, name, size=13)
    for index, panel in enumerate(panels, start=1):
        centre = (index * (look.panel_width + PANEL_GAP) + look.panel_width / 2) / width
        span = look.panel_width / width
        if look.overlay < 1:
            _add_photo(figure, index, photo, thumbnail, 1.0)
        ends = limits[panel.maps.digest, panel.maps.label, panel.reduction]
        _add_heatmap(figure, index, panel, ends, look, centre, span)
        first = (index - 1) % len(look.reductions) == 0
        _add_words(figure["layout"], panel, ends, look, centre, first=first, width=width)
    ground = [_ground(index, photo) for index in range(1, count)]
    figure["layout"]["shapes"] = ground + [_box(index, box) for index in range(count) for box in boxes]
    return figure


def _layout(width: float, panel_height: float, ink: str, warned: bool) -> dict[str, Any]:
    foot = FOOT_HEIGHT + (WARNING_HEIGHT if warned else 0)
    return {
        "width": round(width),
        "height": round(panel_height + HEAD_HEIGHT + foot),
        "margin": {"l": 0, "r": 0, "t": HEAD_HEIGHT, "b": foot},
        "font": {"color": ink},
        "showlegend": False,
        "hovermode": "closest",
        "dragmode": "zoom",
        "plot_bgcolor": "rgba(0, 0, 0, 0)",
        "annotations": [],
    }


def _axis_name(index: int, letter: str) -> str:
    return letter if index == 0 else f"{letter}{index + 1}"


def _add_axes(layout: dict[str, Any], index: int, left: float, right: float, photo: Photo) -> None:
    """Add one panel's axes in image pixels, y downwards; all follow the first."""
    hidden = {"showgrid": False, "zeroline": False, "showticklabels": False, "ticks": "", "showline": False}
    x = {**hidden, "domain": [left, min(right, 1.0)], "range": [0, photo.width], "constrain": "domain"}
    y = {**hidden, "domain": [0, 1], "range": [photo.height, 0], "constrain": "domain"}
    x["anchor"], y["anchor"] = _axis_name(index, "y"), _axis_name(index, "x")
    if index:
        x["matches"], y["matches"] = "x", "y"
    y["scaleanchor"] = _axis_name(index, "x")
    layout[f"xaxis{index + 1 if index else ''}"] = x
    layout[f"yaxis{index + 1 if index else ''}"] = y


def _add_photo(figure: dict[str, Any], index: int, photo: Photo, thumbnail: str, opacity: float) -> None:
    figure["layout"].setdefault("images", []).append(
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
            "opacity": opacity,
        }
    )
    if index == 0:  # an invisible trace, so that the photograph's panel has axes to zoom
        figure["data"].append(
            {
                "type": "scatter",
                "x": [photo.width / 2],
                "y": [photo.height / 2],
                "mode": "markers",
                "marker": {"opacity": 0},
                "hoverinfo": "skip",
                "xaxis": "x",
                "yaxis": "y",
            }
        )


def _add_heatmap(
    figure: dict[str, Any], index: int, panel: Panel, ends: Limits, look: Look, centre: float, span: float
) -> None:
    values = panel.values
    rows, columns = np.indices(values.shape)
    figure["data"].append(
        {
            "type": "heatmap",
            "name": f"{panel.maps.label} {panel.reduction}",
            "z": values,
            "x0": float(panel.maps.centres_x[0]),
            "dx": _step(panel.maps.centres_x, panel.maps.frame.image_width),
            "y0": float(panel.maps.centres_y[0]),
            "dy": _step(panel.maps.centres_y, panel.maps.frame.image_height),
            "zmin": ends[0],
            "zmax": ends[1],
            "colorscale": COLOUR_MAPS[look.colour_map],
            "zsmooth": "best" if look.smoothed and min(values.shape) > 1 else False,
            "opacity": look.overlay,
            "customdata": np.stack([percentiles(values), rows, columns], axis=-1).astype(np.float32),
            "hovertemplate": (
                "<b>%{z:.4g}</b>, higher than %{customdata[0]:.0f} % of the map<br>"
                "pixel x %{x:.0f}, y %{y:.0f}<br>cell row %{customdata[1]}, column %{customdata[2]}"
                f"<extra>{_escape(panel.maps.label)} {panel.reduction}</extra>"
            ),
            "colorbar": {
                "orientation": "h",
                "x": centre,
                "xanchor": "center",
                "y": 0,
                "yanchor": "top",
                "ypad": 6,
                "xpad": 0,
                "len": span,
                "lenmode": "fraction",
                "thickness": 6,
                "outlinewidth": 0,
                "showticklabels": False,
                "ticks": "",
            },
            "xaxis": _axis_name(index, "x"),
            "yaxis": _axis_name(index, "y"),
        }
    )


def _step(centres: NDArray[np.float64], extent: int) -> float:
    return float(centres[1] - centres[0]) if len(centres) > 1 else float(extent)


def _add_words(
    layout: dict[str, Any], panel: Panel, ends: Limits, look: Look, centre: float, first: bool, width: float
) -> None:
    """The backbone's name above its group of maps, what each map is, and a quiet line of facts below it."""
    if first:
        group = (len(look.reductions) - 1) * (look.panel_width + PANEL_GAP) / 2 / width
        _add_text(layout, centre + group, 1, 24, f"<b>{_escape(panel.maps.label)}</b>", size=14)
    _add_text(layout, centre, 1, 5, panel.reduction, size=13)
    half = look.panel_width / width / 2
    _add_text(layout, centre - half, 0, -30, f"{ends[0]:.3g}", size=11, anchor="left")
    _add_text(layout, centre + half, 0, -30, f"{ends[1]:.3g}", size=11, anchor="right")
    facts = f"{panel.values.shape[1]} × {panel.values.shape[0]} cells"
    _add_text(layout, centre, 0, -30, facts, size=11)
    warning = map_warning(panel.values)
    if warning:
        _add_text(layout, centre, 0, -48, f"⚠ {re.split('[:,]', warning)[0]}", size=12, colour=WARNING_COLOUR)


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


def _escape(text: str) -> str:
    """Plotly reads a few HTML tags in text; a file name must not be one of them."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
