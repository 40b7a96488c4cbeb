"""The study of effective parameters: its counts and kernels against plain trainings, its statistics by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.func import functional_call, jacrev

from pyphenom.phenomena import effective_parameters as phenomenon
from pyphenom.phenomena.effective_parameters import ARMS, COURSE, LAZY, LINEAR, NARROW, RICH, WIDE, WIDTH, study
from pyphenom.studies import Cell, Streams, run


@pytest.fixture
def small(monkeypatch):
    """Few samples, units and steps: what comes out is a matter of the quick preset."""
    for name, value in {"N": 12, "UNITS": 10, "WIDTHS": (4, 8), "PAIRS": 3, "EARLY": 2, "LATE": 6}.items():
        monkeypatch.setattr(phenomenon, name, value)
    monkeypatch.setattr(phenomenon, "TIMES", (2, 6, 12))


def streams(replicate=0):
    return Streams(0, study.name, replicate)


def measured(arm, replicate=0):
    given = {"descent_steps": 5} if arm in (WIDE, NARROW) else {}
    rows = phenomenon.measure(Cell(arm, given, replicate), streams(replicate))
    return rows.assign(arm=arm, replicate=replicate, origin="measured", band=0.0)


def values(rows, quantity):
    return rows.loc[rows["quantity"] == quantity, "value"].to_numpy()


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_gives_finite_rows_that_are_a_function_of_the_replicate(small, arm):
    first, again, other = (measured(arm, k) for k in (1, 1, 2))
    assert np.isfinite(first["value"]).all()
    assert first.equals(again)
    assert not first["value"].equals(other["value"])


def network(small_labels=1.0):
    X, mean = phenomenon._regression(streams())
    net = phenomenon._Network(X, phenomenon.UNITS, streams(), torch.float64)
    return X, net, net.start + small_labels * (mean + 0.3)


def trained(net, X, labels, steps):
    """Descend on the mean square by torch alone."""
    weights = {name: value.detach().clone() for name, value in net.model.named_parameters()}
    inputs, targets = torch.from_numpy(X), torch.from_numpy(labels)
    for value in weights.values():
        value.requires_grad_(True)
    for _ in range(steps):
        loss = ((functional_call(net.model, weights, (inputs,))[:, 0] - targets) ** 2).mean()
        gradients = torch.autograd.grad(loss, list(weights.values()))
        with torch.no_grad():
            for value, gradient in zip(weights.values(), gradients, strict=True):
                value -= net.rate * gradient
    return functional_call(net.model, weights, (inputs,))[:, 0].detach().numpy()


def test_the_fit_is_descent_from_the_start(small):
    X, net, labels = network()
    fitted = net.fit(np.stack([labels, 2 * labels]), (2, 6))
    for row, target in zip(fitted, (labels, 2 * labels), strict=True):
        np.testing.assert_allclose(row[0], trained(net, X, target, 2), rtol=1e-10)
        np.testing.assert_allclose(row[1], trained(net, X, target, 6), rtol=1e-10)


def test_the_kernel_is_descent_on_the_jacobian_at_the_start(small):
    X, net, labels = network()
    start = {name: value.detach() for name, value in net.model.named_parameters()}
    slopes = jacrev(lambda weights: functional_call(net.model, weights, (torch.from_numpy(X),)))(start)
    J = torch.cat([part.reshape(len(X), -1) for part in slopes.values()], dim=1).numpy()
    assert J.shape[1] == net.parameters
    w = np.zeros(J.shape[1])
    for _ in range(6):
        w -= net.rate * 2.0 * J.T @ (J @ w - labels) / len(X)
    found, trace = net.linear(labels[None], (2, 6))
    np.testing.assert_allclose(found[0, 1], J @ w, rtol=1e-8, atol=1e-10)
    assert 0 < trace[0] < trace[1] < len(X)
    assert np.linalg.eigvalsh(2.0 * net.rate * J @ J.T / len(X)).max() == pytest.approx(1.0)  # no mode overshoots


def test_the_count_is_the_sum_of_derivatives(small, monkeypatch):
    monkeypatch.setattr(phenomenon, "PAIRS", 12)  # every label by itself
    X, net, labels = network()
    slow = 0.0
    for i in range(len(X)):
        step = 1e-3 * np.eye(len(X))[i]
        slow += (trained(net, X, labels + step, 6) - trained(net, X, labels - step, 6))[i] / 2e-3
    others = np.stack([labels, -2.0 * labels])
    count, fitted = net.degrees(labels, 1e-3, (2, 6), others)
    assert count[1] == pytest.approx(slow, rel=1e-8)
    np.testing.assert_allclose(fitted[:, 1], [trained(net, X, row, 6) for row in others], rtol=1e-9)


def test_small_labels_leave_the_kernel_in_charge(small):
    lazy, rich = (np.abs(values(measured(arm), "off")) for arm in (LAZY, RICH))
    assert lazy.max() < 0.01
    assert (lazy < rich / 10).all()


def test_a_linear_network_has_the_excess_that_its_count_promises(small, monkeypatch):
    """With the kernel in the place of the network every count is its trace, and nothing is left to chance."""
    monkeypatch.setattr(phenomenon._Network, "fit", lambda net, labels, at: net.linear(labels, at)[0])
    rows = measured(COURSE)
    np.testing.assert_allclose(values(rows, "excess off"), 0.0, atol=1e-10)
    assert (np.diff(values(rows, "GDF")) > 0).all()


def test_what_the_kernel_does_not_say_is_measured(small, monkeypatch):
    """Beside the kernel this fit follows 0.3 of its labels: for signs that is 0.3 n, for noise 0.3 |noise|^2."""
    monkeypatch.setattr(
        phenomenon._Network, "fit", lambda net, labels, at: net.linear(labels, at)[0] + 0.3 * labels[:, None]
    )
    noise = streams().rng("label noise").standard_normal((phenomenon.PAIRS, phenomenon.N))
    excess = 0.3 * ((noise**2).sum(axis=1).mean() - phenomenon.N)
    np.testing.assert_allclose(values(measured(COURSE), "excess off"), excess, rtol=1e-9)


def test_the_excess_is_that_of_fresh_labels(small, monkeypatch):
    """Fresh less training error of a fixed smoother, from many draws; 4 standard errors, once in 10^4 by chance."""
    X, net, _ = network()
    mean, sigma, rng = phenomenon._regression(streams())[1], phenomenon.SIGMA, np.random.default_rng(0)
    labels, fresh = (mean + sigma * rng.standard_normal((4000, len(X))) for _ in range(2))
    fitted = net.linear(labels, (6,))[0][:, 0]
    rise = ((fresh - fitted) ** 2 - (labels - fitted) ** 2).mean(axis=1)
    monkeypatch.setattr(phenomenon._Network, "fit", lambda net, labels, at: net.linear(labels, at)[0])
    monkeypatch.setattr(phenomenon._Network, "__init__", lambda own, *_: own.__dict__.update(net.__dict__))
    rows = measured(COURSE)
    count = rows.loc[(rows["quantity"] == "excess count") & (rows["step"] == 6), "value"].item()
    assert abs(rise.mean() - 2 * sigma**2 * count / len(X)) < 4 * rise.std() / np.sqrt(len(rise))


def test_counts_of_linear_fits_are_traces_and_not_numbers_of_weights():
    rows = measured(LINEAR)
    assert np.abs(values(rows, "off")).max() < 1e-9
    assert np.abs(values(rows, "hessian off")).max() < 1e-12
    table = rows[rows["quantity"] == "GDF"].set_index("fit")["value"]
    assert table["least squares"] == pytest.approx(12)
    assert table["minimum norm"] == pytest.approx(40)  # samples, of 90 weights
    assert table["gradient descent"] < 40
    assert table["random features"] < 40


def test_the_truth_of_the_restarts_is_a_network_as_narrow(small, monkeypatch):
    """Labels are standardised sums of 8 ReLU units, so that 8 units can give them: least squares on those leaves 0."""
    given = {}

    def train(models, inputs, targets, *rest, **options):
        given.update(X=inputs.numpy(), y=targets.numpy()[:, 0], models=models)
        return original(models, inputs, targets, *rest, **options)

    original = phenomenon.networks.train
    monkeypatch.setattr(phenomenon.networks, "train", train)
    rows = measured(NARROW)
    W = streams().rng("data")
    W.standard_normal((phenomenon.SAMPLES + phenomenon.FRESH, phenomenon.INPUTS))
    hidden = np.maximum(given["X"] @ W.standard_normal((10, 8)) / np.sqrt(10), 0.0)
    A = np.column_stack([hidden, np.ones(len(hidden))])
    assert np.abs(A @ np.linalg.lstsq(A, given["y"], rcond=None)[0] - given["y"]).max() < 1e-5  # float32
    starts = [model[0].weight.detach().numpy() for model in given["models"]]
    assert len({start.tobytes() for start in starts}) == phenomenon.RESTARTS
    assert starts[0].shape == (8, 10)
    assert values(rows, "worst")[0] >= values(rows, "mean")[0]


def test_slope_and_statistics_by_hand(small):
    rows = measured(WIDTH)
    for step, slope in zip((2, 6), values(rows, "slope"), strict=True):
        chosen = rows[rows["quantity"] == f"GDF after {step} steps"]
        (p, q), (a, b) = chosen["parameters"], chosen["value"]
        assert slope == pytest.approx(np.log(b / a) / np.log(q / p))
    risk = values(rows, "risk after 6 steps")
    assert phenomenon._widest(rows)[0] == pytest.approx(np.log(risk[1] / risk[0]))
    both = pd.concat([measured(WIDE), measured(NARROW)])
    expected = np.subtract(*(values(both[both["arm"] == arm], "test spread")[0] for arm in (WIDE, NARROW)))
    assert phenomenon._spread(both).to_numpy().item() == pytest.approx(expected)


@pytest.mark.slow
def test_smoke_confirms_what_is_exact(tmp_path):
    result = run(study, preset="smoke", store=tmp_path)
    assert not result.failures
    words = {verdict.id: verdict.word for verdict in result.verdicts}
    assert words["trace"] == words["hessian"] == "CONFIRMED"
    assert words["trace-weights"] == "REFUTED"
    assert not [v.id for v in result.verdicts if v.role == "claim" and v.word == "REFUTED"]
