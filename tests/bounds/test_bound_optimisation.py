"""The optimisation of a bound: whole runs against torch's optimisers with the same noise, resumption, bad input."""

import math
import os
import signal
import threading
import time

import gaussian_mlp as reference
import numpy as np
import pytest
import scipy.special
import torch
from torch_gaussian_mlp import data, network, torch_risk

import pyphenom as ph
from pyphenom import _core
from pyphenom.bounds import OptimisationState, optimise_bound
from pyphenom.bounds.bound_optimisation import OBJECTIVES

# ---- whole runs


def by_torch(posterior, prior, X, y, *, objective, n, epochs, batch, optimiser, rate, momentum, antithetic, pmin, seed):
    """The run of `optimise_bound`, by autograd, torch's optimisers and the reference's order and noise."""
    mean, log_scale = (torch.from_numpy(a.copy()).requires_grad_() for a in (posterior.mean, posterior.log_scale))
    learnt = objective == "dziugaite_roy"
    log_variance = torch.tensor(2.0 * prior.log_scale[0], dtype=torch.float64, requires_grad=learnt)
    moved = [mean, log_scale, *([log_variance] if learnt else [])]
    if optimiser == "adam":
        rule = torch.optim.Adam(moved, lr=rate, betas=(momentum, 0.999), eps=1e-8)
    else:
        rule = torch.optim.SGD(moved, lr=rate, momentum=momentum)
    mean0, scale0 = torch.from_numpy(prior.mean), torch.from_numpy(prior.log_scale)
    step, lambda_, risks = 0, 1.0, []

    def divergence():
        spread = log_variance if learnt else 2 * scale0
        u = 2 * log_scale - spread
        return 0.5 * (u.exp() - 1 - u + (mean - mean0) ** 2 * (-spread).exp()).sum()

    for epoch in range(epochs):
        seen, total = reference.order(seed, epoch, len(X)), 0.0
        for first in range(0, len(X), batch):
            rows = np.array(seen[first : first + batch])
            risk = torch_risk(posterior, mean, log_scale, X, y, rows, seed, step, pmin, antithetic)
            kl = divergence()
            budget = kl + math.log(2 * math.sqrt(n) / 0.05)
            if objective == "classic":
                loss = risk + (budget / (2 * n)).sqrt()
            elif objective == "quadratic":
                loss = ((risk + budget / (2 * n)).sqrt() + (budget / (2 * n)).sqrt()) ** 2
            elif objective == "lambda":
                loss = risk / (1 - lambda_ / 2) + budget / (n * lambda_ * (1 - lambda_ / 2))
            elif objective == "catoni":
                loss = (1 - torch.exp(-2 * risk - (kl + math.log(20)) / n)) / (1 - math.exp(-2))
            elif objective == "kl":
                q = risk.item()
                p = reference.objective("kl", q, kl.item(), n, 0.05)
                by_budget = 1 / ((1 - q) / (1 - p) - q / p)
                loss = by_budget * (kl / n + (scipy.special.logit(p) - scipy.special.logit(q)) * risk)
            else:
                price = 2 * torch.log(100 * (math.log(0.1) - log_variance)) + math.log(math.pi**2 * n / (6 * 0.05))
                loss = risk + ((kl + price) / (n - 1) / 2).sqrt()
            rule.zero_grad()
            loss.backward()
            rule.step()
            step += 1
            total += risk.item() * len(rows)
        risks.append(total / len(X))
        full = divergence().item() + math.log(2 * math.sqrt(n) / 0.05)
        lambda_ = 2 / (math.sqrt(2 * n * risks[-1] / full + 1) + 1)
    return mean.detach().numpy(), log_scale.detach().numpy(), divergence().item(), risks, log_variance.item()


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize(("optimiser", "antithetic"), [("sgd", False), ("adam", True)])
def test_runs_agree_with_torch(objective, optimiser, antithetic):
    """Three epochs with a ragged last batch; the prior has one scale, or one a parameter."""
    spread = 1.0 if objective in ("dziugaite_roy", "kl") else 2.0
    prior, posterior, (X, y) = network(spread=spread), network(seed=5), data()
    settings = {"objective": objective, "n": 500, "epochs": 3, "batch": 8, "optimiser": optimiser, "momentum": 0.8}
    settings |= {"antithetic": antithetic, "pmin": 0.01, "seed": 11}
    mean, log_scale, kl, risks, log_variance = by_torch(posterior, prior, X, y, rate=0.01, **settings)
    found = optimise_bound(posterior, prior, X, y, delta=0.05, learning_rate=0.01, **settings)
    np.testing.assert_allclose(found.posterior.mean, mean, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found.posterior.log_scale, log_scale, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found.risk, risks, rtol=1e-8)
    assert found.kl[-1] == pytest.approx(kl, rel=1e-8)
    assert not np.allclose(found.posterior.mean, posterior.mean, atol=1e-4)
    if objective == "dziugaite_roy":
        assert found.log_variance == pytest.approx(log_variance, rel=1e-9)
        assert abs(found.log_variance - 2 * prior.log_scale[0]) > 1e-3
    else:
        assert found.log_variance is None


def test_ragged_batch_counts_each_example_once():
    """At rate zero, the risk of an epoch is the mean over examples, not the mean of the batches' means."""
    net, (X, y) = network(), data(20)
    found = optimise_bound(net, net, X, y, epochs=1, batch=7, learning_rate=0.0, pmin=0.01, seed=2)
    losses, errors, order = [], 0, reference.order(2, 0, 20)
    for place, i in enumerate(order):
        step = place // 7
        z = reference.outputs(
            net,
            X[i],
            lambda layer, count: reference.normals(2, reference.TRAINING, step, layer, i, count),  # noqa: B023
        )
        losses.append(reference.loss(np.array(z), y[i], 0.01))
        errors += int(np.argmax(z) != y[i])
    assert found.risk[0] == pytest.approx(np.mean(losses), rel=1e-12)
    assert found.error[0] == pytest.approx(errors / 20, rel=1e-12)
    batches = [np.mean(losses[f : f + 7]) for f in (0, 7, 14)]
    assert abs(found.risk[0] - np.mean(batches)) > 1e-6
    assert found.kl[0] == 0.0


@pytest.mark.parametrize("n", [1, 2, 7, 1000])
def test_order_is_a_permutation_of_its_own_every_epoch(n):
    first, second = (_core.gaussian_mlp_order(9, epoch, n) for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(n))
    assert list(first) == reference.order(9, 0, n)
    if n == 1000:
        assert (first == second).sum() < 12  # Poisson of mean 1: more with probability below 1e-9
        assert (first == _core.gaussian_mlp_order(8, 0, n)).sum() < 12


@pytest.mark.parametrize("objective", ["lambda", "dziugaite_roy"])
@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_going_on_has_the_bits_of_never_stopping(objective, optimiser, dtype, tmp_path):
    prior, (X, y) = network(spread=1.0, dtype=dtype), data()
    settings = {"objective": objective, "optimiser": optimiser, "batch": 8, "seed": 4}
    whole = optimise_bound(prior, prior, X, y, epochs=5, **settings)
    kept = []
    part = optimise_bound(prior, prior, X, y, epochs=2, checkpoint=kept.append, **settings)
    np.savez(tmp_path / "state.npz", **kept[-1].to_dict())
    with np.load(tmp_path / "state.npz") as saved:
        state = OptimisationState.from_dict(saved)
    rest = optimise_bound(prior, prior, X, y, epochs=5, state=state, **settings)
    assert len(part.kl) == 2
    assert len(rest.kl) == 3
    for name, value in whole.state.to_dict().items():
        assert np.array_equal(getattr(rest.state, name), value), name
    assert np.array_equal(whole.objective, np.concatenate([part.objective, rest.objective]))
    assert np.array_equal(kept[0].mean, optimise_bound(prior, prior, X, y, epochs=1, **settings).state.mean)
    assert rest.state.epoch == 5
    assert rest.state.step == 15


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_threads_change_nothing(dtype, monkeypatch):
    prior, (X, y) = network((40, 130, 65, 4), dtype=dtype), data(70, 40)
    runs = []
    for threads in ("1", "2", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        runs.append(optimise_bound(prior, prior, X, y, epochs=2, batch=32, optimiser="adam"))
    for run in runs[1:]:
        np.testing.assert_allclose(run.posterior.mean, runs[0].posterior.mean, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(run.kl, runs[0].kl, rtol=1e-4)


def test_certificate_improves_on_its_start():
    """A bound of a digits-like task falls from vacuous to below a half, with every objective."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=3000)
    X = rng.normal(size=(3000, 5)) + 3.0 * np.eye(5)[y]
    prior = network((5, 20, 3), spread=1.0, scale=0.1)
    before = ph.bounds.draws(prior, X, y).error
    for objective in OBJECTIVES:
        found = optimise_bound(
            prior,
            prior,
            X,
            y,
            objective=objective,
            epochs=6,
            optimiser="adam",
            learning_rate=0.01,
            pmin=1e-2,
            batch=100,
        )
        counted = ph.bounds.draws(found.posterior, X, y, passes=2)
        risk = ph.bounds.kl_inverse(counted.error, math.log(1 / 0.01) / counted.trials)
        assert found.status == "ok"
        assert found.kl[-1] == pytest.approx(reference.kl(found.posterior, prior), rel=1e-6) or found.log_variance
        assert ph.bounds.maurer(risk, found.posterior.kl(prior).sum(), 3000, 0.04) < 0.3 < before, objective


def test_batch_larger_than_the_data_and_one_example():
    net = network((1, 2))
    found = optimise_bound(net, net, [[1.0]], [1], epochs=2, batch=1000)
    assert found.state.step == 2
    assert np.isfinite(found.objective).all()
    assert optimise_bound(net, net, [[1.0]], [1], epochs=0).kl.shape == (0,)
    assert "no epoch" in repr(optimise_bound(net, net, [[1.0]], [1], epochs=0))


def test_divergence_is_reported_and_keeps_the_last_whole_epoch():
    net, (X, y) = network(), data()
    found = optimise_bound(net, net, X, y, epochs=3, batch=8, learning_rate=1e300)
    assert found.status == "diverged"
    assert found.state is None
    assert np.array_equal(found.posterior.mean, net.mean)
    assert "diverged" in repr(found)


def test_progress_and_inputs_stay():
    net, (X, y), told = network(), data(), []
    arrays = [a.copy() for a in (net.mean, net.log_scale, X, y)]
    found = optimise_bound(net, net, X, y, epochs=3, progress=lambda *now: told.append(now))
    assert told == [(1, 3), (2, 3), (3, 3)]
    for before, after in zip(arrays, (net.mean, net.log_scale, X, y), strict=True):
        assert np.array_equal(before, after)
    again = optimise_bound(net, net, X, y, epochs=4, state=found.state)
    assert found.state.epoch == 3  # the state of a result is not moved by who goes on from it
    assert again.state.epoch == 4
    assert set(found.to_dict()) >= {"posterior", "kl", "status"}


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_interrupt_is_heard_within_an_epoch():
    net, (X, y) = network((50, 400, 400, 4), dtype=np.float32), data(200_000, 50)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    start = time.monotonic()
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        optimise_bound(net, net, X, y, epochs=1000)
    assert time.monotonic() - start < 20


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"objective": "bbb"}, ValueError, "objective"),
        ({"optimiser": "lbfgs"}, ValueError, "optimiser"),
        ({"delta": 0.0}, ValueError, "delta"),
        ({"delta": 1.0}, ValueError, "delta"),
        ({"delta": math.nan}, ValueError, "delta"),
        ({"n": 0}, ValueError, "`n`"),
        ({"n": 1, "objective": "dziugaite_roy"}, ValueError, "`n`"),
        ({"epochs": -1}, ValueError, "epochs"),
        ({"epochs": 2**31}, ValueError, "epochs"),
        ({"batch": 0}, ValueError, "batch"),
        ({"learning_rate": -1.0}, ValueError, "learning_rate"),
        ({"learning_rate": "fast"}, TypeError, "learning_rate"),
        ({"momentum": 1.0}, ValueError, "momentum"),
        ({"pmin": 0.0}, ValueError, "pmin"),
        ({"catoni": 0.0}, ValueError, "catoni"),
        ({"seed": 2**64}, ValueError, "seed"),
        ({"y": np.full(23, 4)}, ValueError, "y.*0 to 3"),
        ({"X": np.full((23, 3), np.nan)}, ValueError, "X"),
        ({"prior": network((3, 4))}, ValueError, "prior.*widths"),
        ({"prior": network(dtype=np.float32)}, TypeError, "prior.*dtype"),
        ({"objective": "dziugaite_roy"}, ValueError, "prior.*scales"),
        ({"objective": "dziugaite_roy", "prior": network(spread=1.0, scale=0.4)}, ValueError, "prior.*variance"),
    ],
)
def test_bad_input(changed, error, words):
    X, y = data()
    given = {"posterior": network(), "prior": network(), "X": X, "y": y, "epochs": 1} | changed
    given = {**given, "batch": given.get("batch", 4)}
    with pytest.raises(error, match=words):
        optimise_bound(given.pop("posterior"), given.pop("prior"), given.pop("X"), given.pop("y"), **given)


def test_state_of_another_run():
    net, (X, y) = network(), data()
    state = optimise_bound(net, net, X, y, epochs=1).state
    with pytest.raises(ValueError, match=r"state\.mean_second"):
        optimise_bound(net, net, X, y, epochs=2, optimiser="adam", state=state)
    other = network((3, 4))
    with pytest.raises(ValueError, match=r"state\.mean"):
        optimise_bound(other, other, X, y, epochs=2, state=state)
