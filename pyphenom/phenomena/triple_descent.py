"""Two peaks in the number of samples: a linear one at n = d and a nonlinear one at n = N.

Random-feature regression overfits label noise twice. The d linear directions of the features are resolved when n
passes d, and there the linear part of the fit follows the noise; all N features are used up when n passes N, the
interpolation threshold. The nonlinear part of the activation looks like noise at n = d: its power, the mass of the
kernel's tail, is a ridge on the linear part. So the first peak is infinite for linear features, which have no second
one; it is finite for a weakly nonlinear activation such as tanh, and gone for ReLU. It needs strong label noise. A
ridge removes the second peak first, and a larger one both (d'Ascoli, Sagun and Biroli 2020).

The theory is the eigenvalue framework with the exact spectrum of the kernel on the sphere. In Mei and Montanari's limit
tanh is more nonlinear than at this dimension (the tail is a twentieth larger), the first peak 3 % lower. The degrees
above 2 are a tail of infinitely many modes of no size; to list the 22050 of degree 3 would change no error by 1 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from pyphenom import data, random_features
from pyphenom.studies import Cell, Claim, Curve, Figure, Greater, Guard, Less, Relation, Select, Streams, Study
from pyphenom.studies.study import Preset
from pyphenom.theory import eigenframework, sphere

Array: TypeAlias = NDArray[np.float64]
Samples: TypeAlias = tuple[int, ...]

REPLICATES = {"smoke": 6, "quick": 48, "full": 600}
D, WIDTH, TEST_POINTS = 50, 400, 400
TARGETS = 10  # linear, of power 1, each with label noise of its own: one factorisation serves all
FIRST, VALLEY, LAST = 10, 150, 800

RIDGELESS = (FIRST, 25, 35, 42, D, 58, 75, 100, VALLEY, 250, 340, WIDTH, 460, LAST)
RIDGE = (FIRST, 25, 35, D, 75, 100, VALLEY, 250, WIDTH, LAST)
IDENTITY = (FIRST, D, 125, VALLEY, 250, WIDTH, LAST)

# The Gaussian equivalence behind the theory misses terms of order 1/d. Beside a pole of the risk it also misses one of
# order 1/|n - pole| (Gaussian features: N/(n - N - 1) for N/(n - N)); where that exceeds 1/d no mean is compared.
BAND = 2.0 / D
AWAY = D


@dataclass(frozen=True)
class _Arm:
    """Features, label noise, ridge in Mei and Montanari's scaling, and the numbers of samples that are measured."""

    activation: str
    noise: float = 1.0
    ridge: float = 0.0
    samples: Samples = RIDGELESS

    @property
    def pole(self) -> float:
        """Where the ridgeless fit ceases to interpolate and its risk is infinite; none with a ridge."""
        return np.inf if self.ridge else D if self.activation == "identity" else WIDTH


ARMS = {
    "identity": _Arm("identity", samples=IDENTITY),
    "tanh": _Arm("tanh"),
    "relu": _Arm("relu"),
    "tanh, less noise": _Arm("tanh", noise=0.25),
    "tanh, small ridge": _Arm("tanh", ridge=0.01, samples=RIDGE),
    "tanh, ridge": _Arm("tanh", ridge=0.1, samples=RIDGE),
}


# ---- cells, measurement, predictions -----------------------------------------------------------------------------


def cells(preset: Preset) -> list[Cell]:
    """Each arm once a replicate; all numbers of samples share the data and the features."""
    return [Cell(arm, {}, replicate) for arm in ARMS for replicate in range(REPLICATES[preset])]


def measure(cell: Cell, streams: Streams) -> pd.DataFrame:
    """Measure one arm once, at growing parts of one training set."""
    arm = ARMS[cell.arm]
    rng = streams.rng("data")
    targets = rng.standard_normal((D, TARGETS))
    targets /= np.linalg.norm(targets, axis=0)
    X_test, X = data.sphere(TEST_POINTS, D, rng), data.sphere(LAST, D, rng)
    labels = X @ targets + np.sqrt(arm.noise) * streams.rng("label noise").standard_normal((LAST, TARGETS))
    Z, Z_test = (
        random_features.features(x, WIDTH, arm.activation, streams.seed("init"), distribution="sphere")
        for x in (X, X_test)
    )
    if arm.activation == "identity":  # WIDTH features of rank D: in a basis of their row space predictions are the same
        basis = np.linalg.qr(Z[:D].T)[0]
        Z, Z_test = Z @ basis, Z_test @ basis
    test_error, train_error = [], []
    for n, coefficients in zip(arm.samples, _fits(Z, labels, arm), strict=True):
        test_error.append(np.mean((Z_test @ coefficients - X_test @ targets) ** 2))
        train_error.append(np.mean((Z[:n] @ coefficients - labels[:n]) ** 2, axis=0).max())
    errors = {"test_error": test_error, "train_error": train_error}
    parts = [pd.DataFrame({"n": arm.samples, "quantity": name, "value": value}) for name, value in errors.items()]
    return pd.concat(parts, ignore_index=True)


def _fits(Z: Array, labels: Array, arm: _Arm) -> list[Array]:
    """Coefficients of the minimum-norm fit, or of the ridge fit, to growing numbers of samples.

    Cholesky factors of the smaller of the two products of Z with itself serve: the grid is sparse beside the pole. On
    the pole itself, where their condition is unbounded, Z is solved directly.
    """
    width = Z.shape[1]
    kernel, gram, counted = Z[:width] @ Z[:width].T, np.zeros((width, width)), 0
    fits = []
    for n in arm.samples:
        penalty = n * WIDTH * arm.ridge / D  # Mei and Montanari's
        if n > width:
            gram += Z[counted:n].T @ Z[counted:n]
            counted = n
            factor = cho_factor(gram + penalty * np.eye(width), check_finite=False)
            fits.append(cho_solve(factor, Z[:n].T @ labels[:n], check_finite=False))
        elif n < width or penalty:
            factor = cho_factor(kernel[:n, :n] + penalty * np.eye(n), check_finite=False)
            fits.append(Z[:n].T @ cho_solve(factor, labels[:n], check_finite=False))
        else:
            fits.append(np.asarray(np.linalg.solve(Z[:n], labels[:n]), np.float64))
    return fits


def _theory(arm: _Arm, n: Any, noise: float = 1.0, nonlinear: float = 1.0) -> Any:
    """Excess risk; the label noise and the nonlinear part of the activation may be falsified by a factor."""
    law = sphere.spectrum(D, arm.activation, degrees=2)
    power = np.zeros(law.modes().size)
    power[1 : D + 1] = 1.0 / D
    # The penalty on |a|^2, for features that are not divided by the root of N
    penalty = np.asarray(n) * arm.ridge / D
    return eigenframework.random_feature_regression(
        law.modes(), power, n, WIDTH, penalty, noise * arm.noise, nonlinear * law.tail
    ).test_error


def predict(cells: Sequence[Cell], measured: pd.DataFrame) -> pd.DataFrame:
    """Predict every arm, and what deliberately wrong theories would say of tanh."""
    n = np.union1d(np.geomspace(FIRST, LAST, 100).round().astype(int), (*RIDGELESS, *IDENTITY))
    curves = [(name, "test_error", _theory(arm, n)) for name, arm in ARMS.items()]
    curves.append(("tanh", "half the noise", _theory(ARMS["tanh"], n, noise=0.5)))
    curves.append(("tanh", "half the nonlinear part", _theory(ARMS["tanh"], n, nonlinear=0.5)))
    tables = []
    for arm, quantity, value in curves:
        band = np.where(np.isfinite(value), BAND * value, 0.0)
        tables.append(pd.DataFrame({"arm": arm, "n": n, "quantity": quantity, "value": value, "band": band}))
    return pd.concat(tables, ignore_index=True)


# ---- claims ------------------------------------------------------------------------------------------------------


Pairs: TypeAlias = tuple[tuple[int, int], ...]


def _curve(id: str, arm: str, statement: str, theory: str = "test_error", **options: Any) -> Claim:
    """Claim that the measured curve lies on the predicted one at every n, a distance d away from the pole."""

    def where(rows: pd.DataFrame) -> pd.Series:
        return (rows["n"] - ARMS[arm].pole).abs() >= AWAY

    measured, predicted = Select("test_error", arm, "n", where).measured, Select(theory, arm, "n", where).predicted
    return Claim(
        id, statement, measured, Curve(0.10), predicted, arms=(arm,), quantities=("test_error", theory), **options
    )


def _log_ratios(rows: pd.DataFrame, arm: str, pairs: Pairs) -> pd.DataFrame:
    """Log of the test error at one n over that at another, paired within replicates."""
    table = Select("test_error", arm, "n").measured(rows)
    return pd.DataFrame({f"{at} over {to}": np.log(table[at] / table[to]) for at, to in pairs})


def _ratios(id: str, arm: str, pairs: Pairs, relation: Relation, statement: str, **options: Any) -> Claim:
    def statistic(rows: pd.DataFrame) -> pd.DataFrame:
        return _log_ratios(rows, arm, pairs)

    return Claim(id, statement, statistic, relation, arms=(arm,), quantities=("test_error",), **options)


def _rises(rows: pd.DataFrame) -> pd.DataFrame:
    """By how much more the log of the error rises to n = d with the less nonlinear of two activations."""
    identity, tanh, relu = (_log_ratios(rows, arm, ((D, FIRST),)).iloc[:, 0] for arm in ACTIVATIONS)
    return pd.DataFrame({"identity over tanh": identity - tanh, "tanh over relu": tanh - relu})


def _more_than(factor: float) -> Greater:
    return Greater(float(np.log(factor)))


def _figure(name: str, caption: str, *arms: str) -> Figure:
    return Figure(name, caption, "test_error", "n", "samples n", "excess risk", arms, "log", "log")


ACTIVATIONS = ("identity", "tanh", "relu")
RISE, LINEAR_PEAK = ((D, FIRST),), ((D, FIRST), (D, VALLEY))
NONLINEAR_PEAK = ((WIDTH, VALLEY), (WIDTH, LAST))
FALL_LATE = ((WIDTH, VALLEY), (LAST, WIDTH))
FALL = ((D, FIRST), (VALLEY, D), *FALL_LATE)
A_THIRD = _more_than(4 / 3)

# fmt: off
study = Study(
    name="triple-descent",
    title="Triple descent: a linear peak at n = d and a nonlinear one at n = N",
    summary=(
        "Against the number of samples the test error of random features has two peaks. The one at n = d is bounded "
        "by the nonlinearity of the activation and needs label noise, the one at n = N is the interpolation "
        "threshold; a small ridge removes the second, a larger one both."
    ),
    references=(
        "d'Ascoli, Sagun, Biroli, Triple descent and the two kinds of overfitting, NeurIPS 2020",
        "Mei, Montanari, The generalization error of random features regression, CPAM 2022 (the setting)",
        "Simon, Karkada, Ghosh, Belkin, More is better, ICLR 2024 (eigenframework)",
    ),
    version="1",
    cell_version="1",
    cells=cells,
    measure=measure,
    predict=predict,
    guards=(
        Guard(
            "interpolation",
            "before its pole the ridgeless fit interpolates: training error below 1e-12",
            lambda rows: rows[
                (rows["quantity"] == "train_error")
                & (rows["n"] < rows["arm"].map({name: arm.pole for name, arm in ARMS.items()}))
                & ~(rows["value"] <= 1e-12)
            ],
            arms=tuple(name for name, arm in ARMS.items() if not arm.ridge),
        ),
    ),
    claims=(
        _curve("tanh-curve", "tanh", "the risk is the eigenvalue framework's at every n, through the linear peak"),
        _curve("less-noise-curve", "tanh, less noise", "the same at a quarter of the noise"),
        _curve("relu-curve", "relu", "the same for ReLU"),
        _curve("identity-curve", "identity", "the same for linear features, beyond n = d"),
        _curve("small-ridge-curve", "tanh, small ridge", "the same with a small ridge, at n = N too"),
        _curve("ridge-curve", "tanh, ridge", "and with a larger one"),
        _ratios("linear-peak", "tanh", LINEAR_PEAK, A_THIRD, "at n = d the error is a third above both valleys"),
        _ratios("nonlinear-peak", "tanh", NONLINEAR_PEAK, _more_than(10), "at n = N it is ten times the errors beside"),
        _ratios("less-noise-rise", "tanh, less noise", RISE, Less(), "a quarter of the noise makes no linear peak"),
        _ratios("less-noise-peak", "tanh, less noise", NONLINEAR_PEAK, _more_than(10), "but the nonlinear one"),
        _ratios("relu-rise", "relu", RISE, Less(), "ReLU has no linear peak"),
        _ratios("relu-peak", "relu", NONLINEAR_PEAK, _more_than(10), "but the nonlinear one"),
        _ratios("identity-peak", "identity", LINEAR_PEAK, _more_than(10), "linear features peak at n = d"),
        _ratios("identity-fall", "identity", FALL_LATE, Less(), "and not at n = N"),
        Claim("regularised", "the more nonlinear the activation, the smaller the rise to n = d, by a third each",
              _rises, A_THIRD, arms=ACTIVATIONS, quantities=("test_error",)),
        _ratios("small-ridge-rise", "tanh, small ridge", LINEAR_PEAK, _more_than(1.2), "with a small ridge it stays"),
        _ratios("small-ridge-fall", "tanh, small ridge", FALL_LATE, Less(), "and the nonlinear peak is gone"),
        _ratios("ridge-fall", "tanh, ridge", FALL, Less(), "a larger ridge removes both peaks"),
    ),
    controls=(
        _curve("half-the-noise", "tanh", "the eigenvalue framework at half the noise", "half the noise",
               protects=("tanh-curve", "less-noise-curve", "relu-curve", "identity-curve", "less-noise-rise")),
        _curve("half-the-nonlinear-part", "tanh", "the same with half the power of the nonlinear part",
               "half the nonlinear part",
               protects=("tanh-curve", "small-ridge-curve", "ridge-curve", "regularised")),
        _ratios("relu-linear-peak", "relu", RISE, A_THIRD, "a linear peak with ReLU",
                protects=("linear-peak", "relu-rise", "regularised", "identity-peak", "small-ridge-rise")),
        _ratios("identity-threshold", "identity", ((WIDTH, VALLEY),), _more_than(2), "linear features peak at N",
                protects=("nonlinear-peak", "less-noise-peak", "relu-peak", "identity-fall")),
        _ratios("ridge-peaks", "tanh, ridge", ((D, FIRST), (WIDTH, VALLEY)), _more_than(1.2), "peaks with a ridge",
                protects=("small-ridge-fall", "ridge-fall")),
    ),
    figures=(
        _figure("activations", f"Three activations, N = {WIDTH}, d = {D}", *ACTIVATIONS),
        _figure("noise", "tanh at label noise 1 and 1/4", "tanh", "tanh, less noise"),
        _figure("ridge", "tanh without a ridge, and with ridges 0.01 and 0.1", "tanh", "tanh, small ridge",
                "tanh, ridge"),
        replace(_figure("linear-peak", f"The linear peak, at n = d = {D}", "tanh", "relu", "tanh, less noise",
                        "tanh, small ridge", "tanh, ridge"), y_scale="linear", x_limits=(FIRST, 210)),
    ),
    depends_on=("pyphenom._core", "pyphenom.random_features", "pyphenom.data", "pyphenom.theory"),
)
# fmt: on
