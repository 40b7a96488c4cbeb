"""Checks of what the descent of the two-layer CNN is given."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pyphenom._arrays import Float, as_float, as_integer, as_real, one_of

OPTIMIZERS = ("descent", "normalized", "adam")


def patches(name: str, value: Any, runs: int, d: int | None = None) -> Float:
    """Return patches (1 or runs, n, P, d)."""
    x = as_float(name, value, (3, 4))
    x = x[None] if x.ndim == 3 else x
    if d is not None and (x.shape[3] != d or len(x) not in (1, runs)):
        raise ValueError(
            f"`{name}` has shape {np.shape(value)}; expected patches of {d} entries, for {runs} runs or one"
        )
    return x


def labels(name: str, value: Any, x: Float) -> Float:
    """Return labels -1 and 1, (1 or runs, n)."""
    signs = as_float(name, value, (1, 2))
    signs = signs[None] if signs.ndim == 1 else signs
    if signs.shape[1] != x.shape[1]:
        raise ValueError(f"`{name}` has shape {np.shape(value)}; expected {x.shape[1]} labels a run, one an example")
    if not np.isin(signs, (-1.0, 1.0)).all():
        other = signs[~np.isin(signs, (-1.0, 1.0))][0]
        raise ValueError(f"`{name}` holds {other:g}; expected labels -1 and 1, such as 2 * (y > 0) - 1")
    return signs


def training_data(X: Any, y: Any, weights: Any) -> tuple[Float, Float, Float]:
    """Return patches (1 or runs, n, P, d), labels (1 or runs, n), weights (runs, 2, m, d)."""
    x = patches("X", X, 1)
    signs = labels("y", y, x)
    start = as_float("weights", weights, (3, 4))
    start = start[None] if start.ndim == 3 else start
    if start.shape[1] != 2 or start.shape[3] != x.shape[3]:
        raise ValueError(
            f"`weights` has shape {np.shape(weights)}; expected (2, m, {x.shape[3]}) or (runs, 2, m, {x.shape[3]}): "
            "the filters of either sign, as long as the patches of `X`"
        )
    counts = {len(x), len(signs), len(start)}
    runs = max(counts)
    if not counts <= {1, runs}:
        raise ValueError(
            f"`X`, `y` and `weights` are for {len(x)}, {len(signs)} and {len(start)} runs; expected the same "
            "number, or one for all"
        )
    return x, signs, np.broadcast_to(start, (runs, *start.shape[1:]))


def test_data(X: Any, y: Any, runs: int, d: int) -> tuple[Float, Float] | None:
    """Return patches and labels, None where neither is given."""
    if X is None and y is None:
        return None
    if X is None or y is None:
        raise ValueError("`X_test` and `y_test` go together; one of them is None")
    x = patches("X_test", X, runs, d)
    signs = labels("y_test", y, x)
    if len(signs) not in (1, runs):
        raise ValueError(f"`y_test` is for {len(signs)} runs; expected {runs}, or one for all")
    return x, signs


def options(rate: Any, power: Any, method: Any, decay: Any, betas: Any, epsilon: Any, stop_loss: Any) -> dict[str, Any]:
    """Return the options of the kernel."""
    one_of("optimizer", method, OPTIMIZERS)
    if not isinstance(betas, tuple | list) or len(betas) != 2:
        raise ValueError(f"`betas` is {betas!r}; expected two numbers in [0, 1), such as (0.9, 0.999)")
    beta1, beta2 = (as_real("betas", beta) for beta in betas)
    if not max(beta1, beta2) < 1:
        raise ValueError(f"`betas` is {betas}; expected two numbers in [0, 1)")
    chosen: dict[str, Any] = {
        "method": method,
        "power": as_real("power", power, 1.0),
        "rate": as_real("learning_rate", rate),
        "decay": as_real("weight_decay", decay),
        "beta1": beta1,
        "beta2": beta2,
        "epsilon": as_real("epsilon", epsilon),
        "log_stop": -math.inf,
    }
    if method == "normalized" and chosen["decay"] > 0:
        raise ValueError("`weight_decay` has no meaning for normalised steps; expected 0, or optimizer='descent'")
    if stop_loss is not None and (loss := as_real("stop_loss", stop_loss)) > 0:
        chosen["log_stop"] = math.log(loss)
    return chosen


def grid(record: Any, total: int) -> Float:
    """Return the steps to record, ascending, the last one among them."""
    if isinstance(record, int | np.integer):
        count = as_integer("record", record, 1)
        return np.unique(np.linspace(0, total, count + 1).round().astype(int))
    grid = np.asarray(record)
    if grid.ndim != 1 or grid.dtype.kind not in "iu" or grid.size == 0 or grid.min() < 0 or grid.max() > total:
        raise ValueError(f"`record` is {record!r}; expected a number of records, or steps between 0 and {total}")
    return np.unique(np.r_[grid, total])
