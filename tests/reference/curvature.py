"""Curvature by dense automatic differentiation of the flattened parameters: slow and obvious."""

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Dense:
    """Of the sum of the losses: value, gradient (P,), Hessian and Gauss-Newton matrix (P, P), Jacobian (n, C, P)."""

    loss: float
    outputs: np.ndarray
    gradient: np.ndarray
    hessian: np.ndarray
    ggn: np.ndarray
    jacobian: np.ndarray


def dense(model, total, X, names=None):
    """Return the truth for `total`, a function of the outputs that is summed over samples."""
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    names = [name for name in parameters if names is None or name in names]
    sizes = [parameters[name].numel() for name in names]
    start = torch.cat([parameters[name].reshape(-1) for name in names])

    def outputs(theta):
        pieces = torch.split(theta, sizes)
        chosen = {name: piece.reshape(parameters[name].shape) for name, piece in zip(names, pieces, strict=True)}
        return torch.func.functional_call(model, {**parameters, **chosen}, (X,))

    def value(theta):
        return total(outputs(theta))

    f = outputs(start).detach()
    J = torch.func.jacrev(lambda theta: outputs(theta).reshape(-1))(start)
    # Reverse over reverse: forward mode compiles scripts, of which torch itself warns.
    bend = torch.func.jacrev(torch.func.grad(lambda z: total(z.reshape(f.shape))))(f.reshape(-1))
    return Dense(
        loss=float(value(start)),
        outputs=f.reshape(len(X), -1).numpy(),
        gradient=torch.func.grad(value)(start).numpy(),
        hessian=torch.func.jacrev(torch.func.grad(value))(start).numpy(),
        ggn=(J.T @ bend @ J).numpy(),
        jacobian=J.reshape(len(X), -1, len(start)).numpy(),
    )
