"""Bounds on the true error of a network that hold with a stated probability, and the account of what they rest on."""

from __future__ import annotations

from pyphenom.bounds.gaussian import gaussian_kl, gaussian_kl_layers, optimal_prior_scale
from pyphenom.bounds.held_out import test_set
from pyphenom.bounds.kl import InverseGradient, binary_kl, kl_inverse, kl_inverse_gradient
from pyphenom.bounds.moments import log_xi
from pyphenom.bounds.pac_bayes import maurer

__all__ = [
    "InverseGradient",
    "binary_kl",
    "gaussian_kl",
    "gaussian_kl_layers",
    "kl_inverse",
    "kl_inverse_gradient",
    "log_xi",
    "maurer",
    "optimal_prior_scale",
    "test_set",
]
