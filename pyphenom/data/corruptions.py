"""What is done to data on purpose: labels redrawn, pixels shuffled or replaced; and the scale that models expect.

Zhang, Bengio, Hardt, Recht and Vinyals, "Understanding deep learning requires rethinking generalization", ICLR 2017,
section 2.1, compare five: partially corrupted and random labels (`corrupt_labels`, with probability 1 for the latter),
shuffled pixels (`shuffle_pixels`), random pixels (the same with ``per_image=True``), and Gaussian (`gaussian_pixels`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyphenom._arrays import Float, as_float, as_integer, as_real
from pyphenom.data._checks import as_generator


def corrupt_labels(
    labels: Any, probability: float, classes: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    r"""Redraw every label with probability p, uniformly over all K classes, the true one included.

    A label changes with probability :math:`p(1 - 1/K)`. With the same state of the generator, a larger p redraws a
    superset of the labels, and redraws those to the same classes; the first labels of a longer list fare like a list
    of their own.

    Parameters
    ----------
    labels : array of int (n,)
        Classes 0 to K - 1.
    probability : float
        p, from 0 to 1.
    classes : int
        K.
    rng : numpy.random.Generator
        Moves on by 2n draws, whatever p.

    Returns
    -------
    corrupted : array of int64 (n,)
    changed : array of bool (n,)
        Where the new label is another; its mean is the realised rate.

    Raises
    ------
    TypeError, ValueError
        If the labels are no integers from 0 to K - 1, if p is no probability, or if `rng` is no generator.

    References
    ----------
    Zhang, Bengio, Hardt, Recht and Vinyals, ICLR 2017, section 2.1.

    Examples
    --------
    >>> corrupted, changed = corrupt_labels([0, 1, 2, 0, 1, 2], 0.5, 3, np.random.default_rng(0))
    >>> corrupted.tolist(), changed.tolist()
    ([0, 0, 2, 0, 1, 2], [False, True, False, False, False, False])
    """
    p = as_real("probability", probability)
    if p > 1:
        raise ValueError(f"`probability` is {p}; expected a number from 0 to 1. Divide a percentage by 100")
    K = as_integer("classes", classes, 1)
    true = np.asarray(labels)
    if true.dtype.kind not in "iu":
        raise TypeError(f"`labels` has dtype {true.dtype}; expected integers. Convert it, labels.astype(int)")
    if true.ndim != 1 or true.size == 0:
        raise ValueError(f"`labels` has shape {true.shape}; expected one dimension and at least one label")
    if true.min() < 0 or true.max() >= K:
        raise ValueError(
            f"`labels` go from {true.min()} to {true.max()}; expected 0 to {K - 1}, for {K} `classes`. Renumber them "
            "by numpy.unique(labels, return_inverse=True)"
        )
    # Both numbers are drawn for every label, so that they depend on its place alone and not on p or on n.
    chance, drawn = as_generator("rng", rng).random((true.size, 2)).T
    corrupted = np.where(chance < p, np.floor(K * drawn).astype(np.int64), true.astype(np.int64))
    return corrupted, corrupted != true


def shuffle_pixels(X: Any, rng: np.random.Generator, per_image: bool = False) -> tuple[Float, NDArray[np.intp]]:
    """Permute positions: by one permutation for all images, or by another one for each.

    Parameters
    ----------
    X : array (n, d) or (n, channels, d)
        Images as rows, or as planes that move together: CIFAR's ``pixels.reshape(n, 3, 1024)``.
    rng : numpy.random.Generator
    per_image : bool
        Whether each image has its own permutation, which leaves only the histogram of an image.

    Returns
    -------
    shuffled : array like X
        A copy with the dtype of X.
    order : array of int (d,), or (n, d) with `per_image`
        Where each position comes from: ``shuffled = X[..., order]``. Apply the same to the test set,
        ``X_test[..., order]``; with `per_image`, call again.

    Raises
    ------
    TypeError, ValueError
        If X is no such array or is empty, or if `rng` is no generator.

    References
    ----------
    Zhang, Bengio, Hardt, Recht and Vinyals, ICLR 2017, section 2.1: shuffled pixels, and random pixels `per_image`.

    Examples
    --------
    >>> shuffled, order = shuffle_pixels([[1, 2, 3], [4, 5, 6]], np.random.default_rng(3))
    >>> shuffled.tolist(), order.tolist()
    ([[3, 2, 1], [6, 5, 4]], [2, 1, 0])
    """
    x, generator = np.asarray(X), as_generator("rng", rng)
    if x.dtype.kind not in "fiub":
        raise TypeError(f"`X` has dtype {x.dtype}; expected real numbers. Convert it, numpy.asarray(X, dtype=float)")
    if x.ndim not in (2, 3) or x.size == 0:
        raise ValueError(
            f"`X` has shape {x.shape}; expected (n, d) or (n, channels, d), and none of them 0. Reshape it"
        )
    n, d = x.shape[0], x.shape[-1]
    if not per_image:
        order = generator.permutation(d)
        return x[..., order], order
    order = generator.permuted(np.tile(np.arange(d), (n, 1)), axis=1)
    return np.take_along_axis(x, order.reshape(n, *(1,) * (x.ndim - 2), d), axis=-1), order


def gaussian_pixels(X: Any, rng: np.random.Generator) -> Float:
    """Draw independent Gaussian pixels in the shape of X, with the mean and the variance of all its pixels.

    Parameters
    ----------
    X : array (n, d) or (n, channels, d)
    rng : numpy.random.Generator

    Returns
    -------
    array like X
        In float64.

    Raises
    ------
    TypeError, ValueError
        If X is no such array, is empty or not finite, or if `rng` is no generator.

    References
    ----------
    Zhang, Bengio, Hardt, Recht and Vinyals, ICLR 2017, section 2.1: Gaussian.

    Examples
    --------
    >>> X = np.array([[10.0, 12.0], [14.0, 12.0]])
    >>> gaussian_pixels(X, np.random.default_rng(0)).round(1)
    array([[12.2, 11.8],
           [12.9, 12.1]])
    """
    x = as_float("X", X, (2, 3))
    return np.asarray(as_generator("rng", rng).normal(x.mean(), x.std(), x.shape))


def standardise(train: Any, *others: Any) -> tuple[Float, ...]:
    """Subtract the mean of every column and divide by its standard deviation, both taken from the training set alone.

    Parameters
    ----------
    train : array (n, d)
    *others : array (m, d)
        Such as the test set, which gets the training set's mean and scale.

    Returns
    -------
    tuple of arrays
        One for each argument. A column that is constant in `train` is only centred. float32 stays.

    Raises
    ------
    TypeError, ValueError
        If an argument is no finite matrix, or has another number of columns than `train`.

    Examples
    --------
    >>> train, test = standardise([[0.0, 7.0], [4.0, 7.0]], [[6.0, 8.0]])
    >>> train.tolist(), test.tolist()
    ([[-1.0, 0.0], [1.0, 0.0]], [[2.0, 1.0]])
    """
    names = ["train", *(f"others[{k}]" for k in range(len(others)))]
    arrays = [as_float(name, X, (2,), keep_float32=True) for name, X in zip(names, (train, *others), strict=True)]
    first = arrays[0]
    for name, X in zip(names, arrays, strict=True):
        if X.shape[1] != first.shape[1]:
            raise ValueError(
                f"`{name}` has {X.shape[1]} columns; expected {first.shape[1]}, as `train` has. Pass the same ones"
            )
    mean, scale = first.mean(axis=0, dtype=np.float64), first.std(axis=0, dtype=np.float64)
    # Rounding may leave a constant column with a tiny deviation, so the entries themselves are asked.
    constant = (first == first[0]).all(axis=0)
    mean, scale = np.where(constant, first[0], mean), np.where(constant, 1.0, scale)
    return tuple(((X - mean) / scale).astype(X.dtype, copy=False) for X in arrays)
