"""Bounds on the true error of a network that hold with a stated probability, and the account of what they rest on.

Beside them stand measures: scores that may rank networks, with no confidence attached.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pyphenom.bounds.gaussian import gaussian_kl, gaussian_kl_layers, optimal_prior_scale
from pyphenom.bounds.held_out import test_set
from pyphenom.bounds.kl import InverseGradient, binary_kl, kl_inverse, kl_inverse_gradient
from pyphenom.bounds.mdl import CodeLength, doubling_blocks, prequential
from pyphenom.bounds.measures import WeightNorms, norm_measures, pac_bayes_measures, steps_to_loss
from pyphenom.bounds.moments import log_xi
from pyphenom.bounds.pac_bayes import maurer
from pyphenom.bounds.ranking import Granulated, conditional_information, granulated_kendall, kendall

if TYPE_CHECKING:
    from pyphenom.bounds.torch_gradients import fisher_rao, gradient_noise, input_derivative
    from pyphenom.bounds.torch_measures import ComplexityMeasures, complexity_measures
    from pyphenom.bounds.torch_norms import margins, path_norm, weight_norms
    from pyphenom.bounds.torch_perturbations import perturbation_scale, worst_case_rise, worst_case_scale

__all__ = [
    "CodeLength",
    "ComplexityMeasures",
    "Granulated",
    "InverseGradient",
    "WeightNorms",
    "binary_kl",
    "complexity_measures",
    "conditional_information",
    "doubling_blocks",
    "fisher_rao",
    "gaussian_kl",
    "gaussian_kl_layers",
    "gradient_noise",
    "granulated_kendall",
    "input_derivative",
    "kendall",
    "kl_inverse",
    "kl_inverse_gradient",
    "log_xi",
    "margins",
    "maurer",
    "norm_measures",
    "optimal_prior_scale",
    "pac_bayes_measures",
    "path_norm",
    "perturbation_scale",
    "prequential",
    "steps_to_loss",
    "test_set",
    "weight_norms",
    "worst_case_rise",
    "worst_case_scale",
]

# torch takes a second to import: only who measures a model pays for it.
_LAZY = {
    "ComplexityMeasures": "torch_measures",
    "complexity_measures": "torch_measures",
    "fisher_rao": "torch_gradients",
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
