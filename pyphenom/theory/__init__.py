"""Analytic models: pure functions of their parameters, float64, no randomness."""

from . import (
    averaging_classifier,
    benign_overfitting,
    class_spectrum,
    eigenframework,
    expected_kernels,
    fixed_design,
    gradient_flow,
    hidden_features,
    implicit_bias,
    random_features,
    ridge_regression,
    scaling_laws,
    sgd_noise,
    sphere,
    two_layer_cnn,
    universal_approximation,
)
from .risk import Risk

__all__ = [
    "Risk",
    "averaging_classifier",
    "benign_overfitting",
    "class_spectrum",
    "eigenframework",
    "expected_kernels",
    "fixed_design",
    "gradient_flow",
    "hidden_features",
    "implicit_bias",
    "random_features",
    "ridge_regression",
    "scaling_laws",
    "sgd_noise",
    "sphere",
    "two_layer_cnn",
    "universal_approximation",
]
