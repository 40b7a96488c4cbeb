"""The two-patch networks: their gradient against automatic differentiation, their steps against torch's optimisers."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from pyphenom.networks.patches import draw_patches, gradient, margins, train_patches, update

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


RULES = {
    "gradient": (torch.optim.SGD, {}),
    "momentum": (torch.optim.SGD, {"momentum": 0.9}),
    "adam": (torch.optim.Adam, {"betas": (0.9, 0.99)}),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("decoupled", [False, True])
def test_steps_are_those_of_torch_for_every_member(rule, decoupled):
    if decoupled and rule != "adam":
        pytest.skip("torch has the decoupled decay for Adam only")
    rates, decays = (0.02, 0.05, 0.1), (0.0, 0.1, 0.3)
    data = images()
    column = [torch.tensor(each)[:, None, None, None] for each in (rates, decays)]
    found, _ = train_patches(rule, weights(), data, 0.2, *column, power=3, steps=15, decoupled=decoupled)
    method, options = RULES[rule] if not decoupled else (torch.optim.AdamW, {"betas": (0.9, 0.99)})
    for member, (rate, decay) in enumerate(zip(rates, decays, strict=True)):
        w = weights()[member : member + 1].requires_grad_()
        optimiser = method([w], lr=rate, weight_decay=decay, **options)
        for _ in range(15):
            optimiser.zero_grad()
            functional.softplus(-margins(w, data, 0.2, 3)).mean().backward()
            optimiser.step()
        torch.testing.assert_close(found[member : member + 1], w.detach(), rtol=1e-3, atol=1e-4)


def test_steps_along_signs_have_one_size():
    moved = update("sign", torch.zeros(4), torch.tensor([1e-6, -3.0, 0.0, 2.0]), [], 1, 0.1)
    torch.testing.assert_close(moved, torch.tensor([-0.1, 0.1, 0.0, -0.1]))


def test_training_stops_where_the_largest_loss_is_small():
    w, loss = train_patches("gradient", weights(), images(), 0.0, 0.1, 0.0, power=3, steps=500, until=0.05)
    assert loss < 0.05
    assert float(functional.softplus(-margins(w, images(), 0.0, 3)).mean(-1).max()) == pytest.approx(loss)
    _, early = train_patches("gradient", weights(), images(), 0.0, 0.1, 0.0, power=3, steps=1, until=0.05)
    assert early > 0.05
