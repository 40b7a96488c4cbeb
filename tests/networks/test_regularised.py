"""The stack of regularised networks: its order, and what it refuses to mix. Its gradients are tested with its study."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from pyphenom.networks import mlp
from pyphenom.networks.regularised import Regularised

DECAY, DROPOUT = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5], [0.5, 0.0, 0.25, 0.0, 0.75, 0.0]
MOVED, NORMED = [1, 0, 0, 1, 1, 0], [0, 1, 0, 1, 0, 1]


def members(dtype=torch.float64):
    return Regularised(mlp((4, 6, 3), seed=1, dtype=dtype), DECAY, DROPOUT, MOVED, NORMED)


def test_gradients_are_those_of_autograd_for_each_member_alone():
    stack, stream = members(), torch.Generator().manual_seed(0)
    for value in stack.parameters:
        value += 0.3 * torch.randn(value.shape, generator=stream, dtype=value.dtype)
    still, moved = torch.randn(2, 7, 4, generator=stream, dtype=torch.float64)
    truth = torch.randint(3, (6, 7), generator=stream)
    uniform, dropped = torch.rand(7, 6, generator=stream), stack.dropout[:, None, None]
    kept = (uniform >= dropped) / (1.0 - dropped)
    assert len(kept.flatten(1).unique(dim=0)) == len(set(DROPOUT))
    stack.differentiate(still, moved, truth, uniform)
    for place, given in enumerate(stack.order):
        own = [value[place].clone().requires_grad_() for value in stack.parameters[:4]]
        z = (moved if MOVED[given] else still) @ own[0].T + own[1]
        if NORMED[given]:
            at = place - stack.normed.start
            own += [value[at].clone().requires_grad_() for value in stack.parameters[4:]]
            z = functional.batch_norm(z, None, None, own[4][0], own[5][0], training=True)
        outputs = (torch.relu(z) * kept[place]) @ own[2].T + own[3].T
        expected = torch.autograd.grad(functional.cross_entropy(outputs, truth[place]), own)
        for index, slope in enumerate(expected):
            here = stack.gradients[index][place if index < 4 else place - stack.normed.start]
            torch.testing.assert_close(here, slope, rtol=0, atol=1e-13)
        assert stack.decay[place].item() == DECAY[given]
        assert stack.dropout[place].item() == DROPOUT[given]


def test_evaluation_has_the_statistics_of_training_inputs_and_the_order_given():
    stack, stream = members(), torch.Generator().manual_seed(1)
    for value in stack.parameters:
        value += 0.3 * torch.randn(value.shape, generator=stream, dtype=value.dtype)
    train, x = torch.randn(9, 4, generator=stream, dtype=torch.float64), torch.ones(2, 4, dtype=torch.float64)
    found = stack.evaluated(x, train)
    for place, given in enumerate(stack.order):
        W, b, V, c = (value[place] for value in stack.parameters[:4])
        norm = nn.Identity()
        if NORMED[given]:
            z = train @ W.T + b
            scale, shift = (value[place - stack.normed.start][0] for value in stack.parameters[4:])
            mean, deviation = z.mean(dim=0), torch.sqrt(z.var(dim=0, correction=0) + 1e-5)
            norm = lambda z, m=mean, d=deviation, a=scale, s=shift: (z - m) / d * a + s  # noqa: E731
        torch.testing.assert_close(found[given], torch.relu(norm(x @ W.T + b)) @ V.T + c.T, rtol=0, atol=1e-12)


def test_a_member_that_is_stopped_keeps_its_parameters():
    stack, x = members(), torch.eye(4, dtype=torch.float64)
    before = stack.evaluated(x, x)
    here = np.array([False, True, False, True, False, False])
    for value in stack.parameters:
        value += 0.5
    stack.stop(here)
    after, stopped = stack.evaluated(x, x), stack.evaluated(x, x, stopped=True)
    assert not torch.equal(before, after)
    assert torch.equal(stopped[here], after[here])
    assert torch.equal(stopped[~here], before[~here])


def test_steps_are_those_of_torch_for_each_member_alone():
    stack, stream, rates = members(), torch.Generator().manual_seed(2), (0.1, 0.05, 0.2)
    copies = [[value[place].clone() for value in stack.parameters[:4]] for place in range(6)]
    copies = [
        own + [value[place - stack.normed.start].clone() for value in stack.parameters[4:] if NORMED[given]]
        for place, (given, own) in enumerate(zip(stack.order, copies, strict=True))
    ]
    theirs = [
        torch.optim.SGD(own, momentum=0.9, weight_decay=DECAY[given])
        for given, own in zip(stack.order, copies, strict=True)
    ]
    move = stack.descent(0.9)
    for rate in rates:
        for slope in stack.gradients:
            slope.copy_(torch.randn(slope.shape, generator=stream, dtype=slope.dtype))
        move(rate)
        for place, (own, optimiser) in enumerate(zip(copies, theirs, strict=True)):
            for index, value in enumerate(own):
                value.grad = stack.gradients[index][place if index < 4 else place - stack.normed.start]
            optimiser.param_groups[0]["lr"] = rate
            optimiser.step()
    for place, own in enumerate(copies):
        for index, value in enumerate(own):
            here = stack.parameters[index][place if index < 4 else place - stack.normed.start]
            torch.testing.assert_close(here, value, rtol=0, atol=1e-14)
