"""The command line: the same core as the app, without a browser.

Exit status 0 when everything came out, 1 when something failed, 2 for a call that cannot be right.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from convfe_core.base.errors import ConvfeError, SpecError
from convfe_core.base.pace import Progress
from convfe_core.cli.progress_lines import DownloadProgress, ProgressLines
from convfe_core.machine.tensorflow_import import keep_lean

if TYPE_CHECKING:
    from convfe_core.catalog.specs import Spec
    from convfe_core.jobs.ray_engine import RayEngine

DESCRIPTION = "See what convolutional backbones make of your images, and rank them by boxes around your objects."
SPECS = """\
A SPEC names a backbone and its weights: ResNet50 or ResNet50:imagenet, ResNet50:untrained (random weights, a control),
ResNet50:my.weights.h5, or LABEL=path/to/model.keras for a model of your own. `convfe list` shows every name."""
EPILOG = f"""\
examples:
  convfe maps photos --backbone TinyResNet --backbone ResNet50 --out maps
  convfe rank dataset --backbone MobileNetV2-1.0 --backbone ResNet50 --html ranking.html

{SPECS}
Exit status: 0; 1 when something failed, the rest being done; 2 for a call that cannot be right."""
REPORTS = ("json", "html", "csv")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Parameters
    ----------
    arguments : None for those of the process, which then serves nothing else
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    _prepare_streams()
    parser = _parser()
    options = parser.parse_args(arguments)
    alone = arguments is None and getattr(options, "engine", "local") == "local"
    keep_lean(pandas=not alone)
    try:
        status: int = options.run(options)
        sys.stdout.flush()  # here, where a reader that has gone is no traceback
    except KeyboardInterrupt:
        print("convfe: stopped; files already written are whole.", file=sys.stderr)
        return 1
    except Exception as error:
        if options.debug:
            traceback.print_exception(error)
        print(f"convfe: {_in_words(error)}", file=sys.stderr)
        return 2 if isinstance(error, SpecError) else 1
    return status


def _in_words(error: Exception) -> str:
    """The sentence for whatever ends a command."""
    if isinstance(error, ConvfeError):
        return str(error)
    if isinstance(error, BrokenPipeError):  # as after `| head`; Python would complain again when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return "whoever read this output has gone."
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror or error}" if error.filename else str(error.strerror or error)
    return _fault_in_words(error)


def _prepare_streams() -> None:
    """Make printing safe: a process may have no streams, and a stream may lack some characters."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _fault_in_words(error: Exception) -> str:
    """The sentence for an unexpected error, whose traceback is kept under the reference in it."""
    from convfe_core.serving.fault_log import keep_fault

    reference, path = keep_fault(error)
    where = "the same call with --debug shows where" if path is None else f"{path} says where, and so does --debug"
    return (
        f"something broke in this program ({type(error).__name__}), not in your call; {where}. If you report it, name "
        f"the reference {reference} and what `convfe doctor` prints."
    )


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


def _parser() -> argparse.ArgumentParser:
    kept = argparse.RawDescriptionHelpFormatter
    parser = _Parser(prog="convfe", description=DESCRIPTION, epilog=EPILOG, formatter_class=kept)
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and stop")
    debugging = "print the traceback of an unexpected error"
    parser.add_argument("--debug", action="store_true", help=debugging)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, about: str) -> argparse.ArgumentParser:
        said = f"{about[0].upper()}{about[1:]}."
        made = commands.add_parser(name, help=about, description=said, epilog=SPECS, formatter_class=kept)
        made.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=debugging)
        return made

    listing = command("list", "the catalog, and what is ready without a download")
    listing.add_argument("--json", action="store_true", help="as JSON, with everything the catalog knows")
    listing.set_defaults(run=list_catalog)

    fetch = command("fetch", "download weights ahead of time")
    fetch.add_argument("specs", nargs="+", metavar="SPEC", help="VGG16, MobileNetV2-0.35 ...")
    fetch.set_defaults(run=fetch_specs)

    doctor = command("doctor", "what is found on this machine, and whether a backbone runs on it")
    doctor.set_defaults(run=examine_machine)

    maps = command("maps", "write the max and mean maps of images as PNG and NPZ files")
    maps.add_argument(
        "paths", nargs="+", type=_where, metavar="PATH", help="an image, or a folder of images; s3://… and the like too"
    )
    add_backbone_options(maps)
    add_tap_option(maps)
    maps.add_argument("--out", type=_where, required=True, metavar="DIR", help="where the files go; or s3://…")
    add_engine_options(maps)
    maps.set_defaults(run=write_maps)

    rank = command("rank", "rank backbones by how well their maps separate boxes")
    rank.add_argument(
        "dataset", type=_where, metavar="DATASET", help="a folder or a zip of images and their boxes, or s3://…"
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
    rank.add_argument("--no-probe", action="store_true", help="leave out the box probe")
    rank.add_argument("--no-control", action="store_true", help="leave out the untrained controls")
    rank.add_argument(
        "--parts",
        type=_where,
        metavar="DIR",
        help="keep finished parts of the run here, a folder or s3://…; else in the user's cache until it is done",
    )
    add_engine_options(rank)
    for kind in REPORTS:
        rank.add_argument(f"--{kind}", type=Path, metavar="FILE", help=f"write the ranking as {kind.upper()}")
    rank.set_defaults(run=rank_backbones)
    return parser


def add_backbone_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that every command which runs backbones has."""
    parser.add_argument(
        "--backbone",
        action="append",
        required=True,
        metavar="SPEC",
        dest="backbones",
        help="NAME, NAME:imagenet, NAME:untrained, NAME:weights.h5 or LABEL=model.keras; may be given several times",
    )
    parser.add_argument(
        "--preprocess",
        action="append",
        default=[],
        metavar="LABEL=raw|unit|tf|torch|caffe",
        dest="preprocessing",
        help="how the pixels of a file of yours are scaled: 0..255, 0..1, -1..1, or by ImageNet's statistics",
    )
    parser.add_argument(
        "--size",
        default="own",
        metavar="own|native|image|N",
        help="longest side: each backbone's working size (default), its native one, the image's, or pixels",
    )
    parser.add_argument(
        "--precision",
        default="float32",
        metavar="float32|fast",
        help="fast: bfloat16 where the processor has AMX or AVX512_BF16, else float32",
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


def list_catalog(options: argparse.Namespace) -> int:
    """Print the catalog."""
    from convfe_core.cli.catalog_table import catalog_records, catalog_table

    print(json.dumps(catalog_records(), indent=1) if options.json else catalog_table())
    return 0


def examine_machine(options: argparse.Namespace) -> int:  # noqa: ARG001
    """Print what is found on this machine, as it is found, and whether a backbone runs."""
    from convfe_core.inspection.doctor import Doctor, as_text

    doctor = Doctor()
    for line in as_text(doctor.findings()):
        print(line, flush=True)
    return 0 if doctor.works else 1


def fetch_specs(options: argparse.Namespace) -> int:
    """Fill the weights cache and say what was done."""
    from convfe_core.catalog.specs import parse_spec
    from convfe_core.model_files.weight_cache import fetch_weights

    status = 0
    for spec in [parse_spec(text) for text in options.specs]:
        if spec.architecture is None or spec.weights != "imagenet":
            print(f"{spec.label}: nothing to fetch")
            continue
        progress = DownloadProgress(spec.label)
        try:
            path = fetch_weights(spec.architecture, on_progress=progress)
        except ConvfeError as error:
            print(f"convfe: {error}", file=sys.stderr)
            status = 1
        else:
            print(f"{spec.label}: {'fetched' if progress.began else 'already there'}, {path}")
    return status


def write_maps(options: argparse.Namespace) -> int:
    """Write the maps of every image under every backbone, and a manifest last."""
    from convfe_core.backbones.precision import parse_precision
    from convfe_core.catalog.specs import choose_preprocessing, parse_spec
    from convfe_core.jobs.maps_run import MapsRun
    from convfe_core.maps.input_size import parse_size

    specs = choose_preprocessing([parse_spec(text) for text in options.backbones], options.preprocessing)
    run = MapsRun(
        paths=tuple(options.paths),
        specs=specs,
        size=parse_size(options.size),
        tap=options.tap,
        out=options.out,
        say=lambda line: print(line, file=sys.stderr),
        tell=ProgressLines(),
        precision=parse_precision(options.precision),
        engine=_engine(options, specs),
    )
    return 1 if run.write() else 0


def rank_backbones(options: argparse.Namespace) -> int:
    """Print a ranking and its verdict, and write it as JSON, HTML or CSV."""
    from convfe_core.backbones.precision import explain_precision, parse_precision
    from convfe_core.base.file_sets import open_files
    from convfe_core.catalog.specs import choose_preprocessing, parse_spec
    from convfe_core.datasets.read_dataset import open_boxes, read_dataset
    from convfe_core.jobs.shards import missing_in_words
    from convfe_core.machine.memory import settle
    from convfe_core.maps.input_size import parse_size
    from convfe_core.ranking.html_report import write_reports
    from convfe_core.ranking.results import RankOptions
    from convfe_core.ranking.run import RankRun
    from convfe_core.ranking.score_rows import work_folder
    from convfe_core.ranking.tables import skipped_in_words, to_text

    for kind in REPORTS:
        path = getattr(options, kind)
        if path is not None and not path.parent.is_dir():
            raise SpecError(f"Expected a folder that exists for --{kind}. Received: {path}.")
    specs = choose_preprocessing([parse_spec(text) for text in options.backbones], options.preprocessing)
    engine = _engine(options, specs)
    settings = RankOptions(
        size=parse_size(options.size),
        tap=options.tap,
        probe=not options.no_probe,
        control=not options.no_control,
        reduction=options.map,
        seed=options.seed,
        precision=parse_precision(options.precision),
    )
    if settings.precision != "float32":
        print(f"{settings.precision}: {explain_precision(settings.precision)}", file=sys.stderr)
    boxes = None if options.boxes is None else open_boxes(options.boxes)
    lines = ProgressLines()

    def tell_read(count: int) -> None:
        lines(Progress("reading boxes", f"{count:,} pictures", step=None))

    dataset = read_dataset(open_files(options.dataset), boxes, options.limit, on_read=tell_read)
    work = options.parts or work_folder(settings, dataset, specs)
    settle()
    result = RankRun(dataset, specs, settings, on_progress=lines, work=work, engine=engine).run()
    for line in skipped_in_words(result):
        print(f"convfe: {line}", file=sys.stderr)
    print(to_text(result))
    write_reports(result, json_path=options.json, html_path=options.html, csv_path=options.csv)
    if result.missing:
        print(f"convfe: {missing_in_words(result.missing)}", file=sys.stderr)
    elif options.parts is None:
        shutil.rmtree(work, ignore_errors=True)
    return 1 if result.failed or result.missing else 0


def _engine(options: argparse.Namespace, specs: Sequence[Spec]) -> RayEngine | None:
    """The engine that was asked for, None for this process itself.

    Raises
    ------
    SpecError : options for another engine
    EngineError : it is not installed, or its cluster would not do
    """
    from convfe_core.catalog.memory_need import worker_mb
    from convfe_core.jobs.ray_cluster import require_ray
    from convfe_core.jobs.ray_engine import RayEngine
    from convfe_core.jobs.ray_workers import Workers

    named = ("address", "workers", "worker_cpus", "worker_gpus", "worker_memory")
    if options.engine == "local":
        given = [f"--{name.replace('_', '-')}" for name in named if getattr(options, name) is not None]
        if given:
            raise SpecError(f"Expected --engine ray beside {', '.join(given)}. Received: --engine local.")
        return None
    require_ray()
    least, most = options.workers or (None, None)
    workers = Workers(least, most, options.worker_cpus, options.worker_gpus or 0.0, options.worker_memory)
    engine = RayEngine(options.address, workers)
    engine.check(worker_mb(specs))
    return engine


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


def _where(text: str) -> Path | str:
    """A path, or an address as it stands."""
    from convfe_core.base.folders import is_address

    return text if is_address(text) else Path(text)


if __name__ == "__main__":
    sys.exit(main())
