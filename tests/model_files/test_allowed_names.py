"""Every layer, operation and value of Keras 3 and tf-keras is either opened or refused for a true reason."""

import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from convfe_core.base.errors import ModelFileError
from convfe_core.model_files.allowed_names import (
    ACTIVATIONS,
    CLASSES,
    LAYERS,
    ONLY_IN_TRAINING,
    OPERATIONS,
    REFUSED,
    layers_of_applications,
)
from convfe_core.model_files.safety import check_config
from tests.model_files.described_models import layer, sequential

VALUES = ("initializers", "quantizers", "dtype_policies", "regularizers", "constraints")


def classes_of(module: ModuleType) -> set[str]:
    """Names that classes have themselves, not those that a module has for them besides (``Convolution2D``)."""
    return {kind.__name__ for kind in vars(module).values() if inspect.isclass(kind)}


def kinds_of(kind: Any) -> Iterator[Any]:
    for one in kind.__subclasses__():
        yield one
        yield from kinds_of(one)


def test_every_layer_of_both_versions_is_decided() -> None:
    import keras
    import tf_keras

    experimental = tf_keras.layers.experimental
    public = set().union(*map(classes_of, (keras.layers, tf_keras.layers, experimental, experimental.preprocessing)))
    assert public - CLASSES - {"Lambda"} == public & REFUSED.keys()


def test_every_layer_that_applications_have_for_themselves_is_opened() -> None:
    import keras
    import tf_keras

    for package in (keras, tf_keras):
        found = set()
        for path in Path(package.__file__).parent.glob("src/applications/*.py"):
            if path.stem.endswith("_test"):
                continue
            module = import_module(f"{package.__name__}.src.applications.{path.stem}")
            kinds = [kind for kind in vars(module).values() if inspect.isclass(kind)]
            found |= {kind.__name__ for kind in kinds if kind.__module__ == module.__name__ and hasattr(kind, "call")}
        assert found == layers_of_applications(package.__name__).keys()
        assert found <= LAYERS
        assert not found & {*vars(package.layers)}  # or an HDF5 file's name would mean two layers


def test_every_operation_is_decided_and_none_that_calls_a_function_is_opened() -> None:
    import keras

    found = {
        kind.__name__: kind
        for kind in kinds_of(keras.Operation)
        if kind.__module__.startswith("keras.src.") and not issubclass(kind, keras.layers.Layer)
    }
    assert len(found) > 250
    assert found.keys() - OPERATIONS == found.keys() & REFUSED.keys()
    assert found.keys() >= OPERATIONS
    functions = {"f", "fn", "func", "function", "body", "body_fun", "cond", "true_fn", "false_fn", "branches"}
    taking = {name for name, kind in found.items() if functions & set(inspect.signature(kind.call).parameters)}
    taking |= {name for name, kind in found.items() if functions & set(inspect.signature(kind.__init__).parameters)}
    assert not taking & OPERATIONS


@pytest.mark.parametrize("part", VALUES)
def test_every_value_that_a_layer_may_have_is_decided(part: str) -> None:
    import keras
    import tf_keras

    for package in (keras, tf_keras):
        public = classes_of(getattr(package, part)) if hasattr(package, part) else set()
        assert public - CLASSES == public & REFUSED.keys()


def test_every_activation_is_opened() -> None:
    import keras
    import tf_keras

    for package in (keras, tf_keras):
        public = {name for name, value in vars(package.activations).items() if inspect.isfunction(value)}
        assert public - {"get", "serialize", "deserialize"} <= ACTIVATIONS


def test_nothing_is_both_opened_and_refused() -> None:
    assert not CLASSES & REFUSED.keys()


@pytest.mark.parametrize("kind", sorted(REFUSED))
def test_what_is_refused_is_called_keras_own_and_told_why(kind: str) -> None:
    with pytest.raises(ModelFileError) as caught:
        check_config(sequential(layer(kind)), "m.keras")
    sentence = str(caught.value)
    assert sentence.startswith(f"m.keras: layer 'evil' is Keras' '{kind}', which {REFUSED[kind]}; ")
    assert "save the model again without it" in sentence


def test_what_neither_list_knows_is_not_called_foreign_code() -> None:
    with pytest.raises(
        ModelFileError, match="is 'LayerOfTomorrow', which is none of the layers of Keras that are known"
    ):
        check_config(sequential(layer("LayerOfTomorrow")), "m.keras")


def test_images_layers_of_both_versions_are_all_among_those_that_a_network_is_made_of() -> None:
    assert {"Conv2D", "RandomCrop", "MixUp", "Repeat", "Split", "TFOpLambda", "TensorFlowOpLayer"} <= LAYERS
    assert np.all([name.isidentifier() for name in LAYERS])


def test_what_stays_in_a_network_does_the_same_in_any_call() -> None:
    """Layers for pictures whose calls train unless they are told otherwise are left out, entered or always alike."""
    import keras

    picture = np.random.default_rng(0).uniform(0, 255, (1, 12, 12, 3)).astype(np.float32)
    settings = {"CenterCrop": (8, 8), "Resizing": (8, 8)}
    training = {
        name: kind
        for name, kind in vars(keras.layers).items()
        if inspect.isclass(kind)
        and hasattr(kind, "call")
        and "training" in inspect.signature(kind.call).parameters
        and inspect.signature(kind.call).parameters["training"].default is True
    }
    staying = training.keys() & LAYERS - ONLY_IN_TRAINING - {"Pipeline"}
    assert {"AutoContrast", "CenterCrop", "Resizing"} <= staying
    for name in staying:
        layer = training[name](*settings.get(name, ()))
        np.testing.assert_array_equal(layer(picture), layer(picture, training=False), err_msg=name)


@pytest.mark.slow
def test_layers_that_are_left_out_change_nothing_outside_training() -> None:
    import keras

    settings: dict[str, dict] = {
        "ActivityRegularization": {},
        "SpatialDropout1D": {"rate": 0.5},
        "GaussianNoise": {"stddev": 1.0},
        "RandomCrop": {"height": 12, "width": 12},
        "RandomTranslation": {"height_factor": 0.2, "width_factor": 0.2},
        "RandomZoom": {"height_factor": 0.2},
        "RandomPosterization": {"factor": 4},
    }
    settings |= {name: {"rate": 0.5} for name in ONLY_IN_TRAINING if "Dropout" in name}
    seen = set()
    for name in ONLY_IN_TRAINING & set(vars(keras.layers)):
        maker = getattr(keras.layers, name)
        needs_factor = "factor" in inspect.signature(maker.__init__).parameters
        made = maker(**settings.get(name, {"factor": 0.2} if needs_factor else {}))
        sides = {"1D": (12,), "3D": (12, 12, 2)}.get(name[-2:], (12, 12))
        values = np.random.default_rng(0).uniform(0, 255, (1, *sides, 3)).astype(np.float32)
        np.testing.assert_allclose(np.asarray(made(values, training=False)), values, atol=1e-3, err_msg=name)
        seen.add(name)
    assert {"RandomShear", "AugMix", "Dropout"} <= seen
