"""The engine: a study is independent cells, a theory, and claims that the measurement can contradict."""

from .cell import Cell, Streams
from .evidence import ClaimError
from .executors import process_pool
from .registry import BrokenStudy, UnknownStudy, available, load
from .relations import Curve, Equal, Equivalent, Greater, Identity, Less, Relation, Within
from .result import Failure, StudyResult
from .rows import Select
from .runner import Comparison, Measurement, WorkerLost, compare, conclude, measure, run
from .store import Store
from .study import PRESETS, Claim, Figure, Guard, Preset, Study
from .verdict import Verdict, Word

__all__ = [
    "PRESETS",
    "BrokenStudy",
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
    "compare",
    "conclude",
    "load",
    "measure",
    "process_pool",
    "run",
]
