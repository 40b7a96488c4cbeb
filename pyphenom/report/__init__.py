"""Tables, figures, files and pages for people and for programs, from the results of studies."""

from .certificate import draw_certificate
from .figures import divergence, draw, measurement, save_figure, style, theory
from .html import command, html, to_dict, write_report
from .images import images
from .save import save
from .spectrum import draw_spectrum, spectrum_table
from .tables import plan_table, study_table, verdict_table

__all__ = [
    "command",
    "divergence",
    "draw",
    "draw_certificate",
    "draw_spectrum",
    "html",
    "images",
    "measurement",
    "plan_table",
    "save",
    "save_figure",
    "spectrum_table",
    "study_table",
    "style",
    "theory",
    "to_dict",
    "verdict_table",
    "write_report",
]
