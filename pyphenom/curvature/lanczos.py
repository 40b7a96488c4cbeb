"""Extreme eigenpairs of a symmetric operator: block Lanczos with thick restart."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from pyphenom import _core
from pyphenom._arrays import Float, Progress, as_float, as_integer, as_real, one_of
from pyphenom.curvature.operator import Reduced, as_operator
from pyphenom.random_features.features import threads

WHICH = ("LA", "SA", "LM", "BE")
MISS_PROBABILITY = 1e-3
"""Accepted that a copy of a multiple eigenvalue stays unseen."""
PRECISION_FLOOR = 4
"""Machine epsilons below which no residual can be trusted, let alone asked for."""


@dataclass(frozen=True)
class Status:
    """How a computation ended.

    Attributes
    ----------
    converged : bool
        Whether everything asked for was reached.
    message : str
        What was reached, and what to do where it is less than asked for.
    """

    converged: bool
    message: str

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, eq=False)
class Eigenpairs:
    r"""Eigenpairs of a symmetric operator, with the residual of each.

    Attributes
    ----------
    values : array (k,)
        Largest first for LA and BE, smallest first for SA, largest in magnitude first for LM; float64.
    vectors : array (P, k)
        Orthonormal columns, in the operator's dtype. ``v0=previous.vectors`` starts the next call from them.
    residuals : array (k,)
        :math:`|A v_i - \lambda_i v_i|`, or up to a tenth of the tolerance more where the basis had to be cut. Some
        eigenvalue lies within it of :math:`\lambda_i`; where the others are :math:`\gamma` away, the error of
        :math:`\lambda_i` is at most its square over :math:`\gamma`.
    matvecs : int
        Products with single vectors.
    restarts : int
        How often the basis was full.
    miss_probability : float
        Bound on the probability that a further copy of a multiple eigenvalue should be among the k and is not; 0 where
        none could be; 1 where it was not looked for.
    dimension : int
        Length of the vectors that the solver worked on: P, or R where the operator has a `Reduced` form.
    status : Status
        Whether all k converged, and what to do if not.
    """

    values: Float
    vectors: Float
    residuals: Float
    matvecs: int
    restarts: int
    miss_probability: float
    dimension: int
    status: Status

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __repr__(self) -> str:
        shown = ", ".join(f"{value:.6g}" for value in self.values[:6]) + (", ..." if len(self.values) > 6 else "")
        note = "" if self.status.converged else "; not converged (see .status)"
        return f"Eigenpairs([{shown}], residuals <= {self.residuals.max():.1e}, {self.matvecs} products{note})"


def eigsh(
    operator: Any,
    k: int = 1,
    which: str = "LA",
    tol: float = 1e-6,
    v0: Any = None,
    *,
    block: int = 1,
    copies: bool = True,
    basis_size: int | None = None,
    max_bytes: int | None = None,
    max_products: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Eigenpairs:
    r"""Extreme eigenpairs :math:`A v_i = \lambda_i v_i` of a symmetric operator, multiplicities included.

    A pair has converged when :math:`|A v_i - \lambda_i v_i| \le \text{tol}\cdot\max_j|\theta_j|`, the largest
    magnitude among the Ritz values found, an estimate of :math:`|A|` from below.

    Parameters
    ----------
    operator : Operator, SciPy LinearOperator, numpy or sparse matrix (P, P)
        Symmetric; anything else shows in the residuals and the status. float32 operators keep a float32 basis; all that
        is summed over P, and the projected problem, are in float64.
    k : int
        How many pairs, at most P. An eigenvalue of multiplicity m counts m times.
    which : {"LA", "SA", "LM", "BE"}
        Largest or smallest algebraic, largest in magnitude, or both ends: half of k from each, one more from the upper.
    tol : float
        At least four machine epsilons of the operator's dtype.
    v0 : array (P,) or (P, b), optional
        Start vectors, such as the eigenvectors of a nearby operator; they may be dependent or zero. Up to three per
        cent of noise are mixed in, so that eigenvectors of other eigenvalues do not end the computation; at a
        tolerance above 1e-4 / sqrt(P) that is no safeguard any more: to follow an eigenvalue that others may overtake,
        pass two or more of the best.
    block : int
        Vectors a product. With 1 the products are fewest; with more each may be cheaper.
    copies : bool
        Whether to look for further copies of multiple eigenvalues, which a Krylov space of one vector never shows: some
        products more, and none for k = 1.
    basis_size : int, optional
        Vectors held at once; 48 + b or 2 k + 24 + b unless given.
    max_bytes : int, optional
        Limit on the memory of the basis, which is made smaller to fit.
    max_products : int, optional
        Products with single vectors; 1000 + 100 k unless given.
    seed : int
        Of the random vectors. The same seed and number of threads give the same result to the bit.
    progress : callable (products, total), optional
        Called after every product, with 0 for the total, which is not known. Ctrl-C stops after the product under way.

    Returns
    -------
    Eigenpairs

    Raises
    ------
    ValueError
        If k exceeds P, `tol` is below the precision of the dtype, the basis is too small, or a product is not finite.
    TypeError
        If an argument is of the wrong kind.

    Notes
    -----
    Full two-pass reorthogonalisation, Rayleigh-Ritz after every few products, thick restart with the best half of the
    Ritz vectors. After convergence, Lanczos goes on from a random vector in the complement of the basis until a copy
    shows itself, or until the orthogonal polynomials of that sequence bound the probability of a hidden one by 1e-3.
    That takes as many products as amplify a random vector in the direction of a copy by 1e3 sqrt(P); since the bound is
    attained by some spectrum, fewer cannot tell.

    An operator with a `Reduced` form, such as the Hessian of a network with more inputs than samples, is solved in that
    form, and its zeros are counted in.

    References
    ----------
    Wu and Simon, "Thick-restart Lanczos method for large symmetric eigenvalue problems", SIMAX 2000.

    Examples
    --------
    >>> import numpy as np
    >>> pairs = eigsh(np.diag([-5.0, 1.0, 2.0, 2.0]), k=2)
    >>> pairs.values.round(10)
    array([2., 2.])
    >>> eigsh(np.diag([-5.0, 1.0, 2.0, 2.0]), k=1, which="LM").values.round(10)
    array([-5.])
    """
    operator = as_operator(operator)
    size, dtype = operator.shape[0], operator.dtype
    k = as_integer("k", k, 1, size)
    which = one_of("which", which, WHICH)
    tol = _tolerance(tol, dtype)
    start = _start(v0, size, dtype)
    block = as_integer("block", block, 1, size)
    most = 1000 + 100 * k if max_products is None else as_integer("max_products", max_products, 1)
    seed = as_integer("seed", seed, 0, 2**64 - 1)
    reduced = operator.reduced()
    inner = operator if reduced is None else reduced.operator
    product, width = inner.rows, inner.shape[0]
    wanted, block = min(k, width), min(block, width)
    if reduced is not None:
        start = reduced.restrict(start)[:width]
    capacity = _capacity(width, dtype, wanted, len(start), block, basis_size, max_bytes)
    basis = np.empty((capacity, width), dtype)
    basis[: len(start)] = start
    done = 0

    def multiply(V: Float, out: Float) -> None:
        nonlocal done
        out[...] = product(V)
        done += len(V)
        if progress is not None:
            progress(done, 0)

    accepted = MISS_PROBABILITY if copies else 1.0
    found = _core.lanczos(basis, len(start), multiply, wanted, which, tol, block, most, accepted, seed, threads())
    values, residuals, rows = np.array(found["values"]), np.array(found["residuals"]), basis[: len(found["values"])]
    if reduced is not None:
        rows = reduced.lift(rows)
        if len(values) == wanted:
            count = min(k, size - width)
            values, residuals = np.append(values, np.zeros(count)), np.append(residuals, np.zeros(count))
            found["converged"] += k - wanted
    order = _ranked(values, which, k)
    zeros = order >= len(rows)
    if zeros.any():
        assert reduced is not None
        null = _null_rows(reduced, int(zeros.sum()), size, dtype, seed)
        rows = np.concatenate([rows, null])
        order[zeros] = np.arange(len(rows) - len(null), len(rows))
        residuals[order[zeros]] = found["scale"] * np.linalg.norm(reduced.restrict(null), axis=1)
    return Eigenpairs(
        values=values[order],
        vectors=np.array(rows[order].T),
        residuals=residuals[order],
        matvecs=found["products"],
        restarts=found["restarts"],
        miss_probability=found["miss_probability"],
        dimension=width,
        status=_status(found, k, tol, most, accepted),
    )


def _ranked(values: Float, which: str, k: int) -> Any:
    """Return the places of the k that `which` asks for, in the order of the result."""
    key = {"LA": -values, "BE": -values, "SA": values, "LM": -np.abs(values)}[which]
    order = np.argsort(key, kind="stable")
    if which == "BE" and len(order) > k:
        return np.concatenate([order[: (k + 1) // 2], order[len(order) - k // 2 :]])
    return order[:k]


def _null_rows(reduced: Reduced, count: int, size: int, dtype: np.dtype[Any], seed: int) -> Float:
    """Return random orthonormal vectors that the operator sends to zero."""
    rows = np.random.default_rng([seed, 0x5A]).standard_normal((count, size)).astype(dtype)
    for _ in range(2):  # the second time without the rounding errors of what the first one has taken away
        rows -= reduced.lift(reduced.restrict(rows))
        rows = np.ascontiguousarray(np.linalg.qr(rows.T)[0].T)
    return rows


def _tolerance(tol: float, dtype: np.dtype[Any]) -> float:
    tol = as_real("tol", tol)
    floor = PRECISION_FLOOR * float(np.finfo(dtype).eps)
    if tol < floor:
        remedy = " or pass a float64 operator" if dtype == np.float32 else ""
        raise ValueError(f"`tol` is {tol:g}; expected at least {floor:.2g}, the precision of {dtype}. Raise it{remedy}")
    return tol


def _start(v0: Any, size: int, dtype: np.dtype[Any]) -> Float:
    if v0 is None:
        return np.empty((0, size), dtype)
    start = as_float("v0", v0, (1, 2), keep_float32=True)
    start = start.reshape(len(start), -1).T
    if start.shape[1] != size:
        raise ValueError(
            f"`v0` has {start.shape[1]} rows; expected {size}, the operator's size. Pass vectors as columns"
        )
    if len(start) > size:
        raise ValueError(f"`v0` has {len(start)} columns; expected at most {size}, the operator's size")
    # Units in which float32 squares neither overflow nor vanish; directions are all that counts.
    largest = np.abs(start).max(axis=1, keepdims=True)
    return np.asarray(start / np.where(largest > 0, largest, 1), dtype)


def _capacity(
    size: int, dtype: np.dtype[Any], k: int, start: int, block: int, basis_size: int | None, max_bytes: int | None
) -> int:
    least = int(_core.smallest_basis(size, k, start, block))
    capacity = max(least, min(size + block, max(48, 2 * k + 24) + max(start, block)))
    if basis_size is not None:
        capacity = as_integer("basis_size", basis_size, 1)
    if max_bytes is not None:
        capacity = min(capacity, as_integer("max_bytes", max_bytes, 1) // (size * dtype.itemsize))
    if capacity < least:
        raise ValueError(
            f"a basis of {capacity} vectors (`basis_size`, `max_bytes`) is too small; expected at least {least} "
            f"({least * size * dtype.itemsize} bytes) for k = {k}, {start} start vectors and block = {block}"
        )
    return capacity


def _status(found: dict[str, Any], k: int, tol: float, most: int, accepted: float) -> Status:
    limit = tol * found["scale"]
    if found["converged"] < k:
        missing = f"{found['converged']} of {k} pairs have residuals <= {limit:.3g} = tol * {found['scale']:.3g}"
        if found["drift"] > limit:
            return Status(
                False,
                f"{missing}; products contradict each other by {found['drift']:.3g}: rounding, or noise, or an "
                "operator that is not symmetric. Use float64 or a larger tol, and switch off dropout",
            )
        return Status(
            False,
            f"{missing} after {found['products']} products. Raise max_products or basis_size, or go on with "
            "v0=result.vectors",
        )
    if found["miss_probability"] > accepted:
        return Status(
            False,
            f"all {k} residuals are <= {limit:.3g}, but the search for copies of multiple eigenvalues ended after "
            f"{found['products']} products with a probability of up to {found['miss_probability']:.2g} that one is "
            "missing. Raise basis_size or max_products, or pass copies=False",
        )
    return Status(True, f"all {k} residuals are <= {limit:.3g} = tol * {found['scale']:.3g}")
