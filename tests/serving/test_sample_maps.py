"""What every visitor sees first is there at the next start, and nothing else is written."""

from __future__ import annotations

import os
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from convfe_core.catalog.specs import parse_spec
from convfe_core.maps.feature_maps import FeatureMaps
from convfe_core.maps.input_size import Size
from convfe_core.photos.gallery import load_sample
from convfe_core.serving import sample_maps
from convfe_core.serving.map_cache import MapStore
from convfe_core.serving.map_key import MapKey
from convfe_core.serving.sample_maps import SampleMaps
from tests.support.builders import feature_maps

CAT = load_sample("chelsea")
KEY = MapKey(CAT.digest, parse_spec("TinyResNet"), "auto", Size("own"))


@pytest.fixture
def maps() -> FeatureMaps:
    found = feature_maps(np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32))
    colours = np.arange(45, dtype=np.uint8).reshape(3, 5, 3)
    return replace(found, image=CAT.name, digest=CAT.digest, notes=("one note", "another"), pca=colours)


def test_maps_of_a_sample_are_there_at_the_next_start_with_everything_that_they_tell(
    tmp_path: Path, maps: FeatureMaps
) -> None:
    MapStore(samples=SampleMaps(tmp_path / "a" / "b")).put(KEY, maps)
    found = MapStore(samples=SampleMaps(tmp_path / "a" / "b")).get(KEY)
    assert found is not None
    for field in fields(FeatureMaps):
        ours, theirs = getattr(found, field.name), getattr(maps, field.name)
        if isinstance(theirs, np.ndarray):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)
        else:
            assert ours == theirs


@pytest.mark.parametrize(
    "key",
    [
        replace(KEY, digest="0" * 64),
        replace(KEY, together=(CAT.digest, "0" * 64)),
        replace(KEY, spec=parse_spec("VGG16:untrained")),
        replace(KEY, spec=replace(parse_spec("TinyResNet"), weights="file", path=Path("weights.h5"))),
        replace(KEY, tap="stage2_block1_add"),
        replace(KEY, size=Size("640")),
        replace(KEY, precision="fast"),
    ],
    ids=["a visitor's", "with a visitor's", "untrained", "a file's", "another layer", "another size", "fast"],
)
def test_nothing_else_is_written(tmp_path: Path, maps: FeatureMaps, key: MapKey) -> None:
    store = MapStore(samples=SampleMaps(tmp_path))
    store.put(key, maps)
    assert store.get(key) is maps
    assert list(tmp_path.iterdir()) == []


def test_a_samples_bytes_under_a_visitors_name_are_not_written(tmp_path: Path, maps: FeatureMaps) -> None:
    SampleMaps(tmp_path).put(KEY, replace(maps, image="aunt-mary.png"))
    assert list(tmp_path.iterdir()) == []


def test_maps_of_another_version_are_not_found(
    tmp_path: Path, maps: FeatureMaps, monkeypatch: pytest.MonkeyPatch
) -> None:
    SampleMaps(tmp_path).put(KEY, maps)
    monkeypatch.setattr(sample_maps, "_made_by", lambda: "another package")
    assert SampleMaps(tmp_path).get(KEY) is None


@pytest.mark.parametrize("damage", [b"", b"no archive", b"PK\x03\x04"])
def test_a_damaged_file_is_as_none_and_is_replaced(tmp_path: Path, maps: FeatureMaps, damage: bytes) -> None:
    kept = SampleMaps(tmp_path)
    kept.put(KEY, maps)
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage)
    assert kept.get(KEY) is None
    kept.put(KEY, maps)
    assert kept.get(KEY) is not None


def test_where_nothing_can_be_written_the_maps_are_the_visitors_alone(tmp_path: Path, maps: FeatureMaps) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = MapStore(samples=SampleMaps(tmp_path / "file" / "samples"))
    store.put(KEY, maps)
    assert store.get(KEY) is maps


def test_the_oldest_go_beyond_the_most(tmp_path: Path, maps: FeatureMaps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_maps, "MOST_FILES", 2)
    kept = SampleMaps(tmp_path)
    keys = [replace(KEY, together=(CAT.digest,) * count) for count in range(3)]
    for number, key in enumerate(keys):
        kept.put(key, maps)
        for file in tmp_path.iterdir():
            if file.stat().st_mtime > len(keys):
                os.utime(file, (number, number))
    assert [kept.get(key) is not None for key in keys] == [False, True, True]
