"""Spectral densities by stochastic Lanczos quadrature."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from scipy.linalg import eigh_tridiagonal
from scipy.special import ndtr

from pyphenom import _core
from pyphenom._arrays import Float, Progress, as_float, as_integer, as_real
from pyphenom.curvature.lanczos import Eigenpairs, eigsh
from pyphenom.curvature.operator import as_operator
from pyphenom.random_features.features import threads

RESOLUTION = 200
"""Widths of the smoothing kernel in the range of the spectrum, unless another width is given."""


@dataclass(frozen=True, eq=False)
class Curve:
    """A function estimated on a grid.

    Attributes
    ----------
    grid, values, standard_errors : array (G,)
        Where, what, and the standard error of the mean over probes.
    """

    grid: Float
    values: Float
    standard_errors: Float

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, eq=False)
class SpectralDensity:
    r"""The spectral measure :math:`\frac1P\sum_i\delta_{\lambda_i}`, estimated by quadrature nodes and weights.

    Attributes
    ----------
    nodes, weights : array (probes, steps)
        Gauss quadrature of each probe; its weights sum to the part of the measure that is neither in `outliers` nor
        `zeros`. A row that ended early, in an invariant subspace, is filled up with weights 0.
    outliers : array (d,)
        Deflated eigenvalues; each has the weight 1/P and no error.
    zeros : int
        Eigenvalues that are known to be exactly 0, of an operator with a `Reduced` form; each has the weight 1/P too.
    size : int
        P.
    matvecs : int
        Products with single vectors, those for the deflated eigenpairs included where they were computed here.
    """

    nodes: Float
    weights: Float
    outliers: Float
    zeros: int
    size: int
    matvecs: int

    @property
    def support(self) -> tuple[float, float]:
        """The least and the largest of nodes, outliers and zeros."""
        every = np.concatenate([self.nodes[self.weights > 0], self.outliers, np.zeros(min(1, self.zeros))])
        return float(every.min()), float(every.max())

    @property
    def resolution(self) -> float:
        """A two-hundredth of the support's length, or of the only eigenvalue: the width unless another is given."""
        low, high = self.support
        return (high - low or abs(high) or 1.0) / RESOLUTION

    def density(self, grid: Any = None, width: float | None = None) -> Curve:
        r"""Return the density convolved with a Gaussian of standard deviation `width`, on `grid`.

        By default the width is `resolution`, and the grid covers the support with four points a width.
        """
        width = self.resolution if width is None else as_real("width", width)
        if width == 0:
            raise ValueError("`width` is 0; expected a positive number, in the units of the eigenvalues")
        points = self._grid(grid, width)

        def kernel(values: Float) -> Float:
            gaps = (points - values[..., None]) / width
            return np.asarray(np.exp(-0.5 * gaps**2) / (width * np.sqrt(2 * np.pi)))

        return Curve(points, *self._mean(kernel))

    def cdf(self, grid: Any = None, width: float = 0.0) -> Curve:
        r"""Return the share of eigenvalues :math:`\le` each point of `grid`, smoothed with `width` as `density` is."""
        width = as_real("width", width)
        points = self._grid(grid, width or self.resolution)

        def kernel(values: Float) -> Float:
            gaps = points - values[..., None]
            return np.asarray(ndtr(gaps / width) if width > 0 else (gaps >= 0).astype(float))

        return Curve(points, *self._mean(kernel))

    def _grid(self, grid: Any, width: float) -> Float:
        if grid is not None:
            return as_float("grid", grid, (1,))
        low, high = self.support
        return np.linspace(low - 5 * width, high + 5 * width, 4 * RESOLUTION)

    def moments(self, order: int) -> Curve:
        r"""Return :math:`\frac1P\sum_i\lambda_i^p` for p = 0, ..., `order`; each probe's are exact for p < 2 steps."""
        powers = np.arange(as_integer("order", order, 0) + 1)
        return Curve(powers.astype(float), *self._mean(lambda values: values[..., None] ** powers))

    def _mean(self, kernel: Any) -> tuple[Float, Float]:
        known = kernel(self.outliers).sum(axis=0) + self.zeros * kernel(np.zeros(()))
        rows = [w @ kernel(x) for x, w in zip(self.nodes, self.weights, strict=True)]
        each = np.reshape(rows, (-1, *known.shape))  # no row where every eigenvalue is deflated
        mean, error = mean_of_orthonormal(each, self.free)
        return mean + known / self.size, error

    @property
    def free(self) -> int:
        """Dimensions in which the probes are drawn: those of neither `outliers` nor `zeros`."""
        return self.size - len(self.outliers) - self.zeros

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __repr__(self) -> str:
        probes, steps = self.nodes.shape
        known = f"{len(self.outliers)} outliers" + (f" and {self.zeros} exact zeros" if self.zeros else "")
        low, high = self.support
        return (
            f"SpectralDensity(P = {self.size}, {probes} probes of {steps} steps, {known}, in [{low:.4g}, {high:.4g}])"
        )


def spectral_density(
    operator: Any,
    probes: int = 10,
    steps: int = 80,
    seed: int = 0,
    *,
    deflate: int | Eigenpairs = 0,
    max_bytes: int = 2**30,
    progress: Progress | None = None,
) -> SpectralDensity:
    r"""Spectral density of a symmetric operator by stochastic Lanczos quadrature.

    For a unit vector q, Lanczos gives :math:`q^\top f(A) q \approx \sum_j \tau_j^2 f(\theta_j)`, with the eigenvalues
    :math:`\theta_j` of the tridiagonal matrix and the first components :math:`\tau_j` of its eigenvectors, exact for
    polynomials of degree below 2 `steps`; over a random q the mean is :math:`\mathrm{tr} f(A)/P`. An operator with a
    `Reduced` form is probed in that form, and its zeros join without error.

    Parameters
    ----------
    operator : Operator, SciPy LinearOperator, numpy or sparse matrix (P, P)
        Symmetric; negative eigenvalues are part of the measure.
    probes : int
        Random orthonormal vectors, at least 2; those beyond P - d are left out, and with all of them traces are exact.
    steps : int
        Lanczos steps a probe, with full reorthogonalisation. At most P.
    seed : int
        Of the probes.
    deflate : int or Eigenpairs
        Eigenpairs taken out of the probes and put back without error; a number computes that many, largest in
        magnitude.
    max_bytes : int
        Limit on the memory of the bases: as many probes run at once, as blocks, as fit; at least one.
    progress : callable (products, total), optional
        Called after every block product. Ctrl-C stops there.

    Returns
    -------
    SpectralDensity

    Raises
    ------
    ValueError, TypeError
        For bad input, before any work; if a product is not finite; if the deflated pairs did not converge.

    Examples
    --------
    >>> import numpy as np
    >>> found = spectral_density(np.diag([-1.0, 0.0, 1.0, 1.0]), probes=4, steps=4)
    >>> found.cdf([-0.5, 0.5]).values.round(10)
    array([0.25, 0.5 ])
    """
    operator = as_operator(operator)
    size, dtype, product = operator.shape[0], operator.dtype, operator.rows
    probes, steps = as_integer("probes", probes, 2), min(as_integer("steps", steps, 1), size)
    room = as_integer("max_bytes", max_bytes, 1)
    rng = np.random.default_rng([as_integer("seed", seed, 0), 0x51])
    if isinstance(deflate, Eigenpairs):
        pairs: Eigenpairs | None = deflate
        spent = 0
    else:
        count = as_integer("deflate", deflate, 0, size)
        pairs = eigsh(operator, count, "LM", copies=False, seed=seed) if count else None
        spent = pairs.matvecs if pairs else 0
    if pairs is not None and (pairs.vectors.shape[0] != size or not pairs.status.converged):
        raise ValueError(
            f"`deflate` holds vectors of {pairs.vectors.shape[0]} entries for an operator of size {size}; "
            f"status: {pairs.status}. Expected converged pairs of this operator"
        )
    away = np.ascontiguousarray(pairs.vectors.T, dtype) if pairs else np.empty((0, size), dtype)
    outliers = np.array(pairs.values, float) if pairs else np.empty(0)
    reduced, zeros = operator.reduced(), 0
    if reduced is not None:
        inside = reduced.restrict(away)
        if np.allclose((inside**2).sum(axis=1), 1.0, atol=1e-3):  # else it would have to be cut in two
            product, away, zeros = reduced.operator.rows, inside, size - reduced.operator.shape[0]
    free = size - len(outliers) - zeros
    probes, steps = min(probes, free), min(steps, free)
    nodes, weights = np.zeros((probes, steps)), np.zeros((probes, steps))
    starts = _orthonormal(rng.standard_normal((probes, size - zeros)).astype(dtype), away)
    together = max(1, min(probes, room // ((steps + 1) * (size - zeros) * dtype.itemsize))) if probes else 1
    done = 0
    for first in range(0, probes, together):
        alphas, betas, lengths, used = _lanczos(
            product, starts[first : first + together], steps, away, done, probes * steps, progress
        )
        done += used
        for i, (alpha, beta, length) in enumerate(zip(alphas, betas, lengths, strict=True), first):
            theta, Y = eigh_tridiagonal(alpha[:length], beta[: length - 1])
            nodes[i], nodes[i, :length] = theta[-1], theta
            weights[i, :length] = Y[0] ** 2 * (free / size)
    return SpectralDensity(nodes, weights, outliers, zeros, size, spent + done)


def mean_of_orthonormal(each: Float, dimension: int) -> tuple[Float, Float]:
    """Return the mean over rows and its standard error, for quadratic forms of orthonormal random vectors.

    A full orthonormal basis gives the trace whatever the basis, so that the vectors behave like draws without
    replacement from a population of `dimension`: the variance of the mean carries the factor 1 - K / dimension.
    """
    count = len(each)
    if count == 0:
        return np.zeros(each.shape[1:]), np.zeros(each.shape[1:])
    spread = each.var(axis=0, ddof=1) if count > 1 else np.zeros(each.shape[1:])
    return each.mean(axis=0), np.sqrt(np.maximum(0.0, spread / count * (1 - count / dimension)))


def _orthonormal(starts: Float, away: Float) -> Float:
    basis = np.concatenate([away, starts])
    for i in range(len(away), len(basis)):
        row = basis[i : i + 1]
        for _ in range(2):
            _, norms = _core.orthogonalise(basis[:i], row, threads())
            row /= norms[0]
    return basis[len(away) :]


def _lanczos(
    product: Any, starts: Float, steps: int, away: Float, done: int, total: int, progress: Progress | None
) -> tuple[Float, Float, Any, int]:
    """Tridiagonal matrices of the starts under the operator in the complement of the rows `away`."""
    count, size = starts.shape
    basis = np.empty((count, steps + 1, size), starts.dtype)
    basis[:, 0] = starts
    alphas, betas, lengths = np.zeros((count, steps)), np.zeros((count, steps)), np.full(count, steps)
    rounding = 10 * np.finfo(starts.dtype).eps
    active, used, largest, workers = list(range(count)), 0, np.zeros(count), threads()
    for j in range(steps):
        block = np.ascontiguousarray(product(np.ascontiguousarray(basis[active, j])), starts.dtype)
        used += len(active)
        if progress is not None:
            progress(done + used, total)
        if not np.isfinite(block).all():
            raise ValueError("a product of `operator` is not finite; expected finite numbers")
        if len(away):
            _core.orthogonalise(away, block, workers)
        for i, w in zip(list(active), block, strict=True):
            H, norms = _core.orthogonalise(basis[i, : j + 1], w[None], workers)
            alpha, beta = H[0, j], norms[0]
            alphas[i, j], betas[i, j] = alpha, beta
            largest[i] = max(largest[i], abs(alpha) + beta)
            if beta <= rounding * largest[i]:
                lengths[i] = j + 1
                active.remove(i)
            else:
                np.divide(w, beta, out=basis[i, j + 1])
        if not active:
            break
    return alphas, betas, lengths, used
