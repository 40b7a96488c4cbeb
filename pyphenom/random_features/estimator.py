"""Random-feature regression at one width, in scikit-learn's conventions."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from pyphenom._arrays import as_integer, as_real
from pyphenom.random_features._problem import dependence_tolerance
from pyphenom.random_features.features import features, weights


class RandomFeatureRegressor(MultiOutputMixin, RegressorMixin, BaseEstimator):  # type: ignore[misc]
    r"""Ridge regression on random features, :math:`\min_a \frac1n|y - Za|^2 + \lambda|a|^2`.

    :math:`Z = \sigma(XW/\sqrt d + b)` as in `features`. It fits into pipelines and searches; `width_path` fits every
    width at once and says more about each.

    Parameters
    ----------
    width : int
        Number of features N.
    activation, seed, distribution, bias_scale
        As in `features`.
    ridge : float
        :math:`\lambda \ge 0`, scaled by n as everywhere in this package. Zero is the minimum-norm solution.

    Attributes
    ----------
    coef_ : array (width,) or (width, targets)
        :math:`\hat a`, in float64.
    n_features_in_ : int
        Dimension d of the inputs seen by `fit`.

    Raises
    ------
    ValueError, TypeError
        From `fit`, for a parameter out of range or data that scikit-learn's checks refuse.

    References
    ----------
    Rahimi and Recht, "Random features for large-scale kernel machines", NIPS 2007.

    Examples
    --------
    >>> from sklearn.model_selection import cross_val_score
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((200, 3))
    >>> model = RandomFeatureRegressor(width=400, ridge=1e-4)
    >>> bool(cross_val_score(model, X, np.abs(X[:, 0])).mean() > 0.99)  # of the variance, on data left out
    True
    """

    def __init__(
        self,
        width: int = 1000,
        activation: str = "relu",
        ridge: float = 1e-6,
        seed: int = 0,
        distribution: str = "gaussian",
        bias_scale: float = 0.0,
    ) -> None:
        self.width = width
        self.activation = activation
        self.ridge = ridge
        self.seed = seed
        self.distribution = distribution
        self.bias_scale = bias_scale

    def fit(self, X: Any, y: Any) -> RandomFeatureRegressor:
        """Draw the features and solve for their coefficients.

        Parameters
        ----------
        X : array (n, d)
        y : array (n,) or (n, targets)

        Returns
        -------
        RandomFeatureRegressor
            Itself.
        """
        width, ridge = as_integer("width", self.width, 1), as_real("ridge", self.ridge)
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32], multi_output=True, y_numeric=True)
        # One feature now, so that a bad argument fails before any work.
        weights(X.shape[1], 1, self.activation, self.seed, self.distribution, self.bias_scale)
        tolerance = dependence_tolerance(max(len(X), width), X.dtype)
        self.coef_ = _solve(self._features(X, width), np.asarray(y, dtype=np.float64), len(X) * ridge, tolerance)
        return self

    def predict(self, X: Any) -> Any:
        """Predict for new inputs.

        Parameters
        ----------
        X : array (m, d)

        Returns
        -------
        array (m,) or (m, targets)
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        return self._features(X, len(self.coef_)) @ self.coef_

    def _features(self, X: Any, width: int) -> Any:
        Z = features(X, width, self.activation, self.seed, distribution=self.distribution, bias_scale=self.bias_scale)
        return Z.astype(np.float64, copy=False)


def _solve(Z: Any, y: Any, penalty: float, tolerance: float) -> Any:
    """Coefficients of ridge regression by orthogonal transformations, in the smaller of the two dimensions.

    Without a penalty, singular values below `tolerance` times the largest count as zero.
    """
    n, width = Z.shape
    if penalty == 0.0:
        return scipy.linalg.lstsq(Z, y, cond=tolerance)[0]
    wide = width > n
    stacked = np.vstack([Z.T if wide else Z, np.sqrt(penalty) * np.eye(min(n, width))])
    Q, R = scipy.linalg.qr(stacked, mode="economic", overwrite_a=True)
    if wide:  # [Z'; sqrt(P) I] = QR and a = Z'(ZZ' + P)^-1 y: the first rows of Q R^-T y
        return Q[:width] @ scipy.linalg.solve_triangular(R, y, trans="T")
    return scipy.linalg.solve_triangular(R, Q[:n].T @ y)
