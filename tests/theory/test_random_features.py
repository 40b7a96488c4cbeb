import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import integrate, special

from pyphenom.theory import random_features as rf
from pyphenom.theory import ridge_regression as rr

PSI = st.floats(0.05, 30)
FUNCTIONS = {
    "relu": lambda u: np.maximum(u, 0),
    "erf": special.erf,
    "tanh": np.tanh,
    "sigmoid": special.expit,
    "sign": np.sign,
    "abs": np.abs,
    "identity": lambda u: u,
}


def paper(psi1, psi2, ridge, activation, linear_signal, nonlinear_signal, noise):
    """Mei and Montanari's Definition 1 by damped complex iteration from large imaginary part, and their polynomials."""
    c = rf.activation_constants(activation)
    z2, lam = (c.linear / c.nonlinear) ** 2, ridge / c.nonlinear**2
    target = np.sqrt(psi1 * psi2 * lam)
    a = b = 0j
    for height in np.geomspace(max(target, 1.0) * 1e3, target, 60):
        xi = 1j * height
        for _ in range(4000):
            mix = z2 / (1 - z2 * a * b)
            new_a, new_b = psi1 / (-xi - b * (1 + mix)), psi2 / (-xi - a * (1 + mix))
            step = abs(new_a - a) + abs(new_b - b)
            a, b = (a + new_a) / 2, (b + new_b) / 2
            if step < 1e-15 * (abs(a) + abs(b)):
                break
    x, z = (a * b).real, np.sqrt(z2)
    e0 = (
        -(x**5) * z**6
        + 3 * x**4 * z**4
        + (psi1 * psi2 - psi2 - psi1 + 1) * x**3 * z**6
        - 2 * x**3 * z**4
        - 3 * x**3 * z**2
        + (psi1 + psi2 - 3 * psi1 * psi2 + 1) * x**2 * z**4
        + 2 * x**2 * z**2
        + x**2
        + 3 * psi1 * psi2 * x * z**2
        - psi1 * psi2
    )
    e1 = psi2 * x**3 * z**4 - psi2 * x**2 * z**2 + psi1 * psi2 * x * z**2 - psi1 * psi2
    e2 = (
        x**5 * z**6
        - 3 * x**4 * z**4
        + (psi1 - 1) * x**3 * z**6
        + 2 * x**3 * z**4
        + 3 * x**3 * z**2
        - (psi1 + 1) * x**2 * z**4
        - 2 * x**2 * z**2
        - x**2
    )
    return linear_signal * e1 / e0 + nonlinear_signal * (1 + e2 / e0), noise * e2 / e0


def simulate(psi1, psi2, ridge, activation, nonlinear_signal, noise, d, repetitions, seed):
    """Excess risk and training error on the sphere; the target is linear, plus a quadratic form as nonlinear part."""
    rng = np.random.default_rng(seed)
    sigma, n, N = FUNCTIONS[activation], int(psi2 * d), int(psi1 * d)
    sphere = lambda m: (lambda g: g * np.sqrt(d) / np.linalg.norm(g, axis=1, keepdims=True))(  # noqa: E731
        rng.standard_normal((m, d))
    )
    found = np.empty((repetitions, 2))
    for row in found:
        Q, beta = rng.standard_normal((d, d)) / d, rng.standard_normal(d)
        beta /= np.linalg.norm(beta)
        target = lambda X, Q=Q, beta=beta: (  # noqa: E731
            X @ beta + np.sqrt(nonlinear_signal) * (np.einsum("ni,ij,nj->n", X, Q, X) - np.trace(Q))
        )
        X, W, T = sphere(n), sphere(N), sphere(1000)
        Z, ZT = sigma(X @ W.T / np.sqrt(d)), sigma(T @ W.T / np.sqrt(d))
        y = target(X) + np.sqrt(noise) * rng.standard_normal(n)
        penalty = np.sqrt(n * N * ridge / d) * np.eye(N)
        fit = np.linalg.lstsq(np.vstack([Z, penalty]), np.append(y, np.zeros(N)), rcond=1e-13)[0]
        row[:] = np.mean((ZT @ fit - target(T)) ** 2), np.mean((Z @ fit - y) ** 2)
    return found


# -- activations ------------------------------------------------------------------------------------------------------


def test_constants_check_values():
    expected = {
        "relu": (0.39894228, 0.5, 0.30140514),
        "erf": (0, 0.65147002, 0.20036435),
        "tanh": (0, 0.60570551, 0.16557574),
        "sign": (0, np.sqrt(2 / np.pi), np.sqrt(1 - 2 / np.pi)),
        "abs": (np.sqrt(2 / np.pi), 0, np.sqrt(1 - 2 / np.pi)),
        "identity": (0, 1, 0),
    }
    for name, values in expected.items():
        c = rf.activation_constants(name)
        np.testing.assert_allclose((c.mean, c.linear, c.nonlinear), values, atol=6e-9)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_names_equal_quadrature(name):
    sigma = FUNCTIONS[name]

    def moment(f):
        density = lambda u: f(u) * np.exp(-u * u / 2) / np.sqrt(2 * np.pi)  # noqa: E731
        return sum(integrate.quad(density, a, b, epsabs=1e-13)[0] for a, b in ((-np.inf, 0), (0, np.inf)))

    c = rf.activation_constants(name)
    np.testing.assert_allclose(c.mean, moment(sigma), atol=1e-10)
    np.testing.assert_allclose(c.linear, moment(lambda u: u * sigma(u)), atol=1e-10)
    second = moment(lambda u: sigma(u) ** 2)
    np.testing.assert_allclose(c.mean**2 + c.linear**2 + c.nonlinear**2, second, atol=1e-10)
    by_function = rf.activation_constants(lambda u: float(sigma(u)))
    np.testing.assert_allclose(by_function.nonlinear, c.nonlinear, atol=1e-9)


def test_random_phase_cosine_is_the_root_mean_square_over_phases():
    phases = (np.arange(16) + 0.3) * 2 * np.pi / 16
    each = [rf.activation_constants(lambda u, b=b: np.sqrt(2) * np.cos(u + b)) for b in phases]
    power = np.mean([(c.mean**2, c.linear**2, c.nonlinear**2) for c in each], axis=0)
    c = rf.activation_constants("cos")
    np.testing.assert_allclose(power, (c.mean**2, c.linear**2, c.nonlinear**2), rtol=1e-10)


def test_kinks_and_jumps_away_from_zero():
    c = rf.activation_constants(lambda u: float(u > 0.3))
    tail, density = special.ndtr(-0.3), np.exp(-0.045) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose((c.mean, c.linear), (tail, density), atol=1e-9)
    np.testing.assert_allclose(c.nonlinear**2, tail - tail**2 - density**2, atol=1e-9)
    named = rf.activation_constants(lambda u: float(u > 0.3), breakpoints=[0.3])
    np.testing.assert_allclose((named.mean, named.linear), (tail, density), atol=1e-13)


def test_small_nonlinear_part_keeps_its_digits():
    # sigma = u + 1e-6 (u^2 - 1)/sqrt(2): a difference of second moments would be lost in 1e-16/1e-12.
    c = rf.activation_constants(lambda u: u + 1e-6 * (u * u - 1) / np.sqrt(2))
    np.testing.assert_allclose(c.nonlinear, 1e-6, rtol=1e-6)


# -- risk -------------------------------------------------------------------------------------------------------------


def test_risk_check_values():
    cases = [
        ("relu", 1, 3, 0, 0.79685931, 0.67185931, 0.5),
        ("relu", 6, 3, 0, 0.50320411, 0.17262693, 1.32230872),
        ("relu", 3, 3, 0.01, 0.48143620, 0.28261959, 0.79526646),
        ("relu", 6, 3, 0.01, 0.28935126, 0.14110660, 0.59297863),
        ("erf", 2, 3, 0.01, 0.29025693, 0.13897024, 0.60514675),
        ("abs", 2, 3, 0, 3.5, 3, 2),
    ]
    for activation, psi1, psi2, ridge, total, bias, gain in cases:
        risk = rf.risk(psi1, psi2, ridge, activation, noise_variance=0.25)
        np.testing.assert_allclose((risk.total, risk.bias, risk.variance), (total, bias, 0.25 * gain), rtol=1e-7)
        assert risk.residual < 1e-14


def test_nonlinear_target_check_value():
    risk = rf.risk(2, 3, 1e-3, "relu", nonlinear_signal=0.09, noise_variance=0.25)
    np.testing.assert_allclose(risk.total, 1.24589802, rtol=1e-7)


def test_triple_descent_check_values():
    psi2 = np.array([0.6, 1, 3, 10, 30])
    risk = rf.risk(10, psi2, 1e-6, rf.ActivationConstants(0, 1, 0.2), noise_variance=1.0)
    np.testing.assert_allclose(risk.total, [1.5243642, 2.2680340, 0.9090230, 33.033471, 0.50612573], rtol=1e-6)


def test_training_error_check_values():
    found = rf.training_error([2, 6, 6], 3, [0.01, 0.01, 0.1], noise_variance=0.25)
    np.testing.assert_allclose(found, [0.18852768, 0.034589545, 0.22697875], rtol=1e-7)


@pytest.mark.parametrize("activation", ["relu", "erf", "sign", "abs"])
def test_equals_the_paper(activation):
    rng = np.random.default_rng(4)
    for _ in range(5):
        psi1, psi2 = 10 ** rng.uniform(-0.7, 1, 2)
        case = (psi1, psi2, 10 ** rng.uniform(-2, 0.5), activation, 1.3, 0.4, 0.2)
        risk = rf.risk(*case)
        np.testing.assert_allclose((risk.bias, risk.variance), paper(*case), rtol=1e-8)


def test_equals_simulation():
    # 4 standard errors plus the 2/d bias of the theory: about 1e-4 false alarms per comparison.
    d = 60
    for case in [(2, 3, 0.01, "relu", 0.0, 0.25), (4, 2, 0.1, "erf", 0.2, 0.1), (1, 3, 0.0, "relu", 0.0, 0.25)]:
        found = simulate(*case, d=d, repetitions=20, seed=5)
        psi1, psi2, ridge, activation, rest, noise = case
        arguments = {"activation": activation, "nonlinear_signal": rest, "noise_variance": noise}
        predicted = np.array(
            [rf.risk(psi1, psi2, ridge, **arguments).total, rf.training_error(psi1, psi2, ridge, **arguments)]
        )
        mean, error = found.mean(0), found.std(0) / 20**0.5
        assert (abs(mean - predicted) < 4 * error + predicted * 2 / d).all(), case


def test_threshold_is_infinite_and_nothing_is_nan():
    psi1 = np.linspace(0.1, 6, 60)
    for activation in ("relu", "abs", "sign", "cos"):
        total = rf.risk(psi1, 3.0, 0.0, activation, noise_variance=0.1).total
        assert not np.isnan(total).any()
        assert rf.risk(3.0, 3.0, 0.0, activation, noise_variance=0.0).total == np.inf
        assert rf.training_error(3.0, 3.0, 0.0, activation, noise_variance=0.1) == 0.0
    assert np.isinf(rf.risk(3.0, 3.0, 0.0, noise_variance=0.1).variance)


def test_linear_activation_is_least_squares_on_a_random_projection():
    # d features or more span all inputs: ridgeless risk of d coefficients from psi2 * d samples.
    for psi1 in (1.5, 6.0):
        risk = rf.risk(psi1, 3.0, 0.0, "identity", noise_variance=0.25)
        expected = rr.isotropic_risk(1 / 3, 0.0, 1.0, 0.25)
        np.testing.assert_allclose((risk.bias, risk.variance), (expected.bias, expected.variance), rtol=1e-12)
    # Below that, the part of the input outside the span acts as noise and stays in the risk.
    risk = rf.risk(0.5, 3.0, 0.0, "identity", noise_variance=0.25)
    np.testing.assert_allclose(risk.bias, 0.5 + 0.5 * (0.5 / 3) / (1 - 0.5 / 3), rtol=1e-12)
    # Very wide linear networks are ridge regression: features of covariance x x'/d, penalty n * ridge.
    wide = rf.risk(1e9, 3.0, 0.2, "identity", noise_variance=0.25)
    expected = rr.isotropic_risk(1 / 3, 0.2, 1.0, 0.25)
    np.testing.assert_allclose((wide.bias, wide.variance), (expected.bias, expected.variance), rtol=1e-7)


def test_limits_of_the_ridge():
    np.testing.assert_allclose(rf.risk(2, 3, 1e12, nonlinear_signal=0.5, noise_variance=1).total, 1.5, rtol=1e-9)
    assert rf.risk(2, 3, np.inf, nonlinear_signal=0.5, noise_variance=1).total == 1.5
    assert rf.training_error(2, 3, np.inf, nonlinear_signal=0.5, noise_variance=1) == 2.5


@given(PSI, PSI, st.sampled_from(["relu", "erf", "abs", "tanh"]))
def test_continuous_towards_ridgeless(psi1, psi2, activation):
    if abs(psi1 / psi2 - 1) > 0.01:
        near = rf.risk(psi1, psi2, 1e-13, activation, 1.0, 0.2, 0.3)
        np.testing.assert_allclose(near.total, rf.risk(psi1, psi2, 0.0, activation, 1.0, 0.2, 0.3).total, rtol=1e-6)


@given(PSI, PSI, st.floats(0, 10), st.floats(0.01, 5), st.floats(1.01, 3))
def test_monotone_in_noise_and_at_least_the_unlearnable_part(psi1, psi2, ridge, noise, factor):
    low, high = (rf.risk(psi1, psi2, ridge, "relu", 1.0, 0.3, v) for v in (noise, factor * noise))
    assert high.total >= low.total >= 0.3
    assert low.variance >= 0


@given(PSI, PSI, st.floats(1e-9, 10))
def test_nonlinear_part_acts_as_noise(psi1, psi2, ridge):
    as_target = rf.risk(psi1, psi2, ridge, "relu", 1.0, 0.3, 0.0).total
    as_noise = rf.risk(psi1, psi2, ridge, "relu", 1.0, 0.0, 0.3).total
    np.testing.assert_allclose(as_target, as_noise + 0.3, rtol=1e-10)


def test_no_cancellation_near_the_threshold():
    # At psi1 = psi2 (1 + eps) the variance is noise/eps exactly, and a part that stays finite.
    eps = np.array([1e-4, 1e-7, 1e-10])
    scaled = eps * rf.risk(3 * (1 + eps), 3.0, 0.0, noise_variance=1.0).variance
    assert (abs(scaled - 1) < [2e-3, 2e-6, 2e-6]).all()


def test_grid_broadcasts():
    risk = rf.risk(np.array([1, 2, 3.0])[:, None], 3.0, np.array([0.01, 0.1]), noise_variance=[0.25, 0.5])
    assert risk.total.shape == risk.residual.shape == (3, 2)
    np.testing.assert_allclose(risk.total[1, 1], rf.risk(2.0, 3.0, 0.1, noise_variance=0.5).total, rtol=1e-13)
    assert isinstance(rf.risk(2.0, 3.0, 0.1).total, float)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: rf.risk(1, 2, 0.1, "gelu"), ValueError, "activation: got 'gelu', expected one of relu"),
        (lambda: rf.risk(1, 2, 0.1, 3), TypeError, "activation: got int"),
        (lambda: rf.risk(1, 2, 0.1, lambda u: 1.0), ValueError, "not constant"),
        (lambda: rf.risk(1, 2, 0.1, lambda u: np.nan), ValueError, "activation: got an integral of error nan"),
        (lambda: rf.risk(0, 2, 0.1), ValueError, "psi1: got 0"),
        (lambda: rf.risk(1, -2, 0.1), ValueError, "psi2: got -2"),
        (lambda: rf.risk(1, 2, -0.1), ValueError, "ridge: got -0.1"),
        (lambda: rf.risk(1, 2, 0.1, noise_variance=np.nan), ValueError, "noise_variance: got NaN"),
        (lambda: rf.risk([1, 2], [1, 2, 3], 0.1), ValueError, r"psi1 \(2,\), psi2 \(3,\)"),
    ],
)
def test_wrong_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


# -- variance decomposition -------------------------------------------------------------------------------------------

TERMS = ("bias", "initialisation", "sample", "initialisation_sample", "sample_label", "initialisation_sample_label")


def terms(split):
    return np.array([getattr(split, name) for name in TERMS])


def test_decomposition_check_values():
    split = rf.variance_decomposition(4, 3, [1e-2, 1e-4], noise_variance=0.25)
    expected = [
        [0.04715984, 0.07427822, 0.01210688, 0.07576451, 0.06418001, 0.11671752],
        [0.02142603, 0.08571387, 0.00687377, 0.32512854, 0.08020350, 0.69448993],
    ]
    np.testing.assert_allclose(terms(split).T, expected, rtol=1e-6)


@given(
    PSI, PSI, st.floats(0, 10), st.floats(0, 2), st.floats(0, 2), st.sampled_from(["relu", "erf", "abs", "identity"])
)
@example(0.5, 0.5, 0.0, 0.0, 5e-324, "relu")
def test_terms_are_positive_and_sum_to_the_risk(psi1, psi2, ridge, rest, noise, activation):
    split = rf.variance_decomposition(psi1, psi2, ridge, activation, 1.0, rest, noise)
    known = rf.risk(psi1, psi2, ridge, activation, 1.0, rest, noise)
    assert (terms(split) >= 0).all()
    assert split.total == pytest.approx(known.total, rel=1e-9)
    assert split.sample_label + split.initialisation_sample_label == pytest.approx(known.variance, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("epsilon", [1e-1, 1e-3, 1e-6])
def test_divergence_at_the_threshold(epsilon):
    psi2, noise = 3.0, 0.7
    above = rf.variance_decomposition(psi2 * (1 + epsilon), psi2, 0.0, noise_variance=noise)
    below = rf.variance_decomposition(psi2 / (1 + epsilon), psi2, 0.0, noise_variance=noise)
    assert above.initialisation_sample_label * epsilon == pytest.approx(noise, rel=1e-7)
    assert (below.initialisation_sample_label + below.sample_label) * epsilon == pytest.approx(noise, rel=1e-7)
    at = rf.variance_decomposition(psi2, psi2, 0.0, noise_variance=noise)
    assert [name for name in TERMS if np.isinf(getattr(at, name))] == [TERMS[3], TERMS[5]]


def test_kernel_terms_do_not_depend_on_the_width_above_the_threshold():
    split = rf.variance_decomposition([3.1, 5.0, 50.0], 3.0, 0.0, noise_variance=0.3)
    for name in ("bias", "sample", "sample_label"):
        np.testing.assert_allclose(getattr(split, name), getattr(split, name)[0], rtol=1e-9)


@given(PSI, PSI, st.floats(1e-4, 10))
def test_infinite_ensemble_is_kernel_ridge_of_a_larger_penalty(psi1, psi2, ridge):
    from pyphenom.theory import eigenframework

    split = rf.variance_decomposition(psi1, psi2, ridge, noise_variance=0.4)
    c = rf.activation_constants("relu")
    law = {"eigenvalues": [c.linear**2], "target_power": [1.0], "n": psi2, "tail_eigenvalue": c.nonlinear**2}
    found = eigenframework.random_feature_regression(**law, width=psi1, penalty=psi2 * ridge)
    penalty = found.effective_ridge * (psi2 - found.degrees_of_freedom)
    kernel = eigenframework.kernel_regression(**law, penalty=penalty, noise_variance=0.4)
    assert split.averaged(initialisations=np.inf) == pytest.approx(kernel.test_error, rel=1e-7)
    assert split.averaged(samples=np.inf) == pytest.approx(split.bias + split.initialisation, rel=1e-12)


def test_averages_interpolate():
    split = rf.variance_decomposition([2.0, 3.0, 5.0], 3.0, 0.0, noise_variance=0.3)
    totals = [split.averaged(initialisations=k)[[0, 2]].sum() for k in (1, 2, 10, np.inf)]
    assert totals == sorted(totals, reverse=True)
    assert np.isfinite(split.averaged(initialisations=np.inf)).all()
    assert np.isinf(split.total[1])
    with pytest.raises(ValueError, match="initialisations"):
        split.averaged(initialisations=0)


def test_decomposition_is_measured():
    # Three crossed factors: two initialisations, two training sets, and the noise by its sign, many times over.
    rng = np.random.default_rng(0)
    d, psi1, psi2, ridge, noise, repetitions = 60, 2.0, 3.0, 0.02, 0.25, 150
    n, width, m = int(psi2 * d), int(psi1 * d), 300
    sphere = lambda *shape: (lambda g: g * np.sqrt(d) / np.linalg.norm(g, axis=1, keepdims=True))(  # noqa: E731
        rng.standard_normal(shape)
    )
    found = np.empty((repetitions, 6))
    for row in found:
        beta = sphere(1, d)[0] / np.sqrt(d)
        tests, inits, inputs = sphere(m, d), [sphere(width, d) for _ in "ab"], [sphere(n, d) for _ in "ab"]
        labels = [np.sqrt(noise) * rng.standard_normal(n) for _ in "ab"]
        clean, noisy = np.empty((2, 2, m)), np.empty((2, 2, m))
        for p, W in enumerate(inits):
            for x, X in enumerate(inputs):
                Z, Zt = np.maximum(X @ W.T / np.sqrt(d), 0), np.maximum(tests @ W.T / np.sqrt(d), 0)
                rows = np.vstack([Z, np.sqrt(n * width * ridge / d) * np.eye(width)])
                y = np.zeros((n + width, 2))
                y[:n, 0], y[:n, 1] = X @ beta, labels[x]
                clean[p, x], noisy[p, x] = (Zt @ np.linalg.lstsq(rows, y)[0]).T
        miss = clean - tests @ beta
        both = np.mean(miss**2)
        same_p, same_x = np.mean(miss[:, 0] * miss[:, 1]), np.mean(miss[0] * miss[1])
        none = np.mean(miss[0, 0] * miss[1, 1] + miss[0, 1] * miss[1, 0]) / 2
        common = np.mean(noisy[0] * noisy[1])
        row[:] = none, same_p - none, same_x - none, both - same_p - same_x + none, common, np.mean(noisy**2) - common
    theory = terms(rf.variance_decomposition(psi1, psi2, ridge, noise_variance=noise))
    error = found.std(axis=0) / np.sqrt(repetitions)
    # six comparisons at four standard errors: fails by chance once in 2,000
    assert (np.abs(found.mean(axis=0) - theory) < 4 * error + 3 / d * theory + 1e-3).all(), (
        found.mean(0),
        theory,
        error,
    )


def test_triple_descent():
    # A linear peak at n = d and a nonlinear one at n = N.
    weakly_nonlinear = rf.ActivationConstants(0.0, 1.0, 0.2)
    found = rf.risk(10.0, [0.6, 1, 3, 10, 30], 1e-6, weakly_nonlinear, 1.0, 0.0, 1.0).total
    np.testing.assert_allclose(found, [1.5243642, 2.2680340, 0.9090230, 33.033471, 0.50612573], rtol=1e-6)
