"""Where optimisers end on separable data: descent of linear models to very long times, in log-domain arithmetic."""

from pyphenom.implicit_bias.descent import DescentPath, gradient_descent
from pyphenom.implicit_bias.flow import FlowPath, gradient_flow
from pyphenom.implicit_bias.methods import Accelerated, Adam, BatchNorm, Gradient, Method, Momentum, Normalized
from pyphenom.implicit_bias.path import LinearPath

__all__ = [
    "Accelerated",
    "Adam",
    "BatchNorm",
    "DescentPath",
    "FlowPath",
    "Gradient",
    "LinearPath",
    "Method",
    "Momentum",
    "Normalized",
    "gradient_descent",
    "gradient_flow",
]
