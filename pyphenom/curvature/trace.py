"""Stochastic estimators of the trace, the diagonal and the log-determinant, with standard errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from pyphenom._arrays import Float, Progress, as_integer, one_of
from pyphenom.curvature.density import mean_of_orthonormal, spectral_density
from pyphenom.curvature.lanczos import Eigenpairs
from pyphenom.curvature.operator import as_operator

METHODS = ("hutchinson", "hutch++", "xtrace")
_AT_ONCE = 16  # probes a block product: more would only cost memory


@dataclass(frozen=True, eq=False)
class Estimate:
    """A stochastic estimate.

    Attributes
    ----------
    value : float or array (P,)
        Unbiased, but for the last digits of the precision.
    standard_error : float or array (P,)
        Of `value`, estimated from the spread over probes; 0 where nothing was left to chance.
    products : int
        Products with single vectors.
    """

    value: Any
    standard_error: Any
    products: int

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __repr__(self) -> str:
        if np.ndim(self.value):
            return f"Estimate(array of {len(self.value)}, {self.products} products)"
        return f"Estimate({self.value:.6g} +- {self.standard_error:.2g}, {self.products} products)"


def trace(
    operator: Any, method: str = "hutch++", products: int = 60, seed: int = 0, *, progress: Progress | None = None
) -> Estimate:
    r"""Trace of a symmetric operator.

    ``"hutchinson"``: the mean of :math:`z^\top A z` over random signs z. ``"hutch++"``: :math:`\mathrm{tr}(Q^\top AQ)`
    with an orthonormal Q that spans the image of random vectors, and Hutchinson's estimate of what is outside Q.
    ``"xtrace"``: the same with every random vector in both roles, left out of Q when it is the probe. With `products`
    at least P, the coordinates are probed one by one and the trace is exact.

    Parameters
    ----------
    operator : Operator, SciPy LinearOperator, numpy or sparse matrix (P, P)
        Symmetric. One with a `Reduced` form is probed in that form, which has the same trace.
    method : {"hutchinson", "hutch++", "xtrace"}
        ``"hutch++"`` for a Hessian, of which few eigenvalues dominate: its error falls as 1/products there, at the cost
        of a third of `products` vectors in memory. ``"xtrace"`` is the more accurate, often several times, where the
        eigenvalues fall fast, and needs twice the half. ``"hutchinson"`` for a flat spectrum, of which a sketch catches
        nothing, or where no vectors can be kept: the error falls as products^(-1/2).
    products : int
        Products with single vectors, at least 6; the number used is the next below that the method can share out.
    seed : int
        Of the probes.
    progress : callable (products, total), optional
        Called after every block of products. Ctrl-C stops there.

    Returns
    -------
    Estimate

    Raises
    ------
    ValueError, TypeError
        For bad input, before any work; or if a product is not finite.

    References
    ----------
    Meyer, Musco, Musco and Woodruff, "Hutch++: optimal stochastic trace estimation", SOSA 2021, algorithm 1; Epperly,
    Tropp and Webber, "XTrace: making the most of every sample in stochastic trace estimation", SIMAX 2024, section 2.

    Examples
    --------
    >>> import numpy as np
    >>> trace(np.diag([3.0, 2.0, 1.0]))
    Estimate(6 +- 0, 3 products)
    """
    method = one_of("method", method, METHODS)
    A = _Counted(operator, products, seed, progress, reduce=True)
    if products >= A.size:
        return Estimate(float(A.exact_diagonal().sum()), 0.0, A.used)
    samples, rest = {"hutchinson": _hutchinson, "hutch++": _hutch, "xtrace": _xtrace}[method](A, products)
    return Estimate(float(rest + samples.mean()), float(samples.std(ddof=1) / np.sqrt(len(samples))), A.used)


def diagonal(
    operator: Any, method: str = "hutchinson", products: int = 60, seed: int = 0, *, progress: Progress | None = None
) -> Estimate:
    r"""Diagonal of a symmetric operator.

    ``"hutchinson"``: the mean of :math:`z\odot Az` over random signs z. ``"hutch++"``: the diagonal of
    :math:`QQ^\top A` and Hutchinson's estimate of that of :math:`(I-QQ^\top)A`, with Q as in `trace`.

    Parameters
    ----------
    operator : Operator, SciPy LinearOperator, numpy or sparse matrix (P, P)
        Symmetric.
    method : {"hutchinson", "hutch++"}
        See above.
    products, seed, progress
        As in `trace`.

    Returns
    -------
    Estimate
        With arrays (P,).

    Raises
    ------
    ValueError, TypeError
        For bad input, before any work; or if a product is not finite.

    References
    ----------
    Bekas, Kokiopoulou and Saad, "An estimator for the diagonal of a matrix", Appl. Numer. Math. 2007.

    Examples
    --------
    >>> import numpy as np
    >>> diagonal(np.diag([3.0, 2.0, 1.0])).value
    array([3., 2., 1.])
    """
    method = one_of("method", method, METHODS[:2])
    A = _Counted(operator, products, seed, progress)
    if products >= A.size:
        return Estimate(A.exact_diagonal(), np.zeros(A.size), A.used)
    Q = A.image(products // 3) if method == "hutch++" else np.zeros((0, A.size))
    known = np.einsum("kp,kp->p", Q, A(Q)) if len(Q) else np.zeros(A.size)
    count = products - A.used
    mean, squares = np.zeros(A.size), np.zeros(A.size)
    for done, Z in A.signs(count):
        W = A(Z)
        for i, sample in enumerate(Z * (W - (W @ Q.T) @ Q), done + 1):  # Welford's recursion
            gap = sample - mean
            mean += gap / i
            squares += gap * (sample - mean)
    return Estimate(known + mean, np.sqrt(squares / (count * (count - 1))), A.used)


def logdet(
    operator: Any,
    probes: int = 10,
    steps: int = 80,
    seed: int = 0,
    *,
    deflate: int | Eigenpairs = 0,
    progress: Progress | None = None,
) -> Estimate:
    r"""Log-determinant :math:`\ln\det A=\mathrm{tr}\ln A` of a positive definite operator, by Lanczos quadrature.

    Parameters
    ----------
    operator : Operator, SciPy LinearOperator, numpy or sparse matrix (P, P)
        Symmetric, positive definite.
    probes, steps, seed, deflate, progress
        As in `spectral_density`. The quadrature's own error, not part of the standard error, falls geometrically in
        `steps` at a rate set by the square root of the condition number; with P probes and P steps nothing is left.

    Returns
    -------
    Estimate

    Raises
    ------
    ValueError
        If a Ritz value shows that the operator is not positive definite, or singular in its precision.
    TypeError
        If an argument is of the wrong kind.

    References
    ----------
    Ubaru, Chen and Saad, "Fast estimation of tr(f(A)) via stochastic Lanczos quadrature", SIMAX 2017.

    Examples
    --------
    >>> import numpy as np
    >>> round(float(np.exp(logdet(np.diag([1.0, 2.0, 4.0]), probes=3).value)), 10)
    8.0
    """
    operator = as_operator(operator)
    reduced = operator.reduced()
    if reduced is not None and reduced.operator.shape[0] < operator.shape[0]:
        raise ValueError(
            f"`operator` is exactly zero in {operator.shape[0] - reduced.operator.shape[0]} dimensions; expected a "
            "positive definite operator. Add a multiple of the identity, as in Operator(size, dtype, lambda V: "
            "operator.rows(V) + V)"
        )
    found = spectral_density(operator, probes, steps, seed, deflate=deflate, progress=progress)
    every = np.concatenate([found.nodes[found.weights > 0], found.outliers])
    if every.min() <= np.finfo(operator.dtype).eps * np.abs(every).max():
        raise ValueError(
            f"`operator` has the Ritz value {every.min():.3g} beside {np.abs(every).max():.3g}; expected a positive "
            "definite operator. Add a multiple of the identity"
        )
    each = np.array([w @ np.log(x) for x, w in zip(found.nodes, found.weights, strict=True)]) * found.size
    mean, error = mean_of_orthonormal(each, found.free)
    return Estimate(float(mean + np.log(found.outliers).sum()), float(error), found.matvecs)


class _Counted:
    """The operator in float64 blocks of rows, counting products, with the random vectors of one seed."""

    def __init__(
        self, operator: Any, products: int, seed: int, progress: Progress | None, reduce: bool = False
    ) -> None:
        operator = as_operator(operator)
        self._total, self._progress = as_integer("products", products, 6), progress
        self.rng = np.random.default_rng([as_integer("seed", seed, 0), 0x54])
        reduced = operator.reduced() if reduce else None
        operator = operator if reduced is None else reduced.operator
        self.size, self.dtype, self._product = operator.shape[0], operator.dtype, operator.rows
        self.used = 0

    def __call__(self, V: Float) -> Float:
        out = np.empty(V.shape)
        for i in range(0, len(V), _AT_ONCE):
            part = np.ascontiguousarray(V[i : i + _AT_ONCE], self.dtype)
            out[i : i + _AT_ONCE] = self._product(part)
            self.used += len(part)
            if self._progress is not None:
                self._progress(self.used, min(self._total, self.size))
        if not np.isfinite(out).all():
            raise ValueError("a product of `operator` is not finite; expected finite numbers")
        return out

    def signs(self, count: int) -> Any:
        """Yield blocks of rows of random signs with the number of rows before each."""
        for done in range(0, count, _AT_ONCE):
            rows = min(_AT_ONCE, count - done)
            yield done, 2.0 * self.rng.integers(0, 2, (rows, self.size)) - 1.0

    def image(self, count: int) -> Float:
        """Return orthonormal rows that span the images of `count` random vectors."""
        return np.ascontiguousarray(np.linalg.qr(self(self.rng.standard_normal((count, self.size))).T)[0].T)

    def exact_diagonal(self) -> Float:
        out = np.empty(self.size)
        for i in range(0, self.size, _AT_ONCE):
            rows = np.arange(i, min(i + _AT_ONCE, self.size))
            Z = np.zeros((len(rows), self.size))
            Z[np.arange(len(rows)), rows] = 1.0
            out[rows] = self(Z)[np.arange(len(rows)), rows]
        return out


def _hutchinson(A: _Counted, products: int) -> tuple[Float, float]:
    return np.concatenate([np.einsum("kp,kp->k", Z, A(Z)) for _, Z in A.signs(products)]), 0.0


def _hutch(A: _Counted, products: int) -> tuple[Float, float]:
    Q = A.image(products // 3)
    inside = float(np.einsum("kp,kp->", Q, A(Q)))
    samples = []
    for _, Z in A.signs(products - A.used):
        outside = Z - (Z @ Q.T) @ Q
        samples.append(np.einsum("kp,kp->k", outside, A(outside)))
    return np.concatenate(samples), inside


def _xtrace(A: _Counted, products: int) -> tuple[Float, float]:
    # Omega A = R Q with orthonormal rows Q. Without row i, the rows of Omega A span those of Q less the direction s_i
    # that is orthogonal to every other row of R: the normalised row i of R^-T. Where R is singular, nothing is lost.
    count = products // 2
    Omega = A.rng.standard_normal((count, A.size))
    q, r = np.linalg.qr(A(Omega).T)
    Q, R = np.ascontiguousarray(q.T), r.T
    Z = A(Q)
    singular = np.linalg.svd(R, compute_uv=False)
    regular = bool(singular[-1] > 100 * np.finfo(A.dtype).eps * singular[0])
    S = np.linalg.inv(R).T if regular else np.zeros_like(R)
    S /= np.linalg.norm(S, axis=1, keepdims=True) if regular else 1.0
    H, W, T = Z @ Q.T, Omega @ Q.T, Omega @ Z.T
    G = W - S * np.einsum("ij,ij->i", S, W)[:, None]  # coordinates in Q of the part of omega_i inside the reduced span
    dot: Callable[[Float, Float], Float] = lambda a, b: np.einsum("ij,ij->i", a, b)  # noqa: E731
    # mu = omega - G Q is the part outside; its length is set to that of a unit normal vector there.
    quadratic = dot(W, R) - dot(T, G) - dot(G, R) + dot(G @ H, G)
    lengths = dot(Omega, Omega) - dot(G, G)
    return np.trace(H) - dot(S @ H, S) + quadratic * (A.size - count + regular) / lengths, 0.0
