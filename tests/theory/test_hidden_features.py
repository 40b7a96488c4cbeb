import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyphenom.theory import hidden_features as hf
from pyphenom.theory import ridge_regression as rr

RATIOS = st.floats(0.05, 20)
SHARES = st.floats(0.01, 1.0)


def excess(X, y, fresh, best, penalty=0.0):
    """Mean squared distance of the fit from the best predictor on fresh inputs."""
    rows = np.vstack([X, np.sqrt(penalty) * np.eye(X.shape[1])])
    fit = np.linalg.lstsq(rows, np.append(y, np.zeros(X.shape[1])))[0]
    return np.mean((fresh @ fit - best) ** 2)


def test_misspecified_check_values():
    found = hf.misspecified_risk([0.5, 2.0], 0.6, noise_variance=0.25).total
    np.testing.assert_allclose(found, [1.05, 1.35], rtol=1e-12)


@given(RATIOS.filter(lambda g: abs(g - 1) > 1e-3), SHARES, st.floats(0.1, 4), st.floats(0, 2))
def test_misspecified_is_the_finite_sample_formula_at_large_n(gamma, q, signal, noise):
    # Belkin, Hsu and Xu at fixed coordinates, n so large that n - 1 and n are the same
    n = 10**9
    exact = rr.finite_sample_risk(n, int(gamma * n), q * signal, (1 - q) * signal, noise)
    found = hf.misspecified_risk(gamma, q, 0.0, signal, noise)
    assert found.total == pytest.approx(exact.total, rel=1e-4)
    assert found.variance == pytest.approx(exact.variance, rel=1e-4)


@given(RATIOS, st.floats(0, 5), st.floats(0, 2))
def test_all_visible_is_well_specified(gamma, ridge, noise):
    found, known = hf.misspecified_risk(gamma, 1.0, ridge, 1.5, noise), rr.isotropic_risk(gamma, ridge, 1.5, noise)
    assert found.total == pytest.approx(known.total, rel=1e-12)


def test_misspecified_with_a_ridge_is_measured():
    rng = np.random.default_rng(0)
    n, p, hidden, repetitions = 200, 300, 200, 60
    errors = []
    for _ in range(repetitions):
        beta = rng.standard_normal(p + hidden)
        beta[:p] *= np.sqrt(0.7) / np.linalg.norm(beta[:p])
        beta[p:] *= np.sqrt(0.3) / np.linalg.norm(beta[p:])
        X = rng.standard_normal((n, p + hidden))
        y = X @ beta + 0.5 * rng.standard_normal(n)
        fresh = rng.standard_normal((500, p + hidden))
        errors.append(excess(X[:, :p], y, fresh[:, :p], fresh @ beta, penalty=n * 0.2))
    theory = hf.misspecified_risk(1.5, 0.7, 0.2, 1.0, 0.25).total
    error = np.std(errors) / np.sqrt(repetitions)
    assert abs(np.mean(errors) - theory) < 4 * error + 0.01 * theory  # fails by chance once in 10,000


def test_visible_share():
    np.testing.assert_allclose(hf.visible_share([1e-12, 1.0], [2.0, 1.0]), [2e-12, 0.5], rtol=1e-10)


def test_latent_space_check_value():
    found = hf.latent_space_risk(2.0, 0.25, 1.0, noise_variance=0.1)
    # the paper's split counts what x does not tell about z as noise
    assert found.total == pytest.approx(0.0898979486 + 0.3674234614, abs=1e-9)


@given(RATIOS, st.floats(0.02, 1.0), st.floats(0.01, 5), st.floats(1e-3, 3), st.floats(0, 1))
def test_latent_space_is_a_general_covariance(gamma, psi, mu, ridge, noise):
    p, d = 2000, max(1, round(2000 * psi))
    psi, n = d / p, p / gamma
    e = 1 + mu / psi
    eigenvalues = np.repeat([e, 1.0], [d, p - d])
    beta = np.repeat([np.sqrt(mu / psi / e**2 / d), 0.0], [d, p - d])
    known = rr.risk(eigenvalues, beta, n, ridge, noise + 1 / e)
    found = hf.latent_space_risk(gamma, psi, mu, ridge, 1.0, noise)
    assert found.total == pytest.approx(known.total, rel=1e-9)
    assert found.residual < 1e-12


def test_latent_space_is_measured():
    rng = np.random.default_rng(1)
    n, p, d, mu, repetitions = 150, 300, 75, 1.0, 60
    errors = []
    for _ in range(repetitions):
        theta = rng.standard_normal(d)
        theta /= np.linalg.norm(theta)
        W = np.linalg.qr(rng.standard_normal((p, d)))[0] * np.sqrt(p * mu / d)
        best = W @ theta / (1 + mu * p / d)
        Z, fresh = rng.standard_normal((n, d)), rng.standard_normal((500, d))
        X, fresh = Z @ W.T + rng.standard_normal((n, p)), fresh @ W.T + rng.standard_normal((500, p))
        errors.append(excess(X, Z @ theta + np.sqrt(0.1) * rng.standard_normal(n), fresh, fresh @ best))
    theory = hf.latent_space_risk(2.0, 0.25, mu, noise_variance=0.1).total
    error = np.std(errors) / np.sqrt(repetitions)
    assert abs(np.mean(errors) - theory) < 4 * error + 0.02 * theory  # fails by chance once in 10,000


def test_latent_space_extremes():
    assert hf.latent_space_risk(1.0, 0.5, 1.0).total == np.inf
    assert hf.latent_space_risk(2.0, 1.0, 0.0, signal_power=1.0).total == pytest.approx(1.0)  # x tells nothing
    assert hf.latent_space_risk(2.0, 0.3, 1.0, ridge=np.inf).total == pytest.approx((1 / 0.3) / (1 + 1 / 0.3))
    grid = hf.latent_space_risk(np.ones((3, 1)), 0.5, [0.5, 1.0], ridge=0.1)
    assert np.shape(grid.total) == (3, 2)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: hf.misspecified_risk(1.0, 1.5), "visible_share"),
        (lambda: hf.misspecified_risk(0.0, 0.5), "aspect_ratio"),
        (lambda: hf.latent_space_risk(1.0, 2.0, 1.0), "latent_ratio"),
        (lambda: hf.latent_space_risk(1.0, 0.5, -1.0), "feature_signal"),
        (lambda: hf.visible_share(1.0, np.nan), "exponent"),
        (lambda: hf.latent_space_risk(np.ones(2), np.full(3, 0.5), 1.0), "aspect_ratio"),
    ],
)
def test_bad_parameters_are_named(call, name):
    with pytest.raises(ValueError, match=name):
        call()
