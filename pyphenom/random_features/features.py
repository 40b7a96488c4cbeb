"""Random features whose i-th column is a pure function of (seed, i)."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from pyphenom import _core
from pyphenom._arrays import Float, as_float, as_integer, as_real, one_of, restore

ACTIVATIONS = ("relu", "tanh", "erf", "sigmoid", "sign", "abs", "identity", "cos")
DISTRIBUTIONS = ("gaussian", "sphere")


def weights(
    dimension: int,
    width: int,
    activation: str = "relu",
    seed: int = 0,
    distribution: str = "gaussian",
    bias_scale: float = 0.0,
    first: int = 0,
    dtype: DTypeLike = np.float64,
) -> tuple[NDArray[Any], NDArray[Any]]:
    r"""Weights and biases of the random features :math:`first, ..., first + width - 1`.

    Column :math:`i` of :math:`W` is :math:`w_i\sim N(0, I_d)` (``"gaussian"``) or uniform on the sphere of radius
    :math:`\sqrt d` (``"sphere"``). The bias is uniform on :math:`[0, 2\pi)` for ``cos``, and
    :math:`N(0, \text{bias\_scale}^2)` for every other activation.

    Parameters
    ----------
    dimension : int
        Input dimension d.
    width : int
        Number of features.
    activation : str
        Decides only the law of the bias.
    seed : int
        In [0, 2^64). Feature i depends on (seed, i) alone: not on width, first, threads or blocks.
    distribution : {"gaussian", "sphere"}
        Law of the weights.
    bias_scale : float
        Standard deviation of the bias; without effect for ``cos``.
    first : int
        Index of the first feature.
    dtype : numpy.float64 or numpy.float32
        Drawn in float64 and rounded to this type.

    Returns
    -------
    W : array (dimension, width)
    b : array (width,)

    Raises
    ------
    ValueError, TypeError
        For an argument out of its range; the message names it.

    References
    ----------
    Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011 (Philox4x32-10).

    Examples
    --------
    >>> W, b = weights(3, 5, seed=1)
    >>> bool((W[:, 4:] == weights(3, 1, seed=1, first=4)[0]).all())
    True
    """
    d = as_integer("dimension", dimension, 1)
    if dtype not in (np.float32, np.float64, "float32", "float64", float):
        raise TypeError(f"`dtype` is {dtype!r}; expected float32 or float64")
    scalar = np.dtype(dtype)
    transposed, bias = _draw(d, width, activation, seed, distribution, bias_scale, first, scalar, 1.0)
    return transposed.T, bias


def features(
    X: Any,
    width: int,
    activation: str = "relu",
    seed: int = 0,
    *,
    distribution: str = "gaussian",
    bias_scale: float = 0.0,
    first: int = 0,
) -> Any:
    r"""Random features :math:`Z = \sigma(XW/\sqrt d + b)`.

    Parameters
    ----------
    X : array or CPU tensor (n, d)
        Inputs, one sample a row. float32 stays float32; integers become float64.
    width : int
        Number of features N.
    activation : {"relu", "tanh", "erf", "sigmoid", "sign", "abs", "identity", "cos"}
        :math:`\sigma`, entrywise; sign(0) = 0. ``"cos"`` is :math:`\sqrt2\cos(\cdot)` with a bias uniform on
        :math:`[0, 2\pi)`: the Fourier features of the Gaussian kernel :math:`e^{-|x-x'|^2/(2d)}`.
    seed, distribution, bias_scale, first
        See `weights`.

    Returns
    -------
    Z : array or tensor (n, width), the kind and type of X
        The features ``first, ..., first + width - 1`` of an infinite stream: weights are equal to the bit however
        the stream is cut, features up to the rounding of the matrix product.

    Raises
    ------
    ValueError, TypeError
        For NaN, infinity, emptiness, wrong shapes or types; the message names the argument and the remedy.

    References
    ----------
    Rahimi and Recht, "Random features for large-scale kernel machines", NIPS 2007, Sec. 3.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((4, 3))
    >>> Z = features(X, 100, seed=7)
    >>> W, b = weights(3, 100, seed=7)
    >>> bool(np.allclose(Z, np.maximum(X @ W / np.sqrt(3) + b, 0)))
    True
    """
    x = as_float("X", X, (2,), keep_float32=True)
    # 1/sqrt(d) goes into the weights, which spares the features a pass over memory.
    W, b = _draw(x.shape[1], width, activation, seed, distribution, bias_scale, first, x.dtype, x.shape[1] ** -0.5)
    return restore(apply(x, W, b, activation, bias_scale), like=X)


def apply(
    x: Float,
    W: Float,
    b: Float,
    activation: str,
    bias_scale: float,
    transposed: Float | None = None,
    tiled: bool = False,
) -> Float:
    """Features of checked inputs x (n, d) with drawn, scaled weights W (width, d); or fill `transposed` (width, n).

    `tiled` ones are made without BLAS, whose threads would be in the way of what follows.
    """
    biased = activation == "cos" or bias_scale != 0.0
    out = np.empty((x.shape[0], W.shape[0]), x.dtype) if transposed is None else transposed
    # Panels of samples, so that Ctrl-C is heard: a fraction of a second each, and long enough for the full GEMM rate.
    rows = math.ceil(x.shape[0] / math.ceil(2.0 * x.size * W.shape[0] / 1e11))
    for first in range(0, x.shape[0], rows):
        panel = slice(first, first + rows)
        part = out[panel] if transposed is None else out[:, panel]
        _core.features(x[panel], W, b, part, activation, biased, transposed is not None, tiled, threads())
    return out


def _draw(
    d: int,
    width: int,
    activation: str,
    seed: int,
    distribution: str,
    bias_scale: float,
    first: int,
    dtype: np.dtype[Any],
    scale: float,
) -> tuple[Float, Float]:
    """Weights (width, d) times `scale`, and biases, after the checks of every argument."""
    width = as_integer("width", width, 1)
    one_of("activation", activation, ACTIVATIONS)
    one_of("distribution", distribution, DISTRIBUTIONS)
    seed = as_integer("seed", seed, 0, 2**64 - 1)
    first = as_integer("first", first, 0, 2**64 - 1 - width)
    bias_scale = as_real("bias_scale", bias_scale)
    W, b = np.empty((width, d), dtype), np.empty(width, dtype)
    _core.draw_weights(W, b, activation, distribution, bias_scale, seed, first, scale, threads())
    return W, b


def threads() -> int:
    """Threads for the loops outside BLAS: OMP_NUM_THREADS, or the processors that this process may use."""
    requested = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if requested.isdecimal() and int(requested) > 0:
        return int(requested)
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, math.floor(available or 1))
