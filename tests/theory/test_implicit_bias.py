import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.optimize import linprog, nnls
from scipy.special import softmax

from pyphenom.theory import implicit_bias as ib

ROWS = np.array([[2.0, 0.4], [0.3, 1.0], [3.0, 3.0]])


def hard_margin(X):
    """The shortest w with margins of at least one, as least distance programming (Lawson and Hanson 1974, 23.4)."""
    n, p = X.shape
    target = np.append(np.zeros(p), 1.0)
    stacked = np.vstack([X.T, np.ones(n)])
    residual = stacked @ nnls(stacked, target)[0] - target
    return -residual[:p] / residual[p]


def flow(X, end):
    """Gradient flow on the summed exponential loss from zero, integrated in the logarithm of time, up to e^end."""
    first = solve_ivp(lambda _, w: X.T @ np.exp(-X @ w), (0, 1), np.zeros(X.shape[1]), "LSODA", rtol=1e-10, atol=1e-12)
    times = np.linspace(end / 2, end, 9)
    late = solve_ivp(
        lambda s, w: X.T @ np.exp(s - X @ w), (0, end), first.y[:, -1], "LSODA", times, rtol=1e-10, atol=1e-12
    )
    return late.t, late.y.T


def test_published_limit():
    found = ib.exponential_flow(ROWS, hard_margin(ROWS))
    assert found.weights == pytest.approx([0.319149, 0.904255], abs=1e-5)
    assert found.offset == pytest.approx([1.928564, -0.466598], abs=1e-5)
    assert found.margin == pytest.approx(1.042836, abs=1e-5)
    assert found.loss_constant == pytest.approx(0.919534, abs=1e-5)
    assert found.support.tolist() == [0, 1]
    assert found.duals.sum() == pytest.approx(found.loss_constant, rel=1e-12)


def test_published_loss_of_the_flow():
    end = np.log(1e8)
    _, way = flow(ROWS, end)
    assert np.exp(end - ROWS @ way[-1]).sum() == pytest.approx(0.919288, abs=1e-5)


def off(found, times, way):
    return np.linalg.norm(way - times[:, None] * found.weights - found.offset, axis=1)


def test_the_flow_gets_there_at_its_rate():
    """The smallest dual variable is 0.02, so that time enters as its root of order fourteen."""
    found = ib.exponential_flow(ROWS, hard_margin(ROWS))
    times, way = flow(ROWS, 250.0)
    distance = off(found, times, way)
    assert distance[-1] < 1e-6
    slope = np.polyfit(times[:4], np.log(distance[:4]), 1)[0]
    assert slope == pytest.approx(-found.relaxation, rel=0.02)
    assert found.at([1.0, np.e]).shape == (2, 2)
    np.testing.assert_allclose(found.at(1.0), found.offset)


@pytest.mark.parametrize("seed", range(4))
def test_random_data_in_high_dimension(seed):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((5, 12))
    found = ib.exponential_flow(X, hard_margin(X))
    support = X[found.support]
    np.testing.assert_allclose(np.exp(-support @ found.offset), found.duals, rtol=1e-10)
    np.testing.assert_allclose(support.T @ found.duals, found.weights, rtol=1e-6, atol=1e-9)
    times, way = flow(X, 60.0 / found.relaxation)
    inside = np.linalg.pinv(support) @ support  # what other rows leave outside of the span stays there
    assert off(found, times, way @ inside)[-1] < 1e-6
    assert np.exp(times[-1] - X @ way[-1]).sum() == pytest.approx(found.loss_constant, rel=1e-6)


def test_dependent_support_vectors():
    """Four rows of margin one in two dimensions: their duals add up to the weights, in the one way the flow takes."""
    X = np.array([[1.0, 2.0], [1.0, -1.0], [1.0, 0.5], [1.0, -0.3]])
    found = ib.exponential_flow(X, [1.0, 0.0])
    assert found.support.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(X.T @ found.duals, [1.0, 0.0], atol=1e-12)
    times, way = flow(X, 40.0 / found.relaxation)
    assert off(found, times, way)[-1] < 1e-6


@pytest.mark.parametrize(
    ("rows", "weights", "words"),
    [
        (ROWS, [1.0, 1.0], "weights: got a smallest margin of 1.3"),
        (ROWS, [15 / 47 + 1, 42.5 / 47 + 0.2], "weights: got a smallest margin"),
        (ROWS, [1.0], "weights: got shape"),
        ([1.0, 2.0], [1.0], "rows: got shape"),
        ([[np.inf, 1.0]], [1.0, 0.0], "rows: got shape"),
        # Feasible and of margin one, but not the shortest: the second row is no combination.
        ([[1.0, 0.0], [0.0, 1.0]], [1.0, 3.0], "weights: got a vector that misses"),
        # The second row has the margin one and no weight.
        ([[1.0, 0.0], [1.0, 1.0]], [1.0, 0.0], "weights: got a vector that misses .*move the data"),
        # Not separable: no weights have positive margins.
        ([[1.0, 0.0], [-1.0, 0.0]], [1.0, 0.0], "weights: got a smallest margin of -1"),
    ],
)
def test_what_is_no_hard_margin_solution_is_refused(rows, weights, words):
    with pytest.raises(ValueError, match=words):
        ib.exponential_flow(rows, weights)


def test_rates_are_ordered_and_have_their_slopes():
    t = np.array([1e3, 1e6])
    slow, fast, fastest = (
        ib.margin_gap_rate(t, method, 20) for method in ("constant step", "normalised step", "dual momentum")
    )
    assert (slow > fast).all()
    assert (fast > fastest).all()
    assert np.log(fast[1] / fast[0]) / np.log(1e3) == pytest.approx(-1.0)
    assert np.log(fastest[1] / fastest[0]) / np.log(1e3) == pytest.approx(-2.0)
    assert slow[0] == pytest.approx(2 * slow[1])
    # Faster than every power: the local slope in log t falls without end.
    log_rates = np.log(ib.batch_norm_rate([1e1, 1e2, 1e3, 1e4], 0.1))
    assert (np.diff(log_rates, 2) < 0).all()


@given(st.floats(1.5, 1e12))
def test_a_linear_model_is_homogeneous_of_degree_one(t):
    assert ib.homogeneous_loss_rate(t) == pytest.approx(1 / t)
    assert ib.homogeneous_norm_rate(t) == pytest.approx(np.log(t))


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_homogeneous_rates_are_those_of_one_weight(degree):
    """One sample and f = w^L with the loss exp(-f); SciPy's flow at two late times."""
    late = solve_ivp(
        lambda s, w: degree * w ** (degree - 1) * np.exp(s - w**degree),
        (0, 4000),
        [1.0],
        "LSODA",
        rtol=1e-10,
        atol=1e-12,
        t_eval=[1000.0, 4000.0],
    )
    norm, times = late.y[0], late.t
    # e^4000 is no float: the logarithm of the loss rate, -s - (2 - 2/L) log s, is taken over from times that are.
    assert np.log(ib.homogeneous_loss_rate(np.exp(500.0), degree)) == pytest.approx(
        -500 - (2 - 2 / degree) * np.log(500)
    )
    ratio = np.exp(times - norm**degree) * times ** (2 - 2 / degree)
    assert ratio[1] == pytest.approx(ratio[0], rel=0.03)
    assert norm[1] == pytest.approx(times[1] ** (1 / degree), rel=0.03)
    assert ib.homogeneous_norm_rate(np.exp(500.0), degree) == pytest.approx(500 ** (1 / degree))


@given(st.lists(st.floats(-5, 50), min_size=1, max_size=20), st.floats(0.5, 3), st.integers(1, 3))
def test_the_smoothed_margin_lies_closely_below(margins, norm, degree):
    exact, smooth = (f(margins, norm, degree) for f in (ib.normalised_margin, ib.smoothed_margin))
    assert exact == pytest.approx(min(margins) / norm**degree, rel=1e-12, abs=1e-300)
    assert exact - np.log(len(margins)) / norm**degree - 1e-9 <= smooth <= exact + 1e-9


def test_the_smoothed_margin_never_falls_under_the_flow():
    """A ReLU network of degree two in steps of a thousandth, from where its loss is below one."""
    rng = np.random.default_rng(0)
    X, y, m = rng.standard_normal((4, 3)), np.array([1.0, -1.0, 1.0, -1.0]), 20
    theta = rng.standard_normal(4 * m)

    def margins(theta):
        return y * (np.maximum(X @ theta[: 3 * m].reshape(3, m), 0) @ theta[3 * m :])

    def towards(theta):
        """Minus the gradient of the loss over the loss, the flow in a time of its own."""
        W, a = theta[: 3 * m].reshape(3, m), theta[3 * m :]
        hidden, weight = X @ W, y * softmax(-margins(theta))
        inner = X.T @ (weight[:, None] * (hidden > 0) * a)
        return np.append(inner.ravel(), np.maximum(hidden, 0).T @ weight)

    way = [theta]
    for _ in range(4000):
        way.append(way[-1] + 1e-3 * towards(way[-1]))
    way = np.array(way[::50])
    norms = np.linalg.norm(way, axis=1)
    smooth = np.array([ib.smoothed_margin(margins(w), size, 2) for w, size in zip(way, norms, strict=True)])
    begun = np.argmax(smooth > 0)
    assert smooth[-1] > smooth[begun] > 0
    assert (np.diff(smooth[begun:]) > -1e-6).all()
    # The wrong norm is no invariant: unsquared, the margin of a network of degree two only grows with its size.
    assert ib.normalised_margin(margins(way[-1]), norms[-1], 1) > 2 * ib.normalised_margin(
        margins(way[-1]), norms[-1], 2
    )


# ---- batch normalisation and Adam ------------------------------------------------------------------------------------


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=12), st.floats(0.01, 100))
def test_discrepancy_is_its_double_sum_and_has_no_scale(margins, scale):
    m = np.array(margins)
    expected = np.mean((m[:, None] - m) ** 2) / np.mean(m**2)
    assert ib.margin_discrepancy(m) == pytest.approx(expected, rel=1e-9, abs=1e-15)
    assert ib.margin_discrepancy(scale * m) == pytest.approx(expected, rel=1e-9, abs=1e-14)


@pytest.mark.parametrize("seed", range(5))
def test_batch_normalisation_makes_margins_uniform_and_descent_does_not(seed):
    """The published setting: n = 12, d = 30, step 0.05."""
    rng, n, d = np.random.default_rng(seed), 12, 30
    Z = rng.standard_normal((n, d)) * rng.choice([-1.0, 1.0], n)[:, None]
    w, plain, g, seen = rng.standard_normal(d), np.zeros(d), 1.0, {}
    w /= np.linalg.norm(w)
    for step in range(1, 1001):
        m = Z @ w
        size = np.sqrt(np.mean(m**2))
        pull = 1 / (1 + np.exp(g * m / size)) / n
        along = Z.T @ pull - (pull @ m) / size**2 * (Z.T @ m) / n  # without the second term it would not be uniform
        w, g = w + 0.05 * g / size * along, g + 0.05 * pull @ m / size
        plain = plain + 0.05 * Z.T @ (1 / (1 + np.exp(Z @ plain))) / n
        seen[step] = ib.margin_discrepancy(Z @ w)
    assert 4e-6 / 10 < seen[100] < 8e-3 * 5
    assert seen[1000] < 1e-12
    assert 3.8 < g < 4.0
    assert ib.margin_discrepancy(Z @ plain) > 0.02


def test_adam_goes_to_the_largest_l_infinity_margin():
    """The published setting: n = 15, d = 40, 0.15 (t + 1)^-0.67; its ranges, a twentieth wider for other draws."""
    rng, n, d = np.random.default_rng(0), 15, 40
    Z = rng.standard_normal((n, d)) * rng.choice([-1.0, 1.0], n)[:, None]
    constraints = np.hstack([-Z, np.ones((n, 1))])
    best = -linprog(np.append(np.zeros(d), -1.0), constraints, np.zeros(n), bounds=[(-1, 1)] * d + [(None, None)]).fun
    w, mean, square, ratio = np.zeros(d), np.zeros(d), np.zeros(d), {}
    for t in range(20000):
        m = Z @ w
        gradient = -Z.T @ np.exp(-np.logaddexp(0.0, m)) / n
        mean, square = 0.9 * mean + 0.1 * gradient, 0.99 * square + 0.01 * gradient**2
        w = w - 0.15 * (t + 1) ** -0.67 * mean / (1 - 0.9 ** (t + 1)) / np.sqrt(square / (1 - 0.99 ** (t + 1)))
        ratio[t + 1] = (Z @ w).min() / np.abs(w).max() / best
    for t, low, high in ((100, 0.64, 0.75), (1000, 0.68, 0.79), (5000, 0.83, 0.87), (20000, 0.91, 0.94)):
        assert low - 0.05 < ratio[t] < min(high + 0.05, 1.0)


@given(st.floats(0.01, 0.99))
def test_the_best_decay_is_two_thirds(a):
    assert ib.adam_margin_exponent(a) <= ib.adam_margin_exponent(2 / 3) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ib.margin_gap_rate(10.0, "adam"), "method: got 'adam'"),
        (lambda: ib.margin_gap_rate(1.0, "constant step"), "time: got 1"),
        (lambda: ib.homogeneous_loss_rate(0.5), "time: got 0.5"),
        (lambda: ib.homogeneous_norm_rate(2.0, -1.0), "degree: got -1"),
        (lambda: ib.batch_norm_rate(2.0, 0.0), "constant: got 0"),
        (lambda: ib.adam_margin_exponent(1.0), "decay: got 1"),
        (lambda: ib.margin_discrepancy([0.0, 0.0]), "margins: got zeros only"),
        (lambda: ib.normalised_margin([1.0], 0.0), "norm: got 0"),
    ],
)
def test_bad_parameters_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_the_limit_becomes_a_dictionary():
    found = ib.exponential_flow(ROWS, hard_margin(ROWS))
    assert found.to_dict()["margin"] == found.margin
    assert repr(found).startswith("FlowLimit(margin=1.0428")


def test_margins_of_any_size_have_a_discrepancy():
    for scale in (1e-200, 1.0, 1e200):
        assert ib.margin_discrepancy(scale * np.array([1.0, 3.0])) == pytest.approx(0.4, rel=1e-12)
    with pytest.raises(ValueError, match="infinite"):
        ib.margin_discrepancy([1.0, np.inf])
    with pytest.raises(ValueError, match="zeros only"):
        ib.margin_discrepancy([0.0, 0.0])
