"""Random small models: their maps are Keras' own, and their cells lie where a bright pixel reaches them."""

import os
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings

from convfe_core.backbones.network import open_network
from convfe_core.catalog.specs import choose_preprocessing, parse_spec
from tests.graph.random_models import Known, RandomModel, random_models

EXAMPLES = int(os.environ.get("CONVFE_RANDOM_MODELS", "8"))
"""More by hand: ``CONVFE_RANDOM_MODELS=2000 pytest tests/graph/test_random_models.py``."""


@settings(max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES == 8, suppress_health_check=list(HealthCheck))
@given(random_models())
def test_maps_are_those_of_keras_and_cells_lie_where_a_bright_pixel_reaches_them(made: RandomModel) -> None:
    import keras

    keras.backend.clear_session()
    batch = np.random.default_rng(0).integers(0, 256, (1, *made.size, 3), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.keras"
        made.model.save(path)
        (spec,) = choose_preprocessing([parse_spec(f"m={path}")], ["m=raw"])
        network = open_network(spec)
        taps = [network.tap.layer, *[name for name in made.maps if name in offered(network)]]
        assert network.tap.layer in made.main, made.maps.keys()
        for name in dict.fromkeys(taps):
            known = made.maps[name]
            assert not known.lost
            looked = network.at(name)
            wanted = known.upright(np.asarray(keras.Model(made.model.inputs, known.tensor)(batch.astype(np.float32))))
            found = np.asarray(looked.features(batch))
            grid = looked.path.grid(*made.size)
            assert found.shape == wanted.shape == (1, grid.rows, grid.columns, wanted.shape[-1]), name
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-3 * np.ptp(wanted) + 1e-4)
            check_places(made, known, looked)
    lost = {known.lost for known in made.maps.values() if known.lost}
    assert all(any(name in note for note in network.notes) for name in lost)


def offered(network) -> list[str]:
    from convfe_core.graph.taps import map_layers

    return list(map_layers(network.model))


def tap_of(network, name: str):
    from convfe_core.graph.taps import resolve_tap

    return resolve_tap(network.model, None, name)


def check_places(made: RandomModel, known: Known, looked) -> None:
    """Move a bright pixel over the whole picture and look at what reaches the cell in the middle of the map.

    All layers but the largest of a pooling add up, so that this is the gradient of that cell, in one pass.
    """
    import keras
    import tensorflow as tf

    from convfe_core.graph.tracing import trace_path

    if known.everywhere or any("maxpooling" in type(layer).__name__.lower() for layer in made.model.layers):
        return
    picture = tf.constant(0.5, tf.float32, (1, *made.size, 3))
    part = keras.Model(made.model.inputs, known.tensor)
    path = trace_path(looked.model, looked.tensor)
    grid = path.grid(*made.size)
    row, column = grid.rows // 2, grid.columns // 2

    def reaching(pixels):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(pixels)
            values = part(pixels)
            values = tf.transpose(values, (0, 2, 1, 3)) if known.turned else values
            axes = [axis + 1 for axis in (0, 1) if known.mirrored[axis]]
            values = tf.reverse(values, axes) if axes else values
            cell = tf.reduce_sum(values[0, row, column])
        return tape.gradient(cell, pixels)

    # As a graph, which leaves out the gradients of weights that nobody asks for: on some shapes these stop TensorFlow.
    reached = np.abs(tf.function(reaching, autograph=False)(picture).numpy()[0].sum(-1))
    down, across = grid.offset_y + row * grid.stride_y, grid.offset_x + column * grid.stride_x
    reach = path.receptive_field
    cropped = any(word in name for name in made.maps for word in ("crop", "get_item", "resiz"))
    for axis, place, stride, field in ((0, down, grid.stride_y, reach[0]), (1, across, grid.stride_x, reach[1])):
        span = reached.sum(1 - axis)
        inside = field / 2 + stride <= place <= made.size[axis] - field / 2 - stride
        if not inside or span.sum() <= 0 or (cropped and np.ptp(np.flatnonzero(span)) + 2 < field):
            continue  # what it sees is cut off by a border, so that its middle is elsewhere
        middle = float(span @ (np.arange(len(span)) + 0.5) / span.sum())
        allowed = 0.51 if known.exact else 0.51 + stride
        assert abs(middle - place) <= allowed, (axis, middle, place, stride)
