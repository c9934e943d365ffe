"""Files of a ranking: JSON, CSV, and one HTML page that needs no other file."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from convfe_core.base.errors import ConvfeError
from convfe_core.base.folders import write_whole
from convfe_core.maps.feature_maps import FeatureMaps
from convfe_core.photos.photo import DEFAULT_LIMITS, Photo, read_photo
from convfe_core.ranking.plots import pareto_figure, recall_figure, separation_figure, size_figure
from convfe_core.ranking.results import RankResult
from convfe_core.ranking.tables import answered, skipped_in_words, table_rows, to_csv, to_json
from convfe_core.trial.found_boxes import FOUND_LINES, best_and_worst_found, found_boxes, found_png

if TYPE_CHECKING:
    from convfe_core.backbones.backbone import Backbone
    from convfe_core.backbones.precision import Precision
    from convfe_core.catalog.specs import Spec

    Load = Callable[[Spec, str, Precision], Backbone]

ROWS = 3
"""Best, and worst, images shown in a report."""


@dataclass(frozen=True)
class _Picture:
    """A PNG in base64, and what is said of it."""

    png: str
    caption: str


def write_reports(
    result: RankResult, *, json_path: Path | None = None, html_path: Path | None = None, csv_path: Path | None = None
) -> None:
    """Write a ranking into the files that are wanted; each appears whole or not at all.

    Raises
    ------
    OSError : a file cannot be written
    """
    if json_path is not None:
        text = json.dumps(to_json(result), indent=1, ensure_ascii=False, allow_nan=False)
        write_whole(json_path, (text + "\n").encode())
    if csv_path is not None:
        write_whole(csv_path, to_csv(result).encode())
    if html_path is not None:
        write_whole(html_path, html_report(result, *best_and_worst(result)).encode())


def wins_and_losses(result: RankResult, first: str, second: str | None = None) -> list[tuple[str, float]]:
    """Images by how much further `first` separates than `second`, the clearest win first.

    Parameters
    ----------
    first, second : labels of backbones; without a second one, the images by the first one's own S

    Returns
    -------
    (image, difference of S) for every image that both were scored on
    """
    values = result.result(first).scores.maps[result.options.reduction].separation
    if second is not None:
        values = values - result.result(second).scores.maps[result.options.reduction].separation
    order = np.argsort(-values, kind="stable")
    return [(result.dataset.images[k].image, float(values[k])) for k in order.tolist() if np.isfinite(values[k])]


def best_and_worst(result: RankResult, rows: int = ROWS) -> tuple[list[str], list[str]]:
    """Names of the images on which the first backbone of the ranking separates best, and worst."""
    names = [name for name, _ in wins_and_losses(result, result.ranking.backbones[0].label)]
    best = names[:rows]
    return best, [name for name in names[::-1][:rows] if name not in best]


def html_report(result: RankResult, best: Sequence[str], worst: Sequence[str], load: Load | None = None) -> str:
    """One HTML page with the verdict, the table, the plots and the maps of some images.

    Parameters
    ----------
    best, worst : names of images to show with the maps of every backbone
    load : gives the backbone of a spec at a tap in the arithmetic of the ranking; None loads each anew
    """
    import jinja2
    from plotly.offline import get_plotlyjs

    figures = [("Separation", separation_figure(result)), ("Separation by box size", size_figure(result))]
    if any(r.cost is not None for r in result.results):
        figures.insert(1, ("Separation against time", pareto_figure(result)))
    if any(r.tried is not None for r in result.results):
        figures.append(("Precision and recall of the trial", recall_figure(result)))
    leader = result.ranking.backbones[0].label
    pictures = _pictures(result, [*best, *worst], load)
    rows = table_rows(result)
    asked = answered(rows)
    columns = [column for found in asked.values() for column in found]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("convfe_core.ranking", ""),
        autoescape=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}
    return environment.get_template("report.html.jinja").render(
        verdict=result.ranking.verdict.text,
        dataset=result.dataset.name,
        facts=f"{result.extent}. Size {result.options.size.name}, {result.options.reduction} map, 95 % intervals over "
        "images",
        asked=asked,
        rows=[[row["spec"], *(column.cell(row) for column in columns)] for row in rows],
        remarks=[f"{label}: {remark}" for label, remark in result.remarks],
        figures=figures,
        seen=[
            *(
                (f"Where {leader} separates {how}", [pictures[name] for name in names if name in pictures])
                for how, names in (("best", best), ("worst", worst))
            ),
            *_trial_pictures(result, leader),
        ],
        problems=[
            *skipped_in_words(result, most=200),
            *(f"missing {one.file}: {one.reason}" for one in result.missing),
        ],
        plotly=get_plotlyjs(),
    )


def _load_anew(spec: Spec, tap: str, precision: Precision) -> Backbone:
    from convfe_core.backbones.backbone import load_backbone

    return load_backbone(spec, tap, precision=precision)


def _pictures(result: RankResult, names: Sequence[str], load: Load | None) -> dict[str, _Picture]:
    """By image, the photograph, its boxes, and the map that ranks of all backbones that load."""
    from convfe_core.drawing.row_picture import row_png
    from convfe_core.maps.extraction import extract_maps

    options = result.options
    boxes = {entry.image: entry.boxes.tolist() for entry in result.dataset.images}
    photos: dict[str, Photo] = {}
    for name in dict.fromkeys(names):
        with suppress(ConvfeError):
            photos[name] = read_photo(result.dataset.source.read(name, DEFAULT_LIMITS.max_bytes), name)
    maps: dict[str, list[FeatureMaps]] = {name: [] for name in photos}
    for ranked in result.ranking.backbones if photos else ():
        try:
            backbone = (load or _load_anew)(result.result(ranked.label).spec, options.tap, options.precision)
        except ConvfeError:
            continue
        for name, found in zip(photos, extract_maps(backbone, photos.values(), options.size), strict=True):
            maps[name].append(found)
    pictures = {}
    for name, photo in photos.items():
        picture = row_png(photo, maps[name], reductions=(options.reduction,), boxes=boxes[name])
        scored = [(one.label, _score(result, one.label, name)) for one in result.ranking.backbones]
        scores = ", ".join(f"{label} {value:+.2f}" for label, value in scored if value is not None)
        pictures[name] = _Picture(base64.b64encode(picture).decode("ascii"), f"{name}, S: {scores}")
    return pictures


def _trial_pictures(result: RankResult, label: str) -> list[tuple[str, list[_Picture]]]:
    """The images on which a detector did best and worst, with what it found."""
    tried = result.result(label).tried
    if tried is None:
        return []
    seen = []
    for how, numbers in zip(("best", "worst"), best_and_worst_found(tried, ROWS), strict=True):
        pictures = []
        for number in numbers:
            name, found = tried.images[number].image, found_boxes(tried, number)
            with suppress(ConvfeError):
                photo = read_photo(result.dataset.source.read(name, DEFAULT_LIMITS.max_bytes), name)
                picture = base64.b64encode(found_png(photo, found)).decode("ascii")
                pictures.append(_Picture(picture, f"{name}: {found.in_words}"))
        seen.append((f"Where the detector on {label} does {how}: {FOUND_LINES}", pictures))
    return seen


def _score(result: RankResult, label: str, image: str) -> float | None:
    place = next(k for k, entry in enumerate(result.dataset.images) if entry.image == image)
    value = float(result.result(label).scores.maps[result.options.reduction].separation[place])
    return value if np.isfinite(value) else None
