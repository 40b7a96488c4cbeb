import kl_inverse as truth
import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pyphenom as ph

inverse = ph.bounds.kl_inverse
rates = st.one_of(st.floats(0, 1), st.floats(-300, 0).map(lambda x: 10**x), st.floats(-16, -1).map(lambda x: 1 - 10**x))
budgets = st.floats(-14, np.log10(700)).map(lambda x: 10**x)


def points(count, seed=0):
    """Rates over [0, 1] and close to both ends, budgets in [1e-14, 700]."""
    rng = np.random.default_rng(seed)
    u, kind = rng.random(count), np.arange(count) % 4
    q = np.choose(kind, [u, 10 ** (-16 * u), 1 - 10 ** (-16 * u), 10 ** (-100 * u)])
    return q, 10 ** rng.uniform(-14, np.log10(700), count)


def steps_towards(p, target, count):
    for _ in range(count):
        p = np.nextafter(p, target)
    return p


def test_upper_is_never_below_and_at_most_two_ulp_above_on_a_million_points():
    q, c = points(1_000_000)
    p = inverse(q, c)
    assert ((p > q) | (p == 1)).all()
    assert (truth.sign(q, p, c) >= 0).all()
    tighter = steps_towards(p, 0.0, 2)
    above = tighter > q
    assert (truth.sign(q[above], tighter[above], c[above]) <= 0).all()


def test_lower_is_never_above_and_at_most_two_ulp_below():
    q, c = points(200_000, seed=1)
    p = inverse(q, c, "lower")
    assert (p < q).all()
    positive = p > 0
    assert positive.mean() > 0.3
    assert (truth.sign(q[positive], p[positive], c[positive]) >= 0).all()
    tighter = steps_towards(p, 1.0, 2)
    below = (tighter < q) & positive
    assert (truth.sign(q[below], tighter[below], c[below]) <= 0).all()
    # What is given as zero is less than 1e-290: p >= q^(1/q) e^(-c/q) up to a factor in [1/e, 1].
    log_p = (-c[~positive] + q[~positive] * np.log(q[~positive])) / q[~positive]
    assert (log_p < np.log(1e-289)).all()


def test_against_fifty_digits():
    q, c = points(160, seed=2)
    for side, worst in (("upper", 2), ("lower", 2)):
        got = inverse(q, c, side)
        for a, b, p in zip(q, c, got, strict=True):
            exact = truth.inverse(float(a), float(b), side)
            if p == 1:
                assert 0 <= 1 - exact < 1e-15
                continue
            if exact < 1e-15:  # the bisection is exact to 1e-69
                assert p <= exact + 1e-69
                continue
            ulps = (mpmath.mpf(float(p)) - exact) / mpmath.mpf(float(np.spacing(p)))
            assert 0 <= (ulps if side == "upper" else -ulps) <= worst


def test_truth_agrees_with_itself():
    q, c = points(3000, seed=3)
    p = inverse(q, c)
    for shifted in (p, p * (1 - 1e-13), np.minimum(p * (1 + 1e-13), 1 - 2.0**-53)):
        inside = (shifted > q) & (shifted < 1)
        exact = [
            int(mpmath.sign(truth.kl(*x[:2]) - mpmath.mpf(x[2])))
            for x in zip(q[inside].tolist(), shifted[inside].tolist(), c[inside].tolist(), strict=True)
        ]
        np.testing.assert_array_equal(truth.sign(q[inside], shifted[inside], c[inside]), exact)


def test_published_values_and_gradients():
    # 40 digits
    for q, c, p, by_q, by_c in [
        (0.02, 0.005, 0.037322203364552491, 1.33097631610733, 2.07417357621443),
        (0.1, 0.1, 0.28237913945564538, 1.40502145433182, 1.11109835072567),
        (0.3, 0.001, 0.32075102827713907, 1.01816629096173, 10.4992293984929),
    ]:
        result = ph.bounds.kl_inverse_gradient(q, c)
        assert result.value == pytest.approx(p, rel=3e-16)
        assert result.by_risk == pytest.approx(by_q, rel=1e-14)
        assert result.by_budget == pytest.approx(by_c, rel=1e-14)


@pytest.mark.parametrize("side", ["upper", "lower"])
def test_gradient_against_fifty_digits(side):
    q, c = points(100, seed=4)
    result = ph.bounds.kl_inverse_gradient(q, c, side)
    np.testing.assert_array_equal(result.value, inverse(q, c, side))
    with mpmath.workdps(60):
        for i in range(len(q)):
            p, a = truth.inverse(float(q[i]), float(c[i]), side), mpmath.mpf(float(q[i]))
            if not 1e-40 < p < 1 - mpmath.mpf("1e-40"):  # further out the bisection is not exact enough
                continue
            d = (1 - a) / (1 - p) - a / p
            by_q = (mpmath.log((1 - a) / (1 - p)) - mpmath.log(a / p)) / d
            assert abs(result.by_budget[i] * d - 1) < 1e-12
            assert abs(result.by_risk[i] - by_q) <= 1e-12 * abs(by_q)


@pytest.mark.parametrize(
    ("risk", "budget", "upper", "lower"),
    [
        (0.0, 0.0, 0.0, 0.0),
        (1.0, 0.0, 1.0, 1.0),
        (0.3, 0.0, 0.3, 0.3),
        (1.0, 0.1, 1.0, np.exp(-0.1)),
        (0.0, 0.1, -np.expm1(-0.1), 0.0),
        (0.0, 1e-14, -np.expm1(-1e-14), 0.0),
        (0.3, np.inf, 1.0, 0.0),
        (0.0, np.inf, 1.0, 0.0),
        (1.0, np.inf, 1.0, 0.0),
        (0.0, 700.0, 1.0, 0.0),
        (1.0, 600.0, 1.0, np.exp(-600.0)),
        (5e-324, 1e-3, -np.expm1(-1e-3), 0.0),
        (1 - 2.0**-53, 0.5, 1.0, np.exp(-0.5)),
    ],
)
def test_edges(risk, budget, upper, lower):
    assert inverse(risk, budget) == pytest.approx(upper, rel=4e-16, abs=0)
    assert inverse(risk, budget, "lower") == pytest.approx(lower, rel=3e-14, abs=0)


def test_tiny_budgets_stay_valid():
    for c in (5e-324, 1e-300, 1e-80, 1e-30):
        for q in (0.0, 1e-300, 1e-20, 0.5, 1 - 2.0**-53):
            assert inverse(q, c) >= q
            assert inverse(q, c, "lower") <= q
            c_up = max(c, 1e-100)  # what stands in for a smaller budget or rate
            assert inverse(q, c) <= min(1.0, (q + np.sqrt(2 * q * c_up) + 2 * c_up) * (1 + 1e-15) + 2e-100)


def test_budgets_below_the_promised_range():
    rng = np.random.default_rng(5)
    u, kind = rng.random(100_000), np.arange(100_000) % 3
    q, c = np.choose(kind, [u, 10 ** (-80 * u), 1 - 10 ** (-15 * u)]), 10 ** rng.uniform(-80, -10, 100_000)
    p = inverse(q, c)
    assert (p > q).all()
    assert (truth.sign(q, p, c) >= 0).all()
    tighter = steps_towards(p, 0.0, 2)
    above = tighter > q
    assert (truth.sign(q[above], tighter[above], c[above]) <= 0).all()


def test_gradients_at_the_edges():
    result = ph.bounds.kl_inverse_gradient([0.0, 1.0, 0.3, 0.3], [0.1, 0.1, 0.0, np.inf])
    np.testing.assert_allclose(result.by_risk, [np.inf, 0, 1, 0])
    np.testing.assert_allclose(result.by_budget, [np.exp(-0.1), 0, np.inf, 0])
    result = ph.bounds.kl_inverse_gradient([0.0, 1.0, 0.3, 0.3], [0.1, 0.1, 0.0, np.inf], "lower")
    np.testing.assert_allclose(result.by_risk, [0, np.inf, 1, 0])
    np.testing.assert_allclose(result.by_budget, [0, -np.exp(-0.1), -np.inf, 0])


@given(rates, rates, budgets, budgets)
def test_monotone_and_symmetric(q1, q2, c1, c2):
    q1, q2 = sorted((q1, q2))
    c1, c2 = sorted((c1, c2))
    assert inverse(q1, c1) <= inverse(q2, c2)
    assert inverse(q1, c2, "lower") <= inverse(q2, c1, "lower")
    # 1 - q is exact for q >= 1/2.
    if q2 >= 0.5:
        assert inverse(q2, c1, "lower") == pytest.approx(1 - inverse(1 - q2, c1), rel=0, abs=3e-16)


@given(rates, rates)
def test_divergence(q, p):
    value, exact = ph.bounds.binary_kl(q, p), truth.kl(q, p)
    if min(q, p) > 1e-90 and max(q, p) < 1:
        assert abs(value - exact) <= 5e-16 * exact
    assert (value == 0) == (q == p)


def test_divergence_is_not_symmetric():
    # .2 ln 2 + .8 ln(8/9); the arguments the other way round give .0444
    assert ph.bounds.binary_kl(0.2, 0.1) == pytest.approx(0.2 * np.log(2) + 0.8 * np.log(8 / 9), rel=1e-14)
    assert ph.bounds.binary_kl([0.0, 0.2, 1.0, 1.0], [1.0, 0.0, 1.0, 0.25]).tolist() == [
        np.inf,
        np.inf,
        0.0,
        np.log(4.0),
    ]


def test_shapes_and_threads():
    q, c = np.linspace(0, 1, 50_001), np.geomspace(1e-10, 10, 50_001)
    np.testing.assert_array_equal(inverse(q, c)[::7], inverse(q[::7], c[::7]))
    grid = inverse(np.array([0.1, 0.2])[:, None], [0.1, 0.2, 0.3])
    assert grid.shape == (2, 3)
    assert grid[1, 2] == inverse(0.2, 0.3)
    assert isinstance(inverse(0.1, 0.1), float)
    assert inverse(np.empty((0, 3)), 0.1).shape == (0, 3)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((-0.1, 0.1), ValueError, "`risk` is -0.1"),
        ((1.1, 0.1), ValueError, "`risk` is 1.1"),
        ((np.nan, 0.1), ValueError, "`risk` holds NaN"),
        ((0.1, -0.1), ValueError, "`budget` is -0.1"),
        ((0.1, np.nan), ValueError, "`budget` holds NaN"),
        (("x", 0.1), TypeError, "`risk` is str"),
        (([0.1, 0.2], [0.1, 0.2, 0.3]), ValueError, r"`risk` \(2,\), `budget` \(3,\)"),
        ((0.1, 0.1, "both"), ValueError, "`side` is 'both'"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        inverse(*arguments)
    with pytest.raises(error, match=message):
        ph.bounds.kl_inverse_gradient(*arguments)
