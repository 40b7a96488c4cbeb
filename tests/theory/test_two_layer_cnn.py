import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyphenom.theory import two_layer_cnn as cnn

POWERS = st.sampled_from([1.0, 2.5, 3.0, 4.0, 6.0])


def test_published_cells():
    found = cnn.signal_condition(20, [4.0, 8.0, 10.0, 14.0, 20.0, 28.0], 1000, power=3)
    assert found == pytest.approx([0.04, 0.32, 0.63, 1.74, 5.06, 13.9], rel=0.02, abs=0.005)
    relu = cnn.signal_condition(20, [1.0, 2.0, 3.0, 4.0, 6.0, 9.0], 400, power=1)
    assert relu == pytest.approx([0.05, 0.8, 4.05, 12.8, 64.8, 328], rel=0.01)


@given(POWERS, st.floats(1, 1e4), st.floats(10, 1e6), st.floats(0.01, 10), st.floats(0.01, 100))
def test_the_boundary_is_where_the_condition_has_its_level(power, n, d, deviation, level):
    at = cnn.boundary(n, d, power, deviation, level)
    assert cnn.signal_condition(n, at, d, power, deviation) == pytest.approx(level, rel=1e-10)


@given(POWERS)
def test_the_slope_is_that_of_the_boundary(power):
    low, high = cnn.boundary([10.0, 1000.0], 500.0, power)
    assert np.log(high / low) / np.log(100.0) == pytest.approx(cnn.boundary_slope(power), rel=1e-12)


@pytest.mark.parametrize(("power", "slope"), [(1, -0.25), (3, -1 / 3), (4, -0.25), (5, -0.2)])
def test_slopes(power, slope):
    assert cnn.boundary_slope(power) == pytest.approx(slope)


@given(POWERS, st.floats(0.1, 10))
def test_only_signal_over_noise_matters(power, scale):
    one = cnn.signal_condition(20, 2.0, 100, power, 1.0)
    assert cnn.signal_condition(20, 2.0 * scale, 100, power, scale) == pytest.approx(one, rel=1e-10)


@pytest.mark.parametrize("power", [2.0, 1.5, 0.5, 0.0])
def test_powers_without_a_theorem_are_refused(power):
    with pytest.raises(ValueError, match="power: got"):
        cnn.signal_condition(20, 2.0, 100, power)
