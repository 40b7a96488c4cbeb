import numpy as np
import pytest
from scipy.special import softmax

from pyphenom.theory.class_spectrum import ClassLevels, class_levels, drops, flow_weights, lead


def dense(C, beta, epsilon):
    """The Hessian itself, from its definition, and the gradient."""
    X = np.linalg.cholesky(np.full((C, C), beta) + (1.0 - beta) * np.eye(C))
    H, gradient = np.zeros((C * C, C * C)), np.zeros(C * C)
    for c in range(C):
        p = np.full(C, epsilon / (C - 1))
        p[c] = 1.0 - epsilon
        H += np.kron(np.diag(p) - np.outer(p, p), np.outer(X[c], X[c])) / C
        gradient += np.kron(p - np.eye(C)[c], X[c]) / C
    return H, gradient


def listed(levels, C):
    """All eigenvalues, those of value 0 among them."""
    values = np.repeat([levels.common, levels.gradient, levels.contrast, levels.rest], levels.multiplicities)
    return np.concatenate([values, np.zeros(C * C - len(values))])


@pytest.mark.parametrize("C", [2, 3, 4, 5, 10])
@pytest.mark.parametrize("beta", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("epsilon", [1e-4, 0.1, 0.5])
def test_levels_are_those_of_the_dense_hessian(C, beta, epsilon):
    H, gradient = dense(C, beta, epsilon)
    values, vectors = (part[..., ::-1] for part in np.linalg.eigh(H))
    levels = class_levels(C, beta, epsilon)
    assert isinstance(levels, ClassLevels)
    expected = listed(levels, C)
    rounding = 1e-14 * expected[0] / epsilon  # of 1 - p
    np.testing.assert_allclose(values, expected, atol=rounding)
    assert np.all(np.diff(expected) <= rounding)  # in the order of their size
    np.testing.assert_allclose(H @ gradient, levels.gradient * gradient, atol=rounding)
    if beta > 0.0 and C > 2:
        unit = gradient / np.linalg.norm(gradient)
        assert abs(vectors[:, C - 1] @ unit) == pytest.approx(1.0, abs=1e-9)  # the C-th, and not among the C - 1


@pytest.mark.parametrize("C", [2, 5])
@pytest.mark.parametrize("beta", [0.0, 0.7])
def test_gradient_descent_from_zero_passes_through_the_weights(C, beta):
    X, W, error = np.linalg.cholesky(np.full((C, C), beta) + (1.0 - beta) * np.eye(C)), np.zeros((C, C)), 1.0
    while error > 0.1:
        p = softmax(X @ W.T, axis=1)
        error = 1.0 - p[0, 0]
        last, W = W, W - 0.01 * (p - np.eye(C)).T @ X / C
    np.testing.assert_allclose(flow_weights(X, beta, error), last, atol=1e-9)
    rotated = np.linalg.qr(np.random.default_rng(0).standard_normal((9, 9)))[0][:C]
    p = softmax(rotated @ flow_weights(rotated, 0.0, 0.03).T, axis=1)
    np.testing.assert_allclose(p, 0.03 / (C - 1) + (1 - 0.03 * C / (C - 1)) * np.eye(C), rtol=1e-12)


def test_weights_are_for_inputs_that_are_equally_far_apart():
    with pytest.raises(ValueError, match=r"inputs: got inner products 3.0e-01 off, expected .* products of 0.3"):
        flow_weights(np.eye(3), 0.3, 0.1)
    for inputs in (np.eye(1), np.ones(3)):
        with pytest.raises(ValueError, match="inputs: got shape"):
            flow_weights(inputs, 0.3, 0.1)


def test_limits_of_the_docstring():
    levels = class_levels(10, [0.0, 1.0 - 1e-6], 1e-6)
    np.testing.assert_allclose(levels.common[0] / levels.contrast[0], 10.0, rtol=1e-5)
    assert levels.common[0] == pytest.approx(levels.gradient[0])
    np.testing.assert_allclose(levels.common[1] / levels.gradient[1] * 1e-6, 2.0, rtol=1e-4)
    np.testing.assert_allclose(levels.gradient[1] / levels.contrast[1], 2.0, rtol=1e-4)
    assert levels.surplus[0] < 0.0 < levels.surplus[1]


def test_softmax_at_zero_has_one_curvature_for_all_contrasts():
    levels = class_levels(5, 0.0, 0.8)
    assert levels.common == pytest.approx(1 / 25)
    assert levels.rest == pytest.approx(1 / 25)


def test_parameters_broadcast_and_scalars_stay_floats():
    grid = class_levels(3, np.array([[0.1], [0.5]]), [0.1, 0.2, 0.3])
    assert grid.common.shape == grid.rest.shape == grid.surplus.shape == (2, 3)
    one = class_levels(3, 0.5, 0.2)
    assert one.to_dict()["common"] == grid.common[1, 1]
    assert isinstance(one.surplus, float)
    assert repr(one).startswith("ClassLevels(common=")


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ((1, 0.0, 0.1), "classes: got 1, expected an integer of at least 2"),
        ((2.0, 0.0, 0.1), "classes: got 2.0"),
        ((3, 1.0, 0.1), "cosine: got 1, expected less than 1"),
        ((3, -0.1, 0.1), "cosine: got -0.1"),
        ((3, 0.0, 0.0), "error: got 0"),
        ((3, 0.0, 0.7), "error: got 0.7, expected at most 1 - 1/C = 0.66"),
    ],
)
def test_parameters_out_of_range(given, match):
    with pytest.raises(ValueError, match=match):
        class_levels(*given)


def test_drops_are_factors_between_neighbours_and_the_lead_is_over_the_largest_other():
    values = np.concatenate([[80.0, 40.0, 4.0], np.full(100, 2.0)])
    found = drops(values)
    np.testing.assert_allclose(np.exp(found), [2.0, 10.0, 2.0, *np.ones(99)])
    np.testing.assert_allclose(drops(1e-6 * values), found)  # no unit
    assert lead(values, 2) == pytest.approx(np.log(10 / 2))
    assert lead(values, 1) == pytest.approx(np.log(2 / 10))
    assert lead(values, 3) == pytest.approx(np.log(2 / 10))
    np.testing.assert_allclose(drops(np.concatenate([[5.0], -np.ones(40)]))[:2], [np.log(1e12), 0.0])


@pytest.mark.parametrize(
    ("eigenvalues", "words"), [([1.0], "got shape"), ([1.0, 2.0], "largest first"), ([-1.0, -2.0], "that positive")]
)
def test_eigenvalues_that_have_no_drops_are_named(eigenvalues, words):
    with pytest.raises(ValueError, match=f"eigenvalues: .*{words}"):
        drops(eigenvalues)
    with pytest.raises(ValueError, match="count: got 3 with 2 drops, expected one of several"):
        lead([3.0, 2.0, 1.0], 3)
