"""Curvature: extreme eigenpairs, spectral densities and traces of operators known by their products."""

from pyphenom.curvature.density import Curve, SpectralDensity, spectral_density
from pyphenom.curvature.lanczos import Eigenpairs, Status, eigsh
from pyphenom.curvature.trace import Estimate, diagonal, logdet, trace

__all__ = [
    "Curve",
    "Eigenpairs",
    "Estimate",
    "SpectralDensity",
    "Status",
    "diagonal",
    "eigsh",
    "logdet",
    "spectral_density",
    "trace",
]
