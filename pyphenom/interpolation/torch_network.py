"""The network with 2n + d weights as a torch module."""

from __future__ import annotations

from typing import Any

import torch

from pyphenom._arrays import Float


class ReLUNetwork(torch.nn.Module):
    r"""The literal sum :math:`f(x)=\sum_j v_j(a\cdot x-b_j)_+`, with its weights as trainable parameters.

    Parameters
    ----------
    direction : array (d,)
        a.
    biases : array (n,)
        b.
    weights : array (n,) or (n, T)
        v.
    dtype : torch.dtype, optional
        float64 unless given.
    """

    def __init__(self, direction: Float, biases: Float, weights: Float, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        kind = torch.float64 if dtype is None else dtype

        def parameter(values: Any) -> torch.nn.Parameter:
            return torch.nn.Parameter(torch.tensor(values, dtype=kind))

        self.direction, self.biases, self.weights = parameter(direction), parameter(biases), parameter(weights)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Return (m,) or (m, T) for inputs (m, d); holds the m n hidden activations."""
        hidden = torch.relu((X @ self.direction)[:, None] - self.biases)
        return hidden @ self.weights
