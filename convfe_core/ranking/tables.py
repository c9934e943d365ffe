"""A ranking as JSON, as CSV and as a table for a terminal."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tabulate import tabulate

from convfe_core.backbones.measured_cost import Cost
from convfe_core.ranking.results import CONTROL_SEEDS, RankedResult, RankResult
from convfe_core.ranking.verdict import Difference, RankedBackbone, Separation
from convfe_core.scoring.bootstrap import CONFIDENCE, RESAMPLES, Estimate
from convfe_core.scoring.box_probe import ProbeResult
from convfe_core.scoring.cell_probe import CellProbe
from convfe_core.scoring.separation import COMPARISONS
from convfe_core.scoring.trial_scores import TrialScores

COLUMNS = (
    *("spec", "weights", "tap", "stride"),
    *("S", "S_low", "S_high", "auroc", "control_S", "control_low", "control_high", "beats_control"),
    *("S_max_map", "S_max_map_low", "S_max_map_high", "S_mean_map", "S_mean_map_low", "S_mean_map_high"),
    *("cell_probe", "cell_probe_low", "cell_probe_high"),
    *("cell_probe_control", "cell_probe_control_low", "cell_probe_control_high", "cell_probe_beats_control"),
    *("ap50", "ap50_low", "ap50_high", "ap", "recall", "trial_images", "trial_seconds"),
    *("ap50_control", "ap50_control_low", "ap50_control_high", "ap50_beats_control"),
    *("S_small", "S_medium", "S_large", "under_one_cell"),
    *("probe", "probe_low", "probe_high", "probe_chance"),
    *("params", "flops", "cells", "ms_batch_1", "ms_batch_1_p95", "ms_batch_8", "ms_batch_8_p95", "memory_mb"),
    *("imagenet_top1", "log10_params"),
)


def to_json(result: RankResult) -> dict[str, Any]:
    """The whole ranking as plain data, fit for ``json.dumps``; numbers that do not exist are null."""
    dataset, options, verdict = result.dataset, result.options, result.ranking.verdict
    return {
        "dataset": {
            "source": dataset.source.label,
            "format": dataset.format,
            "images": len(dataset.images),
            "usable": result.ranking.usable,
            "boxes": dataset.box_count,
            "classes": list(dataset.classes),
            "clipped": dataset.clipped,
            "degenerate": dataset.degenerate,
            "notes": list(dataset.notes),
            "skipped": [{"file": s.file, "reason": s.reason} for s in result.skipped],
        },
        "settings": {
            "size": options.size.name,
            "tap": options.tap,
            "map": options.reduction,
            "precision": options.precision,
            "seed": options.seed,
            "probe": options.probe,
            "control_seeds": list(CONTROL_SEEDS) if options.control else [],
            "comparisons": COMPARISONS,
            "resamples": RESAMPLES,
            "confidence": CONFIDENCE,
        },
        "backbones": [_backbone(ranked, result.result(ranked.label)) for ranked in result.ranking.backbones],
        "failed": [{"spec": s.file, "reason": s.reason} for s in result.failed],
        "missing": [{"shard": s.file, "reason": s.reason} for s in result.missing],
        "differences": _differences(result.ranking.differences, "S"),
        "cell_probe_differences": _differences(result.ranking.probe_differences, "S"),
        "trial_differences": _differences(result.ranking.trial_differences, "ap50"),
        "verdict": {
            "text": verdict.text,
            "leader": verdict.leader,
            "tied": list(verdict.tied),
            "beats_control": dict(verdict.beats_control),
            "decided_by": verdict.decided_by,
        },
    }


def to_csv(result: RankResult) -> str:
    """One line a backbone, the best first, under `COLUMNS`; numbers that do not exist are empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table_rows(result))
    return text.getvalue()


def table_rows(result: RankResult) -> list[dict[str, Any]]:
    """One record a backbone, the best first, with the keys `COLUMNS`."""
    which = result.options.reduction
    return [_row(ranked, result.result(ranked.label), which) for ranked in result.ranking.backbones]


@dataclass(frozen=True)
class Column:
    """A column of the table that people read.

    Attributes
    ----------
    title : above it
    key : of a table row
    form, scale : of its numbers
    interval : whether the number has one
    beats : of a control, the key that says whether it is beaten
    """

    title: str
    key: str
    form: str
    scale: float = 1.0
    interval: bool = False
    beats: str = ""

    def cell(self, row: Mapping[str, Any], missing: str = "") -> str:
        """What stands in it for a table row."""
        if row[self.key] is None:
            return missing
        text = format(row[self.key] * self.scale, self.form)
        if self.interval:
            text += f" [{row[f'{self.key}_low']:{self.form}}, {row[f'{self.key}_high']:{self.form}}]"
        if self.beats and row[self.beats] is not None:
            text += ", beaten" if row[self.beats] else ", not beaten"
        return text


QUESTIONS = {
    "Do the maps show my objects?": (
        Column("S", "S", "+.3f", interval=True),
        Column("its control", "control_S", "+.3f", beats="beats_control"),
    ),
    "Can a linear combination of channels?": (
        Column("cell probe", "cell_probe", "+.3f", interval=True),
        Column("its control", "cell_probe_control", "+.3f", beats="cell_probe_beats_control"),
    ),
    "Does a detector find them?": (
        Column("AP50 of the trial", "ap50", ".2f", interval=True),
        Column("its control", "ap50_control", ".2f", beats="ap50_beats_control"),
        Column("recall", "recall", ".2f"),
    ),
    "What does it cost?": (
        Column("ms/image", "ms_batch_1", ".1f"),
        Column("GFLOPs", "flops", ".2f", 1e-9),
        Column("M params", "params", ".2f", 1e-6),
        Column("MB added", "memory_mb", ".0f"),
    ),
    "And besides": (
        Column("AUROC", "auroc", ".3f"),
        Column("box probe", "probe", ".2f", interval=True),
        Column("chance", "probe_chance", ".2f"),
        Column("cells", "cells", ".0f"),
        Column("top-1 %", "imagenet_top1", ".1f"),
    ),
}
"""The table that people read from left to right: what is asked, and the columns that answer."""


def answered(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Column]]:
    """The questions that these table rows answer, and the columns that have a number."""
    asked = {
        question: [column for column in columns if any(row[column.key] is not None for row in rows)]
        for question, columns in QUESTIONS.items()
    }
    return {question: columns for question, columns in asked.items() if columns}


def to_text(result: RankResult) -> str:
    """A table and the verdict, for a terminal."""
    head = f"{result.extent}. Separation S of the {result.options.reduction} map, 95 % intervals"
    rows = table_rows(result)
    asked = answered(rows)
    columns = [column for found in asked.values() for column in found]
    over = [question if k == 0 else "" for question, found in asked.items() for k in range(len(found))]
    lines = [[row["spec"], *(column.cell(row, "-") for column in columns)] for row in rows]
    titles = ["backbone", *(column.title for column in columns)]
    table = tabulate([["", *over], titles, *lines], tablefmt="plain", disable_numparse=True)
    remarks = [f"{label}: {remark}" for label, remark in result.remarks]
    failed = [f"{s.file}: {s.reason}" for s in result.failed]
    return "\n".join([head, "", table, "", *remarks, *failed, "", result.ranking.verdict.text])


def _backbone(ranked: RankedBackbone, result: RankedResult) -> dict[str, Any]:
    return {
        "spec": ranked.label,
        "weights": result.weights,
        "tap": result.tap,
        "precision": result.precision,
        "stride": result.stride,
        "usable": ranked.usable,
        "separation": {name: _separation(s) for name, s in ranked.separation.items()},
        "by_size": {
            name: {"images": score.images, "S": score.S and score.S.value, "ci": _ci(score.S)}
            for name, score in ranked.by_size.items()
        },
        "cell_probe": None if result.learned is None else _cell_probe(ranked.cell_probe, result.learned),
        "trial": None if ranked.trial is None else _trial(ranked.trial, ranked.trial_beats_control),
        "trial_stages": {name: _trial(one.scores, None) for name, one in result.by_stage.items()},
        "probe": None if result.probe is None else _probe(result.probe),
        "cost": None if result.cost is None else _cost(result.cost),
        "small_boxes": {
            "under_one_cell": result.sizes.under_one_cell,
            "median_cells": result.sizes.median,
            "text": result.sizes.text,
        },
        "diagnostics": {
            name: {"value": vars(found), "control": vars(control) if control else None}
            for name, found in result.diagnostics.items()
            for control in [result.control_diagnostics.get(name)]
        },
        "baselines": {
            "imagenet_top1": result.top1,
            "log10_params": math.log10(result.cost.params) if result.cost else None,
        },
    }


def _differences(found: Sequence[Difference], number: str) -> list[dict[str, Any]]:
    return [
        {"first": d.first, "second": d.second, number: d.value.value, "ci": _ci(d.value), "tied": d.tied} for d in found
    ]


def _separation(found: Separation) -> dict[str, Any]:
    control = None if found.control is None else {"S": found.control.value, "ci": _ci(found.control)}
    return {"S": found.S.value, "ci": _ci(found.S), "auroc": found.auroc, "control": control}


def _cell_probe(found: Separation | None, learned: CellProbe) -> dict[str, Any]:
    numbers = {"S": None, "ci": None, "auroc": None, "control": None} if found is None else _separation(found)
    beats = None if found is None else found.beats_control
    return {**numbers, "beats_control": beats, "images": len(learned.folds), "reason": learned.reason}


def _trial(found: TrialScores, beats_control: bool | None) -> dict[str, Any]:
    return {
        "ap50": found.ap50.value,
        "ci": _ci(found.ap50),
        "ap": found.ap,
        "recall": found.recall,
        "images": found.images,
        "seconds": found.seconds,
        "control": None if found.control is None else _trial(found.control, None),
        "beats_control": beats_control,
    }


def _probe(found: ProbeResult) -> dict[str, Any]:
    accuracy = found.balanced_accuracy
    return {
        "balanced_accuracy": accuracy and accuracy.value,
        "ci": _ci(accuracy),
        "chance": found.chance,
        "classes": list(found.classes),
        "left_out": list(found.left_out),
        "boxes": found.boxes,
        "reason": found.reason,
    }


def _cost(cost: Cost) -> dict[str, Any]:
    each = [{"median": one.median, "p95": one.p95, "batch": one.batch, "runs": one.runs} for one in cost.latency]
    return {
        "params": cost.params,
        "flops": cost.flops,
        "input": [cost.input_height, cost.input_width],
        "cells": cost.cells,
        "latency_ms": each[0],
        "latency_ms_batched": each[-1],
        "memory_mb": cost.memory_mb,
    }


def _row(ranked: RankedBackbone, result: RankedResult, reduction: str) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row |= {"spec": ranked.label, "weights": result.weights, "tap": result.tap, "stride": result.stride}
    row |= {"beats_control": ranked.beats_control, "under_one_cell": result.sizes.under_one_cell}
    row["imagenet_top1"] = result.top1
    for name, score in ranked.by_size.items():
        row[f"S_{name}"] = score.S and score.S.value
    for name, found in ranked.separation.items():
        row |= _estimate(f"S_{name}_map", found.S)
    if ranked.separation:
        found = ranked.separation[reduction]
        row |= _estimate("S", found.S) | {"auroc": found.auroc}
        if found.control is not None:
            row |= {"control_S": found.control.value}
            row |= {"control_low": found.control.low, "control_high": found.control.high}
    if ranked.cell_probe is not None:
        row |= _beside_control("cell_probe", ranked.cell_probe.S, ranked.cell_probe.control)
        row["cell_probe_beats_control"] = ranked.cell_probe.beats_control
    if ranked.trial is not None:
        trial, control = ranked.trial, ranked.trial.control
        row |= _beside_control("ap50", trial.ap50, None if control is None else control.ap50)
        row |= {"ap": trial.ap, "recall": trial.recall, "ap50_beats_control": ranked.trial_beats_control}
        row |= {"trial_images": trial.images, "trial_seconds": trial.seconds}
    if result.probe is not None and result.probe.balanced_accuracy is not None:
        row |= _estimate("probe", result.probe.balanced_accuracy) | {"probe_chance": result.probe.chance}
    if result.cost is not None:
        cost = result.cost
        row |= {"params": cost.params, "flops": cost.flops, "cells": cost.cells, "memory_mb": cost.memory_mb}
        row["log10_params"] = math.log10(cost.params)
        for one in cost.latency:
            row |= {f"ms_batch_{one.batch}": one.median, f"ms_batch_{one.batch}_p95": one.p95}
    return row


def _estimate(key: str, found: Estimate) -> dict[str, float]:
    return {key: found.value, f"{key}_low": found.low, f"{key}_high": found.high}


def _beside_control(key: str, found: Estimate, control: Estimate | None) -> dict[str, float]:
    return _estimate(key, found) | ({} if control is None else _estimate(f"{key}_control", control))


def _ci(found: Estimate | None) -> list[float] | None:
    return None if found is None else [found.low, found.high]


def skipped_in_words(result: RankResult, most: int = 8) -> Sequence[str]:
    """One line for each thing that was not used, the first ones only, and what the reader decided."""
    lines = [f"skipped {s.file}: {s.reason}" for s in result.skipped[:most]]
    if len(result.skipped) > most:
        lines.append(f"... and {len(result.skipped) - most} more; --json lists them all")
    lines += [f"{result.dataset.format}: {note}" for note in result.dataset.notes]
    return lines
