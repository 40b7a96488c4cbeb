"""Generalisation bounds, and Gaussian networks that are trained to have small ones."""

from pyphenom.bounds.bound_optimisation import BoundOptimisation, OptimisationState, optimise_bound
from pyphenom.bounds.gaussian_mlp import Draws, GaussianMLP, draws, sample_outputs

__all__ = [
    "BoundOptimisation",
    "Draws",
    "GaussianMLP",
    "OptimisationState",
    "draws",
    "optimise_bound",
    "sample_outputs",
]
