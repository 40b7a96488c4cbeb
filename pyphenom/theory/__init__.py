"""Analytic models: pure functions of their parameters, float64, no randomness."""

from . import eigenframework, expected_kernels, random_features, ridge_regression
from .risk import Risk

__all__ = ["Risk", "eigenframework", "expected_kernels", "random_features", "ridge_regression"]
