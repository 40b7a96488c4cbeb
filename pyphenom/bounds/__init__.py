"""Bounds on the true error of a network that hold with a stated probability, and the account of what they rest on."""

from __future__ import annotations

from pyphenom.bounds.bound_optimisation import BoundOptimisation, OptimisationState, optimise_bound
from pyphenom.bounds.gaussian import gaussian_kl, gaussian_kl_layers, optimal_prior_scale
from pyphenom.bounds.gaussian_draws import Draws, draws, sample_outputs
from pyphenom.bounds.gaussian_mlp import GaussianMLP
from pyphenom.bounds.held_out import test_set
from pyphenom.bounds.kl import InverseGradient, binary_kl, kl_inverse, kl_inverse_gradient
from pyphenom.bounds.moments import log_xi
from pyphenom.bounds.pac_bayes import maurer

__all__ = [
    "BoundOptimisation",
    "Draws",
    "GaussianMLP",
    "InverseGradient",
    "OptimisationState",
    "binary_kl",
    "draws",
    "gaussian_kl",
    "gaussian_kl_layers",
    "kl_inverse",
    "kl_inverse_gradient",
    "log_xi",
    "maurer",
    "optimal_prior_scale",
    "optimise_bound",
    "sample_outputs",
    "test_set",
]
