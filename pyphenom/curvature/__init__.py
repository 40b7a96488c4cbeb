"""Curvature: extreme eigenpairs, spectral densities and traces of operators known by their products."""

from pyphenom.curvature.lanczos import Eigenpairs, Status, eigsh

__all__ = ["Eigenpairs", "Status", "eigsh"]
