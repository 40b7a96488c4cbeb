import numpy as np
import pytest
from scipy.integrate import quad, simpson
from scipy.special import expit, ndtr

from pyphenom.theory.links import GaussianMixture, Logistic, Null, Probit, Sign

phi = lambda v: np.exp(-v * v / 2) / np.sqrt(2 * np.pi)  # noqa: E731
HIDDEN = np.polynomial.hermite_e.hermegauss(60)


def hidden_logistic(strength, hidden):
    z, weights = HIDDEN
    return lambda g: expit(strength * g + hidden * z) @ weights / np.sqrt(2 * np.pi)


# link -> density of V, as the model says
DENSITIES = {
    Logistic(2.0): lambda v: 2 * phi(v) * expit(2 * v),
    Logistic(30.0): lambda v: 2 * phi(v) * expit(30 * v),
    Logistic(1.5, 2.0): lambda v: 2 * phi(v) * hidden_logistic(1.5, 2.0)(v),
    Probit(3.0): lambda v: 2 * phi(v) * ndtr(3 * v),
    Sign(): lambda v: 2 * phi(v) * (v > 0),
    Sign(0.2): lambda v: 2 * phi(v) * (0.8 if v > 0 else 0.2),
    GaussianMixture(1.5): lambda v: phi(v - 1.5),
    Null(): phi,
}


def integral(function):
    return sum(quad(function, *ends, epsabs=1e-13, limit=200)[0] for ends in ((-10, 0), (0, 0.5), (0.5, 12)))


@pytest.mark.parametrize("link", DENSITIES, ids=repr)
def test_law_is_the_density_of_the_model(link):
    density, law = DENSITIES[link], link.law()
    assert law.weights.sum() == pytest.approx(1)
    assert law.mean == pytest.approx(integral(lambda v: v * density(v)), abs=1e-10)
    for c in (0.0, 0.3, 0.9, 0.999):
        s = np.sqrt(1 - c * c)
        assert law.error(np.array(c)) == pytest.approx(integral(lambda v: density(v) * ndtr(-c * v / s)), abs=1e-9)  # noqa: B023


@pytest.mark.parametrize("link", DENSITIES, ids=repr)
@pytest.mark.parametrize("c", [0.2, 0.8, 0.995])
def test_smoothed_link_is_the_same_law_seen_by_a_classifier(link, c):
    # The law of W = cV + sZ: its density must give the same error and the same mean of V.
    s = np.sqrt(1 - c * c)
    w = np.linspace(-9, 12, 21001)
    value, slope, bend = link.smoothed(c * w[None], np.array([[s]]))
    step = 2 * phi(w) * (w[1] - w[0])
    assert step @ value[0] == pytest.approx(1, abs=1e-10)
    assert (step * (c * w * value + s**2 * slope)[0]).sum() == pytest.approx(link.law().mean, abs=1e-9)
    zero = np.argmin(np.abs(w))
    below = simpson(2 * phi(w[: zero + 1]) * value[0, : zero + 1], w[: zero + 1])
    assert below == pytest.approx(float(link.law().error(np.array(c))), abs=1e-9)
    t = np.array([[-1.3, 0.0, 0.4, 2.0]])
    up, down = (link.smoothed(t + d, np.array([[s]])) for d in (1e-5, -1e-5))
    _, slope, bend = link.smoothed(t, np.array([[s]]))
    np.testing.assert_allclose(slope, (up[0] - down[0]) / 2e-5, atol=1e-7)
    np.testing.assert_allclose(bend, (up[1] - down[1]) / 2e-5, atol=1e-6)


def test_links_that_are_the_same():
    t, s = np.array([[-0.5, 0.7]]), np.array([[0.6]])
    for strong in (Logistic(np.inf), Probit(np.inf)):
        np.testing.assert_array_equal(strong.law().weights, Sign().law().weights)
        np.testing.assert_allclose(strong.smoothed(t, s)[0], Sign().smoothed(t, s)[0], rtol=1e-14)
    np.testing.assert_allclose(Logistic(1e7).smoothed(t, s)[0], Sign().smoothed(t, s)[0], rtol=1e-6)
    for weak in (Logistic(0.0), Probit(0.0), Sign(0.5), GaussianMixture(0.0), Null()):
        assert weak.law().mean == pytest.approx(0, abs=1e-15)
        np.testing.assert_allclose(weak.smoothed(t, s)[0], 0.5)


@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda: Logistic(-1.0), ValueError, "strength"),
        (lambda: Logistic(np.nan), ValueError, "strength"),
        (lambda: Logistic("2"), TypeError, "strength"),
        (lambda: Logistic([1.0, 2.0]), TypeError, "strength"),
        (lambda: Logistic(1.0, -0.1), ValueError, "hidden"),
        (lambda: Logistic(1.0, np.inf), ValueError, "hidden"),
        (lambda: Probit(-2.0), ValueError, "strength"),
        (lambda: Sign(0.6), ValueError, "flip_rate"),
        (lambda: Sign(-0.1), ValueError, "flip_rate"),
        (lambda: GaussianMixture(-1.0), ValueError, "mean_norm"),
        (lambda: GaussianMixture(np.inf), ValueError, "mean_norm"),
    ],
)
def test_bad_parameters_are_named(call, error, name):
    with pytest.raises(error, match=name):
        call()
