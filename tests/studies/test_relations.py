import numpy as np
import pytest

from pyphenom.studies import Curve, Equal, Equivalent, Greater, Identity, Less, Within
from pyphenom.studies.relations import region, resolution

INF = np.inf


@pytest.mark.parametrize(
    ("relation", "low", "high"),
    [
        (Equal(), 10, 10),
        (Curve(), 10, 10),
        (Equivalent(2), 8, 12),
        (Identity(1), 9, 11),
        (Greater(1), 11, INF),
        (Less(1), -INF, 11),
        (Within(-1, 3), 9, 13),
    ],
)
def test_regions(relation, low, high):
    assert region(relation, np.array([10.0])) == (np.array([low]), np.array([high]))


def test_resolution_is_relative_unless_asked():
    assert resolution(Equal(0.1), np.array([-10.0])) == [1.0]
    assert resolution(Curve(0.1, absolute=True), np.array([0.0])) == [0.1]
    assert resolution(Greater(), np.array([1.0])) is None
    with pytest.raises(ValueError, match="absolute=True"):
        resolution(Equal(0.1), np.array([1.0, 0.0]))


def test_an_empty_region_is_refused():
    with pytest.raises(ValueError, match="low <= high"):
        Within(2.0, 1.0)
