"""Where ImageNet weights lie, and fetching them into Keras' own cache.

Weights are never swapped for others: what cannot be had is an error.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

from convfe_core.base.errors import DownloadError, SpecError, WeightsError
from convfe_core.base.folders import file_stamp
from convfe_core.base.pace import LoadProgress, ignore_progress
from convfe_core.catalog.architectures import Architecture, WeightFile
from convfe_core.catalog.specs import Spec, find_architecture
from convfe_core.model_files.download import STALL_SECONDS, MegabyteProgress, download, hash_file
from convfe_core.model_files.weight_numbers import count_numbers, look_spoiled

MIRROR_VARIABLE = "CONVFE_WEIGHTS_MIRROR"
"""Environment variable with the address of a folder that holds the files by their names in Keras' cache."""


@dataclass(frozen=True)
class WeightsState:
    """What choosing an architecture's default weights costs.

    Attributes
    ----------
    ready : nothing needs to be fetched
    megabytes : size of the download, 0 when ready
    """

    ready: bool
    megabytes: float


def keras_cache_dir() -> Path:
    """Find the folder in which Keras keeps its files, by Keras' own rule: ``KERAS_HOME``, else ``~/.keras``.

    Where that cannot be written, Keras takes ``.keras`` in the folder for temporary files.
    """
    home = keras_home()
    return home if _writable(home) else _fallback_dir()


def cached_path(weight_file: WeightFile) -> Path:
    """Where a file lies in Keras' cache, or would after a download; a cache that can only be read counts."""
    at_home = keras_home() / "models" / weight_file.name
    return at_home if at_home.is_file() else keras_cache_dir() / "models" / weight_file.name


def weights_state(architecture: Architecture) -> WeightsState:
    """Look whether the default weights are on this machine; by size only, so that it costs nothing."""
    file = architecture.weight_file
    if file is None or _large_enough(cached_path(file), architecture):
        return WeightsState(ready=True, megabytes=0.0)
    return WeightsState(ready=False, megabytes=file.megabytes)


def fetch_weights(
    architecture: Architecture,
    on_progress: MegabyteProgress | None = None,
    *,
    stall_seconds: float = STALL_SECONDS,
) -> Path:
    """Return the file with an architecture's ImageNet weights, downloading it if it is missing or damaged.

    Parameters
    ----------
    on_progress : told the megabytes done and in all
    stall_seconds : give up when the server sends nothing for so long

    Raises
    ------
    DownloadError : one sentence that says why, where Keras looks for the file, and what works without it
    WeightsError : the architecture has no ImageNet weights
    """
    file = architecture.weight_file
    if file is None:
        raise WeightsError(f"There are no ImageNet weights for {architecture.name}; it comes with its own.")
    path = cached_path(file)
    damage = _damage(path, architecture) if path.is_file() else None
    if path.is_file() and damage is None:
        return path
    target = keras_cache_dir() / "models" / file.name
    try:
        download(
            _address(file),
            target,
            check=lambda candidate: _damage(candidate, architecture),
            expected_mb=file.megabytes,
            on_progress=on_progress,
            stall_seconds=stall_seconds,
        )
    except DownloadError as error:
        found = f"the file in the cache is damaged ({damage}) and " if damage else ""
        raise DownloadError(
            f"ImageNet weights of {architecture.name} are not available: {found}{error}. Keras looks for "
            f"{file.name} ({file.megabytes:.0f} MB) in {target.parent}; put it there, or take "
            f"{architecture.name}:untrained or one of the built-in backbones, which need no download.",
            in_public=f"ImageNet weights of {architecture.name} cannot be had on this server now; take "
            f"{architecture.name}:untrained or one of the built-in backbones, which need no download.",
        ) from error
    return target


def weight_path(spec: Spec, on_progress: LoadProgress = ignore_progress) -> Path | None:
    """Find the weight file on this machine, fetched first if need be; None for weights that need no file.

    Raises
    ------
    SpecError : no such weights
    DownloadError : weights that could not be fetched
    """
    if spec.path is not None:
        return spec.path
    if spec.weights != "imagenet":
        return None
    architecture = find_architecture(spec.name)
    if architecture.weight_file is None:
        raise SpecError(
            f"Expected weights that exist for {architecture.name}: "
            f"{', '.join(architecture.weights)} or untrained. Received: imagenet."
        )

    def report(done_mb: float, total_mb: float) -> None:
        on_progress(f"downloading, {done_mb:.0f} of {total_mb:.0f} MB", min(done_mb / max(total_mb, 1e-6), 1.0))

    return fetch_weights(architecture, on_progress=report)


def keras_home() -> Path:
    """Where Keras keeps its files if it can write there: ``KERAS_HOME``, else ``~/.keras``."""
    named = os.environ.get("KERAS_HOME")
    if named is not None:
        return Path(named).expanduser()
    home = Path("~").expanduser()
    return (home if os.access(home, os.W_OK) else Path("/tmp")) / ".keras"


def _fallback_dir() -> Path:
    temporary = Path("/tmp")
    return (temporary if temporary.is_dir() else Path(tempfile.gettempdir())) / ".keras"


def _writable(folder: Path) -> bool:
    """Whether a folder can be written, or made if it is not there yet."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK)


def _address(file: WeightFile) -> str:
    mirror = os.environ.get(MIRROR_VARIABLE, "").strip()
    return f"{mirror.rstrip('/')}/{quote(file.name)}" if mirror else file.url


def _large_enough(path: Path, architecture: Architecture) -> bool:
    """Whether a file can hold all parameters at four bytes each."""
    try:
        return path.stat().st_size >= 4 * architecture.parameters
    except OSError:
        return False


def _damage(path: Path, architecture: Architecture) -> str | None:
    """Say in a phrase why a file cannot be the architecture's ImageNet weights; None if it is fine.

    Where Keras has no hash, the file must be readable and hold the right count of numbers, such as weights can be.
    A file that has not changed is looked through once.
    """
    return _damage_as_it_is(path, file_stamp(path), architecture)


@lru_cache(maxsize=256)
def _damage_as_it_is(path: Path, _stamp: str, architecture: Architecture) -> str | None:
    file = architecture.weight_file
    if file is not None and file.digest is not None:
        algorithm = "sha256" if len(file.digest) == 64 else "md5"
        return None if hash_file(path, algorithm) == file.digest else f"its {algorithm.upper()} is not the right one"
    count = count_numbers(path)
    if count is None:
        return "it is no readable HDF5 file"
    if count != architecture.parameters:
        return f"it holds {count:,} numbers, not {architecture.parameters:,}"
    return "it holds numbers that no network was trained to" if look_spoiled(path) else None
