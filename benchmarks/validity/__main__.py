"""What predicts a detector? Cheap numbers against detectors that were trained, written to docs/validity.md.

    python -m benchmarks.validity --results DIR [--data PATH ...] [--backbone SPEC[@LAYER] ...] [--seeds 1]
                                  [--images 60] [--top1 LABEL=PERCENT] [--only NAME] [--vary NAME]
                                  [--processes 1] [--only-write]

Every data set of `--data`, and two that are drawn here, under every backbone. What is finished lies in DIR, one JSON
file each, and is not computed again, so that it can run in pieces; the page is written from what is there. With
several processes give each one thread (``OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1``).

Earlier stages of a training come from `benchmarks.validity.trained.early_stages`, and detectors that are trained end to
end from `benchmarks.validity.trained.fine_tuning`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.validity.compute import compute, tasks, variations
from benchmarks.validity.keep_results import keep_results
from benchmarks.validity.page import write_page
from benchmarks.validity.results import Candidate, Results, open_data

BACKBONES = (
    "MobileNet-0.25:imagenet",
    "TinyResNet",
    "TinyResNet:untrained",
    "MobileNetV2-0.35:imagenet",
    "TinyMobileNet",
    "MobileNet-0.25:untrained",
    "MobileNetV2-0.35:untrained",
    "MobileNetV2-0.35:imagenet@C4",
)


def main() -> None:
    """Compute what is missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, metavar="DIR")
    parser.add_argument("--data", type=Path, action="append", default=[], metavar="PATH")
    parser.add_argument(
        "--backbone", action="append", default=[], metavar="SPEC[@LAYER]", help="besides the usual ones"
    )
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--images", type=int, default=60, help="of each drawn data set")
    parser.add_argument(
        "--top1", action="append", default=[], metavar="LABEL=PERCENT", help="of a backbone of --backbone"
    )
    parser.add_argument("--only", action="append", metavar="NAME", help="compute nothing but this data set")
    parser.add_argument("--vary", metavar="NAME", help="try the first backbone under other conditions on this data set")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--only-write", action="store_true", help="compute nothing")
    options = parser.parse_args()
    results = Results(options.results)
    candidates = [Candidate.named(text) for text in (*BACKBONES, *options.backbone)]
    data = open_data(options.data, options.images)
    varied = variations(options.vary, data[options.vary], candidates[0]) if options.vary else ()
    if not options.only_write:
        wanted = {name: dataset for name, dataset in data.items() if name in (options.only or data)}
        compute(results, [*varied, *tasks(wanted, candidates, options.seeds)], options.processes)
    top1 = {label: float(value) for label, _, value in (text.partition("=") for text in options.top1)}
    write_page(results, data, candidates, options.seeds, top1)
    keep_results(results)


if __name__ == "__main__":
    main()
