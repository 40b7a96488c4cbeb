r"""The closed forms as sympy expressions: each as its paper states it, to derive and to test the numeric code from.

The numeric modules evaluate rearranged forms that do not cancel. Here stand the textbook forms, and the rearranged
ones for which the equality is an identity of rational functions. This module is not imported by `pyphenom.theory`, so
sympy is loaded only when asked for.

Symbols: `aspect_ratio` γ, `ridge` λ, `signal_power` r², `noise_variance` σ² (τ²); for random features `psi1`, `psi2`,
`zeta` ζ, `chi` χ, `reduced_ridge` λ/μ⋆², and `linear_signal` F₁², `nonlinear_signal` F⋆².

Examples
--------
>>> bias, variance = isotropic_risk()
>>> values = {aspect_ratio: 2, signal_power: 1, noise_variance: sympy.Rational(1, 4)}
>>> sympy.limit((bias + variance).subs(values), ridge, 0, "+")
3/4
"""

from __future__ import annotations

from typing import Any, TypeAlias

import sympy
from sympy import Rational, asin, pi, sqrt

Expr: TypeAlias = Any
"""A sympy expression; sympy has no types of its own."""

aspect_ratio, ridge, signal_power, noise_variance = sympy.symbols("gamma lambda r2 sigma2", positive=True)
psi1, psi2, zeta, reduced_ridge = sympy.symbols("psi1 psi2 zeta lambda_r", positive=True)
chi = sympy.symbols("chi", negative=True)
linear_signal, nonlinear_signal = sympy.symbols("F1sq Fstarsq", positive=True)
samples, width, inside_power, outside_power = sympy.symbols("n p bT2 bc2", positive=True)


def stieltjes_transform(z: Expr) -> Expr:
    r"""Stieltjes transform :math:`m(z) = \lim \frac1p\mathrm{tr}(X^\top X/n - z)^{-1}` of the Marchenko-Pastur law.

    For z < 0, the root of :math:`\gamma z m^2 - (1 - \gamma - z) m + 1 = 0` that vanishes at :math:`z\to-\infty`.

    Examples
    --------
    >>> z = sympy.symbols("z", negative=True)
    >>> m = stieltjes_transform(z)
    >>> sympy.simplify(aspect_ratio * z * m**2 - (1 - aspect_ratio - z) * m + 1)
    0
    """
    shifted = 1 - aspect_ratio - z
    return (-shifted + sqrt(shifted**2 - 4 * aspect_ratio * z)) / (-2 * aspect_ratio * z)


def isotropic_risk() -> tuple[Expr, Expr]:
    r"""Bias :math:`r^2\lambda^2m'(-\lambda)` and variance :math:`\sigma^2\gamma(m - \lambda m')` of ridge regression.

    Hastie, Montanari, Rosset, Tibshirani 2022, Corollary 5; m' is differentiated here.
    """
    z = sympy.symbols("z", negative=True)
    m = stieltjes_transform(z)
    at = {z: -ridge}
    m, slope = m.subs(at), sympy.diff(m, z).subs(at)
    return signal_power * ridge**2 * slope, noise_variance * aspect_ratio * (m - ridge * slope)


def isotropic_risk_rearranged() -> tuple[Expr, Expr]:
    """Bias and variance as `ridge_regression.isotropic_risk` evaluates them, before its quotients."""
    s, t = 1 - aspect_ratio + ridge, 1 - aspect_ratio - ridge
    q = sqrt(s**2 + 4 * aspect_ratio * ridge)
    u, w = q - s, q - t
    return signal_power * u * w / (4 * aspect_ratio * q), noise_variance * u / (q * w)


def optimal_ridge() -> Expr:
    r""":math:`\lambda^* = \sigma^2\gamma/r^2`, where the derivative of the risk vanishes (Dobriban and Wager 2018)."""
    return noise_variance * aspect_ratio / signal_power


def finite_sample_risk(overparametrized: bool) -> Expr:
    """Prediction error of Belkin, Hsu, Xu 2020, Theorem 1, label noise included: p <= n - 2, or p >= n + 2."""
    noise = outside_power + noise_variance
    if overparametrized:
        return inside_power * (1 - samples / width) + noise * (1 + samples / (width - samples - 1))
    return noise * (1 + width / (samples - width - 1))


def mei_montanari_polynomials() -> tuple[Expr, Expr, Expr]:
    r""":math:`E_0, E_1, E_2` of Mei and Montanari 2022, Theorem 2, in χ, ζ, ψ₁, ψ₂."""
    e0 = (
        -(chi**5) * zeta**6
        + 3 * chi**4 * zeta**4
        + (psi1 * psi2 - psi2 - psi1 + 1) * chi**3 * zeta**6
        - 2 * chi**3 * zeta**4
        - 3 * chi**3 * zeta**2
        + (psi1 + psi2 - 3 * psi1 * psi2 + 1) * chi**2 * zeta**4
        + 2 * chi**2 * zeta**2
        + chi**2
        + 3 * psi1 * psi2 * chi * zeta**2
        - psi1 * psi2
    )
    e1 = psi2 * chi**3 * zeta**4 - psi2 * chi**2 * zeta**2 + psi1 * psi2 * chi * zeta**2 - psi1 * psi2
    e2 = (
        chi**5 * zeta**6
        - 3 * chi**4 * zeta**4
        + (psi1 - 1) * chi**3 * zeta**6
        + 2 * chi**3 * zeta**4
        + 3 * chi**3 * zeta**2
        - (psi1 + 1) * chi**2 * zeta**4
        - 2 * chi**2 * zeta**2
        - chi**2
    )
    return e0, e1, e2


def mei_montanari_risk() -> Expr:
    r"""Excess risk :math:`F_1^2E_1/E_0 + (\tau^2 + F_\star^2)E_2/E_0 + F_\star^2`, at the χ of the fixed point."""
    e0, e1, e2 = mei_montanari_polynomials()
    return linear_signal * e1 / e0 + (noise_variance + nonlinear_signal) * e2 / e0 + nonlinear_signal


def mei_montanari_fixed_point() -> tuple[Expr, Expr]:
    r"""Both equations for :math:`\nu_1, \nu_2` (Mei and Montanari, Definition 1), each as left minus right.

    To be taken at :math:`\xi = i\sqrt{\psi_1\psi_2\lambda_r}`. Symbols named ``nu1``, ``nu2``, ``xi``; :math:`\chi =
    \nu_1\nu_2`.
    """
    nu1, nu2, xi = sympy.symbols("nu1 nu2 xi")

    def equation(left: Expr, right: Expr, psi: Expr) -> Expr:
        return left * (-xi - right - zeta**2 * right / (1 - zeta**2 * nu1 * nu2)) - psi

    return equation(nu1, nu2, psi1), equation(nu2, nu1, psi2)


def mei_montanari_real_equation() -> Expr:
    r"""Return :math:`(\psi_1 - h)(\psi_2 - h) - c\psi_1\psi_2\lambda_r`, zero at c = -χ; h is z of the eigenframework.

    With :math:`h = c + \frac{\zeta^2c}{1+\zeta^2c}`. The product of both equations of the fixed point, free of
    complex numbers.
    """
    h = _degrees(-chi)
    return (psi1 - h) * (psi2 - h) + chi * psi1 * psi2 * reduced_ridge


def eigenframework_risk() -> Expr:
    r"""Excess risk of random features in the form that `random_features.risk` evaluates.

    The module head of `eigenframework` with one eigenvalue ζ² of d modes, a tail of mass 1, and the effective
    ridge :math:`g = 1/c = -1/\chi`, counts per input dimension: a sum of products of non-negative terms. It equals
    `mei_montanari_risk` for every χ, ψ₁, ψ₂, not only on the fixed point.
    """
    c = -chi
    missed, learned = 1 / (1 + zeta**2 * c), zeta**2 * c / (1 + zeta**2 * c)
    a, b = psi2 - _degrees(c), psi1 - _degrees(c)
    e = learned * missed + c
    used = e * b / (b + e)
    amplitude = linear_signal * missed * (missed + e / (b + e) * learned) + nonlinear_signal
    return (psi2 * amplitude + noise_variance * (_degrees(c) - used)) / (a + used)


def activation_constants(name: str) -> tuple[Expr, Expr, Expr]:
    r""":math:`\mu_0, \mu_1, \mu_\star` of relu, erf, abs, sign under the standard Gaussian."""
    half = Rational(1, 2)
    try:
        return {
            "relu": (1 / sqrt(2 * pi), half, sqrt(half**2 - 1 / (2 * pi))),
            "erf": (sympy.Integer(0), 2 / sqrt(3 * pi), sqrt(2 / pi * asin(Rational(2, 3)) - 4 / (3 * pi))),
            "abs": (sqrt(2 / pi), sympy.Integer(0), sqrt(1 - 2 / pi)),
            "sign": (sympy.Integer(0), sqrt(2 / pi), sqrt(1 - 2 / pi)),
        }[name]
    except KeyError:
        raise ValueError(
            f"name: got {name!r}, expected relu, erf, abs or sign; pyphenom.theory.random_features has more, in numbers"
        ) from None


def _degrees(c: Expr) -> Expr:
    return c + zeta**2 * c / (1 + zeta**2 * c)
