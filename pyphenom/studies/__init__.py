"""The engine: a study is independent cells, a theory, and claims that the measurement can contradict.

>>> import tempfile
>>> import pandas as pd
>>> def cells(preset):
...     return [Cell("gaussian", {"location": x}, replicate) for x in (1.0, 2.0) for replicate in range(8)]
>>> def measure(cell, streams):
...     draws = streams.rng("data").normal(cell.parameters["location"], size=10_000)
...     return pd.DataFrame({"quantity": ["mean"], "value": [draws.mean()]})
>>> def predict(cells, measured):
...     locations = sorted({cell.parameters["location"] for cell in cells})
...     exact = pd.DataFrame({"arm": "gaussian", "location": locations, "quantity": "mean", "value": locations})
...     return pd.concat([exact, exact.assign(quantity="wrong law", value=exact["value"] + 0.5)])
>>> mean, wrong = Select("mean", over="location"), Select("wrong law", over="location")
>>> study = Study(
...     name="gaussian-mean",
...     title="The mean of Gaussian draws",
...     summary="Sample means against the law that they follow exactly.",
...     references=("Gauss 1809",),
...     version="1",
...     cell_version="1",
...     cells=cells,
...     measure=measure,
...     predict=predict,
...     claims=(Claim("law", "the mean is the location", mean.measured, Curve(0.05), mean.predicted),),
...     controls=(Claim("shifted", "a wrong law", mean.measured, Curve(0.05), wrong.predicted),),
...     figures=(Figure("mean", "Means", "mean", x="location", x_label="location", y_label="mean"),),
... )
>>> result = run(study, preset="smoke", store=tempfile.mkdtemp())
>>> result.verdict, [verdict.word for verdict in result.verdicts]
('CONFIRMED', ['CONFIRMED', 'REFUTED'])
"""

from .cell import Cell, Streams
from .evidence import ClaimError
from .executors import process_pool
from .planning import ArmPlan, Plan, plan
from .registry import BrokenStudy, UnknownStudy, available, load
from .relations import Curve, Equal, Equivalent, Greater, Identity, Less, Relation, Within
from .result import Failure, StudyResult
from .rows import Select
from .runner import BudgetSpent, Comparison, Measurement, WorkerLost, begin, compare, conclude, measure, run
from .shorthand import claim_about, guard_values, tidy
from .store import Store
from .study import PRESETS, Claim, Figure, Guard, Preset, Study
from .verdict import Verdict, Word

__all__ = [
    "PRESETS",
    "ArmPlan",
    "BrokenStudy",
    "BudgetSpent",
    "Cell",
    "Claim",
    "ClaimError",
    "Comparison",
    "Curve",
    "Equal",
    "Equivalent",
    "Failure",
    "Figure",
    "Greater",
    "Guard",
    "Identity",
    "Less",
    "Measurement",
    "Plan",
    "Preset",
    "Relation",
    "Select",
    "Store",
    "Streams",
    "Study",
    "StudyResult",
    "UnknownStudy",
    "Verdict",
    "Within",
    "Word",
    "WorkerLost",
    "available",
    "begin",
    "claim_about",
    "compare",
    "conclude",
    "guard_values",
    "load",
    "measure",
    "plan",
    "process_pool",
    "run",
    "tidy",
]
