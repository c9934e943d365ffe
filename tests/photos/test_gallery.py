"""The sample photographs are real, present, credited, and cost no import of scikit-image."""

from __future__ import annotations

import pytest

from convfe_core.base.errors import ImageError
from convfe_core.photos import gallery
from convfe_core.photos.gallery import DEFAULT_SAMPLES, SAMPLES, load_sample
from tests.support.children import python


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_every_sample_is_in_the_wheel(sample: gallery.Sample) -> None:
    photo = load_sample(sample.name)
    assert photo.name == sample.file
    assert min(photo.height, photo.width) >= 300
    assert photo.pixels.std() > 10
    assert sample.title
    assert sample.credit


def test_the_spread_is_an_animal_a_person_a_vehicle_tissue_and_a_texture() -> None:
    assert {"animal", "person", "vehicle", "tissue", "texture"} <= {sample.kind for sample in SAMPLES}


def test_names_are_unique_and_the_defaults_are_among_them() -> None:
    names = [sample.name for sample in SAMPLES]
    assert len(set(names)) == len(names)
    assert set(DEFAULT_SAMPLES) <= set(names)
    assert len(DEFAULT_SAMPLES) == 3
    assert len({load_sample(name).digest for name in names}) == len(names)


def test_an_unknown_sample_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ImageError, match=r"Expected one of the samples chelsea, .* got 'dog'\."):
        load_sample("dog")


def test_a_wheel_without_the_file_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = tuple(gallery.Sample("gone", "gone.png", "", "", "animal") for _ in range(1))
    monkeypatch.setattr(gallery, "SAMPLES", changed)
    with pytest.raises(ImageError, match=r"^gone\.png: expected it in scikit-image's data folder"):
        load_sample("gone")


def test_loading_a_sample_imports_neither_scikit_image_nor_tensorflow() -> None:
    code = (
        "import sys; from convfe_core.photos.gallery import load_sample; load_sample('chelsea');"
        "print({'skimage', 'tensorflow', 'keras', 'streamlit'} & set(sys.modules))"
    )
    assert python("-c", code).stdout.strip() == "set()"
