"""Minimum-norm regression on Gaussian data, as a study of one's own."""

import numpy as np
import pandas as pd

from pyphenom import studies
from pyphenom.theory import ridge_regression

N, NOISE, RATIOS = 100, 0.25, (0.5, 2.0, 4.0)


def cells(preset):
    """List every ratio, once a replicate."""
    replicates = {"smoke": 100, "quick": 400, "full": 4000}[preset]
    return [studies.Cell("gaussian", {"aspect_ratio": ratio}, k) for ratio in RATIOS for k in range(replicates)]


def measure(cell, streams):
    """Measure the risk of one fit."""
    rng, p = streams.rng("data"), int(N * cell.parameters["aspect_ratio"])
    X, truth = rng.standard_normal((N, p)), rng.standard_normal(p) / p**0.5
    y = X @ truth + NOISE**0.5 * streams.rng("label noise").standard_normal(N)
    fit = np.linalg.lstsq(X, y, rcond=None)[0]
    return pd.DataFrame({"quantity": ["risk"], "value": [np.sum((fit - truth) ** 2)]})


def predict(cells, measured):
    """Predict the limit of large n, and what twice the noise would give."""
    ratios = np.union1d((*RATIOS, 1.0), np.arange(0.42, 5.0, 0.04))  # more than was measured: for the drawn line

    def rows(quantity, noise):
        risk = ridge_regression.isotropic_risk(ratios, noise_variance=noise).total
        finite_size = 3 / N * risk  # the limit is reached up to O(1/n)
        table = {"arm": "gaussian", "aspect_ratio": ratios, "quantity": quantity, "value": risk, "band": finite_size}
        return pd.DataFrame(table)

    return pd.concat([rows("risk", NOISE), rows("twice the noise", 2 * NOISE)])


risk, wrong = studies.Select("risk", over="aspect_ratio"), studies.Select("twice the noise", over="aspect_ratio")
study = studies.Study(
    name="ridgeless",
    title="Minimum-norm regression",
    summary="The risk of least squares on Gaussian data, below and above the interpolation threshold.",
    references=("Hastie, Montanari, Rosset, Tibshirani, Annals of Statistics 2022, Theorem 1",),
    version="1",
    cell_version="1",
    cells=cells,
    measure=measure,
    predict=predict,
    claims=(studies.Claim("risk", "the risk is on the curve", risk.measured, studies.Curve(0.1), risk.predicted),),
    controls=(studies.Claim("noise", "a wrong noise", risk.measured, studies.Curve(0.1), wrong.predicted),),
    figures=(studies.Figure("risk", "n = 100", "risk", "aspect_ratio", "p / n", "excess risk", y_scale="log"),),
)
