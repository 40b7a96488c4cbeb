"""Torch networks: many of them trained at once, observed at chosen steps, and changed on purpose."""

from pyphenom.networks.chains import least_squares_chains, network_chains, sample_gradients, sampled_batches
from pyphenom.networks.descent import Descent, Landscape, descend, take_steps
from pyphenom.networks.flow import follow_flow
from pyphenom.networks.interventions import mask, reset, reuse
from pyphenom.networks.models import mlp
from pyphenom.networks.probes import Probe, classification, regression
from pyphenom.networks.refits import refit
from pyphenom.networks.stack import Stack
from pyphenom.networks.tangent_kernels import tangent_kernel
from pyphenom.networks.training import History, Recipe, train

__all__ = [
    "Descent",
    "History",
    "Landscape",
    "Probe",
    "Recipe",
    "Stack",
    "classification",
    "descend",
    "follow_flow",
    "least_squares_chains",
    "mask",
    "mlp",
    "network_chains",
    "refit",
    "regression",
    "reset",
    "reuse",
    "sample_gradients",
    "sampled_batches",
    "take_steps",
    "tangent_kernel",
    "train",
]
