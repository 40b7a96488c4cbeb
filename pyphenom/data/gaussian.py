"""Synthetic inputs whose law a theory names."""

from __future__ import annotations

import numpy as np

from pyphenom._arrays import Float, as_integer


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
        If n or d is not a positive integer.

    Examples
    --------
    >>> X = sphere(5, 3, np.random.default_rng(0))
    >>> bool(np.allclose((X**2).sum(axis=1), 3))
    True
    """
    X = rng.standard_normal((as_integer("n", n, 1), as_integer("d", d, 1)))
    return np.asarray(X * (np.sqrt(d) / np.linalg.norm(X, axis=1, keepdims=True)))
