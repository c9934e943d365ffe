"""A snippet runs in a Python of its own and gives the maps that are shown."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from convfe_core.backbones.backbone import freeze_network
from convfe_core.backbones.network import Network, open_network
from convfe_core.base.arrays import FloatArray
from convfe_core.catalog.specs import Spec, parse_spec
from convfe_core.graph.taps import stage_taps
from convfe_core.maps.extraction import extract_maps
from convfe_core.maps.input_size import Size
from convfe_core.photos.photo import open_photo
from convfe_core.reports.snippet import maps_call, write_snippet
from tests.conftest import ROOT
from tests.support.children import python

SIZE = Size("128")
RUN = """
import runpy, sys
import numpy as np
made = runpy.run_path(sys.argv[1])
found = made["extractor"](made["read"](sys.argv[2]), training=False)
np.savez(sys.argv[3], **{name: np.asarray(features)[0] for name, features in found.items()})
"""


def write_program(spec: Spec, network: Network, folder: Path) -> Path:
    """The snippet of a network as a file."""
    program = folder / "snippet.py"
    program.write_text(write_snippet(network, spec, 128, maps_call(spec, "128", "auto", "float32", ("max", "mean"))))
    return program


def found_by(program: Path, picture: Path) -> dict[str, FloatArray]:
    """What a snippet finds in a picture, (h, w, C) by name, in this process."""
    made = runpy.run_path(str(program))
    found = made["extractor"](made["read"](picture), training=False)
    return {name: np.asarray(features)[0] for name, features in found.items()}


def check_found(found: dict[str, FloatArray], network: Network, picture: Path) -> None:
    """Compare what a snippet found with the maps of the network that it was written for."""
    stages = stage_taps(network.model)
    assert {*found} == {"map", *stages}
    for name in ("map", next(iter(stages))):
        looked = network if name == "map" else network.at(name)
        maps = next(extract_maps(freeze_network(looked), [open_photo(picture)], SIZE))
        for kind, values in maps.scalars.items():
            own = getattr(np, kind)(found[name], -1)[: maps.grid.rows, : maps.grid.columns]
            # of the features: means after a LayerNorm are rounding noise
            assert np.abs(own - values).max() < 1e-4 * np.abs(maps.max).max(), (name, kind)


@pytest.mark.slow
def test_a_snippet_gives_the_maps_that_are_shown(picture: Path, tmp_path: Path) -> None:
    """Of other kinds of networks it is seen in `test_families`."""
    spec = parse_spec("TinyResNet")
    network = open_network(spec)
    program = write_program(spec, network, tmp_path)
    environment = {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    python("-c", RUN, program, picture, tmp_path / "found.npz", env=environment)
    with np.load(tmp_path / "found.npz") as arrays:
        check_found(dict(arrays), network, picture)


def test_a_snippet_of_a_grey_network_of_the_users_gives_the_maps_that_are_shown(picture: Path, tmp_path: Path) -> None:
    import keras

    grey = keras.Input((None, None, 1))
    hidden = keras.layers.Conv2D(8, 3, 4, padding="same", activation="relu", name="first")(grey)
    keras.Model(grey, keras.layers.Conv2D(8, 3, 2, padding="same", name="last")(hidden)).save(tmp_path / "mine.keras")
    spec = parse_spec(f"mine={tmp_path / 'mine.keras'}")
    network = open_network(spec)
    check_found(found_by(write_program(spec, network, tmp_path), picture), network, picture)


def test_the_call_names_what_the_maps_were_made_with() -> None:
    spec = parse_spec("my net=a b.keras")
    call = maps_call(spec, "320", "C4", "fast", ("max", "pca"))
    assert call == (
        "convfe maps PHOTOS --backbone 'my net=a b.keras' --size 320 --tap C4 --precision fast --reductions max,pca "
        "--out maps"
    )
