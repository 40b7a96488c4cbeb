r"""Which separating classifier an optimiser picks: batch norm, Adam, and networks that are homogeneous.

Plain descent ends where the l2 margin is largest. Adam without epsilon ends where the margin is largest for the
l-infinity norm (Zhang et al. 2024). Batch norm ends where all margins are equal (Cao et al. 2023). Linearised there,
with the signed Gram matrix K, :math:`\bar\mu` the smallest eigenvalue of PKP on vectors of sum zero, and the gain g as
a clock, :math:`\dot g=\eta e^{-g}`, the dispersion D of the margins falls as

.. math:: \log D=\text{const}-\frac{2\bar\mu}{n|w|_S^2}\Bigl(\frac{g^3}3+\frac{g^2}2\Bigr),\qquad g\sim\log t ,

which is the exponent :math:`\Omega(\log^2t)` of the theorem, and a log t more.

In a homogeneous network the margin over :math:`|\theta|^L` rises, and weights align with the gradient, a combination
of the examples' (Lyu and Li 2020).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pyphenom.implicit_bias import Adam, HardMargin, gradient_descent, hard_margin
from pyphenom.studies import (
    Cell,
    Claim,
    Equivalent,
    Figure,
    Greater,
    Identity,
    Less,
    Select,
    Streams,
    Study,
    Within,
)
from pyphenom.studies.shorthand import claim_about, guard_values, tidy
from pyphenom.studies.study import Preset

Array: TypeAlias = NDArray[np.float64]

NORMED, ADAM, NETWORK = "batch norm", "Adam and descent", "two-layer network"
ARMS = (NORMED, ADAM, NETWORK)
REPLICATES = {
    "smoke": dict.fromkeys(ARMS, 2),
    "quick": {NORMED: 60, ADAM: 24, NETWORK: 16},
    "full": {NORMED: 200, ADAM: 100, NETWORK: 40},
}

NORMED_N, NORMED_D, NORMED_STEP, NORMED_COUNT = 12, 30, 0.05, 1000
SLOW_START, SLOW_COUNT, WINDOW = 4.0, 100_000, 3000  # |w| at the start; the law of the dispersion is read from WINDOW
ROUNDING = 1e-26  # of a dispersion
SHOWN, BETWEEN = 43, 8  # readings in the figure, and so many times as many for the fits: on some data D falls fast

ADAM_N, ADAM_D, ADAM_STEP, DECAY, ADAM_COUNTS = 15, 40, 0.15, 0.67, (100, 1000, 5000, 20000, 100_000, 300_000)
DESCENT_STEP = 0.5

NET_N, NET_D, WIDTH, NET_SCALE, DEGREE = 10, 20, 20, 0.05, 3
NET_STEPS, NET_STEP, NET_COUNTS = 2500, 8.0, (150, 300, 600, 1250, 2500)


# ---- cells and measurement ---------------------------------------------------------------------------------------


def cells(preset: Preset) -> list[Cell]:
    """Every arm once a replicate."""
    return [Cell(arm, {}, k) for arm, count in REPLICATES[preset].items() for k in range(count)]


def measure(cell: Cell, streams: Streams) -> pd.DataFrame:
    """Descend, and compare the end with the solution that theory names."""
    return {NORMED: _normed, ADAM: _adam, NETWORK: _network}[cell.arm](streams)


def _data(n: int, d: int, streams: Streams) -> tuple[Array, Array]:
    """Return Gaussian inputs, and labels by the toss of a coin: separable for n < d, but for a null set."""
    rng = streams.rng("data")
    return rng.standard_normal((n, d)), rng.choice([-1.0, 1.0], n)


def _certified(solution: HardMargin) -> pd.DataFrame:
    return tidy({"duality gap": solution.gap})


def _normed(streams: Streams) -> pd.DataFrame:
    X, y = _data(NORMED_N, NORMED_D, streams)
    solution = hard_margin(X, y)
    start = streams.rng("init").standard_normal(NORMED_D)
    start /= np.linalg.norm(start)
    options: dict[str, Any] = {"step_size": NORMED_STEP, "loss": "logistic"}
    plain = gradient_descent(X, y, NORMED_COUNT, record=[NORMED_COUNT], **options)
    fast = gradient_descent(X, y, NORMED_COUNT, method="batch_norm", initial=start, record=[NORMED_COUNT], **options)
    readings = np.geomspace(30, SLOW_COUNT, (SHOWN - 1) * BETWEEN + 1).round().astype(np.int64)
    times, shown = np.unique(readings), np.unique(readings[::BETWEEN])
    slow = gradient_descent(X, y, SLOW_COUNT, method="batch_norm", initial=SLOW_START * start, record=times, **options)
    course = tidy({"log10 D": _log10(slow.dispersion[np.isin(times, shown)])}, steps=shown)
    return pd.concat([course, tidy(_law(X * y[:, None], slow)), _certified(solution), tidy({
        "log10 D, plain": _log10(plain.dispersion[0]),
        "log10 D at the end": _log10(fast.dispersion[0]),
        "margin": fast.margin()[0] / solution.margin,
        "smallest margin": min(fast.margins.min(), plain.margins.min()),
    })])  # fmt: skip


def _log10(dispersion: Any) -> Any:
    """Return the logarithm, no smaller than that of what rounding leaves: margins can be equal to the last bit."""
    return np.log10(np.maximum(dispersion, ROUNDING))


def _law(rows: Array, path: Any) -> dict[str, float]:
    """Fit the logarithm of the dispersion: which clock makes it a line, and the slope against theory."""
    late = (path.steps >= WINDOW) & (path.dispersion > ROUNDING)
    log_t, log_d, gain = np.log(path.steps[late]), np.log(path.dispersion[late]), np.abs(path.gain[late])
    clock = gain**3 / 3.0 + gain**2 / 2.0

    def left(x: Array) -> float:
        line = np.polynomial.Polynomial.fit(x, log_d, 1)
        return float(np.log(np.sum((log_d - line(x)) ** 2)))

    n = len(rows)
    centre = np.eye(n) - 1.0 / n
    slowest = np.linalg.eigvalsh(centre @ (rows @ rows.T) @ centre)[1]
    size = np.mean(path.margins[late][-1] ** 2)
    half = len(clock) // 2
    slope = (log_d[-1] - log_d[half]) / (clock[-1] - clock[half])
    bends = [(log_d[b] - log_d[a]) / (log_t[b] - log_t[a]) for a, b in ((0, half), (half, -1))]
    return {
        "points": len(clock),
        "log misfit, log t over log^2 t": left(log_t) - left(log_t**2),
        "log misfit, log^2 t over clock": left(log_t**2) - left(clock),
        "slope over theory": -slope * n * size / (2.0 * slowest),
        "ratio of powers": bends[1] / bends[0],
    }


def _adam(streams: Streams) -> pd.DataFrame:
    X, y = _data(ADAM_N, ADAM_D, streams)
    best = {norm: hard_margin(X, y, norm).margin for norm in ("l2", "linf")}
    options: dict[str, Any] = {"loss": "exponential", "record": ADAM_COUNTS}
    adam = gradient_descent(X, y, ADAM_COUNTS[-1], step_size=ADAM_STEP, decay=DECAY, method=Adam(0.9, 0.99), **options)
    plain = gradient_descent(X, y, ADAM_COUNTS[-1], step_size=DESCENT_STEP, **options | {"loss": "logistic"})
    numbers = {f"{norm} margin, {name}": path.margin(norm) / best[norm]
               for norm in best for name, path in (("Adam", adam), ("descent", plain))}  # fmt: skip
    return pd.concat([tidy(numbers, steps=ADAM_COUNTS), _certified(hard_margin(X, y))])


def _network(streams: Streams) -> pd.DataFrame:
    """Descend on the logarithm of the exponential loss of a network with squared ReLU, homogeneous of degree three."""
    X, y = _data(NET_N, NET_D, streams)
    rng = streams.rng("init")
    hidden, output = NET_SCALE * rng.standard_normal((WIDTH, NET_D)), NET_SCALE * rng.standard_normal(WIDTH)
    largest, smoothed, worst, seen = float((X**2).sum(axis=1).max()), -np.inf, 0.0, list[dict[str, Any]]()
    for step in range(NET_STEPS + 1):
        margins, log_loss, slopes = _log_loss(hidden, output, X, y)
        norm = float(np.sqrt(np.vdot(hidden, hidden) + output @ output))
        if log_loss < 0.0:  # the smoothed margin rises from here on
            now = -log_loss / norm**DEGREE
            worst, smoothed = max(worst, (smoothed - now) / now), now
        if step in NET_COUNTS:
            along = -sum(np.vdot(part, slope) for part, slope in zip((hidden, output), slopes, strict=True))
            size = np.sqrt(sum(np.vdot(slope, slope) for slope in slopes))
            off = np.sqrt(max(0.0, 2.0 - 2.0 * along / (size * norm)))
            seen.append({"margin over norm^3": margins.min() / norm**DEGREE, "log norm": np.log(norm),
                         "log loss": log_loss, "off a KKT point": off})  # fmt: skip
        rate = NET_STEP / (largest * max(norm, 1.0) ** (2 * DEGREE - 2))
        hidden, output = hidden - rate * slopes[0], output - rate * slopes[1]
    course = {name: [record[name] for record in seen] for name in seen[0]}
    return pd.concat([tidy(course, steps=NET_COUNTS), tidy({"largest fall": worst})])


def _log_loss(hidden: Array, output: Array, X: Array, y: Array) -> tuple[Array, float, tuple[Array, Array]]:
    """Return margins, the logarithm of the sum of e^-margin, and its slopes by both layers."""
    active = np.maximum(X @ hidden.T, 0.0)
    squares = active * active
    margins = y * (squares @ output)
    least = margins.min()
    shares = np.exp(least - margins)
    total = shares.sum()
    pull = y * shares / total
    return margins, float(np.log(total) - least), (-2.0 * (output * active * pull[:, None]).T @ X, -pull @ squares)


# ---- claims ------------------------------------------------------------------------------------------------------


# fmt: off
def _at(column: str, value: float, arm: str, quantity: str) -> Select:
    return Select(quantity, arm, where=lambda rows: rows[column] == value)


def _settled(degree: float) -> Callable[[pd.DataFrame], Any]:
    """Return the growth of the logarithm of margin over norm^degree in the second half of the steps."""
    def statistic(rows: pd.DataFrame) -> Any:
        margin, norm = (Select(quantity, NETWORK, "steps").measured(rows)[list(NET_COUNTS[-2:])].to_numpy()
                        for quantity in ("margin over norm^3", "log norm"))
        return np.diff(np.log(margin) + (DEGREE - degree) * norm, axis=1)

    return statistic


def _apart(rows: pd.DataFrame) -> Any:
    table = np.log(Select("off a KKT point", NETWORK, "steps").measured(rows))
    return table[NET_COUNTS[-1]] - table[NET_COUNTS[2]]


def _adam_power(rows: pd.DataFrame) -> Any:
    gaps = np.log(1.0 - Select("linf margin, Adam", ADAM, "steps").measured(rows))
    return (gaps[ADAM_COUNTS[-1]] - gaps[ADAM_COUNTS[-3]]) / np.log(ADAM_COUNTS[-1] / ADAM_COUNTS[-3])


_ADAM_END = ADAM_COUNTS[-1]

study = Study(
    name="optimizer-bias",
    title="Which separating classifier an optimiser picks",
    summary=(
        "Of all classifiers without training error batch norm picks one with equal margins, Adam one with a large "
        "l-infinity margin, plain descent one with a large l2 margin; a homogeneous network raises its normalised "
        "margin, and aligns with its gradient."
    ),
    references=(
        "Cao, Zou, Li, Gu, The implicit bias of batch normalization in linear models and two-layer linear "
        "convolutional neural networks, COLT 2023",
        "Zhang, Zou, Cao, The implicit bias of Adam on separable data, NeurIPS 2024",
        "Lyu, Li, Gradient descent maximizes the margin of homogeneous neural networks, ICLR 2020",
    ),
    version="1",
    cell_version="3",
    cells=cells,
    measure=measure,
    guards=(
        guard_values("certified", "the margin is known to a relative gap of 1e-8: the data are separable",
                     "duality gap", lambda gap: gap <= 1e-8, arms=(NORMED, ADAM)),
        guard_values("resolved", "eight dispersions above rounding remain for the fits", "points",
                     lambda points: points >= 8, ("log-squared", "clock", "dispersion-law"), arms=(NORMED,)),
    ),
    claims=(
        claim_about("uniform", Select("log10 D at the end", NORMED), Less(-12.0), "batch norm: after 1000 steps the "
                    "dispersion of margins is below 1e-12"),
        claim_about("plain-uneven", Select("log10 D, plain", NORMED), Greater(float(np.log10(0.03))),
                    "plain descent: it is above 0.03"),
        claim_about("log-squared", Select("log misfit, log t over log^2 t", NORMED), Greater(), "its logarithm is "
                    "closer to a line in log^2 t than in log t"),
        claim_about("clock", Select("log misfit, log^2 t over clock", NORMED), Greater(), "and closer to one in "
                    "g^3/3 + g^2/2 than in log^2 t"),
        Claim("dispersion-law", "of the slope that the Gram matrix gives, to a tenth, modes beyond the slowest and "
              "terms in 1/g being left out", Select("slope over theory", NORMED).measured, Equivalent(0.1), 1.0,
              kind="conditional", arms=(NORMED,), quantities=("slope over theory",)),
        claim_about("adam", _at("steps", _ADAM_END, ADAM, "linf margin, Adam"), Greater(0.95), "Adam reaches 95 % of "
                    "the largest l-infinity margin"),
        Claim("adam-rate", "with its gap to the largest falling as t^-0.33 at least, the power min(1 - a, a/2) of the "
              "theorem for steps t^-a", _adam_power, Less(-min(1.0 - DECAY, DECAY / 2.0)), arms=(ADAM,),
              quantities=("linf margin, Adam",)),
        claim_about("descent", _at("steps", _ADAM_END, ADAM, "l2 margin, descent"), Greater(0.93), "descent reaches "
                    "93 % of the largest l2 margin in as many steps"),
        claim_about("rises", Select("largest fall", NETWORK), Identity(1e-12), "network: once the loss is below one "
                    "the smoothed margin over norm^3 falls in no step"),
        Claim("settles", "the margin over norm^3 grows by less than 5 % in the second half", _settled(DEGREE),
              Less(0.05), arms=(NETWORK,), quantities=("margin over norm^3", "log norm")),
        Claim("kkt", "and weights align with the gradient: their distance as unit vectors falls by a tenth and more "
              "from 600 to 2500 steps", _apart, Less(float(np.log(0.9))), arms=(NETWORK,),
              quantities=("off a KKT point",)),
        claim_about("aligned", _at("steps", NET_COUNTS[-1], NETWORK, "off a KKT point"), Less(0.3), "to less than 0.3 "
                    "of the 1.4 of unrelated vectors"),
    ),
    controls=(
        claim_about("normed-margin", Select("margin", NORMED), Greater(0.95), "batch norm reaches 95 % of the largest "
                    "margin", protects=("uniform",)),
        claim_about("plain-uniform", Select("log10 D, plain", NORMED), Less(-3.0), "plain descent makes margins equal "
                    "to 1e-3", protects=("uniform", "plain-uneven")),
        claim_about("power-law", Select("ratio of powers", NORMED), Within(0.9, 1.1), "the dispersion is a power of t",
                    protects=("log-squared", "clock", "dispersion-law")),
        claim_about("adam-l2", _at("steps", _ADAM_END, ADAM, "l2 margin, Adam"), Greater(0.93), "Adam reaches 93 % of "
                    "the largest l2 margin", protects=("descent",)),
        claim_about("descent-linf", _at("steps", _ADAM_END, ADAM, "linf margin, descent"), Greater(0.95), "descent "
                    "reaches 95 % of the largest l-infinity margin", protects=("adam", "adam-rate")),
        Claim("wrong-degree", "the margin over norm^2 settles too", _settled(DEGREE - 1), Less(0.05), arms=(NETWORK,),
              quantities=("margin over norm^3", "log norm"), protects=("rises", "settles", "kkt", "aligned")),
    ),
    figures=(
        Figure("dispersion", "Batch norm, |w| = 4 at the start", "log10 D", "steps", "steps",
               "log10 of the dispersion of margins", (NORMED,), "log"),
        Figure("adam", "Adam, steps as t^-0.67", "linf margin, Adam", "steps", "steps",
               "share of the largest l-infinity margin", (ADAM,), "log"),
        Figure("descent", "Plain descent", "l2 margin, descent", "steps", "steps", "share of the largest l2 margin",
               (ADAM,), "log"),
        Figure("network", "Network with squared ReLU", "off a KKT point", "steps", "steps",
               "distance of weights from gradient", (NETWORK,), "log", "log"),
    ),
    depends_on=("pyphenom._core", "pyphenom.implicit_bias"),
    deviations=(
        "Inputs are Gaussian, labels tosses of a coin, n < d, the loss logistic; exponential for Adam.",
        "The law of the dispersion is derived here from the equations of Cao et al., whose exp(-Omega(log^2 t)) is a "
        "bound on the rate. Labels of one draw may leave two modes nearly equal; the slope is then that of a mean.",
        "The dispersion's law is read from a start with |w| = 4, whose w moves 16 times as slowly: from |w| = 1 "
        "margins are equal to rounding before g is large.",
        "The network has squared ReLU: with ReLU weights slide along kinks, where the gradient jumps and only its "
        "average over steps aligns. Steps divide by norm^4, so that the logarithm of the loss falls at a steady pace.",
    ),
)
# fmt: on
