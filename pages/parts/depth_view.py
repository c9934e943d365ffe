"""What the Depth page draws: stages, other ways to collapse channels, channels at a place, and the layers' table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import streamlit as st

from convfe_core.backbones import open_network
from convfe_core.catalog import Spec, file_stem
from convfe_core.channels import (
    COLLAPSE_WORDS,
    COLLAPSES,
    ORDERS,
    cells_in_box,
    dead_channels,
    strongest_channels,
)
from convfe_core.extraction import Size, maps_on_photo
from convfe_core.features import FeatureReader, Features, freeze_features
from convfe_core.figures import Look, row_figure
from convfe_core.gate import MACHINE
from convfe_core.images import Photo
from convfe_core.layer_table import block_picture, layer_table, summary_text
from convfe_core.maps import FeatureMaps
from convfe_core.scales import scale_limits
from convfe_core.stages import StagedNetwork, stage_network
from convfe_core.taps import resolve_tap, trace_path
from convfe_core.tile_figures import Tile, tile_figure
from pages.parts.grid import show_figure
from pages.parts.session import thumbnail
from pages.parts.words import plain

MOST_LISTED = 200
STAGE_SHARE = 0.75
"""Panels of stages are smaller than others: up to nine stand side by side."""
_HASHED: dict[str | type[Any], Any] = {Spec: repr}


@st.cache_resource(max_entries=2, show_spinner=False, hash_funcs=_HASHED)
def opened(spec: Spec) -> StagedNetwork:
    """The network that the page is about, with all its stages; shared by every visitor."""
    with MACHINE.passing(lambda _before: None):
        return stage_network(open_network(spec))


@st.cache_resource(max_entries=2, show_spinner=False, hash_funcs=_HASHED)
def reader_of(spec: Spec, layer: str) -> FeatureReader:
    """The same network, giving whole feature maps of one layer."""
    network = opened(spec).network
    if layer != "auto":
        tensor, tap = resolve_tap(network.model, None, layer)
        path = trace_path(network.model, tensor)
        path = path.centred(network.native_size) if network.path.shift != (0.0, 0.0) else path
        network = replace(network, tensor=tensor, tap=tap, path=path)
    with MACHINE.passing(lambda _before: None):
        return freeze_features(network)


def stage_maps(spec: Spec, photo: Photo, size: Size) -> list[FeatureMaps]:
    """The maps of all stages, computed once a session."""
    kept: dict[object, list[FeatureMaps]] = st.session_state.setdefault("stage_maps", {})
    key = (spec, photo.digest, size)
    if key not in kept:
        while len(kept) >= 32:
            kept.pop(next(iter(kept)))
        kept[key] = opened(spec).maps(photo, size)
    return kept[key]


def show_stages(spec: Spec, photo: Photo, size: Size, look: Look) -> None:
    """Draw every stage of a photograph in a row, and say what its cells see."""
    maps = stage_maps(spec, photo, size)
    small = replace(look, panel_width=round(look.panel_width * STAGE_SHARE))
    figure = row_figure(photo, thumbnail(photo), maps, scale_limits(maps, "map"), small)
    show_figure(figure, key=f"stages-{photo.digest[:16]}", alt=f"{photo.name}: the stages of {spec.label}")


def stage_table(staged: StagedNetwork) -> list[dict[str, Any]]:
    """What there is to know of each stage."""
    return [
        {
            "Stage": stage.tap.name,
            "Layer": stage.tap.layer + (" before its cap" if stage.tap.uncapped else ""),
            "Stride": stage.tap.stride,
            "Channels": stage.tap.channels,
            "Receptive field, pixels": round(stage.receptive_field),
        }
        for stage in staged.stages
    ]


def show_layer(reader: FeatureReader, features: Features, look: Look, more: Sequence[str]) -> None:
    """Draw a layer's max and mean maps, and the other collapses that were asked for; cells can be clicked."""
    maps = _maps(reader, features)
    photo = features.photo
    tiles = [Tile(name, COLLAPSES[name](features.values), maps.centres_y, maps.centres_x) for name in more]
    tiles = [Tile(name, getattr(maps, name), maps.centres_y, maps.centres_x) for name in look.reductions] + tiles
    show_figure(tile_figure(photo, tiles, look), key="layer-maps", alt=f"{photo.name} at layer {reader.tap.layer}")
    for name in more:
        st.caption(f"**{name}**: {COLLAPSE_WORDS[name]}.")


def show_channels(reader: FeatureReader, features: Features, look: Look) -> None:
    """Let a place be clicked or boxed, and draw the channels that are strongest there."""
    maps, photo = _maps(reader, features), features.photo
    with st.container(horizontal=True):
        order = st.segmented_control(
            "Sorted by", list(ORDERS), default=ORDERS[0], key="channel_order", help=_ORDER_HELP, required=True
        )
        count = st.segmented_control("Channels", [6, 12, 24, 48], default=12, key="channel_count", required=True)
    left, right = st.columns([1, 2])
    with left:
        event = st.plotly_chart(
            _clickable(maps, photo, look),
            key=f"place-{photo.digest[:16]}-{reader.tap.layer}",
            on_select="rerun",
            selection_mode=("points", "box"),
            width="content",
            alt="The max map; a click on a cell or a box chooses the place",
        )
        box = _box(event)
        if box is None:
            row, column = np.unravel_index(int(np.nan_to_num(maps.max).argmax()), maps.max.shape)
            box = (maps.centres_x[column], maps.centres_y[row], maps.centres_x[column], maps.centres_y[row])
            st.caption("The strongest cell. Click another one, or draw a box with the tool above the map.")
        place = cells_in_box(maps.centres_y, maps.centres_x, box)
        cells = f"{int(place.sum())} cell{'s' if place.sum() != 1 else ''}"
        st.caption(f"{cells} from pixel x {box[0]:.0f}, y {box[1]:.0f} on.")
    with right:
        strongest = strongest_channels(features.values, place, order or ORDERS[0], count or 12)
        tiles = [
            Tile(
                f"#{one.channel} · {getattr(one, order or ORDERS[0]):.3g}",
                features.values[..., one.channel],
                maps.centres_y,
                maps.centres_x,
            )
            for one in strongest
        ]
        if tiles:
            small = replace(look, panel_width=130)
            show_figure(
                tile_figure(photo, tiles, small, columns=4), key="channels", alt="The strongest channels at the place"
            )
        dead = dead_channels(features.values)
        more = f" and {len(dead) - MOST_LISTED} more" if len(dead) > MOST_LISTED else ""
        listed = f": {', '.join(map(str, dead[:MOST_LISTED]))}{more}" if dead else ""
        st.caption(f"{len(dead)} of {features.values.shape[-1]} channels are dead on this image{listed}.")


_ORDER_HELP = (
    "Maximum and mean of a channel over the cells of the place; variance over the whole image, "
    "of channels that are above their average there."
)


def show_architecture(spec: Spec) -> None:
    """Show the layers as a table to search, the summary to download, and the blocks as a picture."""
    network = opened(spec).network
    rows = layer_table(network)
    total = sum(row["parameters"] for row in rows)
    st.caption(f"{len(rows)} layers, {total:,} parameters; shapes at {network.native_size} pixels.")
    st.dataframe(rows, hide_index=True, height=320, alt=f"The layers of {spec.label}")
    with st.container(horizontal=True):
        st.download_button(
            "Summary as text",
            lambda: summary_text(network),
            f"{file_stem(spec.label)}-layers.txt",
            "text/plain",
            key="summary",
            icon=":material/download:",
            on_click="ignore",
        )
        wanted = st.toggle("Blocks as a picture", key="blocks")
    if wanted:
        picture = block_picture(network)
        if picture is None:
            st.info(
                "The picture needs Graphviz and pydot, which are not on this machine "
                "(`apt install graphviz`, `pip install pydot`).",
                icon=":material/account_tree:",
            )
        else:
            st.image(picture)


def _maps(reader: FeatureReader, features: Features) -> FeatureMaps:
    values = features.values
    grid = reader.network.path.grid(features.frame.input_height, features.frame.input_width)
    return maps_on_photo(features.photo, features.frame, reader.network, grid, values.max(-1), values.mean(-1))


def _clickable(maps: FeatureMaps, photo: Photo, look: Look) -> dict[str, Any]:
    """The max map with an invisible marker on every cell: heatmaps themselves cannot be selected."""
    figure = tile_figure(photo, [Tile(f"max of {plain(maps.tap)}", maps.max, maps.centres_y, maps.centres_x)], look)
    y, x = np.meshgrid(maps.centres_y, maps.centres_x, indexing="ij")
    figure["data"][0]["hoverinfo"] = "skip"
    figure["data"].append(
        {
            "type": "scatter",
            "x": x.ravel(),
            "y": y.ravel(),
            "mode": "markers",
            "marker": {"size": 9, "symbol": "square", "opacity": 0.01},
            "customdata": maps.max.ravel(),
            "hovertemplate": "<b>%{customdata:.4g}</b><br>pixel x %{x:.0f}, y %{y:.0f}<extra>click</extra>",
            "selected": {"marker": {"opacity": 0.8, "color": "#f97316"}},
            "showlegend": False,
        }
    )
    return figure


def _box(event: Any) -> tuple[float, float, float, float] | None:
    points = [(float(point["x"]), float(point["y"])) for point in event["selection"]["points"]]
    if not points:
        return None
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)
