"""The compiled steps of fully connected networks: which take them, and that they are those of autograd.

That whole trainings are right is for test_training.
"""

import copy
import os
import signal
import threading
import time
import tracemalloc

import numpy as np
import pytest
import torch
from torch import nn

from pyphenom.networks import Recipe, Stack, mlp, train, training
from pyphenom.networks._batches import batches
from pyphenom.networks._dense import dense_steps

N, CLASSES = 300, 4  # more samples than go through the layers together
STREAM = torch.Generator().manual_seed(0)
X = torch.randn(N, 3, generator=STREAM).double()
Y = torch.randint(0, CLASSES, (2, N), generator=STREAM)
TARGETS = nn.functional.one_hot(Y, CLASSES).double() * 3.0


def made(*behind, width=5, frozen=False, before=()):
    with torch.random.fork_rng():
        torch.manual_seed(width)
        layers = [*copy.deepcopy(before), nn.Linear(3, width), *copy.deepcopy(behind), nn.Linear(width, CLASSES)]
    model = nn.Sequential(*layers).double()
    model[len(before)].bias.requires_grad_(not frozen)
    return model


@pytest.mark.parametrize(
    ("model", "compiled"),
    [
        (made(nn.ReLU()), True),
        (made(nn.Tanh(), nn.Linear(5, 5), nn.Identity()), True),
        (made(), True),
        (nn.Sequential(nn.Linear(3, CLASSES)).double(), True),
        (made(nn.ReLU()).float(), True),
        (made(nn.ReLU()).half(), False),
        (made(nn.ReLU(), nn.Tanh()), False),
        (made(nn.ReLU(), before=[nn.ReLU()]), False),
        (made(nn.Sigmoid()), False),
        (made(nn.ReLU(), frozen=True), False),
        (made(nn.LayerNorm(5)), False),
    ],
    ids=str,
)
def test_autograd_is_used_where_it_is_needed_only(monkeypatch, model, compiled):
    used, loss = [], training._loss
    monkeypatch.setattr(training, "_loss", lambda *arguments: used.append(1) or loss(*arguments))
    train([model], X.to(model[-1].weight.dtype), Y[0], Recipe(3, 0.1, 4))
    assert len(used) == (0 if compiled else 3)


@pytest.mark.parametrize(
    "behind",
    [(nn.ReLU(),), (nn.Tanh(),), (), (nn.Tanh(), nn.Linear(5, 5), nn.ReLU()), (nn.Linear(5, 40), nn.Linear(40, 5))],
    ids=str,
)
@pytest.mark.parametrize("loss", ["cross-entropy", "squared"])
@pytest.mark.parametrize("drawn", ["all", "shared", "own"])
def test_a_step_follows_the_gradient_of_autograd(behind, loss, drawn):
    stack = Stack([made(*behind, width=5), made(*behind, width=5)])
    rows = {
        "all": None,
        "shared": torch.arange(N).flip(0)[:200],
        "own": torch.stack([torch.arange(7), torch.arange(7) * 9]),
    }[drawn]
    truth = TARGETS if loss == "squared" else Y
    samples, chosen = (X, truth) if rows is None else (X[rows], training._rows(truth, rows))
    training._loss(stack, samples, chosen, samples.ndim == 2, loss).backward()
    expected = {name: value.detach() - 0.1 * value.grad for name, value in stack.parameters.items()}
    advance = dense_steps(stack, X, truth, Recipe(1, 0.1, loss=loss, momentum=0.0), False)
    advance(None if rows is None else rows[None].numpy(), [0.1])
    for name, value in stack.parameters.items():
        torch.testing.assert_close(value.detach(), expected[name], rtol=1e-12, atol=1e-14)


def test_narrow_networks_and_what_pads_them():
    models = [mlp((3, width, CLASSES), seed=width, dtype=torch.float64) for width in (1, 2, 17)]
    stack = Stack(models)
    advance = dense_steps(stack, X, Y[:1], Recipe(1, 0.1, weight_decay=0.1, optimiser="adam"), False)
    advance(np.arange(60).reshape(3, 20), [0.1] * 3)
    assert not stack.parameters["0.weight"][0, 1:].any()
    assert not stack.parameters["2.weight"][1, :, 2:].any()
    assert stack.parameters["0.weight"][2].all()


def test_steps_may_be_taken_in_any_blocks():
    ends = []
    for cuts in ([12], [5, 7], [1] * 12):
        stack = Stack([mlp((3, 6, CLASSES), seed=m, dtype=torch.float64) for m in range(2)])
        advance, draw = dense_steps(stack, X, Y, Recipe(12, 0.1), False), batches(2, N, None, 3, 20)
        for steps in cuts:
            advance(draw(steps), [0.1] * steps)
        ends.append(stack.parameters["0.weight"].detach())
    assert torch.equal(ends[0], ends[1])
    assert torch.equal(ends[0], ends[2])


def alone(dtype, *weights):
    model = nn.Sequential(nn.Linear(1, 2)).to(dtype)
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor(weights)[:, None])
        model[0].bias.zero_()
    return model


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_outputs_where_exponentials_overflow(dtype):
    model, one = alone(dtype, 1e4, 0.0), torch.ones(1, 1, dtype=dtype)
    train([model], one, torch.tensor([1]), Recipe(1, 1.0, momentum=0.0))
    torch.testing.assert_close(model[0].weight.detach(), torch.tensor([[1e4 - 1.0], [1.0]], dtype=dtype))
    history = train(
        [alone(dtype, 1.0, 1.0)], one, 1e30 * torch.ones(1, 2, dtype=dtype), Recipe(40, 1e10, loss="squared")
    )
    assert history.diverged.all()


def test_no_sample_is_lost_where_blocks_of_batches_meet():
    # 5 batches of a permutation of 11, drawn in pieces
    rng, expected, draw = np.random.default_rng(3), [], batches(1, 11, None, 3, 2)
    while len(expected) < 200:
        expected += list(rng.permutation(11)[:10].reshape(5, 2))
    drawn = np.concatenate([draw(steps) for steps in (1, 64, 7, 128)])
    np.testing.assert_array_equal(drawn, expected[:200])


def test_all_samples_of_a_subset_lie_there_once():
    drawn = batches(2, 9, [[0, 1], [2, 3]], 0, None)(5)
    assert drawn.tolist() == [[[0, 1], [2, 3]]] * 5
    assert drawn.strides[0] == 0


@pytest.mark.parametrize("batch", [[0, N], [-1, 0], []])
def test_batches_hold_samples(batch):
    advance = dense_steps(Stack([made()]), X, Y[:1], Recipe(1, 0.1), False)
    with pytest.raises(ValueError, match="`batches` is empty or out of range; expected indices of samples"):
        advance(np.array([batch], dtype=np.int64), [0.1])


@pytest.mark.parametrize("label", [CLASSES, -1])
def test_labels_are_those_of_outputs(label):
    labels = Y[:1].clone()
    labels[0, -1] = label
    with pytest.raises(ValueError, match="`labels` is out of range; expected classes from 0"):
        dense_steps(Stack([made()]), X, labels, Recipe(1, 0.1), False)


def test_all_samples_of_subsets_are_not_copied_for_every_step():
    inputs, rows = torch.zeros(10_000, 3), np.arange(10_000)
    models = [mlp((3, 1, 2), seed=m) for m in range(2)]
    tracemalloc.start()
    try:
        train(models, inputs, torch.zeros(10_000, dtype=torch.int64), Recipe(10, 0.1), subsets=[rows, rows[::-1]])
        assert tracemalloc.get_traced_memory()[1] < 10 * rows.nbytes  # a copy for each of the ten steps takes 20
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_an_interrupt_is_heard_between_two_steps():
    inputs, labels = torch.ones(5000, 100), torch.zeros(5000, dtype=torch.int64)
    models = [mlp((100, 256, 2), seed=m) for m in range(60)]
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    start = time.monotonic()
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        train(models, inputs, labels, Recipe(64, 0.1))
    assert time.monotonic() - start < 8
