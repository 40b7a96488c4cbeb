"""Training time: early stopping, and double descent from epoch to epoch, in linear regression.

Gradient flow from zero learns the directions of large variance first, and fits the noise in each of them a little
later than the signal. With one scale the risk is a U, and stopping in time is worth about as much as the best ridge.
With two scales far apart there are two U's: the risk falls, rises, and falls again. Step sizes inverse to the variances
put them on top of each other, and the second descent is gone (Heckel and Yilmaz 2021).

The flow is exact, by an eigendecomposition; the theory is the Marchenko-Pastur law and, for two scales, the
deterministic equivalent of two resolvents.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pyphenom.studies import Cell, Claim, Curve, Figure, Greater, Less, Relation, Select, Streams, Study
from pyphenom.studies.study import Preset
from pyphenom.theory import gradient_flow

Array: TypeAlias = NDArray[np.float64]

REPLICATES = {"smoke": 10, "quick": 80, "full": 600}
SIGNAL_NOISE = 0.5  # one scale: signal 1
TIMES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0)


@dataclass(frozen=True)
class _Arm:
    """Inputs of diagonal covariance, coefficients, and the step sizes relative to gradient flow."""

    n: int
    eigenvalues: Array
    coefficients: Array
    noise: float
    rates: Array


def _one_scale(n: int, p: int) -> _Arm:
    return _Arm(n, np.ones(p), np.full(p, p**-0.5), SIGNAL_NOISE, np.ones(p))


def _two_scales(matched: bool) -> _Arm:
    # Scales 1 and 1/1000 of the variance; signals 1 and 1/2; noise 1; twice as many samples as coordinates.
    eigenvalues = np.repeat([1.0, 1e-3], 100)
    coefficients = np.sqrt(np.repeat([1.0, 0.5], 100) / 100 / eigenvalues)
    return _Arm(400, eigenvalues, coefficients, 1.0, 1.0 / eigenvalues if matched else np.ones(200))


ARMS = {
    "one scale, p = 2n": _one_scale(200, 400),
    "one scale, p = n/2": _one_scale(400, 200),
    "two scales": _two_scales(matched=False),
    "two scales, matched steps": _two_scales(matched=True),
}
TWO, MATCHED, WIDE = "two scales", "two scales, matched steps", "one scale, p = 2n"


# ---- cells, measurement, predictions -----------------------------------------------------------------------------


def cells(preset: Preset) -> list[Cell]:
    """Each arm once a replicate; all times share one decomposition."""
    return [Cell(arm, {}, replicate) for arm in ARMS for replicate in range(REPLICATES[preset])]


def measure(cell: Cell, streams: Streams) -> pd.DataFrame:
    """Measure the excess risk of one data set at every time, exactly given the coefficients."""
    arm = ARMS[cell.arm]
    X = streams.rng("data").standard_normal((arm.n, arm.eigenvalues.size)) * np.sqrt(arm.eigenvalues)
    y = X @ arm.coefficients + np.sqrt(arm.noise) * streams.rng("label noise").standard_normal(arm.n)
    risks = [np.sum(arm.eigenvalues * (b - arm.coefficients) ** 2) for b in _flow(X, y, arm.rates, TIMES)]
    return pd.DataFrame({"time": TIMES, "quantity": "risk", "value": risks})


def _flow(X: Array, y: Array, rates: Array, times: Sequence[float]) -> list[Array]:
    """Coefficients b(t) of db/dt = D X'(y - Xb)/n from zero, D the diagonal of the rates."""
    # With b = D^(1/2) c this is plain flow for c on the inputs Z = X D^(1/2), in the eigenvectors of the smaller of
    # Z'Z and ZZ'.
    Z, n = X * np.sqrt(rates), len(y)
    if n < Z.shape[1]:
        decay, vectors = np.linalg.eigh(Z @ Z.T / n)
        moment, basis = vectors.T @ y / n, Z.T @ vectors
    else:
        decay, basis = np.linalg.eigh(Z.T @ Z / n)
        moment = basis.T @ (Z.T @ y) / n
    # 1 - exp(-t s) over s, which is t where s is zero
    grown = [np.where(decay > 0, -np.expm1(-t * decay) / np.where(decay > 0, decay, 1.0), t) for t in times]
    return [np.sqrt(rates) * (basis @ (part * moment)) for part in grown]


def _theory(arm: _Arm, times: Any, noise: float | None = None) -> Any:
    # Rates stretch the inputs, and shrink the coefficients that go with them.
    eigenvalues, coefficients = arm.eigenvalues * arm.rates, arm.coefficients / np.sqrt(arm.rates)
    noise = arm.noise if noise is None else noise
    if np.ptp(eigenvalues) < 1e-12:
        power = float(np.sum(eigenvalues * coefficients**2))
        return gradient_flow.isotropic_risk(eigenvalues.size / arm.n, times, power, noise).total
    return gradient_flow.risk(eigenvalues, coefficients, arm.n, times, noise).total


def predict(cells: Sequence[Cell], measured: pd.DataFrame) -> pd.DataFrame:
    """Predict every arm, and what deliberately wrong theories would say of it."""
    times, measured_at = np.union1d(np.geomspace(TIMES[0], TIMES[-1], 81), TIMES), np.array(TIMES)
    curves = [(name, "risk", times, _theory(arm, times)) for name, arm in ARMS.items()]
    curves.append((TWO, "wrong clock", measured_at, _theory(ARMS[TWO], measured_at * 3.0)))
    curves.append((WIDE, "half the noise", measured_at, _theory(ARMS[WIDE], measured_at, ARMS[WIDE].noise / 2)))
    tables = []
    for name, quantity, at, value in curves:
        # The limit of large n is reached up to O(1/n).
        column = {"arm": name, "time": at, "quantity": quantity, "value": value, "band": 2.0 / ARMS[name].n * value}
        tables.append(pd.DataFrame(column))
    return pd.concat(tables, ignore_index=True)


# ---- claims ------------------------------------------------------------------------------------------------------


def _curve(id: str, arm: str, statement: str, theory: str = "risk", **options: Any) -> Claim:
    measured, predicted = Select("risk", arm, "time").measured, Select(theory, arm, "time").predicted
    return Claim(id, statement, measured, Curve(0.10), predicted, arms=(arm,), quantities=("risk", theory), **options)


def _ratio(id: str, arm: str, at: float, to: float, relation: Relation, statement: str, **options: Any) -> Claim:
    """Claim on the log of the risk at one time over that at another, paired within replicates."""

    def statistic(rows: pd.DataFrame) -> Any:
        table = Select("risk", arm, "time").measured(rows)
        return np.log(table[at] / table[to])

    return Claim(id, statement, statistic, relation, arms=(arm,), quantities=("risk",), **options)


def _below(share: float) -> Less:
    return Less(float(np.log(share)))


def _figure(name: str, caption: str, arms: tuple[str, ...]) -> Figure:
    return Figure(name, caption, "risk", "time", "time t (step size times steps)", "excess risk", arms, "log", "linear")


# fmt: off
study = Study(
    name="epoch-wise-descent",
    title="Early stopping and epoch-wise double descent of linear regression",
    summary=(
        "The risk of gradient flow follows its predicted curve in time. With one scale it is a U, with two scales far "
        "apart it falls, rises and falls again, and step sizes that equalise the scales remove the second descent."
    ),
    references=(
        "Ali, Kolter, Tibshirani, A continuous-time view of early stopping for least squares, AISTATS 2019, Theorem 3",
        "Heckel, Yilmaz, Early stopping in deep networks: double descent and how to eliminate it, ICLR 2021",
        "Atanasov, Zavatone-Veth, Pehlevan, Scaling and renormalization in high-dimensional regression, 2024",
    ),
    version="1",
    cell_version="1",
    cells=cells,
    measure=measure,
    predict=predict,
    claims=(
        _curve("wide-curve", WIDE, "the risk is the Marchenko-Pastur integral at every time, p = 2n"),
        _curve("narrow-curve", "one scale, p = n/2", "the same for p = n/2"),
        _curve("two-scales-curve", TWO, "with two scales it is the two-resolvent integral at every time"),
        _curve("matched-curve", MATCHED, "with matched steps it is that of one scale"),
        _ratio("stopping-pays", WIDE, 1.0, 1e4, _below(0.9), "stopped near the predicted time, a tenth less risk"),
        _ratio("rise", TWO, 10.0, 1.0, Greater(float(np.log(1.05))), "between the scales the risk rises by 5 %"),
        _ratio("second-descent", TWO, 1000.0, 10.0, _below(0.8), "and then falls by a fifth"),
    ),
    controls=(
        _curve("wrong-clock", TWO, "the same theory with a clock that runs three times as fast", "wrong clock",
               protects=("two-scales-curve",)),
        _curve("half-the-noise", WIDE, "the Marchenko-Pastur integral at half the noise", "half the noise",
               protects=("wide-curve", "narrow-curve", "matched-curve", "stopping-pays")),
        _ratio("matched-second-descent", MATCHED, 1000.0, 10.0, _below(0.8), "a second descent with matched steps",
               protects=("rise", "second-descent")),
    ),
    figures=(
        _figure("two-scales", "Two scales: three decades apart, or matched by the step sizes", (TWO, MATCHED)),
        _figure("one-scale", "One scale: early stopping", ("one scale, p = 2n", "one scale, p = n/2")),
    ),
    depends_on=("pyphenom.theory",),
    deviations=(
        "Training is gradient flow in closed form, by an eigendecomposition. Heckel and Yilmaz take gradient "
        "steps, which the flow is the limit of; of their models only the linear one is here, and no network.",
        "Heckel and Yilmaz's formula is for many more samples than coordinates. Here there are twice as many (400 and "
        "200), the two scales differ by 1000 in variance, and the theory is the proportional limit of two resolvents.",
        "The theories are limits of many dimensions. At n = 200 and 400 claims allow a relative error of 2/n.",
        "The numbers of replicates are ours.",
    ),
)
# fmt: on
