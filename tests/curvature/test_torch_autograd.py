"""Products by autograd: any model against the dense truth, and no trace left behind."""

import gc
import math
import os
import resource
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch_curvature import (
    Attention,
    Dense,
    PlainGroupNorm,
    PlainNorm,
    Recurrent,
    Residual,
    close,
    integers,
    mlp,
    normal,
    seeded,
)

from pyphenom.curvature import _torch_autograd
from pyphenom.curvature._torch_autograd import AutogradProducts
from pyphenom.curvature._torch_loss import as_loss
from pyphenom.curvature._torch_parameters import select

N, C = 5, 3
LABELS = integers(C, N)


def label_loss(f, y):
    return torch.nn.functional.cross_entropy(f[None], y[None])


def residual(training, norm=nn.BatchNorm2d):
    def make():
        model = Residual(norm=norm).train(training)
        with torch.no_grad():  # running statistics that are neither zero nor one
            for buffer in model.buffers():
                if buffer.is_floating_point():
                    buffer.add_(torch.rand(buffer.shape))
        return model

    return make


MODELS = {
    "mlp": (lambda: mlp(4, 5, C), normal(N, 4)),
    "batch norm, training": (residual(True), normal(N, 1, 4, 4)),
    "batch norm, evaluation": (residual(False), normal(N, 1, 4, 4)),
    "attention": (Attention, integers(5, N, 4)),
    "attention, evaluation": (lambda: Attention().eval(), integers(5, N, 4)),
    "recurrent": (Recurrent, normal(N, 4, 2)),
}


def products(model, loss, X, y, names=None, dtype=torch.float64):
    return AutogradProducts(model, as_loss(loss), X, y, select(model, names), dtype)


@pytest.fixture(scope="module", params=MODELS)
def case(request):
    make, X = MODELS[request.param]
    model = plain = seeded(make)
    if "norm" in request.param:
        plain = seeded(residual("training" in request.param, PlainNorm))
    return products(model, "cross_entropy", X, LABELS), Dense(plain, label_loss, X, LABELS, mean=False), model, X


def test_every_product_is_that_of_the_dense_matrix(case):
    ours, truth, _, _ = case
    assert (ours.size, ours.samples) == (truth.P, N)
    close(ours.loss, truth.loss)
    close(ours.outputs, truth.outputs)
    close(ours.gradient(), truth.gradient)
    V = np.random.default_rng(0).standard_normal((19, truth.P))  # more than a pass of vmap takes
    close(ours.hessian(V), V @ truth.hessian)
    close(ours.ggn(V), V @ truth.ggn)
    close(ours.jacobian(V).reshape(19, -1), V @ truth.jacobian.T)
    U = np.random.default_rng(1).standard_normal((19, N, C))
    close(ours.jacobian_transpose(U), U.reshape(19, -1) @ truth.jacobian)


def test_a_block_is_its_single_vectors(case):
    ours, truth, _, _ = case
    V = np.random.default_rng(2).standard_normal((4, truth.P))
    U = np.random.default_rng(3).standard_normal((4, N, C))
    for product, block in ((ours.hessian, V), (ours.ggn, V), (ours.jacobian, V), (ours.jacobian_transpose, U)):
        close(product(block), np.concatenate([product(block[k : k + 1]) for k in range(4)]))


def test_single_precision_is_as_exact_as_it_can_be(case):
    ours, truth, model, X = case
    single = products(model, "cross_entropy", X if X.dtype == torch.int64 else X.float(), LABELS, dtype=torch.float32)
    V = np.random.default_rng(0).standard_normal((3, truth.P)).astype(np.float32)
    for name in ("hessian", "ggn", "jacobian"):
        value = getattr(single, name)(V)
        assert value.dtype == np.float32
        close(value, getattr(ours, name)(V.astype(float)), 1e-4)


# ---- parameters ---------------------------------------------------------------------------------------------------


class Awkward(nn.Module):
    """A frozen, an unused and a shared parameter, a scalar, and one in which the model is linear."""

    def __init__(self):
        super().__init__()
        self.frozen = nn.Parameter(torch.randn(4, 4), requires_grad=False)
        self.unused = nn.Parameter(torch.randn(2, 3))
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.scale = nn.Parameter(torch.tensor(0.7))
        self.shift = nn.Parameter(torch.randn(C))
        self.head = nn.Linear(4, C)

    def forward(self, x):
        return self.head(torch.tanh(self.second(torch.tanh(self.first(x @ self.frozen))))) * self.scale + self.shift


@pytest.mark.parametrize("names", [None, ["first.weight"], ["shift"], ["unused"], ["head.bias", "scale", "unused"]])
def test_unused_frozen_and_shared_parameters(names):
    model, X = seeded(Awkward), normal(N, 4)
    truth = Dense(model, label_loss, X, LABELS, names, mean=False)
    ours = products(model, "cross_entropy", X, LABELS, names)
    assert ours.size == truth.P == (6 + 16 + 4 + 4 + 1 + C + 4 * C + C if names is None else truth.P)
    close(ours.gradient(), truth.gradient)
    close(ours.hessian(np.eye(truth.P)), truth.hessian)
    close(ours.ggn(np.eye(truth.P)), truth.ggn)
    close(ours.jacobian(np.eye(truth.P)).reshape(truth.P, -1), truth.jacobian.T)


def test_a_layer_that_stands_twice_keeps_its_parameters():
    layer, X = seeded(lambda: nn.Linear(4, 4)), normal(N, 4)
    model = nn.Sequential(layer, nn.Tanh(), layer)
    before = [*model.parameters()]
    loss = torch.nn.functional.cross_entropy(model(X), LABELS, reduction="sum")
    expected = torch.cat([value.flatten() for value in torch.autograd.grad(loss, before)])
    close(products(model, "cross_entropy", X, LABELS).gradient(), expected.numpy())
    assert all(now is then for now, then in zip(model.parameters(), before, strict=True))


def test_a_model_and_loss_linear_in_the_parameters_have_no_curvature():
    model, X = seeded(lambda: nn.Linear(4, 2)), normal(N, 4)
    ours = products(model, lambda f, y: (f * y).mean(), X, normal(N, 2))
    assert not ours.hessian(np.ones((2, 10))).any()
    assert not ours.ggn(np.ones((2, 10))).any()
    assert ours.gradient().any()


# ---- what is left behind --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_nothing_is_left_behind(name):
    make, X = MODELS[name]
    model = seeded(make)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 3.0)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state, flags = torch.get_rng_state(), [p.requires_grad for p in model.parameters()]
    ours = products(model, "cross_entropy", X, LABELS)
    ours.gradient()
    ours.hessian(np.ones((2, ours.size)))
    ours.ggn(np.ones((2, ours.size)))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all((parameter.grad == 3.0).all() for parameter in model.parameters())
    assert [p.requires_grad for p in model.parameters()] == flags
    assert torch.equal(torch.get_rng_state(), state)
    model(X)  # in working order, an LSTM's flat weights too
    assert not any(module._forward_hooks for module in model.modules())


def test_products_stay_those_of_the_parameters_as_they_were():
    model, X = seeded(lambda: mlp(4, 5, C)), normal(N, 4)
    ours = products(model, "cross_entropy", X, LABELS)
    truth = Dense(model, label_loss, X, LABELS, mean=False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.0)
    close(ours.hessian(np.eye(truth.P)), truth.hessian)
    close(ours.ggn(np.eye(truth.P)), truth.ggn)


def test_no_gradient_mode_of_the_caller_matters():
    model, X = seeded(lambda: mlp(4, 5, C)), normal(N, 4)
    truth = Dense(model, label_loss, X, LABELS, mean=False)
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            ours = products(model, "cross_entropy", X, LABELS)
            close(ours.hessian(np.eye(truth.P)), truth.hessian)
            close(ours.ggn(np.eye(truth.P)), truth.ggn)


def resident():
    """Bytes in memory; where they cannot be asked for, the most that there ever were."""
    if Path("/proc/self/statm").exists():
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@pytest.mark.parametrize("count", [1, 4])
def test_many_products_at_flat_memory(count):
    ours = products(seeded(lambda: mlp(20, 500, C)), "cross_entropy", normal(100, 20), integers(C, 100))
    V = np.ones((count, ours.size))

    def work(times):
        for _ in range(times):
            ours.hessian(V)
            ours.ggn(V)
        gc.collect()
        return resident()

    before = work(30)
    # What a product could leave is P = 12,003 numbers at least, 96 kB: 14 MB of 140.
    assert work(70) - before < 4 * 2**20


def test_one_forward_pass_and_none_after():
    calls = []

    class Counted(nn.Linear):
        def forward(self, x):
            calls.append(len(x))
            return super().forward(x)

    ours = products(seeded(lambda: Counted(4, C)), "cross_entropy", normal(N, 4), LABELS)
    assert calls == [N]
    for _ in range(3):
        ours.gradient(), ours.hessian(np.ones((4, ours.size))), ours.ggn(np.ones((4, ours.size)))
    assert calls == [N]


# ---- what cannot be done --------------------------------------------------------------------------------------------


class NoBatching(torch.autograd.Function):
    """A cube without a rule for vmap, as a user's own function may be."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        if gradient.detach().numpy().shape != x.shape:  # a batched tensor has no storage to look at
            raise AssertionError
        return 3 * x**2 * gradient


def test_what_vmap_cannot_do_is_done_one_by_one():
    class Cubic(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.outer = nn.Linear(4, 3), nn.Linear(3, C)

        def forward(self, x):
            return self.outer(NoBatching.apply(self.inner(x)))

    class Plain(Cubic):
        def forward(self, x):
            return self.outer(self.inner(x) ** 3)

    X = normal(N, 4)
    model, plain = seeded(Cubic), seeded(Plain)
    truth, ours = Dense(plain, label_loss, X, LABELS, mean=False), products(model, "cross_entropy", X, LABELS)
    close(ours.hessian(np.eye(truth.P)), truth.hessian)
    close(ours.ggn(np.eye(truth.P)), truth.ggn)
    assert ours._chunk == 1


def test_group_norm_whose_batching_rule_fails():
    def make(norm):
        return lambda: nn.Sequential(nn.Linear(4, 4), norm(2, 4), nn.Tanh(), nn.Linear(4, C))

    X = normal(N, 4)
    truth = Dense(seeded(make(PlainGroupNorm)), label_loss, X, LABELS, mean=False)
    ours = products(seeded(make(nn.GroupNorm)), "cross_entropy", X, LABELS)
    close(ours.hessian(np.eye(truth.P)), truth.hessian)
    close(ours.ggn(np.eye(truth.P)), truth.ggn)


@pytest.mark.parametrize("product", ["hessian", "ggn", "jacobian"])
def test_a_wrong_batching_rule_is_noticed(product, monkeypatch):
    derivative = _torch_autograd._derivative

    def mixed_up(outputs, inputs, vectors, batched=False):
        pieces = derivative(outputs, inputs, vectors, batched)
        return tuple(piece.roll(1, 0) for piece in pieces) if batched else pieces

    model, X = seeded(lambda: mlp(4, 5, C)), normal(N, 4)
    truth = getattr(products(model, "cross_entropy", X, LABELS), product)(np.eye(43))
    monkeypatch.setattr(_torch_autograd, "_derivative", mixed_up)
    ours = products(model, "cross_entropy", X, LABELS)
    close(getattr(ours, product)(np.eye(43)), truth)
    assert ours._chunk == 1


def test_large_work_is_not_batched(monkeypatch):
    model, X = seeded(lambda: mlp(4, 5, C)), normal(N, 4)
    monkeypatch.setattr(_torch_autograd, "_WORK", 3 * N * 43)
    ours = products(model, "cross_entropy", X, LABELS)
    assert (ours.size, ours._chunk) == (43, 3)
    truth = Dense(model, label_loss, X, LABELS, mean=False)
    close(ours.hessian(np.eye(43)), truth.hessian)
    monkeypatch.setattr(_torch_autograd, "_WORK", 0)
    assert products(model, "cross_entropy", X, LABELS)._chunk == 1


@pytest.mark.parametrize(
    "random",
    [
        nn.Dropout(0.5),
        nn.Dropout1d(0.1),
        nn.TransformerEncoderLayer(4, 2, 6, dropout=0.1),
        nn.LSTM(4, 4, num_layers=2, dropout=0.3),
        nn.RReLU(),
    ],
    ids=lambda module: type(module).__name__,
)
def test_random_numbers_in_the_forward_pass_are_refused(random):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.random, self.head = random, nn.Linear(4, C)

        def forward(self, x):
            out = self.random(x)
            return self.head(out[0] if isinstance(out, tuple) else out)

    model, state = Model().double().train(), torch.get_rng_state()
    with pytest.raises(ValueError, match=r"`model` draws random numbers .* model.eval\(\)"):
        products(model, "cross_entropy", normal(N, 4), LABELS)
    assert torch.equal(torch.get_rng_state(), state)
    assert math.isfinite(products(model.eval(), "cross_entropy", normal(N, 4), LABELS).loss)


def test_a_model_gives_one_tensor():
    class Pair(nn.Linear):
        def forward(self, x):
            return super().forward(x), x

    with pytest.raises(TypeError, match="`model` gives a tuple"):
        products(seeded(lambda: Pair(4, C)), "cross_entropy", normal(N, 4), LABELS)
