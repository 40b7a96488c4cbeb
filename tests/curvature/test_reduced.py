"""Solvers on an operator with a reduced form, against the dense matrix with its zeros."""

import numpy as np
import pytest
import torch
from torch import nn
from torch_curvature import Dense, integers, mlp, normal, seeded

from pyphenom.curvature import Operator, Reduced, diagonal, eigsh, linearize, logdet, spectral_density, trace
from pyphenom.curvature.spectrum import spectrum

WHICH = ("LA", "SA", "LM", "BE")


def reducible(values, size, seed=0, dtype=np.float64):
    """Return an operator with these eigenvalues and zeros, its reduced form counting the products, and the matrix."""
    rng = np.random.default_rng(seed)
    L = np.linalg.qr(rng.standard_normal((size, len(values))))[0]
    Q = np.linalg.qr(rng.standard_normal((len(values),) * 2))[0]
    B = (Q * values) @ Q.T
    L, B = L.astype(dtype), ((B + B.T) / 2).astype(dtype)
    made = Reduced(Operator(len(values), dtype, lambda V: V @ B), lambda U: U @ L.T, lambda V: V @ L)

    def never(V):
        raise AssertionError("the long vectors are multiplied")

    return Operator(size, dtype, never, lambda: made), L.astype(float) @ B.astype(float) @ L.T.astype(float)


def expected(A, k, which):
    values = np.linalg.eigvalsh(A)
    if which == "BE":
        return np.sort(np.concatenate([values[len(values) - (k + 1) // 2 :], values[: k // 2]]))[::-1]
    key = {"LA": -values, "SA": values, "LM": -np.abs(values)}[which]
    return values[np.argsort(key, kind="stable")[:k]]


def assert_pairs(pairs, A, k, which, tol):
    size = np.abs(A).max() * len(A)
    compare = np.abs if which == "LM" else np.asarray  # of +-x either may come first
    np.testing.assert_allclose(compare(pairs.values), compare(expected(A, k, which)), atol=tol * size)
    X = pairs.vectors.astype(float)
    assert X.shape == (len(A), k)
    np.testing.assert_allclose(X.T @ X, np.eye(k), atol=10 * tol)
    true = np.linalg.norm(A @ X - X * pairs.values, axis=0)
    assert (true <= tol * size).all()
    assert (np.abs(pairs.residuals - true) <= tol * size).all()


# ---- any operator ----------------------------------------------------------------------------------------------------

SPECTRA = {
    "both signs": [7.0, 3.0, 1.0, 0.5, -0.2, -2.0, -9.0],
    "positive": [5.0, 4.0, 3.0, 2.0, 2.0, 2.0, 1.0],
    "negative": [-5.0, -4.0, -3.0, -2.0, -2.0, -2.0, -1.0],
    "zeros inside": [5.0, 1.0, 0.0, 0.0, 0.0, -1.0, -2.0],
}


@pytest.mark.parametrize("which", WHICH)
@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("size", [7, 8, 20])
def test_zeros_count_among_the_eigenvalues(which, name, size):
    operator, A = reducible(SPECTRA[name], size)
    for k in range(1, size + 1):
        pairs = eigsh(operator, k, which, tol=1e-10)
        assert pairs.status.converged
        assert pairs.dimension == 7
        assert_pairs(pairs, A, k, which, 1e-9)


def test_single_precision_blocks_and_starts():
    operator, A = reducible(np.linspace(-1, 9, 40), 60, dtype=np.float32)
    rng = np.random.default_rng(1)
    for which in WHICH:
        for start in (None, rng.standard_normal((60, 50)), np.zeros(60)):
            pairs = eigsh(operator, 45, which, tol=1e-5, v0=start, block=3)
            assert pairs.vectors.dtype == np.float32
            assert_pairs(pairs, A, 45, which, 1e-6)


def test_a_warm_start_is_one():
    operator, _ = reducible(np.concatenate([[2.0, 1.5], np.linspace(-1, 1, 198)]), 500)
    cold = eigsh(operator, 2, copies=False)
    assert eigsh(operator, 2, copies=False, v0=cold.vectors).matvecs < cold.matvecs // 2


def test_pairs_that_did_not_converge_stay_so():
    operator, _ = reducible(np.linspace(-1, 1, 200), 300)
    for k in (3, 250):
        assert not eigsh(operator, k, max_products=2).status.converged


@pytest.mark.parametrize("deflate", [0, 2])
def test_quadrature_has_the_mass_at_zero(deflate):
    operator, A = reducible(SPECTRA["both signs"], 20)
    truth = np.linalg.eigvalsh(A)
    found = spectral_density(operator, probes=7, steps=7, deflate=deflate)
    assert found.zeros == 13
    np.testing.assert_allclose(found.weights.sum(axis=1), (7 - deflate) / 20)
    np.testing.assert_allclose(found.moments(4).values, [np.mean(truth**p) for p in range(5)], atol=1e-12)
    grid = [-1.0, -0.1, 0.1, 0.7, 8.0]
    np.testing.assert_allclose(found.cdf(grid).values, [(truth <= x).mean() for x in grid], atol=1e-12)
    assert (found.cdf(grid).standard_errors <= 1e-12).all()
    assert "13 exact zeros" in repr(found)


def test_support_reaches_to_the_zeros():
    low, high = spectral_density(reducible(SPECTRA["positive"], 20)[0]).support
    assert low == 0
    assert high == pytest.approx(5)


def test_deflated_zeros_are_not_counted_twice():
    # The pairs hold vectors of the zero block: the operator is taken as it is, with long vectors.
    _, A = reducible(SPECTRA["positive"], 20)
    operator, _ = reducible(SPECTRA["positive"], 20)
    operator._product = lambda V: V @ A
    operator.rows = operator._product
    found = spectral_density(operator, probes=20, steps=20, deflate=eigsh(operator, 10, tol=1e-10))
    assert found.zeros == 0
    np.testing.assert_allclose(found.cdf([0.5, 1.5]).values, [13 / 20, 14 / 20], atol=1e-10)


@pytest.mark.parametrize("method", ["hutchinson", "hutch++", "xtrace"])
def test_trace(method):
    operator, A = reducible(SPECTRA["both signs"], 400)
    found = trace(operator, method, products=7)
    assert found.value == pytest.approx(np.trace(A))
    assert (found.standard_error, found.products) == (0, 7)
    larger, A = reducible(np.linspace(-1, 3, 300), 400)
    found = trace(larger, method, products=90)
    assert abs(found.value - np.trace(A)) <= 4 * found.standard_error


def test_log_determinant_of_zeros_is_refused_before_a_product():
    with pytest.raises(ValueError, match="exactly zero in 13 dimensions"):
        logdet(reducible(SPECTRA["positive"], 20)[0])
    found = logdet(reducible(SPECTRA["positive"], 7)[0], probes=7, steps=7)
    assert found.value == pytest.approx(np.log(480))


# ---- networks with more inputs than samples --------------------------------------------------------------------------

N, D, H, C = 6, 15, 4, 3
X, LABELS = normal(N, D), integers(C, N)
SUBSETS = {
    "all": (None, 4 * 9),
    "first layer": ("0.*", 4 * 9),
    "weights": ("*.weight", 4 * 9),
    "first weights": ("0.weight", 4 * 9),
    "first bias": ("0.bias", 0),
    "last layer": ("2.*", 0),
}


def net():
    return seeded(lambda: mlp(D, H, C))


def cross_entropy(f, y):
    return nn.functional.cross_entropy(f[None], y[None])


@pytest.mark.parametrize("kind", ["hessian", "ggn", "fisher"])
@pytest.mark.parametrize("subset", SUBSETS)
def test_networks(kind, subset):
    parameters, left_out = SUBSETS[subset]
    linear = linearize(net(), "cross_entropy", X, LABELS, parameters=parameters)
    truth = getattr(Dense(net(), cross_entropy, X, LABELS, list(linear.names)), kind)
    operator = getattr(linear, kind)()
    for which in WHICH:
        for k in {1, 4, linear.size // 2, linear.size} - {0}:
            pairs = eigsh(operator, min(k, linear.size), which, tol=1e-10)
            assert pairs.status.converged
            assert pairs.dimension == linear.size - left_out
            assert_pairs(pairs, truth, min(k, linear.size), which, 1e-9)
    if linear.size >= 6:
        assert trace(operator, products=linear.size - left_out).value == pytest.approx(np.trace(truth), rel=1e-11)
        np.testing.assert_allclose(diagonal(operator, products=linear.size).value, np.diag(truth), atol=1e-12)
    found = spectral_density(operator, probes=linear.size, steps=linear.size)
    assert found.zeros == left_out
    values = np.linalg.eigvalsh(truth)
    np.testing.assert_allclose(found.moments(3).values, [np.mean(values**p) for p in range(4)], atol=1e-12)


def test_networks_in_single_precision_and_drawn_targets():
    linear = linearize(net(), "cross_entropy", X, LABELS, torch.float32)
    truth = Dense(net(), cross_entropy, X, LABELS)
    for kind in ("hessian", "ggn"):
        assert_pairs(eigsh(getattr(linear, kind)(), 5, tol=1e-5), getattr(truth, kind), 5, "LA", 1e-6)
    double = linearize(net(), "cross_entropy", X, LABELS)
    F = double.fisher(4, seed=3)
    assert_pairs(eigsh(F, 5, tol=1e-10), F @ np.eye(double.size), 5, "LA", 1e-9)
    K = truth.jacobian.T @ truth.jacobian
    assert_pairs(eigsh(double.ntk("parameters"), 5, tol=1e-10), K, 5, "LA", 1e-9)


def test_it_follows_the_point_and_is_reported():
    model = net()
    linear = linearize(model, "cross_entropy", X, LABELS)
    H = linear.hessian()
    assert linear.input_rank == N
    assert "inputs compressed to 6" in repr(linear)
    eigsh(H, 2)
    with torch.no_grad():
        for value in model.parameters():
            value.mul_(1.5)
    linear.refresh()
    assert_pairs(eigsh(H, 2, tol=1e-10), Dense(model, cross_entropy, X, LABELS).hessian, 2, "LA", 1e-9)
    short = spectrum(H, k=2, probes=4, steps=10)
    assert short.quadrature.zeros == 4 * 9


@pytest.mark.parametrize(
    "options", [{"compress": False}, {"batch_size": 4}, {"backend": "autograd"}, {"X": X[:, :7], "model": (7, H, C)}]
)
def test_where_the_inputs_stay_as_they_are(options):
    options = {"X": X, "model": (D, H, C), **options}
    widths = options.pop("model")
    linear = linearize(seeded(lambda: mlp(*widths)), "cross_entropy", options.pop("X"), LABELS, **options)
    assert linear.input_rank is None
    assert linear.hessian().reduced() is None
    assert eigsh(linear.hessian(), 2).dimension == linear.size
