r"""How well a measure ranks trained networks by their generalisation gap."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyphenom._arrays import as_float

Array = NDArray[np.float64]


def kendall(measure: ArrayLike, gap: ArrayLike) -> float:
    r"""Kendall's rank correlation :math:`\tau_a`, the mean of :math:`\mathrm{sgn}(\mu_a-\mu_b)\,\mathrm{sgn}(g_a-g_b)`.

    Over all pairs of different networks; a tie counts as 0 and stays in the denominator.

    Parameters
    ----------
    measure, gap : array (m,)
        Of m networks; a measure may be infinite.

    Returns
    -------
    float
        In [-1, 1]; NaN for fewer than two networks.

    Raises
    ------
    TypeError, ValueError
        For arrays of different length or NaN.

    References
    ----------
    Kendall 1938; Jiang et al. 2020, equation 2.

    Examples
    --------
    >>> kendall([1.0, 2.0, 3.0, 4.0], [0.1, 0.3, 0.2, 0.4])
    0.6666666666666666
    """
    mu, g = _paired(measure, gap)
    return _tau(mu, g)


@dataclass(frozen=True)
class Granulated:
    r"""Rank correlations of a measure and the gap, hyper-parameter by hyper-parameter.

    Attributes
    ----------
    by_parameter : dict of str to float
        :math:`\psi_i`: the mean of :math:`\tau` over groups of networks that differ in hyper-parameter i alone; NaN
        where there is no such group.
    psi : float
        :math:`\Psi`, the mean of the :math:`\psi_i` that there are.
    tau : float
        Of all networks.
    worst : float
        The least :math:`\tau` of a group: the robustness that Dziugaite et al. ask for.
    """

    by_parameter: dict[str, float]
    psi: float
    tau: float
    worst: float

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)


def granulated_kendall(measure: ArrayLike, gap: ArrayLike, parameters: Mapping[str, ArrayLike]) -> Granulated:
    r"""Granulated rank correlation :math:`\Psi=\frac1k\sum_i\psi_i`, the networks compared in groups of their like.

    A measure that only tells one hyper-parameter may have a large :math:`\tau`; :math:`\Psi` asks it to rank networks
    that differ in one hyper-parameter alone, for each of the k.

    Parameters
    ----------
    measure, gap : array (m,)
    parameters : mapping of str to array (m,)
        Hyper-parameters: numbers or words, compared for equality. Give the seed as one, if there are several.

    Returns
    -------
    Granulated

    Raises
    ------
    TypeError, ValueError
        As in `kendall`, and for hyper-parameters of another length, or none.

    References
    ----------
    Jiang et al. 2020, section 5.2; Dziugaite et al. 2020, section 3.

    Examples
    --------
    >>> grid = {"width": [1, 1, 2, 2], "rate": [0.1, 0.2, 0.1, 0.2]}
    >>> found = granulated_kendall([1.0, 2.0, 3.0, 4.0], [0.1, 0.2, 0.4, 0.3], grid)
    >>> found.by_parameter, found.psi
    ({'width': 1.0, 'rate': 0.0}, 0.5)
    """
    mu, g = _paired(measure, gap)
    codes = _codes(parameters, len(mu))
    found, taus = {}, []
    for name in codes:
        others = np.stack([np.zeros(len(mu), np.int64), *(c for other, c in codes.items() if other != name)], axis=1)
        groups = [np.flatnonzero((others == key).all(axis=1)) for key in np.unique(others, axis=0)]
        here = [_tau(mu[i], g[i]) for i in groups if len(i) > 1]
        found[name] = float(np.mean(here)) if here else math.nan
        taus += here
    known = [value for value in found.values() if not math.isnan(value)]
    return Granulated(found, float(np.mean(known)) if known else math.nan, _tau(mu, g), min(taus) if taus else math.nan)


def conditional_information(
    measure: ArrayLike, gap: ArrayLike, parameters: Mapping[str, ArrayLike], order: int = 2
) -> float:
    r"""Information of a measure on the gap that no hyper-parameters hold: :math:`\min_S I(V_\mu;V_g|U_S)/H(V_g|U_S)`.

    For ordered pairs of networks :math:`V` are the signs of the differences, :math:`U_S` the values that both networks
    have of the hyper-parameters in S, and S runs through the sets of at most `order`. Pairs with a tie are left out.

    Parameters
    ----------
    measure, gap : array (m,)
    parameters : mapping of str to array (m,)
    order : int
        Size of the largest S.

    Returns
    -------
    float
        In [0, 1]; NaN where the hyper-parameters in some S decide every sign of the gap, or no pair is left.

    Raises
    ------
    TypeError, ValueError
        As in `granulated_kendall`.

    References
    ----------
    Jiang et al. 2020, section 5.3, equations 7 to 9.

    Examples
    --------
    >>> gap = [0.1, 0.3, 0.2, 0.4]
    >>> conditional_information(gap, gap, {"width": [1, 1, 2, 2]}, order=0)
    1.0
    """
    mu, g = _paired(measure, gap)
    codes = _codes(parameters, len(mu))
    first, second = (index.ravel() for index in np.indices((len(mu), len(mu))))
    v_mu, v_g = np.sign(_differences(mu)).ravel(), np.sign(_differences(g)).ravel()
    keep = (v_mu != 0) & (v_g != 0)
    first, second, v_mu, v_g = first[keep], second[keep], v_mu[keep] > 0, v_g[keep] > 0
    found = []
    for size in range(order + 1):
        for chosen in itertools.combinations(codes, size):
            columns = [codes[name][side] for name in chosen for side in (first, second)]
            joint = np.zeros((len(first), 0), np.int64) if not columns else np.stack(columns, axis=1)
            cell = np.unique(joint, axis=0, return_inverse=True)[1].ravel() if columns else np.zeros(len(first), int)
            table = np.zeros((int(cell.max(initial=-1)) + 1, 2, 2))
            np.add.at(table, (cell, v_mu.astype(int), v_g.astype(int)), 1.0 / max(len(first), 1))
            cells = _entropy(table.sum(axis=(1, 2)))
            with_gap = _entropy(table.sum(axis=1)) - cells
            information = _entropy(table.sum(axis=2)) - cells + with_gap - (_entropy(table) - cells)
            found.append(information / with_gap if with_gap > 1e-12 else math.nan)
    return float(np.min(found))


def _entropy(probabilities: Array) -> float:
    p = probabilities[probabilities > 0]
    return float(-(p * np.log(p)).sum())


def _differences(values: Array) -> Array:
    """Return the differences of all pairs; of two infinite numbers of a sign 0."""
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(values[:, None] - values[None, :], nan=0.0)


def _tau(mu: Array, g: Array) -> float:
    m = len(mu)
    agreement = np.sign(_differences(mu)) * np.sign(_differences(g))
    return float(agreement.sum() / (m * (m - 1))) if m > 1 else math.nan


def _paired(measure: ArrayLike, gap: ArrayLike) -> tuple[Array, Array]:
    mu, g = np.asarray(measure, dtype=np.float64), as_float("gap", gap, (1,))
    if mu.shape != g.shape:
        raise ValueError(f"`measure` and `gap` have the shapes {mu.shape} and {g.shape}; expected the same")
    if np.isnan(mu).any():
        raise ValueError(f"`measure` holds NaN at {int(np.flatnonzero(np.isnan(mu))[0])}; leave such networks out")
    return mu, g


def _codes(parameters: Mapping[str, ArrayLike], m: int) -> dict[str, NDArray[np.int64]]:
    if not parameters:
        raise ValueError("`parameters` is empty; expected the hyper-parameters that the networks differ in")
    codes = {name: np.unique(np.asarray(values), return_inverse=True)[1] for name, values in parameters.items()}
    if bad := [name for name, values in codes.items() if values.shape != (m,)]:
        raise ValueError(f"`parameters` has {bad} of another shape than {(m,)}; expected a value a network")
    return codes
