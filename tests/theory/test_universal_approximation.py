"""Certified approximants on fine grids, and Barron's constants against integrals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from pyphenom.theory import universal_approximation as theory


def wave(x):
    return np.sin(2 * np.pi * x)


def worst(function, g, points=200_001):
    x = np.linspace(*g.interval, points)
    return np.abs(function(x) - g(x)).max()


# ---- ReLU


@pytest.mark.parametrize("neurons", [1, 4, 16, 64, 256, 1024])
def test_relu_error_is_certified_and_tight(neurons):
    g = theory.relu_knots(wave, neurons, curvature=4 * np.pi**2)
    assert len(g.weights) == neurons
    assert g.error == pytest.approx(4 * np.pi**2 / (8 * neurons**2))
    measured = worst(wave, g, 40 * neurons + 1 if neurons > 100 else 4001)
    assert measured <= g.error * (1 + 1e-9) + 1e-13
    if neurons >= 64:
        assert measured == pytest.approx(g.error, rel=0.02)  # 4.935 / N^2


def test_relu_net_interpolates():
    g = theory.relu_knots(np.exp, 7, np.exp(2.0), (-1.0, 2.0))
    points = np.linspace(-1, 2, 8)
    np.testing.assert_allclose(g(points), np.exp(points), rtol=1e-13)
    middles = (points[:-1] + points[1:]) / 2
    np.testing.assert_allclose(g(middles), (np.exp(points[:-1]) + np.exp(points[1:])) / 2, rtol=1e-13)


def test_bounds_piece_by_piece_are_sharper():
    whole = theory.relu_knots(np.exp, 50, np.exp(5.0), (0.0, 5.0))
    parts = theory.relu_knots(lambda x: np.exp(-x), 50, lambda left, right: np.exp(-left), (0.0, 5.0))
    assert parts.error == pytest.approx(0.1**2 / 8)
    assert worst(lambda x: np.exp(-x), parts) <= parts.error
    assert worst(np.exp, whole) <= whole.error


def test_at_a_kink_the_rate_is_lost():
    # The negative control: f'' is no number there, and the error falls like 1/N where the kink is between knots.
    errors = [
        worst(lambda x: np.abs(x - 1 / 3), theory.relu_knots(lambda x: np.abs(x - 1 / 3), n, 0.0)) for n in (4, 64)
    ]
    assert errors[0] / errors[1] == pytest.approx(16, rel=0.05)


@given(st.floats(0.1, 5.0), st.floats(-3, 3), st.integers(1, 60))
def test_certificates_hold(frequency, shift, neurons):
    def function(x):
        return np.cos(frequency * x + shift)

    g = theory.relu_knots(function, neurons, frequency**2, (-1.0, 2.0))
    assert worst(function, g, 2001) <= g.error + 1e-12
    for sharpness in (0.5, 3.0, 40.0):
        s = theory.sigmoid_steps(function, neurons, frequency, (-1.0, 2.0), sharpness)
        assert worst(function, s, 2001) <= s.error + 1e-12


# ---- sigmoid


@pytest.mark.parametrize("neurons", [1, 9, 99, 299])
def test_step_error_is_certified_and_tight(neurons):
    g = theory.sigmoid_steps(lambda x: 3 * x, neurons, 3.0)
    assert g.error == pytest.approx(3 / (2 * (neurons + 1)), rel=1e-7)
    assert g(0.0) == pytest.approx(3 / (2 * (neurons + 1)))  # at the ends of the interval it is attained
    assert worst(lambda x: 3 * x, g) <= g.error * (1 + 1e-9)


def test_step_net_is_its_sum():
    g = theory.sigmoid_steps(np.sin, 3, 1.0, (0.0, 4.0), sharpness=2.0)
    centres, ends = np.array([0.5, 1.5, 2.5, 3.5]), np.array([1.0, 2.0, 3.0])
    x = 1.3
    expected = np.sin(0.5) + np.sum(np.diff(np.sin(centres)) / (1 + np.exp(-2.0 * (x - ends))))
    assert g(x) == pytest.approx(expected)


def test_shapes_of_points():
    g = theory.relu_knots(wave, 5, 40.0)
    assert isinstance(g(0.5), float)
    assert g(np.zeros((2, 3))).shape == (2, 3)
    assert "5 x relu on [0, 1]" in repr(g)
    assert g.to_dict()["knots"] is g.knots


# ---- Barron


@pytest.mark.parametrize("dimension", [1, 2, 3, 10, 100])
def test_gaussian_constant_is_the_mean_length(dimension):
    mean = integrate.quad(lambda r: r * stats.chi.pdf(r, dimension), 0, np.inf)[0]
    assert theory.gaussian_barron_constant(dimension) == pytest.approx(mean, rel=1e-7)
    assert theory.gaussian_barron_constant(dimension) <= np.sqrt(dimension)


def test_bound_broadcasts():
    bound = theory.barron_bound([[1.0], [2.0]], 3.0, [1, 2, 3])
    np.testing.assert_allclose(bound, [[36, 18, 12], [144, 72, 48]])


@pytest.mark.parametrize("radius", [0.3, 1.0, 3.0, 20.0])
def test_sampling_error_in_one_dimension_is_the_integral(radius):
    # x uniform on [-r, r], |w| of density w exp(-w^2/2), s = r |w| u: P(w x > s) = (1 - u) / 2.
    c = np.sqrt(2 / np.pi)

    def inner(w):  # the integral of sin^2(a u) (1 - u) / 2 over u, in closed form
        a = w * radius
        return 0.125 - (1 - np.cos(2 * a)) / (16 * a**2)

    moment = integrate.quad(lambda w: w * np.exp(-w * w / 2) * inner(w), 0, 40, limit=500)[0]
    centred = integrate.quad(lambda x: np.expm1(-x * x / 2) ** 2 / radius, 0, radius)[0]
    expected = 4 * radius**2 * c**2 * moment - centred
    assert theory.gaussian_sampling_error(1, radius, 1) == pytest.approx(expected, rel=1e-8)
    np.testing.assert_allclose(theory.gaussian_sampling_error(1, radius, [1, 4]), [expected, expected / 4])


@pytest.mark.parametrize("dimension", [2, 7, 50])
def test_sampling_error_in_more_dimensions(dimension):
    # A million draws of (x, w, s); six standard errors, passed by chance less than once in 10^8.
    rng, r, n = np.random.default_rng(dimension), 1.2, 1_000_000
    first = rng.standard_normal(n)  # the first coordinate of a uniform direction, by a normal and a chi-square
    cosine = first / np.sqrt(first**2 + rng.chisquare(dimension - 1, n))
    x1, length = r * rng.random(n) ** (1 / dimension) * cosine, np.sqrt(rng.chisquare(dimension + 1, n))
    s = rng.random(n) * r * length
    constant = theory.gaussian_barron_constant(dimension)
    squares = (2 * r * constant * np.sin(s) * (length * x1 > s)) ** 2
    radial = r * rng.random(n) ** (1 / dimension)
    total = squares - np.expm1(-(radial**2) / 2) ** 2
    expected = theory.gaussian_sampling_error(dimension, r, 1)
    assert abs(total.mean() - expected) < 6 * total.std() / np.sqrt(n)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: theory.relu_knots(np.sin, 0, 1.0), ValueError, "neurons"),
        (lambda: theory.relu_knots(np.sin, 3, -1.0), ValueError, "curvature"),
        (lambda: theory.relu_knots(np.sin, 3, 1.0, (1.0, 0.0)), ValueError, "interval"),
        (lambda: theory.relu_knots("sin", 3, 1.0), TypeError, "function"),
        (lambda: theory.relu_knots(lambda x: 1.0, 3, 1.0), ValueError, "function: gave shape"),
        (lambda: theory.relu_knots(lambda x: np.full_like(x, np.inf), 3, 1.0), ValueError, "inf"),
        (lambda: theory.sigmoid_steps(np.sin, 3, [1.0, 2.0]), ValueError, "lipschitz"),
        (lambda: theory.sigmoid_steps(np.sin, 3, 1.0, sharpness=0.0), ValueError, "sharpness"),
        (lambda: theory.barron_bound(-1.0, 1.0, 1), ValueError, "constant"),
        (lambda: theory.barron_bound(1.0, 1.0, 0), ValueError, "width"),
        (lambda: theory.gaussian_barron_constant(0), ValueError, "dimension"),
        (lambda: theory.gaussian_sampling_error(1.5, 1.0, 1), ValueError, "dimension"),
        (lambda: theory.gaussian_sampling_error(2, -1.0, 1), ValueError, "radius"),
    ],
)
def test_bad_parameters_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
