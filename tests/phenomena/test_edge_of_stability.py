"""The study of the edge of stability: its runs against plain loops, its closed forms, and guards that see."""

from itertools import count

import numpy as np
import pandas as pd
import pytest
import torch
from torch_curvature import Dense

from pyphenom.phenomena import edge_of_stability as phenomenon
from pyphenom.phenomena.edge_of_stability import CATAPULT, DESCENT, FLOW, MINIMAL, POLYAK, study
from pyphenom.studies import Cell, Streams


def streams(replicate=0):
    return Streams(0, study.name, replicate)


def regression():
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1)).double()
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.from_numpy(rng.standard_normal(parameter.shape)))
    return model, torch.from_numpy(rng.standard_normal((10, 3))), torch.from_numpy(rng.standard_normal((10, 1)))


def sample_loss(f, y):
    return ((f - y) ** 2).sum() / 2


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.5, False), (0.5, True)])
def test_a_run_is_that_of_torch(momentum, nesterov):
    model, X, y = regression()
    run = phenomenon._descend(model, X, y, 0.05, 0.0, 12, 4, momentum, nesterov)
    model, X, y = regression()
    optimiser = torch.optim.SGD(model.parameters(), 0.05, momentum, nesterov=nesterov)
    losses, sharpness = [], []
    for step in range(13):
        loss = ((model(X) - y) ** 2).sum() / (2 * len(X))
        losses.append(float(loss.detach()))
        if step % 4 == 0:
            sharpness.append(np.linalg.eigvalsh(Dense(model, sample_loss, X, y).hessian)[-1])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    np.testing.assert_allclose(run.losses, losses, rtol=1e-12)
    assert run.steps == [0, 4, 8, 12]
    np.testing.assert_allclose(run.sharpness, sharpness, rtol=1e-6)
    assert run.certain


def test_runge_kutta_follows_the_flow():
    """Linear regression, whose flow is an exponential; steps of 0.01 leave an error of fourth order."""
    _, X, y = regression()
    flat = torch.nn.Linear(3, 1, bias=False).double()
    with torch.no_grad():
        flat.weight.zero_()
    point = phenomenon._Point(flat, X, y)
    for _ in range(100):
        phenomenon._runge_kutta(point, 0.01)
    A, b = X.numpy().T @ X.numpy() / 10, (X.numpy().T @ y.numpy() / 10)[:, 0]
    values, vectors = np.linalg.eigh(A)
    exact = vectors @ (-np.expm1(-values) / values * (vectors.T @ b))
    np.testing.assert_allclose(point.theta, exact, atol=1e-9)


def test_the_summary_of_a_known_run():
    run = phenomenon._Run(list(np.linspace(2.0, 1.0, 101)), list(range(0, 101, 10)), [1.0] * 5 + [3.0] * 6)
    numbers = phenomenon._summary(run, 0.5, 2.0)
    numbers = numbers[numbers["quantity"] != "sharpness"].set_index("quantity")["value"]
    assert numbers["plateau"] == 1.5
    assert numbers["crossing"] == 0.5 * 50
    assert numbers["late"] == pytest.approx(50 / 101)
    assert numbers["rises"] == 0.0
    assert numbers["fall"] == pytest.approx(np.log(1.06 / 1.44), abs=0.02)  # medians of the quarters from 1.5 to 1
    run.losses[60] = 9.0
    assert phenomenon._summary(run, 0.5, 2.0).set_index("quantity")["value"]["rises"] == pytest.approx(1 / 50)


@pytest.mark.parametrize("limit", [0.5, 100.0])
def test_a_run_that_never_crosses_says_so(limit):
    run = phenomenon._Run([1.0] * 8, [0, 4], [1.0, 1.0])
    numbers = phenomenon._summary(run, 0.5, limit).set_index("quantity")["value"]
    assert np.isinf(numbers["crossing"]) == (limit == 100.0)


def test_the_catapult_follows_its_recursion():
    rows = phenomenon.measure(Cell(CATAPULT, {}, 0), streams())
    table = rows.set_index(["rate", "quantity"])["value"].unstack("quantity")  # noqa: PD010
    assert (table["off"].dropna() < 1e-9).all()
    np.testing.assert_array_equal(table["diverged"], [0, 0, 0, 0, 0, 0, 1])
    f, curve = 0.7, 1.9
    u, v = np.zeros(512), np.zeros(512)
    u[0], v[0] = 2.0, 0.7 * np.sqrt(512) / 2.0
    f, curve = u @ v / np.sqrt(512), (u @ u + v @ v) / 512
    g = 0.3 * f / np.sqrt(512)
    u, v = u - g * v, v - g * u
    np.testing.assert_allclose(
        phenomenon._recursion(f, curve, 0.3), [u @ v / np.sqrt(512), (u @ u + v @ v) / 512], rtol=1e-13
    )


def test_the_minimal_model_ends_at_a_minimum_below_the_limit():
    rows = phenomenon.measure(Cell(MINIMAL, {}, 0), streams())
    assert (rows[rows["quantity"] == "loss"]["value"] < 1e-20).all()
    assert rows[rows["quantity"] == "gap"]["value"].between(0.0, 1.0).all()


def test_slope_of_known_plateaus():
    limits = list(phenomenon.LIMITS)
    rows = pd.DataFrame(
        [
            {"arm": DESCENT[limit], "limit": limit, "replicate": k, "quantity": "plateau", "value": limit ** (0.1 * k)}
            for limit in limits
            for k in range(3)
        ]
    )
    np.testing.assert_allclose(phenomenon._slope(rows)["slope"], [1.0, 1.1, 1.2])


def test_guards_see_what_did_not_happen():
    guards = {guard.id: guard for guard in study.guards}
    for id, arm, quantity, good, bad in (
        ("finite", POLYAK, "finite", 1.0, 0.0),
        ("certain", FLOW, "certain", 1.0, 0.0),
        ("crossing", POLYAK, "late", 0.3, 0.9),
        ("flow-crossing", FLOW, "crossing", 100.0, np.inf),
        ("minimum", MINIMAL, "loss", 0.0, 1e-3),
    ):
        rows = pd.DataFrame({"arm": [arm], "quantity": [quantity], "replicate": [0], "value": [good]})
        assert guards[id].violation(rows) is None
        assert guards[id].violation(rows.assign(value=bad))
        assert guards[id].violation(rows.assign(value=np.nan))


@pytest.mark.parametrize(("limit", "steps", "taken"), [(4.5, 2, 8), (4.5, 20, 20), (1e9, 2, 12), (-1.0, 5, 5)])
def test_a_run_ends_some_time_after_its_crossing(monkeypatch, limit, steps, taken):
    readings = count()  # a sharpness equal to the step: it passes 4.5 at step 5
    monkeypatch.setattr(phenomenon._Point, "sharpness", lambda self: float(next(readings)))
    run = phenomenon._descend(*regression(), 0.05, limit, steps, 1)
    assert len(run.losses) - 1 == taken
    assert (phenomenon.LONGER, phenomenon.AT_MOST) == (1.7, 6)
