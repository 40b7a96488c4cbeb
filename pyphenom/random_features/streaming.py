"""Regression on random features of more samples than fit in memory: every width from one pass over the data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from pyphenom._arrays import Float, Progress, as_float, as_integer, as_real
from pyphenom.random_features._problem import checked_widths
from pyphenom.random_features.features import _draw, apply

_ROWS = 16384
"""Samples of one product at most: enough for the full rate, and a fraction of a second at a thousand features."""


@dataclass(frozen=True, eq=False, repr=False)
class StreamedPath:
    """Statistics of a ridge regression at each width asked for, in the order asked for.

    Arrays marked (W[, T]) have a second axis when ``y`` was two-dimensional.

    Attributes
    ----------
    widths : array of int (W,)
        Number of features N.
    samples : int
        Number of training samples n seen.
    train_error, test_error : array (W[, T])
        Mean squared residual on the training set, mean squared error on the test set.
    coefficient_norm : array (W[, T])
        Euclidean norm of the coefficients.
    degrees_of_freedom : array (W,)
        Trace of the hat matrix.
    generalised_cross_validation : array (W[, T])
        Training error over (1 - degrees of freedom / n)^2, an estimate of the test error.
    rounding : array (W,)
        Estimate of the relative error of the predictions, eps sqrt(N) max_i G_ii max_i ((G + P)^-1)_ii with G = Z'Z
        and eps that of the data's type; errors measured on float32 data stayed below it.
    status : array of str (W,)
        ``"ok"``; ``"ill-conditioned"`` where `rounding` exceeds 0.1; ``"breakdown"`` where the Gram matrix is not
        positive definite in this precision, and all numbers are NaN: use a ridge, or float64.
    """

    widths: NDArray[np.int64]
    samples: int
    train_error: Float
    test_error: Float
    coefficient_norm: Float
    degrees_of_freedom: Float
    generalised_cross_validation: Float
    rounding: Float
    status: NDArray[np.str_]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __repr__(self) -> str:
        bad = int((self.status != "ok").sum())
        extent = f"{len(self.widths)} widths in {self.widths.min()}..{self.widths.max()}, {self.samples} samples"
        return f"StreamedPath({extent}{f', {bad} not ok (see .status)' if bad else ''})"


def streamed_path(
    blocks: Iterable[tuple[Any, Any]] | tuple[Any, Any],
    X_test: Any,
    y_test: Any,
    widths: Iterable[int],
    activation: str = "relu",
    ridge: float = 1e-6,
    seed: int = 0,
    *,
    distribution: str = "gaussian",
    bias_scale: float = 0.0,
    memory: int = 2**30,
    progress: Progress | None = None,
) -> StreamedPath:
    r"""Ridge regression on the first N random features, :math:`N \le n`, from one pass over the training data.

    The estimator of `width_path`, :math:`\hat a_N = (Z_N^\top Z_N + n\lambda I)^{-1}Z_N^\top y`, by the normal
    equations: :math:`Z^\top Z` and :math:`Z^\top y` are summed over blocks in float64, and one Cholesky factor
    :math:`LL^\top` of the largest width holds those of all smaller ones. Products are formed in the type of the data.

    Parameters
    ----------
    blocks : (X, y), or iterable of (X_block, y_block)
        Training data: two arrays or memory maps, which are read in slices, or an iterable of such pairs, which is
        read once. X (n, d) and y (n,) or (n, T); float32 stays float32.
    X_test, y_test : arrays (m, d) and (m,) or (m, T)
        Test points, in memory.
    widths : iterable of int
        In any order; everything up to the largest is computed.
    activation, seed, distribution, bias_scale
        As in `features`; equal to the bit in their weights.
    ridge : float
        :math:`\lambda \ge 0`, scaled by n.
    memory : int
        Bytes that the matrices may take, beside the data that are given.
    progress : callable (done, total), optional
        Called after every block with the samples done and their number (0 where an iterable does not tell). Ctrl-C
        stops within one block.

    Returns
    -------
    StreamedPath

    Raises
    ------
    ValueError, TypeError
        For bad input, before any work or at the block that holds it; for a memory that the N x N matrices exceed.

    Notes
    -----
    Normal equations square the condition number, so a small ridge costs digits: see `StreamedPath.rounding`. Where
    the data fit in memory `width_path` is the accurate way, knows widths above n, and leave-one-out errors.

    References
    ----------
    Golub and Van Loan, Matrix Computations, Section 5.3.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X, X_test = rng.standard_normal((5000, 4)), rng.standard_normal((1000, 4))
    >>> path = streamed_path((X, np.abs(X[:, 0])), X_test, np.abs(X_test[:, 0]), [10, 100, 400], ridge=1e-6)
    >>> bool(path.test_error[0] > 10 * path.test_error[2]), path.samples
    (True, 5000)
    """
    asked, ridge = checked_widths(widths), as_real("ridge", ridge)
    memory, largest = as_integer("memory", memory, 1), int(asked.max())
    x_test, targets = as_float("X_test", X_test, (2,), keep_float32=True), as_float("y_test", y_test, (1, 2))
    if len(targets) != len(x_test):
        raise ValueError(f"`y_test` has {len(targets)} rows; expected {len(x_test)}, as many as `X_test`")
    if progress is not None and not callable(progress):
        raise TypeError(f"`progress` is {progress!r}; expected a function of (done, total), or None")
    law = (activation, seed, distribution, bias_scale)
    rows = _rows_within(memory, largest, x_test.shape[1])

    sums = _Sums(x_test.shape[1], largest, targets, law)
    for X, y, total in _slices(blocks, rows):
        sums.add(X, y)
        if progress:
            progress(sums.samples, total)
    if sums.samples == 0:
        raise ValueError("`blocks` is empty; expected at least one pair (X, y); an iterator can be read only once")
    if sums.samples < largest:
        raise ValueError(
            f"`widths` reaches {largest}; expected at most {sums.samples}, the number of samples. Use width_path"
        )
    return _path(sums, x_test, targets.reshape(len(targets), -1), asked, ridge, rows)


def _rows_within(memory: int, width: int, d: int) -> int:
    """Return the samples of a product, such that their features fit beside three N x N matrices."""
    fixed = 3 * 8 * width * width + 8 * width * d
    rows = (memory - fixed) // (8 * (width + d))
    if rows < min(256, width):
        needed = fixed + 256 * 8 * (width + d)
        raise ValueError(
            f"`memory` is {memory} bytes; expected at least {needed} for {width} features. Raise it, or fewer `widths`"
        )
    return int(min(rows, _ROWS))


def _slices(blocks: Any, rows: int) -> Iterator[tuple[Any, Any, int]]:
    """Pieces of at most `rows` samples, and the total number of samples where it is known."""
    whole = isinstance(blocks, tuple) and len(blocks) == 2 and hasattr(blocks[0], "shape")
    if not whole and not isinstance(blocks, Iterable):
        raise TypeError(f"`blocks` is {type(blocks).__name__}; expected (X, y), or an iterable of such pairs")
    for block in [blocks] if whole else blocks:
        if not (isinstance(block, Sequence) and len(block) == 2):
            raise TypeError(f"`blocks` holds a {type(block).__name__}; expected pairs (X, y)")
        X, y = block
        if not (hasattr(X, "shape") and hasattr(y, "shape")) or len(X) != len(y):
            raise ValueError("`blocks` holds X and y of different lengths, or no arrays; expected one label a sample")
        for first in range(0, len(X), rows):
            yield X[first : first + rows], y[first : first + rows], len(X) if whole else 0


class _Sums:
    """Z'Z (upper triangle), Z'y and y'y, summed over blocks in float64."""

    def __init__(self, d: int, width: int, y_test: Float, law: tuple[str, int, str, float]) -> None:
        self.d, self.law, self.single, self.samples = d, law, y_test.ndim == 1, 0
        self.count = 1 if self.single else y_test.shape[1]
        self.gram = np.zeros((width, width), order="F")
        self.cross, self.squares = np.zeros((width, self.count)), np.zeros(self.count)
        self.product: Float | None = None
        self.dtype: np.dtype[Any] | None = None
        # Bad arguments fail before any work.
        self.draw(1, np.dtype(np.float64))

    def draw(self, width: int, dtype: np.dtype[Any]) -> tuple[Float, Float]:
        activation, seed, distribution, bias_scale = self.law
        return _draw(self.d, width, activation, seed, distribution, bias_scale, 0, dtype, self.d**-0.5)

    def features(self, X: Float) -> Float:
        """Return the features of a block, one a row."""
        activation, _, _, bias_scale = self.law
        W, b = self.weights
        return apply(X, W, b, activation, bias_scale, np.empty((len(self.gram), len(X)), X.dtype))

    def add(self, X: Any, y: Any) -> None:
        x = as_float("X", X, (2,), keep_float32=True)
        labels = as_float("y", y, (1, 2))
        if x.shape[1] != self.d:
            raise ValueError(f"`X` has {x.shape[1]} columns; expected {self.d}, as many as `X_test`")
        labels = labels.reshape(len(labels), -1)
        if labels.shape[1] != self.count:
            raise ValueError(f"`y` has {labels.shape[1]} columns; expected {self.count}, as many as `y_test`")
        if self.dtype is None:
            self.dtype, self.weights = x.dtype, self.draw(len(self.gram), x.dtype)
            self.product = np.zeros_like(self.gram, dtype=x.dtype)
        Z = self.features(np.ascontiguousarray(x, self.dtype))
        syrk = scipy.linalg.blas.ssyrk if self.dtype == np.float32 else scipy.linalg.blas.dsyrk
        self.product = syrk(1.0, Z.T, trans=1, c=self.product, beta=0.0, overwrite_c=1)
        self.gram += self.product
        self.cross += Z @ labels.astype(self.dtype)
        self.squares += (labels**2).sum(axis=0)
        self.samples += len(x)


def _path(sums: _Sums, x_test: Float, y_test: Float, asked: NDArray[np.int64], ridge: float, rows: int) -> StreamedPath:
    assert sums.dtype is not None
    n, width, penalty = sums.samples, len(sums.gram), sums.samples * ridge
    sums.product = None
    if not (np.isfinite(sums.cross).all() and np.isfinite(np.diagonal(sums.gram)).all()):
        raise ValueError("the features overflow; expected inputs of moderate size. Scale `X`")
    largest = np.maximum.accumulate(np.diagonal(sums.gram))
    sums.gram[np.diag_indices(width)] += penalty
    factor, info = scipy.linalg.lapack.dpotrf(sums.gram, overwrite_a=1, clean=0)
    good = width if info == 0 else info - 1  # leading minors that are positive definite
    names = ("train_error", "test_error", "coefficient_norm", "generalised_cross_validation")
    column = {name: np.full((width, sums.count), np.nan) for name in names}
    df, rounding = np.full(width, np.nan), np.full(width, np.nan)
    if good:
        # With G + P = R'R: M = R^-1 is upper triangular, c = M'Z'y, and width N takes the first N of c.
        M = scipy.linalg.lapack.dtrtri(factor[:good, :good])[0]
        inverse_trace, largest_inverse = np.zeros(good), np.zeros(good)
        c, norm2 = np.zeros((good, sums.count)), np.zeros((good, sums.count))
        for j in range(good):
            inverse_trace[j] = M[: j + 1, j] @ M[: j + 1, j]
            c[j] = M[: j + 1, j] @ sums.cross[: j + 1]
        for first in range(0, good, 64):
            strip = np.triu(M[first : first + 64, first:])
            diagonal = np.cumsum(strip**2, axis=1).max(axis=0)  # of the inverse, for these features at each width
            largest_inverse[first:] = np.maximum(largest_inverse[first:], diagonal)
            for t in range(sums.count):
                norm2[first:, t] += (np.cumsum(strip * c[first:, t], axis=1) ** 2).sum(axis=0)
        inverse_trace = np.cumsum(inverse_trace)
        df[:good] = np.arange(1, good + 1) - penalty * inverse_trace
        steps = np.sqrt(np.arange(1.0, good + 1))
        rounding[:good] = float(np.finfo(sums.dtype).eps) * steps * largest[:good] * largest_inverse
        residual = np.maximum(sums.squares - np.cumsum(c**2, axis=0) - penalty * norm2, 0.0) / n
        column["train_error"][:good], column["coefficient_norm"][:good] = residual, np.sqrt(norm2)
        column["generalised_cross_validation"][:good] = residual / (1.0 - df[:good, None] / n) ** 2
        column["test_error"][:good] = _test_error(sums, x_test, y_test, M, c, rows)
    status = np.where(np.isnan(rounding), "breakdown", np.where(rounding > 0.1, "ill-conditioned", "ok"))
    at = asked - 1
    return StreamedPath(
        widths=asked,
        samples=n,
        degrees_of_freedom=df[at],
        rounding=rounding[at],
        status=status[at],
        **{name: value[at, 0] if sums.single else value[at] for name, value in column.items()},
    )


def _test_error(sums: _Sums, x_test: Float, y_test: Float, M: Float, c: Float, rows: int) -> Float:
    """Mean squared error at every width: predictions are sums over the first N columns of Z_test M."""
    total = np.zeros_like(c)
    assert sums.dtype is not None
    for first in range(0, len(x_test), min(rows, 512)):
        part = slice(first, first + min(rows, 512))
        Z = sums.features(np.ascontiguousarray(x_test[part], sums.dtype))[: len(c)].astype(np.float64)
        U = scipy.linalg.blas.dtrmm(1.0, M, Z, trans_a=1)
        for t in range(c.shape[1]):
            predicted = np.cumsum(U * c[:, t, None], axis=0)
            total[:, t] += ((predicted - y_test[part, t]) ** 2).sum(axis=1)
    return total / len(x_test)
