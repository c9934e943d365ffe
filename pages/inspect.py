"""Inspect: one network on the user's images against what it should be compared with, and a report on its health."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from convfe_core.base.errors import ConvfeError, SpecError
from convfe_core.catalog.specs import Spec, control_of, find_architecture, parse_spec
from convfe_core.drawing.colour_scales import even_limits, scale_limits
from convfe_core.drawing.map_figure import row_figure
from convfe_core.maps.feature_maps import FeatureMaps, smallest_share, subtract_maps, to_unit
from convfe_core.maps.input_size import Size
from convfe_core.model_files.weight_cache import weights_state
from convfe_core.photos.photo import Photo
from pages.app.compute_maps import Work, show_outcome
from pages.app.navigation import enter
from pages.app.session import thumbnail
from pages.app.words import plain, show_error
from pages.sidebar.choose_backbones import choose_size
from pages.sidebar.choose_images import choose_images, show_need_of_photos
from pages.sidebar.choose_look import choose_look
from pages.sidebar.choose_one import choose_backbone
from pages.sidebar.own_models import known_card
from pages.views.grid import page_of, show_figure, turn_page_below
from pages.views.health_view import health_report, show_checks, show_verdict

SCALES = {"auto": "Auto", "one": "One", "own": "Own"}
LEAST_SHARE = 1 / 3  # of one scale for all; with less of it a map would lose its shapes

enter()


def references(spec: Spec, own: list[Spec]) -> dict[str, Spec]:
    """What a network may be compared with, by what it is called."""
    found = {"Untrained control": control_of(spec)}
    card = known_card(spec) if spec.own else None
    recognised = card.recognised if card else None
    if recognised is not None:
        found[f"{recognised} as published"] = parse_spec(recognised)
    elif not spec.own and spec.weights in ("untrained", "file"):
        found[f"{spec.name} as published"] = parse_spec(spec.name)
    if spec.weights == "untrained":
        del found["Untrained control"]
    return found | {one.label: one for one in own if one.label != spec.label}


def ready(spec: Spec) -> bool:
    """Whether comparing with it costs no download."""
    return spec.own or spec.weights != "imagenet" or weights_state(find_architecture(spec.name)).ready


def common_size(spec: Spec, size: Size) -> Size:
    """One size for a network and its references, so that their cells are the same."""
    if size.name not in ("own", "native"):
        return size
    card = known_card(spec) if spec.own else None
    if card is not None and card.native is not None:
        return Size(str(max(32, *card.native)))
    if spec.architecture is not None:
        both = spec.architecture.working_size, spec.architecture.native_size
        return Size(str(both[size.name == "native"]))
    return Size("320")


def draw(photo: Photo, found: list[FeatureMaps]) -> None:
    """Draw a photograph's maps under all networks, and below them what is different."""
    share = smallest_share(found)
    one_scale = scale == "one" or (scale == "auto" and share >= LEAST_SHARE)
    shared = replace(look, scope="image" if one_scale else "map")
    limits = scale_limits(found, shared.scope)
    key = photo.digest[:16]
    labels = ", ".join(maps.label for maps in found)
    figure = row_figure(photo, thumbnail(photo), found, limits, shared)
    show_figure(figure, key=f"inspect-{key}", alt=f"{photo.name} and its maps under {labels}")
    if len(found) < 2:
        return
    compared = found if one_scale else [to_unit(maps) for maps in found]
    try:
        changes = [subtract_maps(compared[0], other) for other in compared[1:]]
    except SpecError as error:
        st.caption(plain(str(error)))
        return
    figure = row_figure(photo, thumbnail(photo), changes, even_limits(changes), replace(look, colour_map="Blue-red"))
    show_figure(figure, key=f"difference-{key}", alt=f"{photo.name}: differences between {labels}")
    if not one_scale:
        st.caption(
            f"One scale for all would leave {share:.0%} of it to one of the maps. Here each has its own; differences "
            "are those of maps stretched to 0..1."
        )


with st.sidebar:
    photos = choose_images()
    spec, own = choose_backbone("inspect")
    options = references(spec, own)
    chosen = st.multiselect(
        "Compared with",
        list(options),
        default=[name for name, one in options.items() if ready(one)][:2],
        key=f"against-{spec.label}-{'-'.join(options)}",
        persist_state="session",
        help="Its untrained control; the published weights of its architecture; an earlier checkpoint added above.",
    )
    scale = st.segmented_control(
        "Scale",
        list(SCALES),
        format_func=lambda name: SCALES[name],
        default="auto",
        required=True,
        key="inspect_scale",
        help="One: all networks share a scale. Own: each map has its own, so that its shapes show whatever its "
        "magnitude, and differences are those of maps stretched to 0..1. "
        "Auto: one, unless that would leave some map less than a third of it.",
    )
    size = common_size(spec, choose_size())
    look = choose_look(scopes=False)

st.title("Inspect", anchor=False)
show_need_of_photos(photos)
st.write(
    f"Is **{plain(spec.label)}** in order? Its maps beside those it should be compared with, then a health report."
)
verdict = st.container()
failures, progress = st.container(), st.empty()
shown = page_of(photos)
work = Work(photos=shown, specs=[spec, *(options[name] for name in chosen)], size=size, slot=progress)
for photo, found in work.rows():
    if found:
        draw(photo, found)
turn_page_below(photos)
with failures:
    show_outcome(work)

st.subheader("Health", anchor=False)
try:
    report = health_report(spec, size, photos)
    show_checks(report)
    with verdict:
        show_verdict(report)
except ConvfeError as error:
    show_error(error)
