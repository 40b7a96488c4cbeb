"""Draws of Gaussian networks, a fresh one for every example: the trials of a certificate."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyphenom import _core
from pyphenom._arrays import Float, Progress, as_integer
from pyphenom.bounds.gaussian_mlp import LARGEST_SEED, GaussianMLP, as_floor, examples, inputs
from pyphenom.random_features.features import threads


@dataclass(frozen=True, eq=False, repr=False)
class Draws:
    r"""What `draws` counted: n m independent trials, one fresh network each.

    Attributes
    ----------
    errors : array of int (m,)
        Examples of each pass whose largest output was not their class.
    cross_entropy : array (m,)
        Sum of the bounded cross-entropy of each pass, in [0, n].
    n : int
        Examples.
    pmin : float
        Floor of the bounded cross-entropy.
    seed, first : int
        The stream, and the number of the first pass in it.
    """

    errors: NDArray[np.int64]
    cross_entropy: NDArray[np.float64]
    n: int
    pmin: float
    seed: int
    first: int

    @property
    def passes(self) -> int:
        """Number m of passes over the examples."""
        return len(self.errors)

    @property
    def trials(self) -> int:
        """Number of independent trials, N = n m."""
        return self.n * self.passes

    @property
    def error(self) -> float:
        """Share of errors among the trials."""
        return float(self.errors.sum() / self.trials)

    @property
    def mean_cross_entropy(self) -> float:
        """Mean of the bounded cross-entropy over the trials."""
        return float(self.cross_entropy.sum() / self.trials)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __repr__(self) -> str:
        return (
            f"Draws({self.errors.sum()} errors in {self.n} x {self.passes} independent trials: {self.error:.4g}, "
            f"bounded cross-entropy {self.mean_cross_entropy:.4g})"
        )


def draws(
    network: GaussianMLP,
    X: Any,
    y: Any,
    passes: int = 1,
    seed: int = 0,
    *,
    pmin: float = 1e-5,
    first: int = 0,
    progress: Progress | None = None,
) -> Draws:
    r"""Errors of networks drawn afresh for every example: the trials of a Monte-Carlo certificate.

    Given its input, the pre-activations of an example in a layer of independent normal weights are independent
    normals, :math:`z_j\sim N(x\cdot\mu_j + b_j,\ x^2\cdot s_j + s_{b,j})`. They are drawn instead of the weights, for
    each example on its own, which is the same as drawing all weights for each example: the
    :math:`Z_{ir}=1[\text{error of example } i \text{ in pass } r]` are independent Bernoulli variables whose mean
    over i is the empirical risk of the posterior.

    Parameters
    ----------
    network : GaussianMLP
        The posterior.
    X : array or CPU tensor (n, d)
        Converted to the network's type.
    y : array (n,)
        Classes, integers 0, ..., K - 1.
    passes : int
        Number m of draws for each example.
    seed : int
        In [0, 2^64). The draw of an example in a pass is a function of (seed, pass, row of X) alone; training never
        uses this stream.
    pmin : float
        In (0, 1): the bounded cross-entropy is :math:`\min(-\ln p_y, \ln\frac1{p_{min}})/\ln\frac1{p_{min}}`.
    first : int
        Number of the first pass, to go on where an earlier call stopped.
    progress : callable (done, total), optional
        Called with the examples done. Ctrl-C stops within one block.

    Returns
    -------
    Draws

    Raises
    ------
    ValueError, TypeError
        For bad input, before any work; and where outputs are not finite.

    Notes
    -----
    Time: two products a layer and pass, less those of the first layer after the first pass; memory for at most 512
    examples at a time.

    References
    ----------
    Kingma, Salimans and Welling, "Variational dropout and the local reparameterization trick", NIPS 2015, eq. 6;
    Hoeffding, "Probability inequalities for sums of bounded random variables", JASA 1963.

    Examples
    --------
    >>> network = GaussianMLP.around([(np.eye(2), np.zeros(2))], scale=1e-3)
    >>> draws(network, [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], [0, 1, 1], passes=2).errors
    array([1, 1])
    """
    x, labels = examples(network, X, y)
    passes = as_integer("passes", passes, 1, 2**32 - 1)
    first = as_integer("first", first, 0, 2**32 - passes)
    seed, pmin = as_integer("seed", seed, 0, LARGEST_SEED), as_floor(pmin)
    errors, sums, broken = _core.gaussian_mlp_draws(
        network._architecture, x, labels, network.mean, network._variance, pmin, seed, first, passes, threads(),
        progress,
    )  # fmt: skip
    if broken.any():
        raise ValueError(
            f"the network gives outputs that are not finite for {int(broken.max())} of {len(x)} examples; expected "
            "finite ones. Scale `X` down, or train with a smaller learning rate"
        )
    return Draws(errors, sums, len(x), pmin, seed, first)


def sample_outputs(network: GaussianMLP, X: Any, seed: int = 0, repetition: int = 0) -> Float:
    r"""Draw outputs, each with a network drawn afresh.

    .. math:: f_{w_i}(x_i),\qquad w_i\sim N(\mu, \operatorname{diag} e^{2\rho}) \text{ independent}

    Parameters
    ----------
    network : GaussianMLP
    X : array or CPU tensor (n, d)
    seed, repetition : int
        The stream and the pass in it: those of `draws`, so its errors can be looked at.

    Returns
    -------
    array (n, classes)

    Raises
    ------
    ValueError, TypeError
        For bad input, before any work.

    Examples
    --------
    >>> network = GaussianMLP.around([(np.ones((2, 3)), np.zeros(2))], scale=1.0)
    >>> Z = sample_outputs(network, np.ones((1000, 3)))
    >>> bool(abs(Z.mean() - 3.0) < 0.3), bool(abs(Z.var() - 4.0) < 0.6)  # 3 weights and a bias
    (True, True)
    """
    x = inputs(network, X)
    seed, repetition = as_integer("seed", seed, 0, LARGEST_SEED), as_integer("repetition", repetition, 0, 2**32 - 1)
    outputs: Float = _core.gaussian_mlp_outputs(
        network._architecture, x, network.mean, network._variance, seed, repetition, threads()
    )
    return outputs
