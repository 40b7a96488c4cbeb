"""Synthetic inputs whose law a theory names."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyphenom._arrays import Float, as_float, as_integer, as_real
from pyphenom.data._checks import as_generator


def sphere(n: int, d: int, rng: np.random.Generator) -> Float:
    r"""Draw points uniformly from the sphere of radius :math:`\sqrt d` in d dimensions.

    Parameters
    ----------
    n, d : int
        Number of points, dimension.
    rng : numpy.random.Generator

    Returns
    -------
    array (n, d)

    Raises
    ------
    TypeError, ValueError
        If n or d is not a positive integer, or if `rng` is no generator.

    Examples
    --------
    >>> X = sphere(5, 3, np.random.default_rng(0))
    >>> bool(np.allclose((X**2).sum(axis=1), 3))
    True
    """
    n, d = as_integer("n", n, 1), as_integer("d", d, 1)
    X = as_generator("rng", rng).standard_normal((n, d))
    return np.asarray(X * (np.sqrt(d) / np.linalg.norm(X, axis=1, keepdims=True)))


def gaussian(n: int, eigenvalues: Any, rng: np.random.Generator) -> Float:
    r"""Draw points from :math:`N(0, \mathrm{diag}(\lambda_1, \dots, \lambda_d))`.

    Parameters
    ----------
    n : int
        Number of points.
    eigenvalues : array (d,)
        Of the covariance, none negative; the coordinates are its eigenvectors.
    rng : numpy.random.Generator

    Returns
    -------
    array (n, d)

    Raises
    ------
    TypeError, ValueError
        If n is not a positive integer, if an eigenvalue is negative or not finite, or if `rng` is no
        generator.

    Examples
    --------
    >>> gaussian(2, [4.0, 1.0, 0.0], np.random.default_rng(0)).round(2)
    array([[ 0.25, -0.13,  0.  ],
           [ 0.21, -0.54,  0.  ]])
    """
    n, variances = as_integer("n", n, 1), as_float("eigenvalues", eigenvalues, (1,))
    if not (variances >= 0).all():
        index = int(np.argmin(variances))
        raise ValueError(
            f"`eigenvalues` holds {variances[index]} at index {index}; expected no negative variance. "
            "Set what rounding made negative to zero"
        )
    return np.asarray(as_generator("rng", rng).standard_normal((n, len(variances))) * np.sqrt(variances))


def gaussian_mixture(n: int, mean: Any, rng: np.random.Generator) -> tuple[Float, Float]:
    r"""Draw points :math:`x = y\mu + z` of two classes :math:`y = \pm1`, equally likely, with :math:`z \sim N(0, I)`.

    The best classifier is :math:`\mathrm{sign}(\mu^\top x)`; it errs with probability :math:`\Phi(-\|\mu\|)`.

    Parameters
    ----------
    n : int
        Number of points.
    mean : array (d,)
        :math:`\mu`, the mean of the class +1.
    rng : numpy.random.Generator

    Returns
    -------
    X : array (n, d)
    y : array (n,)
        Labels -1.0 and 1.0, independent: their counts vary.

    Raises
    ------
    TypeError, ValueError
        If n is not a positive integer, if the mean is not a finite vector, or if `rng` is no generator.

    Examples
    --------
    >>> X, y = gaussian_mixture(4, [10.0, 0.0], np.random.default_rng(0))
    >>> bool((np.sign(X[:, 0]) == y).all())
    True
    """
    n, centre = as_integer("n", n, 1), as_float("mean", mean, (1,))
    y = 2.0 * as_generator("rng", rng).integers(2, size=n) - 1.0
    return np.asarray(np.outer(y, centre) + rng.standard_normal((n, len(centre)))), np.asarray(y)


def gaussian_clusters(
    n: int, clusters: int, d: int, rng: np.random.Generator, norm: float = 1.0, common: float = 0.0, noise: float = 1.0
) -> tuple[Float, NDArray[np.int64]]:
    r"""Draw points of clusters that are equally far apart, around a component that all have in common.

    .. math:: x = \mu e_k + \beta e_0 + \frac{\sigma}{\sqrt d} z,\qquad z \sim N(0, I),

    with orthonormal :math:`e_0, \dots, e_K` drawn at random. The centres of two clusters have the cosine
    :math:`\beta^2/(\mu^2+\beta^2)`.

    Parameters
    ----------
    n : int
        Points of each cluster.
    clusters, d : int
        Number of clusters, K; dimension, more than that.
    rng : numpy.random.Generator
    norm, common, noise : float, optional
        :math:`\mu`, :math:`\beta` and :math:`\sigma`, none negative.

    Returns
    -------
    X : array (n K, d)
    cluster : array of int (n K,)
        0 to K - 1, over and over.

    Raises
    ------
    TypeError, ValueError
        If n, clusters or d is not a positive integer, if a norm is negative, if d does not exceed the number of
        clusters, or if `rng` is no generator.

    Examples
    --------
    >>> X, cluster = gaussian_clusters(2, 3, 5, np.random.default_rng(0), noise=0.0)
    >>> cluster
    array([0, 1, 2, 0, 1, 2])
    >>> bool(np.allclose(X @ X.T, np.tile(np.eye(3), (2, 2))))
    True
    """
    n, clusters, d = as_integer("n", n, 1), as_integer("clusters", clusters, 1), as_integer("d", d, 1)
    norm, common, noise = as_real("norm", norm), as_real("common", common), as_real("noise", noise)
    if d <= clusters:
        raise ValueError(
            f"`d` is {d} with {clusters} clusters; expected at least {clusters + 1}, one direction for each"
        )
    directions = np.linalg.qr(as_generator("rng", rng).standard_normal((d, clusters + 1)))[0].T
    cluster = np.arange(n * clusters) % clusters
    X = norm * directions[cluster] + common * directions[-1]
    return np.asarray(X + noise / np.sqrt(d) * rng.standard_normal(X.shape)), cluster
