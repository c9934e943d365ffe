"""What loaded backbones hold in memory, one after another through the app's pool.

    python -m benchmarks.memory [--budget 400] [--backbone ResNet50 ... | --twenty]

For each backbone: the most that the process used while it was loaded and run once, what it adds from then on, what the
pool holds afterwards, and the process' resident memory. Once the budget is full, the least recently used ones go.

The pool's account is what it believes to hold; the last column is how much more or less the process really uses beside
TensorFlow. With ``TF_ENABLE_ONEDNN_OPTS=0`` TensorFlow tells nothing of its memory, see `convfe_core.machine.memory`.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse

from benchmarks.machine import describe_machine
from benchmarks.records import Run, TableRow, keep, markdown
from convfe_core.backbones.measured_cost import PeakMemory
from convfe_core.catalog.specs import parse_spec
from convfe_core.machine.memory import backbone_budget_mb, resident_mb, tensor_memory, used_mb
from convfe_core.machine.tensorflow_import import keep_lean
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
TWENTY = (
    *(f"{name}:untrained" for name in ("VGG16", "ResNet50", "MobileNetV2-1.0", "EfficientNetB0", "DenseNet121")),
    *(f"{name}:untrained" for name in ("MobileNet-1.0", "ResNet101", "Xception", "InceptionV3", "NASNetMobile")),
    *(f"{name}:untrained" for name in ("VGG19", "ResNet50V2", "EfficientNetB3", "DenseNet201", "ConvNeXtTiny")),
    *(f"{name}:untrained" for name in ("MobileNetV2-0.35", "MobileNetV3Large-1.0", "ResNet152", "EfficientNetV2B0")),
    "TinyResNet",
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", action="append", metavar="SPEC", help="may be given several times")
    parser.add_argument("--budget", type=float, default=backbone_budget_mb(), help="MB for all of them together")
    parser.add_argument("--twenty", action="store_true", help="twenty backbones, one after another")
    options = parser.parse_args()
    print(describe_machine())
    run = Run.now("memory")
    keep_lean()
    before = resident_mb()
    import keras  # noqa: F401
    import tensorflow as tf

    print(f"TensorFlow {tf.__version__} alone adds {resident_mb() - before:.0f} MB; budget {options.budget:.0f} MB")
    print("It counts what tensors take.\n" if tensor_memory() else "It does not count what tensors take.\n")
    pool = BackbonePool(options.budget)
    bare = used_mb()
    rows: list[TableRow] = []
    for text in options.backbone or (TWENTY if options.twenty else BACKBONES):
        with PeakMemory() as peak:
            pool.get(parse_spec(text))
        held = pool.held()
        total = sum(one.megabytes for one in held)
        rows.append(
            {
                "loaded": text,
                "at its highest, MB": round(peak.added_mb),
                "it holds, MB": round(held[-1].megabytes),
                "backbones held": len(held),
                "they hold, MB": round(total),
                "process, MB": round(resident_mb()),
                "account is short by, MB": round(used_mb() - bare - total),
            }
        )
    print(markdown(rows))
    keep("memory", run, {"what twenty backbones hold" if options.twenty else "what backbones hold": rows})


if __name__ == "__main__":
    main()
