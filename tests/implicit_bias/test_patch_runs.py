"""Many descents of two-layer networks at once against one by torch, and their draws against plain ones."""

import numpy as np
import pytest
import torch

from pyphenom.implicit_bias.patch_runs import descend, triangular, wrong_share


def literal(X, W, mu, y, labels, q, rate, momentum, steps):
    """The network of the theorems on patches of d numbers, by torch and its derivatives, with steps that grow."""
    W = torch.tensor(W, dtype=torch.float64, requires_grad=True)
    x, mu, y, labels = (torch.as_tensor(np.asarray(part, dtype=np.float64)) for part in (X, mu, y, labels))
    m, velocity = len(W) // 2, 0.0

    def f(noise):
        both = torch.relu(noise @ W.T) ** q + torch.relu(torch.outer(y, mu) @ W.T) ** q
        return (both[:, :m].sum(1) - both[:, m:].sum(1)) / m

    for _ in range(steps):
        z = labels * f(x)
        worst = 0.5 / torch.sigmoid(-z).max().item()
        (gradient,) = torch.autograd.grad(torch.nn.functional.softplus(-z).mean(), W)
        velocity = momentum * velocity - rate * worst * gradient
        W = (W.detach() + velocity).requires_grad_(True)
    loss = torch.nn.functional.softplus(-labels * f(x)).mean()
    return W.detach().numpy(), loss.item()


@pytest.mark.parametrize("momentum", [0.0, 0.6])
@pytest.mark.parametrize("q", [1, 3, 5])
def test_many_descents_are_each_that_of_the_network(q, momentum):
    rng, n, d, m, steps = np.random.default_rng(q), 6, 40, 20, 12
    runs, norms, flips = 3, np.array([0.0, 1.0, 3.0]), np.array([1, 1, -1, 1, 1, 1.0])
    y = np.where(np.arange(n) % 2, -1.0, 1.0)
    noise = rng.standard_normal((runs, n, d - 1))
    weights = 0.07 * rng.standard_normal((runs, 2 * m, d))  # the first coordinate lies along the signal
    rate = np.full(runs, {1: 0.4, 3: 0.05, 5: 0.02}[q] * n * m / d * (1 - momentum / 2))
    ends, along, losses = descend(
        noise.astype(np.float32),
        weights[:, :, 1:].astype(np.float32),
        (weights[:, :, 0] * norms[:, None]).astype(np.float32),
        norms.astype(np.float32),
        np.tile(y, (runs, 1)),
        np.tile(y * flips, (runs, 1)).astype(np.float32),
        q,
        rate.astype(np.float32),
        loss=0.0,  # all steps
        margin=0.5,
        steps=steps,
        momentum=momentum,
    )
    for at in range(runs):
        X, mu = np.column_stack([np.zeros(n), noise[at]]), norms[at] * np.eye(d)[0]
        expected, loss = literal(X, weights[at], mu, y, y * flips, q, rate[at], momentum, steps)
        assert np.abs(expected - weights[at]).max() > 0.04
        np.testing.assert_allclose(ends[at], expected[:, 1:], rtol=2e-3, atol=2e-5)
        np.testing.assert_allclose(along[at], norms[at] * expected[:, 0], rtol=2e-3, atol=2e-5)
        assert losses[at] == pytest.approx(loss, rel=2e-3, abs=1e-6)


def test_a_run_ends_by_loss_and_margin_and_not_for_others():
    rng = np.random.default_rng(0)
    X, W, y = rng.standard_normal((3, 5, 30)), 0.3 * rng.standard_normal((3, 8, 30)), np.ones((3, 5))
    none, rate = np.zeros((3, 8)), np.full(3, 0.2)
    together = descend(X, W, none, np.zeros(3), y, y, 1, rate, loss=0.1, margin=2.0, steps=5000)
    for at in range(3):
        one = slice(at, at + 1)
        alone = descend(X[one], W[one], none[one], np.zeros(1), y[one], y[one], 1, rate[one], loss=0.1, margin=2.0,
                        steps=5000)  # fmt: skip
        assert together[2][at] < 0.1
        sign = np.repeat([0.25, -0.25], 4)
        assert (np.maximum(alone[0][0] @ X[at].T, 0.0).T @ sign > 2.0).all()
        assert (np.maximum(together[0][at] @ X[at].T, 0.0).T @ sign > 2.0).all()
        np.testing.assert_allclose(together[0][at], alone[0][0], atol=0.1)  # it goes on for up to four steps


def test_triangular_draws_have_the_inner_products_of_gaussian_vectors():
    """Mean and variance of the Gram matrix of vectors in 30 dimensions, by draws of both kinds: 5 standard errors."""
    rng, runs = np.random.default_rng(0), 20_000
    rows, plain = triangular(runs, 7, 30.0, rng), rng.standard_normal((runs, 7, 30))
    assert (rows == np.tril(rows)).all()
    for power in (1, 2):
        drawn, expected = ((each @ each.transpose(0, 2, 1)) ** power for each in (rows, plain))
        error = np.sqrt((drawn.var(axis=0) + expected.var(axis=0)) / runs)
        assert (np.abs(drawn.mean(axis=0) - expected.mean(axis=0)) < 5 * error).all()


def test_errors_count_both_signs_and_half_of_what_is_zero():
    m = 3
    nothing, none = np.zeros((1, 2 * m, 4)), np.zeros((1, m))
    fresh = np.random.default_rng(0).standard_normal((1, 50, 4))
    assert wrong_share(nothing, np.zeros((1, 2 * m)), 1, fresh) == 0.5
    up = np.concatenate([none + 1, none - 1], axis=1)
    assert wrong_share(nothing, up, 3, fresh) == 0.0  # F_+ answers the signal, F_- its opposite
    assert wrong_share(nothing, -up, 3, fresh) == 1.0
    assert wrong_share(nothing, np.concatenate([none + 1, none], axis=1), 3, fresh) == 0.25  # the other class is a coin


def test_errors_are_those_of_every_fresh_patch_in_turn():
    rng, m = np.random.default_rng(1), 3
    W, along, fresh = (
        rng.standard_normal((1, 2 * m, 4)),
        rng.standard_normal((1, 2 * m)),
        rng.standard_normal((1, 40, 4)),
    )
    wrong = 0
    for patch in fresh[0]:
        for y in (1, -1):
            score = np.maximum(W[0] @ patch, 0.0) ** 3 + np.maximum(y * along[0], 0.0) ** 3
            wrong += y * (score[:m].sum() - score[m:].sum()) < 0
    assert 0 < wrong < 80
    assert wrong_share(W, along, 3, fresh) == pytest.approx([wrong / 80])
