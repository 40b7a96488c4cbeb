import math
from dataclasses import replace

import pytest
import synthetic

from pyphenom.report.strip import strip
from pyphenom.studies import Equal, Greater, Identity, Within


@pytest.fixture
def verdict():
    found = synthetic.verdict(Within(-1.0, 1.0), [0.1, 0.2, 0.3, 0.4])
    return replace(found, measured=2.0, interval=(1.0, 3.0), adjusted=(0.0, 4.0), allowed=(5.0, 10.0), band=0.0)


def test_places_keep_their_order_and_proportions(verdict):
    s = strip(verdict)
    low, high = s.adjusted[0], s.allowed[1]  # 0 and 10
    assert 0.0 < low < high < 100.0
    for value, place in ((1.0, s.interval[0]), (2.0, s.mean), (3.0, s.interval[1]), (5.0, s.allowed[0])):
        assert (place - low) / (high - low) == pytest.approx(value / 10.0, abs=1e-3)


def test_the_band_belongs_to_what_is_allowed(verdict):
    assert strip(replace(verdict, allowed=(4.0, 11.0))) == strip(replace(verdict, allowed=(5.0, 10.0), band=1.0))


def test_what_nothing_bounds_goes_to_the_end_of_the_line(verdict):
    assert strip(replace(verdict, allowed=(5.0, math.inf))).allowed[1] == 100.0
    assert strip(replace(verdict, allowed=(-math.inf, 2.0))).allowed[0] == 0.0


@pytest.mark.parametrize(
    ("relation", "values"), [(Identity(1e-9), [1.0, 1.0]), (Equal(), [1.0]), (Equal(), [math.nan, 1.0])]
)
def test_without_an_interval_there_is_nothing_to_draw(relation, values):
    assert strip(synthetic.verdict(relation, values, target=1.0)) is None


def test_equal_replicates_and_large_values_stay_on_the_line():
    for values in ([1e150, 1.1e150], [2.0, 2.0, 2.0], [1e-150, 2e-150]):
        s = strip(synthetic.verdict(Greater(), values))
        assert all(0.0 <= place <= 100.0 for pair in (s.interval, s.adjusted, s.allowed) for place in pair)
