"""The network with 2n + d weights: what it predicts, its parameters, and what they measure."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from pyphenom import _core
from pyphenom._arrays import Float, as_numeric, restore
from pyphenom.interpolation._projection import blocks, project
from pyphenom.random_features.features import threads

if TYPE_CHECKING:
    from pyphenom.interpolation.torch_network import ReLUNetwork

SUM_ENTRIES = 1 << 22
"""Hidden activations held at once by the literal sum."""


class Parameters(NamedTuple):
    r"""The weights of :math:`f(x)=\sum_j v_j(a\cdot x-b_j)_+`.

    Attributes
    ----------
    a : array (d,)
        The direction, a unit vector.
    b : array (n,)
        Ascending biases.
    v : array (n,) or (n, T)
        Output weights.
    """

    a: Float
    b: Float
    v: Float


@dataclass(frozen=True, eq=False, repr=False)
class ReLUInterpolant:
    r"""The network :math:`f(x)=\sum_j v_j(a\cdot x-b_j)_+` through n points, as `relu_interpolant` makes it.

    Called with inputs (m, d) it predicts (m,) or (m, T), in O(md + m log n): the projection q falls between two knots
    by bisection, and :math:`f=y_j+S_j(q-z_j)` with the prefix sum :math:`S_j=v_1+\dots+v_j` and the data point
    :math:`(z_j, y_j)` next to it. No large terms cancel, and at the data the label comes back to the bit.

    Attributes
    ----------
    direction : array (d,)
        a, of unit length.
    center : array (d,)
        Taken off the inputs before they are projected, so that a common offset costs no digits: z and the knots are
        relative to it.
    knots : array (n,)
        :math:`b_j-a\cdot\text{center}`, ascending.
    projections : array (n,)
        :math:`z_j=a\cdot(x_j-\text{center})`, ascending.
    targets : array (n,) or (n, T)
        Labels in the order of the projections.
    slopes : array (n,) or (n, T)
        :math:`S_j`, the slope of f in z to the right of knot j.
    relative_gap : float
        The smallest gap between neighbouring projections over their range; infinity for one point.
    merged : int
        Rows that repeated another and its label.
    dtype : numpy.dtype
        Of the labels given, and of the predictions.
    """

    direction: Float
    center: Float
    knots: Float
    projections: Float
    targets: Float
    slopes: Float
    relative_gap: float
    merged: int
    dtype: np.dtype[Any]

    def __call__(self, X: Any) -> Any:
        """Predict for inputs (m, d), an array or a CPU tensor; the answer is of the same kind."""
        x = self._checked(X)
        q = project("X", x, self.center, self.direction[None], None)[0]
        out = np.empty((len(x), self._targets.shape[1]))
        _core.relu_evaluate(q, self.knots, self.projections, self._targets, self._slopes, out, threads())
        return restore(out.reshape(len(x), *self.targets.shape[1:]).astype(self.dtype, copy=False), like=X)

    def weighted_sum(self, X: Any, dtype: DTypeLike = np.float64) -> Any:
        r"""Form the literal sum :math:`\sum_j v_j(a\cdot x-b_j)_+` in O(mn), with parameters and arithmetic in `dtype`.

        It is what the network gives wherever it is run layer by layer, and it interpolates only as far as its digits
        reach: the smallest gap of random points falls as 1 / n^2, so that slopes, and with them the effect of a
        rounding, grow as n^2. For Gaussian inputs in 100 dimensions and labels 0 or 1 at random, the largest error at
        the data:

        =========  ================  =======  =======  =======  =======  =======
        position   arithmetic        n = 100  1000     10^4     10^5     10^6
        =========  ================  =======  =======  =======  =======  =======
        0          float64           1.5e-11  1e-9     5.6e-8   4.7e-6   6.5e-4
        1/4        float64           1.5e-11  3.5e-9   1.5e-7   1.7e-5   1.9e-3
        1/2        float64           1.2e-10  4.8e-7   2.3e-4   2.6e-2   11
        0          float32           2e-3     0.38     72       2.6e3    4.1e5
        1/2        float32           1.6e-2   1.3e2    1.5e5    1.3e7    3.7e9
        =========  ================  =======  =======  =======  =======  =======

        So knots at the data are best. With them float64 recovers such labels past a million points, float32 up to about
        a thousand; with midpoints float64 up to some hundred thousand, float32 up to some hundred
        (``benchmarks/interpolation.py``, over 300 of the points).

        Parameters
        ----------
        X : array or CPU tensor (m, d)
        dtype : numpy.float64 or numpy.float32

        Returns
        -------
        array or tensor (m,) or (m, T), of type `dtype`
        """
        x, kind = self._checked(X), np.dtype(dtype)
        if kind not in (np.float32, np.float64):
            raise TypeError(f"`dtype` is {dtype!r}; expected float32 or float64")
        with np.errstate(over="ignore"):
            a, b, v = (part.astype(kind) for part in self.parameters)
        if not np.isfinite(v).all():
            raise ValueError(f"`dtype` is {kind}, in which weights up to {np.abs(self.slopes).max():.3g} overflow")
        rows, out = max(1, SUM_ENTRIES // len(b)), np.empty((len(x), *v.shape[1:]), kind)
        for part, block in blocks(x):
            q = block.astype(kind, copy=False) @ a
            for first in range(0, len(q), rows):
                hidden = q[first : first + rows, None] - b
                out[part.start + first : part.start + first + len(hidden)] = np.maximum(hidden, 0, out=hidden) @ v
        return restore(out, like=X)

    def to_torch(self, dtype: Any = None) -> ReLUNetwork:
        """Return the network as a torch module that forms the literal sum; see `weighted_sum` for its accuracy.

        Parameters
        ----------
        dtype : torch.dtype, optional
            float64 unless given.

        Returns
        -------
        ReLUNetwork
        """
        from pyphenom.interpolation.torch_network import ReLUNetwork

        return ReLUNetwork(*self.parameters, dtype=dtype)

    @property
    def parameters(self) -> Parameters:
        """The weights (a, b, v)."""
        steps = np.diff(self.slopes, axis=0, prepend=np.zeros_like(self.slopes[:1]))
        return Parameters(self.direction, self.knots + float(self.direction @ self.center), steps)

    @property
    def parameter_count(self) -> int:
        """2n + d for one target, n + d + nT for T of them, n counting distinct points."""
        return sum(part.size for part in self.parameters)

    @property
    def pieces(self) -> int:
        """Number of linear pieces, the outermost included: one more than the knots at which a slope changes."""
        steps = self.parameters.v.reshape(len(self.knots), -1)
        return 1 + int((steps != 0).any(axis=1).sum())

    @property
    def lipschitz(self) -> float:
        r"""Lipschitz constant :math:`|a|\max_j|S_j|`, Euclidean norms in the inputs and the targets; attained."""
        return float(np.linalg.norm(self.direction) * np.linalg.norm(self._slopes, axis=1).max())

    @property
    def norm(self) -> float:
        """Euclidean norm of all weights (a, b, v)."""
        return float(np.linalg.norm([np.linalg.norm(part) for part in self.parameters]))

    @property
    def variation(self) -> float:
        r"""Path norm :math:`|a|\sum_j|v_j|`: the total variation of the slope, unchanged by rescaling of layers."""
        steps = self.parameters.v.reshape(len(self.knots), -1)
        return float(np.linalg.norm(self.direction) * np.linalg.norm(steps, axis=1).sum())

    @property
    def margin(self) -> float:
        r"""Distance in the inputs from the data to the nearest change of the predicted class.

        The class is the sign of f for one target and the largest of T for more, so that labels are :math:`\pm1` or one
        column a class. Infinity where the class never changes. The outer left, where f = 0, is a change of no class.
        """
        return _nearest_change(self) / float(np.linalg.norm(self.direction))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __repr__(self) -> str:
        knots, targets = self._targets.shape
        merged = f", {self.merged} rows merged" if self.merged else ""
        return (
            f"ReLUInterpolant({knots} knots, {len(self.direction)} inputs, {targets} target{'s' * (targets > 1)}, "
            f"{self.parameter_count} weights{merged})"
        )

    @property
    def _targets(self) -> Float:
        return self.targets.reshape(len(self.knots), -1)

    @property
    def _slopes(self) -> Float:
        return self.slopes.reshape(len(self.knots), -1)

    def _checked(self, X: Any) -> Float:
        x = as_numeric("X", X, (2,))
        if x.shape[1] != len(self.direction):
            raise ValueError(f"`X` has {x.shape[1]} columns; expected {len(self.direction)}, as in the data")
        return x


def _nearest_change(f: ReLUInterpolant) -> float:
    """Distance in z from the data to the nearest change of class.

    Between neighbours f has one knot, so that it is linear from z_{j-1} to b_j and from b_j to z_j; the class changes
    first where another score overtakes that of the class at the end of a segment.
    """
    z, knots = f.projections, f.knots
    Y, S = f._targets, f._slopes
    if Y.shape[1] == 1:  # two classes with scores f and 0
        Y, S = np.hstack([Y, np.zeros_like(Y)]), np.hstack([S, np.zeros_like(S)])
    at_knot = Y + S * (knots - z)[:, None]
    nearest = min(
        _overtaking(Y[:-1], at_knot[1:], knots[1:] - z[:-1]),
        _overtaking(at_knot[1:], Y[1:], z[1:] - knots[1:], beyond=knots[1:] - z[:-1]),
        _overtaking(Y[1:], at_knot[1:], z[1:] - knots[1:]),
        _overtaking(at_knot[1:], Y[:-1], knots[1:] - z[:-1], beyond=z[1:] - knots[1:]),
    )
    # Beyond the last point the scores go on for ever.
    return min(nearest, _overtaking(Y[-1:], Y[-1:] + S[-1:], np.ones(1), endless=True))


def _overtaking(start: Float, end: Float, length: Float, beyond: Any = 0.0, *, endless: bool = False) -> float:
    """Return the least distance at which a score overtakes that of the class at the start of a segment."""
    if not len(start):
        return np.inf
    beyond, length = np.reshape(beyond, (-1, 1)), length[:, None]
    leader = start.argmax(axis=1)[:, None]
    lead = np.take_along_axis(start, leader, 1) - start
    lead_at_end = np.take_along_axis(end, leader, 1) - end
    overtaken = lead > lead_at_end if endless else lead_at_end < 0
    closing = np.where(overtaken, lead - lead_at_end, 1.0)
    distance = np.where(overtaken, beyond + lead / closing * length, np.inf)
    return float(distance.min())
