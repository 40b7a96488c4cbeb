import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import expm

from pyphenom.theory import effective_parameters as ep
from pyphenom.theory import fixed_design, gradient_flow, ridge_regression

POSITIVE = st.floats(1e-3, 1e3)


def design(n, p, seed=0):
    X = np.random.default_rng(seed).standard_normal((n, p))
    return X, np.clip(np.linalg.eigvalsh(X @ X.T / n), 0, None)


def hat_matrices(X, strength, time, step, steps):
    """S of ridge, flow, descent and minimum norm from their definitions, without a spectrum."""
    n, p = X.shape
    descended = np.zeros((p, n))  # the weights that each unit label vector leads to
    for _ in range(steps):
        descended -= step * X.T @ (X @ descended - np.eye(n)) / n
    return (
        X @ np.linalg.solve(X.T @ X + n * strength * np.eye(p), X.T),
        np.eye(n) - expm(-time * X @ X.T / n),
        X @ descended,
        X @ np.linalg.pinv(X),
    )


# -- counts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(12, 5), (5, 12), (8, 8)])
def test_counts_are_traces_of_hat_matrices(shape):
    X, s = design(*shape)
    step, steps, strength, time = 1.7 / s.max(), 7, 0.3, 0.8
    shares = (
        ep.ridge_shares(s, strength),
        ep.flow_shares(s, time),
        ep.descent_shares(s, step, steps),
        ep.ridge_shares(s, 0.0),
    )
    for S, f in zip(hat_matrices(X, strength, time, step, steps), shares, strict=True):
        found = ep.counts(f)
        assert found.trace == pytest.approx(np.trace(S), rel=1e-10)
        assert found.squares == pytest.approx(np.sum(S**2), rel=1e-10)
    assert ep.counts(shares[-1]).trace == min(shape)  # the rank, not the number of weights


def test_limits_of_the_shares():
    _, s = design(6, 4)
    np.testing.assert_array_equal(ep.ridge_shares(s, 0.0), ep.flow_shares(s, np.inf))
    for nothing in (ep.ridge_shares(s, np.inf), ep.flow_shares(s, 0.0), ep.descent_shares(s, 0.1, 0)):
        np.testing.assert_array_equal(nothing, 0.0)
    small = ep.descent_shares([1e-12], 1.0, 1000)  # 1 - (1 - x)^k of a small x
    assert small[0] == pytest.approx(1e-9, rel=1e-8)
    # Small steps are the flow, to first order in the step.
    np.testing.assert_allclose(ep.descent_shares(s, 1e-5, 10**5), ep.flow_shares(s, 1.0), atol=1e-4)


@given(st.lists(POSITIVE, min_size=1, max_size=8), POSITIVE)
def test_the_trace_is_the_larger_count(eigenvalues, x):
    for shares in (ep.ridge_shares(eigenvalues, x), ep.flow_shares(eigenvalues, x)):
        found = ep.counts(shares)
        assert 0 <= found.squares <= found.trace <= len(eigenvalues)


def test_the_hessian_counts_what_the_trace_does():
    X, s = design(20, 7)
    hessian = np.linalg.eigvalsh(X.T @ X / 20)  # of half the mean square
    assert ep.hessian_count(hessian, 0.2) == pytest.approx(ep.counts(ep.ridge_shares(s, 0.2)).trace, rel=1e-10)
    assert ep.hessian_count(hessian, 0.0) == 7.0


@pytest.mark.parametrize("ratio", [0.5, 2.0])
def test_the_expected_count_is_that_of_a_large_design(ratio):
    n = 800
    _, s = design(n, round(ratio * n))
    for strength in (0.03, 1.0):
        expected = ep.expected_count(np.ones(round(ratio * n)), n, strength)
        # Traces of resolvents fluctuate by a bounded number, whatever n; four decimals of several hundred.
        assert ep.counts(ep.ridge_shares(s, strength)).trace == pytest.approx(expected, abs=1.0)


# -- errors -----------------------------------------------------------------------------------------------------------


def test_in_sample_risk_is_that_of_the_matrices():
    X, s = design(10, 6, seed=3)
    mean, noise = np.random.default_rng(1).standard_normal(10), 0.7
    s, U = np.linalg.eigh(X @ X.T / 10)
    s = np.clip(s, 0, None)
    matrices = hat_matrices(X, 0.3, 0.8, 0.1, 5)
    shares = (ep.ridge_shares(s, 0.3), ep.flow_shares(s, 0.8), ep.descent_shares(s, 0.1, 5))
    for S, f in zip(matrices[:3], shares, strict=True):
        found = ep.in_sample_risk(f, (U.T @ mean) ** 2, noise)
        assert found.bias == pytest.approx(np.sum((mean - S @ mean) ** 2) / 10, rel=1e-9)
        assert found.variance == pytest.approx(noise * np.sum(S**2) / 10, rel=1e-9)


def test_optimism_is_measured():
    """Fresh less training error of ridge regression; 4 standard errors, which chance exceeds once in 10^4."""
    X, s = design(30, 20)
    rng, noise, draws = np.random.default_rng(5), 0.5, 4000
    S = hat_matrices(X, 0.3, 1.0, 0.1, 1)[0]
    mean = rng.standard_normal(30)
    labels, fresh = (mean[:, None] + np.sqrt(noise) * rng.standard_normal((30, draws)) for _ in range(2))
    rise = ((fresh - S @ labels) ** 2 - (labels - S @ labels) ** 2).mean(axis=0)
    expected = ep.optimism(ep.counts(ep.ridge_shares(s, 0.3)).trace, 30, noise)
    assert abs(rise.mean() - expected) < 4 * rise.std() / np.sqrt(draws)
    assert abs(rise.mean() - ep.optimism(20, 30, noise)) > 10 * rise.std() / np.sqrt(draws)  # 20 weights


@given(st.floats(0.1, 5), POSITIVE, st.floats(0, 3))
def test_cross_validation_inverts_the_training_error(ratio, strength, noise):
    """In the limit of large n and p, with closed forms on both sides."""
    s, n, beta = np.ones(100), 100 / ratio, np.full(100, 0.1)
    train = ridge_regression.training_error(s, beta, n, strength, noise)
    told = ep.cross_validated_error(train, ep.expected_count(s, n, strength), n)
    assert told == pytest.approx(ridge_regression.risk(s, beta, n, strength, noise).total + noise, rel=1e-7)


# -- when to stop -----------------------------------------------------------------------------------------------------


@given(POSITIVE, st.floats(0.01, 100), st.floats(0.01, 100))
def test_no_other_time_is_better_in_a_mode(eigenvalue, power, noise):
    risk = lambda t: ep.in_sample_risk(ep.flow_shares([eigenvalue], t), [power], noise).total  # noqa: E731
    best = ep.mode_stopping([eigenvalue], [power], noise)[0]
    assert risk(best) <= min(risk(0.9 * best), risk(1.1 * best))
    assert risk(best) == pytest.approx(power * noise / (power + noise), rel=1e-9)  # the Wiener filter
    ridge = ep.in_sample_risk(ep.ridge_shares([eigenvalue], eigenvalue * noise / power), [power], noise)
    assert ridge.total == pytest.approx(risk(best), rel=1e-9)


def test_ends_of_the_time_of_a_mode():
    found = ep.mode_stopping([1.0, 1.0, 0.0], [0.0, 1.0, 1.0], 0.0)
    np.testing.assert_array_equal(found, [0.0, np.inf, np.inf])
    np.testing.assert_array_equal(ep.mode_stopping([1.0], [0.0], 2.0), [0.0])


@pytest.mark.parametrize(("power", "noise", "expected"), [(0.0, 1.0, 0.0), (1.0, 0.0, np.inf)])
def test_whole_spectra_stop_at_once_without_a_signal_and_never_without_noise(power, noise, expected):
    _, s = design(12, 5)
    targets = np.where(s > 1e-9, power, 0.0)
    risk_at = lambda t: ep.in_sample_risk(ep.flow_shares(s, t), targets, noise)  # noqa: E731
    assert gradient_flow.optimal_stopping(risk_at).time == expected


def test_equal_modes_stop_when_each_would():
    n = 9
    risk_at = lambda t: ep.in_sample_risk(ep.flow_shares(np.full(n, 2.0), t), np.full(n, 3.0), 0.5)  # noqa: E731
    best = gradient_flow.optimal_stopping(risk_at)
    assert best.time == pytest.approx(ep.mode_stopping([2.0], [3.0], 0.5)[0], rel=1e-6)


# -- flow against ridge -----------------------------------------------------------------------------------------------


def test_the_constant_is_the_maximum():
    """The ratio is stationary where e^x = 1 + x + x^2; there it has a form without the exponential."""
    x = sympy.symbols("x", positive=True)
    root_ratio = (1 - sympy.exp(-x)) * (1 + x) / x
    stationary = sympy.simplify(sympy.diff(root_ratio, x) * x**2 * sympy.exp(x) - (1 + x + x**2 - sympy.exp(x)))
    assert stationary == 0
    at = sympy.nsolve(sympy.exp(x) - 1 - x - x**2, 1.8, prec=30)
    assert at == pytest.approx(1.7932821329007610)
    value = (root_ratio**2).subs(x, at).evalf(25)
    assert abs(value - (((1 + x) ** 2 / (1 + x + x**2)) ** 2).subs(x, at)) < 1e-20
    assert float(value) == pytest.approx(ep.FLOW_TO_RIDGE, rel=1e-15)
    grid = np.geomspace(1e-6, 1e6, 200001)
    assert np.max(ep.flow_to_ridge(grid)) <= ep.FLOW_TO_RIDGE * (1 + 1e-14)
    assert np.max(ep.flow_to_ridge(grid)) == pytest.approx(ep.FLOW_TO_RIDGE, rel=1e-8)


@given(POSITIVE, st.lists(POSITIVE, min_size=1, max_size=6), st.floats(0, 5), st.integers(0, 2**32))
def test_flow_is_within_the_constant_of_ridge_for_every_target(time, eigenvalues, noise, seed):
    power = np.random.default_rng(seed).exponential(size=len(eigenvalues))
    flow, ridge = (
        ep.in_sample_risk(f, power, noise)
        for f in (ep.flow_shares(eigenvalues, time), ep.ridge_shares(eigenvalues, 1 / time))
    )
    assert flow.bias <= ridge.bias * (1 + 1e-12)
    assert flow.total <= ep.FLOW_TO_RIDGE * ridge.total * (1 + 1e-12)


def test_the_ratio_is_that_of_the_variances():
    x = np.array([0.3, 1.0, 4.0])
    shares = zip(ep.flow_shares([1.0], x)[:, 0], ep.ridge_shares([1.0], 1 / x)[:, 0], strict=True)
    np.testing.assert_allclose(ep.flow_to_ridge(x), [(flow / ridge) ** 2 for flow, ridge in shares], rtol=1e-12)


def test_the_optima_lie_close_out_of_sample():
    for ratio in (0.3, 1.0, 3.0):
        for noise in (0.05, 0.5, 5.0):
            flow = gradient_flow.optimal_stopping(
                lambda t, a=ratio, v=noise: gradient_flow.isotropic_risk(a, t, 1.0, v)
            )
            ridge = ridge_regression.optimal_isotropic_risk(ratio, 1.0, noise)
            assert 1.0 <= flow.risk.total / ridge.total <= 1.22


def test_a_design_of_the_fixed_theory_has_the_same_shares():
    """The bias of `fixed_design` is the mean of (1 - f)^2 over directions."""
    X, s = design(12, 5)
    singular = np.linalg.svd(X, compute_uv=False)
    bias = fixed_design.risk(singular, 5, penalty=12 * 0.3).bias
    assert bias == pytest.approx(((1 - ep.ridge_shares(s, 0.3)[s > 1e-9]) ** 2).mean(), rel=1e-10)


# -- input ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: ep.ridge_shares([-1.0], 1.0), "eigenvalues"),
        (lambda: ep.ridge_shares([1.0], -1.0), "ridge"),
        (lambda: ep.flow_shares([1.0], np.nan), "time"),
        (lambda: ep.descent_shares([1.0], 2.1, 3), "step_size"),
        (lambda: ep.descent_shares([1.0], [0.1, 0.2], 3), "step_size"),
        (lambda: ep.descent_shares([1.0], 0.1, 2.5), "steps"),
        (lambda: ep.counts(0.5), "shares"),
        (lambda: ep.counts([np.inf]), "shares"),
        (lambda: ep.hessian_count([-1.0, 2.0], 0.1), "curvatures"),
        (lambda: ep.expected_count([1.0], 0), "n"),
        (lambda: ep.cross_validated_error(1.0, 10.0, 10), "trace"),
        (lambda: ep.optimism(-1.0, 10, 1.0), "trace"),
        (lambda: ep.in_sample_risk([0.5, 0.5], [1.0], 1.0), "shares"),
        (lambda: ep.mode_stopping([1.0, 2.0], [1.0], 1.0), "target_power"),
        (lambda: ep.mode_stopping([1.0], [1.0], [1.0, 2.0]), "noise_variance"),
        (lambda: ep.flow_to_ridge(-1.0), "x"),
    ],
)
def test_bad_parameters_are_named(call, name):
    with pytest.raises(ValueError, match=name):
        call()


def test_the_counts_can_be_read():
    found = ep.counts([0.5, 1.0])
    assert repr(found) == "Counts(trace=1.5, squares=1.25)"
    assert found.to_dict() == {"trace": 1.5, "squares": 1.25}


def test_a_covariance_has_no_round_off():
    # without a ridge df1 = n by the definition of kappa, whatever the decay
    s = np.exp(-np.arange(1000.0) / 2)
    assert ep.expected_count(s, 100) == pytest.approx(100, rel=1e-9)
    s = np.arange(1.0, 20001) ** -4.0
    kappa = ridge_regression.effective_ridge(s, 900, 1e-14)
    assert ep.expected_count(s, 900, 1e-14) == pytest.approx(np.sum(s / (s + kappa)), rel=1e-12)
    assert ep.hessian_count([1.0, 1e-18], 1e-18) == pytest.approx(1.5, rel=1e-12)
