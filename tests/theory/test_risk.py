import numpy as np
import pytest

from pyphenom.theory import Risk


def test_total_and_dict():
    risk = Risk(np.array([0.0, 1.0]), np.array([np.inf, 2.0]), np.zeros(2))
    np.testing.assert_array_equal(risk.total, [np.inf, 3.0])
    assert list(risk.to_dict()) == ["total", "bias", "variance", "residual"]


def test_repr_is_one_short_line():
    text = repr(Risk(np.linspace(0, 1, 10_000), np.zeros(10_000), np.zeros(10_000)))
    assert len(text) < 200
    assert "\n" not in text
    assert repr(Risk(1.0, 2.0)) == "Risk(total=3, bias=1, variance=2, residual=0)"


def test_frozen():
    with pytest.raises(AttributeError):
        Risk(1.0, 2.0).bias = 0.0
