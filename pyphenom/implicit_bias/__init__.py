"""Where optimisers end on separable data: descent to very long times, and the limits to compare it with."""

from pyphenom.implicit_bias.cnn import CNNDescent, cnn_descent
from pyphenom.implicit_bias.descent import DescentPath, gradient_descent
from pyphenom.implicit_bias.flow import FlowPath, gradient_flow
from pyphenom.implicit_bias.hard_margin import HardMargin, hard_margin
from pyphenom.implicit_bias.methods import Accelerated, Adam, BatchNorm, Gradient, Method, Momentum, Normalized
from pyphenom.implicit_bias.path import LinearPath

__all__ = [
    "Accelerated",
    "Adam",
    "BatchNorm",
    "CNNDescent",
    "DescentPath",
    "FlowPath",
    "Gradient",
    "HardMargin",
    "LinearPath",
    "Method",
    "Momentum",
    "Normalized",
    "cnn_descent",
    "gradient_descent",
    "gradient_flow",
    "hard_margin",
]
