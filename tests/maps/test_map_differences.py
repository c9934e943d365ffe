import numpy as np
import pytest

from convfe_core.base.errors import SpecError
from convfe_core.drawing.colour_scales import even_limits
from convfe_core.maps.feature_maps import smallest_share, subtract_maps, to_unit
from tests.support.builders import feature_maps


def test_maps_are_subtracted_cell_by_cell() -> None:
    one, other = (feature_maps(np.full((2, 3), value, np.float32), label) for value, label in ((5, "A"), (7, "B")))
    change = subtract_maps(one, other)
    assert change.label == "A − B"
    np.testing.assert_array_equal(change.max, np.full((2, 3), -2))
    np.testing.assert_array_equal(change.mean, np.full((2, 3), -1))
    assert even_limits([change])["d" * 64, "A − B", "max"] == (-2.0, 2.0)


def test_maps_of_other_magnitudes_are_told_and_compared_by_their_shapes() -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    small, large = feature_maps(values, "A"), feature_maps(1000 * values + 7, "B")
    flat = feature_maps(np.ones((2, 3), np.float32), "C")
    assert smallest_share([small, large]) == pytest.approx(5 / 5007)
    for alike in ([small, small], [small], [flat], []):
        assert smallest_share(alike) == 1
    assert smallest_share([small, flat]) == 0
    change = subtract_maps(to_unit(small), to_unit(large))
    np.testing.assert_allclose(change.mean, 0, atol=1e-6)
    assert (to_unit(large).max.min(), to_unit(large).max.max()) == (0, 1)
    assert (to_unit(flat).max == 0.5).all()


def test_no_change_has_a_scale_too() -> None:
    one = feature_maps(np.ones((2, 2), np.float32))
    assert even_limits([subtract_maps(one, one)])["d" * 64, "Net − Net", "mean"] == (-1.0, 1.0)


def test_maps_of_other_cells_are_not_subtracted() -> None:
    with pytest.raises(SpecError, match="same cells"):
        subtract_maps(feature_maps(np.ones((2, 2), np.float32)), feature_maps(np.ones((4, 4), np.float32), stride=16))
