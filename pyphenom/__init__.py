"""pyphenom: analytic predictions, experiments that can contradict them, and verdicts, for deep learning.

>>> import pyphenom as ph
>>> ph.theory.ridge_regression.isotropic_risk(aspect_ratio=2.0, noise_variance=0.25).total
0.75
"""

from __future__ import annotations

import importlib
from typing import Any

from pyphenom._core import __version__

_SUBPACKAGES = (
    "bounds",
    "curvature",
    "data",
    "implicit_bias",
    "interpolation",
    "random_features",
    "report",
    "studies",
    "theory",
)

__all__ = ["__version__", *_SUBPACKAGES]


def __getattr__(name: str) -> Any:
    # Subpackages load on first use: a script that needs one formula does not pay for pandas and matplotlib.
    if name in _SUBPACKAGES:
        return importlib.import_module(f"pyphenom.{name}")
    raise AttributeError(f"module 'pyphenom' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
