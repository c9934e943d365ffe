"""Files of a ranking: JSON, CSV, and one HTML page that needs nothing beside it."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convfe_core.base.errors import ConvfeError
from convfe_core.base.folders import write_whole
from convfe_core.maps.feature_maps import FeatureMaps
from convfe_core.photos.photo import DEFAULT_LIMITS, Photo, read_photo
from convfe_core.ranking.plots import pareto_figure, separation_figure, size_figure
from convfe_core.ranking.results import RankResult
from convfe_core.ranking.tables import skipped_in_words, table_rows, to_csv, to_json

if TYPE_CHECKING:
    from convfe_core.backbones.backbone import Backbone
    from convfe_core.backbones.precision import Precision
    from convfe_core.catalog.specs import Spec

    Load = Callable[[Spec, str, Precision], Backbone]

ROWS = 3
"""Best, and worst, images shown in a report."""


@dataclass(frozen=True)
class _Column:
    """A column of the table: the key of its numbers in a table row, and how they are written."""

    title: str
    key: str
    form: str
    scale: float = 1.0


_COLUMNS = (
    _Column("S (95 % interval)", "S", "+.3f"),
    _Column("control", "control_S", "+.3f"),
    _Column("AUROC", "auroc", ".3f"),
    _Column("probe", "probe", ".2f"),
    _Column("ms, one at a time", "ms_batch_1", ".1f"),
    _Column("GFLOPs", "flops", ".2f", 1e-9),
    _Column("M params", "params", ".2f", 1e-6),
    _Column("top-1 %", "imagenet_top1", ".1f"),
)
"""After the backbone's name; those without any number are left out."""


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
    from plotly.offline import get_plotlyjs

    figures = [
        ("Separation", separation_figure(result)),
        ("Separation by box size", size_figure(result)),
    ]
    if any(r.cost is not None for r in result.results):
        figures.insert(1, ("Separation against time", pareto_figure(result)))
    plots = "".join(_plot(number, title, figure) for number, (title, figure) in enumerate(figures))
    pictures = _pictures(result, [*best, *worst], load)
    leader = result.ranking.backbones[0].label
    seen = "".join(
        f"<h2>Where {html.escape(leader)} separates {how}</h2>{''.join(pictures.get(name, '') for name in names)}"
        for how, names in (("best", best), ("worst", worst))
        if any(name in pictures for name in names)
    )
    facts = (
        f"{result.extent}. Size {result.options.size.name}, {result.options.reduction} map, 95 % intervals over images"
    )
    remarks = "".join(f"<li>{html.escape(f'{label}: {remark}')}</li>" for label, remark in result.remarks)
    missing = [f"missing {one.file}: {one.reason}" for one in result.missing]
    problems = "".join(f"<li>{html.escape(line)}</li>" for line in [*skipped_in_words(result, most=200), *missing])
    return _PAGE.format(
        verdict=html.escape(result.ranking.verdict.text),
        dataset=html.escape(result.dataset.name),
        facts=html.escape(facts),
        table=_table(result),
        remarks=remarks,
        plots=plots,
        pictures=seen,
        problems=f"<h2>Not used</h2><ul>{problems}</ul>" if problems else "",
        plotly=get_plotlyjs(),
    )


def _table(result: RankResult) -> str:
    rows, lines = table_rows(result), []
    found = [column for column in _COLUMNS if any(row[column.key] is not None for row in rows)]
    for row in rows:
        cells = [row["spec"], *(_number(row[c.key], c.form, c.scale) for c in found)]
        if row["S"] is not None:
            cells[1] += f" ({row['S_low']:+.3f} to {row['S_high']:+.3f})"
        lines.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
    head = "".join(f"<th>{title}</th>" for title in ("backbone", *(column.title for column in found)))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _number(value: float | None, form: str, scale: float = 1.0) -> str:
    return "" if value is None else format(value * scale, form)


def _plot(number: int, title: str, figure: dict[str, Any]) -> str:
    # "</script" would end the script element, and "<!--" would hide that end.
    data, layout = (json.dumps(figure[part]).replace("<", "\\u003c") for part in ("data", "layout"))
    return (
        f'<h2>{html.escape(title)}</h2><div id="plot{number}"></div>'
        f'<script>plots.push(["plot{number}", {data}, {layout}])</script>'
    )


def _load_anew(spec: Spec, tap: str, precision: Precision) -> Backbone:
    from convfe_core.backbones.backbone import load_backbone

    return load_backbone(spec, tap, precision=precision)


def _pictures(result: RankResult, names: Sequence[str], load: Load | None) -> dict[str, str]:
    """By image, an HTML figure with the photograph, its boxes, and the map that ranks of all backbones that load."""
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
        data = base64.b64encode(picture).decode("ascii")
        scored = [(one.label, _score(result, one.label, name)) for one in result.ranking.backbones]
        scores = ", ".join(f"{label} {value:+.2f}" for label, value in scored if value is not None)
        caption = html.escape(f"{name}, S: {scores}")
        image = f'<img src="data:image/png;base64,{data}" alt="{caption}">'
        pictures[name] = f"<figure>{image}<figcaption>{caption}</figcaption></figure>"
    return pictures


def _score(result: RankResult, label: str, image: str) -> float | None:
    place = next(k for k, entry in enumerate(result.dataset.images) if entry.image == image)
    value = float(result.result(label).scores.maps[result.options.reduction].separation[place])
    return value if np.isfinite(value) else None


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Backbones for {dataset}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #1c2b2a; background: #fff; max-width: 70rem; margin: 2rem auto;
  padding: 0 1rem }}
h1 {{ font-size: 1.5rem; line-height: 1.3 }} h2 {{ font-size: 1.15rem; margin-top: 2.2rem }}
.facts {{ color: #5c6570 }} table {{ border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }}
th, td {{ text-align: right; padding: .35rem .6rem; border-bottom: 1px solid #d5dae0 }}
th:first-child, td:first-child {{ text-align: left }} td {{ white-space: nowrap }}
img {{ max-width: 100%; height: auto }} figure {{ margin: 1rem 0 }} figcaption {{ color: #5c6570; font-size: .9rem }}
.scroll {{ overflow-x: auto }}
</style><script>const plots = []</script></head><body>
<h1>{verdict}</h1><p class="facts">{facts}</p><div class="scroll">{table}</div><ul>{remarks}</ul>
{plots}{pictures}{problems}
<h2>How to read this</h2><p>S is how much better a backbone's map finds the boxes of an image than it finds the boxes of
other images: 0 is no better than knowing where objects usually lie, 0.5 is about the most. The control is the same
architecture with untrained weights. AUROC is the chance that a cell inside a box is brighter than one outside, which
also rewards looking at the middle. The probe asks whether the features inside a box tell its class from the other
classes and from background. Backbones are tied where the interval of their difference holds 0. In the pictures every
map has its own scale, and the boxes are yours.</p>
<script>{plotly}</script>
<script>
for (const [id, data, layout] of plots) Plotly.newPlot(id, data, layout, {{responsive: true, displaylogo: false}})
</script></body></html>
"""
