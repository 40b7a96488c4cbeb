"""Interpolants of any labels: the ReLU network with 2n + d weights, and minimum-norm solutions to compare it with."""

from pyphenom.interpolation.barron import StepNetwork, greedy_network, sample_gaussian
from pyphenom.interpolation.construct import relu_interpolant
from pyphenom.interpolation.minimum_norm import MinimumNorm, minimum_norm_kernel, minimum_norm_linear
from pyphenom.interpolation.network import Parameters, ReLUInterpolant

__all__ = [
    "MinimumNorm",
    "Parameters",
    "ReLUInterpolant",
    "StepNetwork",
    "greedy_network",
    "minimum_norm_kernel",
    "minimum_norm_linear",
    "relu_interpolant",
    "sample_gaussian",
]
