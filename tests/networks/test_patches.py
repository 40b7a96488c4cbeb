"""The two-patch networks: their gradient against automatic differentiation, their steps against torch's optimisers."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from pyphenom.networks.patches import _subsets, draw_patches, gradient, margins, train_decoupled, train_patches, update

N, D, SPARSITY = 7, 12, 4


def images():
    return draw_patches(N, D, SPARSITY, 0.5, np.random.default_rng(0))


def weights(members=3):
    return torch.from_numpy(np.random.default_rng(1).standard_normal((members, 2, 5, D))).float()


def slow_margin(w, y, noise, alpha, power):
    """One network and one image, patch by patch as in the definition."""
    feature = np.eye(D)[0]
    score = 0.0
    for sign, filters in zip((1, -1), w, strict=True):
        for patch in (y * feature, noise - alpha * y * feature):
            score += sign * sum(max(each @ patch, 0.0) ** power for each in filters)
    return y * score


@pytest.mark.parametrize("power", [3, 4])
def test_margins_are_those_of_the_definition(power):
    w, (y, noise), alphas = weights(), images(), (0.0, 0.2, 0.9)
    found = margins(w, (y, noise), torch.tensor(alphas)[:, None, None, None], power)
    for member, alpha in enumerate(alphas):
        expected = [slow_margin(w[member].numpy(), float(y[i]), noise[i].numpy(), alpha, power) for i in range(N)]
        np.testing.assert_allclose(found[member], expected, rtol=1e-4, atol=1e-4)


def test_gradient_is_that_of_automatic_differentiation():
    w, (y, noise) = weights().double().requires_grad_(), images()
    data, alpha = (y.double(), noise.double()), torch.tensor([0.0, 0.2, 0.9]).double()[:, None, None, None]
    (expected,) = torch.autograd.grad(functional.softplus(-margins(w, data, alpha, 3)).mean(-1).sum(), w)
    found, read = gradient(w.detach(), data, alpha, 3)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(read, margins(w.detach(), data, alpha, 3))


def test_noise_stands_on_so_many_coordinates_and_never_on_the_feature():
    y, noise = draw_patches(400, 30, 6, 0.5, np.random.default_rng(0))
    assert ((noise != 0).sum(1) == 6).all()
    assert (noise[:, 0] == 0).all()
    assert ((noise[:, 1:] != 0).sum(0) > 0).all()  # missed by all 400 with probability (1 - 6/29)^400 < 1e-40
    assert set(y.tolist()) == {-1.0, 1.0}
    assert float(noise[noise != 0].std()) == pytest.approx(0.5, rel=6 / np.sqrt(2 * 2400))


@pytest.mark.parametrize("count", [2, 3])
def test_subsets_are_all_as_likely(count):
    """Of 12000 draws of 2 or 3 of 4, to six standard errors."""
    chosen = _subsets(12000, 4, count, np.random.default_rng(0))
    assert (chosen.sum(axis=1) == count).all()
    numbers = np.unique(chosen @ [1, 2, 4, 8], return_counts=True)[1]
    share = 1.0 / math.comb(4, count)
    assert len(numbers) == math.comb(4, count)
    np.testing.assert_allclose(numbers, 12000 * share, atol=6 * np.sqrt(12000 * share * (1 - share)))


RULES = {
    "gradient": (torch.optim.SGD, {}),
    "momentum": (torch.optim.SGD, {"momentum": 0.9}),
    "adam": (torch.optim.Adam, {"betas": (0.9, 0.99)}),
    "decoupled": (torch.optim.AdamW, {"betas": (0.9, 0.99)}),
}
RATES, DECAYS = (0.02, 0.05, 0.1), (0.0, 0.1, 0.3)


def by_torch(rule, member, data, steps=15):
    w, (method, options) = weights()[member].requires_grad_(), RULES[rule]
    optimiser = method([w], lr=RATES[member], weight_decay=DECAYS[member], **options)
    for _ in range(steps):
        optimiser.zero_grad()
        functional.softplus(-margins(w[None], data, 0.2, 3)).mean().backward()
        optimiser.step()
    return w.detach()


@pytest.mark.parametrize("rule", ["gradient", "adam", "decoupled"])
def test_trained_members_are_those_of_torch(rule):
    data = images()
    if rule == "decoupled":
        column = (torch.tensor(each)[:, None, None, None] for each in (RATES, DECAYS))
        found = train_decoupled(weights(), data, 0.2, *column, power=3, steps=15)
    else:
        found, _ = train_patches(rule, weights(), data, 0.2, RATES, DECAYS, power=3, steps=15)
    for member, end in enumerate(found):
        torch.testing.assert_close(end, by_torch(rule, member, data), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("rule", ["gradient", "momentum", "adam"])
def test_updates_of_a_stack_are_those_of_torch(rule):
    data, w, memory, rate = images(), weights(), [], torch.tensor(RATES)[:, None, None, None]
    for step in range(1, 16):
        slope = gradient(w, data, 0.2, 3)[0] + torch.tensor(DECAYS)[:, None, None, None] * w
        w = update(rule, w, slope, memory, step, rate)
    for member, end in enumerate(w):
        torch.testing.assert_close(end, by_torch(rule, member, data), rtol=1e-3, atol=1e-4)


def test_members_may_have_a_feature_noise_and_a_start_of_their_own():
    data, alphas = images(), (0.0, 0.2, 0.9)
    together, _ = train_patches("sign", weights(), data, alphas, 0.01, 0.0, power=4, steps=9)
    for member, alpha in enumerate(alphas):
        w = weights()[member : member + 1].double()
        for _ in range(9):
            w = w - 0.01 * gradient(w, tuple(part.double() for part in data), alpha, 4)[0].sign()
        torch.testing.assert_close(together[member], w[0].float(), rtol=1e-5, atol=1e-6)


def test_coordinates_without_noise_stay_where_they_are():
    y, noise = draw_patches(3, D, 2, 0.5, np.random.default_rng(0))
    unused = ~(noise != 0).any(0)
    unused[0] = False
    assert unused.any()
    for rule in ("gradient", "sign", "adam"):
        moved, _ = train_patches(rule, weights(), (y, noise), 0.2, 0.05, 0.0, power=3, steps=4)
        torch.testing.assert_close(moved[..., unused], weights()[..., unused], rtol=0, atol=0)
        assert (moved[..., ~unused] != weights()[..., ~unused]).any()
    column = (torch.tensor(each)[:, None, None, None] for each in (RATES, DECAYS))
    decayed = train_decoupled(weights(), (y, noise), 0.2, *column, power=3, steps=15)
    for member, end in enumerate(decayed):
        torch.testing.assert_close(end, by_torch("decoupled", member, (y, noise)), rtol=1e-3, atol=1e-4)


def test_steps_along_signs_have_one_size():
    moved = update("sign", torch.zeros(4), torch.tensor([1e-6, -3.0, 0.0, 2.0]), [], 1, 0.1)
    torch.testing.assert_close(moved, torch.tensor([-0.1, 0.1, 0.0, -0.1]))


def test_training_stops_where_every_loss_is_small():
    w, loss = train_patches("gradient", weights(), images(), 0.0, 0.1, 0.0, power=3, steps=500, until=0.05)
    losses = functional.softplus(-margins(w, images(), 0.0, 3)).mean(-1)
    assert float(losses.max()) == pytest.approx(loss, rel=1e-4)
    assert 0.02 < float(losses.min()) <= loss <= 0.05
    _, early = train_patches("gradient", weights(), images(), 0.0, 0.1, 0.0, power=3, steps=1, until=0.05)
    assert early > 0.05
