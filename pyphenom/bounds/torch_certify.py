"""Certificate on the true error of a stochastic version of a user's own network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from pyphenom._arrays import as_integer, as_real, one_of
from pyphenom.bounds import _torch_draws, _torch_prior
from pyphenom.bounds._torch_gaussian import GaussianNetwork
from pyphenom.bounds._torch_model import (
    as_inputs,
    as_labels,
    check_model,
    check_outputs,
    frozen_copy,
    reset,
    stack,
    streams,
)
from pyphenom.bounds.accounting import budget
from pyphenom.bounds.certificate import Certificate
from pyphenom.bounds.ledger import LOSSES, ORIGINS, PREDICTORS, Loss, Provenance, Union
from pyphenom.bounds.rows import Rows
from pyphenom.bounds.split import split
from pyphenom.bounds.training import Training

SCHEMES = ("auto", "independent", "shared")
TRIALS, SHARED_PASSES = 100_000, 1000
"""Draws by default: fresh weights for each of so many examples, or so many networks for all points."""

Show = Callable[[str, int, int], None]


def certify(
    model: nn.Module,
    X: Any,
    y: Any,
    prior_fraction: float = 0.5,
    delta: float = 0.05,
    *,
    prior: str = "train",
    prior_rows: Any = None,
    prior_scale: float = 0.01,
    X_test: Any = None,
    y_test: Any = None,
    test_fraction: float = 0.0,
    loss: str = "zero-one",
    predictor: str = "gibbs",
    floor: float = 1e-5,
    monte_carlo: str = "auto",
    passes: int | None = None,
    candidates: int = 1,
    training: Training | None = None,
    seed: int = 0,
    progress: Show | None = None,
) -> Certificate:
    r"""Certify the true error of a stochastic version of a network: weights :math:`N(\mu,\operatorname{diag}\sigma^2)`.

    The rows are split at random. The prior's means are trained on the prior's part; the posterior starts there and
    is trained on the bound's part, on a surrogate of the bound; fresh draws on the bound's part give its empirical
    risk; and with probability at least :math:`1-\delta` over points and draws

    .. math:: R\le\mathrm{kl}^{-1}\Big(\hat r_+,\ \frac{\mathrm{KL}+\ln(\xi(n)/\delta_1)}n\Big),
              \qquad \hat r_+=\mathrm{kl}^{-1}\Big(\bar Z,\frac{\ln(1/\delta_2)}N\Big)

    for N independent draws (one for each example and pass) in fully connected networks; other networks are drawn once
    for a whole pass, and their m error rates are bounded by betting. :math:`\delta_2` is a tenth of `delta`.

    Parameters
    ----------
    model : torch.nn.Module
        Maps (n, ...) to logits (n, classes). Copied, never changed. Batch norm must be in evaluation mode; its weights
        belong to the posterior, its statistics are frozen with the prior. Dropout is off, except while a prior trains.
    X, y : tensor or array (n, ...), (n,)
        Points and their classes 0, 1, ..., an independent sample: no augmented copies.
    prior_fraction : float
        Share of the rows for the prior, in [0, 1). With 0 the prior is the initialisation.
    delta : float
        Probability of failure, in (0, 1).
    prior : {"train", "continue", "given"}
        Where the prior's means come from: from the layers' own initialisation, trained on the prior's part, so that
        the weights of `model` are not used; from the weights of `model`, trained on; or these weights as they stand.
    prior_rows : array of int, optional
        Rows of X that the weights of `model` have seen, in whatever way; needed, even if empty, unless `prior` is
        ``"train"``. They belong to the prior's part, and with ``"given"`` are all of it.
    prior_scale : float
        Standard deviation of the prior, fixed before the points are seen.
    X_test, y_test : tensor or array, optional
        Points that nothing has seen, for a test bound of the posterior's mean network.
    test_fraction : float
        Share of the rows to set aside for that instead.
    loss : {"zero-one", "cross-entropy"}
        What is certified; the cross-entropy is bounded at `floor`.
    predictor : {"gibbs", "vote", "sampled"}
        Of whom the certificate speaks: the network with weights drawn anew for every prediction; the vote of all, at
        twice its value; or one network, drawn once, which is ``posterior.state_dict()`` of the certificate.
    floor : float
        Least probability of a class, in (0, 1).
    monte_carlo : {"auto", "independent", "shared"}
        Whether each example has its own weights, which needs a fully connected network.
    passes : int, optional
        Over the bound's part. By default as many as make 100,000 independent draws, or 1000 shared ones.
    candidates : int
        How many certificates this one is the best of, by whatever search over the other arguments, fixed in advance:
        their logarithm is added to the KL, and each one's draws get their share of the failure probability.
    training : Training, optional
        How prior and posterior are trained.
    seed : int
        Root of independent streams for split, initialisation, training of prior and posterior, and draws.
    progress : callable (what, done, total), optional

    Returns
    -------
    Certificate
        Always with a plain test bound beside it: that of the prior's mean network on the bound's points, which it has
        not seen, and that of the posterior's mean network where there are test points.

    Raises
    ------
    ValueError, TypeError
        Before any work, for labels out of range, a delta outside (0, 1), too few rows, a prior that has seen all of
        them, batch norm in training mode, logits that are not finite, random, or coupled between points.

    Notes
    -----
    A search over arguments by the certificate that they give is a choice made with the points in sight, which
    `candidates` has to pay for. One made on the prior's part costs nothing.

    References
    ----------
    Pérez-Ortiz, Rivasplata, Shawe-Taylor and Szepesvári, JMLR 2021, for learnt priors and training; Maurer 2004 for the
    bound; Hoeffding 1963 for the draws.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(2, size=400)
    >>> X = rng.standard_normal((400, 2)) + 4.0 * y[:, None]
    >>> found = certify(nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2)), X, y)
    >>> found.value < 0.15, found.rows.count, found.vacuous
    (True, 200, False)
    """
    how, show = training or Training(), progress or (lambda what, done, total: None)
    one_of("prior", prior, ORIGINS)
    target = Loss(one_of("loss", loss, LOSSES), floor if loss == "cross-entropy" else None)
    one_of("predictor", predictor, tuple(PREDICTORS))
    tree, stream = budget(as_real("delta", delta), predictor), streams(as_integer("seed", seed, 0))
    unions = (Union("certificates", candidates),) if as_integer("candidates", candidates, 1) > 1 else ()
    if as_real("prior_scale", prior_scale) == 0.0:
        raise ValueError("`prior_scale` is 0; expected a standard deviation > 0, such as 0.01")
    network = frozen_copy(check_model(model))
    inputs = as_inputs("X", X, network)
    classes = check_outputs(network, inputs)
    labels = as_labels("y", y, len(inputs), classes).to(inputs.device)
    test = _test_points(X_test, y_test, network, classes)
    parts = split(len(inputs), prior, prior_rows, prior_fraction, test_fraction, stream["split"])
    if prior == "train" and not len(parts.prior) and test is None and not len(parts.test):
        raise ValueError(
            "`prior_fraction` 0 leaves no network that was trained without the bound's points; expected test points "
            "for the plain test bound beside the certificate. Pass X_test and y_test, or test_fraction=0.2"
        )
    if prior != "given" and len(parts.prior) and not any(p.requires_grad for p in network.parameters()):
        raise ValueError(
            "`model` has no parameter that requires a gradient, so that no prior can be trained; expected at least "
            "one. Use requires_grad_(), or prior='given'"
        )
    if predictor == "vote" and loss != "zero-one":
        raise ValueError(f"`loss` is {loss!r}; expected 'zero-one' for a vote, which has no other")
    scheme = "one network" if predictor == "sampled" else _scheme(monte_carlo, network, inputs)
    most = -(-TRIALS // len(parts.bound)) if scheme == "independent" else SHARED_PASSES
    count = most if passes is None else as_integer("passes", passes, 1)

    if prior == "train":
        network = reset(network, stream["initial"])
    if prior != "given" and len(parts.prior):
        rows = torch.from_numpy(parts.prior)
        _torch_prior.train(
            network, inputs[rows], labels[rows], epochs=how.prior_epochs, batch=how.batch,
            learning_rate=how.prior_learning_rate, seed=stream["prior"],
            progress=lambda done, total: show("prior", done, total),
        )  # fmt: skip
    gaussian = GaussianNetwork(network.requires_grad_(False), inputs, float(prior_scale))
    posterior = _torch_draws.train_posterior(
        gaussian, inputs, labels, parts, how, tree.delta, stream["posterior"],
        lambda done, total: show("posterior", done, total),
    )  # fmt: skip
    if predictor == "sampled":
        posterior = _torch_draws.sampled(posterior, gaussian, stream["certificate"])
    draws = _torch_draws.draw(
        posterior, gaussian, inputs, labels, target, scheme, count, stream["certificate"], stream["posterior"], None,
        lambda done, total: show("draws", done, total),
    )  # fmt: skip
    data, marks = inputs.cpu().numpy(), labels.cpu().numpy()
    seen = Rows.of(parts.prior, data, marks) if len(parts.prior) else None
    origin = Provenance(
        prior, seen, float(prior_scale), stream["initial"], posterior.prior_digest(), posterior.buffer_digests()
    )
    beside = _torch_draws.test_bounds(posterior, gaussian, inputs, labels, test, tree.delta, candidates)
    return Certificate.issue(
        posterior, loss=target, classes=classes, rows=Rows.of(parts.bound, data, marks), delta=tree, prior=origin,
        monte_carlo=draws, held_out=beside, model=_described(network, gaussian), unions=unions,
        predictor=predictor,
        parameters=sum(value.numel() for value in network.parameters()),
    )  # fmt: skip


def _test_points(X: Any, y: Any, network: nn.Module, classes: int) -> tuple[Tensor, Tensor] | None:
    if (X is None) != (y is None):
        raise ValueError("one of `X_test` and `y_test` is missing; expected both or neither")
    if X is None:
        return None
    inputs = as_inputs("X_test", X, network)
    if not len(inputs):
        raise ValueError("`X_test` has no row; expected at least one, or None")
    return inputs, as_labels("y_test", y, len(inputs), classes).to(inputs.device)


def _scheme(asked: str, network: nn.Module, X: Tensor) -> str:
    exact = stack(network, X) is not None
    if one_of("monte_carlo", asked, SCHEMES) == "independent" and not exact:
        raise ValueError(
            "`monte_carlo` is 'independent', and the network is not fully connected: a layer that uses a weight more "
            "than once for a point, or is not known, gives outputs that are no independent normals. Pass 'auto' or "
            "'shared'"
        )
    return ("independent" if exact else "shared") if asked == "auto" else asked


def _described(network: nn.Module, gaussian: GaussianNetwork) -> str:
    count = sum(value.numel() for value in network.parameters())
    kind = "fully connected" if gaussian.layers is not None else "any torch model"
    return f"{type(network).__name__} of {count} parameters, {kind}"
