"""Steps of stacked networks with one hidden layer, of unequal widths, each cut into blocks of units instead of padded.

The outputs of such a network are the sum of those of its blocks. Padded to the widest, units without weights would be
most of the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from pyphenom.networks import _by_hand as by_hand
from pyphenom.networks.stack import Layer, Stack

_UNITS = 32  # of a block: narrower ones are more products, wider ones more padding


class Blocks:
    """The hidden units of a stack in blocks of equal size, as leaves of one vector with a gradient.

    Attributes
    ----------
    parameters : dict of str to Tensor
        Weights (B, 32, d) and biases (B, 32) of hidden units, weights (B, K, 32) that lead from them, and the biases
        (M, K) of outputs.
    """

    def __init__(self, stack: Stack, widths: Sequence[int]) -> None:
        (self._W, self._b), self._function, (self._V, self._c) = cast("list[Layer]", stack.layers())  # type: ignore[misc]
        counts = [-(-width // _UNITS) for width in widths]
        self._places = [
            (m, slice(k * _UNITS, (k + 1) * _UNITS)) for m, count in enumerate(counts) for k in range(count)
        ]
        self._owner = torch.repeat_interleave(torch.arange(len(widths)), torch.tensor(counts))
        shapes = ((_UNITS, self._W.shape[2]), (_UNITS,), (self._V.shape[1], _UNITS))
        W, b, V = (self._W.new_zeros(len(self._places), *shape) for shape in shapes)
        self.parameters = {"W": W, "b": b, "V": V, "c": self._c.detach().clone()}
        self._copy(out=False)

    @classmethod
    def of(cls, models: Sequence[nn.Module], stack: Stack) -> Blocks | None:
        """Return the blocks of a stack if it has one hidden layer and they halve the units at least, else None."""
        layers = stack.layers()
        if layers is None or [isinstance(layer, tuple) for layer in layers] != [True, False, True]:
            return None
        widths = [len(next(model.parameters())) for model in models]
        units = sum(-(-width // _UNITS) for width in widths) * _UNITS
        return cls(stack, widths) if 2 * units <= len(widths) * max(widths) else None

    def write(self) -> None:
        """Copy the parameters into the stack."""
        self._copy(out=True)

    def gradients(self, loss: str) -> by_hand.Gradients:
        """Return the function that fills the gradients, once `vector_of` has made room."""
        W, b, V, c = (self.parameters[name] for name in "WbVc")
        function, function_back = by_hand.FUNCTIONS[cast("type[nn.Module]", self._function)]
        forward, backward = by_hand.linear(W, b), by_hand.linear_back(W, b)
        slope_of, owner = by_hand.SLOPES[loss], self._owner
        weights, transposed, biases = V.detach(), V.detach().mT, c.detach()[..., None]
        V_slope, c_slope = cast("Tensor", V.grad), cast("Tensor", c.grad)

        def fill(samples: Tensor, truth: Tensor) -> None:
            x = samples.mT
            before = forward(x)
            after = function(before)
            outputs = biases.repeat(1, 1, len(samples)).index_add_(0, owner, torch.bmm(weights, after))
            slope = slope_of(outputs, truth)
            torch.sum(slope, 2, out=c_slope)
            slope = slope[owner]
            torch.bmm(slope, after.mT, out=V_slope)
            backward(function_back(torch.bmm(transposed, slope), before, after, True), x, before, False)

        return fill

    def _copy(self, out: bool) -> None:
        with torch.no_grad():
            for block, (member, units) in enumerate(self._places):
                whole = self._W[member, units], self._b[member, units], self._V[member, :, units]
                for name, part in zip("WbV", whole, strict=True):
                    own = self.parameters[name][block]
                    own = own[:, : part.shape[-1]] if name == "V" else own[: len(part)]
                    (part.copy_(own) if out else own.copy_(part))
            if out:
                self._c.copy_(self.parameters["c"])
