import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyphenom.theory import fixed_design as fd
from pyphenom.theory import ridge_regression as rr


def definition(X, penalty, signal, noise):
    """Trace form of the mean over direction and noise, by matrices."""
    d = X.shape[1]
    A = np.linalg.solve(X.T @ X + penalty * np.eye(d), X.T) if penalty else np.linalg.pinv(X)
    missed = np.eye(d) - A @ X
    return signal / d * np.sum(missed**2) + noise * np.sum(A**2)


@pytest.mark.parametrize("shape", [(7, 4), (4, 7), (5, 5), (1, 3), (3, 1)])
@pytest.mark.parametrize("penalty", [0.0, 1e-3, 1.0, 50.0])
def test_definition(shape, penalty):
    X = np.random.default_rng(sum(shape)).standard_normal(shape)
    singular = np.linalg.svd(X, compute_uv=False)
    found = fd.risk(singular, shape[1], penalty, 2.0, 0.3).total
    assert found == pytest.approx(definition(X, penalty, 2.0, 0.3), rel=1e-10)


def test_rank_deficient_designs_leave_directions_out():
    X = np.random.default_rng(0).standard_normal((6, 4))
    X[:, 3] = X[:, 0]
    found = fd.risk(np.linalg.svd(X, compute_uv=False), 4, 0.0, 1.0, 0.5).total
    assert found == pytest.approx(definition(X, 0.0, 1.0, 0.5), rel=1e-9)


@given(st.floats(0.05, 5), st.floats(0.05, 5), st.floats(1.05, 20))
def test_no_other_penalty_is_better(signal, noise, factor):
    singular = np.linalg.svd(np.random.default_rng(3).standard_normal((9, 6)), compute_uv=False)
    best = fd.optimal_penalty(6, signal, noise)
    at_best = fd.risk(singular, 6, best, signal, noise).total
    assert at_best < fd.risk(singular, 6, best * factor, signal, noise).total
    assert at_best < fd.risk(singular, 6, best / factor, signal, noise).total
    # the closed form of the optimum
    assert at_best == pytest.approx(noise * np.sum(1 / (singular**2 + best)), rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_a_further_sample_never_hurts_at_the_best_penalty(seed):
    X = np.random.default_rng(seed).standard_normal((40, 10))
    best = fd.optimal_penalty(10, 1.0, 0.5)
    tuned, ridgeless = [], []
    for n in range(1, 41):
        singular = np.linalg.svd(X[:n], compute_uv=False)
        tuned.append(fd.risk(singular, 10, best, 1.0, 0.5).total)
        ridgeless.append(fd.risk(singular, 10, 0.0, 1.0, 0.5).total)
    assert (np.diff(tuned) <= 1e-12).all()
    assert max(np.diff(ridgeless)) > 0.1  # without it one does: sample-wise double descent


def test_large_gaussian_designs_follow_the_asymptotic_risk():
    n, d = 1200, 600
    singular = np.linalg.svd(np.random.default_rng(5).standard_normal((n, d)), compute_uv=False)
    for ridge in (0.0, 0.1):
        theory = rr.isotropic_risk(d / n, ridge, 1.0, 0.25).total
        assert fd.risk(singular, d, n * ridge, 1.0, 0.25).total == pytest.approx(theory, rel=0.02)
    assert fd.optimal_penalty(d, 1.0, 0.25) == n * rr.optimal_ridge(d / n, 1.0, 0.25)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: fd.risk([1.0, 2.0], 1), "dimension"),
        (lambda: fd.risk([1.0], 2.5), "dimension"),
        (lambda: fd.risk([-1.0], 2), "singular_values"),
        (lambda: fd.risk([1.0], 2, penalty=-1.0), "penalty"),
        (lambda: fd.optimal_penalty(0), "dimension"),
    ],
)
def test_bad_parameters_are_named(call, name):
    with pytest.raises(ValueError, match=name):
        call()
