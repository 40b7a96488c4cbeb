"""Tables, figures and files for people and for programs, from the results of studies."""

from .figures import divergence, draw, measurement, save_figure, style, theory
from .save import save
from .tables import study_table, verdict_table

__all__ = [
    "divergence",
    "draw",
    "measurement",
    "save",
    "save_figure",
    "study_table",
    "style",
    "theory",
    "verdict_table",
]
