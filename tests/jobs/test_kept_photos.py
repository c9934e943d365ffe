"""Photographs of a small run are decoded once for all backbones."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convfe_core.base.errors import ImageError
from convfe_core.base.folders import open_folder
from convfe_core.catalog.specs import parse_spec
from convfe_core.jobs.maps_job import MapsJob
from convfe_core.jobs.maps_run import _loading_order
from convfe_core.jobs.shards import KeptPhotos, ShardImage
from convfe_core.machine.memory import KEPT_MB
from convfe_core.maps.input_size import Size
from convfe_core.photos.photo import Photo


def photo(name: str, megabytes: float = 0.0) -> Photo:
    rows = max(1, round(megabytes * 2**20 / 3))
    return Photo(name, np.broadcast_to(np.uint8(0), (rows, 1, 3)), "0" * 64)  # says so, and takes one byte


def test_a_photograph_is_decoded_once() -> None:
    kept, decoded = KeptPhotos(), []

    def decode() -> Photo:
        decoded.append(photo("a"))
        return decoded[-1]

    assert kept.get(3, decode) is kept.get(3, decode)
    assert kept.get(4, decode) is not decoded[0]
    assert len(decoded) == 2


def test_what_cannot_be_decoded_is_tried_again() -> None:
    kept = KeptPhotos()

    def fail() -> Photo:
        raise ImageError("no picture")

    with pytest.raises(ImageError, match="no picture"):
        kept.get(0, fail)
    assert kept.get(0, lambda: photo("b")).name == "b"


def test_of_more_than_may_be_kept_none_is() -> None:
    kept = KeptPhotos()
    kept.get(0, lambda: photo("a"))
    assert not kept.full
    kept.get(1, lambda: photo("large", KEPT_MB))
    assert kept.full
    assert kept.get(0, lambda: photo("again")).name == "again"
    assert kept.get(0, lambda: photo("once more")).name == "once more"


def test_other_processes_get_none() -> None:
    kept = KeptPhotos()
    kept.get(0, lambda: photo("a"))
    assert pickle.loads(pickle.dumps(kept)).get(0, lambda: photo("b")).name == "b"


def test_photographs_are_decoded_before_a_backbone_is_there_but_for_broken_and_distant_ones(
    tmp_path: Path,
) -> None:
    photo_file = tmp_path / "grey.png"
    Image.new("RGB", (16, 12), "grey").save(photo_file)
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    job = MapsJob({}, Size("own"), "auto", "float32", tmp_path, open_folder(tmp_path / "out"), bfloat16=False)
    paths = (tmp_path / "broken.jpg", photo_file, "s3://bucket/a.jpg", photo_file)
    job.decode_early(ShardImage(str(path), place) for place, path in enumerate(paths))

    def never() -> Photo:
        raise AssertionError("it was not decoded")

    assert job.photos.get(1, never).name == photo_file.name
    for place in (0, 2, 3):
        with pytest.raises(AssertionError):
            job.photos.get(place, never)


def test_the_smallest_backbone_is_first_and_the_largest_second() -> None:
    names = ("ResNet50:untrained", "VGG16:untrained", "TinyResNet", "MobileNetV2-1.0:untrained")
    found = _loading_order({name: parse_spec(name) for name in names})
    assert found == ["TinyResNet", "ResNet50:untrained", "VGG16:untrained", "MobileNetV2-1.0:untrained"]
