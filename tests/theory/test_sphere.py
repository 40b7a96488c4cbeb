import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special

from pyphenom.theory import random_features, sphere
from pyphenom.theory.expected_kernels import expected_kernel


@settings(max_examples=30)
@given(st.integers(3, 300), st.sampled_from(["relu", "tanh", "sign", "abs", "identity"]), st.integers(0, 4))
def test_eigenvalues_sum_to_the_second_moment(d, activation, degrees):
    found = sphere.spectrum(d, activation, degrees)
    total = found.tail + found.eigenvalues @ found.multiplicities
    known = {"relu": 0.5, "sign": 1.0, "abs": 1.0, "identity": 1.0}.get(activation, sphere.spectrum(d, activation, 0))
    if activation == "tanh":
        known = known.tail + known.eigenvalues[0]
    assert total == pytest.approx(known, rel=1e-6)


@pytest.mark.parametrize(("d", "k"), [(3, 1), (3, 2), (5, 2), (8, 3), (40, 2)])
def test_eigenvalue_is_the_gegenbauer_integral(d, k):
    polynomial = special.gegenbauer(k, (d - 2) / 2)
    weight = lambda u: (1 - u * u) ** ((d - 3) / 2)  # noqa: E731
    norm = integrate.quad(weight, -1, 1)[0]
    integral = integrate.quad(lambda u: weight(u) * np.tanh(np.sqrt(d) * u) * polynomial(u), -1, 1, epsabs=1e-13)[0]
    c = integral / norm / polynomial(1.0)
    assert sphere.spectrum(d, "tanh", k).eigenvalues[k] == pytest.approx(c**2, rel=1e-7, abs=1e-14)


def test_what_vanishes_is_zero():
    # A rest of rounding would be fitted without a ridge: linear features have rank d, and no peak at n = N.
    found = sphere.spectrum(20, "identity", 4)
    np.testing.assert_array_equal(found.eigenvalues[[0, 2, 3, 4]], 0.0)
    assert found.tail == 0.0
    assert found.eigenvalues[1] == pytest.approx(1 / 20)
    for activation, absent in (("tanh", [0, 2, 4]), ("sign", [0, 2, 4]), ("abs", [1, 3])):
        np.testing.assert_array_equal(sphere.spectrum(300, activation, 4).eigenvalues == 0, np.isin(range(5), absent))


def test_harmonics_are_counted():
    np.testing.assert_array_equal(sphere.spectrum(3, degrees=4).multiplicities, [1, 3, 5, 7, 9])
    np.testing.assert_array_equal(sphere.spectrum(10, degrees=3).multiplicities, [1, 10, 54, 210])


def test_is_the_spectrum_of_the_kernel_matrix():
    # For large d the kernel of weights on the sphere is that of Gaussian weights, and its matrix on many points has
    # the eigenvalues of the operator.
    rng = np.random.default_rng(0)
    d, points = 20, 2500
    X = rng.standard_normal((points, d))
    X *= np.sqrt(d) / np.linalg.norm(X, axis=1, keepdims=True)
    measured = np.linalg.eigvalsh(expected_kernel(X, "relu"))[::-1] / points
    found = sphere.spectrum(d, "relu")
    assert measured[0] == pytest.approx(found.eigenvalues[0], rel=0.03)
    assert measured[1 : d + 1].mean() == pytest.approx(found.eigenvalues[1], rel=0.06)


def test_the_limit_is_mei_and_montanari():
    for activation in ("relu", "tanh", "erf"):
        constants = random_features.activation_constants(activation)
        found = sphere.spectrum(20_000, activation, 1)
        assert found.eigenvalues[0] == pytest.approx(constants.mean**2, abs=1e-4)
        assert 20_000 * found.eigenvalues[1] == pytest.approx(constants.linear**2, rel=1e-3)
        assert found.tail == pytest.approx(constants.nonlinear**2, rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [((2,), "dimension"), ((5.5,), "dimension"), ((5, "gelu"), "activation"), ((5, "relu", -1), "degrees")],
)
def test_bad_parameters_are_named(arguments, name):
    with pytest.raises(ValueError, match=name):
        sphere.spectrum(*arguments)


def test_activation_of_the_wrong_kind():
    with pytest.raises(TypeError, match="activation"):
        sphere.spectrum(5, 3)
