"""`linearize`: every operator against the dense truth, cuts of the data, and selections of parameters."""

from importlib.util import find_spec

import numpy as np
import pytest
import scipy.sparse.linalg
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torch_curvature import Attention, Dense, Recurrent, Residual, close, integers, mlp, normal, seeded

from pyphenom.curvature import Operator, linearize

N, D, C = 10, 4, 3
X, LABELS, TARGETS = normal(N, D), integers(C, N), normal(N, C, seed=1)
BACKENDS = ["autograd"] + ["native"] * (find_spec("pyphenom.curvature._torch_native") is not None)
OPERATORS = ("hessian", "ggn", "fisher", "ntk", "jacobian")


def model():
    return seeded(lambda: mlp(D, 5, C))


def cross_entropy(f, y):
    return nn.functional.cross_entropy(f[None], y[None])


def squared(f, y):
    return ((f - y) ** 2).mean()


LOSSES = {
    "cross entropy": (nn.CrossEntropyLoss(), LABELS, cross_entropy, True),
    "cross entropy sum": (nn.CrossEntropyLoss(reduction="sum"), LABELS, cross_entropy, False),
    "mean squared": (nn.MSELoss(), TARGETS, squared, True),
    "half squared": ("half_squared", TARGETS, lambda f, y: ((f - y) ** 2).sum() / 2, True),
    "own": (lambda f, y: ((f - y) ** 4).mean(), TARGETS, lambda f, y: ((f - y) ** 4).mean(), True),
}


@pytest.fixture(scope="module", params=LOSSES)
def case(request):
    loss, y, sample_loss, mean = LOSSES[request.param]
    return loss, y, Dense(model(), sample_loss, X, y, mean=mean)


def cuts(y):
    """The same data whole, cut with a ragged rest, from a loader, and as arrays."""
    loader = DataLoader(TensorDataset(X, y), batch_size=4)
    return {
        "whole": {"X": X, "y": y},
        "4 + 4 + 2": {"X": X, "y": y, "batch_size": 4},
        "loader": {"X": loader},
        "shuffled": {"X": DataLoader(TensorDataset(X, y), batch_size=4, shuffle=True)},
        "list": {"X": [(X[:1], y[:1]), (X[1:].numpy(), y[1:].numpy())]},
        "arrays": {"X": X.numpy(), "y": y.numpy()},
    }


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("cut", cuts(LABELS))
def test_every_cut_of_the_data_gives_the_dense_matrices(case, cut, backend):
    loss, y, truth = case
    linear = linearize(model(), loss, **cuts(y)[cut], backend=backend)
    close(linear.loss, truth.loss)
    close(linear.gradient(), truth.gradient)
    for name in ("hessian", "ggn", "fisher"):
        close(getattr(linear, name)() @ np.eye(truth.P), getattr(truth, name))
    close(linear.ntk("parameters") @ np.eye(truth.P), truth.jacobian.T @ truth.jacobian)
    if cut != "shuffled":
        close(linear.outputs(), truth.outputs)
        close(linear.jacobian() @ np.eye(truth.P), truth.jacobian)
        close(linear.jacobian().rmatmat(np.eye(N * C)), truth.jacobian.T)
        close(linear.ntk("samples") @ np.eye(N * C), truth.jacobian @ truth.jacobian.T)


@pytest.mark.parametrize("cut", ["4 + 4 + 2", "loader"])
@pytest.mark.parametrize("loss", ["cross entropy", "mean squared", "half squared"])
def test_drawn_targets_do_not_depend_on_the_cut(cut, loss):
    loss, y, *_ = LOSSES[loss]
    whole, parts = linearize(model(), loss, X, y), linearize(model(), loss, **cuts(y)[cut])
    close(parts.fisher(3, seed=5) @ np.eye(whole.size), whole.fisher(3, seed=5) @ np.eye(whole.size))
    assert not np.allclose(whole.fisher(3, seed=6) @ np.eye(whole.size), whole.fisher(3, seed=5) @ np.eye(whole.size))


@pytest.mark.parametrize("loss", ["cross entropy", "cross entropy sum", "mean squared", "half squared"])
def test_the_monte_carlo_fisher_matrix_tends_to_the_gauss_newton(loss):
    loss, y, *_ = LOSSES[loss]
    linear = linearize(model(), loss, X, y)
    draws, V = 40_000, np.eye(linear.size)
    estimate, truth = linear.fisher(draws) @ V, linear.ggn() @ V
    # The entries' standard errors are below 2 |G| / sqrt(draws): eight of them for several hundred entries.
    assert np.abs(estimate - truth).max() <= 8 * 2 * np.abs(truth).max() / np.sqrt(draws)
    close(linear.fisher(3, seed=1) @ V, linear.fisher(3, seed=1) @ V, 0.0)


# ---- one contract for every operator --------------------------------------------------------------------------------

BUILDS = {
    f"{name}, {backend}": lambda dtype, backend=backend, size=size: linearize(
        model(), "cross_entropy", X, LABELS, dtype, backend=backend, batch_size=size
    )
    for backend in BACKENDS
    for name, size in (("one batch", None), ("batches", 4))
}
KINDS = {
    **{name: lambda linear, name=name: getattr(linear, name)() for name in OPERATORS},
    "monte carlo": lambda linear: linear.fisher(2),
    "parameter side": lambda linear: linear.ntk("parameters"),
}


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_contract(build, kind, dtype):
    A, rng = KINDS[kind](BUILDS[build](dtype)), np.random.default_rng(0)
    eps = 50 * np.finfo(dtype).eps
    assert isinstance(A, scipy.sparse.linalg.LinearOperator)
    assert A.dtype == dtype
    V, U = rng.standard_normal((A.shape[1], 5)).astype(dtype), rng.standard_normal((A.shape[0], 5)).astype(dtype)
    AV, AtU = A @ V, A.rmatmat(U)
    assert (AV.shape, AtU.shape) == ((A.shape[0], 5), (A.shape[1], 5))
    assert AV.dtype == AtU.dtype == dtype
    # adjoint, linearity, blocks as single vectors, tensors as arrays
    np.testing.assert_allclose(U.T @ AV, AtU.T @ V, atol=eps * np.abs(U.T @ AV).max() * 10)
    close(A @ (V[:, :2] - 3 * V[:, 2:4]), AV[:, :2] - 3 * AV[:, 2:4], eps)
    close(np.stack([A @ v for v in V.T], 1), AV, eps)
    close(A @ V[:, 0], AV[:, 0], eps)
    tensor = A @ torch.from_numpy(V)
    assert isinstance(tensor, torch.Tensor)
    close(tensor, AV, eps)
    close(A.rows(np.ascontiguousarray(V.T)), AV.T, eps)
    close(scipy.sparse.linalg.aslinearoperator(A).matmat(V), AV, eps)
    assert not (A @ np.zeros(A.shape[1])).any()
    if isinstance(A, Operator):
        close(AtU, A @ U, eps)


@pytest.mark.parametrize("kind", ["hessian", "ggn"])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_products_are_exact_at_any_length_of_the_vector(kind, scale):
    truth = getattr(Dense(model(), cross_entropy, X, LABELS), kind)
    for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 1e-5)):
        A = getattr(linearize(model(), "cross_entropy", X, LABELS, dtype), kind)()
        v = np.random.default_rng(0).standard_normal(A.shape[0]) * scale
        close(A @ v, truth @ v, tolerance)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_eigenvalues_scale_with_the_loss(scale):
    plain = linearize(model(), lambda f, y: nn.functional.cross_entropy(f, y), X, LABELS)
    scaled = linearize(model(), lambda f, y: scale * nn.functional.cross_entropy(f, y), X, LABELS)
    for kind in ("hessian", "ggn"):
        values = [np.linalg.eigvalsh(getattr(L, kind)() @ np.eye(L.size)) for L in (plain, scaled)]
        np.testing.assert_allclose(values[1] / scale, values[0], atol=1e-10 * np.abs(values[0]).max())


def test_scipys_solvers_find_the_extremes():
    H, truth = (
        linearize(model(), "cross_entropy", X, LABELS).hessian(),
        Dense(model(), cross_entropy, X, LABELS).hessian,
    )
    expected, start = np.linalg.eigvalsh(truth)[::-1], np.random.default_rng(0).standard_normal((43, 2))
    values = scipy.sparse.linalg.eigsh(H, 3, which="LA", v0=start[:, 0], return_eigenvectors=False)
    np.testing.assert_allclose(np.sort(values)[::-1], expected[:3], rtol=1e-8)
    values, _ = scipy.sparse.linalg.lobpcg(H, start, largest=True, maxiter=300, tol=1e-8)
    np.testing.assert_allclose(values, expected[:2], rtol=1e-8)


@pytest.mark.parametrize(
    ("make", "inputs"),
    [
        (lambda: Residual().eval(), normal(N, 1, 4, 4)),
        (Attention, integers(5, N, 4)),
        (Recurrent, normal(N, 4, 2)),
    ],
    ids=["residual", "attention", "recurrent"],
)
def test_models_as_users_write_them_in_batches(make, inputs):
    net = seeded(make)
    truth = Dense(net, cross_entropy, inputs, LABELS)
    for batch_size in (None, 4):
        linear = linearize(net, "cross_entropy", inputs, LABELS, batch_size=batch_size)
        close(linear.hessian() @ np.eye(truth.P), truth.hessian)
        close(linear.ggn() @ np.eye(truth.P), truth.ggn)


# ---- parameters -----------------------------------------------------------------------------------------------------


def test_names_say_where_each_parameter_lies():
    linear = linearize(model(), "cross_entropy", X, LABELS)
    assert list(linear.names) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert [(s.start, s.stop) for s in linear.names.values()] == [(0, 20), (20, 25), (25, 40), (40, 43)]
    assert linear.size == 43


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        ("0.weight", ["0.weight"]),
        ("*.bias", ["0.bias", "2.bias"]),
        (["2.*", "0.bias"], ["0.bias", "2.weight", "2.bias"]),
        (lambda net: net[2].weight, ["2.weight"]),
        (lambda net: list(net[0].parameters()), ["0.weight", "0.bias"]),
        (lambda net: net[0].parameters(), ["0.weight", "0.bias"]),
    ],
)
@pytest.mark.parametrize("batch_size", [None, 4])
@pytest.mark.parametrize("backend", BACKENDS)
def test_any_subset_is_a_diagonal_block(parameters, names, batch_size, backend):
    net, truth = model(), Dense(model(), cross_entropy, X, LABELS)
    wanted = parameters(net) if callable(parameters) else parameters
    linear = linearize(net, "cross_entropy", X, LABELS, parameters=wanted, batch_size=batch_size, backend=backend)
    whole = linearize(net, "cross_entropy", X, LABELS).names
    assert list(linear.names) == names
    rows = np.concatenate([np.arange(43)[whole[name]] for name in names])
    close(linear.hessian() @ np.eye(linear.size), truth.hessian[np.ix_(rows, rows)])
    close(linear.ggn() @ np.eye(linear.size), truth.ggn[np.ix_(rows, rows)])
    close(linear.gradient(), truth.gradient[rows])


def test_frozen_parameters_are_left_out_and_a_shared_one_has_either_name():
    net = model()
    net[0].weight.requires_grad_(False)
    linear = linearize(net, "cross_entropy", X, LABELS)
    assert list(linear.names) == ["0.bias", "2.weight", "2.bias"]
    tied = nn.Sequential(nn.Linear(D, D), nn.Tanh(), nn.Linear(D, D)).double()
    tied[2].weight = tied[0].weight
    assert list(linearize(tied, "mean_squared", X, X, parameters="2.weight").names) == ["0.weight"]


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ("3.weight", ValueError, "`parameters` holds '3.weight', which fits none of 0.bias, 2.bias, 2.weight"),
        ("0.weight", ValueError, "`parameters` holds '0.weight', which is frozen"),
        (torch.ones(3), ValueError, r"`parameters` holds a tensor of shape \(3,\) that is no parameter"),
        ([3], TypeError, "`parameters` holds a int"),
        ([], ValueError, "no parameter"),
    ],
)
def test_parameters_that_are_not_there_are_refused(parameters, error, message):
    net = model()
    net[0].weight.requires_grad_(False)
    with pytest.raises(error, match=message):
        linearize(net, "cross_entropy", X, LABELS, parameters=parameters)
