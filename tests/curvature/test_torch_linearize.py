"""`linearize`: every operator against the dense truth, cuts of the data, selections, precision, and what is refused."""

import copy
import weakref
from importlib.util import find_spec

import numpy as np
import pytest
import scipy.sparse.linalg
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torch_curvature import Attention, Dense, Recurrent, Residual, close, integers, mlp, normal, seeded

import pyphenom as ph
from pyphenom.curvature import Operator, linearize, torch_linearize

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


# ---- the point, precision, work --------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [None, 4])
@pytest.mark.parametrize("backend", BACKENDS)
def test_operators_stay_at_their_point_until_refreshed(batch_size, backend):
    net = model()
    linear = linearize(net, "cross_entropy", X, LABELS, batch_size=batch_size, backend=backend)
    H, F, before = linear.hessian(), linear.fisher(3), Dense(net, cross_entropy, X, LABELS)
    drawn = F @ np.eye(43)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(1.5)
    close(H @ np.eye(43), before.hessian)
    close(linear.gradient(), before.gradient)
    linear.refresh()
    after = Dense(net, cross_entropy, X, LABELS)
    close(H @ np.eye(43), after.hessian)
    close(linear.loss, after.loss)
    assert not np.allclose(F @ np.eye(43), drawn)
    close(F @ np.eye(43), linearize(net, "cross_entropy", X, LABELS).fisher(3) @ np.eye(43))


def test_double_under_a_single_default_and_the_reverse():
    net, truth = model(), Dense(model(), cross_entropy, X, LABELS)
    default = torch.get_default_dtype()
    try:
        for dtype in (torch.float32, torch.float64):
            torch.set_default_dtype(dtype)
            double = linearize(net, "cross_entropy", X, LABELS)
            single = linearize(copy.deepcopy(net).float(), "cross_entropy", X, LABELS)
            assert (double.dtype, single.dtype) == (np.float64, np.float32)
            for kind in ("hessian", "ggn", "fisher"):
                close(getattr(double, kind)() @ np.eye(43), getattr(truth, kind))
                assert (getattr(single, kind)() @ np.eye(43, dtype=np.float32)).dtype == np.float32
    finally:
        torch.set_default_dtype(default)


@pytest.mark.parametrize("dtype", [torch.float64, np.float64, "float64", float])
def test_precision_is_that_of_a_copy(dtype):
    net = model().float()
    linear = linearize(net, "cross_entropy", X, LABELS, dtype)
    assert linear.dtype == np.float64
    assert all(parameter.dtype == torch.float32 for parameter in net.parameters())
    close(linear.hessian() @ np.eye(43), Dense(net.double(), cross_entropy, X, LABELS).hessian)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_of_a_loss_take_the_type_of_the_computation(dtype):
    weights = torch.tensor([1.0, 2.0, 3.0])
    given = nn.CrossEntropyLoss(weights, reduction="sum")
    linear = linearize(model().float(), given, X, LABELS, dtype)

    def sample_loss(f, y):
        return nn.functional.cross_entropy(f[None], y[None], weights.double(), reduction="sum")

    truth = Dense(model().float().double(), sample_loss, X, LABELS, mean=False)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    close(linear.loss, truth.loss, tolerance)
    for kind in ("hessian", "ggn", "fisher"):
        close(getattr(linear, kind)() @ np.eye(43), getattr(truth, kind), tolerance)
    assert given.weight is weights


def test_wrapped_models_are_unwrapped():
    net, truth = model(), Dense(model(), cross_entropy, X, LABELS)
    for wrapped in (torch.compile(net, backend="eager"), nn.DataParallel(net)):
        linear = linearize(wrapped, "cross_entropy", X, LABELS)
        assert next(iter(linear.names)) == "0.weight"
        close(linear.hessian() @ np.eye(43), truth.hessian)


def test_half_precision_asks_for_a_type():
    with pytest.raises(TypeError, match=r"`dtype` is bfloat16; expected float32 or float64. Pass dtype=torch.float32"):
        linearize(model().bfloat16(), "cross_entropy", X, LABELS)
    assert linearize(model().bfloat16(), "cross_entropy", X, LABELS, torch.float32).dtype == np.float32


class Counted(nn.Sequential):
    calls = 0

    def forward(self, x):
        type(self).calls += 1
        return super().forward(x)


@pytest.mark.parametrize(("batch_size", "at_once", "per_product"), [(None, 1, 0), (4, 0, 3)])
def test_how_often_the_model_is_called(batch_size, at_once, per_product):
    net = Counted(*model())
    Counted.calls = 0
    linear = linearize(net, "cross_entropy", X, LABELS, batch_size=batch_size)
    H = linear.hessian()
    assert Counted.calls == at_once
    for _ in range(2):
        Counted.calls = 0
        H @ np.ones((43, 16))
        assert Counted.calls == per_product


def test_one_batch_at_a_time_is_in_memory(monkeypatch):
    alive, most = weakref.WeakSet(), []

    class Watched(torch_linearize.AutogradProducts):
        def __init__(self, *args):
            alive.add(self)
            most.append(len(alive))
            super().__init__(*args)

    monkeypatch.setattr(torch_linearize, "AutogradProducts", Watched)
    linear = linearize(model(), "cross_entropy", X, LABELS, batch_size=2, backend="autograd")
    linear.outputs(), linear.gradient(), linear.loss
    for kind in KINDS.values():
        operator = kind(linear)
        operator.rmatmat(operator @ np.ones((operator.shape[1], 2)))
    assert len(most) > 50
    assert max(most) == 1
    linear = linearize(model(), "cross_entropy", X, LABELS, backend="autograd")
    linear.hessian() @ np.ones(43)
    linear.refresh()
    assert max(most) == 1


def test_progress_is_told_after_each_batch():
    told = []
    linear = linearize(model(), "cross_entropy", X, LABELS, batch_size=4, progress=lambda *at: told.append(at))
    linear.hessian() @ np.ones(43)
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_loader_leaves_the_random_state_and_keeps_its_order():
    data = TensorDataset(X, LABELS)
    own = torch.Generator().manual_seed(3)
    for loader in (DataLoader(data, 4, shuffle=True), DataLoader(data, 4, shuffle=True, generator=own)):
        linear = linearize(model(), "cross_entropy", loader)
        state, outputs = torch.get_rng_state(), linear.outputs()
        assert torch.equal(torch.get_rng_state(), state)
        torch.rand(3)  # the caller goes on
        close(linear.outputs(), outputs, 0.0)
        truth = Dense(model(), cross_entropy, X, LABELS)
        J = linear.jacobian() @ np.eye(43)
        close(J.T @ J, truth.jacobian.T @ truth.jacobian)
        close(linear.ntk("samples") @ np.eye(30), J @ J.T)


def test_the_smaller_side_of_the_kernel_is_taken():
    assert linearize(model(), "cross_entropy", X, LABELS).ntk().shape == (30, 30)
    assert linearize(model(), "cross_entropy", X, LABELS, parameters="2.bias").ntk().shape == (3, 3)
    assert linearize(model(), "cross_entropy", X, LABELS, batch_size=4).ntk().shape == (30, 30)
    truth = Dense(model(), cross_entropy, X, LABELS).jacobian
    spectra = [linearize(model(), "cross_entropy", X, LABELS).ntk(side) for side in ("samples", "parameters")]
    values = [np.sort(np.linalg.eigvalsh(K @ np.eye(K.shape[0])))[::-1][:25] for K in spectra]
    squares = np.linalg.svd(truth)[1][:25] ** 2
    for value in values:
        np.testing.assert_allclose(value, squares, atol=1e-12 * squares[0])


def test_closed_form_of_linear_regression():
    net = seeded(lambda: nn.Linear(D, 1, bias=False))
    linear = linearize(net, "half_squared", X, TARGETS[:, 0])
    covariance = (X.T @ X / N).numpy()
    close(linear.hessian() @ np.eye(D), covariance)
    close(linear.ggn() @ np.eye(D), covariance)
    close(linear.gradient(), (X.T @ (X @ net.weight[0] - TARGETS[:, 0]) / N).detach())
    close(linear.ntk("samples") @ np.eye(N), (X @ X.T).numpy())


def test_softmax_regression_at_zero():
    net = nn.Linear(D, C, bias=False).double()
    nn.init.zeros_(net.weight)
    H = linearize(net, "cross_entropy", X, LABELS).hessian() @ np.eye(C * D)
    close(H, np.kron(np.eye(C) / C - np.ones((C, C)) / C**2, (X.T @ X / N).numpy()))


def test_it_reads_well_and_loads_late():
    linear = linearize(model(), "cross_entropy", X, LABELS, backend="autograd")
    assert repr(linear) == "Linearization(43 parameters, 10 samples, cross_entropy loss, float64, autograd)"
    assert linear.backend == "autograd"
    assert "not yet counted" in repr(linearize(model(), "cross_entropy", X, LABELS, batch_size=4))
    assert ph.curvature.linearize is linearize
    with pytest.raises(AttributeError, match="no attribute 'hessian'"):
        ph.curvature.hessian


# ---- what is refused -------------------------------------------------------------------------------------------------


class Drifting:
    """A stream that loses a sample each time it is read."""

    def __init__(self):
        self.left = N

    def __iter__(self):
        self.left -= 1
        yield X[: self.left], LABELS[: self.left]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"model": lambda x: x}, TypeError, "`model` is a function"),
        ({"loss": "l2"}, ValueError, "`loss` is 'l2'"),
        ({"y": None}, TypeError, "`y` is missing"),
        ({"y": LABELS[:-1]}, ValueError, r"`X` and `y` have the shapes \(10, 4\) and \(9,\)"),
        ({"X": X[:0], "y": LABELS[:0]}, ValueError, "at least one"),
        ({"X": np.array([["a"]])}, TypeError, "`X` has dtype <U1"),
        ({"X": iter([(X, LABELS)]), "y": None}, TypeError, r"`X` is a list_iterator, .* Pass list\(X\)"),
        ({"X": [(X, LABELS)], "y": None, "batch_size": 3}, ValueError, "`batch_size` is for tensors"),
        ({"batch_size": 0}, ValueError, "`batch_size` is 0"),
        ({"backend": "cuda"}, ValueError, "`backend` is 'cuda'"),
        ({"dtype": torch.float16}, TypeError, "`dtype` is float16"),
        ({"dtype": int}, TypeError, "`dtype` is int64"),
        ({"y": LABELS + 1}, ValueError, "`y` holds class 3"),
    ],
)
def test_wrong_arguments_are_refused_at_once(changes, error, message):
    good = {"model": model(), "loss": "cross_entropy", "X": X, "y": LABELS}
    linearize(**good)
    with pytest.raises(error, match=message):
        linearize(**{**good, **changes})


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ([], ValueError, "`X` gives no batch"),
        ([X], TypeError, r"`X` gives a Tensor; expected pairs \(X, y\)"),
    ],
)
def test_streams_of_something_else_are_refused(data, error, message):
    with pytest.raises(error, match=message):
        linearize(model(), "cross_entropy", data).gradient()


def test_data_that_change_between_passes_are_noticed():
    linear = linearize(model(), "cross_entropy", Drifting())
    linear.gradient()
    with pytest.raises(RuntimeError, match="`X` gave 8 samples in this pass and 9 before"):
        linear.hessian() @ np.ones(43)


def test_fisher_and_kernel_arguments():
    linear = linearize(model(), lambda f, y: nn.functional.cross_entropy(f, y), X, LABELS)
    with pytest.raises(ValueError, match="likelihood"):
        linear.fisher(3)
    for bad in ({"samples": 0}, {"samples": 1.5}, {"seed": -1}):
        with pytest.raises((ValueError, TypeError), match=f"`{next(iter(bad))}` is"):
            linearize(model(), "cross_entropy", X, LABELS).fisher(**{"samples": 2, **bad})
    with pytest.raises(ValueError, match="`side` is 'both'"):
        linear.ntk("both")


def test_native_kernels_are_refused_where_there_are_none():
    with pytest.raises(ValueError, match="`backend` is 'native', which has no kernel"):
        linearize(seeded(Recurrent), "cross_entropy", normal(N, 4, 2), LABELS, backend="native")
