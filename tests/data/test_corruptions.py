import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pyphenom.data import corrupt_labels, gaussian_pixels, shuffle_pixels, standardise

# ---- labels ---------------------------------------------------------------------------------------------------------

labelled = st.integers(1, 12).flatmap(
    lambda K: st.tuples(st.just(K), st.lists(st.integers(0, K - 1), min_size=1, max_size=60))
)
probability, seed = st.floats(0, 1), st.integers(0, 2**32)


@given(labelled, probability, seed)
def test_the_mask_tells_what_changed(problem, p, seed):
    K, labels = problem
    before = list(labels)
    corrupted, changed = corrupt_labels(labels, p, K, np.random.default_rng(seed))
    assert labels == before
    assert corrupted.dtype == np.int64
    assert changed.dtype == np.bool_
    assert all(0 <= k < K for k in corrupted)
    assert changed.tolist() == [new != old for new, old in zip(corrupted.tolist(), labels, strict=True)]


@given(labelled, probability, probability, seed)
def test_a_larger_probability_corrupts_a_superset_in_the_same_way(problem, first, second, seed):
    K, labels = problem
    small, large = (corrupt_labels(labels, p, K, np.random.default_rng(seed)) for p in sorted([first, second]))
    assert not (small[1] & ~large[1]).any()
    assert np.array_equal(small[0][small[1]], large[0][small[1]])


@given(labelled, probability, seed, st.integers(0, 10))
def test_the_first_labels_fare_alike_in_a_longer_list(problem, p, seed, more):
    K, labels = problem
    alone, _ = corrupt_labels(labels, p, K, np.random.default_rng(seed))
    longer, _ = corrupt_labels(labels + [0] * more, p, K, np.random.default_rng(seed))
    assert np.array_equal(longer[: len(labels)], alone)


def test_the_generator_moves_on_by_the_same_whatever_the_probability():
    nexts = set()
    for p in (0, 0.3, 1):
        rng = np.random.default_rng(0)
        corrupt_labels(np.arange(7), p, 7, rng)
        nexts.add(rng.random())
    assert len(nexts) == 1


@pytest.mark.parametrize(("p", "K"), [(0.2, 10), (1.0, 10), (0.5, 2), (0.9, 100)])
def test_the_rate_of_change_is_the_stated_one(p, K):
    # A binomial share: 5.5 standard errors have probability 4e-8.
    n, rate = 40_000, p * (1 - 1 / K)
    _, changed = corrupt_labels(np.arange(n) % K, p, K, np.random.default_rng(1))
    assert abs(changed.mean() - rate) <= 5.5 * np.sqrt(rate * (1 - rate) / n)


def test_random_labels_are_uniform_and_independent_of_the_true_ones():
    # Both tests fail with probability 1e-6 under the stated law.
    n, K = 40_000, 7
    true = np.arange(n) % K
    new, _ = corrupt_labels(true, 1.0, K, np.random.default_rng(2))
    assert stats.chisquare(np.bincount(new, minlength=K)).pvalue > 1e-6
    table = np.bincount(K * true + new, minlength=K * K).reshape(K, K)
    assert stats.chi2_contingency(table).pvalue > 1e-6


def test_which_labels_change_does_not_depend_on_the_class():
    # Of the changed labels the new class is uniform over the other ones: fails with probability 1e-6.
    n, K = 40_000, 5
    new, changed = corrupt_labels(np.full(n, 3), 0.4, K, np.random.default_rng(3))
    assert stats.chisquare(np.bincount(new[changed], minlength=K)[[0, 1, 2, 4]]).pvalue > 1e-6


def test_probability_zero_and_a_single_class_change_nothing():
    rng = np.random.default_rng(0)
    assert not corrupt_labels(np.arange(10), 0, 10, rng)[1].any()
    assert not corrupt_labels(np.zeros(50, int), 1, 1, rng)[1].any()


def test_small_integers_do_not_overflow():
    new, _ = corrupt_labels(np.zeros(2000, np.uint8), 1.0, 1000, np.random.default_rng(0))
    assert new.max() > 255


@pytest.mark.parametrize("p", [-0.1, 1.0001, 15, np.nan, np.inf])
def test_probabilities_are_probabilities(p):
    with pytest.raises(ValueError, match="`probability` is"):
        corrupt_labels([0, 1], p, 2, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("labels", "classes", "error", "message"),
    [
        ([0, 1, 3], 3, ValueError, "`labels` go from 0 to 3; expected 0 to 2"),
        ([-1, 1], 3, ValueError, "`labels` go from -1 to 1; expected 0 to 2"),
        (np.empty(0, int), 3, ValueError, r"`labels` has shape \(0,\)"),
        ([[0, 1]], 3, ValueError, r"`labels` has shape \(1, 2\)"),
        (1, 3, ValueError, r"`labels` has shape \(\)"),
        ([0.0, 1.0], 3, TypeError, "`labels` has dtype float64; expected integers"),
        ([True, False], 3, TypeError, "`labels` has dtype bool; expected integers"),
        (["cat"], 3, TypeError, "`labels` has dtype .*; expected integers"),
        ([0, 1], 0, ValueError, "`classes` is 0"),
        ([0, 1], 2.0, TypeError, "`classes` is 2.0"),
    ],
)
def test_bad_labels_are_named(labels, classes, error, message):
    with pytest.raises(error, match=message):
        corrupt_labels(labels, 0.5, classes, np.random.default_rng(0))


# ---- pixels ---------------------------------------------------------------------------------------------------------

PLANES = np.arange(60, dtype=np.uint8).reshape(4, 3, 5)


@pytest.mark.parametrize("X", [PLANES, PLANES[:, 0], PLANES[:1, 0, :1].astype(np.float32)])
def test_one_permutation_moves_all_images_alike(X):
    before = X.copy()
    shuffled, order = shuffle_pixels(X, np.random.default_rng(1))
    assert np.array_equal(X, before)
    assert shuffled.dtype == X.dtype
    assert sorted(order) == list(range(X.shape[-1]))
    for place, source in enumerate(order):
        assert np.array_equal(shuffled[..., place], X[..., source])


@pytest.mark.parametrize("X", [PLANES, PLANES[:, 0]])
def test_each_image_has_its_own_permutation(X):
    shuffled, order = shuffle_pixels(X, np.random.default_rng(1), per_image=True)
    assert shuffled.dtype == X.dtype
    assert order.shape == (4, 5)
    assert len({tuple(row) for row in order}) > 1
    for image, result, row in zip(X, shuffled, order, strict=True):
        assert sorted(row) == list(range(5))
        assert np.array_equal(result, image[..., row])


@pytest.mark.parametrize("per_image", [False, True])
def test_all_permutations_are_equally_likely(per_image):
    # Six permutations of three positions: fails with probability 1e-6.
    rng, X = np.random.default_rng(5), np.arange(3.0)[None]
    if per_image:
        orders = shuffle_pixels(np.repeat(X, 6000, axis=0), rng, per_image=True)[1]
    else:
        orders = np.array([shuffle_pixels(X, rng)[1] for _ in range(6000)])
    counts = np.bincount(orders @ [9, 3, 1])
    assert stats.chisquare(counts[counts > 0]).pvalue > 1e-6
    assert (counts > 0).sum() == 6


def test_the_result_is_a_copy():
    X = np.zeros((2, 1))
    for per_image in (False, True):
        shuffle_pixels(X, np.random.default_rng(0), per_image)[0][:] = 1
    assert not X.any()


def test_gaussian_pixels_have_the_law_of_all_pixels_together():
    # Mean within 5.5 standard errors (4e-8); Kolmogorov-Smirnov distance 2.5 / sqrt(n) (8e-6).
    X = np.random.default_rng(0).exponential(3.0, (200, 2, 100)) + np.arange(100)
    noise = gaussian_pixels(X, np.random.default_rng(1))
    assert noise.shape == X.shape
    n, mean, deviation = X.size, X.mean(), X.std()
    assert abs(noise.mean() - mean) <= 5.5 * deviation / np.sqrt(n)
    assert stats.kstest(noise.ravel(), stats.norm(mean, deviation).cdf).statistic <= 2.5 / np.sqrt(n)
    # Positions keep nothing of their own: their means spread as those of independent draws, 5.5 standard errors.
    assert np.abs(noise.mean(axis=(0, 1)) - mean).max() <= 5.5 * deviation / np.sqrt(400)


def test_images_of_one_value_give_that_value():
    assert np.array_equal(gaussian_pixels(np.full((2, 3), 7), np.random.default_rng(0)), np.full((2, 3), 7.0))


@pytest.mark.parametrize("function", [shuffle_pixels, gaussian_pixels])
@pytest.mark.parametrize(
    ("X", "error"),
    [
        (np.zeros((0, 3)), ValueError),
        (np.zeros((3, 0)), ValueError),
        (np.zeros(3), ValueError),
        (np.zeros((1, 1, 1, 1)), ValueError),
        ([["a", "b"]], TypeError),
        ([[1j]], TypeError),
    ],
)
def test_only_images_are_taken(function, X, error):
    with pytest.raises(error, match="`X`"):
        function(X, np.random.default_rng(0))


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: corrupt_labels([0], 0.5, 2, rng),
        lambda rng: shuffle_pixels([[1.0]], rng),
        lambda rng: gaussian_pixels([[1.0]], rng),
    ],
)
def test_a_seed_is_no_generator(draw):
    with pytest.raises(TypeError, match=r"`rng` is 0 .*expected a numpy.random.Generator"):
        draw(0)


# ---- scale ----------------------------------------------------------------------------------------------------------


def test_training_columns_get_mean_zero_and_deviation_one():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((50, 4)) * [1, 10, 0.1, 5] + [0, 100, 3, -7]
    (Z,) = standardise(X)
    np.testing.assert_allclose(Z.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(Z.std(axis=0), 1, rtol=1e-12)


def test_others_get_the_scale_of_the_training_set():
    rng = np.random.default_rng(1)
    X, A, B = rng.standard_normal((30, 3)), rng.standard_normal((5, 3)) + 9, rng.standard_normal((1, 3))
    Z, *others = standardise(X, A, B)
    for found, raw in zip([Z, *others], [X, A, B], strict=True):
        expected = [[(row[j] - X[:, j].mean()) / X[:, j].std() for j in range(3)] for row in raw]
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
    assert np.array_equal(standardise(X, A + 1)[0], Z)


@pytest.mark.parametrize("value", [0.1, 1e100, 0.0, -7.3])
def test_a_constant_column_is_only_centred(value):
    train, test = np.full((7, 1), value), np.array([[value], [value + 2.0]])
    Z, T = standardise(train, test)
    assert np.array_equal(Z, np.zeros((7, 1)))
    assert np.array_equal(T, test - value)


def test_types_stay_and_arguments_do_too():
    X = np.arange(6, dtype=np.float32).reshape(3, 2)
    before = X.copy()
    Z, T = standardise(X, np.arange(2)[None])
    assert (Z.dtype, T.dtype) == (np.float32, np.float64)
    assert np.array_equal(X, before)


def test_bad_matrices_are_named():
    with pytest.raises(ValueError, match=r"`others\[1\]` has 3 columns; expected 2, as `train` has"):
        standardise(np.zeros((2, 2)), np.zeros((2, 2)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"`others\[0\]` holds nan"):
        standardise(np.zeros((2, 2)), [[np.nan, 0]])
    with pytest.raises(ValueError, match="`train` is empty"):
        standardise(np.zeros((0, 2)))
