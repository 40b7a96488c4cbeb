"""The two-layer CNN as people train it: torch, automatic differentiation, one run."""

import torch


def network(weights, X, power, average):
    """Return f (n,) for weights (2, m, d) and patches (n, P, d)."""
    activations = torch.relu(torch.einsum("jmd,npd->njmp", weights, X)) ** power
    sums = activations.sum(dim=(2, 3)) / (weights.shape[1] if average else 1)
    return sums[:, 0] - sums[:, 1]


def train(
    X, y, weights, steps, *, learning_rate, power=1.0, optimizer="descent", average=True, weight_decay=0.0,
    betas=(0.9, 0.999), epsilon=1e-8,
):  # fmt: skip
    """Return the weights (2, m, d) and the losses before every step and at the end, as numpy arrays."""
    X, y = torch.as_tensor(X), torch.as_tensor(y)
    W = torch.as_tensor(weights).clone().requires_grad_(True)
    how = (
        torch.optim.Adam([W], lr=learning_rate, betas=betas, eps=epsilon, weight_decay=weight_decay)
        if optimizer == "adam"
        else torch.optim.SGD([W], lr=learning_rate, weight_decay=weight_decay)
    )
    losses = []
    for _ in range(steps):
        how.zero_grad()
        loss = torch.nn.functional.softplus(-y * network(W, X, power, average)).mean()
        losses.append(loss.item())
        loss.backward()
        if optimizer == "normalized":
            W.grad /= W.grad.norm()
        how.step()
    with torch.no_grad():
        losses.append(torch.nn.functional.softplus(-y * network(W, X, power, average)).mean().item())
    return W.detach().numpy(), losses
