import numpy as np
import pytest
from scipy.optimize import brentq, root
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from pyphenom.theory import logistic_regression as lr
from pyphenom.theory import max_margin as mm
from pyphenom.theory._separability import threshold
from pyphenom.theory.links import GaussianMixture, Logistic, Null, Probit, Sign

LINKS = [Logistic(1.0), Logistic(5.0), Logistic(1.0, 2.0), Probit(2.0), Sign(0.1), GaussianMixture(1.0), Null()]


def gauss(step):
    z = np.arange(-8.6, 8.61, step)
    return z, step * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)


def prox(q, step):
    """Solve pi - step s(-pi) = q by bisection."""
    low, high = q.copy(), q + step
    for _ in range(80):
        middle = (low + high) / 2
        beyond = middle - step * expit(-middle) > q
        low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
    return (low + high) / 2


def three_equations(found, psi, link, ridge=0.0):
    """The system as it stands, on a plain grid over V and Z; the right sides are scaled to one."""
    law, (z, weights) = link.law(), gauss(0.1)
    v, mass = law.nodes[:, None], law.weights[:, None]
    if law.jitter:
        v, mass = (array[:, None] for array in gauss(0.1))
        v = v + law.nodes[0]
    chance = mass * weights
    pi = prox(found.alignment * v + found.spread * z, found.proximal)
    e, h = expit(-pi), expit(pi) * expit(-pi)
    bend = found.proximal * h / (1 + found.proximal * h)
    return np.array(
        [
            (chance * v * e).sum() - ridge * found.alignment,
            (found.proximal / found.spread) ** 2 * (chance * e**2).sum() - psi,
            (chance * bend).sum() - psi + ridge * found.proximal,
        ]
    )


def sample(link, n, p, rng):
    """Draw inputs and labels for the signal e_1."""
    x = rng.standard_normal((n, p))
    if isinstance(link, GaussianMixture):
        y = np.where(rng.random(n) < 0.5, 1.0, -1.0)
        x[:, 0] += y * link.mean_norm
        return x, y
    if isinstance(link, Sign):
        chance = np.where(x[:, 0] > 0, 1 - link.flip_rate, link.flip_rate)
    else:
        chance = expit(link.strength * x[:, 0] + link.hidden * rng.standard_normal(n))
    return x, np.where(rng.random(n) < chance, 1.0, -1.0)


def fit(x, y, ridge=0.0):
    """Minimise the mean loss plus ridge |w|^2 / 2."""
    inverse = 1 / (len(y) * ridge) if ridge else np.inf
    model = LogisticRegression(C=inverse, fit_intercept=False, solver="newton-cholesky", tol=1e-8, max_iter=1000)
    return model.fit(x, y).coef_[0]


@pytest.mark.parametrize(
    ("psi", "strength", "expected"),
    [
        (0.2, 5**0.5, (1.4993501, 4.7435532, 3.0269262, 0.8450426, 0.2654805)),
        (0.1, 5**0.5, (1.1677817, 3.3465643, 0.9604942, 0.9267805, 0.2356265)),
        (0.1, 2.0, (1.1571663, 3.1893891, 0.8801483, 0.9167305, 0.2529799)),
    ],
)
def test_check_values(psi, strength, expected):
    found = lr.logistic_mle(psi, Logistic(strength))
    got = [found.alignment / strength, found.spread / psi**0.5, found.proximal, found.cosine, found.error]
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    assert found.residual < 1e-12


def test_check_value_of_a_mixture():
    assert lr.logistic_mle(0.15, GaussianMixture(1.0)).cosine == pytest.approx(0.8319802, rel=1e-6)


@pytest.mark.parametrize(("psi", "gamma"), [(0.05, 1.0), (0.2, 5**0.5), (0.1, 2.0), (0.3, 2.0)])
def test_the_system_of_sur_and_candes_has_the_same_solution(psi, gamma):
    z, weights = gauss(0.1)
    z1, z2, chance = z[:, None], z[None, :], weights[:, None] * weights

    def system(x):  # equation (5) of Sur and Candes 2019
        alpha, sigma, step = x[0], np.exp(x[1]), np.exp(x[2])
        q1, q2 = gamma * z1, -alpha * gamma * z1 + np.sqrt(psi) * sigma * z2
        pi = -prox(-q2, step)  # the prox of log(1 + e^t), mirror image of that of the loss
        moved, slope = step * expit(pi), expit(pi) * expit(-pi)
        return [
            (chance * 2 * expit(q1) * moved**2).sum() / psi**2 / sigma**2 - 1,
            (chance * expit(q1) * q1 * moved).sum(),
            (chance * 2 * expit(q1) / (1 + step * slope)).sum() - 1 + psi,
        ]

    found = lr.logistic_mle(psi, Logistic(gamma))
    ours = np.array([found.alignment / gamma, np.log(found.spread / psi**0.5), np.log(found.proximal)])
    theirs = root(system, ours + np.array([0.05, -0.05, 0.05]), options={"xtol": 1e-13}).x
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("link", LINKS, ids=repr)
@pytest.mark.parametrize("share", [0.1, 0.6, 0.95])
def test_all_three_equations_hold(link, share):
    psi = share * mm.separability_threshold(link)
    np.testing.assert_allclose(three_equations(lr.logistic_mle(psi, link), psi, link), 0, atol=1e-9)


@pytest.mark.parametrize("link", LINKS, ids=repr)
@pytest.mark.parametrize(("psi", "ridge"), [(0.1, 0.01), (0.4, 1e-3), (1.0, 0.1), (4.0, 3.0)])
def test_all_three_equations_hold_with_a_ridge(link, psi, ridge):
    found = lr.logistic_ridge(psi, link, ridge)
    np.testing.assert_allclose(three_equations(found, psi, link, ridge), 0, atol=1e-9)
    assert found.residual < 1e-12


@pytest.mark.parametrize("link", [*LINKS, Logistic(30.0), Sign(1e-3), GaussianMixture(3.0)], ids=repr)
def test_sweep_up_to_the_threshold_misses_no_root(link):
    border, best = threshold(link)
    psi = np.concatenate([np.geomspace(1e-3, 0.89, 40) * border, border * (1 - np.geomspace(0.1, 1e-9, 60))])
    found = lr.logistic_mle(psi, link)
    assert found.residual.max() < 1e-9
    assert found.status == "converged"
    assert (np.diff(found.spread) > 0).all()
    assert (np.diff(found.error) > -1e-14).all()
    # The direction tends to that of the threshold, at a rate close to the first order of the distance.
    limit = best / np.hypot(1, best)
    gap = np.abs(found.cosine - limit)
    assert gap[-1] < 1e-6
    distance = 1 - psi / border
    near = (distance < 1e-3) & (distance > 1e-6)
    if limit > 0:
        rate = np.polyfit(np.log(distance[near]), np.log(gap[near]), 1)[0]
        assert 0.8 < rate < 1.05


@pytest.mark.parametrize("link", LINKS, ids=repr)
def test_many_samples_give_the_best_coefficients(link):
    law = link.law()
    if law.jitter:
        best = 2 * link.mean_norm if isinstance(link, GaussianMixture) else 0.0  # the log odds of a mixture are linear
    else:
        best = brentq(lambda m: law.weights @ (law.nodes * expit(-m * law.nodes)), 0, 50)
    found = lr.logistic_mle(1e-6, link)
    assert found.alignment == pytest.approx(best, rel=1e-4, abs=1e-9)
    assert found.cosine == pytest.approx(1 if best else 0, abs=1e-4)
    if isinstance(link, Logistic) and link.hidden == 0:
        assert best == pytest.approx(link.strength)  # well specified


@pytest.mark.parametrize(
    ("link", "psi"), [(Logistic(5**0.5), 0.2), (GaussianMixture(1.0), 0.15), (Sign(0.15), 0.15)], ids=repr
)
def test_maximum_likelihood_is_measured(link, psi):
    rng, n, repetitions = np.random.default_rng(0), 800, 24
    fits = np.array([fit(*sample(link, n, round(psi * n), rng)) for _ in range(repetitions)])
    theory = lr.logistic_mle(psi, link)
    spread = np.linalg.norm(fits[:, 1:], axis=1)
    for got, expected in ((fits[:, 0], theory.alignment), (spread, theory.spread)):
        error = got.std() / np.sqrt(repetitions)
        # bias of relative order 1/n, times how near the threshold is; fails by chance once in 10,000
        assert abs(got.mean() - expected) < 4 * error + 10 / n * expected
    assert np.mean(fits[:, 0] / np.hypot(fits[:, 0], spread)) == pytest.approx(theory.cosine, abs=0.01)


@pytest.mark.parametrize("link", [Logistic(2.0), Logistic(1.5, 2.0), GaussianMixture(1.0), Sign(0.1)], ids=repr)
@pytest.mark.parametrize(("psi", "ridge"), [(0.2, 0.05), (0.5, 1e-3), (2.0, 0.1)])
def test_ridge_is_measured(link, psi, ridge):
    rng, n, repetitions = np.random.default_rng(1), 200, 20
    fits = np.array([fit(*sample(link, n, round(psi * n), rng), ridge) for _ in range(repetitions)])
    theory = lr.logistic_ridge(psi, link, ridge)
    spread = np.linalg.norm(fits[:, 1:], axis=1)
    for got, expected in ((fits[:, 0], theory.alignment), (spread, theory.spread)):
        error = got.std() / np.sqrt(repetitions)
        assert abs(got.mean() - expected) < 4 * error + 3 / n * expected  # fails by chance once in 10,000


def test_without_a_signal_the_measured_estimate_points_nowhere():
    found = lr.logistic_ridge([0.2, 2.0], Null(), 0.1)
    np.testing.assert_allclose(found.cosine, 0, atol=1e-15)
    np.testing.assert_allclose(found.error, 0.5)


@pytest.mark.parametrize("link", LINKS, ids=repr)
def test_a_small_ridge_is_maximum_likelihood_below_the_threshold(link):
    psi = np.array([0.05, 0.5, 0.9]) * mm.separability_threshold(link)
    known, found = lr.logistic_mle(psi, link), lr.logistic_ridge(psi, link, 1e-10)
    for field in ("alignment", "spread", "proximal", "error"):
        np.testing.assert_allclose(getattr(found, field), getattr(known, field), rtol=3e-6, atol=1e-15)


@pytest.mark.parametrize("link", [Logistic(2.0), Sign(), Sign(0.1), GaussianMixture(1.0)], ids=repr)
def test_a_small_ridge_is_the_max_margin_above_the_threshold(link):
    # The distance is of order 1/log(1/r): extrapolated from two ridges it is smaller by another order.
    psi, logs = np.array([0.6, 3.0]), np.log(10) * np.array([10.0, 20.0])
    known = mm.limit(psi, link)
    near, nearer = (lr.logistic_ridge(psi, link, np.exp(-size)) for size in logs)
    assert max(near.residual.max(), nearer.residual.max()) < 1e-9
    first, second = (np.abs(found.cosine - known.cosine) for found in (near, nearer))
    assert (second < 0.6 * first).all()
    extrapolated = (logs[1] * nearer.cosine - logs[0] * near.cosine) / (logs[1] - logs[0])
    np.testing.assert_allclose(extrapolated, known.cosine, atol=1e-3)
    assert (first > 2e-3).any()  # which the extrapolation has to remove


def test_a_large_ridge_averages_the_samples():
    # theta = mean(y x) / (2 r)
    psi, ridge, link = np.array([0.2, 3.0]), 1e5, Logistic(2.0)
    found = lr.logistic_ridge(psi, link, ridge)
    np.testing.assert_allclose(found.alignment, link.law().mean / (2 * ridge), rtol=1e-4)
    np.testing.assert_allclose(found.spread, np.sqrt(psi) / (2 * ridge), rtol=1e-4)


def test_statuses_and_shapes():
    found = lr.logistic_mle([[0.1, 0.2], [0.4, 0.5]], Logistic(2.0))
    assert found.alignment.shape == (2, 2)
    assert "2 of 4" in found.status
    assert "max_margin.limit" in found.to_dict()["status"]
    assert np.isinf(found.spread[1]).all()
    assert np.isnan(found.error[1]).all()
    assert "max_margin.limit" in lr.logistic_mle(0.1, Sign()).status  # always separable
    assert lr.logistic_ridge([[0.5], [2.0]], Logistic(2.0), [0.1, 1.0, 10.0]).error.shape == (2, 3)
    assert isinstance(lr.logistic_mle(0.1, Logistic(2.0)).error, float)


@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda: lr.logistic_mle(0.0, Null()), ValueError, "aspect_ratio"),
        (lambda: lr.logistic_mle(np.nan, Null()), ValueError, "aspect_ratio"),
        (lambda: lr.logistic_mle(0.1, Logistic), TypeError, "link"),
        (lambda: lr.logistic_ridge(1.0, Null(), 0.0), ValueError, "ridge"),
        (lambda: lr.logistic_ridge(-1.0, Null(), 1.0), ValueError, "aspect_ratio"),
        (lambda: lr.logistic_ridge([1.0, 2.0], Null(), [1.0, 2.0, 3.0]), ValueError, "broadcast"),
    ],
)
def test_bad_parameters_are_named(call, error, name):
    with pytest.raises(error, match=name):
        call()


def test_classes_too_far_apart_are_refused():
    with pytest.raises(ValueError, match="mean_norm: got 40"):
        lr.logistic_ridge(1.0, GaussianMixture(40.0), 0.1)
