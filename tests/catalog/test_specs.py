"""The catalog against Keras itself, and the names that lead to its entries."""

import warnings
from pathlib import Path

import pytest

from convfe_core.base.errors import SpecError
from convfe_core.base.wording import LONGEST_STEM, file_stem
from convfe_core.catalog.builders import build_layers
from convfe_core.catalog.specs import (
    CATALOG,
    Spec,
    default_spec,
    find_architecture,
    parse_spec,
    require_different_labels,
)

KERAS_ENTRIES = [a for a in CATALOG.values() if a.weight_file is not None]
FAMILIES = list(dict.fromkeys(a.family for a in CATALOG.values()))


@pytest.fixture
def requested(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Whoever builds a network of Keras gets it as if ImageNet weights were wanted: what Keras asks for is here."""
    import keras
    from keras.src.utils import file_utils

    asked: list[tuple[str, ...]] = []

    def note(fname=None, origin=None, file_hash=None, cache_subdir=None, **_) -> str:
        asked.append((fname, origin, file_hash, cache_subdir))
        return "nowhere.h5"

    def with_weights(builder):
        return lambda **arguments: builder(**arguments | {"weights": "imagenet"})

    monkeypatch.setattr(file_utils, "get_file", note)
    monkeypatch.setattr(keras.Model, "load_weights", lambda *_, **__: None)
    for name in {architecture.keras_name for architecture in KERAS_ENTRIES}:
        monkeypatch.setattr(keras.applications, name, with_weights(getattr(keras.applications, name)))
    return asked


def test_the_catalog_has_every_class_of_keras_applications() -> None:
    import keras

    classes = {name for name in dir(keras.applications) if name[0].isupper()}
    assert {a.keras_name for a in KERAS_ENTRIES} == classes


def test_the_built_in_ones_come_first_and_families_stay_together() -> None:
    assert list(CATALOG)[:2] == ["TinyResNet", "TinyMobileNet"]
    families = [a.family for a in CATALOG.values()]
    assert families == sorted(families, key=FAMILIES.index)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_every_entry_has_its_stated_parameters_and_the_weight_file_that_keras_requests(family: str, requested) -> None:
    for architecture in CATALOG.values():
        if architecture.family == family:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                warnings.filterwarnings("ignore", "`input_shape` is undefined")  # which Keras says of weights alone
                model = build_layers(architecture)
            assert model.count_params() == architecture.parameters, architecture.name
            assert model.input_shape == (None, None, None, 3)
            assert len(model.output_shape) == 4
            file = architecture.weight_file
            assert requested == ([(file.name, file.url, file.digest, "models")] if file else []), architecture.name
            requested.clear()


@pytest.mark.parametrize("name", ["MobileNet-0.25", "EfficientNetB0"])
def test_an_untrained_network_is_built_without_a_warning(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_layers(CATALOG[name])


def test_sizes_of_downloads_are_what_the_parameters_take() -> None:
    for architecture in KERAS_ENTRIES:
        least = architecture.parameters * 4 / 1e6
        assert least <= architecture.weight_file.megabytes <= 1.02 * least + 2.5, architecture.name


def test_top_1_accuracies_are_percentages_and_grow_with_width() -> None:
    for architecture in KERAS_ENTRIES:
        assert 50 < architecture.top1 < 90
    for name in ("MobileNet", "MobileNetV2", "MobileNetV3Small", "MobileNetV3Large"):
        widths = [a for a in KERAS_ENTRIES if a.keras_name == name and not a.minimalistic]
        assert [a.top1 for a in sorted(widths, key=lambda a: a.width)] == sorted(a.top1 for a in widths)


def test_layers_are_called_alike_in_every_build() -> None:
    """As are those of NASNet, which is built in two steps: see `tests/backbones/test_families.py`."""
    architecture = CATALOG["MobileNetV3Small-0.75"]
    first = [layer.name for layer in build_layers(architecture).layers]
    assert [layer.name for layer in build_layers(architecture).layers] == first


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("VGG16", "VGG16"),
        ("vgg16", "VGG16"),
        (" ResNet50 ", "ResNet50"),
        ("MobileNetV2", "MobileNetV2-1.0"),
        ("MobileNetV2-1", "MobileNetV2-1.0"),
        ("mobilenetv2-1.0", "MobileNetV2-1.0"),
        ("MobileNet-.25", "MobileNet-0.25"),
        ("MobileNetV3Small", "MobileNetV3Small-1.0"),
        ("MobileNetV3Small-minimalistic", "MobileNetV3Small-1.0-minimalistic"),
        ("TinyResNet", "TinyResNet"),
    ],
)
def test_an_architecture_is_found_by_its_names(text: str, name: str) -> None:
    assert find_architecture(text) is CATALOG[name]


def test_every_name_leads_to_itself() -> None:
    for name, architecture in CATALOG.items():
        assert find_architecture(name) is architecture
        assert parse_spec(name) == default_spec(architecture)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("VGG", "Did you mean VGG"),
        ("resnet5", "ResNet50"),
        ("MobileNetV2-0.3", "MobileNetV2-0.35"),
        ("VGG16-0.5", "VGG16"),
        ("zzzz", "convfe list"),
        ("", "convfe list"),
    ],
)
def test_an_unknown_name_is_answered_with_near_ones(text: str, hint: str) -> None:
    with pytest.raises(SpecError, match="Expected the name of a backbone") as error:
        find_architecture(text)
    assert hint in str(error.value)


@pytest.mark.parametrize(
    ("text", "spec", "label", "canonical"),
    [
        ("VGG16", Spec("VGG16", "imagenet"), "VGG16", "VGG16"),
        ("vgg16:ImageNet", Spec("VGG16", "imagenet"), "VGG16", "VGG16"),
        ("VGG16:untrained", Spec("VGG16", "untrained"), "VGG16:untrained", "VGG16:untrained"),
        ("TinyResNet:builtin", Spec("TinyResNet", "builtin"), "TinyResNet", "TinyResNet"),
        ("TinyResNet:untrained", Spec("TinyResNet", "untrained"), "TinyResNet:untrained", "TinyResNet:untrained"),
        ("VGG16:a/w.h5", Spec("VGG16", "file", Path("a/w.h5")), "VGG16:w.h5", "VGG16:a/w.h5"),
        ("VGG16:a=b.weights.h5", Spec("VGG16", "file", Path("a=b.weights.h5")), "VGG16:a=b.weights.h5", None),
        ("VGG16:C:\\w.h5", Spec("VGG16", "file", Path("C:\\w.h5")), None, "VGG16:C:\\w.h5"),
        ("mine=a/m.keras", Spec("mine", "model", Path("a/m.keras")), "mine", "mine=a/m.keras"),
        ("mine=a:b.keras", Spec("mine", "model", Path("a:b.keras")), "mine", "mine=a:b.keras"),
    ],
)
def test_specs_are_read_and_written(text: str, spec: Spec, label: str | None, canonical: str | None) -> None:
    assert parse_spec(text) == spec
    assert label is None or spec.label == label
    assert canonical is None or spec.text == canonical
    assert parse_spec(spec.text) == spec
    assert (spec.architecture is None) == (spec.weights == "model")


@pytest.mark.parametrize("text", ["VGG16:", ":imagenet", "=m.keras", "mine=", "VGG16:builtin", "TinyResNet:imagenet"])
def test_a_spec_that_says_too_little_or_too_much_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="Received"):
        parse_spec(text)


def test_two_backbones_of_one_name_are_refused_and_one_that_is_named_twice_is_not() -> None:
    require_different_labels([parse_spec(text) for text in ("VGG16", "vgg16:imagenet", "VGG16:untrained", "m=m.h5")])
    with pytest.raises(SpecError, match=r"Received: m=a\.h5 and M=b\.h5; give one of them another label"):
        require_different_labels([parse_spec(text) for text in ("VGG16", "m=a.h5", "M=b.h5")])


@pytest.mark.parametrize(
    ("label", "stem"),
    [
        ("VGG16:untrained", "VGG16_untrained"),
        ("MobileNetV2-0.35", "MobileNetV2-0.35"),
        ('a/b\\c<d>"e|f?g*h\n', "a_b_c_d__e_f_g_h_"),
        ("Größe 7", "Größe 7"),
        ("..", "_"),
        ("aux", "_aux"),
        ("COM7.photo.keras", "_COM7.photo.keras"),
        ("console", "console"),
        ("x" * 300 + ".weights.h5", "x" * 95 + "_" + "x" * 13 + ".weights.h5"),
    ],
)
def test_labels_become_names_that_file_systems_take(label: str, stem: str) -> None:
    assert file_stem(label) == stem


@pytest.mark.parametrize("label", ["ü" * 200, "🐟" * 90, "a" * 121, "a" * 120, "\ud800" * 99])
def test_no_label_becomes_a_longer_name_than_file_systems_take(label: str) -> None:
    assert len(file_stem(label).encode("utf-8", "surrogatepass")) <= LONGEST_STEM
