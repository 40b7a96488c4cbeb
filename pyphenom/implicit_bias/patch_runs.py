r"""Two-layer networks that see patches of noise by their inner products: many small full-batch descents at once.

An input has a patch :math:`y_i\mu` and a patch of noise :math:`x_i` orthogonal to :math:`\mu`, and with signs
:math:`s_j=\pm1`, m filters of either sign,

.. math:: f(x_i) = \frac1m\sum_js_j\bigl[(\langle w_j,y_i\mu\rangle)_+^q + (\langle w_j,x_i\rangle)_+^q\bigr].

Beside :math:`\mu` weights stay in the span of patches and initial filters. Arrays hold runs first, and float32 is
enough: a few dozen steps leave rounding no time.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from pyphenom._arrays import Float


def triangular(runs: int, size: int, dimension: float, rng: np.random.Generator) -> Float:
    r"""Draw Gaussian vectors of unit variance in coordinates in which all of them together are lower triangular.

    The coordinates are the first steps of a QR decomposition: independent normals below the diagonal and chi on it,
    with as many degrees of freedom as there are dimensions orthogonal to the vectors before. The first rows and columns
    are a draw of fewer vectors.

    Parameters
    ----------
    runs, size : int
        Draws, and vectors of each.
    dimension : float
        Of the space; more than ``size``.
    rng : Generator

    Returns
    -------
    array (runs, size, size)

    Examples
    --------
    >>> rows = triangular(1, 3, 1e6, np.random.default_rng(0))[0]
    >>> (rows @ rows.T / 1e6).round(2) + 0.0
    array([[1., 0., 0.],
           [0., 1., 0.],
           [0., 0., 1.]])
    """
    rows, i = np.tril(rng.standard_normal((runs, size, size)), -1), np.arange(size)
    rows[:, i, i] = np.sqrt(rng.chisquare(dimension - i, (runs, size)))
    return rows


def power(u: Float, q: int) -> Float:
    """Return max(u, 0)^q by products, which are many times as fast as powers."""
    positive = np.maximum(u, 0.0)
    result = positive
    for _ in range(q - 1):
        result = result * positive
    return result


def _power_and_slope(u: Float, q: int) -> tuple[Float, Float]:
    """Return max(u, 0)^q, and its derivative over q."""
    lower = np.maximum(u, 0.0)
    if q == 1:
        return lower, u > 0
    positive = lower
    for _ in range(q - 2):
        lower = lower * positive
    return lower * positive, lower


def descend(
    X: Float,
    W: Float,
    along: Float,
    norm: Float,
    y: Float,
    labels: Float,
    q: int,
    rate: Float,
    *,
    loss: float,
    margin: float,
    steps: int,
    momentum: float = 0.0,
) -> tuple[Float, Float, Float]:
    r"""Descend on the mean logistic loss until it is below a value, and every label has a margin.

    Steps grow as the derivative of the loss on the worst sample falls, which follows the same path faster. Weights are
    W + C X beside the signal; their products with X and with the signal are all that the descent needs.

    Parameters
    ----------
    X : array (runs, n, k)
        Patches of noise.
    W : array (runs, 2 m, k)
        Filters, first those with s = 1.
    along : array (runs, 2 m)
        Their products with the signal.
    norm : array (runs,)
        Of the signal.
    y, labels : array (runs, n)
        Signs of the signal, and those to be learnt.
    q : int
    rate : array (runs,)
        Where no sample has a margin.
    loss, margin : float
        Where a run ends.
    steps : int
        At most.
    momentum : float, optional

    Returns
    -------
    weights : array (runs, 2 m, k)
        Beside the signal.
    along : array (runs, 2 m)
    losses : array (runs,)

    Examples
    --------
    >>> X, W, y = np.eye(2)[None], np.ones((1, 4, 2)) * [[1.0], [0.5], [1.0], [0.5]], np.array([[1.0, -1.0]])
    >>> none = np.zeros((1, 4))
    >>> ends, _, losses = descend(X, W, none, none[:, 0], y, y, 3, np.ones(1), loss=0.01, margin=0.5, steps=100)
    >>> bool(losses[0] < 0.01), bool(ends[0, 0, 0] > 1.5 > 1.0 > ends[0, 0, 1])
    (True, True)
    """
    m = W.shape[1] // 2
    sign = (np.repeat([1.0, -1.0], m) / m).astype(W.dtype)
    gram, products = X @ X.transpose(0, 2, 1), W @ X.transpose(0, 2, 1)
    ends, a_end, losses, left = np.zeros_like(products), along.copy(), np.full(len(X), np.inf), np.arange(len(X))
    state = [gram, products, ends.copy(), np.zeros_like(ends), along.copy(), np.zeros_like(along), norm[:, None] ** 2,
             y > 0, labels, q * rate[:, None] / X.shape[1] / 2.0]  # fmt: skip
    for step in range(steps + 1):
        gram, U, C, velocity, a, drift, square, plus, label, size = state
        (outputs, slopes), (both, steep) = _power_and_slope(U, q), _power_and_slope(np.stack([a, -a], axis=1), q)
        signal = both @ sign
        z = label * (np.where(plus, signal[:, :1], signal[:, 1:]) + np.matmul(sign, outputs))
        if step == steps or (z.min(axis=1) > margin).any():
            mean = np.logaddexp(0.0, -z).mean(axis=1)
            done = ((mean < loss) & (z.min(axis=1) > margin)) | (step == steps)
            if done.any() and (step % 5 == 0 or done.all()):
                ends[left[done]], a_end[left[done]], losses[left[done]] = C[done], a[done], mean[done]
                left = left[~done]
                if not left.size:
                    break
                z, slopes, steep, *state = (part[~done] for part in (z, slopes, steep, *state))
                gram, U, C, velocity, a, drift, square, plus, label, size = state
        pull = expit(-z)
        g = label * (size * pull / np.maximum(pull.max(axis=1, keepdims=True), 1e-6) / m).astype(W.dtype)
        up = (g * plus).sum(axis=1, keepdims=True)
        change = slopes * g[:, None, :]
        change[:, m:] *= -1.0
        if momentum:
            change += np.multiply(velocity, momentum, out=velocity)
            velocity[:] = change
        C += change
        U += change @ gram
        drift *= momentum
        drift += square * np.sign(sign) * (steep[:, 0] * up - steep[:, 1] * (g.sum(axis=1, keepdims=True) - up))
        a += drift
    return W + ends @ X, a_end, losses


def wrong_share(W: Float, along: Float, q: int, fresh: Float) -> Float:
    """Return the share of fresh patches (runs, t, k) that the network gives the wrong sign beside the signal.

    Both signs of the signal are counted, and an output of zero, where no filter responds, as one half.
    """
    m = W.shape[1] // 2
    sign = np.repeat([1.0, -1.0], m).astype(W.dtype)
    noise = power(fresh @ W.transpose(0, 2, 1), q) @ sign
    plus, minus = ((power(way * along, q) @ sign)[:, None] for way in (1.0, -1.0))
    return np.asarray((2.0 - np.sign(noise + plus) + np.sign(noise + minus)).mean(axis=1) / 4.0)
