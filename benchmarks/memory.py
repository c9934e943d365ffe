"""What loaded backbones hold in memory, one after another through the app's pool.

    python -m benchmarks.memory [--budget 400] [--backbone ResNet50 ...]

For each backbone: the most that the process used while it was loaded and run once, what it adds from then on, what the
pool holds afterwards, and the process' resident memory. Once the budget is full, the least recently used ones go.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse

from benchmarks.machine import describe_machine
from convfe_core.backbones.measured_cost import PeakMemory
from convfe_core.base.memory import backbone_budget_mb, resident_mb
from convfe_core.base.tensorflow_import import keep_lean
from convfe_core.catalog.specs import parse_spec
from convfe_core.serving.backbone_pool import BackbonePool

BACKBONES = (
    "TinyMobileNet",
    "TinyResNet",
    "MobileNetV2-1.0:untrained",
    "EfficientNetB0:untrained",
    "VGG16:untrained",
    "ResNet50:untrained",
    "ResNet152:untrained",
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", action="append", metavar="SPEC", help="may be given several times")
    parser.add_argument("--budget", type=float, default=backbone_budget_mb(), help="MB for all of them together")
    options = parser.parse_args()
    print(describe_machine())
    keep_lean()
    before = resident_mb()
    import keras  # noqa: F401
    import tensorflow as tf

    print(f"TensorFlow {tf.__version__} alone adds {resident_mb() - before:.0f} MB; budget {options.budget:.0f} MB\n")
    print("| loaded | at its highest, MB | it holds, MB | held in all | MB | process, MB |")
    print("|---|---|---|---|---|---|")
    pool = BackbonePool(options.budget)
    for text in options.backbone or BACKBONES:
        with PeakMemory() as peak:
            pool.get(parse_spec(text))
        held = pool.held()
        total = sum(one.megabytes for one in held)
        names = ", ".join(one.label for one in held)
        figures = f"{peak.added_mb:.0f} | {held[-1].megabytes:.0f} | {names} | {total:.0f} | {resident_mb():.0f}"
        print(f"| {text} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
