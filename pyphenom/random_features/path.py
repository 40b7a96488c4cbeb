"""Regression on nested features: every width from one pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyphenom import _core
from pyphenom._arrays import Float, Progress, as_float, as_numeric, as_real, one_of
from pyphenom.random_features._problem import Problem, Targets, checked_widths, dependence_tolerance, power_of_two_near
from pyphenom.random_features.features import _draw, apply, threads

RIDGE_SCALINGS = ("fixed", "width")
ILL_CONDITIONED = 1e8
"""Condition number up to which predictions are promised to a relative error of 1e-8."""

_PER_TARGET = ("train_error", "test_error", "coefficient_norm", "leave_one_out_error")
_PER_WIDTH = ("degrees_of_freedom", "condition", "rank")


@dataclass(frozen=True, eq=False)
class WidthPath:
    r"""Statistics of a regression at each width asked for, in the order asked for.

    Arrays marked (W[, T]) have a second axis when ``y`` was two-dimensional.

    Attributes
    ----------
    widths : array of int (W,)
        Number of features N.
    train_error, test_error : array (W[, T])
        Mean squared residual on the training set, mean squared error on the test set.
    coefficient_norm : array (W[, T])
        Euclidean norm of the coefficients. Past the threshold, under a tiny penalty, targets mostly outside the span
        of dependent features cost it digits that predictions keep.
    degrees_of_freedom : array (W,)
        Trace of the hat matrix, the map from y to the fitted values.
    leave_one_out_error : array (W[, T])
        Mean square of y_i minus the prediction of the same estimator fitted without sample i (PRESS / n; the
        penalty P is held). Exact, from the factorisation; past the threshold too.
    condition : array (W,)
        Frobenius condition number :math:`|A|\,|A^+|` of the system that was factorised, over its numerical rank:
        between the 2-norm condition number and rank times it, so a safe estimate from above; errors are of the order
        of the machine epsilon times it. A = Z_N without a penalty. With one, A = [Z, sqrt(P) I] where the n x n dual
        is used (N > n, and every width where :math:`P\ge10^{-7}|Z|^2` and the widths reach n), else
        A = [Z; sqrt(P) I]. Larger where dependent features met an ill-conditioned basis and what rounding dropped of
        them costs predictions more than 1e-8: then that loss in machine epsilons.
    rank : array of int (W,)
        Numerical rank of the features, at a relative tolerance of max(n, 100) machine epsilons (float32 features: 16
        of theirs); with a penalty min(n, N).
    status : array of str (W,)
        ``"ok"``; ``"ill-conditioned"`` where `condition` exceeds 1e8 and predictions may be off by more than 1e-8 (use
        a ridge, or read the row as unreliable); ``"rank-deficient"`` where the rank is below min(n, N): the
        minimum-norm solution over that rank (repeated samples, or features that depend on each other).
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
    Cost: O(min(n, N)(n + m)) a width in matrix products; memory O((n + m) min(n, N)), whatever the number of
    features. One pass serves all widths because a QR factorisation is nested in its columns, and past the threshold an
    appended feature changes the factor of its transpose by one row. With a ridge that grows with the width, or with a
    single width asked for, each width is a factorisation of its own, and all features are held.

    Predictions agree with an exact solution to a relative 1e-8 wherever `condition` is at most 1e8, unless the data
    themselves forbid it: below the threshold, or with a ridge, the solution of a least-squares problem with a large
    residual r moves by :math:`\varepsilon\,\mathrm{cond}^2|r|/|Z|` under rounding of the data, whatever the algorithm.

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
    if x_test.dtype != x.dtype:
        with np.errstate(over="ignore"):
            x_test = as_float("X_test", x_test.astype(x.dtype), (2,), keep_float32=True)
    targets = Targets(y, y_test, x.shape[0], x_test.shape[0])
    asked = checked_widths(widths)
    d = x.shape[1]
    ridge = as_real("ridge", ridge)
    blocks: dict[int, tuple[Float, Float]] = {}
    # Draw one feature now: bad arguments fail before any work.
    _draw(d, 1, activation, seed, distribution, bias_scale, 0, x.dtype, d**-0.5)

    def block(first: int, count: int) -> tuple[Float, Float]:
        W, b = _draw(d, count, activation, seed, distribution, bias_scale, first, x.dtype, d**-0.5)
        # The kernel keeps nothing of a block, so the next one of its size may overwrite it.
        if count not in blocks:
            blocks[count] = np.empty((count, len(x)), x.dtype), np.empty((count, len(x_test)), x.dtype)
        out, out_test = blocks[count]
        tiled = ridge > 0  # then no BLAS works between the blocks, most of the time
        return (
            apply(x, W, b, activation, bias_scale, out, tiled),
            apply(x_test, W, b, activation, bias_scale, out_test, tiled),
        )

    total = int(asked.max())
    # Features of one law are of one size, which those behind the first block share.
    sample = block(0, min(total, 64))[0]
    scale = power_of_two_near(float(np.abs(sample).max()))
    problem = Problem(
        block,
        targets,
        asked,
        ridge,
        per_width=one_of("ridge_scaling", ridge_scaling, RIDGE_SCALINGS) == "width",
        dimension=d,
        scale=scale,
        tolerance=dependence_tolerance(x.shape[0], x.dtype),
        norm2=float(np.square(sample.astype(np.float64) / scale).sum()) * total / len(sample),
        finite=False,
    )
    return _path(problem, predictions, progress)


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
    given = as_numeric("Z", Z, (2,))
    with np.errstate(over="ignore"):
        z = np.require(given, np.float64, ["C", "A"])
    z_test = as_float("Z_test", Z_test, (2,))
    sizes = _core.feature_sizes(z)
    if not np.isfinite(sizes).all():
        as_float("Z", z, (2,))  # says where
    if z_test.shape[1] != z.shape[1]:
        raise ValueError(
            f"`Z_test` has {z_test.shape[1]} columns; expected {z.shape[1]}, as many as `Z`. Give both equal features"
        )
    targets = Targets(y, y_test, z.shape[0], z_test.shape[0])
    asked = checked_widths(widths)
    if asked.max() > z.shape[1]:
        raise ValueError(f"`widths` reaches {asked.max()}; expected at most {z.shape[1]}, the number of columns of `Z`")

    total = int(asked.max())
    sizes = sizes[:total]
    sizes = sizes[sizes > 0]
    scale = power_of_two_near(float(sizes.max(initial=0.0)))
    norm2 = np.inf
    if sizes.size and sizes.max() <= 1e3 * np.median(sizes):
        norm2 = sum(float(np.square(z[i : i + 256, :total] / scale).sum()) for i in range(0, len(z), 256))
    problem = Problem(
        lambda first, count: (z[:, first : first + count].T, z_test[:, first : first + count].T),
        targets,
        asked,
        as_real("ridge", ridge),
        per_width=one_of("ridge_scaling", ridge_scaling, RIDGE_SCALINGS) == "width",
        dimension=1,
        scale=scale,
        tolerance=dependence_tolerance(z.shape[0], given.dtype),
        norm2=norm2,
        finite=True,
    )
    return _path(problem, predictions, progress)


def _path(problem: Problem, keep_predictions: bool, progress: Progress | None) -> WidthPath:
    if progress is not None and not callable(progress):
        raise TypeError(f"`progress` is {progress!r}; expected a function of (done, total), or None")
    targets, wanted = problem.targets, np.unique(problem.asked)
    total = int(wanted[-1])
    largest_penalty = problem.penalty(total)
    collected: list[dict[str, Any]] = []
    if largest_penalty > 0 and (problem.per_width or len(wanted) == 1):
        # Nothing is nested, or nothing is shared: a factorisation for each width.
        z, z_test = (part.T.copy() for part in problem.features(0, total))
        for done, width in enumerate(wanted, start=1):
            p = max(problem.penalty(int(width)), float(np.finfo(np.float64).tiny))
            collected.append(
                _core.ridge_fit(z[:, :width], targets.train, z_test[:, :width], targets.test, p, keep_predictions)
            )
            if progress:
                progress(done, len(wanted))
    else:
        path = _core.WidthPath(
            targets.train, targets.test, total, largest_penalty, problem.tolerance, problem.norm2, threads()
        )
        size = _block_size(targets, total, keep_predictions)
        for first in range(0, total, size):
            count = min(size, total - first)
            rows = path.append(*problem.features(first, count), keep_predictions)
            inside = wanted[(wanted > first) & (wanted <= first + count)] - first - 1
            collected.append({name: value[inside] for name, value in rows.items() if value is not None})
            if progress:
                progress(first + count, total)
    return _assemble(collected, wanted, problem, keep_predictions)


def _block_size(targets: Targets, total: int, keep_predictions: bool) -> int:
    """Features a block: about a second of work at most, so that Ctrl-C is heard, and no large temporary."""
    (count, n), m = targets.train.shape, targets.test.shape[1]
    size = 2e10 / (6.0 * (n + m) * min(n, total))
    if keep_predictions:
        size = min(size, 2e7 / (count * m))
    return int(np.clip(size, 16, 256))


def _assemble(
    collected: Sequence[dict[str, Any]], wanted: NDArray[np.int64], problem: Problem, keep_predictions: bool
) -> WidthPath:
    targets, asked = problem.targets, problem.asked
    order = np.searchsorted(wanted, asked)
    column: dict[str, Any] = {}
    for name in (*_PER_TARGET, *_PER_WIDTH):
        column[name] = np.concatenate([rows[name] for rows in collected])[order]
    with np.errstate(over="ignore", under="ignore"):
        for name in ("train_error", "test_error", "leave_one_out_error"):
            column[name] = column[name] * targets.scale * targets.scale  # one by one: the square may overflow alone
        column["coefficient_norm"] = column["coefficient_norm"] * targets.scale / problem.scale
    column["rank"] = column["rank"].astype(np.int64)
    predicted = None
    if keep_predictions:
        predicted = np.concatenate([rows["predictions"] for rows in collected])[order].transpose(0, 2, 1)
        predicted = predicted * targets.scale
    if targets.single:
        for name in _PER_TARGET:
            column[name] = column[name][:, 0]
        predicted = None if predicted is None else predicted[:, :, 0]
    status = np.where(
        column["rank"] < np.minimum(targets.train.shape[1], asked),
        "rank-deficient",
        np.where(column["condition"] <= ILL_CONDITIONED, "ok", "ill-conditioned"),
    )
    return WidthPath(widths=asked, status=status, predictions=predicted, **column)
