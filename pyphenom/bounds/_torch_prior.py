"""The prior's means: a network trained on the prior's rows alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pyphenom.bounds._torch_gaussian import Show


def train(
    model: nn.Module, X: Tensor, y: Tensor, *, epochs: int, batch: int, learning_rate: float, seed: int, progress: Show
) -> None:
    """Train a model in place by Adam on the cross-entropy, in training mode: dropout on, batch norm counting."""
    model.train()
    optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate)
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # dropout draws from the global generator
        for epoch in range(epochs):
            for rows in torch.split(torch.randperm(len(X), generator=generator), batch):
                if len(rows) == 1 and len(X) > 1:  # batch norm needs two; the next epoch has another order
                    continue
                optimiser.zero_grad()
                loss: Any = nn.functional.cross_entropy(model(X[rows]), y[rows])
                loss.backward()
                optimiser.step()
            progress(epoch + 1, epochs)
    model.eval()
    optimiser.zero_grad()
    if not all(bool(torch.isfinite(p).all()) for p in model.parameters()):
        raise ValueError(
            "the training of the prior diverged: its weights are not finite. Lower `prior_learning_rate`, or scale `X` "
            "down"
        )
