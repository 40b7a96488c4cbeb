"""Bounds on the true error of a network that hold with a stated probability, and the account of what they rest on.

Beside them stand measures: scores that may rank networks, with no confidence attached.
"""

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
from pyphenom.bounds.generalised_degrees import GeneralisedDegrees, generalised_degrees
from pyphenom.bounds.held_out import occam, quantised_bits, self_delimiting_bits, test_set
from pyphenom.bounds.kl import InverseGradient, binary_kl, kl_inverse, kl_inverse_gradient
from pyphenom.bounds.ledger import DeltaTree, HeldOut, Layer, Loss, MonteCarlo, Provenance, Union
from pyphenom.bounds.mdl import CodeLength, doubling_blocks, prequential
from pyphenom.bounds.measures import WeightNorms, norm_measures, pac_bayes_measures, steps_to_loss
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
from pyphenom.bounds.ranking import Granulated, conditional_information, granulated_kendall, kendall
from pyphenom.bounds.rows import Rows
from pyphenom.bounds.selection import Selection, best_valid, index_cost
from pyphenom.bounds.training import Training
from pyphenom.bounds.uniform import golowich_bound, rademacher_bound, relu_log_growth, relu_vc_dimension, vc_bound
from pyphenom.bounds.verification import Check, Verification
from pyphenom.bounds.vote import c_bound, vote_disagreement, vote_first_order, vote_tandem

if TYPE_CHECKING:
    from pyphenom.bounds.torch_certify import certify
    from pyphenom.bounds.torch_gibbs import GibbsNetwork, gibbs_network
    from pyphenom.bounds.torch_gradients import fisher_rao, gradient_noise, input_derivative
    from pyphenom.bounds.torch_measures import ComplexityMeasures, complexity_measures
    from pyphenom.bounds.torch_norms import margins, path_norm, weight_norms
    from pyphenom.bounds.torch_perturbations import perturbation_scale, worst_case_rise, worst_case_scale

__all__ = [
    "BoundOptimisation",
    "Certificate",
    "Check",
    "CodeLength",
    "ComplexityMeasures",
    "DeltaTree",
    "Draws",
    "GaussianMLP",
    "GeneralisedDegrees",
    "GibbsNetwork",
    "Granulated",
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
    "WeightNorms",
    "best_valid",
    "binary_kl",
    "blanchard_fleuret",
    "c_bound",
    "catoni",
    "catoni_grid",
    "catoni_union",
    "certify",
    "complexity_measures",
    "conditional_information",
    "disintegrated_catoni",
    "doubling_blocks",
    "draws",
    "dziugaite_roy",
    "empirical_bernstein",
    "exact_binary_risk",
    "exact_risk",
    "fisher_rao",
    "gaussian_kl",
    "gaussian_kl_layers",
    "gaussian_log_ratio",
    "generalised_degrees",
    "gibbs_network",
    "golowich_bound",
    "gradient_noise",
    "granulated_kendall",
    "independent_draws",
    "index_cost",
    "input_derivative",
    "kendall",
    "kl_inverse",
    "kl_inverse_gradient",
    "log_xi",
    "margins",
    "maurer",
    "mcallester",
    "norm_measures",
    "occam",
    "optimal_prior_scale",
    "optimise_bound",
    "pac_bayes_measures",
    "path_norm",
    "perturbation_scale",
    "prequential",
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
    "steps_to_loss",
    "test_set",
    "thiemann",
    "unexpected_bernstein",
    "vc_bound",
    "viallard",
    "vote_disagreement",
    "vote_first_order",
    "vote_tandem",
    "weight_norms",
    "worst_case_rise",
    "worst_case_scale",
]

# torch takes a second to import: only who measures or certifies a model pays for it.
_LAZY = {
    "ComplexityMeasures": "torch_measures",
    "GibbsNetwork": "torch_gibbs",
    "certify": "torch_certify",
    "complexity_measures": "torch_measures",
    "fisher_rao": "torch_gradients",
    "gibbs_network": "torch_gibbs",
    "gradient_noise": "torch_gradients",
    "input_derivative": "torch_gradients",
    "margins": "torch_norms",
    "path_norm": "torch_norms",
    "perturbation_scale": "torch_perturbations",
    "weight_norms": "torch_norms",
    "worst_case_rise": "torch_perturbations",
    "worst_case_scale": "torch_perturbations",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
