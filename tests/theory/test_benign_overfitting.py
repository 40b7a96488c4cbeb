import numpy as np
import pytest

from pyphenom.theory import benign_overfitting as bo
from pyphenom.theory import ridge_regression

INDEX = np.arange(1.0, 20001.0)
SPECTRA = {
    "logarithm": 1.0 / (INDEX * np.log(INDEX + 1) ** 2),
    "power": INDEX**-2.0,
    "spikes": np.sort(np.concatenate([np.exp(-np.arange(1.0, 21.0)), np.full(20000, 1e-4)]))[::-1],
}
N = np.array([50, 200, 800])


@pytest.mark.parametrize(
    ("name", "ranks", "ratios"),
    [
        ("logarithm", [22, 81, 332], [0.684, 0.663, 0.664]),
        ("power", [49, 201, 834], [0.745, 0.747, 0.743]),
        ("spikes", [3, 4, 5], [0.590, 0.796, 0.995]),
    ],
)
def test_published_ratios_of_variance_and_bound(name, ranks, ratios):
    spectrum = SPECTRA[name]
    found = bo.bartlett_shape(spectrum, np.zeros_like(spectrum), N, noise_variance=1.0)
    assert found.critical_rank.tolist() == ranks
    assert found.exact.variance / found.variance == pytest.approx(ratios, abs=0.002)
    assert found.status == "ok"


def test_without_ridge_both_theorems_have_the_same_variance():
    spectrum, beta = SPECTRA["power"], INDEX**-1.0
    first = bo.bartlett_shape(spectrum, beta, N, 0.3)
    second = bo.tsigler_bartlett_shape(spectrum, beta, N, 0.0, 0.3)
    np.testing.assert_allclose(first.variance, second.variance, rtol=1e-12)
    np.testing.assert_array_equal(first.critical_rank, second.critical_rank)


@pytest.mark.parametrize("ridge", [0.0, 1e-3, 0.1])
@pytest.mark.parametrize("exponent", [1.2, 2.0, 3.0])
def test_the_order_of_bias_and_variance_is_right_over_decades(exponent, ridge):
    """Constants are not known; they must be the same constants at every n, to a factor of three."""
    spectrum, beta = INDEX[:5000] ** -exponent, INDEX[:5000] ** -0.3
    found = bo.tsigler_bartlett_shape(spectrum, beta, [20, 80, 320], ridge, 1.0)
    for exact, shape in ((found.exact.bias, found.bias), (found.exact.variance, found.variance)):
        ratio = exact / shape
        assert ((ratio > 0.05) & (ratio < 20.0)).all()
        assert ratio.max() < 3.0 * ratio.min()


def test_tsigler_bartlett_by_sums():
    spectrum, beta, n, ridge = INDEX[:50] ** -1.5, INDEX[:50] ** -0.2, 8, 0.02
    found = bo.tsigler_bartlett_shape(spectrum, beta, n, ridge, 0.5)
    k = int(found.critical_rank)
    assert 0 < k < 50
    S = n * ridge + spectrum[k:].sum()
    bias = (spectrum[k:] * beta[k:] ** 2).sum() + (S / n) ** 2 * (beta[:k] ** 2 / spectrum[:k]).sum()
    assert found.bias == pytest.approx(bias, rel=1e-12)
    assert found.variance == pytest.approx(0.5 * (k / n + n * (spectrum[k:] ** 2).sum() / S**2), rel=1e-12)


def test_bartlett_by_sums():
    spectrum, beta, n = INDEX[:500] ** -1.1, INDEX[:500] ** -0.2, 8
    found = bo.bartlett_shape(spectrum, beta, n, 0.5, failure=0.01)
    k, r0 = int(found.critical_rank), spectrum.sum() / spectrum[0]
    tail = spectrum[k:]
    assert found.variance == pytest.approx(0.5 * (k / n + n * (tail**2).sum() / tail.sum() ** 2), rel=1e-12)
    size = max(np.sqrt(r0 / n), r0 / n, np.sqrt(np.log(100) / n))
    assert found.bias == pytest.approx((beta**2).sum() * spectrum[0] * size, rel=1e-12)


def test_more_samples_than_directions_leave_no_bound():
    found = bo.bartlett_shape(np.ones(10), np.ones(10), [5, 20], 1.0)
    assert found.critical_rank.tolist() == [0.0, np.inf]
    assert np.isfinite(found.variance[0])
    assert np.isinf([found.variance[1], found.bias[1]]).all()
    assert "infinite" in found.status
    assert "infinite" in repr(found)


@pytest.mark.parametrize("exponent", [1.5, 2.0, 3.0])
def test_a_power_law_is_tempered_at_its_exponent_less_one(exponent):
    """The exact variance at n = 400 of a long spectrum; its end costs a term of the order n^(a-1)/p^(a-1)."""
    spectrum = np.arange(1.0, 400001.0) ** -exponent
    variance = ridge_regression.risk(spectrum, np.zeros_like(spectrum), 400, noise_variance=1.0).variance
    assert variance == pytest.approx(bo.decay(exponent).variance, rel=0.04)


def test_kinds_show_in_the_exact_variance():
    def variances(spectrum):
        return ridge_regression.risk(spectrum, np.zeros_like(spectrum), N, noise_variance=1.0).variance

    assert (np.diff(variances(np.exp(-np.sqrt(INDEX[:4000])))) > 1.0).all()  # catastrophic
    long = np.arange(1.0, 2e6)
    assert (np.diff(variances(1.0 / (long * np.log(long + 1) ** 2))) < 0.0).all()  # benign, as slowly as it says
    assert bo.decay(np.inf).kind == "catastrophic"
    assert bo.decay(1.0, 1.5) == bo.Decay("benign", 0.0)
    assert bo.decay(1.7, -3.0).kind == "tempered"


@pytest.mark.parametrize(("exponent", "log_exponent"), [(1.0, 1.0), (1.0, 0.0), (0.5, 9.0)])
def test_spectra_without_a_finite_sum_are_refused(exponent, log_exponent):
    with pytest.raises(ValueError, match=r"exponent: .*finite sum"):
        bo.decay(exponent, log_exponent)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: bo.bartlett_shape([1.0, 0.5], [1.0], 3), "coefficients: got shape"),
        (lambda: bo.bartlett_shape([1.0], [1.0], 3, failure=1.0), "failure: got 1.0"),
        (lambda: bo.tsigler_bartlett_shape([1.0], [1.0], 3, ridge=-1.0), "ridge: got -1"),
        (lambda: bo.decay(-1.0), "exponent: got -1"),
    ],
)
def test_bad_parameters_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_results_become_dictionaries():
    found = bo.tsigler_bartlett_shape([1.0, 0.5], [1.0, 1.0], 2, 0.1, 1.0)
    assert found.to_dict()["exact_variance"] == found.exact.variance


def test_without_noise_a_bound_that_is_infinite_stays_so():
    flat = np.ones(10)
    for shape in (bo.bartlett_shape, bo.tsigler_bartlett_shape):
        found = shape(flat, flat, 20)
        assert found.variance == np.inf
        assert found.bias == np.inf
