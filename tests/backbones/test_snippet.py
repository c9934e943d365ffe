"""A snippet runs in a Python of its own and gives the maps that are shown."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convfe_core.backbones.backbone import freeze_network
from convfe_core.backbones.network import open_network
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


def run_snippet(text: str, picture: Path, folder: Path) -> dict[str, np.ndarray]:
    program, out = folder / "snippet.py", folder / "found.npz"
    program.write_text(text.replace('if __name__ == "__main__":', "if False:") + TAIL)
    python(program, picture, out, env={"PYTHONPATH": str(ROOT), "HOME": str(folder)})
    with np.load(out) as arrays:
        return dict(arrays)


@pytest.mark.parametrize(
    "name",
    [
        "TinyMobileNet",
        *(pytest.param(f"{name}:untrained", marks=pytest.mark.slow) for name in OTHERS),
    ],
)
def test_a_snippet_gives_the_maps_that_are_shown(name: str, tmp_path: Path) -> None:
    spec = parse_spec(name)
    network = open_network(spec)
    picture = tmp_path / "picture.png"
    picture.write_bytes(png(noise(150, 200)))
    check(spec, network, picture, tmp_path)


def check(spec: Spec, network, picture: Path, folder: Path) -> None:
    text = write_snippet(network, spec, 128, maps_call(spec, "128", "auto", "float32", ("max", "mean")))
    found = run_snippet(text, picture, folder)
    stages = stage_taps(network.model)
    assert sorted(found) == sorted(f"{name}_{kind}" for name in ("map", *stages) for kind in ("max", "mean"))
    for name in ("map", next(iter(stages))):
        looked = network if name == "map" else network.at(name)
        maps = next(extract_maps(freeze_network(looked), [open_photo(picture)], SIZE))
        for kind, values in maps.scalars.items():
            own = found[f"{name}_{kind}"][: maps.grid.rows, : maps.grid.columns]
            # of the features: means after a LayerNorm are rounding noise
            assert np.abs(own - values).max() < 1e-4 * np.abs(maps.max).max(), (name, kind)


def test_a_model_of_the_users_own_is_opened_as_it_is_here(tmp_path: Path) -> None:
    import keras

    picture = keras.Input((None, None, 1))
    hidden = keras.layers.Conv2D(8, 3, 4, padding="same", activation="relu", name="first")(picture)
    path = tmp_path / "mine.keras"
    keras.Model(picture, keras.layers.Conv2D(8, 3, 2, padding="same", name="last")(hidden)).save(path)
    spec = parse_spec(f"mine={path}")
    photo = tmp_path / "picture.png"
    Image.fromarray(noise(90, 128)).save(photo)
    check(spec, open_network(spec), photo, tmp_path)


def test_the_call_names_what_the_maps_were_made_with() -> None:
    spec = parse_spec("my net=a b.keras")
    call = maps_call(spec, "320", "C4", "fast", ("max", "pca"))
    assert call == (
        "convfe maps PHOTOS --backbone 'my net=a b.keras' --size 320 --tap C4 --precision fast --reductions max,pca "
        "--out maps"
    )
