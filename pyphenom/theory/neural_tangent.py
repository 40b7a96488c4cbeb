r"""The tangent kernel of deep fully connected ReLU networks in the limit of infinite width.

The network has L hidden layers, all weights N(0, 1), no biases and gains that keep the norm:

.. math:: h_0 = x,\qquad h_{l+1} = \sqrt{2/m}\,\max(W_l h_l, 0),\qquad f = w\cdot h_L .

As every width m grows, :math:`\nabla f(x)\cdot\nabla f(x')` tends to :math:`|x||x'|\,\Theta_L(\cos\theta)`, a
function of the angle between the inputs that training leaves as it is: descent on the squared loss is that of
`kernel_descent`, and what it learns is kernel regression, whose test error `eigenframework` predicts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from . import _checks
from ._checks import Array, Values
from .expected_kernels import norms_and_cosines

__all__ = ["kernel", "kernel_matrix"]


def kernel(cosine: ArrayLike, depth: int = 1) -> Values:
    r"""Tangent kernel :math:`\Theta_L` of two inputs of norm 1, by their cosine u.

    .. math:: \Theta_0 = u_0 = u,\qquad u_{l+1} = \kappa_1(u_l),\qquad
              \Theta_{l+1} = \Theta_l\,\kappa_0(u_l) + u_{l+1},

    .. math:: \kappa_0(u) = 1 - \theta/\pi,\qquad
              \kappa_1(u) = u + (\sin\theta - \theta\cos\theta)/\pi,\qquad \theta = \arccos u .

    Parameters
    ----------
    cosine : array_like
        u, from -1 to 1; what lies beyond by rounding, 1e-12, counts as the end.
    depth : int, optional
        L >= 0 hidden layers; without any the model is linear, and its kernel u.

    Returns
    -------
    float or array
        :math:`\Theta_L(u)`, to a few units of rounding of :math:`\Theta_L(1) = L + 1`. The covariance of the outputs
        at the start is :math:`u_L`.

    Raises
    ------
    ValueError, TypeError
        For cosines beyond 1, and a depth that is not one whole number >= 0.

    References
    ----------
    Jacot, Gabriel, Hongler 2018, "Neural tangent kernel", Theorem 1; Cho and Saul 2009 for :math:`\kappa_0, \kappa_1`.

    Examples
    --------
    >>> kernel([-1.0, 0.0, 0.5, 1.0], depth=1).round(8)
    array([0.        , 0.31830989, 0.94233111, 2.        ])
    >>> round(kernel(0.5, depth=3), 8)
    1.73784468
    """
    u, layers = _checks.real("cosine", cosine), _checks.integer("depth", depth, 0)
    if (np.abs(u) > 1.0 + 1e-12).any():
        worst = u[np.abs(u) > 1.0 + 1e-12].flat[0]
        raise ValueError(f"cosine: got {worst:g}, expected numbers from -1 to 1; divide inner products by the norms")
    return _checks.unwrap(_kernel(np.clip(u, -1.0, 1.0), layers))


def kernel_matrix(X: ArrayLike, depth: int = 1, X2: ArrayLike | None = None) -> Array:
    r"""Tangent kernel :math:`|x||x'|\,\Theta_L(\cos\theta)` of all pairs of inputs.

    Parameters
    ----------
    X : array_like of shape (m, d)
        Inputs, one per row; scale and mean are used as they are.
    depth : int, optional
        L >= 0 hidden layers.
    X2 : array_like of shape (m2, d), optional
        Second set of inputs; the first one if left out.

    Returns
    -------
    array of shape (m, m2)
        Symmetric to the last bit for one set. Near-copies that are different rows lose half of the digits of their
        angle, as in any kernel with a kink.

    Raises
    ------
    ValueError, TypeError
        For inputs of the wrong shape, and a depth that is not one whole number >= 0.

    References
    ----------
    As for `kernel`.

    Examples
    --------
    >>> kernel_matrix([[3.0, 4.0], [0.0, 2.0]], depth=1).round(4)
    array([[50.    , 14.6325],
           [14.6325,  8.    ]])
    """
    layers = _checks.integer("depth", depth, 0)
    r, s, cosine = norms_and_cosines(X, X2)
    values = np.shape(X)[1] * r * s * _kernel(cosine, layers)
    return np.asarray((values + values.T) / 2) if X2 is None else values


def _kernel(u: Array, layers: int) -> Array:
    # Angles near 0 keep their digits in s = sin^2(theta/2), where a cosine would have none left.
    s, c, found = (1.0 - u) / 2.0, (1.0 + u) / 2.0, u
    for _ in range(layers):
        angle = 2.0 * np.arctan2(np.sqrt(s), np.sqrt(c))
        s = s - _bend(angle) / (2.0 * np.pi)
        c = 1.0 - s
        found = found * (1.0 - angle / np.pi) + (c - s)
    return found


def _bend(angle: Array) -> Array:
    """Return sin a - a cos a, whose terms cancel where a is small: there its series, to rounding below 1/2."""
    square = angle**2
    series = np.zeros_like(angle)
    for k in range(8, 0, -1):
        series = 1.0 - square * series / (2 * k * (2 * k + 3))
    return np.where(angle < 0.5, angle * square / 3.0 * series, np.sin(angle) - angle * np.cos(angle))
