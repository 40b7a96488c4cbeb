r"""Uniform convergence: bounds that hold for all functions of a class at once. For real networks they are vacuous.

Every constant is derived here, from Warren's theorem, McDiarmid's inequality and the contraction lemma.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from pyphenom.bounds import _checks
from pyphenom.bounds._checks import Array, Values
from pyphenom.bounds.pac_bayes import either
from pyphenom.bounds.selection import index_cost


def relu_log_growth(widths: Sequence[int], points: ArrayLike) -> Values:
    r"""Logarithm of a bound on the growth function of ReLU networks with one output, over all their parameters.

    .. math:: \ln\Pi(m)\le\sum_{i=1}^{L}\ln\Big[2\Big(\frac{2e\,m\,k_i\,i}{W_i}\Big)^{W_i}\Big]

    with :math:`k_i` units in layer i and :math:`W_i` parameters up to it. Layer by layer: in a region of parameter
    space where no unit before layer i changes sides for any of the m inputs, the :math:`mk_i` pre-activations of layer
    i are polynomials of degree i in :math:`W_i` parameters. By Warren's theorem the signs of N polynomials of degree d
    in W variables cut it into at most :math:`2(2eNd/W)^W` parts if N >= W, and never into more than :math:`2^N`, which
    stands in otherwise. The last layer's sign is the classification.

    Parameters
    ----------
    widths : sequence of int
        Inputs, units of every hidden layer, and 1 for the output; all layers have biases.
    points : int or array of int
        m.

    Returns
    -------
    float or array
        In nats; at most :math:`m\ln2`.

    Raises
    ------
    ValueError, TypeError
        For fewer than two widths, a width < 1, more than one output, or m < 1.

    References
    ----------
    Bartlett, Harvey, Liaw, Mehrabian 2019; Warren 1968; Anthony and Bartlett 1999, Theorem 8.3.

    Examples
    --------
    >>> relu_log_growth([2, 3, 1], [5, 1000])
    array([  3.4657..., 156.38...])
    """
    sizes = _checks.whole("widths", widths, 1, "the units of a layer")
    if sizes.ndim != 1 or sizes.size < 2 or sizes[-1] != 1:
        raise ValueError(f"`widths` is {list(widths)}; expected inputs, hidden layers, and one output")
    m = _checks.count("points", points)
    total: Array = np.zeros(m.shape)
    parameters = np.cumsum(sizes[1:] * (sizes[:-1] + 1))
    for i, (units, w) in enumerate(zip(sizes[1:], parameters, strict=True), start=1):
        polynomials = m * units
        warren = math.log(2) + w * np.log(2 * math.e * polynomials * i / w)
        total = total + np.where(polynomials < w, polynomials * math.log(2), warren)
    return _checks.unwrap(np.minimum(total, m * math.log(2)))


def relu_vc_dimension(widths: Sequence[int]) -> int:
    r"""Upper bound on the VC dimension of ReLU networks: the largest m with :math:`2^m\le` `relu_log_growth`'s bound.

    Tighter than the closed form :math:`L+\bar LW\log_2(4e\rho\log_2(2e\rho))`, :math:`\rho=\sum_iik_i`, to which the
    same product was loosened.

    Parameters
    ----------
    widths
        As in `relu_log_growth`.

    Returns
    -------
    int

    Raises
    ------
    ValueError, TypeError
        As in `relu_log_growth`.

    References
    ----------
    Bartlett, Harvey, Liaw, Mehrabian 2019.

    Examples
    --------
    >>> relu_vc_dimension([784, 600, 1])
    11460481
    """

    def shatters(m: int) -> bool:
        return float(relu_log_growth(widths, m)) >= m * math.log(2)

    # From some m on the bound is concave in m and the line wins for good; before, the minimum with it is the line.
    high = 1
    while shatters(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if shatters(middle) else (low, middle)
    return low


def vc_bound(risk: ArrayLike, n: ArrayLike, delta: ArrayLike, log_growth: ArrayLike) -> Values:
    r"""VC bound, :math:`R\le\hat r+\sqrt{\tfrac8n\big(\ln\Pi(2n)+\ln\tfrac2\delta\big)}` for all functions at once.

    By symmetrisation, for :math:`n\epsilon^2\ge2` (which holds at this width),
    :math:`\Pr[\sup R-\hat r>\epsilon]\le2\Pr[\sup\hat r'-\hat r>\tfrac\epsilon2]`; the points of both samples
    swapped at random and Hoeffding's inequality for each of at most :math:`\Pi(2n)` patterns give
    :math:`2\Pi(2n)e^{-n\epsilon^2/8}`.

    Parameters
    ----------
    risk : float or array
        0-1 risk on the n points.
    n : int or array of int
        Number of points.
    delta : float or array
        In (0, 1).
    log_growth : float or array
        :math:`\ln\Pi(2n)` in nats, such as ``relu_log_growth(widths, 2 * n)``.

    Returns
    -------
    float or array
        1 where the bound is vacuous.

    Raises
    ------
    ValueError, TypeError
        For arguments outside their ranges, or NaN.

    References
    ----------
    Vapnik and Chervonenkis 1971; Anthony and Bartlett 1999, Theorem 4.3.

    Examples
    --------
    >>> vc_bound(0.1, 100_000, 0.05, relu_log_growth([2, 3, 1], 200_000))
    0.2...
    >>> vc_bound(0.0, 60_000, 0.05, relu_log_growth([784, 600, 1], 120_000))
    1.0
    """
    q, size, failure = _checks.risk("risk", risk), _checks.count("n", n), _checks.confidence("delta", delta)
    growth = _checks.divergence("log_growth", log_growth)
    _checks.broadcast(risk=q, n=size, delta=failure, log_growth=growth)
    return either("upper", q + np.sqrt(8 / size * (growth + np.log(2 / failure))))


def rademacher_bound(
    risk: ArrayLike, n: ArrayLike, delta: ArrayLike, complexity: ArrayLike, empirical: bool = True
) -> Values:
    r"""Rademacher bound, :math:`R\le\hat r+2\hat{\mathfrak R}_S+3\sqrt{\ln\tfrac2\delta/2n}` for all functions at once.

    :math:`\hat{\mathfrak R}_S=E_\sigma\sup_f\frac1n\sum\sigma_i\ell_f(z_i)` of the losses in [0, 1]. By McDiarmid's
    inequality :math:`\sup R-\hat r` exceeds its mean, at most :math:`2\mathfrak R_n`, by more than
    :math:`\sqrt{\ln\frac1\delta/2n}` with probability at most :math:`\delta`; the same inequality for
    :math:`\hat{\mathfrak R}_S`, each with :math:`\delta/2`, gives the empirical form. With the expected complexity
    :math:`\mathfrak R_n`: :math:`R\le\hat r+2\mathfrak R_n+\sqrt{\ln\tfrac1\delta/2n}`.

    Parameters
    ----------
    risk : float or array
        Empirical risk, in [0, 1].
    n : int or array of int
        Number of points.
    delta : float or array
        In (0, 1).
    complexity : float or array
        Of the losses: :math:`\hat{\mathfrak R}_S`, or :math:`\mathfrak R_n` if not `empirical`.
    empirical : bool
        Whether `complexity` is that of these points.

    Returns
    -------
    float or array
        1 where the bound is vacuous.

    Raises
    ------
    ValueError, TypeError
        For arguments outside their ranges, or NaN.

    References
    ----------
    Bartlett and Mendelson 2002, Theorem 8; Mohri, Rostamizadeh, Talwalkar 2018, Theorem 3.3.

    Examples
    --------
    >>> rademacher_bound(0.1, 10_000, 0.05, 0.02)
    0.1807...
    """
    q, size, failure = _checks.risk("risk", risk), _checks.count("n", n), _checks.confidence("delta", delta)
    c = _checks.divergence("complexity", complexity)
    _checks.broadcast(risk=q, n=size, delta=failure, complexity=c)
    if empirical:
        return either("upper", q + 2 * c + 3 * np.sqrt(np.log(2 / failure) / (2 * size)))
    return either("upper", q + 2 * c + np.sqrt(-np.log(failure) / (2 * size)))


def golowich_bound(
    margin_risk: float, delta: float, frobenius_norms: Sequence[float], input_norms: ArrayLike, margin_index: int = 0
) -> float:
    r"""Norm bound of a binary network without biases, from the Frobenius norms of its layers and the margin.

    .. math:: R\le\hat r_\gamma+\frac{2M(\sqrt{2d\ln2}+1)\sqrt{\sum_i\lVert x_i\rVert^2}}{\gamma n}
              +3\sqrt{\frac{\ln(2/\delta_{jk})}{2n}}, \qquad \delta_{jk}=\frac{36\,\delta}{\pi^4j^2(k+1)^2}

    with d layers and 1-Lipschitz, positive-homogeneous activations. :math:`M=2^{j-1}` is the first such power, j = 1,
    2, ..., above the product of the norms, and :math:`\gamma=2^{-k}`: the choices that the data decide are paid for.

    The complexity: for a class with :math:`\lVert W_j\rVert_F\le M_j`, g convex and increasing, each layer costs a
    factor :math:`E\sup g(\lVert\sum\sigma_i\phi(Wf(x_i))\rVert)\le2\,E\sup g(M_j\lVert\sum\sigma_if(x_i)\rVert)`. With
    :math:`g=e^{\lambda\cdot}`, :math:`n\hat{\mathfrak R}\le\frac1\lambda\ln\big(2^d\,E\,e^{\lambda Z}\big)` for
    :math:`Z=M\lVert\sum\sigma_ix_i\rVert`, whose mean is at most :math:`v=M\sqrt{\sum\lVert x_i\rVert^2}`, and which is
    sub-Gaussian with variance factor :math:`v^2`; the best :math:`\lambda` gives :math:`(\sqrt{2d\ln2}+1)v`. The ramp
    loss is :math:`1/\gamma`-Lipschitz, so contraction divides by :math:`\gamma`.

    Parameters
    ----------
    margin_risk : float
        Share of the points with margin :math:`yf(x)` below :math:`\gamma`.
    delta : float
        In (0, 1).
    frobenius_norms : sequence of float (d,)
        Of the weight matrices.
    input_norms : array (n,)
        Euclidean norms of the inputs.
    margin_index : int
        k >= 0.

    Returns
    -------
    float
        1 where the bound is vacuous.

    Raises
    ------
    ValueError, TypeError
        For arguments outside their ranges, or NaN.

    References
    ----------
    Golowich, Rakhlin, Shamir 2018, Theorem 1; Ledoux and Talagrand 1991 for the contraction.

    Examples
    --------
    >>> golowich_bound(0.0, 0.05, [1.0, 1.0], np.ones(100_000))
    0.03137...
    """
    norms = _checks.positive("frobenius_norms", frobenius_norms)
    lengths = _checks.divergence("input_norms", input_norms)
    if norms.ndim != 1 or norms.size == 0:
        raise ValueError(f"`frobenius_norms` has shape {norms.shape}; expected one norm for each layer")
    if lengths.ndim != 1 or lengths.size == 0:
        raise ValueError(f"`input_norms` has shape {lengths.shape}; expected one norm for each point")
    failure = float(_checks.confidence("delta", delta))
    k = int(_checks.whole("margin_index", margin_index, 0, "the k of a margin 2^-k"))
    j = max(1, 1 + math.ceil(float(np.sum(np.log2(norms)))))
    costs = float(index_cost(j)) + float(index_cost(k + 1))
    radius = math.sqrt(float(np.sum(lengths**2)))
    complexity = 2.0 ** (j - 1 + k) * (math.sqrt(2 * norms.size * math.log(2)) + 1) * radius / lengths.size
    paid = failure * math.exp(-costs)
    return float(rademacher_bound(margin_risk, lengths.size, paid, complexity))
