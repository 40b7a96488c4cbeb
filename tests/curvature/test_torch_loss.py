"""Losses: value, gradient and Hessian in the outputs against torch's own, drawn targets, and what is refused."""

import math
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch_curvature import close, hessian, integers, normal

from pyphenom.curvature._torch_loss import as_loss

N, C = 4, 3
F, TARGETS, LABELS = normal(N, C), normal(N, C, seed=1), integers(C, N)
SOFT = TARGETS.softmax(1)
BINARY = integers(2, N, C).double()
IMAGES, IMAGE_LABELS = normal(N, C, 2, 2), integers(C, N, 2, 2)

# loss as given, what it is of the whole batch in torch's words, outputs, targets
CASES = {
    "mse": (nn.MSELoss(), nn.MSELoss(), F, TARGETS),
    "mse sum": (nn.MSELoss(reduction="sum"), nn.MSELoss(reduction="sum"), F, TARGETS),
    "mse function": (functional.mse_loss, nn.MSELoss(), F, TARGETS),
    "mean_squared": ("mean_squared", nn.MSELoss(), F, TARGETS),
    "half_squared": ("half_squared", lambda f, y: ((f - y) ** 2).sum(1).mean() / 2, F, TARGETS),
    "cross entropy": (nn.CrossEntropyLoss(), nn.CrossEntropyLoss(), F, LABELS),
    "cross entropy sum": (nn.CrossEntropyLoss(reduction="sum"), nn.CrossEntropyLoss(reduction="sum"), F, LABELS),
    "cross entropy function": (functional.cross_entropy, nn.CrossEntropyLoss(), F, LABELS),
    "cross_entropy": ("cross_entropy", nn.CrossEntropyLoss(), F, LABELS),
    "smoothed": (nn.CrossEntropyLoss(label_smoothing=0.1), nn.CrossEntropyLoss(label_smoothing=0.1), F, LABELS),
    "probabilities": (nn.CrossEntropyLoss(), nn.CrossEntropyLoss(), F, SOFT),
    "smoothed masses": (
        nn.CrossEntropyLoss(label_smoothing=0.2),
        nn.CrossEntropyLoss(label_smoothing=0.2),
        F,
        3 * SOFT,
    ),
    "pixels": (nn.CrossEntropyLoss(), nn.CrossEntropyLoss(), IMAGES, IMAGE_LABELS),
    "binary": (nn.BCEWithLogitsLoss(), nn.BCEWithLogitsLoss(), F, BINARY),
    "binary_cross_entropy": ("binary_cross_entropy", nn.BCEWithLogitsLoss(), F, BINARY),
    "binary sum": (nn.BCEWithLogitsLoss(reduction="sum"), nn.BCEWithLogitsLoss(reduction="sum"), F, BINARY),
    "positive weight": (nn.BCEWithLogitsLoss(pos_weight=torch.tensor(3.0)),) * 2 + (F, BINARY),
    "class weight": (nn.CrossEntropyLoss(torch.tensor([1.0, 2.0, 3.0]).double(), reduction="sum"),) * 2 + (F, LABELS),
    "huber": (nn.HuberLoss(), nn.HuberLoss(), F, TARGETS),
    "own": (lambda f, y: ((f - y) ** 4).mean(),) * 2 + (F, TARGETS),
    "linear": (lambda f, y: (f * y).mean(),) * 2 + (F, TARGETS),
}
CLOSED = [name for name in CASES if name not in ("positive weight", "class weight", "huber", "own", "linear")]


@pytest.mark.parametrize("name", CASES)
def test_value_gradient_and_hessian_are_torchs(name):
    given, whole, f, y = CASES[name]
    loss = as_loss(given)
    assert (loss.kind == "user") == (name not in CLOSED)
    y = loss.prepared(f, y)
    weight = 1.0 / N if loss.mean else 1.0
    close(weight * loss.value(f, y), whole(f, y))
    x = f.clone().requires_grad_()
    close(weight * loss.gradient(f, y), torch.autograd.grad(whole(x, y), x)[0])
    V = normal(5, *f.shape, seed=3)
    truth = hessian(lambda x: whole(x, y))(f).reshape(f.numel(), f.numel())
    product = loss.hessian(f, y, V).reshape(5, -1)
    if name == "linear":
        assert not product.any()
        assert not truth.any()
    else:
        close(weight * product, V.reshape(5, -1) @ truth)


@pytest.mark.parametrize("name", [name for name in CLOSED if name not in ("probabilities", "smoothed masses")])
def test_drawn_gradients_have_the_hessian_as_covariance(name):
    given, _, f, y = CASES[name]
    loss, draws = as_loss(given), 200_000
    g = loss.sampled_gradients(f, draws, np.random.default_rng(0)).reshape(draws, N, -1)
    for i in range(N):
        target = loss.prepared(f, y)[i : i + 1]
        truth = hessian(lambda x, target=target: loss.value(x, target))(f[i : i + 1]).reshape(g.shape[2], g.shape[2])
        second = torch.einsum("ma,mb->ab", g[:, i], g[:, i]) / draws
        # The products of two entries are below 4 w in size but for Gaussian tails: six standard errors of their mean,
        # which one in 1e8 draws exceeds.
        w = loss.weight(tuple(f.shape))
        assert (second - truth).abs().max() <= 6 * 4 * w / math.sqrt(draws)
        assert g[:, i].mean(0).abs().max() <= 6 * math.sqrt(2 * w / draws)


@pytest.mark.parametrize("name", ["mse", "cross entropy", "pixels", "binary"])
def test_draws_do_not_depend_on_the_cut_into_batches(name):
    given, _, f, _ = CASES[name]
    loss = as_loss(given)
    whole = loss.sampled_gradients(f, 5, np.random.default_rng(7))
    rng = np.random.default_rng(7)
    parts = [loss.sampled_gradients(f[rows], 5, rng) for rows in (slice(0, 3), slice(3, 4))]
    assert torch.equal(whole, torch.cat(parts, 1))


def test_a_drawn_class_is_the_one_whose_probability_is_one():
    f = torch.tensor([[0.0, 800.0, 0.0]], dtype=torch.float64)
    drawn = as_loss("cross_entropy").sampled_gradients(f, 100, np.random.default_rng(0))
    assert not drawn.any()


def test_a_column_of_targets_is_not_broadcast():
    loss = as_loss("mean_squared")
    f, y = normal(N, 1), normal(N, seed=1)
    close(loss.value(f, loss.prepared(f, y)) / N, ((f[:, 0] - y) ** 2).mean())


def test_integers_of_any_width_are_labels_and_targets():
    loss = as_loss("cross_entropy")
    assert loss.prepared(F, LABELS.to(torch.int32)).dtype == torch.int64
    assert as_loss("mean_squared").prepared(F, LABELS[:, None].expand(N, C)).dtype == torch.float64


def test_a_sum_is_asked_for_by_argument():
    loss = as_loss(lambda f, y: ((f - y) ** 2).sum(), "sum")
    assert not loss.mean
    close(loss.value(F, TARGETS), ((F - TARGETS) ** 2).sum())
    assert not as_loss("half_squared", "sum").mean
    assert as_loss("cross_entropy", "sum").factor == 1.0
    assert pickle.loads(pickle.dumps(as_loss("half_squared"))) == as_loss("half_squared")


@pytest.mark.parametrize(
    ("loss", "reduction", "error", "message"),
    [
        ("mse", None, ValueError, "`loss` is 'mse'; expected one of 'mean_squared'"),
        (3, None, TypeError, "`loss` is a int"),
        (nn.BCEWithLogitsLoss, None, TypeError, r"`loss` is the class .* Pass BCEWithLogitsLoss\(\)"),
        (nn.MSELoss(reduction="none"), None, ValueError, "`loss` has reduction='none'"),
        (nn.MSELoss(), "sum", ValueError, "`reduction` is 'sum' and `loss` has 'mean'"),
        ("mean_squared", "median", ValueError, "`reduction` is 'median'"),
        (nn.CrossEntropyLoss(torch.ones(C)), None, ValueError, "Use CrossEntropyLoss"),
    ],
)
def test_losses_that_do_not_add_up_are_refused(loss, reduction, error, message):
    with pytest.raises(error, match=message):
        as_loss(loss, reduction)


@pytest.mark.parametrize(
    ("loss", "f", "y", "message"),
    [
        ("cross_entropy", F, LABELS[:-1], r"`y` has shape \(3,\) and the model's outputs \(4, 3\)"),
        ("cross_entropy", F, LABELS + 1, "`y` holds class 3; expected 0 to 2"),
        ("cross_entropy", F, LABELS - 100, "`y` holds class -"),
        ("cross_entropy", F, LABELS.double(), r"`y` has shape \(4,\) and dtype torch.float64; expected class indices"),
        ("cross_entropy", F, BINARY.long(), "expected class indices"),
        ("cross_entropy", F[:, 0], LABELS, r"outputs have shape \(4,\); expected \(n, classes"),
        ("mean_squared", F, TARGETS[:, :2], r"`y` has shape \(4, 2\); expected \(4, 3\)"),
        (nn.BCEWithLogitsLoss(), F, LABELS, r"`y` has shape \(4,\); expected \(4, 3\)"),
    ],
)
def test_targets_that_do_not_fit_are_refused(loss, f, y, message):
    with pytest.raises(ValueError, match=message):
        as_loss(loss).prepared(f, y)


@pytest.mark.parametrize("loss", [lambda f, y: (f - y) ** 2, lambda f, y: 1.0])
def test_an_own_loss_gives_a_scalar(loss):
    with pytest.raises(ValueError, match="expected a scalar tensor"):
        as_loss(loss).value(F, TARGETS)


def test_an_own_loss_has_no_likelihood():
    with pytest.raises(ValueError, match=r"Use fisher\(samples=None\)"):
        as_loss(lambda f, y: f.sum()).sampled_gradients(F, 1, np.random.default_rng(0))
