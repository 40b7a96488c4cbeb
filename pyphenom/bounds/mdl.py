r"""Minimum description length by prequential coding: what the labels cost when each is predicted from those before.

A label code length; it bounds no risk.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pyphenom._arrays import Progress, as_integer

Array = NDArray[np.float64]
Predictor: TypeAlias = Callable[[Any, NDArray[np.int64], Any], Any]
"""Training inputs, their labels, and new inputs (m, ...), to probabilities (m, K) of the new labels."""


@dataclass(frozen=True, eq=False)
class CodeLength:
    r"""Length of a code of n labels of K classes, in bits.

    Attributes
    ----------
    starts : array of int (T + 1,)
        Where the blocks begin, and at the end n.
    block_bits : array (T,)
        :math:`-\sum\log_2 p(y_i\mid x_i,\text{blocks before})`; the first block is coded uniformly.
    bits : float
        Their sum.
    uniform_bits : float
        :math:`n\log_2K`.
    """

    starts: NDArray[np.int64]
    block_bits: Array
    bits: float
    uniform_bits: float

    @property
    def ratio(self) -> float:
        """Bits over uniform bits: below 1 the labels are compressed."""
        return self.bits / self.uniform_bits

    @property
    def chance(self) -> float:
        r"""Bound on the probability of such a compression if labels are uniform and independent of the inputs.

        :math:`\min(1,2^{-c})` for c saved bits: a code with :math:`\sum2^{-\text{length}}\le1` has at most
        :math:`2^{-c}K^n` labellings that it shortens by c (Kraft, Markov), whatever the predictor.
        """
        return float(2.0 ** min(0.0, self.bits - self.uniform_bits))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)

    def __repr__(self) -> str:
        return (
            f"CodeLength({self.bits:.6g} bits for {self.starts[-1]} labels, {self.ratio:.4g} of uniform, "
            f"{len(self.block_bits)} blocks)"
        )


def doubling_blocks(n: int, first: int = 64) -> list[int]:
    """Return where the blocks begin that double the data: 0, first, 2 first, 4 first, ... below n.

    Parameters
    ----------
    n, first : int
        Number of labels, and length of the first block.

    Returns
    -------
    list of int

    Raises
    ------
    TypeError, ValueError
        If n is not positive, or `first` not between 1 and n.

    Examples
    --------
    >>> doubling_blocks(600)
    [0, 64, 128, 256, 512]
    """
    as_integer("n", n, 1), as_integer("first", first, 1, n)
    starts = [0]
    while (block := first * 2 ** (len(starts) - 1)) < n:
        starts.append(block)
    return starts


def prequential(
    predictor: Predictor,
    X: Any,
    y: Any,
    classes: int,
    starts: Sequence[int] | None = None,
    *,
    progress: Progress | None = None,
) -> CodeLength:
    r"""Prequential code length of labels given inputs, :math:`\sum_t-\log_2p_{\theta(S_{<t})}(y_t\mid x_t)`, in bits.

    The first block is sent uniformly; for each further block a predictor is trained on all blocks before, and the block
    is sent with its probabilities. Sender and receiver must do the same: the predictor may be random only through fixed
    seeds, and must not see the labels of the block.

    Parameters
    ----------
    predictor : callable
        ``predictor(X_seen, y_seen, X_new)`` gives probabilities (m, classes) whose rows sum to 1. Probabilities of zero
        cost infinitely many bits where they are wrong: mix in a little of the uniform law.
    X : array or tensor (n, ...)
        Sliced along its first axis.
    y : array or tensor of int (n,)
        Labels from 0 to classes - 1, in the order in which they are sent, which must not depend on them.
    classes : int
    starts : sequence of int, optional
        Where the blocks begin, from 0; `doubling_blocks` by default.
    progress : callable, optional
        Called with (blocks done, blocks).

    Returns
    -------
    CodeLength

    Raises
    ------
    TypeError, ValueError
        For labels out of range, blocks that do not grow from 0, or what is no probability.

    References
    ----------
    Dawid 1984; Blier and Ollivier, The description length of deep learning models, NeurIPS 2018, section 3.3.

    Examples
    --------
    >>> def laplace(X_seen, y_seen, X_new):
    ...     counts = np.bincount(y_seen, minlength=2) + 1.0
    ...     return np.tile(counts / counts.sum(), (len(X_new), 1))
    >>> prequential(laplace, np.zeros((4, 1)), [1, 1, 1, 1], 2, starts=[0, 1, 2, 3]).bits  # 1 + log2(3/2 4/3 5/4)
    2.32192809488736...
    """
    as_integer("classes", classes, 2)
    labels = np.asarray(y)
    if labels.dtype.kind not in "iu" or labels.ndim != 1 or len(labels) == 0 or len(labels) != len(X):
        raise TypeError(
            f"`y` has dtype {labels.dtype} and shape {labels.shape}; expected class indices ({len(X)},), one a sample"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"`y` goes from {labels.min()} to {labels.max()}; expected 0 to {classes - 1}")
    n = len(labels)
    edges = np.array([*(doubling_blocks(n, min(64, n)) if starts is None else starts), n])
    if edges.dtype.kind != "i" or edges[0] != 0 or (np.diff(edges) <= 0).any():
        raise ValueError(f"`starts` is {edges[:-1].tolist()}; expected integers that grow from 0 and stay below {n}")
    bits = [float(edges[1]) * math.log2(classes)]
    for t, (low, high) in enumerate(itertools.pairwise(edges[1:]), 1):
        block = labels[low:high]
        given = np.asarray(predictor(X[:low], labels[:low], X[low:high]), dtype=np.float64)
        if given.shape != (len(block), classes):
            raise ValueError(f"`predictor` gives the shape {given.shape}; expected {(len(block), classes)}")
        # float32 probabilities sum to one only to their rounding.
        if not ((given >= 0).all() and (np.abs(given.sum(axis=1) - 1) < 1e-5).all()):
            raise ValueError("`predictor` gives rows that are no probabilities; expected numbers >= 0 that sum to 1")
        with np.errstate(divide="ignore"):
            own = np.log2(given / given.sum(axis=1, keepdims=True))[np.arange(len(block)), block]
        bits.append(-float(own.sum()))
        if progress:
            progress(t + 1, len(edges) - 1)
    return CodeLength(edges, np.array(bits), math.fsum(bits), n * math.log2(classes))
