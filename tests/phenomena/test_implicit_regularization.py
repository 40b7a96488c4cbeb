"""The study of implicit regularisation: its descents against torch's, its ridge against plain solves."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.spatial.distance import cdist

from pyphenom.phenomena import implicit_regularization as phenomenon
from pyphenom.phenomena.implicit_regularization import (
    ADAM,
    ARMS,
    DESCENT,
    ELSEWHERE,
    KERNELS,
    NARROW,
    RANDOM,
    SAMPLES,
    STOCHASTIC,
    TYPICAL,
    study,
)
from pyphenom.studies import Cell, Streams, run


@pytest.fixture
def small(monkeypatch):
    """Few steps and few images: what comes out is a matter of the quick preset."""
    monkeypatch.setattr(phenomenon, "STEPS", {DESCENT: 50, STOCHASTIC: 200, ELSEWHERE: 50, ADAM: 50})
    monkeypatch.setattr(phenomenon, "IMAGES", 100)


def streams(replicate=0):
    return Streams(0, study.name, replicate)


def measured(arm, replicate=0):
    rows = phenomenon.measure(Cell(arm, {}, replicate), streams(replicate))
    return rows.assign(arm=arm, replicate=replicate, origin="measured", band=0.0)


def values(rows, quantity):
    return rows.loc[rows["quantity"] == quantity, "value"].to_numpy()


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_gives_finite_rows_that_are_a_function_of_the_replicate(small, arm):
    first, again, other = (measured(arm, k) for k in (1, 1, 2))
    assert np.isfinite(first["value"]).all()
    assert first.equals(again)
    assert not first["value"].equals(other["value"])


def regression():
    rng = np.random.default_rng(0)
    return rng.standard_normal((6, 9)), rng.standard_normal(6), rng.standard_normal(9)


def by_torch(optimiser, X, y, w, steps, scheduled=False, **options):
    weights = torch.tensor(w, requires_grad=True)
    method = optimiser([weights], **options)
    falling = torch.optim.lr_scheduler.LambdaLR(method, lambda step: 1.0 - step / steps if scheduled else 1.0)
    for _ in range(steps):
        method.zero_grad()
        residual = torch.from_numpy(X) @ weights - torch.from_numpy(y)
        (residual @ residual / (2 * (len(y) if scheduled else 1))).backward()
        method.step()
        falling.step()
    return weights.detach().numpy()


def test_the_descents_are_those_of_torch():
    X, y, w = regression()
    rate = 1.0 / np.linalg.eigvalsh(X @ X.T).max()
    expected = by_torch(torch.optim.SGD, X, y, w, 20, lr=rate)
    np.testing.assert_allclose(phenomenon._descend(X, y, w, 20, streams()), expected, rtol=1e-10)
    expected = by_torch(torch.optim.Adam, X, y, w, 20, scheduled=True, lr=phenomenon.ADAM_RATE)
    np.testing.assert_allclose(phenomenon._adam(X, y, w, 20, streams()), expected, rtol=1e-8)


def test_a_stochastic_step_meets_the_label_of_the_largest_sample():
    X, y, w = np.diag([1.0, 2.0]), np.array([3.0, 5.0]), np.zeros(2)
    end = phenomenon._stochastic(X, y, w, 1, streams())
    drawn = streams().rng("order").integers(2, size=1)[0]
    assert end[drawn] == pytest.approx((0.75, 2.5)[drawn])
    assert end[1 - drawn] == 0.0


def test_only_what_begins_in_the_span_ends_at_the_smallest_norm():
    for arm in (DESCENT, STOCHASTIC):
        assert values(measured(arm), "off_smallest")[0] < 1e-10
    elsewhere, adam = measured(ELSEWHERE), measured(ADAM)
    assert values(elsewhere, "off")[0] < 1e-10 < 0.1 < values(elsewhere, "off_smallest")[0]
    assert values(adam, "residual")[0] < 1e-3
    assert values(adam, "outside")[0] > 0.1
    for rows in (elsewhere, adam):  # it is the smallest, so others are larger
        assert values(rows, "norm")[0] > 1.0


def test_norm_and_risk_are_those_of_a_projection():
    """A truth of length 1 splits into n of p dimensions and the rest: the two squares have the sum 1."""
    rows = measured(SAMPLES).set_index(["quantity", "n"])["value"]
    np.testing.assert_allclose(rows["square_norm"] + rows["risk"], 1.0, rtol=1e-10)
    predicted = phenomenon.predict((), pd.DataFrame()).set_index(["quantity", "n"])["value"]
    np.testing.assert_allclose(predicted["square_norm"] + predicted["risk"], 1.0, rtol=1e-12)
    # Beta laws of n/2 and (p - n)/2: a standard deviation of at most 0.05/sqrt(10).
    np.testing.assert_allclose(rows["risk"], predicted["risk"], atol=6 * 0.05 / np.sqrt(10))


def test_test_labels_of_the_kernels_are_the_true_ones(small, monkeypatch):
    """The nearest of all images, the test images among them, is the image itself: no errors on the truth."""
    images = phenomenon.data.digits()

    class Oracle:
        residual = norm = 0.0

        def __call__(self, X):
            return np.eye(10)[images.labels[cdist(16.0 * X, images.pixels).argmin(axis=1)]]

        def kernel(self, A, B):
            return np.zeros((len(A), len(B)))

    monkeypatch.setattr(phenomenon.interpolation, "minimum_norm_kernel", lambda *_: Oracle())
    for arm in KERNELS:
        assert values(measured(arm), "test_error")[0] == 0.0


def test_random_labels_are_drawn_anew_in_every_replicate(small, monkeypatch):
    """Two replicates agree on a label drawn uniformly from ten once in ten; six standard deviations are 0.18."""
    drawn, build = [], phenomenon.interpolation.minimum_norm_kernel
    monkeypatch.setattr(
        phenomenon.interpolation, "minimum_norm_kernel", lambda X, Y, *rest: drawn.append(Y) or build(X, Y, *rest)
    )
    for replicate in range(3):
        measured(RANDOM, replicate)
    labels = [Y.argmax(axis=1) for Y in drawn]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert abs(np.mean(labels[one] == labels[other]) - 0.1) < 0.18


def test_the_ratio_of_kernels_is_narrow_over_typical():
    rows = [{"arm": arm, "replicate": 0, "quantity": "norm", "value": v} for arm, v in ((NARROW, 2.0), (TYPICAL, 3.0))]
    assert phenomenon._log_ratio("norm")(pd.DataFrame(rows)).to_numpy().item() == pytest.approx(np.log(2 / 3))


@pytest.mark.parametrize(("id", "arm"), [("descents-interpolate", DESCENT), ("kernels-interpolate", TYPICAL)])
def test_guards_see_what_does_not_interpolate(id, arm):
    (guard,) = (each for each in study.guards if each.id == id)
    rows = pd.DataFrame({"arm": [arm], "quantity": ["residual"], "replicate": [0], "value": [1e-12]})
    assert guard.violation(rows) is None
    assert guard.violation(rows.assign(value=0.1))
    assert guard.violation(rows.assign(value=np.nan))


@pytest.mark.slow
def test_smoke_confirms_what_is_exact(tmp_path):
    result = run(study, preset="smoke", store=tmp_path)
    assert not result.failures
    words = {verdict.id: verdict.word for verdict in result.verdicts}
    assert {words[name] for name in ("span", "minimum-norm", "stochastic", "elsewhere")} == {"CONFIRMED"}
    assert words["elsewhere-smallest"] == words["adam"] == "REFUTED"
