"""Files of a ranking: JSON, CSV, and one HTML page that needs no other file."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from convfe_core.base.errors import ConvfeError
from convfe_core.base.folders import write_whole
from convfe_core.photos.photo import DEFAULT_LIMITS, Photo, read_photo
from convfe_core.ranking.plots import pareto_figure, recall_figure, separation_figure, size_figure
from convfe_core.ranking.results import REPORTED, RankResult
from convfe_core.ranking.tables import answered, skipped_in_words, table_rows, to_csv, to_json
from convfe_core.reports.svg_plots import draw_svg
from convfe_core.trial.found_boxes import FOUND_LINES, best_and_worst_found, found_boxes, found_png


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
        write_whole(html_path, html_report(result).encode())


def html_report(result: RankResult) -> str:
    """One HTML page with the verdict, the table, the plots and the maps of the images that were kept; no script."""
    import jinja2

    figures = [("Separation", separation_figure(result)), ("Separation by box size", size_figure(result))]
    if any(r.cost is not None for r in result.results):
        figures.insert(1, ("Separation against time", pareto_figure(result)))
    if any(r.tried is not None for r in result.results):
        figures.append(("Precision and recall of the trial", recall_figure(result)))
    leader = result.ranking.backbones[0].label
    rows = table_rows(result)
    asked = answered(rows)
    columns = [column for found in asked.values() for column in found]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("convfe_core.reports", ""),
        autoescape=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("report.html.jinja").render(
        verdict=result.ranking.verdict.text,
        dataset=result.dataset.name,
        facts=f"{result.extent}. Size {result.options.size.name}, {result.options.reduction} map, 95 % intervals over "
        "images",
        asked=asked,
        rows=[[row["spec"], *(column.cell(row) for column in columns)] for row in rows],
        remarks=[f"{label}: {remark}" for label, remark in result.remarks],
        figures=[(title, draw_svg(figure, title)) for title, figure in figures],
        seen=[
            *(
                (f"Where {leader} separates {how}", list(_pictures(result, names)))
                for how, names in zip(("best", "worst"), result.reported, strict=True)
            ),
            *_trial_pictures(result, leader),
        ],
        problems=[
            *skipped_in_words(result, most=200),
            *(f"missing {one.file}: {one.reason}" for one in result.missing),
        ],
    )


def _pictures(result: RankResult, names: Iterable[str]) -> Iterator[_Picture]:
    """Photographs with their boxes, and the map that ranks of every backbone; none of a file that has changed."""
    from convfe_core.drawing.row_picture import row_png

    boxes = {entry.image: entry.boxes.tolist() for entry in result.dataset.images}
    for name in names:
        photo = _photo(result, name)
        if photo is None:
            continue
        kept = (result.result(ranked.label).maps.get(name) for ranked in result.ranking.backbones)
        maps = [one for one in kept if one is not None and one.digest == photo.digest]
        if maps:
            picture = row_png(photo, maps, reductions=(result.options.reduction,), boxes=boxes[name])
            scored = [(one.label, _score(result, one.label, name)) for one in result.ranking.backbones]
            scores = ", ".join(f"{label} {value:+.2f}" for label, value in scored if value is not None)
            yield _Picture(base64.b64encode(picture).decode("ascii"), f"{name}, S: {scores}")


def _photo(result: RankResult, name: str) -> Photo | None:
    """A photograph of the data set, if it can still be read."""
    with suppress(ConvfeError):
        return read_photo(result.dataset.source.read(name, DEFAULT_LIMITS.max_bytes), name)
    return None


def _trial_pictures(result: RankResult, label: str) -> list[tuple[str, list[_Picture]]]:
    """The images on which a detector did best and worst, with what it found."""
    tried = result.result(label).tried
    if tried is None:
        return []
    seen = []
    for how, numbers in zip(("best", "worst"), best_and_worst_found(tried, REPORTED), strict=True):
        pictures = []
        for number in numbers:
            name, found = tried.images[number].image, found_boxes(tried, number)
            if (photo := _photo(result, name)) is not None:
                picture = base64.b64encode(found_png(photo, found)).decode("ascii")
                pictures.append(_Picture(picture, f"{name}: {found.in_words}"))
        seen.append((f"Where the detector on {label} does {how}: {FOUND_LINES}", pictures))
    return seen


def _score(result: RankResult, label: str, image: str) -> float | None:
    return dict(result.wins_and_losses(label)).get(image)
