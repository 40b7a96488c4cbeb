"""The study of what optimisers pick: laws of batch norm on made-up paths, the network against autograd of its loss."""

import itertools
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from pyphenom.phenomena import optimizer_bias as phenomenon
from pyphenom.phenomena.optimizer_bias import ADAM, ARMS, NETWORK, NORMED, study
from pyphenom.studies import Cell, Streams


@pytest.fixture
def short(monkeypatch):
    """Take few steps of the network."""
    monkeypatch.setattr(phenomenon, "NET_STEPS", 400)
    monkeypatch.setattr(phenomenon, "NET_COUNTS", (50, 100, 200, 300, 400))


def streams(replicate=0):
    return Streams(0, study.name, replicate)


def measured(arm, replicate=0):
    rows = phenomenon.measure(Cell(arm, {}, replicate), streams(replicate))
    return rows.assign(arm=arm, replicate=replicate, origin="measured", band=0.0)


def values(rows, quantity):
    return rows.loc[rows["quantity"] == quantity, "value"].to_numpy()


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_gives_rows_that_are_a_function_of_the_replicate(short, arm):
    first, again, other = (measured(arm, k) for k in (1, 1, 2))
    assert np.isfinite(first["value"]).all()
    assert first.equals(again)
    assert not first["value"].equals(other["value"])


@pytest.mark.parametrize(("seed", "replicate"), [(108, 12), (101, 21)])
def test_data_whose_dispersion_falls_fast_are_resolved_too(seed, replicate):
    # Of 60 replicates at each of a hundred seeds these come to rounding soonest, one to margins equal to the last bit.
    rows = phenomenon.measure(Cell(NORMED, {}, replicate), Streams(seed, study.name, replicate))
    assert np.isfinite(rows["value"]).all()
    assert values(rows, "points") >= 8
    assert values(rows, "slope over theory") == pytest.approx(1.0, abs=0.01)


def test_the_law_of_the_dispersion_is_that_of_the_linearised_equations():
    """Integrate the flow of (w, g) near equal margins by Euler steps in g, without linearising anything."""
    rng = np.random.default_rng(0)
    n, d = 6, 10
    rows = rng.standard_normal((n, d))
    K = rows @ rows.T
    w = np.linalg.pinv(rows) @ (1.0 + 1e-4 * rng.standard_normal(n))
    gains, seen = np.linspace(6.0, 9.0, 30001), []
    for before, after in itertools.pairwise(gains):
        margins = rows @ w
        size = np.sqrt(np.mean(margins**2))
        u = margins / size
        # dw/dg = (dw/dt)/(dg/dt), the slopes of the logistic loss being e^-gu to e^-2g
        weight = np.exp(-before * (u - 1.0))
        slope = before / (n * size) * rows.T @ (weight - u * np.mean(weight * u)) / np.mean(weight * u)
        w = w + (after - before) * slope
        seen.append((after, 2.0 * np.var(rows @ w) / np.mean((rows @ w) ** 2), rows @ w))
    g, D = np.array([s[0] for s in seen]), np.array([s[1] for s in seen])
    centre = np.eye(n) - 1.0 / n
    slowest = np.linalg.eigvalsh(centre @ K @ centre)[1]
    clock = g**3 / 3 + g**2 / 2
    middle = len(g) // 2
    slope = np.log(D[-1] / D[middle]) / (clock[-1] - clock[middle])
    assert slope == pytest.approx(-2.0 * slowest / (n * np.mean(seen[-1][2] ** 2)), rel=0.02)


def test_the_fits_know_the_clock_of_a_made_up_path():
    steps = np.unique(np.geomspace(3000, 1e5, 20).round())
    gain = np.log(steps)
    clock = gain**3 / 3 + gain**2 / 2
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((5, 8))
    centre = np.eye(5) - 0.2
    slowest = np.linalg.eigvalsh(centre @ (rows @ rows.T) @ centre)[1]
    rate = 2.0 * slowest / (5 * 9.0)
    scale = 0.05 / rate  # so that no dispersion is rounding
    path = SimpleNamespace(
        steps=steps, gain=gain, dispersion=np.exp(-0.05 * clock), margins=np.full((len(steps), 5), 3.0)
    )
    found = phenomenon._law(rows, path)
    assert found["slope over theory"] == pytest.approx(scale)
    assert found["log misfit, log^2 t over clock"] > 10
    assert found["log misfit, log t over log^2 t"] > 0
    assert found["ratio of powers"] > 1.1
    power = phenomenon._law(rows, SimpleNamespace(**{**vars(path), "dispersion": steps**-1.5}))
    assert power["ratio of powers"] == pytest.approx(1.0)
    assert power["log misfit, log t over log^2 t"] < 0


def test_batch_norm_needs_its_projection(monkeypatch):
    """Plain descent in its place: margins stay unequal, and the claim of uniform margins fails by orders."""
    assert values(measured(NORMED), "log10 D at the end")[0] < -8
    descend = phenomenon.gradient_descent

    def plain(*arguments, **options):
        path = descend(*arguments, **{**options, "method": "gradient"})
        return SimpleNamespace(
            dispersion=path.dispersion, gain=np.log(np.maximum(path.steps, 2)), steps=path.steps, margins=path.margins,
            margin=path.margin,
        )  # fmt: skip

    monkeypatch.setattr(phenomenon, "gradient_descent", plain)
    assert values(measured(NORMED), "log10 D at the end")[0] > -3


def test_adam_and_descent_end_at_margins_of_different_norms():
    rows = measured(ADAM).set_index(["quantity", "steps"])["value"]
    last = phenomenon.ADAM_COUNTS[-1]
    assert rows["linf margin, Adam", last] > 0.95 > 0.8 > rows["linf margin, descent", last]
    assert rows["l2 margin, descent", last] > 0.93 > 0.9 > rows["l2 margin, Adam", last]
    assert (rows <= 1.0 + 1e-12).all()


def test_slopes_of_the_network_are_those_of_autograd():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((5, 7)), rng.choice([-1.0, 1.0], 5)
    layers = [torch.from_numpy(rng.standard_normal(shape)).requires_grad_(True) for shape in ((4, 7), (4,))]
    margins = torch.from_numpy(y) * (torch.relu(torch.from_numpy(X) @ layers[0].T) ** 2 @ layers[1])
    loss = torch.logsumexp(-margins, 0)
    found = phenomenon._log_loss(*(layer.detach().numpy() for layer in layers), X, y)
    np.testing.assert_allclose(found[0], margins.detach())
    assert found[1] == pytest.approx(loss.item())
    for slope, expected in zip(found[2], torch.autograd.grad(loss, layers), strict=True):
        np.testing.assert_allclose(slope, expected)


def test_the_network_raises_its_margin_and_is_homogeneous(short):
    rows = measured(NETWORK)
    assert values(rows, "largest fall")[0] <= 1e-12
    by_step = rows.set_index(["quantity", "steps"])["value"]
    # The smoothed margin lies below the margin, by at most log n.
    smoothed = -by_step["log loss", 400] / np.exp(phenomenon.DEGREE * by_step["log norm", 400])
    margin = by_step["margin over norm^3", 400]
    assert smoothed <= margin <= smoothed + np.log(phenomenon.NET_N) / np.exp(3 * by_step["log norm", 400])
    assert by_step["off a KKT point", 400] < by_step["off a KKT point", 50]


def test_a_margin_over_the_wrong_power_keeps_growing():
    """A network of degree three that only grows: its margin over norm^3 stands, over norm^2 it does not."""
    log_norm = np.arange(5.0)
    tables = [
        pd.DataFrame({"arm": NETWORK, "replicate": 0, "steps": phenomenon.NET_COUNTS, "quantity": name, "value": value})
        for name, value in (("log norm", log_norm), ("margin over norm^3", np.full(5, 0.3)))
    ]
    rows = pd.concat(tables)
    assert phenomenon._settled(3)(rows) == pytest.approx(np.zeros((1, 1)))
    assert phenomenon._settled(2)(rows) == pytest.approx(np.ones((1, 1)))


def test_guards_see_what_is_not_separable_and_too_few_points():
    guards = {guard.id: guard for guard in study.guards}
    for id, quantity, good, bad in (("certified", "duality gap", 1e-12, 1.0), ("resolved", "points", 8, 7)):
        rows = pd.DataFrame({"arm": [NORMED], "quantity": [quantity], "replicate": [0], "value": [float(good)]})
        assert guards[id].violation(rows) is None
        assert guards[id].violation(rows.assign(value=bad))
        assert guards[id].violation(rows.assign(value=np.nan))
