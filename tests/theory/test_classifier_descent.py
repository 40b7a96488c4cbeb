import numpy as np
import pytest
from scipy.optimize import nnls
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from pyphenom.theory import classifier_descent as cd
from pyphenom.theory import max_margin as mm
from pyphenom.theory.links import GaussianMixture, Logistic, Null, Probit, Sign

LINKS = [Logistic(1.0), Logistic(5.0), Logistic(1.0, 2.0), Probit(2.0), Sign(0.1), GaussianMixture(1.0), Null()]


@pytest.mark.parametrize("link", LINKS, ids=repr)
def test_direction_is_continuous_at_the_threshold(link):
    border = mm.separability_threshold(link)
    found = cd.descent_limit(border * np.array([1 - 1e-7, 1.0, 1 + 1e-7]), link)
    np.testing.assert_array_equal(found.separable, [False, False, True])
    np.testing.assert_allclose(np.diff(found.cosine), 0, atol=1e-5)
    np.testing.assert_allclose(np.diff(found.error), 0, atol=1e-5)


def test_double_descent_check_values():
    psi = [0.1, 0.3, 0.4, 0.45, 0.5, 1, 2, 8]
    expected = [0.4553393, 0.4383541, 0.4396549, 0.4481965, 0.4454707, 0.4300141, 0.4241057, 0.4424527]
    found = cd.double_descent(psi, 3.0)
    np.testing.assert_allclose(found.error, expected, rtol=1e-5)
    np.testing.assert_array_equal(found.separable, np.array(psi) > 0.448295)
    assert found.residual.max() < 1e-9
    assert cd.interpolation_threshold(3.0) == pytest.approx(0.448295, rel=1e-5)


def test_double_descent_has_two():
    kink = cd.interpolation_threshold(3.0)
    psi = np.union1d(kink, np.geomspace(0.05, 8, 30))
    error = cd.double_descent(psi, 3.0).error
    at = int(np.searchsorted(psi, kink))
    assert error[at] > error[:at].min() + 0.005
    assert error[at] > error[at + 1 :].min() + 0.02
    assert np.argmax(error[at - 2 : at + 3]) == 2
    around = cd.double_descent([kink * (1 - 1e-6), kink * (1 + 1e-6)], 3.0).error
    np.testing.assert_allclose(around, error[at], atol=1e-4)


def hard_margin(A):
    """Return argmin |w| subject to Aw >= 1 by least-distance programming (Lawson and Hanson 1974, chapter 23)."""
    n, p = A.shape
    dual, _ = nnls(np.vstack([A.T, np.ones(n)]), np.append(np.zeros(p), 1.0), maxiter=50 * n)
    return A.T @ dual / (1.0 - dual.sum())


def test_double_descent_is_measured():
    # n is small, so the kink is smeared: one point on each side of it, and one far beyond.
    rng, n, r, repetitions = np.random.default_rng(0), 200, 3.0, 30
    for psi in (0.25, 1.0, 4.0):
        p = round(psi * n)
        share = 1 - 1 / (1 + psi)
        errors = np.empty(repetitions)
        for k in range(repetitions):
            x, hidden = rng.standard_normal((n, p)), rng.standard_normal(n)
            chance = expit(r * (np.sqrt(share) * x[:, 0] + np.sqrt(1 - share) * hidden))
            y = np.where(rng.random(n) < chance, 1.0, -1.0)
            if psi > 0.5:
                w = hard_margin(y[:, None] * x)
            else:
                w = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-8, max_iter=1000).fit(x, y).coef_[0]
            errors[k] = Logistic(r * np.sqrt(share), r * np.sqrt(1 - share)).law().error(w[0] / np.linalg.norm(w))
        noise = errors.std() / np.sqrt(repetitions)
        assert abs(errors.mean() - cd.double_descent(psi, r).error) < 4 * noise + 1 / n  # by chance once in 10,000


def test_shapes_and_types():
    assert isinstance(cd.descent_limit(0.1, Logistic(2.0)).to_dict()["error"], float)
    assert cd.double_descent(1.0, 3.0).separable is True
    assert cd.double_descent([[0.1, 1.0]], 3.0).error.shape == (1, 2)
    assert "separable" in repr(cd.descent_limit([0.1, 1.0], Sign()))


@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda: cd.descent_limit(-1.0, Null()), ValueError, "aspect_ratio"),
        (lambda: cd.double_descent(0.0, 1.0), ValueError, "aspect_ratio"),
        (lambda: cd.double_descent(1.0, -1.0), ValueError, "signal"),
        (lambda: cd.double_descent(1.0, [1.0, 2.0]), TypeError, "signal"),
        (lambda: cd.interpolation_threshold(1.0, 0.0), ValueError, "decay"),
    ],
)
def test_bad_parameters_are_named(call, error, name):
    with pytest.raises(error, match=name):
        call()
