"""Networks with one hidden layer under weight decay, dropout, moved inputs and batch norm, as one program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.sgd import sgd

_EPSILON = 1e-5  # of batch norm
_BLOCK = 512  # rows that are evaluated together
_aten: Any = torch.ops.aten


class Regularised:
    r"""Copies of a network with one hidden layer, in stacked tensors, each with regularisers of its own.

    .. math:: f(x) = V\,\big(\mathrm{relu}(\mathrm{norm}(Wx+b))\odot k\big)+c

    Members stand in an order that has those with batch norm side by side, those of moved inputs after the others, and
    among these again those of equal dropout and decay. Batch norm has the statistics of the batch in `differentiate`.
    Gradients are by hand.

    Parameters
    ----------
    net : torch.nn.Sequential
        Linear, ReLU, linear: where all members start.
    decay : sequence of float (M,)
        Times the parameters, what a step is to add to their gradients.
    dropout : sequence of float (M,)
        Probability that a hidden unit is dropped.
    moved, normed : sequence of bool (M,)
        Whose inputs are moved, and who has batch norm.

    Attributes
    ----------
    parameters, gradients : list of Tensor
        W, b, V, c, and of those with batch norm scale and shift; what `differentiate` fills.
    decay, dropout : Tensor (M,)
    order : Tensor of int (M,)
        Which of the given members stands where.

    Examples
    --------
    >>> from pyphenom.networks import mlp
    >>> net, x = mlp((3, 8, 2)), torch.eye(3)
    >>> members = Regularised(net, [0.0, 0.1], [0.0, 0.0], [False, True], [False, False])
    >>> bool(torch.allclose(members.evaluated(x, x)[1], net(x)))
    True
    """

    def __init__(
        self,
        net: nn.Sequential,
        decay: Sequence[float],
        dropout: Sequence[float],
        moved: Sequence[float],
        normed: Sequence[float],
    ) -> None:
        W, b, V, c = (value.detach().expand(len(decay), *value.shape).clone() for value in net.parameters())
        still, plain = ~np.asarray(moved, dtype=bool), ~np.asarray(normed, dtype=bool)
        self.order = torch.from_numpy(np.lexsort(np.array([decay, dropout, np.where(still, ~plain, 2 + plain)])))
        self.still = int(still.sum())
        self.normed = slice(int((still & plain).sum()), self.still + int((~still & ~plain).sum()))
        scale = W.new_ones(int((~plain).sum()), 1, W.shape[1])
        self.parameters = [W, b[:, None], V, c[..., None], scale, torch.zeros_like(scale)]
        self.gradients = [torch.empty_like(value) for value in self.parameters]
        self.stopped = [value.clone() for value in self.parameters]
        self.dropout, self.decay = W.new_tensor(dropout)[self.order], W.new_tensor(decay)[self.order]
        self._dropped = [(place, p) for place, p in _runs(self.dropout) if p > 0.0]

    def __len__(self) -> int:
        return len(self.order)

    def differentiate(self, still: Tensor, moved: Tensor, truth: Tensor, uniform: Tensor) -> None:
        """Fill the gradients of the cross-entropy, a mean over a batch.

        Parameters
        ----------
        still, moved : Tensor (n, d)
            Inputs of those members whose inputs stay, and of the others.
        truth : Tensor of int (M, n)
            Labels, in the order of the stack.
        uniform : Tensor (n, width)
            Numbers in [0, 1): dropout sets a hidden unit to zero where its own is below the probability, and divides
            those that stay by theirs to do so.
        """
        W, b, V, c, scale, shift = self.parameters
        by_W, by_b, by_V, by_c, by_scale, by_shift = self.gradients
        n, parts = truth.shape[1], ((slice(self.still), still), (slice(self.still, None), moved))
        hidden = W.new_empty(len(W), n, W.shape[1])
        for part, x in parts:
            torch.baddbmm(b[part], x.expand(len(W[part]), -1, -1), W[part].mT, out=hidden[part])
        normed = hidden[self.normed]
        normed -= normed.mean(dim=1, keepdim=True)
        rate = torch.rsqrt(normed.square().mean(dim=1, keepdim=True) + _EPSILON)
        units = normed * rate
        torch.addcmul(shift, units, scale, out=normed)
        hidden.relu_()
        kept = {p: (uniform >= p) / W.new_tensor(1.0 - p) for _, p in self._dropped}
        for place, p in self._dropped:
            hidden[place].mul_(kept[p])
        slope = torch.softmax(torch.baddbmm(c, V, hidden.mT), dim=1)  # classes first: faster
        slope.scatter_add_(1, truth[:, None], slope.new_tensor(-1.0).expand(len(W), 1, n)).div_(n)
        torch.bmm(slope, hidden, out=by_V)
        torch.sum(slope, 2, keepdim=True, out=by_c)
        back = torch.bmm(slope.mT, V / (1.0 - self.dropout[:, None, None]))
        _aten.threshold_backward.grad_input(back, hidden, 0.0, grad_input=back)
        normed = back[self.normed]
        torch.sum(normed * units, 1, keepdim=True, out=by_scale)
        torch.sum(normed, 1, keepdim=True, out=by_shift)
        normed.addcmul_(units, by_scale, value=-1.0 / n).sub_(by_shift / n).mul_(scale * rate)
        for part, x in parts:
            torch.bmm(back[part].mT, x.expand(len(W[part]), -1, -1), out=by_W[part])
        torch.sum(back, 1, keepdim=True, out=by_b)

    def descent(self, momentum: float) -> Callable[[float], None]:
        """Return the function that takes a step of SGD along the gradients, with weight decay, at a learning rate.

        Parameters
        ----------
        momentum : float

        Returns
        -------
        callable
        """
        groups: dict[float, tuple[list[Any], list[Any], list[Any]]] = {}
        for index, (value, slope) in enumerate(zip(self.parameters, self.gradients, strict=True)):
            velocity = torch.zeros_like(value)
            for place, decay in _runs(self.decay if index < 4 else self.decay[self.normed]):
                for parts, part in zip(groups.setdefault(decay, ([], [], [])), (value, slope, velocity), strict=True):
                    parts.append(part[place])

        def step(rate: float) -> None:
            for decay, (values, slopes, velocities) in groups.items():
                sgd(values, slopes, velocities, fused=True, weight_decay=decay, momentum=momentum, lr=rate,
                    dampening=0.0, nesterov=False, maximize=False)  # fmt: skip

        return step

    def stop(self, here: NDArray[np.bool_]) -> None:
        """Keep the parameters of some members as those at which training is stopped.

        Parameters
        ----------
        here : array of bool (M,)
            Which, in the order given.
        """
        chosen = torch.from_numpy(here)[self.order, None, None]
        for kept, value in zip(self.stopped, self.parameters, strict=True):
            torch.where(chosen if len(kept) == len(chosen) else chosen[self.normed], value, kept, out=kept)

    def evaluated(self, x: Tensor, train: Tensor, stopped: bool = False) -> Tensor:
        """Return what members make of inputs, without dropout.

        Parameters
        ----------
        x : Tensor (n, d)
        train : Tensor (N, d)
            Whose statistics batch norm takes.
        stopped : bool, optional
            Whether with the parameters that `stop` kept.

        Returns
        -------
        Tensor (M, n, classes)
            In the order given.
        """
        W, b, V, c, scale, shift = self.stopped if stopped else self.parameters
        W, b, place = W.clone(), b.clone(), self.normed
        z = torch.baddbmm(b[place], train.expand(len(scale), -1, -1), W[place].mT)
        mean = z.mean(dim=1, keepdim=True)
        factor = scale * torch.rsqrt((z - mean).square_().mean(dim=1, keepdim=True) + _EPSILON)
        W[place] *= factor.mT
        b[place] = shift + (b[place] - mean) * factor
        blocks = [torch.baddbmm(b, rows.expand(len(W), -1, -1), W.mT).relu_() for rows in torch.split(x, _BLOCK)]
        outputs = torch.cat([torch.baddbmm(c.mT, hidden, V.mT) for hidden in blocks], dim=1)
        return outputs[self.order.argsort()]


def _runs(values: Tensor) -> list[tuple[slice, float]]:
    """Return where neighbours are equal, and what they are."""
    runs, end = [], 0
    for value, run in groupby(values.tolist()):
        start, end = end, end + len(list(run))
        runs.append((slice(start, end), value))
    return runs
