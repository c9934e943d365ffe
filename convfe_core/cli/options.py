"""Which commands there are, and the options of each."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import NoReturn

DESCRIPTION = "See what convolutional backbones make of your images, and rank them by boxes around your objects."


SPECS = """\
A SPEC names a backbone and its weights: ResNet50 or ResNet50:imagenet, ResNet50:untrained (random weights, a control),
ResNet50:my.weights.h5, or LABEL=path/to/model.keras or LABEL=path/to/model.onnx for a model of your own.
`convfe list` shows every name."""


EPILOG = f"""\
examples:
  convfe maps photos --backbone TinyResNet --backbone ResNet50 --out maps
  convfe rank samples --backbone TinyResNet --backbone TinyMobileNet
  convfe rank dataset --backbone MobileNetV2-1.0 --backbone ResNet50 --html ranking.html

{SPECS}
Exit status: 0; 1 when something failed, the rest being done; 2 for a call that cannot be right."""


REPORTS = ("json", "html", "csv")


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with a call in one sentence."""

    def error(self, message: str) -> NoReturn:
        """Print the sentence and leave with status 2."""
        self.exit(2, f"convfe: {message}. `{self.prog} --help` tells more.\n")


class _Version(argparse.Action):
    """Prints the version; asked for only then, because looking it up takes a while."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from convfe_core.machine.versions import installed_version

        print(f"convfe {installed_version('convfe')}")
        parser.exit()


def make_parser() -> argparse.ArgumentParser:
    """The parser of a call; ``command`` of what it returns is the command's name."""
    kept = argparse.RawDescriptionHelpFormatter
    parser = _Parser(prog="convfe", description=DESCRIPTION, epilog=EPILOG, formatter_class=kept)
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and stop")
    debugging = "print the traceback of an unexpected error"
    parser.add_argument("--debug", action="store_true", help=debugging)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")

    def command(name: str, about: str) -> argparse.ArgumentParser:
        said = f"{about[0].upper()}{about[1:]}."
        made = commands.add_parser(name, help=about, description=said, epilog=SPECS, formatter_class=kept)
        made.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=debugging)
        return made

    listing = command("list", "the catalog, and what is ready without a download")
    listing.add_argument("--json", action="store_true", help="as JSON, with everything the catalog knows")

    fetch = command("fetch", "download weights ahead of time")
    fetch.add_argument("specs", nargs="+", metavar="SPEC", help="VGG16, MobileNetV2-0.35 ...")

    command("doctor", "what is found on this machine, and whether a backbone runs on it")

    maps = command("maps", "write the max and mean maps, or PCA colours, of images as PNG and NPZ files")
    maps.add_argument(
        "paths", nargs="+", type=_where, metavar="PATH", help="an image, or a folder of images; s3://… and the like too"
    )
    add_backbone_options(maps)
    add_tap_option(maps)
    maps.add_argument(
        "--reductions",
        type=_reductions,
        default=("max", "mean"),
        metavar="max,mean,pca",
        help="what to draw (default: max,mean). pca: the three directions in which features vary most, as red, green "
        "and blue, found on the first 64 images; colours are not classes, nor comparable between backbones",
    )
    maps.add_argument("--out", type=_where, required=True, metavar="DIR", help="where the files go; or s3://…")
    add_engine_options(maps)

    snippet = command("snippet", "print a backbone as a Python program that makes its features")
    snippet.add_argument("spec", metavar="SPEC", help="NAME, NAME:untrained, NAME:weights.h5 or LABEL=model.keras")
    add_size_option(snippet)
    add_tap_option(snippet)

    rank = command("rank", "rank backbones by how well their maps separate boxes")
    rank.add_argument(
        "dataset",
        type=_where,
        metavar="DATASET",
        help="a folder or a zip of images and their boxes, or s3://…; "
        "samples: photographs that come along, with boxes drawn by hand",
    )
    rank.add_argument(
        "--boxes",
        type=_where,
        metavar="PATH",
        help="where the boxes are: VOC or YOLO folder, data.yaml, COCO JSON, zip",
    )
    add_backbone_options(rank)
    add_tap_option(rank)
    rank.add_argument("--map", choices=("mean", "max"), default="mean", help="which map ranks (default: mean)")
    rank.add_argument("--limit", type=_positive, metavar="N", help="only the first N images that have boxes")
    rank.add_argument("--seed", type=int, default=0, metavar="N", help="of all random choices (default: 0)")
    rank.add_argument("--no-probe", action="store_true", help="leave out the cell probe and the box probe")
    rank.add_argument("--no-control", action="store_true", help="leave out the untrained controls")
    rank.add_argument("--trial", action="store_true", help="try a small detector on each backbone, which takes minutes")
    rank.add_argument(
        "--trial-images",
        type=_positive,
        metavar="N",
        help="try it on no more than N images, drawn by the seed (default: 400)",
    )
    rank.add_argument(
        "--trial-stages",
        action="store_true",
        help="beside --trial of one backbone: try it at C3, C4 and C5, too, and at these added up; C3 takes longest",
    )
    rank.add_argument(
        "--keep-features", action="store_true", help="leave the features of a trial in the folder of --parts"
    )
    rank.add_argument(
        "--parts",
        type=_where,
        metavar="DIR",
        help="keep finished parts of the run here, a folder or s3://…; else in the user's cache until it is done",
    )
    add_engine_options(rank)
    for kind in REPORTS:
        rank.add_argument(f"--{kind}", type=Path, metavar="FILE", help=f"write the ranking as {kind.upper()}")
    return parser


def add_backbone_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that every command which runs backbones has."""
    parser.add_argument(
        "--backbone",
        action="append",
        required=True,
        metavar="SPEC",
        dest="backbones",
        help="NAME, NAME:imagenet, NAME:untrained, NAME:weights.h5, LABEL=model.keras or LABEL=model.onnx; "
        "may be given several times",
    )
    parser.add_argument(
        "--preprocess",
        action="append",
        default=[],
        metavar="LABEL=raw|unit|tf|torch|caffe",
        dest="preprocessing",
        help="how the pixels of a file of yours are scaled: 0..255, 0..1, -1..1, or by ImageNet's statistics",
    )
    add_size_option(parser)
    parser.add_argument(
        "--precision",
        default="float32",
        metavar="float32|fast",
        help="fast: bfloat16 where the processor has AMX or AVX512_BF16, else float32",
    )


def add_size_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that says how large images enter a network."""
    parser.add_argument(
        "--size",
        default="own",
        metavar="own|native|image|N",
        help="longest side: each backbone's working size (default), its native one, the image's, or pixels",
    )


def add_tap_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that says which layer is looked at."""
    parser.add_argument(
        "--tap",
        default="auto",
        metavar="auto|output|C2..C5|LAYER",
        help="the last feature map (default), the output as Keras returns it, a stage of stride 4 to 32, or any layer",
    )


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what computes a long run."""
    group = parser.add_argument_group("beyond one machine")
    group.add_argument("--engine", choices=("local", "ray"), default="local", help="what computes (default: local)")
    group.add_argument(
        "--address",
        metavar="ADDR",
        help="of a Ray cluster (default: $RAY_ADDRESS, or one of this machine alone)",
    )
    group.add_argument(
        "--workers", type=_range, metavar="N|MIN-MAX", help="how many; default: as many as the cluster has room for"
    )
    group.add_argument(
        "--worker-cpus", type=_above_zero, metavar="N", help="of each worker (default: 1, on large nodes more)"
    )
    group.add_argument("--worker-gpus", type=_above_zero, metavar="N", help="of each worker (default: 0); may be 0.5")
    group.add_argument(
        "--worker-memory", type=_above_zero, metavar="MB", help="of each worker (default: by the largest backbone)"
    )


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number, 1 or more, got {text!r}")
    return int(text)


def _above_zero(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) < float("inf"):
            return float(text)
    raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")


def _range(text: str) -> tuple[int, int]:
    least, _, most = text.partition("-")
    found = _positive(least), _positive(most or least)
    if found[0] > found[1]:
        raise argparse.ArgumentTypeError("expected the smaller number first")
    return found


def _reductions(text: str) -> tuple[str, ...]:
    """Names of pictures, each once, in the order in which they are drawn."""
    from convfe_core.maps.feature_maps import WITHOUT_BOXES

    given = {name.strip().lower() for name in text.split(",")}
    if not given <= set(WITHOUT_BOXES):
        raise argparse.ArgumentTypeError(f"expected some of {','.join(WITHOUT_BOXES)}, got {text!r}")
    return tuple(name for name in WITHOUT_BOXES if name in given)


def _where(text: str) -> Path | str:
    """A path, or an address as it stands."""
    from convfe_core.base.folders import is_address

    return text if is_address(text) else Path(text)
