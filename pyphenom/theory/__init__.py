"""Analytic models: pure functions of their parameters, float64, no randomness."""

from . import (
    class_spectrum,
    classifier_descent,
    eigenframework,
    expected_kernels,
    fixed_design,
    gradient_flow,
    hidden_features,
    links,
    logistic_regression,
    max_margin,
    random_features,
    ridge_regression,
    scaling_laws,
    sgd_noise,
    sphere,
    universal_approximation,
)
from .risk import Risk

__all__ = [
    "Risk",
    "class_spectrum",
    "classifier_descent",
    "eigenframework",
    "expected_kernels",
    "fixed_design",
    "gradient_flow",
    "hidden_features",
    "links",
    "logistic_regression",
    "max_margin",
    "random_features",
    "ridge_regression",
    "scaling_laws",
    "sgd_noise",
    "sphere",
    "universal_approximation",
]
