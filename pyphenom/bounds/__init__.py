"""Bounds on the true error of a network that hold with a stated probability, and the account of what they rest on."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pyphenom.bounds.bound_optimisation import BoundOptimisation, OptimisationState, optimise_bound
from pyphenom.bounds.certificate import Certificate
from pyphenom.bounds.disintegrated import (
    blanchard_fleuret,
    disintegrated_catoni,
    gaussian_log_ratio,
    rivasplata,
    viallard,
)
from pyphenom.bounds.fixed_rate import catoni, catoni_grid, catoni_union, unexpected_bernstein
from pyphenom.bounds.gaussian import gaussian_kl, gaussian_kl_layers, optimal_prior_scale
from pyphenom.bounds.gaussian_draws import Draws, draws, sample_outputs
from pyphenom.bounds.gaussian_mlp import GaussianMLP
from pyphenom.bounds.held_out import occam, quantised_bits, self_delimiting_bits, test_set
from pyphenom.bounds.kl import InverseGradient, binary_kl, kl_inverse, kl_inverse_gradient
from pyphenom.bounds.ledger import DeltaTree, HeldOut, Layer, Loss, MonteCarlo, Provenance, Union
from pyphenom.bounds.moments import log_xi
from pyphenom.bounds.monte_carlo import (
    empirical_bernstein,
    exact_binary_risk,
    exact_risk,
    independent_draws,
    shared_draws,
)
from pyphenom.bounds.pac_bayes import dziugaite_roy, maurer, mcallester, quadratic, refined_pinsker, thiemann
from pyphenom.bounds.posterior import Posterior
from pyphenom.bounds.rows import Rows
from pyphenom.bounds.selection import Selection, best_valid, index_cost
from pyphenom.bounds.training import Training
from pyphenom.bounds.uniform import golowich_bound, rademacher_bound, relu_log_growth, relu_vc_dimension, vc_bound
from pyphenom.bounds.verification import Check, Verification
from pyphenom.bounds.vote import c_bound, vote_disagreement, vote_first_order, vote_tandem

if TYPE_CHECKING:
    from pyphenom.bounds.torch_certify import certify
    from pyphenom.bounds.torch_gibbs import GibbsNetwork, gibbs_network

__all__ = [
    "BoundOptimisation",
    "Certificate",
    "Check",
    "DeltaTree",
    "Draws",
    "GaussianMLP",
    "GibbsNetwork",
    "HeldOut",
    "InverseGradient",
    "Layer",
    "Loss",
    "MonteCarlo",
    "OptimisationState",
    "Posterior",
    "Provenance",
    "Rows",
    "Selection",
    "Training",
    "Union",
    "Verification",
    "best_valid",
    "binary_kl",
    "blanchard_fleuret",
    "c_bound",
    "catoni",
    "catoni_grid",
    "catoni_union",
    "certify",
    "disintegrated_catoni",
    "draws",
    "dziugaite_roy",
    "empirical_bernstein",
    "exact_binary_risk",
    "exact_risk",
    "gaussian_kl",
    "gaussian_kl_layers",
    "gaussian_log_ratio",
    "gibbs_network",
    "golowich_bound",
    "independent_draws",
    "index_cost",
    "kl_inverse",
    "kl_inverse_gradient",
    "log_xi",
    "maurer",
    "mcallester",
    "occam",
    "optimal_prior_scale",
    "optimise_bound",
    "quadratic",
    "quantised_bits",
    "rademacher_bound",
    "refined_pinsker",
    "relu_log_growth",
    "relu_vc_dimension",
    "rivasplata",
    "sample_outputs",
    "self_delimiting_bits",
    "shared_draws",
    "test_set",
    "thiemann",
    "unexpected_bernstein",
    "vc_bound",
    "viallard",
    "vote_disagreement",
    "vote_first_order",
    "vote_tandem",
]


# torch takes a second to import: only who certifies a model pays for it.
_LAZY = {"GibbsNetwork": "torch_gibbs", "certify": "torch_certify", "gibbs_network": "torch_gibbs"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
