"""What a ranking found: the verdict, a table, plots, and images that one backbone wins and another loses."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import streamlit as st

from convfe_core.backbones.precision import explain_precision
from convfe_core.base.errors import ConvfeError
from convfe_core.base.wording import counted
from convfe_core.datasets.boxes import Dataset, ImageBoxes
from convfe_core.marks.marked_photos import PhotoFiles
from convfe_core.photos.letterbox import reduce_photo
from convfe_core.photos.photo import Photo, read_photo
from convfe_core.ranking.plots import duel_figure, pareto_figure, recall_figure, separation_figure, size_figure
from convfe_core.ranking.results import RankResult
from convfe_core.ranking.tables import table_rows, to_csv, to_json
from convfe_core.reports.html_report import html_report
from convfe_core.trial.found_boxes import FOUND_LINES, best_and_worst_found, found_boxes, found_png
from pages.app.guard import guarded_download, redrawn_alone
from pages.app.visitor import allowance
from pages.app.words import plain, show_error
from pages.sidebar.choose_look import ink
from pages.views.opened import open_in_compare

MOST_OPENED = 8
TRIED_SHOWN = 3
COST_NAMES = {"ms_batch_8": "Latency", "flops": "Operations", "params": "Parameters", "memory_mb": "Memory"}

DIAGNOSTICS = {
    "clarity": "Gini times Moran: a few smooth bright regions give much, noise and flat maps little.",
    "gini": "0: all cells alike. Near 1: a few cells hold everything.",
    "moran": "Moran's I: 1 for smooth regions, about 0 for noise, -1 for a chequerboard.",
    "otsu": "Share of the variance that the best split into bright and dark explains, 0 to 1.",
    "entropy": "Of the values over 32 levels, 0 to 5 bits.",
    "saturated": "Share of the cells at the highest value: much of it tells of a cap.",
    "dead": "Share of the channels that are 0 everywhere.",
}
"""Columns of the last table and what they say."""


_YES_NO = {True: "yes", False: "no", None: ""}
_ANSWERS = {
    "S": st.column_config.ProgressColumn(
        "S",
        min_value=-0.1,
        max_value=0.5,
        format="%.3f",
        width="small",
        help="Do the maps show my objects? How much better the map finds an image's own boxes than other images' "
        "boxes: 0 is chance.",
    ),
    "95 % interval": st.column_config.Column(help="Where S over all images of this kind lies, with 95 % confidence."),
    "Control": st.column_config.NumberColumn(
        format="%.3f", help="S of the same architecture with random weights, average of three."
    ),
    "Beats it": st.column_config.Column(help="Whether S is above the control's beyond doubt."),
    "Cell probe": st.column_config.ProgressColumn(
        min_value=-0.1,
        max_value=0.5,
        format="%.3f",
        width="small",
        help="Can a linear combination of channels show my objects? S of the map that ridge regression predicts for "
        "images it did not learn from.",
    ),
    "Probe interval": st.column_config.Column(help="The 95 % interval of the cell probe."),
    "Probe control": st.column_config.NumberColumn(
        format="%.3f", help="The cell probe of the same architecture with random weights, average of three."
    ),
    "Probe beats it": st.column_config.Column(help="Whether the cell probe is above its control's beyond doubt."),
    "AP50": st.column_config.ProgressColumn(
        min_value=0.0,
        max_value=1.0,
        format="%.2f",
        width="small",
        help="Does a detector find them? Average precision of a small detector on this backbone's features, on images "
        "that it had not seen.",
    ),
    "AP50 control": st.column_config.NumberColumn(
        format="%.2f", help="The trial of the same architecture with random weights."
    ),
    "AP50 beats it": st.column_config.Column(help="Whether AP50 is above its control's beyond doubt."),
}
"""Columns that answer whether a backbone suits the images, each number beside its control."""

_COSTS = {
    "ms": st.column_config.NumberColumn(
        format="%.1f", help="Milliseconds per image on this machine, eight at a time, median."
    ),
    "GFLOPs": st.column_config.NumberColumn(format="%.2f", help="Of one image, a multiply-add counts as two."),
    "Params": st.column_config.NumberColumn(format="%.2f M", help="Parameters, without the classifier."),
    "MB": st.column_config.NumberColumn(format="%.0f", help="Peak memory that it added to this process."),
    "Top-1": st.column_config.NumberColumn(
        format="%.1f %%",
        help="Published ImageNet accuracy: it knows nothing of your data, and often does as well.",
    ),
    "Stride": st.column_config.NumberColumn(help="Pixels of the network's input per cell of its map."),
    "Tiny boxes": st.column_config.NumberColumn(
        format="percent", help="Boxes smaller than one cell of the map, which it can hardly show."
    ),
}
"""Columns of what a backbone costs, and of what is worth knowing besides."""


def show_result(result: RankResult) -> None:
    """Show a finished or stopped run, the answer first."""
    st.subheader(plain(result.ranking.verdict.text), anchor=False)
    st.caption(
        f"{result.ranking.usable:,} of {counted(len(result.dataset.images), 'image')} of "
        f"{plain(result.dataset.name)} could be scored. S says how much better the {result.ranking.reduction} map "
        "finds an image's own boxes than other images' boxes: 0 is chance, 0.5 about the most. "
        f"Arithmetic: {explain_precision(result.options.precision)}."
    )
    for failure in result.failed:
        st.error(f"**{plain(failure.file)}** is not ranked. {plain(failure.reason)}", icon=":material/error:")
    _table(result)
    _next_steps(result)
    left, right = st.columns(2)
    with left.container(border=True, height="stretch"):
        st.markdown(f"**Separation{', and its untrained control' if result.options.control else ''}**")
        st.plotly_chart(separation_figure(result, ink()), key="rank-s", alt="S of every backbone with its interval")
    with right.container(border=True):
        _cost_plot(result)
    with st.container(border=True):
        st.markdown("**Separation by the size of the boxes**")
        st.plotly_chart(size_figure(result, ink()), key="rank-sizes", alt="S on small, medium and large boxes")
        for label, remark in result.remarks:
            st.caption(f"**{plain(label)}**: {remark}.")
    _trial(result)
    _duel(result)
    _diagnostics(result)


def _trial(result: RankResult) -> None:
    """What the detectors found: their curves, and the images on which one of them does best and worst."""
    tried = {one.label: one.tried for one in result.results if one.tried is not None}
    if not tried:
        return
    with st.container(border=True):
        st.markdown("**The trial of a small detector**")
        st.plotly_chart(recall_figure(result, ink()), key="rank-recall", alt="Precision against recall of each trial")
        label = st.selectbox("Detector on", list(tried), key="trial-backbone", format_func=plain)
        st.caption(f"On images that it had not seen, where it does best and worst: {FOUND_LINES}.")
        numbers = [number for some in best_and_worst_found(tried[label], TRIED_SHOWN) for number in some]
        for column, number in zip(st.columns(max(len(numbers), 1)), numbers, strict=False):
            found, name = found_boxes(tried[label], number), tried[label].images[number].image
            try:
                photo = read_photo(result.dataset.source.read(name, allowance().images.max_bytes), name)
            except ConvfeError as error:
                show_error(error)
                continue
            column.image(found_png(photo, found), caption=f"{plain(name)}: {found.in_words}")


def _table(result: RankResult) -> None:
    """One line a backbone, to be read from left to right; columns without any number are left out."""
    other = "max" if result.ranking.reduction == "mean" else "mean"
    rows = [_row(row, other) for row in table_rows(result)]
    empty = {name for name in rows[0] if all(row[name] in (None, "") for row in rows)}
    st.dataframe(
        [{name: value for name, value in row.items() if name not in empty} for row in rows],
        hide_index=True,
        alt="One line a backbone, the best first",
        column_config=_ANSWERS
        | _COSTS
        | {
            f"S of {other}": st.column_config.NumberColumn(
                format="%.3f", help=f"Separation of the {other} map, for comparison: it does not rank."
            ),
            "Box probe": st.column_config.NumberColumn(
                format="%.2f",
                help="Can the class of a box be told by the features in it? Balanced accuracy of 5 nearest neighbours; "
                f"chance is {_chance(result)}.",
            ),
        },
    )
    st.caption(
        "From left to right: do the maps show my objects (S), can a linear combination of channels (cell probe), does "
        "a detector find them (AP50 of a trial, where there was one), what does it cost."
    )


def _chance(result: RankResult) -> str:
    """Accuracy of guessing the class of a box."""
    found = next((one.probe for one in result.results if one.probe and one.probe.balanced_accuracy), None)
    return "one over the number of classes" if found is None else f"{found.chance:.2f} here"


def _row(row: dict[str, Any], other: str) -> dict[str, Any]:
    return {
        "Backbone": row["spec"],
        "S": row["S"],
        "95 % interval": _interval(row, "S"),
        "Control": row["control_S"],
        "Beats it": _YES_NO[row["beats_control"]],
        "Cell probe": row["cell_probe"],
        "Probe interval": _interval(row, "cell_probe"),
        "Probe control": row["cell_probe_control"],
        "Probe beats it": _YES_NO[row["cell_probe_beats_control"]],
        "AP50": row["ap50"],
        "AP50 interval": _interval(row, "ap50"),
        "AP50 control": row["ap50_control"],
        "AP50 beats it": _YES_NO[row["ap50_beats_control"]],
        "ms": row["ms_batch_8"],
        "GFLOPs": None if row["flops"] is None else row["flops"] / 1e9,
        "Params": None if row["params"] is None else row["params"] / 1e6,
        "MB": row["memory_mb"],
        f"S of {other}": row[f"S_{other}_map"],
        "Box probe": row["probe"],
        "Top-1": row["imagenet_top1"],
        "Stride": row["stride"],
        "Tiny boxes": row["under_one_cell"],
    }


def _interval(row: dict[str, Any], key: str) -> str:
    return "" if row[key] is None else f"{row[f'{key}_low']:.3f} to {row[f'{key}_high']:.3f}"


def _next_steps(result: RankResult) -> None:
    """What to do with the answer: look at the images behind it, or take it along."""
    leader = result.ranking.backbones[0].label
    best, worst = result.best_and_worst(MOST_OPENED // 2)
    place_of = {entry.image: place for place, entry in enumerate(result.dataset.images)}
    with st.container(horizontal=True):
        if best and st.button(
            "See its best and worst images",
            key="rank-extremes",
            icon=":material/grid_view:",
            help=f"Opens the images that {plain(leader)} separates best and worst in Compare, with their boxes.",
        ):
            _open(result, [place_of[name] for name in (*best, *worst)])
        _exports(result)


@redrawn_alone
def _cost_plot(result: RankResult) -> None:
    st.markdown("**Separation against cost**")
    if all(one.cost is None for one in result.results):
        st.caption("The cost was not measured in this run.")
        return
    against = st.segmented_control(
        "Cost", list(COST_NAMES), format_func=lambda name: COST_NAMES[name], default="ms_batch_8", key="rank-cost-kind"
    )
    figure = pareto_figure(result, against or "ms_batch_8", ink())
    st.plotly_chart(figure, key="rank-cost", alt="S against cost, with the front of the best trades")


@redrawn_alone
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
    for place in places:
        try:
            opened.append(photo_with_boxes(result.dataset, place))
        except ConvfeError as error:
            show_error(error)
    open_in_compare(opened)


def photo_with_boxes(dataset: Dataset, place: int) -> tuple[Photo, ImageBoxes]:
    """Read an image of a data set as small as this visitor may keep it, and its boxes.

    Raises
    ------
    ConvfeError : it cannot be read
    """
    image, allowed = dataset.images[place], allowance()
    if isinstance(dataset.source, PhotoFiles):  # it comes from Compare, which has it
        return dataset.source.photo(image.image), image
    photo = read_photo(dataset.source.read(image.image, allowed.images.max_bytes), image.image, allowed.images)
    return reduce_photo(photo, allowed.longest_side), image


def _diagnostics(result: RankResult) -> None:
    """Numbers that need no boxes, each beside its control's."""
    with st.expander("Numbers of the maps alone: they help to read a map, they do not rank"):
        rows = []
        for one in result.results:
            for reduction, numbers in one.diagnostics.items():
                control = one.control_diagnostics.get(reduction)
                row: dict[str, Any] = {"Map": f"{one.label} {reduction}"}
                for name in DIAGNOSTICS:
                    row[name] = round(getattr(numbers, name), 3)
                    row[f"{name} of control"] = None if control is None else round(getattr(control, name), 3)
                rows.append(row)
        st.dataframe(
            rows,
            hide_index=True,
            alt="Diagnostics of each backbone's maps beside those of its control",
            column_config={name: st.column_config.NumberColumn(help=what) for name, what in DIAGNOSTICS.items()},
        )


def _exports(result: RankResult) -> None:
    formats: list[tuple[str, Callable[[RankResult], str], str]] = [
        ("HTML", html_report, "text/html"),
        ("CSV", to_csv, "text/csv"),
        ("JSON", lambda found: json.dumps(to_json(found), indent=1, ensure_ascii=False), "application/json"),
    ]
    for name, make, mime in formats:
        st.download_button(
            f"Report as {name}",
            guarded_download(partial(make, result)),
            f"convfe-ranking.{name.lower()}",
            mime,
            key=f"rank-{name}",
            icon=":material/download:",
            on_click="ignore",
        )
