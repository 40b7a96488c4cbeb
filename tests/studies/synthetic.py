"""Studies whose measured values are given, so that only the verdict step is at work."""

import numpy as np
import pandas as pd

from pyphenom.studies import Cell, Claim, Measurement, Select, Study, compare, conclude

VALUE = Select("value", over="point")


def measurement(values, claims, controls=(), guards=(), predicted=None, band=0.0, name="synthetic"):
    """Replicates by points, measured; one predicted value and band for each point, or none."""
    values = np.asarray(values, dtype=float)
    replicates, points = np.indices(values.shape)
    rows = pd.DataFrame(
        {
            "study": name,
            "arm": "a",
            "point": points.ravel(),
            "replicate": replicates.ravel(),
            "quantity": "value",
            "value": values.ravel(),
            "origin": "measured",
            "band": 0.0,
        }
    ).astype({"replicate": "Int64"})

    def predict(cells, measured):
        value = np.broadcast_to(predicted, values.shape[1])
        table = {"arm": "a", "point": np.arange(values.shape[1]), "quantity": "value", "value": value, "band": band}
        return pd.DataFrame(table)

    cells = tuple(Cell("a", {}, replicate) for replicate in range(len(values)))
    study = Study(
        name=name,
        title=name,
        summary="",
        references=(),
        version="1",
        cell_version="1",
        cells=lambda preset: cells,
        measure=lambda cell, streams: rows,
        claims=tuple(claims),
        predict=None if predicted is None else predict,
        guards=tuple(guards),
        controls=tuple(controls),
    )
    return Measurement(study, "quick", 0, cells, rows, (), 0.0)


def claim(relation, id="claim", target=VALUE.predicted, **options):
    return Claim(id, "a statement", VALUE.measured, relation, target, **options)


def judged(*measurements):
    """One tuple of verdicts per study, all decided as one family."""
    return tuple(result.verdicts for result in conclude([compare(m) for m in measurements]))


def verdict(relation, values, target=0.0, **options):
    """The verdict on one claim about replicates by points, or about replicates of a scalar."""
    values = np.asarray(values, dtype=float)
    values = values[:, None] if values.ndim == 1 else values
    return judged(measurement(values, [claim(relation, target=target, **options)]))[0][0]
