"""What a spectrum comes down to: the largest eigenvalues, the trace, the negative share, and the density."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyphenom._arrays import Float, as_integer
from pyphenom.curvature.density import Curve, SpectralDensity, mean_of_orthonormal, spectral_density
from pyphenom.curvature.lanczos import Eigenpairs, eigsh
from pyphenom.curvature.trace import Estimate

TOLERANCE = 1e-4
"""Of the residuals, within the reach of float32; the error of a separated eigenvalue is about its square."""


@dataclass(frozen=True, eq=False)
class Spectrum:
    r"""The spectrum of a symmetric operator in short.

    Attributes
    ----------
    top : Eigenpairs
        The largest eigenvalues, with the residual of each.
    trace : Estimate
        Sum of all eigenvalues.
    negative_share : Estimate
        :math:`\sum_{\lambda_i<0}|\lambda_i|/\sum_i|\lambda_i|`: rounding of the many eigenvalues that are zero, or
        nearly so, does not count.
    quadrature : SpectralDensity
        With the converged eigenvalues of `top` taken out.
    curve : Curve
        The density, smoothed.
    width : float
        Standard deviation of the smoothing kernel.
    """

    top: Eigenpairs
    trace: Estimate
    negative_share: Estimate
    quadrature: SpectralDensity
    curve: Curve
    width: float

    def to_dict(self) -> dict[str, Any]:
        """Return what is of use without the vectors, ready for JSON."""
        return {
            "eigenvalues": self.top.values.tolist(),
            "residuals": self.top.residuals.tolist(),
            "converged": self.top.status.converged,
            "status": self.top.status.message,
            "miss_probability": self.top.miss_probability,
            "trace": {"value": self.trace.value, "standard_error": self.trace.standard_error},
            "negative_share": {
                "value": self.negative_share.value,
                "standard_error": self.negative_share.standard_error,
            },
            "products": {"eigenvalues": self.top.matvecs, "density": self.quadrature.matvecs},
            "density": {"width": self.width}
            | {name: np.asarray(values).tolist() for name, values in self.curve.to_dict().items()},
        }

    def __repr__(self) -> str:
        share = f"{self.negative_share.value:.2%} +- {self.negative_share.standard_error:.2%}"
        return f"Spectrum({self.top!r}, trace {self.trace!r}, negative share {share})"


def spectrum(
    operator: Any,
    k: int = 5,
    probes: int = 10,
    steps: int = 80,
    seed: int = 0,
    *,
    progress: Callable[[str, int, int], None] | None = None,
) -> Spectrum:
    """Measure the spectrum of a symmetric operator in short.

    Parameters
    ----------
    operator : Operator, SciPy LinearOperator, numpy or sparse matrix (P, P)
        Symmetric.
    k : int
        How many of the largest eigenvalues.
    probes, steps, seed
        As in `spectral_density`; `seed` is that of `eigsh` too.
    progress : callable (what, products, total), optional
        Called after every product; the total is 0 while it is not known.

    Returns
    -------
    Spectrum

    Raises
    ------
    ValueError, TypeError
        As `eigsh` and `spectral_density` do.

    Examples
    --------
    >>> found = spectrum(np.diag([-1.0, 0.0, 0.0, 1.0, 2.0]), k=1, probes=4)
    >>> round(found.trace.value, 10), round(found.negative_share.value, 10), found.top.values.round(10)
    (2.0, 0.25, array([2.]))
    """
    probes, steps = as_integer("probes", probes, 2), as_integer("steps", steps, 1)  # before the eigenvalues, not after
    show = progress or (lambda what, done, total: None)
    top = eigsh(operator, k, "LA", TOLERANCE, seed=seed, progress=lambda done, total: show("eigenvalues", done, total))
    show("eigenvalues", top.matvecs, top.matvecs)
    away: int | Eigenpairs = top if top.status.converged else 0
    found = spectral_density(
        operator, probes, steps, seed, deflate=away, progress=lambda done, total: show("density", done, total)
    )
    show("density", found.matvecs, found.matvecs)
    trace, share = _sums(found)
    return Spectrum(top, trace, share, found, found.density(), found.resolution)


def _sums(found: SpectralDensity) -> tuple[Estimate, Estimate]:
    """Return the trace, and the share of the negative in the sum of magnitudes, of a quadrature."""

    def magnitudes(sign: float) -> Float:
        """Sum of the positive or the negative eigenvalues' magnitudes, once for each probe."""
        nodes, known = np.maximum(sign * found.nodes, 0.0), np.maximum(sign * found.outliers, 0.0)
        estimates = found.size * (found.weights * nodes).sum(axis=1)
        return np.asarray(known.sum() + (estimates if len(estimates) else np.zeros(1)))  # or none is left to estimate

    above, below = magnitudes(1.0), magnitudes(-1.0)
    dimension = max(1, found.free)
    value, error = mean_of_orthonormal(above - below, dimension)
    total = float((above + below).mean())
    share = float(below.mean()) / total if total > 0.0 else 0.0
    # A ratio of two means: to first order its error is that of the mean of below - share (above + below).
    _, spread = mean_of_orthonormal(below - share * (above + below), dimension)
    products = found.matvecs
    return (
        Estimate(float(value), float(error), products),
        Estimate(share, float(spread) / total if total > 0.0 else 0.0, products),
    )
