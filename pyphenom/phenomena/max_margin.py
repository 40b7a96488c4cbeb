r"""Implicit bias: the separating direction in which gradient descent ends, and how fast it gets there.

On separable data every direction with positive margins has the loss zero at infinity. Gradient flow of the exponential
loss goes to the max-margin direction, :math:`w=\hat w\log t+\tilde w`, and its constants are known before it starts.
With the dual weights :math:`\lambda` of the hard margin :math:`\gamma`, of sum one, :math:`e^{-\langle x_i,\tilde w
\rangle}=\lambda_i/\gamma^2` on the support (Soudry et al. 2018), so that :math:`tL\to1/\gamma^2`, and in the margin

.. math:: \log t\,\Bigl(1-\frac{\min_i\langle x_i,w\rangle}{\gamma|w|}\Bigr)\to
          \log\max_i\lambda_i-\sum_i\lambda_i\log\lambda_i ,

Shannon's entropy of the dual weights less their min-entropy. Steps over the loss walk the same path with
:math:`\gamma^2\eta` times their number in the place of log t.

Without separability the flow of the logistic loss ends at the maximum-likelihood estimate, at a finite norm; on the
squares it ends at the interpolant of smallest norm, another direction. Where other methods end is the matter of
`optimizer_bias`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize
from scipy.special import expit

from pyphenom.implicit_bias import HardMargin, gradient_descent, gradient_flow, hard_margin
from pyphenom.studies import (
    Cell,
    Claim,
    Equivalent,
    Figure,
    Greater,
    Identity,
    Less,
    Relation,
    Select,
    Streams,
    Study,
)
from pyphenom.studies.shorthand import claim_about, guard_values, tidy
from pyphenom.studies.study import Preset

Array: TypeAlias = NDArray[np.float64]

THREE, FLOW, STEPS = "three points", "gradient flow", "steps of descent"
SQUARES, MIXED = "squared loss", "not separable"
ARMS = (THREE, FLOW, STEPS, SQUARES, MIXED)
REPLICATES = {
    "smoke": dict.fromkeys(ARMS, 2) | {THREE: 1},
    "quick": {THREE: 1, FLOW: 40, STEPS: 20, SQUARES: 30, MIXED: 5},
    "full": dict.fromkeys(ARMS, 200) | {THREE: 1},
}

POINTS = np.array([[2.0, 0.4], [0.3, 1.0], [3.0, 3.0]])
W_HAT, W_TILDE = np.array([15.0, 42.5]) / 47.0, (1.928564, -0.466598)  # by hand: the first two points support
LATE = 1e3  # log t at which they are read

N, D = 20, 30
LOG_TIMES = (10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0)
BEFORE = 0.95  # a time to take a slope from, relative in log t
COUNTS = (100, 1000, 10000)  # steps
METHODS = {"plain": "gradient", "over the loss": "normalized", "accelerated": "accelerated"}

MIXED_N, MIXED_D, HELD = 60, 10, 200.0


# ---- cells and measurement ---------------------------------------------------------------------------------------


def cells(preset: Preset) -> list[Cell]:
    """Every arm once a replicate."""
    return [Cell(arm, {}, k) for arm, count in REPLICATES[preset].items() for k in range(count)]


def measure(cell: Cell, streams: Streams) -> pd.DataFrame:
    """Descend, and compare the end with the solution that theory names."""
    return {THREE: _three, FLOW: _flow, STEPS: _steps, SQUARES: _squares, MIXED: _mixed}[cell.arm](streams)


def _data(n: int, d: int, streams: Streams) -> tuple[Array, Array]:
    """Return Gaussian inputs, and labels by the toss of a coin: separable for n < d, but for a null set."""
    rng = streams.rng("data")
    return rng.standard_normal((n, d)), rng.choice([-1.0, 1.0], n)


def _entropies(dual: Array) -> float:
    """Return the entropy of the dual weights less their min-entropy."""
    support = dual[dual > 0]
    return float(np.log(support.max()) - support @ np.log(support))


def _certified(solution: HardMargin) -> pd.DataFrame:
    return tidy({"duality gap": solution.gap})


def _three(streams: Streams) -> pd.DataFrame:
    flow = gradient_flow(POINTS, np.ones(3), [LATE])
    rest = flow.weights[0] - W_HAT * (LATE - np.log(len(POINTS)))  # the mean loss: time runs at a third
    numbers = {"t L(t)": np.exp(LATE + flow.log_loss[0]), "rest 1": rest[0], "rest 2": rest[1],
               "margin": hard_margin(POINTS, np.ones(3)).margin}  # fmt: skip
    return tidy(numbers)


def _flow(streams: Streams) -> pd.DataFrame:
    X, y = _data(N, D, streams)
    solution, times = hard_margin(X, y), np.array(LOG_TIMES)
    flow = gradient_flow(X, y, np.column_stack([BEFORE * times, times]).ravel())
    before, at = slice(0, None, 2), slice(1, None, 2)
    gap, log = 1.0 - flow.margin()[at] / solution.margin, times - np.log(N)
    span = (1.0 - BEFORE) * times
    numbers = {
        "angle": _angles(flow.weights[at], solution.weights),
        "margin gap": gap,
        "gap over theory": gap * log / _entropies(solution.dual),
        "log of t L over theory": times + flow.log_loss[at] + 2.0 * np.log(solution.margin),
        "slope of the log loss": (flow.log_loss[at] - flow.log_loss[before]) / span,
        "slope of the norm over theory": (flow.norm[at] - flow.norm[before]) / span * solution.margin,
        "l1-normalised margin": flow.margin("l1")[at] / solution.margin,
        "smallest margin": flow.margins[at].min(axis=-1),
    }
    return pd.concat([tidy(numbers, log_time=times), _certified(solution)])


def _angles(weights: Array, direction: Array) -> Array:
    """Return angles to a direction, exact also where they are small."""
    units = weights / np.linalg.norm(weights, axis=-1, keepdims=True)
    apart = np.linalg.norm(units - direction / np.linalg.norm(direction), axis=-1)
    return np.asarray(2.0 * np.arcsin(apart / 2.0))


def _steps(streams: Streams) -> pd.DataFrame:
    X, y = _data(N, D, streams)
    solution, step = hard_margin(X, y), 1.0 / float((X**2).sum(axis=1).max())
    numbers = {}
    for name, method in METHODS.items():
        path = gradient_descent(X, y, COUNTS[-1], step_size=step, method=method, record=COUNTS)
        numbers[f"log gap, {name}"] = np.log(1.0 - path.margin() / solution.margin)
    clock = solution.margin**2 * step * np.array(COUNTS)
    numbers["over theory"] = numbers["log gap, over the loss"] - np.log(_entropies(solution.dual) / clock)
    return pd.concat([tidy(numbers, steps=COUNTS), _certified(solution)])


def _squares(streams: Streams) -> pd.DataFrame:
    X, y = _data(N, D, streams)
    solution = hard_margin(X, y)
    end = gradient_flow(X, y, [40.0], loss="squared").weights[0]
    smallest = np.linalg.pinv(X) @ y
    off = np.linalg.norm(end - smallest) / np.linalg.norm(smallest)
    return tidy({"off the smallest": off, "angle": _angles(end, solution.weights)})


def _mixed(streams: Streams) -> pd.DataFrame:
    X, y = _data(MIXED_N, MIXED_D, streams)
    rows = X * y[:, None]

    def slope(w: Array) -> Array:
        return np.asarray(-rows.T @ expit(-rows @ w))

    def curvature(w: Array) -> Array:
        return np.asarray((rows.T * (expit(rows @ w) * expit(-rows @ w))) @ rows)

    estimate = optimize.root(slope, np.zeros(MIXED_D), jac=curvature, tol=1e-13).x
    path = gradient_flow(X, y, [HELD / 2.0, HELD], loss="logistic")
    numbers = {
        "separable": float(hard_margin(X, y).separable),
        "off the estimate": np.linalg.norm(path.weights[-1] - estimate) / np.linalg.norm(estimate),
        "angle": _angles(path.weights[-1], estimate),
        "norm in log t": (path.norm[1] - path.norm[0]) / (HELD / 2.0),
    }
    return tidy(numbers)


# ---- predictions -------------------------------------------------------------------------------------------------


def predict(cells: Sequence[Cell], measured: pd.DataFrame) -> pd.DataFrame:
    """Predict the constants of the three points, and what a ratio to theory is."""
    gamma = 1.0 / np.linalg.norm(W_HAT)
    three = {"t L(t)": gamma**-2, "rest 1": W_TILDE[0], "rest 2": W_TILDE[1], "margin": gamma}
    ratios = {"gap over theory": 1.0, "slope of the norm over theory": 1.0, "log of t L over theory": 0.0,
              "slope of the log loss": -1.0}  # fmt: skip
    return pd.concat([tidy(three).assign(arm=THREE), tidy(ratios, log_time=LOG_TIMES).assign(arm=FLOW),
                      tidy({"over theory": 0.0}, steps=COUNTS).assign(arm=STEPS)])  # fmt: skip


# ---- claims ------------------------------------------------------------------------------------------------------


# fmt: off
def _at(column: str, value: float, arm: str, quantity: str) -> Select:
    return Select(quantity, arm, where=lambda rows: rows[column] == value)


def _flow_claim(id: str, quantity: str, relation: Relation, statement: str, start: float, **options: Any) -> Claim:
    """Return a claim about the flow from some time on, at the times that are recorded."""
    select = Select(quantity, FLOW, "log_time", lambda rows: rows["log_time"] >= start)
    return claim_about(id, select, relation, statement, theory=quantity, **options)


def _growth(quantity: str, power: bool = False) -> Callable[[pd.DataFrame], Any]:
    """Return the statistic change of the logarithm of a quantity from log t = 100 to 10^4, or its power of log t."""
    first, last = LOG_TIMES[2], LOG_TIMES[-1]

    def statistic(rows: pd.DataFrame) -> Any:
        table = Select(quantity, FLOW, "log_time").measured(rows)
        return np.log(table[last] / table[first]) / (np.log(last / first) if power else 1.0)

    return statistic


def _accelerated_power(rows: pd.DataFrame) -> Any:
    table = Select("log gap, accelerated", STEPS, "steps").measured(rows)
    return (table[COUNTS[-1]] - table[COUNTS[-2]]) / np.log(COUNTS[-1] / COUNTS[-2])


def _behind(rows: pd.DataFrame) -> Any:
    last = [_at("steps", COUNTS[-1], STEPS, f"log gap, {name}").measured(rows).to_numpy()
            for name in ("plain", "over the loss")]
    return last[0] - last[1]


study = Study(
    name="max-margin",
    title="The rate of descent to the max-margin direction",
    summary=(
        "Gradient flow on separable data goes to the max-margin direction; loss, norm and margin follow laws whose "
        "constants the dual weights give beforehand. Steps over the loss walk the same path faster. On squares the "
        "flow finds the smallest norm, and without separability an estimate of finite norm."
    ),
    references=(
        "Soudry, Hoffer, Nacson, Gunasekar, Srebro, The implicit bias of gradient descent on separable data, JMLR "
        "2018, Theorems 3 and 9",
        "Ji, Srebro, Telgarsky, Fast margin maximization via dual acceleration, ICML 2021",
    ),
    version="1",
    cell_version="1",
    cells=cells,
    measure=measure,
    predict=predict,
    guards=(
        guard_values("certified", "the margin is known to a relative gap of 1e-8: the data are separable",
                     "duality gap", lambda gap: gap <= 1e-8, arms=(FLOW, STEPS)),
        guard_values("fitted", "no training error is left two decades before anything is read", "smallest margin",
                     lambda margin: margin > np.log(100.0), arms=(FLOW,)),
        guard_values("inseparable", "no direction separates the mixed labels", "separable", lambda found: found == 0.0,
                     ("estimate",), arms=(MIXED,)),
    ),
    claims=(
        *(Claim(f"three-{quantity}", f"of three points with known constants, {what}", Select(quantity, THREE).measured,
                Identity(1e-5), Select(quantity, THREE).predicted, arms=(THREE,), quantities=(quantity,))
          for quantity, what in (("t L(t)", "t L(t) is 1/margin^2"), ("margin", "the margin is found"),
                                 ("rest 1", "w less log t times its limit is Soudry's vector"),
                                 ("rest 2", "in both coordinates"))),
        _flow_claim("loss", "log of t L over theory", Equivalent(0.001), "t L(t) is 1/margin^2, to 0.1 %, "
                    "the correction in 1/t being gone", 1000.0),
        _flow_claim("loss-slope", "slope of the log loss", Equivalent(0.01), "the loss falls as 1/t", 30.0),
        _flow_claim("norm-slope", "slope of the norm over theory", Equivalent(0.01), "the norm grows by 1/margin a "
                    "unit of log t", 30.0),
        _flow_claim("margin-gap", "gap over theory", Equivalent(0.01), "the margin is short of the largest by the "
                    "entropy of the dual weights less their min-entropy, over log t, to a term in 1/log t", 1000.0),
        Claim("direction", "the angle to the max-margin direction falls as 1/log t, to a power of 0.02",
              _growth("angle", True), Equivalent(0.02), -1.0, arms=(FLOW,), quantities=("angle",)),
        claim_about("steps-gap", _at("steps", COUNTS[-1], STEPS, "over theory"), Equivalent(0.05), "after steps over "
                    "the loss the gap is that of the flow, with margin^2 eta t for log t, to 5 %"),
        Claim("plain-behind", "after 10^4 steps the gap of plain descent is ten times as large", _behind,
              Greater(float(np.log(10.0))), arms=(STEPS,)),
        Claim("accelerated", "with momentum in the dual it falls as 1/t^2", _accelerated_power, Equivalent(0.05), -2.0,
              arms=(STEPS,), quantities=("log gap, accelerated",)),
        claim_about("smallest-norm", Select("off the smallest", SQUARES), Identity(1e-6), "on squares the flow ends at "
                    "the interpolant of smallest norm"),
        claim_about("estimate", Select("off the estimate", MIXED), Identity(1e-6), "without separability the flow ends "
                    "at the maximum-likelihood estimate, norm and direction"),
    ),
    controls=(
        claim_about("wrong-norm", Select("l1-normalised margin", FLOW, "log_time"), Greater(0.9), "the margin over the "
                    "l1 norm reaches the largest one", protects=("margin-gap", "direction")),
        Claim("finite-constant", "the gap of the margin is the same at log t = 100 and 10^4", _growth("margin gap"),
              Equivalent(0.1), arms=(FLOW,), quantities=("margin gap",), protects=("loss", "loss-slope", "norm-slope",
                                                                                   "steps-gap", "plain-behind",
                                                                                   "accelerated")),
        claim_about("squares-margin", Select("angle", SQUARES), Less(0.05), "on squares the flow ends within 0.05 of "
                    "the max-margin direction", protects=("direction", "smallest-norm")),
        claim_about("mixed-norm", Select("norm in log t", MIXED), Greater(0.01), "without separability the norm grows "
                    "with log t too", protects=("estimate", "norm-slope")),
    ),
    figures=(
        Figure("gap", "Gradient flow: margin gap times log t, over its constant", "gap over theory", "log_time",
               "log t", "ratio to theory", (FLOW,), "log"),
        Figure("norm", "Gradient flow: slope of the norm", "slope of the norm over theory", "log_time", "log t",
               "margin times d|w|/dlog t", (FLOW,), "log"),
        Figure("angle", "Gradient flow: the direction", "angle", "log_time", "log t", "angle to the max margin (rad)",
               (FLOW,), "log", "log"),
        Figure("steps", "Steps over the loss: margin gap over its constant", "over theory", "steps", "steps",
               "log of the ratio to theory", (STEPS,), "log"),
    ),
    depends_on=("pyphenom._core", "pyphenom.implicit_bias"),
    deviations=(
        "Inputs are Gaussian, labels tosses of a coin, n < d; the exponential loss where constants are claimed. The "
        "kernels take the mean of the losses, so that log t is log(t/n) in formulas for their sum.",
        "The constant of the margin gap is derived here from the limits of Soudry et al.",
        "Time goes to log t = 10^4, where no loop of steps arrives: at 10^4 steps the terms left out are a tenth.",
    ),
)
# fmt: on
