"""Curvature of a loss: Hessian, Gauss-Newton, Fisher and tangent-kernel products as operators, and their spectra."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pyphenom.curvature.density import Curve, SpectralDensity, spectral_density
from pyphenom.curvature.lanczos import Eigenpairs, Status, eigsh
from pyphenom.curvature.operator import Operator, RectangularOperator, Reduced, as_operator
from pyphenom.curvature.trace import Estimate, diagonal, logdet, trace

if TYPE_CHECKING:
    from pyphenom.curvature.torch_linearize import Linearization, linearize
    from pyphenom.curvature.torch_sharpness import Crossing, SharpnessTracker

__all__ = [
    "Crossing",
    "Curve",
    "Eigenpairs",
    "Estimate",
    "Linearization",
    "Operator",
    "RectangularOperator",
    "Reduced",
    "SharpnessTracker",
    "SpectralDensity",
    "Status",
    "as_operator",
    "diagonal",
    "eigsh",
    "linearize",
    "logdet",
    "spectral_density",
    "trace",
]

# torch takes a second to import: only who linearises a model pays for it.
_LAZY = {
    "Crossing": "torch_sharpness",
    "Linearization": "torch_linearize",
    "SharpnessTracker": "torch_sharpness",
    "linearize": "torch_linearize",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
