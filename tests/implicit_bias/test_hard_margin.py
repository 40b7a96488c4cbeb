"""The hard-margin solver against enumeration, scikit-learn's SVC, SciPy's SLSQP and its own certificate."""

import importlib
from itertools import combinations

import numpy as np
import pytest
import scipy.optimize
import torch
from sklearn.svm import SVC

import pyphenom as ph
from pyphenom import _core
from pyphenom.implicit_bias import HardMargin, hard_margin
from pyphenom.implicit_bias._active_set import solve_precisely

module = importlib.import_module("pyphenom.implicit_bias.hard_margin")
DUAL = {"l2": 2, "l1": np.inf, "linf": 1}
PRIMAL = {"l2": 2, "l1": 1, "linf": np.inf}


def labelled(n, d, seed=0, teacher=False):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    return X, np.sign(X @ rng.standard_normal(d)) if teacher else rng.choice([-1.0, 1.0], n)


def enumerated(rows):
    """Return the classifier min |w| with rows w >= 1 over all sets of rows that may touch; None where there is none."""
    best = None
    for size in range(1, len(rows) + 1):
        for chosen in map(list, combinations(range(len(rows)), size)):
            w = np.linalg.pinv(rows[chosen]) @ np.ones(size)
            if (rows @ w).min() > 1 - 1e-9 and (best is None or w @ w < best @ best):
                best = w
    return best


def check(solution, X, y, tol=1e-8):
    """Prove the margin: weak duality, from X, w and lambda alone."""
    rows, norm = np.asarray(y)[:, None] * X, solution.norm
    assert np.linalg.norm(solution.weights, PRIMAL[norm]) == pytest.approx(1.0, rel=1e-12)
    margin, bound = (rows @ solution.weights).min(), np.linalg.norm(solution.dual @ rows, DUAL[norm])
    assert solution.dual.min() >= 0
    assert solution.dual.sum() == pytest.approx(1.0, rel=1e-12)
    assert margin == pytest.approx(solution.margin, rel=1e-12)
    assert bound == pytest.approx(solution.bound, rel=1e-9)
    assert (bound - margin) / bound <= tol
    assert solution.status.converged
    assert solution.separable
    assert set(solution.support) == set(np.flatnonzero(solution.dual))


def check_witness(solution, X, y):
    rows = np.asarray(y)[:, None] * X
    assert not solution.separable
    assert not solution.status.converged
    assert "not separable" in solution.status.message
    assert "not separable" in repr(solution)
    assert solution.margin == 0
    assert not solution.weights.any()
    assert solution.dual.min() >= 0
    assert solution.dual.sum() == pytest.approx(1.0)
    assert np.abs(solution.dual @ rows).max() <= 1e-10 * np.abs(rows).max()


def test_published_example():
    # Soudry et al.'s limit for three points: theory and integration of the flow agree on it to 1e-5.
    X = np.array([[2.0, 0.4], [0.3, 1.0], [3.0, 3.0]])
    solution = hard_margin(X, [1, 1, 1])
    w = solution.weights / solution.margin
    np.testing.assert_allclose(w, [0.319149, 0.904255], atol=1e-5)
    assert solution.margin == pytest.approx(1.042836, abs=1e-5)
    np.testing.assert_allclose(solution.multipliers @ X, w, rtol=1e-9)
    assert solution.multipliers.sum() == pytest.approx(0.919534, abs=1e-5)
    assert solution.support.tolist() == [0, 1]
    assert "one class" in solution.status.message


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("n", "d"), [(1, 1), (1, 4), (2, 1), (4, 2), (6, 3), (7, 7), (6, 10)])
def test_l2_is_the_best_of_all_supports(n, d, seed):
    X, y = labelled(n, d, seed)
    solution, w = hard_margin(X, y), enumerated(y[:, None] * X)
    if w is None:
        check_witness(solution, X, y)
    else:
        check(solution, X, y)
        np.testing.assert_allclose(solution.weights, w / np.linalg.norm(w), atol=1e-9)


@pytest.mark.parametrize(("n", "d", "teacher"), [(60, 100, False), (60, 35, False), (200, 20, True), (100, 2, True)])
def test_l2_is_what_the_support_vector_machine_finds(n, d, teacher):
    X, y = labelled(n, d, 3, teacher)
    # With the mirror image (-x, -y) of every example the best intercept is zero.
    svc = SVC(kernel="linear", C=1e10, tol=1e-9).fit(np.vstack([X, -X]), np.r_[y, -y])
    solution = hard_margin(X, y)
    check(solution, X, y)
    reference = svc.coef_[0] / np.linalg.norm(svc.coef_)
    # The peer's own accuracy; ours is proven above.
    np.testing.assert_allclose(solution.weights, reference, atol=1e-4)
    assert solution.margin == pytest.approx(1 / np.linalg.norm(svc.coef_), rel=1e-4)


@pytest.mark.parametrize("norm", ["l2", "l1", "linf"])
def test_small_problems_by_a_general_solver(norm):
    X, y = labelled(6, 3, 1, teacher=True)
    best = 0.0
    # Parts u, v >= 0 of w and the margin; a concave problem, or a linear one, so that a local solution is the solution.
    for start in range(5):
        x0 = np.r_[np.random.default_rng(start).uniform(0.1, 1, 6), -1.0]
        size = {
            "l2": lambda z: 1 - np.sum((z[:3] - z[3:6]) ** 2),
            "l1": lambda z: 1 - np.sum(z[:6]),
            "linf": lambda z: 1 - np.r_[z[:3] - z[3:6], z[3:6] - z[:3]],
        }[norm]
        constraints = [
            {"type": "ineq", "fun": size},
            {"type": "ineq", "fun": lambda z: y * (X @ (z[:3] - z[3:6])) - z[6]},
        ]
        found = scipy.optimize.minimize(
            lambda z: -z[6], x0, constraints=constraints, method="SLSQP", bounds=[(0, 3)] * 6 + [(None, None)],
            options={"ftol": 1e-13, "maxiter": 500},
        )  # fmt: skip
        best = max(best, -found.fun if found.success else 0.0)
    assert hard_margin(X, y, norm).margin == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("norm", ["l2", "l1", "linf"])
def test_in_the_plane_by_looking_in_all_directions(norm):
    X, y = labelled(20, 2, 5, teacher=True)
    angles = np.linspace(0, 2 * np.pi, 200_001)
    w = np.stack([np.cos(angles), np.sin(angles)])
    margins = ((y[:, None] * X) @ (w / np.linalg.norm(w, PRIMAL[norm], axis=0))).min(axis=0)
    assert hard_margin(X, y, norm).margin == pytest.approx(margins.max(), rel=1e-3)


@pytest.mark.parametrize("norm", ["l2", "l1", "linf"])
@pytest.mark.parametrize(("n", "d", "teacher"), [(40, 100, False), (100, 60, False), (150, 10, True), (1, 1, False)])
def test_certificate(norm, n, d, teacher):
    X, y = labelled(n, d, 2, teacher)
    check(hard_margin(X, y, norm), X, y)


@pytest.mark.parametrize("norm", ["l2", "l1", "linf"])
@pytest.mark.parametrize(("n", "d"), [(100, 20), (300, 130), (2, 1)])
def test_inseparable_data_give_a_witness(norm, n, d):
    X, y = labelled(n, d) if n > 2 else (np.array([[1.0], [3.0]]), np.array([1.0, -1.0]))
    check_witness(hard_margin(X, y, norm), X, y)


@pytest.mark.parametrize("norm", ["l2", "l1", "linf"])
def test_separability_is_decided_at_the_border(norm):
    # 0 lies on the hull's edge: a w with rows w >= 0 exists, none with a positive margin.
    X, y = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]]), np.ones(3)
    check_witness(hard_margin(X, y, norm), X, y)
    X[:2, 1] = 1e-6
    check(hard_margin(X, y, norm), X, y)
    assert not hard_margin(np.zeros((3, 2)), [1, -1, 1], norm).separable
    zero = np.array([[1.0, 2.0], [0.0, 0.0]])
    solution = hard_margin(zero, [1, -1], norm)
    assert not solution.separable
    assert solution.dual.tolist() == [0, 1]


def test_the_threshold_of_cover():
    # Random labels are separable with probability 1/2 at n = 2d; at n = 1.6 d and 2.5 d the probability is extreme.
    assert all(hard_margin(*labelled(160, 100, seed)).separable for seed in range(5))
    assert not any(hard_margin(*labelled(250, 100, seed)).separable for seed in range(5))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("n", "d"), [(300, 160), (400, 220), (200, 105)])
def test_the_kernel_alone(n, d, seed):
    # Close to the threshold, where coordinate descent is far from the support: the conditions of optimality, and a
    # factor that follows its exchanges, without which they do not end so soon.
    X, y = labelled(n, d, seed)
    rows = y[:, None] * X
    alpha, end, sweeps, exchanges = _core.hard_margin(rows @ rows.T, 1e-10, 10_000)
    w = alpha @ rows
    assert alpha.min() >= 0
    if end == "solved":
        assert (rows @ w).min() > 1 - 1e-7
        np.testing.assert_allclose((rows @ w)[alpha > 0], 1.0, atol=1e-7)
    else:
        assert end == "inseparable"
        assert np.linalg.norm(w) < 1e-9 * alpha.sum()
    assert sweeps > 5
    assert 10 < exchanges < n


@pytest.mark.parametrize("copies", [2, 5])
def test_duplicates_change_nothing(copies):
    X, y = labelled(30, 50, 4)
    solution = hard_margin(np.tile(X, (copies, 1)), np.tile(y, copies))
    check(solution, np.tile(X, (copies, 1)), np.tile(y, copies))
    np.testing.assert_allclose(solution.weights, hard_margin(X, y).weights, atol=1e-9)


def test_a_gram_matrix_of_low_rank():
    rng = np.random.default_rng(6)
    X = rng.standard_normal((80, 4)) @ rng.standard_normal((4, 200))
    y = np.sign(X @ rng.standard_normal(200))
    check(hard_margin(X, y), X, y)


@pytest.mark.parametrize("noise", [1e-3, 1e-6])
def test_near_duplicates(noise):
    X, y = labelled(20, 30, 7)
    rng = np.random.default_rng(8)
    X, y = np.vstack([X, X + noise * rng.standard_normal(X.shape)]), np.tile(y, 2)
    check(hard_margin(X, y), X, y)


def test_rows_of_many_sizes():
    X, y = labelled(50, 80, 9)
    X *= 10.0 ** np.random.default_rng(9).uniform(-4, 4, 50)[:, None]
    check(hard_margin(X, y), X, y)


@pytest.mark.parametrize("spectrum", [4, 6])
def test_a_condition_number_whose_square_is_beyond_the_floats(spectrum):
    rng = np.random.default_rng(2)
    X, y = rng.standard_normal((100, 250)) * np.arange(1, 251.0) ** (-spectrum / 2), rng.choice([-1.0, 1.0], 100)
    check(hard_margin(X, y), X, y)
    offset = rng.standard_normal((50, 100)) + 1e5
    check(hard_margin(offset, y[:50]), offset, y[:50])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("n", "d"), [(1, 3), (6, 3), (8, 8), (7, 12), (40, 6)])
def test_the_precise_solver_from_nothing(n, d, seed):
    X, y = labelled(n, d, seed)
    rows = y[:, None] * X
    w, dual, end = solve_precisely(rows, np.zeros(n), 1e-10, 1000)
    expected = hard_margin(X, y)
    assert (end == "solved") == expected.separable
    if expected.separable:
        np.testing.assert_allclose(w / np.linalg.norm(w), expected.weights, atol=1e-8)
        np.testing.assert_allclose(dual @ rows, w, atol=1e-8 * np.abs(w).max())
    else:
        assert dual.min() >= 0
        assert np.abs(dual @ rows).max() < 1e-10 * dual.sum()


@pytest.mark.parametrize("scale", [1e-200, 1e-3, 1e200])
def test_scale_of_the_data(scale):
    X, y = labelled(20, 30)
    solution, plain = hard_margin(scale * X, y), hard_margin(X, y)
    assert solution.margin == pytest.approx(scale * plain.margin, rel=1e-12)
    np.testing.assert_allclose(solution.weights, plain.weights, rtol=1e-9)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(solution.multipliers, plain.multipliers / scale / scale, rtol=1e-9)


@pytest.mark.parametrize("norm", ["l2", "l1", "linf"])
@pytest.mark.parametrize("power", [-1074, -1050, 1022])
def test_data_at_the_ends_of_the_floats(power, norm):
    # Entries up to 3, so that those of the last are beyond 2^1023 and those of the first are subnormal.
    X, y = np.array([[1.0, -2.0], [3.0, 1.0], [1.0, 1.0]]), np.array([-1.0, 1.0, 1.0])
    solution, plain = hard_margin(np.ldexp(X, power), y, norm), hard_margin(X, y, norm)
    assert solution.separable
    np.testing.assert_allclose(solution.weights, plain.weights, rtol=1e-9, atol=1e-12)
    assert solution.margin == np.ldexp(plain.margin, power)
    assert not hard_margin(np.ldexp([[1.0], [3.0]], power), [1, -1], norm).separable


@pytest.mark.parametrize("norm", ["l2", "l1", "linf"])
def test_a_margin_below_the_tolerance_is_not_denied(norm):
    # The largest margin is 1e-11, of (0, 1): found, or the status says up to where it may have been missed.
    solution = hard_margin([[1.0, 1e-11], [-1.0, 1e-11], [0.0, 1.0]], np.ones(3), norm)
    assert solution.bound >= 1e-11 * (1 - 1e-4)
    if solution.separable:
        assert solution.margin == pytest.approx(1e-11, rel=1e-4)
    else:
        assert f"no margin above {solution.bound:.1e} exists" in solution.status.message
        assert "up to 1e-09 of the largest row" in solution.status.message


@pytest.mark.parametrize("teacher", [True, False])
def test_a_growing_working_set_finds_the_same(teacher, monkeypatch):
    X, y = labelled(1500, 12, 1, teacher)
    whole = hard_margin(X, y)
    monkeypatch.setattr(module, "GRAM_LIMIT", 100)
    part = hard_margin(X, y)
    if teacher:
        check(part, X, y)
        np.testing.assert_allclose(part.weights, whole.weights, atol=1e-8)
    else:
        check_witness(part, X, y)


def test_labels():
    X, y = labelled(20, 30)
    reference = hard_margin(X, y).weights
    np.testing.assert_array_equal(hard_margin(X, y > 0).weights, reference)
    np.testing.assert_array_equal(hard_margin(X, np.where(y > 0, 7, 3)).weights, reference)
    np.testing.assert_array_equal(hard_margin(torch.from_numpy(X), torch.from_numpy(y)).weights, reference)
    same = hard_margin(X, np.zeros(20))  # all of the negative class
    check(same, X, -np.ones(20))
    assert "all labels are 0" in same.status.message


def test_float32_and_strides():
    X, y = labelled(20, 60)
    reference = hard_margin(X[:, ::2].astype(np.float32).astype(float), y)
    np.testing.assert_array_equal(hard_margin(X.astype(np.float32)[:, ::2], y).weights, reference.weights)


@pytest.mark.parametrize(
    ("X", "y", "options", "message"),
    [
        (np.ones((3, 2)), [1, -1], {}, "`y` has shape"),
        (np.ones((3, 2)), [0, 1, 2], {}, "3 classes"),
        (np.ones((3, 2)), [1, np.nan, 1], {}, "`y` holds nan"),
        ([[1.0, np.inf]], [1], {}, "`X` holds inf"),
        (np.ones(3), [1, 1, 1], {}, "`X` has shape"),
        (np.ones((0, 3)), [], {}, "`X` is empty"),
        (np.ones((2, 2)), [1, 1], {"norm": "l3"}, "`norm` is 'l3'"),
        (np.ones((2, 2)), [1, 1], {"tol": -1}, "`tol` is -1"),
    ],
)
def test_bad_input(X, y, options, message):
    with pytest.raises(ValueError, match=message):
        hard_margin(X, y, **options)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([1, [1, -1]], "`y` is not an array of numbers"),
        (["a", "b"], "`y` has dtype"),
        (torch.ones(2, device="meta"), "`y` is a tensor on meta; expected one on the CPU"),
    ],
)
def test_labels_of_a_bad_kind(y, message):
    with pytest.raises(TypeError, match=message):
        hard_margin(np.ones((2, 2)), y)


def test_an_unreachable_tolerance_is_said():
    solution = hard_margin(*labelled(100, 60, 2), tol=0.0)
    assert solution.separable
    assert solution.status.converged == (solution.gap == 0)
    assert "raise `tol`" in solution.status.message or solution.gap == 0


def test_result_by_name():
    solution = ph.implicit_bias.hard_margin(*labelled(5, 8))
    assert isinstance(solution, HardMargin)
    assert set(solution.to_dict()) == set(HardMargin.__dataclass_fields__)
    assert "margin" in repr(solution)
    assert np.isinf(hard_margin([[1.0], [1.0]], [1, -1]).multipliers).all()
