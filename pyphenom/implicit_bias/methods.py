r"""What a step does with the gradient of the mean loss :math:`L(w)=\frac1n\sum_i\ell(y_i\langle w,x_i\rangle)`."""

from __future__ import annotations

from dataclasses import dataclass

from pyphenom._arrays import as_real


def _below_one(name: str, value: object) -> float:
    if (number := as_real(name, value)) >= 1:
        raise ValueError(f"`{name}` is {number}; expected a number in [0, 1)")
    return number


@dataclass(frozen=True)
class Gradient:
    r"""Plain descent, :math:`w\leftarrow w-\eta_t\nabla L(w)`. On separable data to the l2 max-margin direction."""


@dataclass(frozen=True)
class Momentum:
    r"""Heavy ball, or Nesterov's step: :math:`b\leftarrow\mu b+\nabla L`, then :math:`w\leftarrow w-\eta_t b`.

    With `nesterov` :math:`w\leftarrow w-\eta_t(\nabla L+\mu b)`; the conventions of torch.optim.SGD.

    Attributes
    ----------
    momentum : float
        :math:`\mu`, in [0, 1).
    nesterov : bool
    """

    momentum: float = 0.9
    nesterov: bool = False

    def __post_init__(self) -> None:
        _below_one("momentum", self.momentum)


@dataclass(frozen=True)
class Normalized:
    r"""Steps over the loss, :math:`w\leftarrow w-\eta_t\nabla L(w)/L(w)` (Nacson et al. 2019): the norm grows as t."""


@dataclass(frozen=True)
class Accelerated:
    r"""Normalised descent with momentum in the dual (Ji, Srebro and Telgarsky 2021): margin gap about 1/t^2.

    With :math:`q_t=\nabla L(w_t)/L(w_t)`: :math:`w_{t+1}=w_t-\eta_t(b_t+q_t)` and
    :math:`b_{t+1}=\frac t{t+1}(b_t+q_{t+1})`, :math:`b_0=0`. For rows of norm at most 1 the step size is 1.
    """


@dataclass(frozen=True)
class BatchNorm:
    r"""Plain descent on (w, g) of :math:`f(x)=g\langle w,x\rangle/|w|_S`, :math:`|w|_S^2=\frac1n\sum_i\langle w,x_i\rangle^2`.

    The gradient in w loses its projection on w in the metric of S. Margins become equal, not large (Cao et al. 2023).

    Attributes
    ----------
    gain : float
        g before the first step.
    """  # noqa: E501

    gain: float = 1.0

    def __post_init__(self) -> None:
        as_real("gain", self.gain)


@dataclass(frozen=True)
class Adam:
    r"""Adam on the full batch, with the bias corrections of Kingma and Ba; to the l-infinity max-margin direction.

    Attributes
    ----------
    beta1, beta2 : float
        In [0, 1); zeros give sign descent.
    epsilon : float
        Added to the root of the second moment; at 0 a step does not depend on the scale of the gradient, and weights
        without a gradient stay.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 0.0

    def __post_init__(self) -> None:
        _below_one("beta1", self.beta1)
        _below_one("beta2", self.beta2)
        as_real("epsilon", self.epsilon)


Method = Gradient | Momentum | Normalized | Accelerated | BatchNorm | Adam

NAMES: dict[str, Method] = {
    "gradient": Gradient(),
    "momentum": Momentum(),
    "normalized": Normalized(),
    "accelerated": Accelerated(),
    "batch_norm": BatchNorm(),
    "adam": Adam(),
}
"""The methods by name, with their usual constants."""


def as_method(value: object) -> Method:
    """Return a method, or the one of that name."""
    if isinstance(value, str) and value in NAMES:
        return NAMES[value]
    if isinstance(value, Gradient | Momentum | Normalized | Accelerated | BatchNorm | Adam):
        return value
    raise ValueError(f"`method` is {value!r}; expected one of {', '.join(map(repr, NAMES))}, or Adam(...) and its like")
