import itertools
from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq, minimize_scalar, nnls
from scipy.special import expit, ndtr

from pyphenom.theory import max_margin as mm
from pyphenom.theory._separability import threshold
from pyphenom.theory.links import Law
from pyphenom.theory.max_margin import GaussianMixture, Logistic, Null, Probit, Sign

LINKS = [Logistic(1.0), Logistic(5.0), Logistic(1.0, 2.0), Probit(2.0), Sign(), Sign(0.1), GaussianMixture(1.0), Null()]


def phi(v):
    return np.exp(-v * v / 2) / np.sqrt(2 * np.pi)


def half_square(a, b):
    """E(a + bZ)_+^2."""
    return (a * a + b * b) * ndtr(a / b) + a * b * phi(a / b)


def hard_margin(A):
    """Return argmin |w| subject to Aw >= 1 by least-distance programming (Lawson and Hanson 1974, chapter 23)."""
    samples, parameters = A.shape
    solution, _ = nnls(np.vstack([A.T, np.ones(samples)]), np.append(np.zeros(parameters), 1.0), maxiter=50 * samples)
    residual = np.append(A.T @ solution, solution.sum() - 1.0)
    return -residual[:parameters] / residual[parameters]


def rows(link, n, p, rng):
    """Draw y_i x_i for the signal e_1."""
    x = rng.standard_normal((n, p))
    if isinstance(link, GaussianMixture):
        x[:, 0] += link.mean_norm
        return x
    g = x[:, 0]
    if isinstance(link, Sign):
        chance = np.where(g > 0, 1 - link.flip_rate, link.flip_rate)
    else:
        chance = expit(link.strength * g + getattr(link, "hidden", 0.0) * rng.standard_normal(n))
    return x * np.where(rng.random(n) < chance, 1.0, -1.0)[:, None]


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (Logistic(1.0), 0.43893907),
        (Logistic(2.0), 0.34493013),
        (Logistic(5**0.5), 0.32558861),
        (Logistic(5.0), 0.18505186),
        (GaussianMixture(0.5), 0.42713424),
        (GaussianMixture(1.0), 0.27026783),
    ],
    ids=repr,
)
def test_thresholds(link, expected):
    assert mm.separability_threshold(link) == pytest.approx(expected, rel=1e-6)


def test_thresholds_in_closed_form():
    for weak in (Null(), Logistic(0.0), Sign(0.5), GaussianMixture(0.0)):
        assert mm.separability_threshold(weak) == pytest.approx(0.5, abs=1e-12)  # Cover 1965
    for noiseless in (Sign(), Logistic(np.inf), Probit(np.inf)):
        assert mm.separability_threshold(noiseless) == 0.0
    for m in (0.3, 2.0):  # the explicit form for a mixture
        best = minimize_scalar(
            lambda c, m=m: half_square(-c * m, 1.0) / (1 - c * c),
            bounds=(0, 0.99),
            method="bounded",
            options={"xatol": 1e-10},
        )
        assert mm.separability_threshold(GaussianMixture(m)) == pytest.approx(best.fun, rel=1e-10)
    assert 0 < mm.separability_threshold(Sign(1e-6)) < mm.separability_threshold(Sign(1e-3))


@pytest.mark.parametrize(
    ("link", "psi", "expected"),
    [
        (Logistic(2.0), 1.0, (0.6225516, 0.4625018, 0.3856907)),
        (Logistic(2.0), 2.0, (1.1497273, 0.3645474, 0.4106926)),
        (Sign(), 0.5, (0.4545776, 0.8297576, 0.1884786)),
        (GaussianMixture(1.0), 0.5, (0.3336537, 0.5775791, 0.2817742)),
        (Null(), 1.0, (0.4706554, 0.0, 0.5)),
    ],
    ids=repr,
)
def test_check_values(link, psi, expected):
    found = mm.limit(psi, link)
    np.testing.assert_allclose([found.margin, found.cosine, found.error], expected, rtol=1e-5, atol=1e-9)
    assert found.residual < 1e-12


@pytest.mark.parametrize(
    ("link", "density"),
    [
        (Logistic(5.0), lambda v: 2 * phi(v) * expit(5 * v)),
        (Logistic(80.0), lambda v: 2 * phi(v) * expit(80 * v)),
        (Probit(2.0), lambda v: 2 * phi(v) * ndtr(2 * v)),
        (Sign(), lambda v: 2 * phi(v) * (v > 0)),
        (Sign(0.1), lambda v: 2 * phi(v) * np.where(v > 0, 0.9, 0.1)),
    ],
    ids=["logistic", "strong logistic", "probit", "sign", "flips"],
)
def test_is_the_largest_level_over_angles(link, density):
    # The variational problem as it stands: adaptive quadrature, a root in k, a search over the angle.
    psi = 0.45

    def level(angle):
        c, s = np.cos(angle), np.sin(angle)

        def excess(k):
            kink = min(max(k / c, 0.0), 8.0)
            ends = sorted({-9.0, 0.0, 0.02, kink, 9.0})
            pieces = itertools.pairwise(ends)
            return sum(quad(lambda v: density(v) * half_square(k - c * v, s), *e, epsabs=1e-11)[0] for e in pieces)

        return brentq(lambda k: excess(k) - psi * s * s, -5, 5, xtol=1e-11)

    best = minimize_scalar(lambda a: -level(a), bounds=(0.05, 1.5), method="bounded", options={"xatol": 1e-6})
    found = mm.limit(psi, link)
    assert found.margin == pytest.approx(-best.fun, abs=1e-8)
    assert found.cosine == pytest.approx(np.cos(best.x), abs=1e-4)


@dataclass(frozen=True)
class NodesOfMixture:
    """A mixture by quadrature over V, in the way of the other links."""

    mean_norm: float

    def law(self):
        nodes = np.arange(-9, 9.001, 0.05) + self.mean_norm
        return Law(nodes, 0.05 * phi(nodes - self.mean_norm))

    def smoothed(self, t, s):
        return GaussianMixture(self.mean_norm).smoothed(t, s)


@pytest.mark.parametrize("m", [0.2, 1.0, 2.5])
def test_mixture_by_both_ways(m):
    one, other = mm.limit([0.5, 1.0, 5.0], GaussianMixture(m)), mm.limit([0.5, 1.0, 5.0], NodesOfMixture(m))
    assert mm.separability_threshold(NodesOfMixture(m)) == pytest.approx(
        mm.separability_threshold(GaussianMixture(m)), rel=1e-11
    )
    for field in ("margin", "cosine", "error"):
        np.testing.assert_allclose(getattr(other, field), getattr(one, field), rtol=1e-9)
    np.testing.assert_allclose(one.error, ndtr(-one.cosine * m), rtol=1e-12)
    # the explicit condition
    s2 = 1 - one.cosine**2
    np.testing.assert_allclose(half_square(one.margin - one.cosine * m, 1.0), [0.5, 1, 5] * s2, rtol=1e-12)


@pytest.mark.parametrize("link", LINKS, ids=repr)
def test_grid_of_aspect_ratios(link):
    border, best = threshold(link)
    low = border * np.array([0.5, 1.0]) if border > 0 else []
    psi = np.concatenate([low, border + np.geomspace(1e-9 if border > 0 else 1e-4, 100, 300)])
    found = mm.limit(psi, link)
    np.testing.assert_array_equal(found.separable, psi > border)
    above = found.separable
    assert found.residual[above].max() < 1e-12
    assert (np.diff(found.margin[above]) > 0).all()
    assert (found.margin[~above] == 0).all()
    assert np.isnan(found.error[~above]).all()
    assert ((found.error[above] > 0) & (found.error[above] < 0.5 + 1e-12)).all()
    # The margin leaves zero at the threshold, where the direction is t* of the threshold.
    assert found.margin[above][0] < 1e-3
    if np.isfinite(best):
        assert found.cosine[above][0] == pytest.approx(best / np.hypot(1, best), abs=1e-6)
    np.testing.assert_allclose(mm.limit(float(psi[150]), link).margin, found.margin[150], rtol=1e-12)
    np.testing.assert_allclose(found.margin[-1], np.sqrt(psi[-1]), rtol=0.12)  # all samples are support vectors


def test_cosine_at_the_threshold():
    _, best = threshold(Logistic(2.0))
    assert best / np.hypot(1, best) == pytest.approx(0.61546688, rel=1e-6)


@pytest.mark.parametrize(
    ("link", "psi"), [(Logistic(2.0), 1.0), (Sign(), 0.5), (Sign(0.2), 1.0), (GaussianMixture(1.0), 0.6)], ids=repr
)
def test_is_measured(link, psi):
    rng, n, repetitions = np.random.default_rng(0), 250, 24
    p = round(psi * n)
    margins, cosines = np.empty((2, repetitions))
    for k in range(repetitions):
        A = rows(link, n, p, rng)
        w = hard_margin(A)
        assert (A @ w).min() > 1 - 1e-8
        margins[k], cosines[k] = 1 / np.linalg.norm(w), w[0] / np.linalg.norm(w)
    theory = mm.limit(psi, link)
    for got, expected in ((margins, theory.margin), (cosines, theory.cosine)):
        error = got.std() / np.sqrt(repetitions)
        assert abs(got.mean() - expected) < 4 * error + 2 / n  # fails by chance once in 10,000


def test_general_covariance_check_value():
    n, p = 400, 800
    spectrum = np.arange(1, p + 1) ** -0.5
    found = mm.limit_covariance(spectrum / spectrum.mean(), np.ones(p), n, Logistic(2.0))
    np.testing.assert_allclose([found.margin, found.cosine, found.error], [1.0867193, 0.4169341, 0.3974068], rtol=1e-5)
    assert found.residual < 1e-12


@pytest.mark.parametrize("link", LINKS, ids=repr)
def test_general_covariance_of_equal_eigenvalues_is_isotropic(link):
    known = mm.limit(1.5, link)
    found = mm.limit_covariance(np.full(300, 4.0), np.ones(300), 200, link)
    assert found.margin == pytest.approx(2 * known.margin, rel=1e-9)
    assert found.cosine == pytest.approx(known.cosine, rel=1e-9, abs=1e-9)
    # also when the path starts elsewhere
    other = mm.limit_covariance(4.0 + 1e-6 * np.linspace(-1, 1, 300), np.ones(300), 200, link)
    assert other.margin == pytest.approx(2 * known.margin, rel=1e-5)


@pytest.mark.parametrize("link", [Logistic(3.0), Sign(), GaussianMixture(1.0)], ids=repr)
def test_general_covariance_is_measured(link):
    rng, n, p, repetitions = np.random.default_rng(1), 200, 300, 24
    spectrum = np.repeat([4.0, 0.25], [60, 240])
    theta = np.repeat([1.0, 3.0], [60, 240])
    inside = theta / np.sqrt(spectrum) if isinstance(link, GaussianMixture) else theta * np.sqrt(spectrum)
    inside /= np.linalg.norm(inside)
    # Draw white rows for the signal e_1, and turn e_1 to its place: a reflection.
    mirror = inside - np.eye(p)[0]
    margins, cosines = np.empty((2, repetitions))
    for k in range(repetitions):
        white = rows(link, n, p, rng)
        white -= np.outer(white @ mirror, mirror) * 2 / (mirror @ mirror)
        w = hard_margin(white * np.sqrt(spectrum))
        margins[k] = 1 / np.linalg.norm(w)
        outputs = w * np.sqrt(spectrum)
        cosines[k] = outputs @ inside / np.linalg.norm(outputs)
    theory = mm.limit_covariance(spectrum, theta, n, link)
    assert theory.residual < 1e-12
    assert abs(theory.margin / mm.limit(p / n, link).margin - 1) > 0.03  # the spectrum matters
    for got, expected in ((margins, theory.margin), (cosines, theory.cosine)):
        error = got.std() / np.sqrt(repetitions)
        assert abs(got.mean() - expected) < 4 * error + 2 / n  # fails by chance once in 10,000


def test_status_says_what_holds():
    assert mm.limit(1.0, Logistic(2.0)).status == "separable"
    below = mm.limit([0.1, 0.2, 1.0], Logistic(2.0))
    assert "2 of 3" in below.status
    assert "0.34493" in below.status
    assert "logistic_mle" in below.to_dict()["status"]
    assert "not separable" in repr(below)
    assert mm.limit_covariance(np.ones(20), np.ones(20), 100, Logistic(2.0)).separable is False


def test_public_names():
    assert mm.logistic_mle(0.1, Logistic(2.0)).cosine == pytest.approx(0.9167305, rel=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda: mm.limit(0.0, Sign()), ValueError, "aspect_ratio"),
        (lambda: mm.limit([1.0, -1.0], Sign()), ValueError, "aspect_ratio"),
        (lambda: mm.limit(np.nan, Sign()), ValueError, "aspect_ratio"),
        (lambda: mm.limit(np.inf, Sign()), ValueError, "aspect_ratio"),
        (lambda: mm.limit("1", Sign()), TypeError, "aspect_ratio"),
        (lambda: mm.limit(1.0, Sign), TypeError, "link"),
        (lambda: mm.separability_threshold(2.0), TypeError, "link"),
        (lambda: mm.limit_covariance([1.0, 0.0], [1, 1], 1, Sign()), ValueError, "eigenvalues"),
        (lambda: mm.limit_covariance([1.0, -1.0], [1, 1], 1, Sign()), ValueError, "eigenvalues"),
        (lambda: mm.limit_covariance([1.0, np.inf], [1, 1], 1, Sign()), ValueError, "eigenvalues"),
        (lambda: mm.limit_covariance([1.0, 1.0], [1.0], 1, Sign()), ValueError, "coefficients"),
        (lambda: mm.limit_covariance([1.0, 1.0], [0.0, 0.0], 1, Sign()), ValueError, "coefficients"),
        (lambda: mm.limit_covariance([1.0, 1.0], [1, 1], 0, Sign()), ValueError, "n"),
        (lambda: mm.limit_covariance([1.0, 1.0], [1, 1], [1, 2], Sign()), TypeError, "n"),
    ],
)
def test_bad_parameters_are_named(call, error, name):
    with pytest.raises(error, match=name):
        call()


def test_a_failed_solution_is_said():
    found = mm.limit(1.0, mm.Logistic(2.0))
    lost = replace(found, residual=np.nan)
    assert lost.status.startswith("not converged")
    assert found.status == "separable"
    below = mm.limit([0.1, 1.0], mm.Logistic(2.0))
    assert "1 of 2" in below.status
