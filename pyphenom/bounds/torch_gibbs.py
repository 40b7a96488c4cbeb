"""The network that a certificate speaks of, to predict with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pyphenom._arrays import as_integer
from pyphenom.bounds._torch_gaussian import GaussianNetwork
from pyphenom.bounds._torch_model import check_model, frozen_copy, rebuilt
from pyphenom.bounds.certificate import Certificate


class GibbsNetwork(nn.Module):
    """A network whose weights are drawn anew in every call; made by `gibbs_network`."""

    def __init__(self, gaussian: GaussianNetwork, flatten: bool, seed: int) -> None:
        super().__init__()
        self.gaussian, self._flatten = gaussian, flatten
        self._generator = torch.Generator().manual_seed(seed)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits: of weights drawn for each point where the network is fully connected, else for this call."""
        kind, device = self.gaussian.mean[0].dtype, self.gaussian.mean[0].device

        def noise(shape: tuple[int, ...]) -> Tensor:
            return torch.randn(shape, generator=self._generator, dtype=kind).to(device)

        with torch.no_grad():
            return self.gaussian.noisy(x.flatten(1) if self._flatten else x, noise)


def gibbs_network(found: Certificate, X: Any, model: nn.Module | None = None, seed: int = 0) -> GibbsNetwork:
    """Return the stochastic network whose true loss a certificate bounds.

    Parameters
    ----------
    found : Certificate
        With its weights.
    X : tensor or array (n, ...)
        A few points, for the shape of the inputs.
    model : torch.nn.Module, optional
        The network; only its architecture is read. Needed where it is not fully connected.
    seed : int
        Of the draws.

    Returns
    -------
    GibbsNetwork

    Raises
    ------
    ValueError, TypeError
        If the weights, or the architecture, are not at hand, or the certificate speaks of another predictor.

    Examples
    --------
    >>> import numpy as np
    >>> from pyphenom.bounds import certify
    >>> y = np.arange(200) % 2
    >>> X = np.stack([y, 1 - y], axis=1) + 0.1 * np.random.default_rng(0).standard_normal((200, 2))
    >>> found = certify(nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2)), X, y)
    >>> network = gibbs_network(found, X)
    >>> points = torch.from_numpy(X).float()
    >>> bool((network(points) == network(points)).any())  # drawn anew
    False
    """
    if found.predictor == "sampled":
        raise ValueError(
            "the certificate speaks of one sampled network; expected 'gibbs' or 'vote'. Load posterior.state_dict()"
        )
    if (posterior := found.posterior) is None:
        raise ValueError("the certificate has no `posterior`; expected the weights. Read it with Certificate.load")
    if model is None and not posterior.widths:
        raise ValueError("`model` is missing; expected the module, for its architecture")
    network = frozen_copy(check_model(model)) if model is not None else rebuilt(posterior)
    points = torch.as_tensor(X)
    points = points.flatten(1) if model is None else points
    gaussian = GaussianNetwork(network.requires_grad_(False), points, posterior.prior_scale).load(posterior)
    return GibbsNetwork(gaussian, model is None, as_integer("seed", seed, 0))
