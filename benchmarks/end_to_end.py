"""From a folder of photographs to pictures on disk: the notebook's loop against ``convfe maps``.

    python -m benchmarks.end_to_end [--rounds 5] [--images 64] [--backbone ResNet50 ...]

64 generated photographs of about 640 x 480, three backbones at the size they were trained on, a PNG of input, max and
mean for each image and backbone. The notebook's loop loads an image in Keras' way, calls ``predict``, reduces in NumPy
and draws a Matplotlib figure. Each way runs in a process of its own, started in turn; the time is the whole process',
the import of TensorFlow included, and the memory is its peak as the system counted it. Only Linux and macOS tell it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.machine import describe_machine
from benchmarks.records import Run, TableRow, keep, markdown
from convfe_core.photos.gallery import SAMPLES, load_sample

BACKBONES = ("ResNet50", "MobileNetV2-1.0", "EfficientNetB0")
IMAGES = 64


@dataclass(frozen=True)
class Cost:
    """What one process took."""

    seconds: float
    processor_seconds: float
    megabytes: float


def write_photographs(folder: Path, count: int) -> None:
    """Cut photographs of about 640 x 480 out of the gallery's, as JPEG files."""
    random = np.random.default_rng(0)
    sources = [Image.fromarray(load_sample(sample.name).pixels) for sample in SAMPLES]
    for number in range(count):
        source = sources[number % len(sources)]
        share = random.uniform(0.6, 1.0)
        width, height = round(source.width * share), round(source.height * share)
        left, top = (random.integers(0, room + 1) for room in (source.width - width, source.height - height))
        size = (int(random.integers(600, 681)), int(random.integers(440, 521)))
        photograph = source.crop((left, top, left + width, top + height)).resize(size, Image.Resampling.BICUBIC)
        photograph.save(folder / f"photo{number:03d}.jpg", quality=90)


def notebook_loop(images: Path, out: Path, names: list[str]) -> None:
    """What the notebook does, with its un-commenting of code turned into a loop over backbones."""
    import keras
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    from convfe_core.catalog.builders import build_model
    from convfe_core.catalog.pixel_scaling import scale_pixels
    from convfe_core.catalog.specs import find_architecture

    for name in names:
        architecture = find_architecture(name)
        model = build_model(architecture)
        side = architecture.native_size
        for path in sorted(images.iterdir()):
            picture = keras.utils.img_to_array(keras.utils.load_img(path, target_size=(side, side)))
            features = model.predict(scale_pixels(picture[None], architecture.preprocessing), verbose=0)[0]
            plt.figure(figsize=(12, 4))
            panels = {"input": picture.astype(np.uint8), "max": features.max(axis=-1), "mean": features.mean(axis=-1)}
            for place, (title, panel) in enumerate(panels.items(), start=1):
                plt.subplot(1, 3, place)
                plt.title(title)
                plt.axis("off")
                plt.imshow(panel)
            plt.savefig(out / f"{path.stem}.{name}.png")
            plt.close()


def our_command(images: Path, out: Path, names: list[str], precision: str) -> None:
    """The command line, called as a shell would."""
    from convfe_core.cli.commands import main as convfe

    backbones = [word for name in names for word in ("--backbone", f"{name}:untrained")]
    sys.argv = ["convfe", "maps", str(images), *backbones, "--size", "native", "--precision", precision]
    sys.argv += ["--out", str(out)]
    if convfe() != 0:
        sys.exit("convfe maps failed")


WAYS = ("notebook", "float32", "fast")


def run_part(way: str, images: Path, out: Path, names: list[str]) -> None:
    """One way, inside its own process."""
    if way == "notebook":
        notebook_loop(images, out, names)
    else:
        our_command(images, out, names, way)


def measure(way: str, images: Path, names: list[str]) -> Cost:
    """Start one way in a process of its own and wait for its end."""
    with tempfile.TemporaryDirectory() as out, tempfile.TemporaryFile() as log:
        command = [sys.executable, "-m", "benchmarks.end_to_end", "--part", way, "--folder", str(images), "--out", out]
        command += [word for name in names for word in ("--backbone", name)]
        quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        descriptor = log.fileno()
        start = time.perf_counter()
        child = os.posix_spawn(
            sys.executable,
            command,
            quiet,
            file_actions=[(os.POSIX_SPAWN_DUP2, descriptor, 1), (os.POSIX_SPAWN_DUP2, descriptor, 2)],
        )
        _, status, usage = os.wait4(child, 0)
        took = time.perf_counter() - start
        written = len(list(Path(out).glob("*.png")))
        if status or written != len(names) * len(list(images.iterdir())):
            log.seek(0)
            sys.exit(f"{way} failed after {written} pictures:\n{log.read().decode(errors='replace')}")
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux kilobytes
    return Cost(took, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 2**20)


def compare(names: list[str], count: int, rounds: int) -> list[TableRow]:
    """Run every way in turn, several times, and return the medians."""
    costs: dict[str, list[Cost]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder)
        write_photographs(images, count)
        for number in range(rounds):
            for way in WAYS:
                costs[way].append(measure(way, images, names))
                print(f"round {number + 1}, {way}: {costs[way][-1].seconds:.1f} s", file=sys.stderr, flush=True)
    rows: list[TableRow] = []
    for way in WAYS:
        took = statistics.median(cost.seconds for cost in costs[way])
        ratios = [n.seconds / o.seconds for n, o in zip(costs["notebook"], costs[way], strict=True)]
        rows.append(
            {
                f"{count} photographs, {', '.join(names)}": way,
                "seconds": round(took, 1),
                "pictures/s": round(count * len(names) / took, 1),
                "notebook / this": round(statistics.median(ratios), 1),
                "processor seconds": round(statistics.median(cost.processor_seconds for cost in costs[way]), 1),
                "peak memory, MB": round(max(cost.megabytes for cost in costs[way])),
            }
        )
    return rows


def main() -> None:
    """Print the comparison, or run one part of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", action="append", metavar="NAME", help="may be given several times")
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--part", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    names = options.backbone or list(BACKBONES)
    if options.part:
        run_part(options.part, options.folder, options.out, names)
        return
    if not hasattr(os, "wait4"):
        sys.exit("Expected Linux or macOS, whose processes report their peak memory.")
    print(describe_machine(), "\n")
    run = Run.now("end_to_end")
    rows = compare(names, options.images, options.rounds)
    print(markdown(rows))
    keep("end_to_end", run, {"from a folder to pictures": rows})


if __name__ == "__main__":
    main()
