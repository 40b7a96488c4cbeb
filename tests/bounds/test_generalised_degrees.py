"""Generalised degrees of freedom: of linear fits the trace, of others the sum of derivatives."""

import numpy as np
import pytest

from pyphenom.bounds import generalised_degrees


@pytest.fixture
def smoother():
    rng = np.random.default_rng(0)
    S, y = rng.standard_normal((15, 15)) / 4, rng.standard_normal(15)
    return S, y


def test_of_a_linear_fit_it_is_the_trace(smoother):
    S, y = smoother
    found = generalised_degrees(lambda labels: S @ labels + 3.0, y, 5.0, pairs=15)
    assert found.value == pytest.approx(np.trace(S), rel=1e-10)
    assert (found.standard_error, found.fits) == (0.0, 30)


def test_random_signs_are_unbiased_with_the_stated_error(smoother):
    """400 seeds of 5 pairs; the mean lies within 4 standard errors, which chance exceeds once in 10^4."""
    S, y = smoother
    found = [generalised_degrees(lambda labels: labels @ S.T, y, 0.1, 5, seed, together=True) for seed in range(400)]
    values, errors = (np.array([getattr(each, name) for each in found]) for name in ("value", "standard_error"))
    error = values.std() / np.sqrt(len(values))
    assert abs(values.mean() - np.trace(S)) < 4 * error
    # Signs leave the entries beside the diagonal; the estimate of the error is that of its square in the mean.
    beside = (S + S.T)[np.triu_indices(15, 1)]
    assert np.mean(errors**2) == pytest.approx(np.sum(beside**2) / 5, rel=0.15)
    assert values.var() == pytest.approx(np.sum(beside**2) / 5, rel=0.3)


def test_of_another_fit_it_is_the_sum_of_derivatives():
    y = np.linspace(-1.0, 1.0, 12)
    found = generalised_degrees(np.tanh, y, 1e-4, pairs=12)
    assert found.value == pytest.approx(np.sum(1 - np.tanh(y) ** 2), rel=1e-7)
    # What is even in the perturbation cancels between the two fits of a pair.
    even = generalised_degrees(lambda labels: 0.5 * labels + (labels - y) ** 2, y, 3.0, pairs=12)
    assert even.value == pytest.approx(6.0)


def test_selection_costs_more_than_its_parameter():
    """Of the best of 30 inputs the count exceeds 1, as Ye's search for a variable does."""
    rng = np.random.default_rng(2)
    X = rng.standard_normal((40, 30))
    X /= np.linalg.norm(X, axis=0)

    def fit(labels):
        best = np.abs(X.T @ labels).argmax()
        return X[:, best] * (X[:, best] @ labels)

    counts = [generalised_degrees(fit, rng.standard_normal(40), 0.5, pairs=40).value for _ in range(100)]
    assert np.mean(counts) > 2.0
    fixed = generalised_degrees(lambda labels: X[:, 0] * (X[:, 0] @ labels), X[:, 1], 0.5, pairs=40)
    assert fixed.value == pytest.approx(1.0)


def test_several_fits_at_once_and_one_by_one(smoother):
    S, y = smoother
    both = np.stack([S, S @ S])
    one = generalised_degrees(lambda labels: both @ labels, y, 0.1, 6, seed=3)
    block = generalised_degrees(lambda Y: np.einsum("kij,rj->rki", both, Y), y, 0.1, 6, seed=3, together=True)
    np.testing.assert_allclose(one.value, block.value)
    np.testing.assert_allclose(one.standard_error, block.standard_error)
    assert one.samples.shape == (6, 2)
    first = generalised_degrees(lambda labels: S @ labels, y, 0.1, 6, seed=3)
    assert first.value == pytest.approx(one.value[0])
    assert first.to_dict()["fits"] == 12
    assert "12 fits" in repr(first)
    assert "shape (2,)" in repr(one)


def test_seeds_and_progress(smoother):
    S, y = smoother
    calls = []
    note = lambda done, total: calls.append((done, total))  # noqa: E731
    found = [generalised_degrees(lambda labels: S @ labels, y, 0.1, 3, seed, progress=note) for seed in (0, 0, 1)]
    assert found[0].value == found[1].value != found[2].value
    assert calls[:3] == [(2, 6), (4, 6), (6, 6)]
    calls.clear()
    generalised_degrees(lambda Y: Y @ S.T, y, 0.1, 3, together=True, progress=note)
    assert calls == [(6, 6)]


def test_labels_far_from_zero_need_a_larger_scale():
    """The bound that the message names is enough: the error of the quotient is below one percent."""
    y = 1e6 + np.arange(5.0)
    with pytest.raises(ValueError, match=r"expected at least 1\.2e-08"):
        generalised_degrees(lambda labels: labels, y, 1e-11)
    assert generalised_degrees(lambda labels: labels, y, 1.2e-8).value == pytest.approx(5.0, rel=0.01)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"fit": 3}, TypeError, "`fit` is a int"),
        ({"y": np.ones((2, 2))}, ValueError, "`y`"),
        ({"y": [1.0, np.nan]}, ValueError, "`y`"),
        ({"scale": 0.0}, ValueError, "`scale`"),
        ({"scale": -1.0}, ValueError, "`scale`"),
        ({"scale": 1e-20}, ValueError, "`scale` is 1e-20, which is lost in the rounding of `y`"),
        ({"scale": 1.5e-16}, ValueError, "`scale` is 1.5e-16, which is lost"),
        ({"pairs": 1}, ValueError, "`pairs`"),
        ({"seed": -1}, ValueError, "`seed`"),
        ({"fit": lambda labels: labels[:-1]}, ValueError, "gave the shape"),
        ({"fit": lambda labels: labels * np.nan}, ValueError, "not finite"),
        ({"fit": lambda labels: labels[0], "together": True}, ValueError, "gave the shape"),
    ],
)
def test_bad_input_is_named(changes, error, words):
    arguments = {"fit": lambda labels: labels, "y": np.ones(5), "scale": 0.1, "pairs": 3} | changes
    with pytest.raises(error, match=words):
        generalised_degrees(arguments.pop("fit"), arguments.pop("y"), arguments.pop("scale"), **arguments)
