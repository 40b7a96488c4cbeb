"""Curvature products of a torch.nn.Sequential on one batch, by the native kernel."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pyphenom import _core
from pyphenom._arrays import Float
from pyphenom.curvature._torch_layers import Builder, UnknownLayerError, flat, sample_shape
from pyphenom.curvature._torch_loss import Loss, as_loss
from pyphenom.random_features.features import threads

_WORKSPACE = 2**19  # bytes of tangents a thread: they stay in its second cache


class NativeProducts:
    r"""Products with the gradient, Hessian, Gauss-Newton matrix and Jacobian of the sum of a batch's losses.

    With fewer samples than inputs, n < d, and an orthonormal basis Q (d, n) of their row space, the first layer's
    weights act through WQ alone: H is zero on the complement, and a solver may work on WQ and the other parameters.
    The products of `row_space` are those with :math:`L^\top HL`, where the isometry L is `lift`.

    Built by `native_products`.
    """

    backend = "native"

    def __init__(
        self,
        network: Any,
        X: Float,
        parameters: list[Tensor],
        loss: Loss,
        y: Tensor,
        shape: tuple[int, ...],
        compress: bool,
    ) -> None:
        self._network, self._parameters, self._loss, self._y = network, parameters, loss, y
        self._X = X
        self._basis: Float | None = None
        self._reduced = False
        self.dtype: np.dtype[Any] = X.dtype
        self.size = int(network.size())
        self.samples = len(X)
        self.output_shape = (len(X), *shape)
        self.input_rank = self.samples if compress else None
        self.refresh()

    def refresh(self, values: Float | None = None) -> None:
        """Linearise anew: at the model's parameters as they are now, or at these values of all of them."""
        if values is None:
            flattened = [p.detach().reshape(-1) for p in self._parameters]
            values = torch.cat(flattened).numpy()
        self._network.linearize(np.ascontiguousarray(values, self.dtype))
        self.outputs: Float = self._network.outputs()
        self.loss: float = self._network.loss_value
        if self._loss.kind == "user":
            f = self._shaped(self.outputs)
            self.loss = self._loss.total(f, self._y)
            self._network.differentiate(self._flat(self._loss.gradient(f, self._y), self.samples))

    def gradient(self) -> Float:
        """Return the gradient (P,)."""
        return self._network.gradient(self._reduced)  # type: ignore[no-any-return]

    def hessian(self, V: Float) -> Float:
        """Return V H for rows V (K, P)."""
        if self._loss.kind != "user":
            return self._network.hessian(V, self._reduced)  # type: ignore[no-any-return]
        return self._network.custom_hessian(V, self._through_loss(V), self._reduced)  # type: ignore[no-any-return]

    def ggn(self, V: Float) -> Float:
        """Return V G for rows V (K, P), with the generalised Gauss-Newton matrix G."""
        if self._loss.kind != "user":
            return self._network.ggn(V, self._reduced)  # type: ignore[no-any-return]
        return self.jacobian_transpose(self._through_loss(V))

    def _through_loss(self, V: Float) -> Float:
        """Return the product (K, n, C) of the Hessian of a user's loss with J v."""
        block = self._shaped(self.jacobian(V), len(V))
        return self._flat(self._loss.hessian(self._shaped(self.outputs), self._y, block), len(V), self.samples)

    def _shaped(self, values: Float, *block: int) -> Tensor:
        return torch.from_numpy(values).reshape(*block, *self.output_shape)

    def _flat(self, values: Tensor, *sizes: int) -> Float:
        return np.ascontiguousarray(values.reshape(*sizes, -1).numpy(), self.dtype)

    def jacobian(self, V: Float) -> Float:
        """Return J v for rows V (K, P), as (K, n, C)."""
        return self._network.jacobian(V, self._reduced)  # type: ignore[no-any-return]

    def jacobian_transpose(self, U: Float) -> Float:
        """Return the transpose of J times each of U (K, n, C), as (K, P)."""
        return self._network.jacobian_transpose(U, self._reduced)  # type: ignore[no-any-return]

    # ---- the row space of the inputs ---------------------------------------------------------------------------------

    def row_space(self) -> NativeProducts:
        """Return the products on coordinates in the row space, as they are now; where there is an `input_rank`."""
        if self.input_rank is None:
            raise ValueError(
                "the inputs are not compressed: they are at least as many as their dimension, or the first layer is "
                "not a trainable Linear, or `compress` says no"
            )
        if self._basis is None:
            # X^T = Q R: in Q the samples have the coordinates R^T. Householder's Q is orthonormal whatever the rank.
            Q, R = torch.linalg.qr(torch.from_numpy(self._X).double().T)
            self._network.reduce(np.ascontiguousarray(R.T.numpy(), self.dtype))
            self._basis = np.ascontiguousarray(Q.numpy(), self.dtype)
        view = copy.copy(self)
        view._reduced, view.input_rank = True, None
        view.size = self.size - self._width * (len(self._basis) - self.samples)
        return view

    def lift(self, V: Float) -> Float:
        """Return the parameter vectors (K, P) of coordinates V (K, R)."""
        assert self._basis is not None
        return self._change_basis(V, self._basis.T)

    def restrict(self, V: Float) -> Float:
        """Return the coordinates (K, R) of rows V (K, P); what is outside the row space is left out."""
        assert self._basis is not None
        return self._change_basis(V, self._basis)

    @property
    def _width(self) -> int:
        """Outputs of the first layer, whose weights start the vector."""
        return int(self._parameters[0].shape[0])

    def _change_basis(self, V: Float, basis: Float) -> Float:
        h, (old, new) = self._width, basis.shape
        before, after = h * old, h * new
        out = np.empty((len(V), V.shape[1] - before + after), self.dtype)
        head = out[:, :after].reshape(len(V), h, new)
        np.matmul(V[:, :before].reshape(len(V), h, old), basis, out=head)
        out[:, after:] = V[:, before:]
        return out

    def __repr__(self) -> str:
        inputs = f", inputs compressed to {self.input_rank} of {self._X.shape[-1]}" if self.input_rank else ""
        return f"NativeProducts({self.size} parameters, {self.samples} samples, {self.dtype}{inputs})"


def native_products(
    model: nn.Module,
    loss: Any,
    X: Tensor,
    y: Tensor,
    dtype: Any = None,
    parameters: Iterable[str] | None = None,
    compress: bool | str = "auto",
) -> NativeProducts | None:
    """Return the products of a network that the native kernel covers; None for any other.

    Parameters
    ----------
    model : torch.nn.Module
        Covered: Sequential, nested or not, of Linear, convolutions, average and maximum pooling, Flatten, ReLU,
        LeakyReLU, Tanh, Sigmoid, GELU, SiLU, Softplus, Identity, and Dropout in evaluation mode.
    loss : Loss, or what `as_loss` takes
        That of a user is differentiated by torch.
    X : Tensor (n, ...)
    y : Tensor (n, ...)
    dtype : torch or numpy dtype, optional
        Of the computation, float32 or float64; that of the parameters if None.
    parameters : iterable of str, optional
        Names of the parameters that span the space, in the order of ``model.named_parameters()``; all that require a
        gradient if None.
    compress : {"auto", True, False}
        Whether solvers are offered the row space of the inputs, where the samples are fewer than the inputs; by default
        where that saves more than the QR decomposition costs.

    Returns
    -------
    NativeProducts or None

    Raises
    ------
    ValueError
        If the targets do not fit the outputs.
    """
    kind = _numpy_dtype(model, dtype)
    kinds = {value.dtype for value in model.parameters()}
    if kind is None or type(model) is not nn.Sequential or not kinds <= {torch.float32, torch.float64}:
        return None
    try:
        return _build(model, as_loss(loss), X, y, kind, parameters, compress)
    except UnknownLayerError:
        return None


def _build(
    model: nn.Module,
    loss: Loss,
    X: Tensor,
    y: Tensor,
    kind: Any,
    parameters: Iterable[str] | None,
    compress: bool | str,
) -> NativeProducts | None:
    layers, named = list(flat(model)), dict(model.named_parameters())
    owned = [f"{name}.{inner}" for name, module in layers for inner, _ in module.named_parameters()]
    # A parameter with two owners, or with none: the vector of the kernel has no place for it.
    if owned != list(named) or X.device.type != "cpu" or not X.is_floating_point() or len(X) == 0 or X.ndim < 2:
        return None
    if any(p.device.type != "cpu" for p in named.values()):
        return None
    wanted = {name for name, p in named.items() if p.requires_grad} if parameters is None else set(parameters)
    values, places, end, size = {}, {}, 0, 0
    for name, p in named.items():
        values[name], places[name] = end, size if name in wanted else -1
        end += p.numel()
        size += p.numel() if name in wanted else 0
    if size == 0:
        return None

    shape, flattened = sample_shape(model, X)
    channels, positions = (shape[0], math.prod(shape[1:])) if not flattened else (shape[0], 1)
    inputs = X.detach().reshape(len(X), channels, positions).numpy().swapaxes(1, 2)
    x = np.ascontiguousarray(inputs, kind)
    make = _core.Network32 if kind == np.float32 else _core.Network64
    network = make(x, positions, channels, end, size, threads(), _WORKSPACE)
    builder = Builder(network, shape, values, places)
    for name, module in layers:
        builder.add(name, module)
    if loss.kind == "cross_entropy" and len(builder.shape) != 1:  # positions would be further samples
        return None
    if len(builder.shape) > 1:
        network.flatten()
    y = loss.prepared(torch.empty(len(X), *builder.shape, dtype=torch.float64), y)
    network.loss(*_kernel_arguments(loss, y, (len(X), *builder.shape), kind))

    # The weights of the first Linear start the vector, and what stands before them only names the input.
    trainable = itertools.dropwhile(lambda module: type(module) in (nn.Flatten, nn.Identity), (m for _, m in layers))
    reducible = compress is not False and type(next(trainable)) is nn.Linear and places[owned[0]] == 0
    reducible = reducible and len(X) < channels
    if compress == "auto":  # a QR decomposition costs as much as n over the first layer's outputs products, and more
        reducible = reducible and 2 * len(X) <= channels and len(X) <= 8 * len(named[owned[0]])
    return NativeProducts(network, x.reshape(len(x), -1), list(named.values()), loss, y, builder.shape, reducible)


def _numpy_dtype(model: nn.Module, dtype: Any) -> Any:
    if dtype is None:
        kinds = {p.dtype for p in model.parameters()}
        dtype = kinds.pop() if len(kinds) == 1 else None
    known: dict[Any, Any] = {torch.float32: np.float32, torch.float64: np.float64}
    if isinstance(dtype, torch.dtype) or dtype is None:
        return known.get(dtype)
    return np.dtype(dtype).type if np.dtype(dtype) in (np.float32, np.float64) else None


def _kernel_arguments(loss: Loss, y: Tensor, shape: tuple[int, ...], kind: Any) -> tuple[str, float, Float]:
    """Return the kernel's name of the loss, its weight, and the targets (n, C)."""
    n, outputs = shape[0], math.prod(shape[1:])
    if loss.kind == "user":
        return "custom", 1.0, np.zeros((n, outputs), kind)
    if loss.kind == "cross_entropy":
        t = y if y.is_floating_point() else torch.nn.functional.one_hot(y, outputs).double()
        y = (1.0 - loss.label_smoothing) * t + loss.label_smoothing / outputs
    # The kernel's squared loss is half the squared distance.
    weight = (2.0 if loss.kind == "squared" else 1.0) * loss.weight(shape)
    return loss.kind, weight, np.ascontiguousarray(y.reshape(n, outputs).numpy(), kind)
