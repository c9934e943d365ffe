"""The sidebar's second question: which backbones, and at which size do they see the images?"""

from __future__ import annotations

import streamlit as st

from convfe_core.backbones.precision import Precision, bfloat16_unit
from convfe_core.base.errors import ConvfeError, SpecError
from convfe_core.catalog.specs import CATALOG, Architecture, Spec, default_spec, find_architecture, parse_spec
from convfe_core.maps.input_size import Size, parse_size
from convfe_core.model_files.weight_cache import weights_state
from pages.app.session import BACKBONE_LABELS, widget_value
from pages.app.visitor import allowance
from pages.app.words import show_error
from pages.sidebar.choose_named import choose_named
from pages.sidebar.own_models import choose_own_models

DEFAULT_BACKBONES = ("TinyResNet", "TinyMobileNet")
TAPS = {
    "auto": "The last one",
    "output": "The output as Keras returns it",
    "C4": "Stage C4, stride 16",
    "C3": "Stage C3, stride 8",
    "C2": "Stage C2, stride 4",
}
SIZES = {
    "own": "Own size",
    "native": "Native (as trained)",
    "224": "224",
    "320": "320",
    "448": "448",
    "640": "640",
    "image": "The image's own",
}


def cost(architecture: Architecture, spec: Spec) -> str:
    """What choosing this costs: ``built in``, ``ready``, ``90 MB download`` or ``no download``."""
    if spec.weights == "builtin":
        return "built in"
    if spec.weights == "untrained":
        return "no download"
    if spec.path is not None:
        return "your file"
    state = weights_state(architecture)
    return "ready" if state.ready else f"{state.megabytes:.0f} MB download"


def no_download(spec: Spec) -> bool:
    """Whether this can be had without a download."""
    return spec.own or not cost(find_architecture(spec.name), spec).endswith("MB download")


def backbone_labels() -> dict[str, str]:
    """Every choice and its label, the cheapest first; fixed for a session so that a choice keeps its label."""
    labels = BACKBONE_LABELS.get()
    if not labels:
        specs = [default_spec(a) for a in CATALOG.values()]
        specs += [parse_spec(f"{a.name}:untrained") for a in CATALOG.values()]
        costs = {spec.text: cost(find_architecture(spec.name), spec) for spec in specs}
        order = ("built in", "ready")
        ranked = sorted(costs, key=lambda text: order.index(costs[text]) if costs[text] in order else len(order))
        labels |= {text: _label(text, costs[text]) for text in ranked}
    return labels


def _label(text: str, cost_in_words: str) -> str:
    """A choice in one line of the sidebar: that random weights cost nothing is said by their name."""
    return text if cost_in_words == "no download" else f"{text} · {cost_in_words.removesuffix(' download')}"


def choose_backbones() -> list[Spec]:
    """Ask for backbones; the choice stands in the page's address."""
    st.subheader(
        "Backbones",
        anchor=False,
        help="NAME, NAME:imagenet, NAME:untrained or LABEL=model.keras. The built-in ones are small, for trying out; "
        "untrained ones have random weights, as a control. MB are still to be downloaded.",
    )
    labels = backbone_labels()
    named = _from_address()
    typed = widget_value("backbones", named)
    chosen = st.multiselect(
        "Backbones",
        list(labels | {text: text for text in typed}),
        default=named,
        format_func=lambda text: labels.get(text, text),
        key="backbones",
        max_selections=allowance().most_backbones,
        accept_new_options=True,
        persist_state="session",
        label_visibility="collapsed",
        placeholder="Search a backbone",
    )
    specs: list[Spec] = []
    own: list[Spec] = []
    for text in chosen:
        try:
            spec = _permitted(parse_spec(text))
            if spec.own:
                own.append(spec)
                continue
            find_architecture(spec.name)
        except ConvfeError as error:
            show_error(error, icon=":material/search_off:")
            continue
        specs.append(spec)
    if set(chosen) == set(DEFAULT_BACKBONES):
        st.query_params.pop("backbones", None)
    else:
        st.query_params["backbones"] = ",".join(chosen)
    specs += choose_own_models(own)
    return list({spec.label: spec for spec in specs}.values())


def _permitted(spec: Spec) -> Spec:
    """Refuse a visitor's spec that names a file of this machine."""
    if spec.path is not None and not allowance().this_machine:
        raise SpecError(f"Expected a backbone by its name; files of the server cannot be named. Received: {spec.name}.")
    return spec


def _from_address() -> list[str]:
    """Backbones that the page's address names, else the built-in ones."""
    named = [text for texts in st.query_params.get_all("backbones") for text in texts.split(",") if text]
    return named[: allowance().most_backbones] or list(DEFAULT_BACKBONES)


def choose_size() -> Size:
    """Ask how large the images enter the networks."""
    chosen = choose_named(
        "Longest side, in pixels",
        SIZES,
        "size",
        "More pixels give more cells, but networks know objects at the size they were trained on. "
        "Own size is the one at which each did best.",
    )
    return parse_size(chosen)


def choose_tap() -> str:
    """Ask which feature map of each network is looked at."""
    return choose_named(
        "Feature map",
        TAPS,
        "tap",
        "The last one, uncapped where a cap would flatten the max map; exactly what Keras returns; or an earlier "
        "stage with smaller cells, as a feature pyramid uses them.",
    )


def choose_precision() -> Precision:
    """Ask whether to compute in bfloat16, where this processor can."""
    unit = bfloat16_unit()
    fast = st.toggle(
        "Fast arithmetic",
        key="fast",
        bind="query-params",
        disabled=unit is None,
        help="Computes in bfloat16, which moves a map's values by about one percent of their range. "
        + (f"This server's processor has {unit} for it." if unit else "This server's processor cannot do that."),
    )
    return "fast" if fast and unit else "float32"
