"""Derivatives of a network by its weights and by its inputs, from which complexity measures are made."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from pyphenom._arrays import one_of
from pyphenom.bounds import _torch_models as models

_ENTRIES = 2**24  # of the gradients of single samples that are held at once


def fisher_rao(model: nn.Module, X: Any, y: Any) -> float:
    r"""Fisher-Rao norm :math:`\lVert w\rVert_{fr}^2=\frac1n\sum_i\langle w,\nabla_w\ell_i\rangle^2`, at cross-entropy.

    The quadratic form of the empirical Fisher matrix at the parameters themselves.
    Rescaling ReLU layers against each other leaves it; in a bias-free ReLU network of L layers the product is
    :math:`L\,\langle f_i,\partial\ell_i/\partial f\rangle`.

    Parameters
    ----------
    model : torch.nn.Module
        As in `weight_norms`.
    X, y : array or tensor (n, ...), (n,)

    Returns
    -------
    float
        The square.

    Raises
    ------
    TypeError, ValueError
        As in `margins`.

    References
    ----------
    Liang, Poggio, Rakhlin, Stokes, Fisher-Rao metric, geometry, and complexity of neural networks, AISTATS 2019,
    Definition 2 and Theorem 3.1.

    Examples
    --------
    >>> layer = nn.Linear(1, 2, bias=False)
    >>> _ = layer.weight.data.zero_()
    >>> fisher_rao(layer, [[1.0]], [0])
    0.0
    """
    own = models.prepared("model", model)
    inputs, targets = models.tensors(own, X, y)
    return fisher_rao_of(own, inputs, models.labels(own, inputs, targets))


def fisher_rao_of(own: nn.Module, X: Tensor, y: Tensor) -> float:
    """`fisher_rao` of a prepared model."""
    w, total = models.parameters(own), 0.0
    for rows in models.row_slices(len(X)):
        with torch.enable_grad():
            values = {name: value.clone().requires_grad_() for name, value in w.items()}
            losses = functional.cross_entropy(functional_call(own, values, (X[rows],)), y[rows], reduction="none")
            # The gradient of a weighted sum is linear in its weights: its product with w has the slopes asked for.
            weights = torch.ones_like(losses, requires_grad=True)
            gradients = torch.autograd.grad(losses, list(values.values()), weights, create_graph=True)
            product = torch.stack([(g * v).sum() for g, v in zip(gradients, w.values(), strict=True)]).sum()
            (slopes,) = torch.autograd.grad(product, weights)
        total += float((slopes.double() ** 2).sum())
    return total / len(X)


def input_derivative(model: nn.Module, X: Any, y: Any, of: str = "outputs") -> float:
    r"""Mean square of the derivative by the input, :math:`\frac1n\sum_i\lVert\partial f_i/\partial x_i\rVert_F^2`.

    Or of the loss, :math:`\frac1n\sum_i\lVert\partial\ell_i/\partial x_i\rVert^2`.

    Parameters
    ----------
    model : torch.nn.Module
        As in `weight_norms`.
    X, y : array or tensor (n, ...), (n,)
    of : {"outputs", "loss"}
        The loss is the cross-entropy in nats.

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        As in `margins`, or for another word.

    References
    ----------
    Novak et al., Sensitivity and generalization in neural networks, ICLR 2018, section 3.

    Examples
    --------
    >>> layer = nn.Linear(2, 2)
    >>> _ = layer.weight.data.copy_(torch.tensor([[1.0, 2.0], [0.0, 2.0]]))
    >>> input_derivative(layer, [[5.0, 6.0]], [1])
    9.0
    """
    word = one_of("of", of, ("outputs", "loss"))
    own = models.prepared("model", model)
    inputs, targets = models.tensors(own, X, y)
    return input_derivative_of(own, inputs, models.labels(own, inputs, targets), word)


def input_derivative_of(own: nn.Module, X: Tensor, y: Tensor, of: str) -> float:
    """`input_derivative` of a prepared model."""
    total = 0.0
    for rows in models.row_slices(len(X), 512):
        x = X[rows].clone().requires_grad_()
        with torch.enable_grad():
            f = own(x)
            if of == "loss":
                f = functional.cross_entropy(f, y[rows], reduction="none")[:, None]
            for k in range(f.shape[1]):
                (slope,) = torch.autograd.grad(f[:, k].sum(), x, retain_graph=True)
                total += float((slope.double() ** 2).sum())
    return total / len(X)


def gradient_noise(model: nn.Module, X: Any, y: Any) -> tuple[float, float]:
    r"""Square of the mean gradient, and trace of the covariance of the gradients of single samples, at cross-entropy.

    :math:`\lVert\bar g\rVert^2` and :math:`\frac1n\sum_i\lVert g_i-\bar g\rVert^2`,
    :math:`g_i=\nabla_w\ell_i`, over all parameters.

    Parameters
    ----------
    model : torch.nn.Module
        As in `weight_norms`.
    X, y : array or tensor (n, ...), (n,)

    Returns
    -------
    (float, float)

    Raises
    ------
    TypeError, ValueError
        As in `margins`.

    References
    ----------
    Jiang et al. 2020, section C.8: the variance of the gradients as a measure.

    Examples
    --------
    >>> layer = nn.Linear(1, 2)
    >>> for value in layer.parameters():
    ...     _ = value.data.zero_()
    >>> gradient_noise(layer, [[0.0], [0.0]], [0, 1])
    (0.0, 0.5)
    """
    own = models.prepared("model", model)
    inputs, targets = models.tensors(own, X, y)
    return gradient_noise_of(own, inputs, models.labels(own, inputs, targets))


def gradient_noise_of(own: nn.Module, X: Tensor, y: Tensor) -> tuple[float, float]:
    """`gradient_noise` of a prepared model."""
    w = models.parameters(own)

    def loss(values: dict[str, Tensor], x: Tensor, target: Tensor) -> Tensor:
        return functional.cross_entropy(functional_call(own, values, (x[None],)), target[None])

    single, squares, means = vmap(grad(loss), in_dims=(None, 0, 0)), 0.0, dict.fromkeys(w, torch.tensor(0.0))
    size = max(1, _ENTRIES // sum(value.numel() for value in w.values()))
    for rows in models.row_slices(len(X), size):
        for name, value in single(w, X[rows], y[rows]).items():
            squares += float((value.double() ** 2).sum()) / len(X)
            means[name] = means[name] + value.double().sum(dim=0) / len(X)
    mean = sum(float((value**2).sum()) for value in means.values())
    return mean, max(squares - mean, 0.0)
