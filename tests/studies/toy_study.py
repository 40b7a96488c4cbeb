"""Studies whose truth is known; each finished measurement leaves a line in the file named by TOY_LOG."""

import os
import signal
import time
from pathlib import Path

import pandas as pd

from pyphenom.studies import (
    Cell,
    Claim,
    Curve,
    Equal,
    Equivalent,
    Figure,
    Greater,
    Guard,
    Identity,
    Select,
    Study,
)

LOCATIONS = (1.0, 2.0, 4.0)
REPLICATES = {"smoke": 4, "quick": 12, "full": 40}


def cells(preset):
    return [
        Cell("gaussian", {"location": location}, replicate)
        for location in LOCATIONS
        for replicate in range(REPLICATES[preset])
    ]


def measure(cell, streams):
    behaviour = os.environ.get("TOY_BEHAVIOUR", "")
    location = float(cell.parameters["location"])
    if behaviour == "slow":
        time.sleep(0.15)
    if behaviour == "stuck" and cell.replicate == 3:
        time.sleep(120)
    if location == 2.0 and cell.replicate == 1:
        if behaviour == "fail":
            raise ArithmeticError("the toy is broken")
        if behaviour == "kill":
            time.sleep(0.5)
            os.kill(os.getpid(), signal.SIGKILL)
    draws = location + streams.rng("data").normal(size=400)
    rows = pd.DataFrame(
        {"quantity": ["mean", "square", "twice"], "value": [draws.mean(), (draws**2).mean(), 2.0 * draws.mean()]}
    )
    if log := os.environ.get("TOY_LOG"):
        with Path(log).open("a") as file:
            file.write(cell.canonical() + "\n")
    return rows


def predict(cells, measured):
    rows = []
    for location in (*LOCATIONS, 3.0):
        for quantity, value in (("mean", location), ("square", location**2 + 1.0), ("wrong", location + 0.5)):
            rows.append({"arm": "gaussian", "location": location, "quantity": quantity, "value": value})
    return pd.DataFrame(rows)


def twice_the_mean(rows):
    return Select("twice", over="location").measured(rows) - 2.0 * Select("mean", over="location").measured(rows)


MEAN = Select("mean", arm="gaussian", over="location")
SQUARE_AT_2 = Select("square", arm="gaussian", where=lambda rows: rows["location"] == 2.0)

study = Study(
    name="toy",
    title="The mean of a Gaussian",
    summary="Sample means against the exact law.",
    references=("Gauss 1809",),
    version="1",
    cell_version="1",
    cells=cells,
    measure=measure,
    predict=predict,
    guards=(Guard("positive", "squares are positive", lambda rows: rows[~(rows["value"] > -9.0)]),),
    claims=(
        Claim("mean", "the mean is the location", MEAN.measured, Curve(0.25), MEAN.predicted),
        Claim("square", "the second moment is exact", SQUARE_AT_2.measured, Equal(0.25), SQUARE_AT_2.predicted),
        Claim("twice", "twice is twice", twice_the_mean, Identity(1e-12)),
        Claim("order", "the mean exceeds 0.5", MEAN.measured, Greater(0.5), primary=False),
    ),
    controls=(
        Claim("wrong", "a shifted law", MEAN.measured, Curve(0.25), Select("wrong", over="location").predicted),
        Claim("nothing", "no effect", SQUARE_AT_2.measured, Equivalent(1.0), protects=("square",)),
    ),
    figures=(Figure("mean", "Mean", "mean", "location", "location", "mean"),),
    depends_on=("bisect",),
)
