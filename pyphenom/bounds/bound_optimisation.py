"""Training of a Gaussian network by making a PAC-Bayes bound small."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyphenom import _core
from pyphenom._arrays import Float, Progress, as_integer, as_real, one_of
from pyphenom.bounds.gaussian_mlp import LARGEST_SEED, GaussianMLP, as_floor, check_prior, examples
from pyphenom.random_features.features import threads

OBJECTIVES = ("classic", "quadratic", "lambda", "catoni", "kl", "dziugaite_roy")
OPTIMISERS = ("sgd", "adam")


@dataclass(frozen=True, eq=False, repr=False)
class OptimisationState:
    """Everything that an optimisation carries from one epoch to the next.

    Attributes
    ----------
    mean, log_scale : array (P,)
        Of the posterior.
    mean_moment, log_scale_moment : array (P,)
        First moments of the gradients.
    mean_second, log_scale_second : array (P,), or (0,) for SGD
        Second moments.
    epoch, step : int
        Taken so far.
    lambda_ : float
        Of the objective ``"lambda"``.
    log_variance, log_variance_moment, log_variance_second : float
        Logarithm of the prior's variance for ``"dziugaite_roy"``, and its moments.
    """

    mean: Float
    log_scale: Float
    mean_moment: Float
    log_scale_moment: Float
    mean_second: Float
    log_scale_second: Float
    epoch: int = 0
    step: int = 0
    lambda_: float = 1.0
    log_variance: float = 0.0
    log_variance_moment: float = 0.0
    log_variance_second: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name: ``numpy.savez(path, **state.to_dict())`` saves them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_dict(cls, saved: Any) -> OptimisationState:
        """Return the state from a mapping such as ``numpy.load(path)``.

        Parameters
        ----------
        saved : mapping of field names to arrays or numbers

        Returns
        -------
        OptimisationState
        """
        values: dict[str, Any] = {field.name: np.asarray(saved[field.name]) for field in fields(cls)}
        return cls(**{name: value if value.ndim else value.item() for name, value in values.items()})

    def __repr__(self) -> str:
        return f"OptimisationState(epoch {self.epoch}, step {self.step}, {len(self.mean)} parameters)"


@dataclass(frozen=True, eq=False, repr=False)
class BoundOptimisation:
    """What `optimise_bound` found; the arrays have one entry for each epoch of this call.

    Attributes
    ----------
    posterior : GaussianMLP
    objective, risk, error : array (epochs,)
        Means over the examples of the objective, the bounded cross-entropy and the 0-1 error, each taken as the
        parameters stood at its minibatch. They certify nothing.
    kl : array (epochs,)
        KL(posterior, prior) in nats at the end of the epoch.
    log_variance : float or None
        Logarithm of the learnt prior variance of ``"dziugaite_roy"``. The bound is for variances on a grid: round it
        and pay for its index.
    status : {"ok", "diverged"}
        ``"diverged"`` if the objective stopped being a number: the posterior is that of the last whole epoch. A smaller
        learning rate helps.
    state : OptimisationState or None
        To go on from here; None after a divergence.
    """

    posterior: GaussianMLP
    objective: NDArray[np.float64]
    risk: NDArray[np.float64]
    error: NDArray[np.float64]
    kl: NDArray[np.float64]
    log_variance: float | None
    status: str
    state: OptimisationState | None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __repr__(self) -> str:
        if not len(self.kl):
            return f"BoundOptimisation({self.status}, no epoch)"
        return (
            f"BoundOptimisation({self.status}, {len(self.kl)} epochs: objective {self.objective[-1]:.4g}, "
            f"risk {self.risk[-1]:.4g}, error {self.error[-1]:.4g}, KL {self.kl[-1]:.5g})"
        )


def optimise_bound(
    posterior: GaussianMLP,
    prior: GaussianMLP,
    X: Any,
    y: Any,
    *,
    objective: str = "quadratic",
    delta: float = 0.025,
    n: int | None = None,
    epochs: int = 100,
    batch: int = 256,
    optimiser: str = "sgd",
    learning_rate: float = 5e-3,
    momentum: float = 0.9,
    antithetic: bool = False,
    pmin: float = 1e-5,
    catoni: float = 2.0,
    seed: int = 0,
    state: OptimisationState | None = None,
    progress: Progress | None = None,
    checkpoint: Callable[[OptimisationState], None] | None = None,
) -> BoundOptimisation:
    r"""Train a Gaussian network by making a PAC-Bayes bound small, with local reparametrisation.

    With the bounded cross-entropy r of a minibatch, drawn with a fresh network for each example, and
    :math:`B=\mathrm{KL}+\ln(2\sqrt n/\delta)`, the objectives are

    ================= =========================================================================================
    ``classic``       :math:`r+\sqrt{B/2n}`
    ``quadratic``     :math:`(\sqrt{r+B/2n}+\sqrt{B/2n})^2`
    ``lambda``        :math:`r/(1-\lambda/2)+B/(n\lambda(1-\lambda/2))`; after each epoch the best :math:`\lambda`
    ``catoni``        :math:`(1-e^{-Cr-(\mathrm{KL}+\ln(1/\delta))/n})/(1-e^{-C})`, C = `catoni` fixed
    ``kl``            :math:`\mathrm{kl}^{-1}(r, B/n)`
    ``dziugaite_roy`` :math:`r+\sqrt{A/2}`, :math:`A=(\mathrm{KL}+2\ln(b\ln\frac cv)+\ln\frac{\pi^2n}{6\delta})/(n-1)`
    ================= =========================================================================================

    the last with a prior :math:`N(\mu^0, vI)` whose variance v is learnt, b = 100 and c = 0.1. The result certifies
    nothing by itself: the risk has to be estimated by `draws`, on the n points of the bound.

    Parameters
    ----------
    posterior : GaussianMLP
        Where to start. With `state`, only its architecture counts.
    prior : GaussianMLP
        Stays as it is, except for the scale under ``"dziugaite_roy"``, which starts from its one log-scale.
    X, y : array or CPU tensor (n, d), array (n,)
        Training examples and their classes 0, ..., K - 1.
    objective : {"classic", "quadratic", "lambda", "catoni", "kl", "dziugaite_roy"}
    delta : float
        In (0, 1).
    n : int, optional
        Points that the bound is for, where those are not the training examples.
    epochs : int
        At which to end, counted from the start of the run, also after a resume.
    batch : int
        Examples of a minibatch; the last of an epoch may have fewer.
    optimiser : {"sgd", "adam"}
        With momentum; Adam with :math:`\beta_2=0.999`, :math:`\varepsilon=10^{-8}`.
    learning_rate : float
        For means, log-scales and the logarithm of the learnt variance.
    momentum : float
        In [0, 1); :math:`\beta_1` of Adam.
    antithetic : bool
        Pass each example twice, with the noise and with its negative: two thirds of the cost of another example, if
        the first layer is the widest.
    pmin : float
        Floor of the bounded cross-entropy, see `draws`.
    catoni : float
        C > 0, fixed before the data are seen.
    seed : int
        In [0, 2^64). The order of an epoch is a function of (seed, epoch), the noise one of (seed, step, row of X).
    state : OptimisationState, optional
        Go on from here: an interrupted run then ends with the same bits as one that was not, on the same machine.
    progress : callable (done, total), optional
        Called after each epoch. Ctrl-C stops within one step.
    checkpoint : callable (state), optional
        Called after each epoch.

    Returns
    -------
    BoundOptimisation

    Raises
    ------
    ValueError, TypeError
        For bad input, before any work; the message names the argument and the remedy.

    References
    ----------
    Pérez-Ortiz, Rivasplata, Shawe-Taylor and Szepesvári, "Tighter risk certificates for neural networks", JMLR 2021,
    eqs. 5-8 and Sec. 5; Dziugaite and Roy, "Computing nonvacuous generalization bounds", UAI 2017, eq. 7; Kingma,
    Salimans and Welling, NIPS 2015.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(2, size=4000)
    >>> X = rng.standard_normal((4000, 2)) + 4.0 * y[:, None]
    >>> prior = GaussianMLP.around([(np.zeros((2, 2)), np.zeros(2))], scale=1.0)
    >>> found = optimise_bound(prior, prior, X, y, epochs=10, batch=50, optimiser="adam", learning_rate=0.02, pmin=0.01)
    >>> found.status, bool(found.error[-1] < 0.1), bool(found.kl[-1] < 100.0)
    ('ok', True, True)
    """
    one_of("objective", objective, OBJECTIVES)
    one_of("optimiser", optimiser, OPTIMISERS)
    check_prior(posterior, prior)
    x, labels = examples(posterior, X, y)
    learnt = objective == "dziugaite_roy"
    points = len(x) if n is None else as_integer("n", n, 1)
    if learnt and points < 2:
        raise ValueError(f"`n` is {points}; expected at least 2: the bound of Dziugaite and Roy divides by n - 1")
    delta, epochs = as_real("delta", delta), as_integer("epochs", epochs, 0)
    if not 0.0 < delta < 1.0:
        raise ValueError(f"`delta` is {delta:g}; expected a probability in (0, 1)")
    momentum = as_real("momentum", momentum)
    if not momentum < 1.0:
        raise ValueError(f"`momentum` is {momentum:g}; expected a number in [0, 1)")
    catoni = as_real("catoni", catoni)
    if catoni == 0.0:
        raise ValueError("`catoni` is 0; expected a number > 0")
    batch = min(as_integer("batch", batch, 1), len(x))
    if epochs * -(-len(x) // batch) >= 2**32:
        raise ValueError(f"`epochs` is {epochs}; expected fewer than 2^32 steps in all")
    adam = optimiser == "adam"
    training = _core.GaussianTraining(
        objective, points, delta, catoni, adam, as_real("learning_rate", learning_rate), momentum, as_floor(pmin),
        batch, bool(antithetic), as_integer("seed", seed, 0, LARGEST_SEED), threads(),
    )  # fmt: skip
    log_variance = _one_log_variance(prior)
    if learnt:
        _check_learnt_prior(log_variance)
    now = _start(posterior, adam, log_variance or 0.0) if state is None else _resumed(state, posterior, adam)

    scales = None if learnt or log_variance is not None else prior.log_scale
    variance = np.empty_like(now.mean)
    rows: list[Any] = []
    status = "ok"
    while now.epoch < epochs:
        where = _core.GaussianProgress(
            now.epoch, now.step, now.lambda_, now.log_variance, now.log_variance_moment, now.log_variance_second
        )
        before = now.mean.copy(), now.log_scale.copy()
        row = _core.gaussian_mlp_train_epoch(
            posterior._architecture, x, labels, training, where, now.mean, now.log_scale, variance, now.mean_moment,
            now.log_scale_moment, now.mean_second if adam else None, now.log_scale_second if adam else None,
            prior.mean, scales,
        )  # fmt: skip
        now = replace(
            now,
            epoch=where.epoch,
            step=where.step,
            lambda_=where.lambda_,
            log_variance=where.log_variance,
            log_variance_moment=where.log_variance_moment,
            log_variance_second=where.log_variance_second,
        )
        if row.diverged:
            status, now = "diverged", replace(now, mean=before[0], log_scale=before[1])
            break
        rows.append(row)
        if checkpoint is not None:
            checkpoint(_copy(now))
        if progress is not None:
            progress(now.epoch, epochs)
    return BoundOptimisation(
        posterior=replace(posterior, mean=now.mean.copy(), log_scale=now.log_scale.copy()),
        objective=np.array([row.objective for row in rows]),
        risk=np.array([row.risk for row in rows]),
        error=np.array([row.error for row in rows]),
        kl=np.array([row.kl for row in rows]),
        log_variance=now.log_variance if learnt else None,
        status=status,
        state=now if status == "ok" else None,
    )


def _one_log_variance(prior: GaussianMLP) -> float | None:
    """Twice the log-scale of a prior that has only one; the kernel then reads no array of scales."""
    first = prior.log_scale[0]
    return 2.0 * float(first) if (prior.log_scale == first).all() else None


def _check_learnt_prior(log_variance: float | None) -> None:
    if log_variance is None:
        raise ValueError("`prior` has several scales; the objective 'dziugaite_roy' expects one for all parameters")
    largest = float(np.log(0.1) - 0.01)
    if log_variance > largest:
        raise ValueError(
            f"`prior` has the variance {np.exp(log_variance):g}; the objective 'dziugaite_roy' expects one of at most "
            f"{np.exp(largest):.4g}, the top of its grid"
        )


def _start(posterior: GaussianMLP, adam: bool, log_variance: float) -> OptimisationState:
    def zeros(kept: bool) -> Float:
        return np.zeros(posterior.parameters if kept else 0, posterior.mean.dtype)

    return OptimisationState(
        posterior.mean.copy(), posterior.log_scale.copy(), zeros(True), zeros(True), zeros(adam), zeros(adam),
        log_variance=log_variance,
    )  # fmt: skip


_ARRAYS = ("mean", "log_scale", "mean_moment", "log_scale_moment", "mean_second", "log_scale_second")


def _copy(state: OptimisationState) -> OptimisationState:
    return replace(state, **{name: getattr(state, name).copy() for name in _ARRAYS})


def _resumed(state: OptimisationState, posterior: GaussianMLP, adam: bool) -> OptimisationState:
    for name in _ARRAYS:
        array, expected = getattr(state, name), posterior.parameters if adam or "second" not in name else 0
        if array.shape != (expected,) or array.dtype != posterior.mean.dtype:
            raise ValueError(
                f"`state.{name}` is {array.dtype} {array.shape}; expected {posterior.mean.dtype} ({expected},), as a "
                f"run of this network and optimiser leaves it"
            )
    return _copy(state)
