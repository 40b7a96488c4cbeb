"""What computes the products of one batch: the protocol, and the native kernels behind it."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from pyphenom._arrays import Float
from pyphenom.curvature._loss_spec import LossSpec
from pyphenom.curvature._torch_loss import Loss
from pyphenom.curvature._torch_native import native_products


class Products(Protocol):
    """Products on one batch at one parameter vector; sums over its samples. Blocks hold one vector a row."""

    size: int
    """P, the number of parameters."""
    samples: int
    """n"""
    outputs: Float
    """(n, C), flattened to C a sample; `output_shape` (n, ...) is as the model gives them."""
    output_shape: tuple[int, ...]
    loss: float

    def gradient(self) -> Float:
        """Return the gradient (P,)."""

    def hessian(self, V: Float) -> Float:
        """Return V H for rows V (K, P)."""

    def ggn(self, V: Float) -> Float:
        """Return V G for rows V (K, P)."""

    def jacobian(self, V: Float) -> Float:
        """Return J v for rows V (K, P), as (K, n, C)."""

    def jacobian_transpose(self, U: Float) -> Float:
        """Return the transpose of J times each of U (K, n, C), as (K, P)."""


def native(
    model: nn.Module, loss: Loss, X: Tensor, y: Tensor, dtype: torch.dtype, parameters: dict[str, Tensor], compress: Any
) -> Products | None:
    """Return products from the native kernels, or None where they do not cover the model."""
    kinds = {value.dtype for value in model.parameters()}
    if X.device.type != "cpu" or type(model) is not nn.Sequential or not kinds <= {torch.float32, torch.float64}:
        return None
    share = "mean" if loss.factor is None else "sum"
    if loss.kind == "user":
        spec = LossSpec("custom", **_own_loss(model, loss, X, y))
    elif loss.kind == "squared":
        spec = LossSpec("half_squared" if loss.factor == 0.5 else "mean_squared", y.numpy(), reduction=share)
    else:
        spec = LossSpec(loss.kind, y.numpy(), loss.label_smoothing, share)
    return native_products(model, spec, X, y, dtype, list(parameters), compress)


def _own_loss(model: nn.Module, loss: Loss, X: Tensor, y: Tensor) -> dict[str, Any]:
    """Return a user's loss as functions of arrays (n, C), differentiated by torch at the outputs last seen."""
    at: tuple[Tensor, Tensor]

    def linearize(outputs: Float) -> tuple[float, Float]:
        nonlocal at
        with torch.no_grad():  # the shape of a sample's outputs, which the kernel has flattened
            shape = model(X[:1].to(next(model.parameters()).dtype)).shape[1:]
        f = torch.from_numpy(outputs.copy()).reshape(-1, *shape)
        at = f, loss.prepared(f, y)
        return loss.total(*at), loss.gradient(at[0], at[1]).reshape(len(f), -1).numpy()

    def hessian(U: Float) -> Float:
        block = torch.from_numpy(U.copy()).reshape(-1, *at[0].shape)
        product: Float = loss.hessian(at[0], at[1], block).reshape(U.shape).numpy()
        return product

    return {"linearize": linearize, "hessian": hessian}
