"""The tangent kernel of a network with one hidden layer, without differentiating it."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import nn

from pyphenom._arrays import as_float

Array: TypeAlias = NDArray[np.float64]


def tangent_kernel(model: nn.Sequential, inputs: object) -> tuple[Array, Array]:
    r"""Return the tangent kernel of a network with one hidden layer of ReLU, its mean over outputs, and the outputs.

    .. math:: K(x,x') = 1 + h\cdot h' + (1+x\cdot x')\sum_j\overline{V_j^2}\,\mathbf 1[h_j>0]\,\mathbf 1[h_j'>0],
              \qquad h = \max(Wx+b, 0),

    is :math:`\frac1C\sum_c\nabla f_c(x)\cdot\nabla f_c(x')` over all weights and biases. Products of the gradients of
    different outputs are left out: over random last weights their mean is 0.

    Parameters
    ----------
    model : torch.nn.Sequential
        Linear, ReLU, linear, with biases, as :func:`mlp` makes it; of any dtype, evaluated in float64.
    inputs : array (n, d)
        Samples.

    Returns
    -------
    kernel : array (n, n)
        Not divided by n.
    outputs : array (n, C)
        Of the network.

    Raises
    ------
    ValueError, TypeError
        For another architecture, and inputs that do not fit it.

    References
    ----------
    Jacot, Gabriel, Hongler 2018, "Neural tangent kernel"; Arora et al. 2019, "Fine-grained analysis of optimization
    and generalization", for the hidden layer.

    Examples
    --------
    >>> from pyphenom.networks import mlp
    >>> kernel, outputs = tangent_kernel(mlp((3, 50, 2)), np.eye(3)[:2])
    >>> kernel.shape, outputs.shape
    ((2, 2), (2, 2))
    """
    layers = [type(layer) for layer in model]
    parts = [value.detach().double().numpy() for value in model.parameters()]
    if layers != [nn.Linear, nn.ReLU, nn.Linear] or len(parts) != 4:
        names = ", ".join(kind.__name__ for kind in layers)
        raise ValueError(f"`model` has the layers {names}; expected Linear, ReLU, Linear with biases: mlp((d, m, C))")
    X, (W, b, V, c) = as_float("inputs", inputs, (2,)), parts
    if X.shape[1] != W.shape[1]:
        raise ValueError(f"`inputs` has {X.shape[1]} columns; the network takes {W.shape[1]}")
    before = X @ W.T + b
    hidden, active = np.maximum(before, 0.0), (before > 0.0).astype(np.float64)
    inner = (active * (V**2).mean(axis=0)) @ active.T * (X @ X.T + 1.0)
    return hidden @ hidden.T + 1.0 + inner, hidden @ V.T + c
