"""The sharpness of a loss followed through a training loop of the user's own."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from pyphenom._arrays import as_integer, as_real
from pyphenom.curvature.lanczos import eigsh
from pyphenom.curvature.torch_linearize import linearize


@dataclass(frozen=True)
class Crossing:
    r"""When a training went beyond the edge of stability, and where it stayed.

    Attributes
    ----------
    threshold : float
        :math:`2(1+\beta)/\eta`.
    step : int or None
        The first step with a sharpness at or above the threshold; None if there is none.
    mean_ratio : float or None
        Mean of sharpness over threshold in the readings from that step on; None if there is none.
    readings : int
        How many those are.
    """

    threshold: float
    step: int | None
    mean_ratio: float | None
    readings: int

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)


class SharpnessTracker:
    r"""Follow the largest eigenvalue of the Hessian, the sharpness, inside a training loop.

    Each reading linearises the model where it stands and starts the eigensolver from the eigenvectors of the last one.
    Nothing of the model, its gradients or the random state is changed.

    Parameters
    ----------
    model, loss, X, y
        As for `linearize`: the data on which the sharpness is read, which need not be the batch that is trained on.
    every : int
        Steps between readings.
    pairs : int
        Eigenpairs that are followed; one more than may overtake each other.
    tol : float
        Of the residuals, relative to the largest eigenvalue in magnitude; the eigenvalue's error is about its square.
    **options
        Further arguments of `linearize`.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> X, y = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.zeros(2, 1)
    >>> tracker = SharpnessTracker(model, "half_squared", X, y, every=10)
    >>> for step in range(30):
    ...     _ = tracker(step)  # beside your own optimiser step
    >>> tracker.steps, tracker.sharpness.round(3)
    (array([ 0, 10, 20]), array([2., 2., 2.]))
    >>> tracker.crossing(step_size=1.1).step
    0
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Any,
        X: Any,
        y: Any = None,
        *,
        every: int = 1,
        pairs: int = 1,
        tol: float = 1e-3,
        **options: Any,
    ) -> None:
        self._every, self._pairs = as_integer("every", every, 1), as_integer("pairs", pairs, 1)
        self._tol = as_real("tol", tol)
        self._linear = linearize(model, loss, X, y, **options)
        self._hessian = self._linear.hessian()
        self._vectors: Any = None
        self._steps: list[int] = []
        self._readings: list[tuple[float, float, int]] = []

    def __call__(self, step: int) -> float | None:
        """Read the sharpness if `step` is a multiple of `every`, and return it."""
        return self.read(step) if as_integer("step", step, 0) % self._every == 0 else None

    def read(self, step: int) -> float:
        """Read the sharpness now, whatever the step, and return it."""
        self._linear.refresh()
        found = eigsh(self._hessian, self._pairs, which="LA", tol=self._tol, v0=self._vectors)
        self._vectors = found.vectors
        sharpness = float(found.values[0])
        self._steps.append(as_integer("step", step, 0))
        self._readings.append((sharpness, float(found.residuals[0]), int(found.matvecs)))
        return sharpness

    @property
    def steps(self) -> NDArray[np.int64]:
        """The steps at which the sharpness was read."""
        return np.array(self._steps, dtype=np.int64)

    @property
    def sharpness(self) -> NDArray[np.float64]:
        """The largest eigenvalue of the Hessian at each of `steps`."""
        return np.array([reading[0] for reading in self._readings], dtype=np.float64)

    @property
    def residuals(self) -> NDArray[np.float64]:
        r"""Of each reading :math:`|Hv-\lambda v|`; some eigenvalue lies within it of the sharpness."""
        return np.array([reading[1] for reading in self._readings], dtype=np.float64)

    @property
    def products(self) -> NDArray[np.int64]:
        """The Hessian products that each reading took."""
        return np.array([reading[2] for reading in self._readings], dtype=np.int64)

    def crossing(self, step_size: float, momentum: float = 0.0) -> Crossing:
        r"""Compare the sharpness with the edge of stability :math:`2(1+\beta)/\eta` of gradient descent.

        Parameters
        ----------
        step_size : float
            :math:`\eta`.
        momentum : float
            :math:`\beta` of heavy-ball momentum.

        Returns
        -------
        Crossing

        Raises
        ------
        ValueError
            If `step_size` is not positive, or `momentum` not in [0, 1).
        """
        eta, beta = as_real("step_size", step_size), as_real("momentum", momentum)
        if eta == 0.0 or beta >= 1.0:
            raise ValueError(
                f"`step_size` is {eta:g} and `momentum` {beta:g}; expected a positive one and one in [0, 1)"
            )
        threshold = 2.0 * (1.0 + beta) / eta
        ratios = self.sharpness / threshold
        beyond = np.flatnonzero(ratios >= 1.0)
        if len(beyond) == 0:
            return Crossing(threshold, None, None, 0)
        after = ratios[beyond[0] :]
        return Crossing(threshold, self._steps[beyond[0]], float(after.mean()), len(after))

    def __repr__(self) -> str:
        last = f", last {self._readings[-1][0]:.6g} at step {self._steps[-1]}" if self._steps else ""
        return f"SharpnessTracker({len(self._steps)} readings{last}; {self._linear!r})"
