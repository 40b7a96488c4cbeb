"""`linearize` in use: the point, precision, how often the model is called, and what is refused."""

import copy
import weakref
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torch_curvature import Dense, Recurrent, close, integers, mlp, normal, seeded

import pyphenom as ph
from pyphenom.curvature import linearize, torch_linearize

N, D, C = 10, 4, 3
X, LABELS, TARGETS = normal(N, D), integers(C, N), normal(N, C, seed=1)
BACKENDS = ["autograd"] + ["native"] * (find_spec("pyphenom.curvature._torch_native") is not None)


def model():
    return seeded(lambda: mlp(D, 5, C))


def cross_entropy(f, y):
    return nn.functional.cross_entropy(f[None], y[None])


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
    kinds = [getattr(linear, name)() for name in ("hessian", "ggn", "fisher", "ntk", "jacobian")]
    for operator in (*kinds, linear.fisher(2), linear.ntk("parameters")):
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
        ({"X": X[:, :3]}, ValueError, r"`model` does not take `X` of shape \(10, 3\).*: mat1 and mat2"),
        ({"X": X.flatten(0), "y": integers(C, 40)}, ValueError, r"`model` does not take `X` of shape \(40,\)"),
        ({"X": X.index_fill(1, torch.tensor([2]), np.nan)}, ValueError, r"`X` holds nan at index \(0, 2\)"),
        ({"X": X / 0}, ValueError, r"`X` holds -?inf at index \(0, 0\)"),
        ({"loss": "mean_squared", "y": TARGETS / 0}, ValueError, r"`y` holds -?inf at index \(0, 0\)"),
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
        ([(X, LABELS), (X / 0, LABELS)], ValueError, "`X` holds -?inf"),
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
