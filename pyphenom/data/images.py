"""Real images that need no download."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from pyphenom._arrays import Float, as_float


@dataclass(frozen=True, eq=False)
class Images:
    """Images as rows: ``images[rows]`` takes some of them, by a slice, indices or a mask; ``len(images)`` counts them.

    Attributes
    ----------
    pixels : array (n, d)
        One image a row.
    labels : array of int (n,)
        Class of each image.

    Examples
    --------
    >>> images = digits()
    >>> train, test = images[:1437], images[1437:]
    >>> len(train), len(test), len(images[images.labels < 2])
    (1437, 360, 360)
    """

    pixels: Float
    labels: Float

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Any) -> Images:
        labels = self.labels[rows]
        if labels.ndim != 1:  # one index would give a row that is no longer one of several
            raise TypeError(
                f"`rows` is {rows!r}; expected a slice, indices or a mask. For one image take images.pixels[i]"
            )
        return Images(self.pixels[rows], labels)

    def one_hot(self) -> Float:
        """Return the centred class indicators (n, K): column k is 1 on class k, minus its mean."""
        indicators = np.equal.outer(self.labels, np.unique(self.labels)).astype(np.float64)
        return np.asarray(indicators - indicators.mean(axis=0))


def digits() -> Images:
    """Return the 1797 handwritten digits of scikit-learn: 8 x 8 pixels, values 0 to 16, ten classes.

    References
    ----------
    Alpaydin and Kaynak, "Optical recognition of handwritten digits", UCI Machine Learning Repository, 1998.

    Examples
    --------
    >>> digits().pixels.shape
    (1797, 64)
    """
    pixels, labels = _read_digits()
    return Images(pixels.copy(), labels.copy())


@cache
def _read_digits() -> tuple[Float, Float]:
    from sklearn.datasets import load_digits  # a second of import time that only this source needs

    bunch = load_digits()
    return bunch.data.astype(np.float64), bunch.target


def centred_on_sphere(X: Any) -> Float:
    r"""Subtract the mean row and scale every row to the norm :math:`\sqrt d`.

    Theories of random features are written for inputs on this sphere; images brought there by these two steps follow
    them more closely than raw ones, whose common mean dominates the kernel.

    Parameters
    ----------
    X : array (n, d)

    Returns
    -------
    array (n, d)

    Raises
    ------
    ValueError
        If X is not a finite matrix, or if a row equals the mean row.

    Examples
    --------
    >>> X = centred_on_sphere([[0.0, 1.0], [2.0, 5.0], [4.0, 0.0]])
    >>> [round(float(v), 12) for v in (X**2).sum(axis=1)]
    [2.0, 2.0, 2.0]
    """
    x = as_float("X", X, (2,))
    x = x - x.mean(axis=0)
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    if not (norms > 0).all():
        row = int(np.argmin(norms))
        raise ValueError(f"`X` has the mean row as row {row}, which has no direction; expected no such row. Remove it")
    return np.asarray(x * (np.sqrt(x.shape[1]) / norms))
