"""What the Depth page draws: stages, other ways to collapse channels, channels at a place, and the layers' table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import streamlit as st

from convfe_core.catalog.specs import Spec
from convfe_core.drawing.colour_scales import scale_limits
from convfe_core.drawing.map_figure import row_figure
from convfe_core.drawing.map_traces import Look
from convfe_core.drawing.sheet import PANEL_GAP
from convfe_core.drawing.tile_figure import Tile, tile_figure
from convfe_core.maps.channel_collapses import (
    COLLAPSE_WORDS,
    COLLAPSES,
    ORDERS,
    cells_in_box,
    dead_channels,
    strongest_channels,
)
from convfe_core.maps.every_layer import LayerReader
from convfe_core.maps.extraction import Projected
from convfe_core.maps.feature_maps import FeatureMaps
from convfe_core.maps.input_size import Size, check_pass
from convfe_core.maps.pca_colours import colour_features, extract_coloured_layers
from convfe_core.photos.photo import Photo
from convfe_core.serving.map_key import MapKey
from pages.app.compute_maps import load_network
from pages.app.guard import redrawn_alone
from pages.app.session import LAYER_FEATURES, MAPS, thumbnail
from pages.app.visitor import allowance
from pages.app.words import listed, plain
from pages.sidebar.choose_look import PANEL_WIDTHS
from pages.views.show_figure import show_figure

SMALLEST_PANEL = 80
"""Pixels across a panel of the usual size, however many stages there are."""
STAGE_COLUMNS = {
    "Stage": st.column_config.TextColumn(help="As in feature pyramids: C2 to C5 are those of stride 4 to 32."),
    "Layer": st.column_config.TextColumn(help="The last layer of the stage, or the one before a cap."),
    "Stride": st.column_config.NumberColumn(help="Pixels of the input from one cell to the next."),
    "Channels": st.column_config.NumberColumn(help="Numbers that each cell holds; the maps are their max and mean."),
    "Receptive field, pixels": st.column_config.NumberColumn(
        help="How much of the input can reach one cell. What is larger cannot be seen whole by this stage."
    ),
}


def stage_maps(
    stages: LayerReader, spec: Spec, photo: Photo, size: Size, together: Sequence[Photo] = ()
) -> list[FeatureMaps]:
    """The maps of all stages, computed once a session unless its store is full.

    Parameters
    ----------
    together : photographs, this one among them, that share the basis of PCA colours; none for maps without
    """

    def keys(of: Photo) -> list[MapKey]:
        digests = tuple(one.digest for one in together)
        return [MapKey(of.digest, spec, f"stage {one.tap.name}", size, together=digests) for one in stages.layers]

    store = MAPS.get()
    kept = [maps for key in keys(photo) if (maps := store.get(key)) is not None]
    if len(kept) == len(stages.layers):
        return kept
    needed = together or [photo]
    for one in needed:
        check_pass(stages.layers[0], one, size)
    made = extract_coloured_layers(stages, needed, size) if together else [stages.maps(photo, size)]
    for one, found in zip(needed, made, strict=True):
        for key, maps in zip(keys(one), found, strict=True):
            store.put(key, maps)
    return made[needed.index(photo)]


def show_stages(
    stages: LayerReader, spec: Spec, photo: Photo, size: Size, look: Look, together: Sequence[Photo], room: int
) -> None:
    """Draw every stage of a photograph in a row, and say what its cells see.

    Parameters
    ----------
    together : the photographs that are shown, for PCA colours
    room : pixels across, which all stages share as long as panels stay large enough
    """
    maps = stage_maps(stages, spec, photo, size, together if "pca" in look.reductions else ())
    panels = 1 + len(maps) * len(look.reductions)
    medium = PANEL_WIDTHS["M"]
    usual = min(medium, max(SMALLEST_PANEL, (room + PANEL_GAP) // panels - PANEL_GAP))
    small = replace(look, panel_width=usual * look.panel_width // medium)
    fields = {one.label: stage.receptive_field for one, stage in zip(maps, stages.layers, strict=True)}
    figure = row_figure(photo, thumbnail(photo), maps, scale_limits(maps, "map"), small, receptive_fields=fields)
    show_figure(figure, key=f"stages-{photo.digest[:16]}", alt=f"{photo.name}: the stages of {spec.label}")


def show_stage_table(stages: LayerReader) -> None:
    """Show what there is to know of each stage."""
    rows = [
        {
            "Stage": stage.tap.name,
            "Layer": stage.tap.layer + (" before its cap" if stage.tap.uncapped else ""),
            "Stride": stage.tap.stride,
            "Channels": stage.tap.channels,
            "Receptive field, pixels": round(stage.receptive_field),
        }
        for stage in stages.layers
    ]
    st.dataframe(
        rows,
        hide_index=True,
        column_config=STAGE_COLUMNS,
        alt="Stage, layer, stride, channels and receptive field",
    )


@redrawn_alone
def show_one_layer(spec: Spec, photos: Sequence[Photo], size: Size, look: Look) -> None:
    """Ask for a layer and a photograph, and show all that the layer holds."""
    network = load_network(spec)
    stages = [stage.tap.name for stage in network.stages.layers]
    named = {photo.name: photo for photo in photos}
    with st.container(horizontal=True):
        layer = st.selectbox(
            "Layer",
            ["auto", *stages, *reversed(network.network.map_layers())],
            format_func=lambda name: f"{network.network.tap.layer} (the usual one)" if name == "auto" else name,
            key=f"depth_layer_{spec.label}",
            help="A stage, or any layer by its name: type to search.",
        )
        name = st.selectbox("Image", list(named), key="depth_image")
        more = st.pills(
            "Beside max and mean",
            list(COLLAPSES),
            selection_mode="multi",
            key="collapses",
            help="More ways to collapse the channels.",
        )
    with st.spinner(f"{plain(spec.label)}: {plain(layer or 'auto')}"):
        reader = network.layer(layer or "auto")
        photo = named.get(name or "", photos[0])
        found = _read_layer(reader, spec, photo, size)
    _show_layer(photo, found, look, more)
    _show_channels(photo, found, replace(look, panel_width=max(look.panel_width, 300)))


def _read_layer(reader: LayerReader, spec: Spec, photo: Photo, size: Size) -> Projected:
    """The maps and whole features of a photograph, computed anew only when another one is asked for.

    Raises
    ------
    MemoryLimitError : its layers would not fit
    """
    (layer,) = reader.layers
    check_pass(layer, photo, size)
    kept = LAYER_FEATURES.get()
    key = (spec, layer.tap, photo.digest, size)
    if kept is None or kept[0] != key:
        kept = key, reader.whole(photo, size)[0]
        small = kept[1].components.nbytes <= allowance().maps_mb * 2**20
        LAYER_FEATURES.set(kept if small else None)
    return kept[1]


def _show_layer(photo: Photo, found: Projected, look: Look, more: Sequence[str]) -> None:
    """Draw a layer's max and mean maps, and the other collapses that were asked for; cells can be clicked."""
    maps = colour_features([found])[0] if "pca" in look.reductions else found.maps
    tiles = [Tile(name, COLLAPSES[name](found.components), maps.centres_y, maps.centres_x) for name in more]
    tiles = [Tile(name, maps.picture(name), maps.centres_y, maps.centres_x) for name in look.reductions] + tiles
    show_figure(tile_figure(photo, tiles, look), key="layer-maps", alt=f"{photo.name} at layer {maps.tap}")
    for name in more:
        st.caption(f"**{name}**: {COLLAPSE_WORDS[name]}.")


def _show_channels(photo: Photo, found: Projected, look: Look) -> None:
    """Let the visitor click or box a place, and draw the channels that are strongest there."""
    maps, features = found.maps, found.components
    with st.container(horizontal=True):
        order = st.segmented_control(
            "Sorted by", list(ORDERS), default=ORDERS[0], key="channel_order", help=_ORDER_HELP, required=True
        )
        count = st.segmented_control("Channels", [6, 12, 24, 48], default=12, key="channel_count", required=True)
    left, right = st.columns([1, 2])
    with left:
        event = st.plotly_chart(
            _clickable(maps, photo, look),
            key=f"place-{photo.digest[:16]}-{maps.tap}",
            on_select="rerun",
            selection_mode=("points", "box"),
            width="content",
            theme=None,
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
        strongest = strongest_channels(features, place, order or ORDERS[0], count or 12)
        tiles = [
            Tile(
                f"#{one.channel} · {getattr(one, order or ORDERS[0]):.3g}",
                features[..., one.channel],
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
        else:
            st.caption("No channel is above zero there.")
        dead = dead_channels(features)
        st.caption(f"{len(dead)} of {features.shape[-1]} channels are dead on this image: never above zero.")
        if dead:
            with st.expander("Dead channels by number"):
                st.caption(listed(dead))


_ORDER_HELP = (
    "Maximum and mean of a channel over the cells of the place; variance over the whole image, "
    "of channels that are above their average there."
)


def _clickable(maps: FeatureMaps, photo: Photo, look: Look) -> dict[str, Any]:
    """The max map with an invisible marker on every cell: heatmaps themselves cannot be selected."""
    figure = tile_figure(photo, [Tile(f"max of {maps.tap}", maps.max, maps.centres_y, maps.centres_x)], look)
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
