r"""Formulas of complexity measures: scores that may rank networks, with no confidence attached. None is a bound.

Most are the main term v of a generalisation bound whose constants are left out, on the scale of the bound:
:math:`\sqrt{v/n}`, or for a product of norms its logarithm :math:`\tfrac12(\ln v-\ln n)` (Dziugaite et al. 2020,
appendix C).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyphenom._arrays import as_float, as_integer, as_real

Array = NDArray[np.float64]
OFFSET = 10.0  # of Jiang et al.'s PAC-Bayes measures
MAGNITUDE_FLOOR = 1e-3  # their epsilon


@dataclass(frozen=True, eq=False)
class WeightNorms:
    r"""Norms of the weight matrices :math:`W_j` of L layers and of their ways :math:`W_j-W_j^0` from initialisation.

    A convolution's matrix is its kernel as (channels out, inputs of a patch); of several groups the largest spectral
    norm counts. Biases belong to no norm.

    Attributes
    ----------
    frobenius, spectral : array (L,)
        :math:`\lVert W_j\rVert_F` and :math:`\lVert W_j\rVert_\sigma`.
    distance_frobenius, distance_spectral, distance_21 : array (L,)
        Of :math:`W_j-W_j^0`; the last is the sum over the output units of the Euclidean norms of their weights.
    row_sum : array (L,)
        :math:`\max_k\sum_i|W_{j,ki}|`, the largest absolute row sum.
    widths : array of int (L,)
        Output units (channels) of each layer.
    weights : int
        Number of weights.
    """

    frobenius: Array
    spectral: Array
    distance_frobenius: Array
    distance_spectral: Array
    distance_21: Array
    row_sum: Array
    widths: NDArray[np.int64]
    weights: int

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)


def norm_measures(
    norms: WeightNorms, n: int, margin: float, input_norm: float = 1.0, input_rms: float = 1.0
) -> dict[str, float]:
    r"""Measures made of the norms of L layers and the margin :math:`\gamma`, by name.

    With :math:`\Pi_\sigma=\prod_j\lVert W_j\rVert_\sigma^2`, :math:`\Pi_F=\prod_j\lVert W_j\rVert_F^2`,
    :math:`D_j=W_j-W_j^0`, q weights, h the largest width, B and b the largest and the root mean square norm of an
    input, the values of v are:

    ===================================  ===============================================================================
    ``parameters``                       :math:`q`
    ``vc_order``                         :math:`qL\ln q` (Bartlett, Harvey, Liaw, Mehrabian 2019)
    ``l2``, ``l2_distance``              :math:`\lVert w\rVert`, :math:`\lVert w-w_0\rVert` (norms, not squares)
    ``inverse_margin``                   :math:`1/\gamma^2`
    ``param_norm``                       :math:`\sum_j\lVert W_j\rVert_F^2`
    ``fro_dist``                         :math:`\sum_j\lVert D_j\rVert_F^2`
    ``dist_spec_init``                   :math:`\sum_j\lVert D_j\rVert_\sigma^2`
    ``fro_over_spec``                    :math:`\sum_j\lVert W_j\rVert_F^2/\lVert W_j\rVert_\sigma^2`
    ``dist_over_spec``                   :math:`\sum_j\lVert D_j\rVert_F^2/\lVert W_j\rVert_\sigma^2`
    ``log_prod_of_spec``                 :math:`\Pi_\sigma`; ``_over_margin`` divides by :math:`\gamma^2`
    ``log_sum_of_spec``                  :math:`L\,\Pi_\sigma^{1/L}`; ``_over_margin``
                                         :math:`L\,(\Pi_\sigma/\gamma^2)^{1/L}`
    ``log_spec_init_main``               :math:`\Pi_\sigma\,\mathtt{dist\_over\_spec}/\gamma^2`
    ``log_spec_orig_main``               :math:`\Pi_\sigma\,\mathtt{fro\_over\_spec}/\gamma^2`
    ``log_prod_of_fro``                  :math:`\Pi_F`; ``_over_margin`` divides by :math:`\gamma^2`
    ``log_sum_of_fro``                   :math:`L\,\Pi_F^{1/L}`; ``_over_margin`` :math:`L\,(\Pi_F/\gamma^2)^{1/L}`
    ``log_prod_of_row_sum_over_margin``  :math:`\prod_j\max_k(\sum_i|W_{j,ki}|)^2/\gamma^2` (Bartlett, Mendelson 2002)
    ``log_bartlett``                     :math:`b^2\Pi_\sigma\big(\sum_j(\lVert D_j\rVert_{2,1}/
                                         \lVert W_j\rVert_\sigma)^{2/3}\big)^3/\gamma^2` (Bartlett, Foster, Telgarsky
                                         2017, Theorem 1.1)
    ``log_neyshabur``                    :math:`B^2L^2h\ln(Lh)\,\Pi_\sigma\,\mathtt{fro\_over\_spec}/\gamma^2`
                                         (Neyshabur, Bhojanapalli, Srebro 2018, Theorem 1)
    ``log_golowich``                     :math:`B^2\Pi_F(\sqrt{2L\ln2}+1)^2/\gamma^2` (Golowich, Rakhlin, Shamir 2018,
                                         Theorem 1)
    ===================================  ===============================================================================

    Names that begin with ``log_`` give :math:`\tfrac12(\ln v-\ln n)`, the others :math:`\sqrt{v/n}`. The logarithm of
    Lh is taken of at least 2.

    Parameters
    ----------
    norms : WeightNorms
    n : int
        Training samples.
    margin : float
        :math:`\gamma`, usually the tenth percentile. Where it is not positive, what divides by it is infinite.
    input_norm, input_rms : float
        B and b.

    Returns
    -------
    dict of str to float

    Raises
    ------
    TypeError, ValueError
        For n < 1, a margin that is no number, or a layer of zeros.

    References
    ----------
    Jiang, Neyshabur, Mobahi, Krishnan, Bengio, Fantastic generalization measures and where to find them, ICLR 2020,
    appendix C; Dziugaite et al., In search of robust measures of generalization, NeurIPS 2020, appendix C.

    Examples
    --------
    >>> one = np.ones(2)
    >>> norms = WeightNorms(2 * one, one, one, one, one, one, widths=np.array([5, 2]), weights=40)
    >>> found = norm_measures(norms, n=100, margin=0.5)
    >>> found["param_norm"], found["log_prod_of_fro_over_margin"]  # sqrt(8 / 100), ln(16 / .25 / 100) / 2
    (0.28284271247461..., -0.22314355131421...)
    """
    as_integer("n", n, 1), as_real("margin", margin, -math.inf)
    if not (norms.spectral > 0).all():
        raise ValueError("`norms` has a layer of zeros, whose network is constant; expected weights in every layer")
    layers, width = len(norms.spectral), int(norms.widths.max())
    spec, fro, dist = norms.spectral**2, norms.frobenius**2, norms.distance_frobenius**2
    prod_spec, prod_fro = float(np.log(spec).sum()), float(np.log(fro).sum())
    fro_over_spec, dist_over_spec = float((fro / spec).sum()), float((dist / spec).sum())
    per_margin = -2.0 * math.log(margin) if margin > 0 else math.inf
    plain = {
        "parameters": float(norms.weights),
        "vc_order": norms.weights * layers * math.log(max(norms.weights, 2)),
        "l2": math.sqrt(fro.sum()),
        "l2_distance": math.sqrt(dist.sum()),
        "inverse_margin": math.exp(per_margin),
        "param_norm": float(fro.sum()),
        "fro_dist": float(dist.sum()),
        "dist_spec_init": float((norms.distance_spectral**2).sum()),
        "fro_over_spec": fro_over_spec,
        "dist_over_spec": dist_over_spec,
    }
    bartlett = 3.0 * _log(float(((norms.distance_21 / norms.spectral) ** (2 / 3)).sum()))
    golowich = 2.0 * math.log(math.sqrt(2.0 * layers * math.log(2.0)) + 1.0)
    depth = math.log(layers**2 * width * math.log(max(layers * width, 2)))
    logs = {
        "log_prod_of_spec": prod_spec,
        "log_prod_of_spec_over_margin": prod_spec + per_margin,
        "log_sum_of_spec": math.log(layers) + prod_spec / layers,
        "log_sum_of_spec_over_margin": math.log(layers) + (prod_spec + per_margin) / layers,
        "log_spec_init_main": prod_spec + _log(dist_over_spec) + per_margin,
        "log_spec_orig_main": prod_spec + math.log(fro_over_spec) + per_margin,
        "log_prod_of_fro": prod_fro,
        "log_prod_of_fro_over_margin": prod_fro + per_margin,
        "log_sum_of_fro": math.log(layers) + prod_fro / layers,
        "log_sum_of_fro_over_margin": math.log(layers) + (prod_fro + per_margin) / layers,
        "log_prod_of_row_sum_over_margin": 2.0 * float(np.log(norms.row_sum).sum()) + per_margin,
        "log_bartlett": 2.0 * _log(input_rms) + prod_spec + bartlett + per_margin,
        "log_neyshabur": 2.0 * _log(input_norm) + depth + prod_spec + math.log(fro_over_spec) + per_margin,
        "log_golowich": 2.0 * _log(input_norm) + prod_fro + golowich + per_margin,
    }
    return _roots(plain, n) | {name: 0.5 * (v - math.log(n)) for name, v in logs.items()}


def pac_bayes_measures(
    weights: ArrayLike, initial: ArrayLike, scale: float, n: int, relative: bool = False, box: bool = False
) -> dict[str, float]:
    r"""Measures of flatness and of the distance it is to be set against, by name, on the scale :math:`\sqrt{v/n}`.

    From the noise :math:`\sigma` that the network bears (`perturbation_scale`), with r the weights w for ``orig`` and
    :math:`w-w_0` for ``init``:

    .. math:: v = \lVert r\rVert^2/4\sigma^2+\ln(n/\sigma)+10, \qquad v_{\text{flatness}} = 1/\sigma^2,

    and for noise of the variance :math:`s^2w_i^2+\epsilon^2` (`relative`), of :math:`\omega` weights, at
    :math:`\epsilon=10^{-3}`,

    .. math:: v = \tfrac14\sum_i\ln\frac{\epsilon^2+(s^2+1)\lVert r\rVert^2/\omega}{\epsilon^2+s^2(w_i-w_{0,i})^2}
              +\ln\frac ns+10, \qquad v_{\text{flatness}} = 1/s^2.

    From the radius :math:`\alpha` of a box (`worst_case_scale`) the same with :math:`\sigma` or s equal to
    :math:`\alpha/\sqrt{2\ln2\omega}`, at which the largest of :math:`\omega` Gaussian numbers lies in the box on
    average; its flatness is :math:`1/\alpha^2`.

    Parameters
    ----------
    weights, initial : array (P,)
        All parameters that are perturbed, biases among them.
    scale : float
        :math:`\sigma`, s, or :math:`\alpha`: a standard deviation or a radius, no variance.
    n : int
        Training samples.
    relative : bool
        Whether the scale is relative to the weights.
    box : bool
        Whether it is the radius of a box.

    Returns
    -------
    dict of str to float
        ``init``, ``orig``, ``flatness``; negative where v is, as :math:`-\sqrt{-v/n}`.

    Raises
    ------
    TypeError, ValueError
        For arrays that differ in shape, n < 1, or a scale that is not positive.

    References
    ----------
    Jiang et al. 2020, section C.6; Dziugaite et al. 2020, appendix C. There noise was drawn with the standard
    deviation :math:`\sigma^2` (:math:`\sigma^2w_i^2+\epsilon^2`), so their scale is about the root of ours.

    Examples
    --------
    >>> found = pac_bayes_measures([3.0, 4.0], [0.0, 0.0], scale=0.5, n=100)
    >>> found["flatness"], found["init"]  # sqrt(4 / 100), sqrt((25 + ln 200 + 10) / 100)
    (0.2, 0.63480...)
    """
    w, w0 = as_float("weights", weights, (1,)), as_float("initial", initial, (1,))
    as_integer("n", n, 1)
    if w.shape != w0.shape:
        raise ValueError(f"`weights` and `initial` have the shapes {w.shape} and {w0.shape}; expected the same")
    if as_real("scale", scale) == 0.0:
        raise ValueError("`scale` is 0; expected a standard deviation or a radius > 0")
    way, count = w - w0, len(w)
    s = scale / math.sqrt(2.0 * math.log(2.0 * count)) if box else scale
    v = {"flatness": 1.0 / scale**2}
    for name, reference in (("init", way), ("orig", w)):
        square = float(reference @ reference)
        if relative:
            above = MAGNITUDE_FLOOR**2 + (s**2 + 1.0) * square / count
            main = 0.25 * float((math.log(above) - np.log(MAGNITUDE_FLOOR**2 + s**2 * way**2)).sum())
        else:
            main = square / (4.0 * s**2)
        v[name] = main + math.log(n / s) + OFFSET
    return {name: math.copysign(math.sqrt(abs(value) / n), value) for name, value in v.items()}


def steps_to_loss(steps: ArrayLike, losses: ArrayLike, target: float) -> float:
    """Return the first step at which a training loss was at or below a target; infinite if there is none.

    Parameters
    ----------
    steps, losses : array (K,)
        When the loss was read, and what it was.
    target : float

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        For arrays of different length, or NaN.

    References
    ----------
    Jiang et al. 2020, section C.8: the number of steps to a cross-entropy of 0.1 and 0.01.

    Examples
    --------
    >>> steps_to_loss([0, 10, 20, 30], [2.3, 0.4, 0.09, 0.02], 0.1)
    20.0
    """
    times, values = as_float("steps", steps, (1,)), as_float("losses", losses, (1,))
    as_real("target", target)
    if times.shape != values.shape:
        raise ValueError(f"`steps` and `losses` have the shapes {times.shape} and {values.shape}; expected the same")
    reached = times[values <= target]
    return float(reached.min()) if len(reached) else math.inf


def _roots(values: Mapping[str, float], n: int) -> dict[str, float]:
    return {name: math.sqrt(v / n) for name, v in values.items()}


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf
