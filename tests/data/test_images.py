import numpy as np
import pytest

from pyphenom.data import Images, centred_on_sphere, digits


def test_digits_are_the_published_ones():
    # Counts, range and classes as in the documentation of the UCI test set.
    images = digits()
    assert images.pixels.shape == (1797, 64)
    assert images.pixels.dtype == np.float64
    assert (images.pixels.min(), images.pixels.max()) == (0.0, 16.0)
    assert np.bincount(images.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_digits_show_what_their_labels_say():
    # A one has ink in the middle of its middle rows, a zero has none.
    images = digits()
    middle = images.pixels.reshape(-1, 8, 8)[:, 3:5, 3:5].mean(axis=(1, 2))
    assert middle[images.labels == 1].mean() > 10 > 2 > middle[images.labels == 0].mean()


def test_one_hot_is_centred_and_tells_the_classes():
    images = Images(np.zeros((5, 2)), np.array([7, 3, 3, 9, 7]))
    Y = images.one_hot()
    expected = np.array([[0, 1, 0], [1, 0, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0]]) - np.array([0.4, 0.4, 0.2])
    np.testing.assert_allclose(Y, expected, atol=1e-15)
    np.testing.assert_allclose(Y.sum(axis=0), 0.0, atol=1e-15)
    np.testing.assert_allclose(Y.sum(axis=1), 0.0, atol=1e-15)


def test_images_are_frozen():
    with pytest.raises(AttributeError):
        digits().labels = np.zeros(1797)


@pytest.mark.parametrize("rows", [slice(1, 3), [1, 2], np.array([False, True, True])])
def test_rows_are_taken_with_their_labels(rows):
    images = Images(np.arange(6.0).reshape(3, 2), np.array([7, 8, 9]))
    assert len(images) == 3
    assert images[rows].pixels.tolist() == [[2.0, 3.0], [4.0, 5.0]]
    assert images[rows].labels.tolist() == [8, 9]


@pytest.mark.parametrize("rows", [1, np.int64(-1), None])
def test_a_single_row_is_no_set_of_images(rows):
    with pytest.raises(TypeError, match=r"`rows` is .*expected a slice, indices or a mask"):
        digits()[rows]


def test_rows_are_centred_and_scaled():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 6)) + 100.0
    Z = centred_on_sphere(X)
    np.testing.assert_allclose((Z**2).sum(axis=1), 6.0, rtol=1e-13)
    centred = X - X.mean(axis=0)
    cosine = (Z * centred).sum(axis=1) / np.linalg.norm(Z, axis=1) / np.linalg.norm(centred, axis=1)
    np.testing.assert_allclose(cosine, 1.0, rtol=1e-13)


def test_shift_and_scale_do_not_matter():
    X = np.random.default_rng(1).standard_normal((20, 4))
    np.testing.assert_allclose(centred_on_sphere(3.0 * X + 5.0), centred_on_sphere(X), rtol=1e-12)


def test_the_argument_is_left_alone():
    X = np.random.default_rng(2).standard_normal((5, 3))
    before = X.copy()
    centred_on_sphere(X)
    assert np.array_equal(X, before)


def test_a_row_without_direction_is_refused():
    with pytest.raises(ValueError, match=r"`X` has the mean row as row 2.*Remove it"):
        centred_on_sphere([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]])


@pytest.mark.parametrize("X", [[1.0, 2.0], [[1.0, np.nan]], np.empty((0, 3))])
def test_only_a_finite_matrix_is_taken(X):
    with pytest.raises(ValueError, match="`X`"):
        centred_on_sphere(X)
