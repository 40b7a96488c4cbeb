"""Torch networks: many of them trained at once, observed at chosen steps, and changed on purpose."""

from pyphenom.networks.interventions import mask, reset, reuse
from pyphenom.networks.models import mlp
from pyphenom.networks.probes import Probe, classification, regression
from pyphenom.networks.stack import Stack
from pyphenom.networks.training import History, Recipe, train

__all__ = [
    "History",
    "Probe",
    "Recipe",
    "Stack",
    "classification",
    "mask",
    "mlp",
    "regression",
    "reset",
    "reuse",
    "train",
]
