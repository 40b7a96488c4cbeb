"""A certificate computed again, from its weights and the data."""

from __future__ import annotations

from typing import Any

from torch import nn

from pyphenom.bounds import _torch_draws
from pyphenom.bounds._torch_gaussian import GaussianNetwork
from pyphenom.bounds._torch_model import as_inputs, as_labels, check_model, check_outputs, frozen_copy, rebuilt
from pyphenom.bounds.certificate import Certificate
from pyphenom.bounds.ledger import Provenance
from pyphenom.bounds.rows import Rows


def replay(found: Certificate, X: Any, y: Any, model: nn.Module | None, X_test: Any, y_test: Any) -> Certificate:
    """Return the certificate that the weights, the data and the recorded streams give."""
    posterior = found.posterior
    assert posterior is not None
    if model is None and not posterior.widths:
        raise ValueError(
            "`model` is missing, and the network is not one of linear layers with biases and one activation, which the "
            "saved weights describe; expected the module, for its architecture. Write verify(X, y, model)"
        )
    network = frozen_copy(check_model(model)) if model is not None else rebuilt(posterior)
    inputs = as_inputs("X", X, network)
    if model is None:
        inputs = inputs.flatten(1)
    gaussian = GaussianNetwork(network.requires_grad_(False), inputs, posterior.prior_scale).load(posterior)
    classes = check_outputs(network, inputs)
    labels = as_labels("y", y, len(inputs), classes).to(inputs.device)
    test = None
    if X_test is not None:
        points = as_inputs("X_test", X_test, network)
        points = points.flatten(1) if model is None else points
        test = points, as_labels("y_test", y_test, len(points), classes).to(points.device)
    elif len(found.held_out) > 1 + (len(posterior.test_rows) > 0):
        raise ValueError("`X_test` is missing; expected the test points that `certify` was given")
    data, marks = inputs.cpu().numpy(), labels.cpu().numpy()
    rows = Rows.of(posterior.bound_rows, data, marks)  # refuses data with fewer rows
    plan = found.monte_carlo
    if found.predictor == "sampled":
        posterior = _torch_draws.sampled(posterior, gaussian, plan.seed)
    draws = _torch_draws.draw(
        posterior, gaussian, inputs, labels, found.loss, plan.scheme, plan.passes, plan.seed, plan.training_seed,
        plan.generator, lambda done, total: None,
    )  # fmt: skip
    seen = Rows.of(posterior.prior_rows, data, marks) if len(posterior.prior_rows) else None
    prior = Provenance(
        found.prior.origin, seen, posterior.prior_scale, found.prior.seed, posterior.prior_digest(),
        posterior.buffer_digests(),
    )  # fmt: skip
    beside = _torch_draws.test_bounds(posterior, gaussian, inputs, labels, test, found.delta.delta, candidates(found))
    return Certificate.issue(
        posterior, loss=found.loss, classes=classes, rows=rows, delta=found.delta,
        prior=prior, monte_carlo=draws, held_out=beside, model=found.model,
        parameters=sum(value.numel() for value in network.parameters()), unions=found.unions, predictor=found.predictor,
    )  # fmt: skip


def candidates(found: Certificate) -> int:
    """Return how many certificates this one is the best of."""
    product = 1
    for union in found.unions:
        product *= union.candidates
    return product
