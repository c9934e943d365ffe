"""A snippet runs in a Python of its own and gives the maps that are shown."""

from pathlib import Path

import numpy as np
import pytest

from convfe_core.backbones.backbone import freeze_network
from convfe_core.backbones.network import Network, open_network
from convfe_core.backbones.snippet import maps_call, write_snippet
from convfe_core.catalog.specs import Spec, parse_spec
from convfe_core.graph.taps import stage_taps
from convfe_core.maps.extraction import extract_maps
from convfe_core.maps.input_size import Size
from convfe_core.photos.photo import open_photo
from tests.conftest import ROOT
from tests.support.builders import noise, png
from tests.support.children import python

SIZE = Size("128")
OTHERS = "MobileNetV2-0.35", "ResNet50", "ConvNeXtTiny", "NASNetMobile", "DenseNet121"
TAIL = """
import sys
found = extractor(read(sys.argv[1]), training=False)
np.savez(sys.argv[2], **{f"{name}_{kind}": getattr(np, kind)(values, -1)[0] for name, values in found.items()
                         for kind in ("max", "mean")})
"""


ONE_AFTER_ANOTHER = """
import runpy, sys
import keras
picture, *programs = sys.argv[1:]
for program in programs:
    keras.backend.clear_session()  # layers are numbered as in a new process
    sys.argv = [program, picture, f"{program}.npz"]
    runpy.run_path(program)
"""


def write_program(spec: Spec, network: Network, folder: Path) -> Path:
    """A snippet as a program that writes what it finds beside itself."""
    text = write_snippet(network, spec, 128, maps_call(spec, "128", "auto", "float32", ("max", "mean")))
    program = folder / f"{spec.name}.py"
    program.write_text(text.replace('if __name__ == "__main__":', "if False:") + TAIL)
    return program


def run_alone(folder: Path, *call: object) -> None:
    python(*call, env={"PYTHONPATH": str(ROOT), "HOME": str(folder)})


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    path.write_bytes(png(noise(150, 200)))
    return path


@pytest.mark.slow
def test_a_snippet_gives_the_maps_that_are_shown(picture: Path, tmp_path: Path) -> None:
    spec = parse_spec("TinyMobileNet")
    network = open_network(spec)
    program = write_program(spec, network, tmp_path)
    run_alone(tmp_path, program, picture, f"{program}.npz")
    check_found(program, network, picture)


@pytest.fixture
def own_model(tmp_path: Path) -> Path:
    """A grey network of the user's own."""
    import keras

    picture = keras.Input((None, None, 1))
    hidden = keras.layers.Conv2D(8, 3, 4, padding="same", activation="relu", name="first")(picture)
    path = tmp_path / "mine.keras"
    keras.Model(picture, keras.layers.Conv2D(8, 3, 2, padding="same", name="last")(hidden)).save(path)
    return path


@pytest.mark.slow
def test_snippets_of_all_kinds_of_networks_give_the_maps_that_are_shown(
    picture: Path, own_model: Path, tmp_path: Path
) -> None:
    """One process runs them one after another: that each runs alone is seen above."""
    specs = [*(parse_spec(f"{name}:untrained") for name in OTHERS), parse_spec(f"mine={own_model}")]
    networks = [open_network(spec) for spec in specs]
    programs = [write_program(spec, network, tmp_path) for spec, network in zip(specs, networks, strict=True)]
    run_alone(tmp_path, "-c", ONE_AFTER_ANOTHER, picture, *programs)
    for program, network in zip(programs, networks, strict=True):
        check_found(program, network, picture)


def check_found(program: Path, network: Network, picture: Path) -> None:
    """Compare what a program found with the maps of the network that it was written for."""
    with np.load(f"{program}.npz") as arrays:
        found = dict(arrays)
    stages = stage_taps(network.model)
    assert sorted(found) == sorted(f"{name}_{kind}" for name in ("map", *stages) for kind in ("max", "mean"))
    for name in ("map", next(iter(stages))):
        looked = network if name == "map" else network.at(name)
        maps = next(extract_maps(freeze_network(looked), [open_photo(picture)], SIZE))
        for kind, values in maps.scalars.items():
            own = found[f"{name}_{kind}"][: maps.grid.rows, : maps.grid.columns]
            # of the features: means after a LayerNorm are rounding noise
            assert np.abs(own - values).max() < 1e-4 * np.abs(maps.max).max(), (program.name, name, kind)


def test_the_call_names_what_the_maps_were_made_with() -> None:
    spec = parse_spec("my net=a b.keras")
    call = maps_call(spec, "320", "C4", "fast", ("max", "pca"))
    assert call == (
        "convfe maps PHOTOS --backbone 'my net=a b.keras' --size 320 --tap C4 --precision fast --reductions max,pca "
        "--out maps"
    )
