"""Real regression data that need no download."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pyphenom._arrays import Float


@dataclass(frozen=True, eq=False)
class Regression:
    """Inputs as rows, with a real target each.

    Attributes
    ----------
    inputs : array (n, d)
        One sample a row.
    targets : array (n,)
    """

    inputs: Float
    targets: Float


def diabetes() -> Regression:
    """Return the 442 diabetes patients of scikit-learn: ten measurements, and the progression after a year.

    The columns are centred and have norm 1, as in the paper; the targets are as measured, 25 to 346.

    References
    ----------
    Efron, Hastie, Johnstone and Tibshirani, "Least angle regression", Annals of Statistics 32, 2004, table 1.

    Examples
    --------
    >>> diabetes().inputs.shape
    (442, 10)
    """
    from sklearn.datasets import load_diabetes  # a second of import time that only this source needs

    bunch = load_diabetes()
    return Regression(bunch.data.astype(np.float64), bunch.target.astype(np.float64))
