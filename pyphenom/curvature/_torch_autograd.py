"""Curvature products of any torch model on one batch: double-backward with the graph retained between products."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from pyphenom._arrays import Float
from pyphenom.curvature._torch_loss import Loss, recorded

_CHUNK, _WORK = 16, 2**25


class AutogradProducts:
    r"""Products with the gradient, Hessian, Gauss-Newton matrix and Jacobian of the sum of a batch's losses.

    One forward pass in the constructor; its graph, and those of the first derivatives once they are needed, are kept.
    Parameters and buffers are copies: the model, its ``.grad``, running statistics and the random state stay as they
    were.

    With :math:`g = \nabla L` on the graph, :math:`Hv = \partial(g\cdot v)/\partial\theta`. With
    :math:`w(u) = J^\top u` on the graph for a dummy u, :math:`Jv = \partial(w\cdot v)/\partial u`, since w is linear in
    u; and :math:`Gv = J^\top H_\ell Jv` for the Hessian :math:`H_\ell` of the loss in the outputs.

    Parameters
    ----------
    model : torch.nn.Module
    loss : Loss
    X, y : Tensor
        One batch, on the model's device.
    parameters : dict of str to Tensor
        As `select` gives them; P entries in all.
    dtype : torch.dtype
        That of the computation.

    Raises
    ------
    ValueError
        If the forward pass draws random numbers, or outputs and targets do not fit.
    """

    def __init__(
        self, model: nn.Module, loss: Loss, X: Tensor, y: Tensor, parameters: dict[str, Tensor], dtype: torch.dtype
    ) -> None:
        self._loss = loss
        with recorded():
            self._theta = [value.detach().to(dtype, copy=True).requires_grad_() for value in parameters.values()]
            state = dict(zip(parameters, self._theta, strict=True))
            for name, value in (*model.named_parameters(), *model.named_buffers()):
                if name not in state:
                    state[name] = _converted(value, dtype)
            self._f = _forward(model, state, X)
            self._y = loss.prepared(self._f, y)
        self.output_shape = tuple(self._f.shape)
        self.samples: int = self._f.shape[0]
        self.size = sum(value.numel() for value in self._theta)
        self.outputs: Float = self._f.detach().reshape(self.samples, -1).cpu().numpy()
        self.loss = loss.total(self._f, self._y)
        self._gradient: list[Tensor | None] | None = None
        self._pullback: tuple[Tensor, list[Tensor | None]] | None = None
        self._checked: set[str] = set()
        # Many vectors in a pass where it is bound by dispatch; one where it is bound by arithmetic, and memory counts.
        self._chunk = min(_CHUNK, max(1, _WORK // (self.samples * self.size)))

    def gradient(self) -> Float:
        """Return the gradient (P,)."""
        block = self._flat([None if g is None else g.detach()[None] for g in self._gradients()], 1)
        return block.reshape(-1)

    def hessian(self, V: Float) -> Float:
        """Return V H for rows V (K, P)."""
        return self._flat(self._grad("hessian", self._gradients(), self._theta, self._split(V)), len(V))

    def ggn(self, V: Float) -> Float:
        """Return V G for rows V (K, P)."""
        U = self._loss.hessian(self._f, self._y, self._jacobian(V))
        return self._flat(self._grad("transpose", [self._f], self._theta, [U]), len(V))

    def jacobian(self, V: Float) -> Float:
        """Return J v for rows V (K, P), as (K, n, C)."""
        out: Float = self._jacobian(V).reshape(len(V), self.samples, -1).cpu().numpy()
        return out

    def jacobian_transpose(self, U: Float) -> Float:
        """Return the transpose of J times each of U (K, n, C), as (K, P)."""
        u = self._tensor(U).reshape(len(U), *self._f.shape)
        return self._flat(self._grad("transpose", [self._f], self._theta, [u]), len(U))

    def _jacobian(self, V: Float) -> Tensor:
        if self._pullback is None:
            with recorded():
                u = torch.zeros_like(self._f, requires_grad=True)
                self._pullback = u, self._recorded_derivative(self._f, u)
        u, w = self._pullback
        (image,) = self._grad("jacobian", w, [u], self._split(V))
        return torch.zeros((len(V), *u.shape), dtype=u.dtype, device=u.device) if image is None else image

    def _gradients(self) -> list[Tensor | None]:
        if self._gradient is None:
            with recorded():
                self._gradient = self._recorded_derivative(self._loss.value(self._f, self._y), None)
        return self._gradient

    def _recorded_derivative(self, value: Tensor, vector: Tensor | None) -> list[Tensor | None]:
        if not value.requires_grad:  # only parameters that the model does not use
            return [None] * len(self._theta)
        return list(torch.autograd.grad(value, self._theta, vector, create_graph=True, allow_unused=True))

    def _grad(
        self, name: str, outputs: Sequence[Tensor | None], inputs: list[Tensor], blocks: Sequence[Tensor]
    ) -> list[Tensor | None]:
        """Differentiate outputs . blocks[k] in the inputs for every k; None where nothing depends on an input."""
        pairs = [(f, v) for f, v in zip(outputs, blocks, strict=True) if f is not None and f.requires_grad]
        if not pairs:
            return [None] * len(inputs)
        f, v = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        count, size = len(v[0]), self._chunk
        if min(count, size) > 1:
            try:
                parts = [_derivative(f, inputs, [b[i : i + size] for b in v], True) for i in range(0, count, size)]
            except RuntimeError:  # an operation without a batching rule; anything else fails below, too
                self._chunk = 1
            else:
                block = [None if part[0] is None else torch.cat(part) for part in zip(*parts, strict=True)]
                if name in self._checked or self._agrees(block, f, inputs, v):
                    self._checked.add(name)
                    return block
                self._chunk = 1
        rows = [_derivative(f, inputs, [b[k] for b in v]) for k in range(count)]
        return [None if row[0] is None else torch.stack(row) for row in zip(*rows, strict=True)]

    def _agrees(self, block: list[Tensor | None], f: list[Tensor], inputs: list[Tensor], v: list[Tensor]) -> bool:
        """Whether the largest row of a batched product is what comes out without batching: some rules are wrong."""
        sizes = [piece.reshape(len(piece), -1).abs().amax(1) for piece in block if piece is not None]
        if not sizes:
            return True
        k = int(torch.stack(sizes).amax(0).argmax())
        single = _derivative(f, inputs, [b[k] for b in v])
        limit = self._f.new_tensor(torch.finfo(self._f.dtype).eps).sqrt() * torch.stack(sizes).max()
        pairs = zip(block, single, strict=True)
        return all(
            b is not None and s is not None and bool(((b[k] - s).abs() <= limit).all()) for b, s in pairs if b is not s
        )

    def _tensor(self, V: Float) -> Tensor:
        # torch warns of arrays that may not be written to, and takes none with negative strides.
        return torch.from_numpy(np.require(V, None, ["C", "W"])).to(self._f)

    def _split(self, V: Float) -> list[Tensor]:
        pieces = torch.split(self._tensor(V), [value.numel() for value in self._theta], dim=1)
        return [piece.reshape(-1, *value.shape) for piece, value in zip(pieces, self._theta, strict=True)]

    def _flat(self, pieces: Sequence[Tensor | None], count: int) -> Float:
        full = [
            self._f.new_zeros((count, value.numel())) if piece is None else piece.reshape(count, -1)
            for piece, value in zip(pieces, self._theta, strict=True)
        ]
        out: Float = torch.cat(full, dim=1).cpu().numpy()
        return out


def _derivative(
    outputs: list[Tensor], inputs: list[Tensor], vectors: list[Tensor], batched: bool = False
) -> tuple[Tensor | None, ...]:
    return torch.autograd.grad(outputs, inputs, vectors, retain_graph=True, allow_unused=True, is_grads_batched=batched)


def _converted(value: Tensor, dtype: torch.dtype) -> Tensor:
    value = value.detach()
    return value.to(dtype, copy=True) if value.is_floating_point() else value.clone()


def _untied(model: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the state with the other names of tied parameters, but one for each module.

    By the names that torch adds itself, it would leave a module that stands twice with the state.
    """
    first = {value: name for name, value in (*model.named_parameters(), *model.named_buffers())}
    every = dict(state)
    for prefix, module in model.named_modules():
        for named in (module.named_parameters, module.named_buffers):
            every |= {name: state[first[value]] for name, value in named(prefix, False, False)}
    return every


def _forward(model: nn.Module, state: dict[str, Tensor], X: Tensor) -> Tensor:
    """Return the outputs at a state that stands in for the model's, with kernels that can be differentiated twice."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        if any(isinstance(module, nn.RNNBase) for module in model.modules()):
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        random = stack.enter_context(preserved_random_state(X.device))
        try:
            outputs = torch.func.functional_call(model, _untied(model, state), (X,), tie_weights=False)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, IndexError) as error:
            raise ValueError(
                f"`model` does not take `X` of shape {tuple(X.shape)} and dtype {X.dtype}: {error}. Expected inputs "
                "(n, ...) as for model(X)"
            ) from error
        drawn = any(
            not torch.equal(before, after) for before, after in zip(random, random_state(X.device), strict=True)
        )
    if drawn:
        raise ValueError(
            "`model` draws random numbers in its forward pass, so that there is no one loss to differentiate; expected "
            "a deterministic model. Switch dropout off with model.eval()"
        )
    if not isinstance(outputs, Tensor) or not outputs.is_floating_point() or outputs.ndim == 0:
        raise TypeError(f"`model` gives a {type(outputs).__name__}; expected a floating tensor (n, ...) of outputs")
    return outputs


def random_state(device: Any) -> list[Tensor]:
    """Return the state of torch's generators on the CPU and, where it is another, on the device."""
    states = [torch.get_rng_state()]
    return states if device.type != "cuda" else [*states, torch.cuda.get_rng_state(device)]


@contextlib.contextmanager
def preserved_random_state(device: Any) -> Iterator[list[Tensor]]:
    """Restore torch's random state at the end; give it to look at."""
    states = random_state(device)
    try:
        yield states
    finally:
        torch.set_rng_state(states[0])
        if len(states) > 1:
            torch.cuda.set_rng_state(states[1], device)
