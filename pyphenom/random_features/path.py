"""Regression on nested features: every width from one pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyphenom import _core
from pyphenom._arrays import Float, Progress, as_float, as_integer, as_real, one_of
from pyphenom.random_features.features import _draw, apply

RIDGE_SCALINGS = ("fixed", "width")
ILL_CONDITIONED = 1e8
"""Condition number up to which predictions are promised to a relative error of 1e-8."""

_PER_TARGET = ("train_error", "test_error", "coefficient_norm", "leave_one_out_error")
_PER_WIDTH = ("degrees_of_freedom", "condition", "rank")


@dataclass(frozen=True, eq=False)
class WidthPath:
    """Statistics of a regression at each width asked for, in the order asked for.

    Arrays marked (W[, T]) have a second axis when ``y`` was two-dimensional.

    Attributes
    ----------
    widths : array of int (W,)
        Number of features N.
    train_error, test_error : array (W[, T])
        Mean squared residual on the training set, mean squared error on the test set.
    coefficient_norm : array (W[, T])
        Euclidean norm of the coefficients.
    degrees_of_freedom : array (W,)
        Trace of the hat matrix, the map from y to the fitted values.
    leave_one_out_error : array (W[, T])
        Mean square of y_i minus the prediction of the same estimator fitted without sample i (PRESS / n; the
        penalty P is held). Exact, from the factorisation; past the threshold too.
    condition : array (W,)
        Frobenius condition number |A| |A^+| of the system that was factorised, over its numerical rank: between the
        2-norm condition number and rank times it, so a safe estimate from above; errors are of the order of the
        machine epsilon times it. A = Z_N without a penalty. With one, A = [Z, sqrt(P) I] where the n x n dual is
        used (N > n, and every width where P >= 1e-8 |Z|^2 and the widths reach n), else A = [Z; sqrt(P) I].
    rank : array of int (W,)
        Numerical rank of the features, at a relative tolerance of max(n, 100) machine epsilons (float32 features: 16
        of theirs); with a penalty min(n, N).
    status : array of str (W,)
        ``"ok"``; ``"ill-conditioned"`` where `condition` exceeds 1e8, so predictions may be off by more than 1e-8;
        ``"rank-deficient"`` where the rank is below min(n, N): the minimum-norm solution over that rank.
    predictions : array (W, m[, T]) or None
        Of the test points, where asked for.
    """

    widths: NDArray[np.int64]
    train_error: Float
    test_error: Float
    coefficient_norm: Float
    degrees_of_freedom: Float
    leave_one_out_error: Float
    condition: Float
    rank: NDArray[np.int64]
    status: NDArray[np.str_]
    predictions: Float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __repr__(self) -> str:
        count = len(self.widths)
        troubled = int((self.status != "ok").sum())
        span = f"{self.widths.min()}..{self.widths.max()}"
        note = f", {troubled} not ok (see .status)" if troubled else ""
        return f"WidthPath({count} widths in {span}, best test error {np.min(self.test_error):.4g}{note})"


def width_path(
    X: Any,
    y: Any,
    X_test: Any,
    y_test: Any,
    widths: Iterable[int],
    activation: str = "relu",
    ridge: float = 0.0,
    seed: int = 0,
    *,
    ridge_scaling: str = "fixed",
    distribution: str = "gaussian",
    bias_scale: float = 0.0,
    predictions: bool = False,
    progress: Progress | None = None,
) -> WidthPath:
    r"""Random-feature regression at every width of `widths`, in one pass over the features.

    .. math:: \hat a_N = \arg\min_a |y - Z_N a|^2 + P_N |a|^2,\qquad Z_N = \sigma(X W_{:,1..N}/\sqrt d + b_{1..N})

    with :math:`P_N = n\lambda` (``ridge_scaling="fixed"``) or :math:`P_N = n\lambda N/d` (``"width"``, the scaling
    of Mei and Montanari, eq. 3), :math:`\lambda` = `ridge`. ``ridge=0`` is the minimum-norm least-squares solution,
    below and above the interpolation threshold N = n.

    Parameters
    ----------
    X : array or CPU tensor (n, d)
        Training inputs. float32 features are generated in float32; the regression always runs in float64.
    y : array (n,) or (n, T)
        Targets; several targets or label-noise replicas as columns cost little more than one.
    X_test, y_test : arrays (m, d) and (m,), (m, 1) or (m, T)
    widths : iterable of int
        In any order, repeats allowed; everything up to the largest is computed in any case.
    activation, seed, distribution, bias_scale
        See `features`.
    ridge : float
        :math:`\lambda \ge 0`.
    ridge_scaling : {"fixed", "width"}
        With ``"width"`` and ridge > 0 the widths are not nested: each is factorised on its own.
    predictions : bool
        Keep the predictions of the test points.
    progress : callable (done, total), optional
        Called after every block with the widths done. Ctrl-C stops within one block.

    Returns
    -------
    WidthPath

    Raises
    ------
    ValueError, TypeError
        Before any work, for bad input; the message names the argument, what came, and the remedy.

    Notes
    -----
    Cost: O(min(n, N)(n + m)) a width in matrix products; memory O(n min(n, N) + m min(n, N)), whatever the number
    of features. Predictions agree with a least-squares solution by SVD to a relative 1e-8 wherever `condition` is at
    most 1e8. One pass serves all widths because a QR factorisation is nested in its columns, and past the
    threshold an appended feature changes the factor of its transpose by one row.

    References
    ----------
    Mei and Montanari, "The generalization error of random features regression", CPAM 2022.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X, X_test, beta = rng.standard_normal((50, 10)), rng.standard_normal((200, 10)), rng.standard_normal(10)
    >>> y = X @ beta + rng.standard_normal(50)
    >>> path = width_path(X, y, X_test, X_test @ beta, widths=range(1, 201))
    >>> bool(path.test_error[49] > 3 * path.test_error[199])  # the peak at N = n
    True
    """
    x, x_test = as_float("X", X, (2,), keep_float32=True), as_float("X_test", X_test, (2,), keep_float32=True)
    if x_test.shape[1] != x.shape[1]:
        raise ValueError(
            f"`X_test` has {x_test.shape[1]} columns; expected {x.shape[1]}, as many as `X`. Give both the same inputs"
        )
    x_test = x_test.astype(x.dtype, copy=False)
    targets = _Targets(y, y_test, x.shape[0], x_test.shape[0])
    asked = _widths(widths)
    d = x.shape[1]
    ridge = as_real("ridge", ridge)
    # Draw one feature now: bad arguments fail before any work.
    _draw(d, 1, activation, seed, distribution, bias_scale, 0, x.dtype, d**-0.5)

    def block(first: int, count: int) -> tuple[Float, Float]:
        W, b = _draw(d, count, activation, seed, distribution, bias_scale, first, x.dtype, d**-0.5)
        return apply(x, W, b, activation, bias_scale), apply(x_test, W, b, activation, bias_scale)

    return _path(
        block, targets, asked, ridge, one_of("ridge_scaling", ridge_scaling, RIDGE_SCALINGS), d, predictions, progress
    )


def nested_path(
    Z: Any,
    y: Any,
    Z_test: Any,
    y_test: Any,
    widths: Iterable[int],
    ridge: float = 0.0,
    *,
    ridge_scaling: str = "fixed",
    predictions: bool = False,
    progress: Progress | None = None,
) -> WidthPath:
    r"""Regression on the first N columns of a given matrix, at every width of `widths`.

    The estimator of `width_path` with :math:`Z_N` the first N columns of `Z`; with ``ridge_scaling="width"`` the
    penalty is :math:`P_N = n\lambda N`.

    Parameters
    ----------
    Z : array or CPU tensor (n, N)
        Features of the training samples.
    y : array (n,) or (n, T)
    Z_test, y_test : arrays (m, N) and (m,), (m, 1) or (m, T)
    widths : iterable of int
        At most N.
    ridge, ridge_scaling, predictions, progress
        See `width_path`.

    Returns
    -------
    WidthPath

    Raises
    ------
    ValueError, TypeError
        Before any work, for bad input; the message names the argument, what came, and the remedy.

    Examples
    --------
    The linear regression of Belkin, Hsu and Xu: coordinates of a Gaussian vector as nested features. The identity as
    test points makes the test error the squared distance of the coefficients from the truth, over the dimension.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X, beta = rng.standard_normal((40, 100)), np.full(100, 0.1)
    >>> path = nested_path(X, X @ beta, np.eye(100), beta, widths=[10, 40, 100])
    >>> [round(float(v), 1) for v in 100 * path.test_error]
    [1.0, 181.6, 0.6]
    """
    z, z_test = as_float("Z", Z, (2,)), as_float("Z_test", Z_test, (2,))
    if z_test.shape[1] != z.shape[1]:
        raise ValueError(
            f"`Z_test` has {z_test.shape[1]} columns; expected {z.shape[1]}, as many as `Z`. Give both equal features"
        )
    targets = _Targets(y, y_test, z.shape[0], z_test.shape[0])
    asked = _widths(widths)
    if asked.max() > z.shape[1]:
        raise ValueError(f"`widths` reaches {asked.max()}; expected at most {z.shape[1]}, the number of columns of `Z`")

    def block(first: int, count: int) -> tuple[Float, Float]:
        return z[:, first : first + count], z_test[:, first : first + count]

    ridge_scaling = one_of("ridge_scaling", ridge_scaling, RIDGE_SCALINGS)
    return _path(block, targets, asked, as_real("ridge", ridge), ridge_scaling, 1, predictions, progress)


class _Targets:
    """The checked targets, one a row as the kernel wants them, scaled to be near 1 where they were extreme."""

    def __init__(self, y: Any, y_test: Any, n: int, m: int) -> None:
        train, test = as_float("y", y, (1, 2)), as_float("y_test", y_test, (1, 2))
        self.single = train.ndim == 1
        for name, array, rows, matrix in (("y", train, n, "X"), ("y_test", test, m, "X_test")):
            if array.shape[0] != rows:
                raise ValueError(f"`{name}` has {array.shape[0]} rows; expected {rows}, as many as `{matrix}`")
        train, test = train.reshape(n, -1), test.reshape(m, -1)
        if test.shape[1] not in (1, train.shape[1]):
            raise ValueError(f"`y_test` has {test.shape[1]} columns; expected 1 or {train.shape[1]}, as many as `y`")
        self.count = train.shape[1]
        self.scale = _scale(np.abs(train).max())
        self.train = np.ascontiguousarray(train.T / self.scale)
        self.test = np.ascontiguousarray(np.broadcast_to(test, (m, self.count)).T / self.scale)


def _scale(largest: float) -> float:
    """Return a power of two near `largest` where its square could overflow or vanish, else 1."""
    if largest == 0.0 or 1e-70 < largest < 1e70:
        return 1.0
    return float(2.0 ** np.clip(np.round(np.log2(largest)), -1000, 1000))


def _widths(widths: Iterable[int]) -> NDArray[np.int64]:
    if isinstance(widths, (int, np.integer)):
        widths = [int(widths)]
    if not isinstance(widths, Iterable) or isinstance(widths, (str, bytes)):
        raise TypeError(f"`widths` is {widths!r}; expected integers, for example range(1, 101)")
    asked = list(widths)
    if not asked:
        raise ValueError("`widths` is empty; expected at least one width, for example range(1, 101)")
    return np.array([as_integer(f"widths[{i}]", width, 1) for i, width in enumerate(asked)], dtype=np.int64)


def _path(
    block: Any,
    targets: _Targets,
    asked: NDArray[np.int64],
    ridge: float,
    ridge_scaling: str,
    dimension: int,
    keep_predictions: bool,
    progress: Progress | None,
) -> WidthPath:
    if progress is not None and not callable(progress):
        raise TypeError(f"`progress` is {progress!r}; expected a function of (done, total), or None")
    n, total = targets.train.shape[1], int(asked.max())
    wanted = np.unique(asked)
    start = block(0, min(total, 64))[0]
    scale, feature_dtype = _scale(float(np.abs(start).max())), start.dtype
    penalty = n * ridge / scale / scale
    collected: list[dict[str, Any]] = []

    def scaled(first: int, count: int) -> tuple[Float, Float]:
        train, test = (_rows_contiguous(part if scale == 1.0 else part / scale) for part in block(first, count))
        return train, test

    if ridge > 0 and (ridge_scaling == "width" or len(wanted) == 1):
        # Nothing is nested, or nothing is shared: a factorisation for each width.
        z, z_test = scaled(0, total)
        for done, width in enumerate(wanted, start=1):
            p = penalty * (float(width) / dimension if ridge_scaling == "width" else 1.0)
            collected.append(
                _core.ridge_fit(z[:, :width], targets.train, z_test[:, :width], targets.test, p, keep_predictions)
            )
            if progress:
                progress(done, len(wanted))
    else:
        path = _core.WidthPath(targets.train, targets.test, total, penalty, _dependence_tolerance(n, feature_dtype))
        size = _block_size(n, targets.test.shape[1], total)
        for first in range(0, total, size):
            count = min(size, total - first)
            rows = path.append(*scaled(first, count), keep_predictions)
            inside = wanted[(wanted > first) & (wanted <= first + count)] - first - 1
            collected.append({name: value[inside] for name, value in rows.items() if value is not None})
            if progress:
                progress(first + count, total)
    return _assemble(collected, wanted, asked, targets, scale, keep_predictions)


def _dependence_tolerance(n: int, dtype: np.dtype[Any]) -> float:
    """What rounding leaves of a dependent feature, relative to it: that of the factorisation or of the features."""
    if dtype == np.float32:
        return 16 * float(np.finfo(np.float32).eps)
    return max(n, 100) * float(np.finfo(np.float64).eps)


def _rows_contiguous(part: Float) -> Float:
    """Return `part` as the kernel takes it, without a copy where its rows are contiguous float64 already."""
    fits = part.dtype == np.float64 and part.strides[-1] == part.itemsize
    return part if fits else np.ascontiguousarray(part, np.float64)


def _block_size(n: int, m: int, total: int) -> int:
    """Features a block: about a second of work at most, so that Ctrl-C is heard, and no large temporary."""
    work = 6.0 * (n + m) * min(n, total)
    return int(np.clip(2e10 / work, 16, 256))


def _assemble(
    collected: Sequence[dict[str, Any]],
    wanted: NDArray[np.int64],
    asked: NDArray[np.int64],
    targets: _Targets,
    scale: float,
    keep_predictions: bool,
) -> WidthPath:
    n = targets.train.shape[1]
    order = np.searchsorted(wanted, asked)
    column: dict[str, Any] = {}
    for name in (*_PER_TARGET, *_PER_WIDTH):
        column[name] = np.concatenate([rows[name] for rows in collected])[order]
    with np.errstate(over="ignore", under="ignore"):
        for name in ("train_error", "test_error", "leave_one_out_error"):
            column[name] *= targets.scale * targets.scale if targets.scale != 1.0 else 1.0
        column["coefficient_norm"] *= targets.scale / scale
    column["rank"] = column["rank"].astype(np.int64)
    predicted = None
    if keep_predictions:
        predicted = (
            np.concatenate([rows["predictions"] for rows in collected])[order].transpose(0, 2, 1) * targets.scale
        )
    if targets.single:
        for name in _PER_TARGET:
            column[name] = column[name][:, 0]
        predicted = None if predicted is None else predicted[:, :, 0]
    status = np.where(
        column["rank"] < np.minimum(n, asked),
        "rank-deficient",
        np.where(column["condition"] > ILL_CONDITIONED, "ill-conditioned", "ok"),
    )
    return WidthPath(widths=asked, status=status, predictions=predicted, **column)
