"""Maps of the sample photographs under the built-in backbones, kept on disk: a page of them needs no TensorFlow."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from contextlib import suppress
from dataclasses import asdict
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np

from convfe_core.base.errors import ImageError
from convfe_core.base.folders import write_whole
from convfe_core.geometry.cell_geometry import CellGrid
from convfe_core.maps.feature_maps import WITHOUT_BOXES, FeatureMaps
from convfe_core.photos.gallery import SAMPLES, sample_bytes
from convfe_core.photos.letterbox import Frame
from convfe_core.serving.fault_log import LOGGER
from convfe_core.serving.map_key import MapKey

MOST_FILES = 500
"""Of a few kilobytes each; beyond them the oldest go."""
_FACTS = ("image", "digest", "label", "weights", "tap", "notes")
_PACKAGE = Path(__file__).parents[1]


class SampleMaps:
    """Keeps what every visitor sees first for all visitors, and for the next start of the server.

    Only maps as the first page makes them: sample photographs, built-in weights, the usual size, layer and arithmetic.
    What visitors bring is never written. Maps of another version of this package or of TensorFlow are not found again.

    Parameters
    ----------
    folder : need not be there; where it cannot be written, nothing is kept
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: MapKey) -> FeatureMaps | None:
        """The maps for this key, or None."""
        if not self._is_usual(key):
            return None
        try:
            return _read(self._file(key).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            LOGGER.info("Kept maps of a sample could not be read: %s", error)
            return None

    def put(self, key: MapKey, maps: FeatureMaps) -> None:
        """Keep these maps if they are of the samples, and drop the oldest beyond `MOST_FILES`."""
        if not self._is_usual(key) or maps.image != self._names[key.digest]:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(self._file(key), _write(maps))
            oldest_first = sorted(self.folder.glob("*.npz"), key=lambda file: file.stat().st_mtime)
            for file in oldest_first[:-MOST_FILES]:
                file.unlink(missing_ok=True)
        except OSError as error:
            LOGGER.info("Maps of the samples cannot be kept: %s", error)

    def _is_usual(self, key: MapKey) -> bool:
        usual = key.spec.weights == "builtin" and (key.tap, key.size.name, key.precision) == ("auto", "own", "float32")
        return usual and self._names.keys() >= {key.digest, *key.together}

    @cached_property
    def _names(self) -> dict[str, str]:
        """File names of the samples by the SHA-256 of their bytes."""
        found = {}
        for sample in SAMPLES:
            with suppress(ImageError):  # the page that shows it says why it cannot
                found[hashlib.sha256(sample_bytes(sample)).hexdigest()] = sample.file
        return found

    def _file(self, key: MapKey) -> Path:
        facts = repr((key.digest, key.spec, key.together, _made_by()))
        return self.folder / f"{hashlib.sha256(facts.encode()).hexdigest()[:32]}.npz"


@cache
def _made_by() -> str:
    """What maps depend on besides their key: this package, byte for byte, and the libraries that it computes with."""
    files = sorted(file for file in _PACKAGE.rglob("*") if file.suffix in (".py", ".npz"))
    state = hashlib.sha256()
    for file in files:
        state.update(file.read_bytes())
    return f"{state.hexdigest()} {[version(name) for name in ('keras', 'tensorflow', 'numpy', 'pillow')]}"


def _write(maps: FeatureMaps) -> bytes:
    facts = {name: getattr(maps, name) for name in _FACTS}
    header = json.dumps([facts, asdict(maps.frame), asdict(maps.grid)])
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, header=np.array(header), **maps.pictures)
    return buffer.getvalue()


def _read(data: bytes) -> FeatureMaps:
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        facts, frame, grid = json.loads(str(file["header"]))
        pictures = {name: file[name] for name in WITHOUT_BOXES if name in file}
    facts["notes"] = tuple(facts["notes"])
    return FeatureMaps(**facts, **pictures, frame=Frame(**frame), grid=CellGrid(**grid))
