r"""Spectrum of the Hessian of softmax regression on C equal classes: how many outliers, and where the gradient is.

Each class is one input, or a cluster of equal ones, of squared norm 1; two of them have the inner product
:math:`\beta`, the cosine. The softmax gives the right class :math:`1-\epsilon` and every other
:math:`q=\epsilon/(C-1)`: gradient flow from zero passes through such points only. The Hessian

.. math:: H = \frac1C\sum_c (\mathrm{diag}\,p_c - p_cp_c^\top)\otimes x_cx_c^\top

then commutes with the permutations of the classes, and its :math:`C(C-1)` directions fall into four levels. With
:math:`s=\epsilon(1-\epsilon)C/(C-1)`, the eigenvalue of :math:`\mathrm{diag}\,p_c-p_cp_c^\top` of the right class
against the wrong ones, and q its other one,

.. math:: \frac1C\mu_+\;(C-1\text{ times}),\qquad \frac{(1-\beta)s}C\;(1),\qquad \frac1C\mu_-\;(C-1),\qquad
          \frac{(1-\beta)q}C\;(C^2-3C+1),

.. math:: \mu_\pm\text{ the eigenvalues of }(1-\beta)\begin{pmatrix}s&0\\0&q\end{pmatrix}+\beta vv^\top,\qquad
          v=\Bigl(\sqrt{\tfrac{sC}{C-1}},\sqrt{\tfrac{qC(C-2)}{C-1}}\Bigr).

The gradient is an eigenvector, that of the second level. Without anything in common, :math:`\beta=0`, the first two
levels are one: C outliers, :math:`C(1-\epsilon)` times the others, and the gradient among them. What all inputs have in
common raises the first level away from the second, :math:`2/(1-\beta)` times as large for small :math:`\epsilon` and
:math:`\beta\to1`, while the second is then twice the third: C - 1 outliers, and the gradient not among them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from . import _checks
from ._checks import Array, Values
from .risk import describe

__all__ = ["ClassLevels", "class_levels", "drops", "flow_weights", "lead"]


@dataclass(frozen=True, eq=False, repr=False)
class ClassLevels:
    r"""The four levels of eigenvalues, in units of the squared norm of an input; the first is the largest.

    Attributes
    ----------
    common : float or array
        :math:`\mu_+/C`, C - 1 times.
    gradient : float or array
        Once; the gradient is its eigenvector.
    contrast : float or array
        :math:`\mu_-/C`, C - 1 times; 0 for two classes, which do not have it.
    rest : float or array
        :math:`C^2-3C+1` times; 0 for two classes.
    multiplicities : tuple of int
        In this order.
    """

    common: Values
    gradient: Values
    contrast: Values
    rest: Values
    multiplicities: tuple[int, int, int, int]

    @property
    def surplus(self) -> Values:
        r"""Logarithm of the drop after the (C - 1)-th eigenvalue over the drop after the C-th.

        Positive where C - 1 eigenvalues stand out, and negative where C do.
        """
        levels = (np.asarray(level) for level in (self.common, self.gradient, self.contrast))
        with np.errstate(divide="ignore"):
            common, gradient, contrast = (np.log(level) for level in levels)
        return _checks.unwrap(common + contrast - 2.0 * gradient)

    def to_dict(self) -> dict[str, object]:
        """Return the fields by name."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __repr__(self) -> str:
        levels = (self.common, self.gradient, self.contrast, self.rest)
        return describe("ClassLevels", dict(zip(("common", "gradient", "contrast", "rest"), levels, strict=True)))


def class_levels(classes: int, cosine: ArrayLike, error: ArrayLike) -> ClassLevels:
    r"""Levels of the Hessian's eigenvalues for softmax regression on classes that are equally far apart.

    .. math:: \mu_\pm = \tfrac12\Bigl(t \pm \sqrt{t^2 - 4\Delta}\Bigr),\qquad
              t = (1-\beta)(s+q) + \beta|v|^2,\qquad
              \Delta = (1-\beta)\bigl((1-\beta)sq + \beta(qv_1^2+sv_2^2)\bigr)

    Parameters
    ----------
    classes : int
        C, at least 2.
    cosine : float or array
        :math:`\beta` between the inputs of two classes, at least 0 and less than 1.
    error : float or array
        :math:`\epsilon`, what the softmax gives to all wrong classes together: more than 0, at most
        :math:`1-1/C`, that of weights zero.

    Returns
    -------
    ClassLevels

    Raises
    ------
    ValueError, TypeError
        For parameters out of range.

    References
    ----------
    Derived here. That outliers are as many as classes: Papyan 2020, "Traces of class/cross-class structure pervade deep
    learning spectra"; that the gradient lies among them: Gur-Ari, Roberts, Dyer 2018.

    Examples
    --------
    >>> apart, alike = class_levels(10, [0.0, 0.9], error=0.01).surplus
    >>> print(f"{apart:.2f} {alike:.2f}")
    -2.29 2.22
    """
    beta, epsilon, C = _classes(classes, cosine, error)
    shape = _checks.broadcast(cosine=beta, error=epsilon)
    q, own = epsilon / (C - 1), 1.0 - beta
    s = (1.0 - epsilon) * q * C
    first, second = s * C / (C - 1), q * C * (C - 2) / (C - 1)
    trace = own * (s + (q if C > 2 else 0.0)) + beta * (first + second)
    determinant = own * (own * s * q + beta * (q * first + s * second)) if C > 2 else 0.0 * trace
    largest = (trace + np.sqrt(np.maximum(trace**2 - 4.0 * determinant, 0.0))) / 2.0
    levels = (largest, own * s, determinant / largest, own * q if C > 2 else 0.0 * own * q)
    counts = (C - 1, 1, C - 1, C * C - 3 * C + 1) if C > 2 else (1, 1, 0, 0)
    common, gradient, contrast, rest = (_checks.unwrap(level / C, shape) for level in levels)
    return ClassLevels(common, gradient, contrast, rest, counts)


def flow_weights(inputs: ArrayLike, cosine: float, error: float) -> Array:
    r"""Weights at which gradient flow from zero passes through an error.

    .. math:: W = \frac{1}{1-\beta}\log\frac{(1-\epsilon)(C-1)}{\epsilon}\;(x_c-\bar x)_c

    The logits of a class are then those of the others plus that logarithm.

    Parameters
    ----------
    inputs : array (C, d)
        One input a class, of norm 1 and equal inner products.
    cosine : float
        Of these, :math:`\beta`.
    error : float
        :math:`\epsilon`, as in `class_levels`.

    Returns
    -------
    array (C, d)
        A row a class.

    Raises
    ------
    ValueError, TypeError
        For inputs that are not equally far apart, and parameters out of range.

    Examples
    --------
    >>> logits = flow_weights(np.eye(3), cosine=0.0, error=0.02)
    >>> (np.exp(logits) / np.exp(logits).sum(axis=0)).round(2).tolist()
    [[0.98, 0.01, 0.01], [0.01, 0.98, 0.01], [0.01, 0.01, 0.98]]
    """
    X = _checks.real("inputs", inputs)
    if X.ndim != 2 or len(X) < 2:
        raise ValueError(f"inputs: got shape {X.shape}, expected (C, d), one input for each of at least 2 classes")
    beta, epsilon, C = _classes(len(X), cosine, error)
    expected = beta + (1.0 - beta) * np.eye(C)
    if (off := np.abs(X @ X.T - expected).max()) > 1e-6:
        raise ValueError(f"inputs: got inner products {off:.1e} off, expected norms of 1 and products of {cosine:g}")
    scale = np.log((1.0 - epsilon) * (C - 1) / epsilon) / (1.0 - beta)
    return np.asarray(scale * (X - X.mean(axis=0)))


def drops(eigenvalues: ArrayLike) -> Array:
    r"""Logarithms of the factors from one eigenvalue to the next, :math:`\log\lambda_k/\lambda_{k+1}`.

    Parameters
    ----------
    eigenvalues : array (K + 1,)
        Largest first. Those below :math:`10^{-12}` of the first, negative ones among them, count as that much.

    Returns
    -------
    array (K,)

    Raises
    ------
    ValueError, TypeError
        If there are fewer than two, the first is not positive, or they do not fall.

    Examples
    --------
    >>> np.exp(drops([80.0, 40.0, 4.0, 4.0])).round(9)
    array([ 2., 10.,  1.])
    """
    values = _checks.real("eigenvalues", eigenvalues)
    if values.ndim != 1 or values.size < 2:
        raise ValueError(f"eigenvalues: got shape {values.shape}, expected (K + 1,) with K of at least 1")
    if values[0] <= 0.0 or (np.diff(values) > 0.0).any():
        raise ValueError("eigenvalues: expected the largest first, and that positive; sort them with [::-1]")
    first = np.maximum(values, 1e-12 * values[0])
    return np.asarray(np.log(first[:-1] / first[1:]))


def lead(eigenvalues: ArrayLike, count: int) -> float:
    """By how much the drop after `count` eigenvalues exceeds every other; negative where another is larger.

    Parameters
    ----------
    eigenvalues : array (K + 1,)
        As for `drops`.
    count : int
        From 1 to K.

    Returns
    -------
    float

    Raises
    ------
    ValueError, TypeError
        As `drops` does, and if there are not so many drops, or no other.

    Examples
    --------
    >>> round(float(np.exp(lead([80.0, 40.0, 4.0, 4.0], 2))), 9)
    5.0
    """
    found = drops(eigenvalues)
    if not 1 <= count <= len(found) or len(found) < 2:
        raise ValueError(f"count: got {count} with {len(found)} drops, expected one of several")
    return float(found[count - 1] - np.delete(found, count - 1).max())


def _classes(classes: int, cosine: ArrayLike, error: ArrayLike) -> tuple[Array, Array, int]:
    """Return the parameters of equal classes, checked."""
    beta, epsilon = _checks.nonnegative("cosine", cosine), _checks.positive("error", error)
    if isinstance(classes, bool) or not isinstance(classes, int | np.integer) or classes < 2:
        raise ValueError(f"classes: got {classes!r}, expected an integer of at least 2")
    C = int(classes)
    if (beta >= 1.0).any():
        raise ValueError(f"cosine: got {beta.max():g}, expected less than 1: classes of equal inputs are one class")
    if (epsilon > 1.0 - 1.0 / C).any():
        raise ValueError(
            f"error: got {epsilon.max():g}, expected at most 1 - 1/C = {1 - 1 / C:g}, that of weights zero"
        )
    return beta, epsilon, C
