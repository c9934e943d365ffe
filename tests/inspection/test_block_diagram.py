"""An architecture at a glance: its table, its text, its blocks, and Keras' plot where Graphviz is."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from convfe_core.backbones.network import Network, open_network
from convfe_core.catalog.specs import parse_spec
from convfe_core.inspection.block_diagram import Block, blocks_dot, find_blocks
from convfe_core.inspection.layer_table import can_plot, layer_table, plot_layers, summary_text
from tests.conftest import need


@pytest.fixture(scope="module")
def tiny() -> Network:
    return open_network(parse_spec("TinyMobileNet"))


@pytest.fixture(scope="module")
def branching(tmp_path_factory: pytest.TempPathFactory) -> Network:
    """A convolution, two ways that are added, and a last convolution, with names that need quoting."""
    import keras

    picture = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, 2, "same", name="stem_conv")(picture)
    x = keras.layers.ReLU(name="stem_relu")(keras.layers.BatchNormalization(name="stem_norm")(x))
    way = keras.layers.Conv2D(4, (1, 3), padding="same", name='odd "name" \\ here')(x)
    x = keras.layers.Add(name="block_add")([x, way])
    x = keras.layers.MaxPooling2D(2, name="block_pool")(x)
    path = tmp_path_factory.mktemp("model") / "m.keras"
    keras.Model(picture, keras.layers.Conv2D(8, 1, name="last")(x)).save(path)
    return open_network(parse_spec(f"mine={path}"))


def test_the_table_counts_all_parameters_and_states_strides_and_shapes(tiny: Network) -> None:
    rows = layer_table(tiny)
    assert sum(row["parameters"] for row in rows) == tiny.model.count_params()
    assert rows[2] == {
        "#": 2,
        "name": "stem_conv",
        "type": "Conv2D",
        "output": "32 × 32 × 16",
        "parameters": 432,
        "stride": "2",
    }
    assert rows[-1]["stride"] == "16"
    assert "stem_conv" in summary_text(tiny)


def test_layers_that_follow_each_other_are_one_block_and_branches_part_it(branching: Network) -> None:
    assert find_blocks(branching) == [
        Block("stem_conv … stem_relu", ("Conv2D 3 × 3 / 2 + BatchNormalization + ReLU",), 2.0, 4, (-1,)),
        Block('odd "name" \\ here', ("Conv2D 1 × 3",), 2.0, 4, (0,)),
        Block("block_add … last", ("Add + MaxPooling2D 2 × 2 / 2", "Conv2D 1 × 1"), 4.0, 8, (0, 1)),
    ]


def test_every_layer_stands_in_one_block(tiny: Network) -> None:
    steps = [step for block in find_blocks(tiny) for step in block.steps]
    assert sum(step.count(" + ") + 1 for step in steps) == len(tiny.model.layers) - 1  # the picture is none


def test_graphviz_draws_the_blocks_whatever_the_names(branching: Network) -> None:
    need(shutil.which("dot") is not None, "Graphviz")
    drawn = subprocess.run(
        ["dot", "-Tplain"], input=blocks_dot(branching, "#1c2b2a"), capture_output=True, text=True, check=False
    )
    assert (drawn.returncode, drawn.stderr) == (0, "")
    assert len(re.findall(r"^node ", drawn.stdout, re.MULTILINE)) == 4
    assert len(re.findall(r"^edge ", drawn.stdout, re.MULTILINE)) == 4


def test_keras_plots_every_layer_where_graphviz_is(tiny: Network) -> None:
    need(can_plot(), "Graphviz and pydot")
    picture = plot_layers(tiny).decode()
    assert "<svg" in picture
    for layer in tiny.model.layers:
        assert layer.name in picture


def test_without_graphviz_there_is_no_plot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not can_plot()
