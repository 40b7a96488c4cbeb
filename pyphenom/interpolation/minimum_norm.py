"""Interpolants of smallest norm: linear, and in the Hilbert space of a kernel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import scipy.linalg
from scipy.spatial.distance import pdist

from pyphenom._arrays import Float, Progress, as_float, as_integer, as_real, restore
from pyphenom.curvature.lanczos import Status

GRAM_LIMIT = 6000
"""Points up to which the Gram matrix is formed and factorised; beyond, conjugate gradients form it block by block."""
BLOCK_ENTRIES = 1 << 23
"""Entries of the Gram matrix held at once by the products."""

Kernel = Callable[[Float, Float], Float]


@dataclass(frozen=True, eq=False)
class MinimumNorm:
    r"""The function :math:`f(x)=\sum_i\alpha_i k(x, x_i)` of smallest norm through the data, or nearest to it.

    Called with inputs (m, d) it predicts (m,) or (m, T).

    Attributes
    ----------
    coefficients : array (n,) or (n, T)
        :math:`\alpha`, of :math:`K\alpha=y`.
    norm : float
        :math:`\sqrt{\operatorname{tr}\alpha^\top K\alpha}`, the norm of f in the kernel's space, over all targets; for
        the linear kernel :math:`|w|`.
    residual : float
        :math:`\max_i|f(x_i)-y_i|`.
    iterations : int
        Of conjugate gradients; 0 after a factorisation.
    status : Status
        Whether f interpolates, and what to do if not.
    points : array (n, d)
        The inputs.
    kernel : callable (A, B) -> matrix
        Of two sets of points.
    """

    coefficients: Float
    norm: float
    residual: float
    iterations: int
    status: Status
    points: Float
    kernel: Kernel

    def __call__(self, X: Any) -> Any:
        """Predict for inputs (m, d), an array or a CPU tensor; the answer is of the same kind."""
        x = as_float("X", X, (2,))
        if x.shape[1] != self.points.shape[1]:
            raise ValueError(f"`X` has {x.shape[1]} columns; expected {self.points.shape[1]}, as in the data")
        return restore(_product(self.kernel, x, self.points, self.coefficients), like=X)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __repr__(self) -> str:
        note = "" if self.status.converged else "; does not interpolate (see .status)"
        return f"MinimumNorm({len(self.points)} points, norm {self.norm:.4g}, residual {self.residual:.1e}{note})"


def minimum_norm_linear(X: Any, y: Any, tol: float = 1e-8) -> MinimumNorm:
    r"""Find the linear map :math:`w=X^+y` of smallest norm among those with the smallest residual.

    Parameters
    ----------
    X : array or CPU tensor (n, d)
    y : array (n,) or (n, T)
    tol : float
        f counts as an interpolant where no residual exceeds tol times the largest \|y\|. It takes d >= n, or labels
        linear in X.

    Returns
    -------
    MinimumNorm
        With :math:`w=X^\top\alpha`.

    Raises
    ------
    ValueError, TypeError
        For bad input, before any work.

    References
    ----------
    Zhang et al., ICLR 2017, Section 5: gradient descent from zero stays in the span of the data and finds it.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.standard_normal((20, 50)), rng.choice([-1.0, 1.0], 20)
    >>> f = minimum_norm_linear(X, y)
    >>> bool(np.isclose(f.norm, np.linalg.norm(np.linalg.pinv(X) @ y)))
    True
    """
    x, targets, single = _data(X, y)
    tol = as_real("tol", tol)
    # X^+ = X' (X X')^+ = (X'X)^+ X': alpha of X' alpha = w by the same singular vectors, U s^-2 U' y.
    # Rows longer than they are many first try the Gram matrix. Where that does not do, the triangle of their QR has the
    # same vectors, and the rest is not asked.
    square = x
    if x.shape[1] > len(x):
        if (coefficients := _refined(x, targets)) is not None:
            w = x.T @ coefficients
            residual = float(np.abs(x @ w - targets).max())
            return _result(x, targets, single, _linear, coefficients, float(np.linalg.norm(w)), residual, 0, tol)
        square = scipy.linalg.qr(x.T, mode="r")[0][: len(x)].T
    U, s, _ = scipy.linalg.svd(square, full_matrices=False)
    kept = s > max(x.shape) * np.finfo(float).eps * s[0]
    U, s = U[:, kept], s[kept]
    inner = U.T @ targets
    coefficients = U @ (inner / s[:, None] ** 2)
    norm = float(np.linalg.norm(inner / s[:, None]))
    residual = float(np.abs(U @ inner - targets).max())
    return _result(x, targets, single, _linear, coefficients, norm, residual, 0, tol)


def _refined(x: Float, targets: Float) -> Float | None:
    """Return the solution of X X' alpha = y by Cholesky and three refinements; None where its digits would not do.

    A step of refinement takes the error times cond(X)^2 eps, at most 1e-3 where there is a solution.
    """
    R, failed = scipy.linalg.lapack.dpotrf(x @ x.T)
    if failed or not scipy.linalg.lapack.dtrcon(R)[0] > 1e-6:
        return None
    coefficients = np.zeros_like(targets)
    for _ in range(4):
        coefficients += scipy.linalg.cho_solve((R, False), targets - x @ (x.T @ coefficients))
    return coefficients


def minimum_norm_kernel(
    X: Any,
    y: Any,
    kernel: str | Kernel = "gaussian",
    bandwidth: float | None = None,
    *,
    tol: float = 1e-8,
    method: str = "auto",
    max_iterations: int = 1000,
    progress: Progress | None = None,
) -> MinimumNorm:
    r"""Find the interpolant of smallest norm in the space of a kernel, :math:`f(x)=k(x,X)K^{-1}y`.

    Parameters
    ----------
    X : array or CPU tensor (n, d)
        Distinct inputs.
    y : array (n,) or (n, T)
    kernel : {"gaussian", "laplace"} or callable (A, B) -> matrix
        :math:`e^{-|x-x'|^2/(2h^2)}`, :math:`e^{-|x-x'|/h}`, or any positive semidefinite kernel, such as
        ``lambda A, B: pyphenom.theory.expected_kernels.expected_kernel(A, "relu", B)``.
    bandwidth : float, optional
        h; the median distance of some five hundred of the points unless given.
    tol : float
        Largest residual over the largest \|y\|. Conjugate gradients stop there.
    method : {"auto", "gram", "cg"}
        Factorise the Gram matrix, O(n^3) time and n^2 memory; or conjugate gradients that form it block by block,
        O(n^2 d) an iteration; by default the former up to 6000 points.
    max_iterations : int
        Of conjugate gradients.
    progress : callable (iterations, max_iterations), optional
        Called after every iteration.

    Returns
    -------
    MinimumNorm
        On a Gram matrix that is singular in float64 the pseudo-inverse is used; the status tells what is left.

    Raises
    ------
    ValueError, TypeError
        For bad input, before any work.

    References
    ----------
    Zhang et al., ICLR 2017, Section 5.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.standard_normal((100, 5)), rng.choice([-1.0, 1.0], 100)
    >>> f = minimum_norm_kernel(X, y, "laplace")
    >>> f.status.converged
    True
    """
    x, targets, single = _data(X, y)
    k = _kernel(kernel, bandwidth, x)
    tol, most = as_real("tol", tol), as_integer("max_iterations", max_iterations, 1)
    if method not in ("auto", "gram", "cg"):
        raise ValueError(f"`method` is {method!r}; expected 'auto', 'gram' or 'cg'")
    if method == "gram" or (method == "auto" and len(x) <= GRAM_LIMIT):
        coefficients, iterations = _solve(k(x, x), targets), 0
    else:
        coefficients, iterations = _conjugate_gradients(k, x, targets, tol, most, progress)
    fitted = _product(k, x, x, coefficients)
    norm = float(np.sqrt(max(0.0, float(np.sum(coefficients * fitted)))))
    residual = float(np.abs(fitted - targets).max())
    return _result(x, targets, single, k, coefficients, norm, residual, iterations, tol)


def _data(X: Any, y: Any) -> tuple[Float, Float, bool]:
    x, targets = as_float("X", X, (2,)), as_float("y", y, (1, 2))
    if len(targets) != len(x):
        raise ValueError(f"`y` has {len(targets)} rows; expected {len(x)}, as many as `X`")
    return x, targets.reshape(len(x), -1), targets.ndim == 1


def _result(
    x: Float,
    targets: Float,
    single: bool,
    kernel: Kernel,
    coefficients: Float,
    norm: float,
    residual: float,
    iterations: int,
    tol: float,
) -> MinimumNorm:
    reached = bool(residual <= tol * np.abs(targets).max())
    remedy = (
        "the labels are not linear in X"
        if kernel is _linear
        else "the kernel matrix is too ill-conditioned: lower the bandwidth, take 'laplace', or allow more iterations"
    )
    message = f"interpolates to {residual:.1e}" if reached else f"residual {residual:.1e}: {remedy}"
    weights = coefficients[:, 0] if single else coefficients
    return MinimumNorm(weights, norm, residual, iterations, Status(reached, message), x, kernel)


def _linear(A: Float, B: Float) -> Float:
    return A @ B.T


def _kernel(kernel: str | Kernel, bandwidth: float | None, x: Float) -> Kernel:
    if callable(kernel):
        given, expected = np.shape(kernel(x[:1], x[:2])), (1, min(2, len(x)))
        if given != expected:
            raise ValueError(f"`kernel` gave shape {given} for 1 and {expected[1]} points; expected {expected}")
        return kernel
    if kernel not in ("gaussian", "laplace"):
        raise ValueError(f"`kernel` is {kernel!r}; expected 'gaussian', 'laplace' or a function of two sets of points")
    if bandwidth is None:
        some = x[:: max(1, len(x) // 500)][:500]
        distances = pdist(some)
        h = float(np.median(distances)) if len(distances) else 1.0
    else:
        h = as_real("bandwidth", bandwidth)
    if h == 0:
        raise ValueError("`bandwidth` is 0; expected a number > 0")
    power = 2 if kernel == "gaussian" else 1

    def evaluate(A: Float, B: Float) -> Float:
        squares = (A * A).sum(axis=1)[:, None] + (B * B).sum(axis=1) - 2.0 * (A @ B.T)
        np.maximum(squares, 0.0, out=squares)
        values: Float = np.exp(-squares / (2 * h * h)) if power == 2 else np.exp(-np.sqrt(squares) / h)
        return values

    return evaluate


def _product(kernel: Kernel, A: Float, B: Float, coefficients: Float) -> Float:
    """Return k(A, B) coefficients, a block of rows at a time."""
    if kernel is _linear:
        return np.asarray(A @ (B.T @ coefficients))
    out, rows = np.empty((len(A), *coefficients.shape[1:])), max(1, BLOCK_ENTRIES // len(B))
    for first in range(0, len(A), rows):
        out[first : first + rows] = kernel(A[first : first + rows], B) @ coefficients
    return out


def _solve(K: Float, targets: Float) -> Float:
    """Return K^-1 targets for a positive definite K, else by the pseudo-inverse."""
    try:
        factor = scipy.linalg.cho_factor(K, lower=True)
        solution: Float = scipy.linalg.cho_solve(factor, targets)
        # One step of refinement: the residual of an ill-conditioned system is cheap to take off.
        return solution + scipy.linalg.cho_solve(factor, targets - K @ solution)
    except scipy.linalg.LinAlgError:
        values, vectors = scipy.linalg.eigh(K)
        kept = values > len(K) * np.finfo(float).eps * values[-1]
        return vectors[:, kept] @ ((vectors[:, kept].T @ targets) / values[kept, None])


def _conjugate_gradients(
    kernel: Kernel, x: Float, targets: Float, tol: float, most: int, progress: Progress | None
) -> tuple[Float, int]:
    """Return coefficients and iterations; the targets go in lockstep, so that they share every product."""
    solution, residual = np.zeros_like(targets), targets.copy()
    step, square, goal = residual.copy(), (residual**2).sum(axis=0), tol * np.abs(targets).max()
    for iteration in range(most):
        if not np.abs(residual).max() > goal / 2:
            return solution, iteration
        product = _product(kernel, x, x, step)
        curvature = (step * product).sum(axis=0)
        length = np.divide(square, curvature, out=np.zeros_like(square), where=curvature > 0)
        solution += length * step
        residual -= length * product
        before, square = square, (residual**2).sum(axis=0)
        step = residual + np.divide(square, before, out=np.zeros_like(square), where=before > 0) * step
        if progress is not None:
            progress(iteration + 1, most)
    return solution, most
