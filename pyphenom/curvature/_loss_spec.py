"""What the native kernel has to know of a loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyphenom._arrays import Float, one_of

_KINDS = ("mean_squared", "half_squared", "cross_entropy", "binary_cross_entropy", "custom")


@dataclass(frozen=True, eq=False)
class LossSpec:
    r"""The loss :math:`l_i` of a sample with outputs f and targets y, both of C entries.

    ========================  ====================================================================
    ``mean_squared``          :math:`s\sum_c (f_c-y_c)^2`
    ``half_squared``          :math:`\tfrac12\sum_c (f_c-y_c)^2`
    ``cross_entropy``         :math:`-\sum_c t_c\log p_c`, p the softmax and t the smoothed target
    ``binary_cross_entropy``  :math:`s\sum_c \log(1+e^{f_c})-y_c f_c`
    ``custom``                given by two functions
    ========================  ====================================================================

    with :math:`s=1/C` for the reduction "mean" and 1 for "sum".

    Parameters
    ----------
    kind : str
        One of the table.
    targets : array, optional
        (n, C) values; for the cross-entropy class indices (n,) or probabilities (n, C). Missing for a custom loss.
    label_smoothing : float
        Of the cross-entropy: that share of the target is spread evenly over the classes.
    reduction : {"mean", "sum"}
        Over the outputs of one sample.
    linearize : callable, optional
        Of a custom loss: outputs (n, C) to the sum of the losses and their gradients (n, C).
    hessian : callable, optional
        Of a custom loss: U (K, n, C) to the products with its Hessian at the outputs last given to `linearize`.
    """

    kind: str
    targets: Any = None
    label_smoothing: float = 0.0
    reduction: str = "mean"
    linearize: Callable[[Float], tuple[float, Float]] | None = None
    hessian: Callable[[Float], Float] | None = None

    def __post_init__(self) -> None:
        one_of("kind", self.kind, _KINDS)
        one_of("reduction", self.reduction, ("mean", "sum"))
        if self.kind == "custom" and (self.linearize is None or self.hessian is None):
            raise ValueError("`linearize` or `hessian` is missing; expected both for the kind 'custom'")

    def kernel_arguments(self, samples: int, outputs: int, dtype: Any) -> tuple[str, float, Float]:
        """Return the kernel's name of the loss, its weight, and targets (n, C).

        Raises
        ------
        ValueError
            If the targets do not fit the outputs.
        """
        share = 1.0 / outputs if self.reduction == "mean" else 1.0
        if self.kind == "custom":
            return "custom", 1.0, np.zeros((samples, outputs), dtype)
        if self.kind == "cross_entropy":
            return "cross_entropy", 1.0, self._probabilities(samples, outputs, dtype)
        targets = np.asarray(self.targets)
        if targets.size != samples * outputs or targets.shape[:1] != (samples,):
            raise ValueError(f"`y` has shape {targets.shape}; expected {(samples, outputs)}, as the outputs have")
        y = np.ascontiguousarray(targets.reshape(samples, outputs), dtype)
        if self.kind == "binary_cross_entropy":
            return "binary_cross_entropy", share, y
        return "squared", 1.0 if self.kind == "half_squared" else 2.0 * share, y

    def _probabilities(self, samples: int, classes: int, dtype: Any) -> Float:
        y = np.asarray(self.targets)
        if y.dtype.kind in "iu":
            if y.shape != (samples,):
                raise ValueError(f"`y` has shape {y.shape}; expected class indices ({samples},)")
            if y.min() < 0 or y.max() >= classes:
                wrong = int(y.min() if y.min() < 0 else y.max())
                raise ValueError(f"`y` holds class {wrong}; expected 0 to {classes - 1}, as there are outputs")
            t = np.zeros((samples, classes), dtype)
            t[np.arange(samples), y] = 1.0
        elif y.dtype.kind == "f" and y.shape == (samples, classes):
            t = np.array(y, dtype)
        else:
            raise ValueError(
                f"`y` has shape {y.shape} and dtype {y.dtype}; expected class indices ({samples},) or probabilities "
                f"{(samples, classes)}"
            )
        if self.label_smoothing:
            t = np.asarray((1.0 - self.label_smoothing) * t + self.label_smoothing / classes, dtype)
        return np.ascontiguousarray(t)
