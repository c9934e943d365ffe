"""The command line: the same core as the app, without a browser.

Exit status 0 when everything came out, 1 when something failed, 2 for a call that cannot be right.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from convfe_core.base.errors import ConvfeError, SpecError
from convfe_core.base.pace import Progress
from convfe_core.cli.options import REPORTS, make_parser
from convfe_core.cli.progress_lines import DownloadProgress, ProgressLines
from convfe_core.machine.tensorflow_import import import_tensorflow, keep_lean, load_library_early

if TYPE_CHECKING:
    from convfe_core.catalog.specs import Spec
    from convfe_core.datasets.boxes import Dataset
    from convfe_core.jobs.ray_engine import RayEngine


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Parameters
    ----------
    arguments : None for those of the process, which then serves nothing else
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    _prepare_streams()
    options = make_parser().parse_args(arguments)
    alone = arguments is None and getattr(options, "engine", "local") == "local"
    keep_lean(pandas=not alone)
    if alone and options.command in ("maps", "rank"):
        load_library_early()
    try:
        status = RUNS[options.command](options)
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
        reductions=options.reductions,
    )
    return 1 if run.write() else 0


def print_snippet(options: argparse.Namespace) -> int:
    """Print a backbone as a Python program."""
    from convfe_core.backbones.network import open_network
    from convfe_core.catalog.specs import parse_spec
    from convfe_core.maps.feature_maps import REDUCTIONS
    from convfe_core.maps.input_size import parse_size
    from convfe_core.reports.snippet import maps_call, write_snippet

    spec, size = parse_spec(options.spec), parse_size(options.size)
    network = open_network(spec, options.tap)
    call = maps_call(spec, size.name, options.tap, "float32", REDUCTIONS)
    print(write_snippet(network, spec, size.longest_side(network), call), end="")
    return 0


def rank_backbones(options: argparse.Namespace) -> int:
    """Print a ranking and its verdict, and write it as JSON, HTML or CSV."""
    from convfe_core.backbones.precision import explain_precision, parse_precision
    from convfe_core.catalog.specs import choose_preprocessing, parse_spec
    from convfe_core.jobs.shards import missing_in_words
    from convfe_core.maps.input_size import parse_size
    from convfe_core.ranking.results import RankOptions
    from convfe_core.ranking.run import RankRun, work_folder
    from convfe_core.ranking.tables import skipped_in_words, to_text
    from convfe_core.reports.html_report import write_reports
    from convfe_core.trial.trial_job import TRIAL_IMAGES

    for kind in REPORTS:
        path = getattr(options, kind)
        if path is not None and not path.parent.is_dir():
            raise SpecError(f"Expected a folder that exists for --{kind}. Received: {path}.")
    if options.keep_features and not (options.trial and options.parts):
        raise SpecError("Expected --trial and --parts DIR beside --keep-features, which leaves features in DIR.")
    if options.trial_stages and not (options.trial and len(options.backbones) == 1):
        raise SpecError("Expected --trial and a single --backbone beside --trial-stages.")
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
        trial=options.trial,
        trial_stages=options.trial_stages,
        trial_images=options.trial_images or TRIAL_IMAGES,
        keep_features=options.keep_features,
    )
    if settings.precision != "float32":
        print(f"{settings.precision}: {explain_precision(settings.precision)}", file=sys.stderr)
    lines = ProgressLines()
    dataset = _dataset(options, lines)
    work = options.parts or work_folder(settings, dataset, specs)
    run = RankRun(dataset, specs, settings, on_progress=lines, work=work, engine=engine, alone=True)
    with run.decoding():  # on the core that the import leaves free
        import_tensorflow(muted=True)
    result = run.run()
    for line in skipped_in_words(result):
        print(f"convfe: {line}", file=sys.stderr)
    print(to_text(result))
    write_reports(result, json_path=options.json, html_path=options.html, csv_path=options.csv)
    if result.missing:
        print(f"convfe: {missing_in_words(result.missing)}", file=sys.stderr)
    elif options.parts is None:
        shutil.rmtree(work, ignore_errors=True)
    return 1 if result.failed or result.missing else 0


def _dataset(options: argparse.Namespace, lines: ProgressLines) -> Dataset:
    """The data set that was asked for; a folder that is called as the samples are goes before these."""
    from convfe_core.base.file_sets import open_files
    from convfe_core.datasets.read_dataset import open_boxes, read_dataset
    from convfe_core.datasets.samples import SAMPLES_NAME, read_samples, sample_files

    def tell_read(count: int) -> None:
        lines(Progress("reading boxes", f"{count:,} pictures", step=None))

    samples = str(options.dataset) == SAMPLES_NAME and not Path(SAMPLES_NAME).exists()
    if samples and options.boxes is None:
        return read_samples(options.limit)
    boxes = None if options.boxes is None else open_boxes(options.boxes)
    source = sample_files() if samples else open_files(options.dataset)
    return read_dataset(source, boxes, options.limit, on_read=tell_read)


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


RUNS: dict[str, Callable[[argparse.Namespace], int]] = {
    "list": list_catalog,
    "fetch": fetch_specs,
    "doctor": examine_machine,
    "maps": write_maps,
    "snippet": print_snippet,
    "rank": rank_backbones,
}
"""What each command of `convfe_core.cli.options` does; returns the exit status."""
