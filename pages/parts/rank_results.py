"""What a ranking found: the verdict, a table, plots, and images that one backbone wins and another loses."""

from __future__ import annotations

from functools import partial
from typing import Any

import streamlit as st
from convfe_core.report import ranking_csv, ranking_html, ranking_json

from convfe_core.errors import ConvfeError
from convfe_core.images import read_photo
from convfe_core.rank import RankedResult, RankResult
from convfe_core.rank_figures import COSTS, cost_figure, cost_of, duel_figure, separation_figure, size_figure
from convfe_core.ranking import RankedBackbone
from pages.parts.choose_look import ink
from pages.parts.opened import open_in_compare
from pages.parts.words import plain, show_error

MOST_OPENED = 8
COST_NAMES = {"latency": "Latency", "flops": "Operations", "params": "Parameters"}


def show_result(result: RankResult) -> None:
    """Show a finished or stopped run, the answer first."""
    st.subheader(plain(result.ranking.verdict.text), anchor=False)
    st.caption(
        f"{result.ranking.usable:,} of {len(result.dataset.images):,} images could be scored. S says how much better "
        f"the {result.ranking.reduction} map finds an image's own boxes than other images' boxes: 0 is chance, 0.5 is perfect."
    )
    for failure in result.failed:
        show_error(f"**{plain(failure.file)}** is not ranked. {failure.reason}")
    _table(result)
    left, right = st.columns(2)
    with left.container(border=True):
        st.markdown("**Separation, and its untrained control**")
        st.plotly_chart(separation_figure(result, ink()), key="rank-s", alt="S of every backbone with its interval")
    with right.container(border=True):
        _cost_plot(result)
    with st.container(border=True):
        st.markdown("**Separation by the size of the boxes**")
        st.plotly_chart(size_figure(result, ink()), key="rank-sizes", alt="S on small, medium and large boxes")
        for one in result.results:
            st.caption(f"**{plain(one.label)}**: {one.sizes.text}.")
    _duel(result)
    _diagnostics(result)
    _exports(result)


def _table(result: RankResult) -> None:
    rows = [_row(one, result.result(one.label), result.ranking.reduction) for one in result.ranking.backbones]
    st.dataframe(
        rows,
        hide_index=True,
        alt="One line a backbone, the highest separation first",
        column_config={
            "S": st.column_config.ProgressColumn(
                "S", min_value=-0.1, max_value=0.5, format="%.3f", help="Separation of the map that ranks."
            ),
            "Probe": st.column_config.NumberColumn(
                format="%.2f",
                help="Balanced accuracy of 5 nearest neighbours on the boxes' features; chance is 1/classes.",
            ),
            "Top-1, %": st.column_config.NumberColumn(
                format="%.1f",
                help="Published ImageNet accuracy: it knows nothing of your data, and often does as well.",
            ),
            "Boxes under a cell": st.column_config.NumberColumn(format="percent"),
        },
    )


def _row(ranked: RankedBackbone, result: RankedResult, reduction: str) -> dict[str, Any]:
    other = "max" if reduction == "mean" else "mean"
    scores, second = ranked.separation.get(reduction), ranked.separation.get(other)
    control = scores.control if scores else None
    latency, flops, params = (cost_of(result, against) for against in COSTS)
    accuracy = result.probe.balanced_accuracy if result.probe else None
    return {
        "Backbone": ranked.label,
        "S": scores.S.value if scores else None,
        "95 % interval": f"{scores.S.low:.3f} to {scores.S.high:.3f}" if scores else "",
        "Control": round(control.value, 3) if control else None,
        "Beats it": {True: "yes", False: "no", None: ""}[ranked.beats_control],
        f"S of {other}": round(second.S.value, 3) if second else None,
        "Probe": accuracy.value if accuracy else None,
        "ms per image": _rounded(latency, 1),
        "GFLOPs": _rounded(flops, 2),
        "M parameters": _rounded(params, 2),
        "Top-1, %": result.top1,
        "Stride": result.stride,
        "Boxes under a cell": result.sizes.under_one_cell,
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _cost_plot(result: RankResult) -> None:
    st.markdown("**Separation against cost**")
    if all(one.cost is None for one in result.results):
        st.caption("The cost was not measured in this run.")
        return
    against = st.segmented_control(
        "Cost", list(COSTS), format_func=lambda name: COST_NAMES[name], default="latency", key="rank-cost-kind"
    )
    figure = cost_figure(result, against or "latency", ink())
    st.plotly_chart(figure, key="rank-cost", alt="S against cost, with the front of the best trades")


def _duel(result: RankResult) -> None:
    """Choose two backbones and see which images each wins."""
    labels = [one.label for one in result.ranking.backbones if one.separation]
    if len(labels) < 2:
        return
    with st.container(border=True):
        st.markdown("**Image by image**")
        left, right = st.columns(2)
        first = left.selectbox("Up", labels, key="duel-first")
        second = right.selectbox("Across", [label for label in labels if label != first], key="duel-second")
        found = {one.label: one for one in result.ranking.backbones}
        event = st.plotly_chart(
            duel_figure(result, found[first], found[second], ink()),
            key="rank-duel",
            on_select="rerun",
            selection_mode=("points", "box"),
            alt=f"S of every image under {first} against {second}",
        )
        places = [int(point["customdata"]) for point in event.selection.points if "customdata" in point][:MOST_OPENED]
        st.caption(f"Above the line {plain(first)} wins. Click an image, or draw a box around up to {MOST_OPENED}.")
        if places and st.button(
            f"Open {len(places)} in Compare", key="duel-open", icon=":material/grid_view:", type="primary"
        ):
            _open(result, places)


def _open(result: RankResult, places: list[int]) -> None:
    opened = []
    for image in (result.dataset.images[place] for place in places):
        try:
            opened.append((read_photo(result.dataset.source.read(image.image, 10**9), image.image), image.boxes))
        except ConvfeError as error:
            show_error(str(error))
    open_in_compare(opened)


def _diagnostics(result: RankResult) -> None:
    """Numbers that need no boxes, each beside its control's."""
    with st.expander("Numbers of the maps alone: they help to read a map, they do not rank"):
        rows = []
        for one in result.results:
            for reduction, numbers in one.diagnostics.items():
                control = one.control_diagnostics.get(reduction)
                row: dict[str, Any] = {"Map": f"{one.label} {reduction}"}
                for name in ("clarity", "gini", "moran", "otsu", "entropy", "saturated", "dead"):
                    row[name] = round(getattr(numbers, name), 3)
                    row[f"{name} of control"] = None if control is None else round(getattr(control, name), 3)
                rows.append(row)
        st.dataframe(rows, hide_index=True, alt="Diagnostics of each backbone's maps beside those of its control")


def _exports(result: RankResult) -> None:
    with st.container(horizontal=True):
        for name, make, mime in (
            ("CSV", ranking_csv, "text/csv"),
            ("JSON", ranking_json, "application/json"),
            ("HTML", ranking_html, "text/html"),
        ):
            st.download_button(
                f"Report as {name}",
                partial(make, result),
                f"convfe-ranking.{name.lower()}",
                mime,
                key=f"rank-{name}",
                icon=":material/download:",
                on_click="ignore",
            )
