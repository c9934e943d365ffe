import numpy as np

from convfe_core.catalog.specs import parse_spec
from convfe_core.maps.input_size import Size
from convfe_core.serving.map_cache import MapStore
from convfe_core.serving.map_key import MapKey
from tests.support.builders import feature_maps


def key(digest: str, spec: str = "VGG16:untrained", size: str = "own") -> MapKey:
    return MapKey(digest, parse_spec(spec), "auto", Size(size))


def test_maps_come_back_for_the_same_photograph_backbone_and_size_only() -> None:
    store = MapStore()
    maps = feature_maps(np.ones((2, 2), np.float32))
    store.put(key("a"), maps)
    assert store.get(key("a")) is maps
    assert store.get(key("b")) is None
    assert store.get(key("a", spec="VGG19:untrained")) is None
    assert store.get(key("a", size="320")) is None


def test_the_least_recently_used_maps_go_first() -> None:
    megabyte = np.zeros((256, 512), np.float32)  # half a megabyte a map, two maps
    store = MapStore(budget_mb=2.0)
    for name in "ab":
        store.put(key(name), feature_maps(megabyte))
    store.get(key("a"))
    store.put(key("c"), feature_maps(megabyte))
    assert store.get(key("b")) is None
    assert store.get(key("a")) is not None
    assert store.get(key("c")) is not None
    assert store.megabytes == 2.0


def test_one_map_larger_than_the_budget_is_still_kept() -> None:
    store = MapStore(budget_mb=0.1)
    store.put(key("a"), feature_maps(np.zeros((256, 512), np.float32)))
    assert len(store) == 1


def test_replacing_maps_does_not_count_them_twice() -> None:
    store = MapStore()
    for _ in range(3):
        store.put(key("a"), feature_maps(np.zeros((256, 512), np.float32)))
    assert store.megabytes == 1.0
