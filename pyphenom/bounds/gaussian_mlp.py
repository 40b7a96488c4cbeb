"""Fully connected networks with independent Gaussian weights, and their KL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyphenom import _core
from pyphenom._arrays import Float, as_float, as_integer, as_real, is_tensor, one_of

ACTIVATIONS = ("relu", "leaky_relu", "tanh", "sigmoid", "gelu", "gelu_tanh", "silu", "identity")
LARGEST_SEED = 2**64 - 1


@dataclass(frozen=True, eq=False, repr=False)
class GaussianMLP:
    r"""A fully connected network whose weights and biases are independent normals :math:`N(\mu_i, e^{2\rho_i})`.

    All parameters lie in one array, layer by layer, the weights (outputs, inputs) before the biases: the order of
    ``model.parameters()`` of a ``torch.nn.Sequential`` of linear layers.

    Attributes
    ----------
    mean : array (P,)
        :math:`\mu`. float32 or float64; all computations run in this type, and sums in float64.
    log_scale : array (P,)
        :math:`\rho`, the logarithm of the standard deviation.
    widths : tuple of int
        Inputs, hidden layers, classes.
    activation : {"relu", "leaky_relu", "tanh", "sigmoid", "gelu", "gelu_tanh", "silu", "identity"}
        Between the layers.
    negative_slope : float
        Of ``leaky_relu``.

    Raises
    ------
    ValueError, TypeError
        For arrays that do not fit the widths, and for scales whose square is no positive number of their type.

    Examples
    --------
    >>> network = GaussianMLP.around([(np.eye(2), np.zeros(2))], scale=0.1)
    >>> network.widths, network.parameters
    ((2, 2), 6)
    """

    mean: Float
    log_scale: Float
    widths: tuple[int, ...]
    activation: str = "relu"
    negative_slope: float = 0.01

    def __post_init__(self) -> None:
        widths = tuple(as_integer("widths", width, 1, 2**31 - 1) for width in self.widths)
        if len(widths) < 2:
            raise ValueError(f"`widths` is {widths}; expected the inputs and the classes at least")
        one_of("activation", self.activation, ACTIVATIONS)
        slope = as_real("negative_slope", self.negative_slope, -np.inf)
        mean = as_float("mean", self.mean, (1,), keep_float32=True)
        log_scale = as_float("log_scale", self.log_scale, (1,), keep_float32=True)
        expected = sum((i + 1) * o for i, o in pairwise(widths))
        for name, array in (("mean", mean), ("log_scale", log_scale)):
            if array.shape != (expected,):
                raise ValueError(
                    f"`{name}` has {array.shape[0]} entries; expected {expected}, one for each weight and bias of "
                    f"widths {widths}"
                )
        if mean.dtype != log_scale.dtype:
            raise TypeError(
                f"`log_scale` has dtype {log_scale.dtype} and `mean` {mean.dtype}; expected the same. Convert one"
            )
        low, high = (-43.0, 43.0) if mean.dtype == np.float32 else (-340.0, 340.0)
        if not (log_scale.min() >= low and log_scale.max() <= high):
            raise ValueError(
                f"`log_scale` reaches from {log_scale.min():g} to {log_scale.max():g}; expected values in [{low:g}, "
                f"{high:g}], where {mean.dtype} holds the variance. It is the logarithm of the standard deviation"
            )
        for name, value in (("mean", mean), ("log_scale", log_scale), ("widths", widths), ("negative_slope", slope)):
            object.__setattr__(self, name, value)

    @classmethod
    def around(
        cls,
        layers: Sequence[tuple[Any, Any]],
        scale: float,
        activation: str = "relu",
        negative_slope: float = 0.01,
    ) -> GaussianMLP:
        """Return the network with the given means and one standard deviation for every weight and bias.

        Parameters
        ----------
        layers : sequence of (weights (outputs, inputs), biases (outputs,))
        scale : float
            Standard deviation, > 0.
        activation, negative_slope
            See the class.

        Returns
        -------
        GaussianMLP
        """
        scale = as_real("scale", scale)
        if scale == 0.0:
            raise ValueError("`scale` is 0; expected a standard deviation > 0")
        parts: list[Float] = []
        widths: list[int] = []
        for weights, biases in layers:
            W = as_float("layers", weights, (2,), keep_float32=True)
            b = as_float("layers", biases, (1,), keep_float32=True)
            if b.shape[0] != W.shape[0] or (widths and widths[-1] != W.shape[1]):
                raise ValueError(
                    f"`layers` has weights {W.shape} and biases {b.shape} after {widths or 'nothing'}; expected "
                    "(outputs, inputs) and (outputs,), the inputs being the outputs of the layer before"
                )
            widths += [W.shape[0]] if widths else [W.shape[1], W.shape[0]]
            parts += [W.ravel(), b]
        if not parts:
            raise ValueError("`layers` is empty; expected at least one pair of weights and biases")
        mean = np.concatenate(parts)
        return cls(mean, np.full_like(mean, np.log(scale)), tuple(widths), activation, negative_slope)

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return len(self.mean)

    def layer(self, index: int) -> tuple[Float, Float, Float, Float]:
        """Return views of a layer: mean weights, mean biases, and the log-scales of both.

        Parameters
        ----------
        index : int
            In [0, layers).

        Returns
        -------
        tuple of arrays (outputs, inputs), (outputs,), (outputs, inputs), (outputs,)
        """
        index = as_integer("index", index, 0, len(self.widths) - 2)
        i, o = self.widths[index : index + 2]
        first = self._cuts[index - 1] if index else 0
        middle, last = first + i * o, self._cuts[index]
        weights, biases = slice(first, middle), slice(middle, last)
        return (
            self.mean[weights].reshape(o, i),
            self.mean[biases],
            self.log_scale[weights].reshape(o, i),
            self.log_scale[biases],
        )

    def kl(self, prior: GaussianMLP) -> NDArray[np.float64]:
        r"""KL divergence to another such network, layer by layer.

        .. math:: \tfrac12\sum_i \varphi\big(s_i/s^0_i\big) + (\mu_i-\mu^0_i)^2/s^0_i,\qquad \varphi(x) = x-1-\ln x

        with the variances s of this network and :math:`s^0` of the prior. With :math:`u=2(\rho-\rho^0)`,
        :math:`\varphi = e^u-1-u` by its series near zero, so that nothing cancels.

        Parameters
        ----------
        prior : GaussianMLP
            Of the same widths and type.

        Returns
        -------
        array (layers,)
            In nats; their sum is the KL of the network.
        """
        check_prior(self, prior)
        parts: NDArray[np.float64] = _core.gaussian_mlp_divergence(
            self.mean, self.log_scale, prior.mean, prior.log_scale, 0.0, self._cuts, False
        )[0]
        return parts

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __repr__(self) -> str:
        widths = "-".join(map(str, self.widths))
        low, high = np.exp(np.float64(self.log_scale.min())), np.exp(np.float64(self.log_scale.max()))
        return f"GaussianMLP({widths}, {self.activation}, {self.mean.dtype}, scales {low:.3g} to {high:.3g})"

    @property
    def _cuts(self) -> list[int]:
        """Where each layer ends."""
        sizes = [(i + 1) * o for i, o in pairwise(self.widths)]
        return [int(end) for end in np.cumsum(sizes)]

    @property
    def _architecture(self) -> Any:
        return _core.GaussianArchitecture(list(self.widths), self.activation, self.negative_slope)

    @property
    def _variance(self) -> Float:
        return np.exp(2.0 * self.log_scale.astype(np.float64)).astype(self.mean.dtype)


# ---- checks that draws and optimisation share


def inputs(network: GaussianMLP, X: Any) -> Float:
    """Return X as rows of the network's type and width."""
    x = as_float("X", X, (2,), keep_float32=True)
    if x.shape[1] != network.widths[0]:
        raise ValueError(f"`X` has {x.shape[1]} columns; expected {network.widths[0]}, the inputs of the network")
    if len(x) >= 2**32:
        raise ValueError(f"`X` has {len(x)} rows; expected fewer than 2^32. Split it")
    with np.errstate(over="ignore"):
        x = x.astype(network.mean.dtype, copy=False)
    if x.dtype == np.float32 and not np.isfinite(x).all():
        raise ValueError("`X` holds numbers beyond float32, the type of the network; scale them down")
    return x


def examples(network: GaussianMLP, X: Any, y: Any) -> tuple[Float, NDArray[np.int64]]:
    """Return the inputs and their classes."""
    x = inputs(network, X)
    labels = np.asarray(y.detach().cpu().numpy() if is_tensor(y) else y)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"`y` has dtype {labels.dtype}; expected integer classes. Convert it with y.astype(int)")
    if labels.shape != (len(x),):
        raise ValueError(f"`y` has shape {labels.shape}; expected ({len(x)},), one class for each row of `X`")
    classes = network.widths[-1]
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"`y` holds classes from {labels.min()} to {labels.max()}; expected 0 to {classes - 1}, for the network "
            f"has {classes} outputs"
        )
    if classes < 2:
        raise ValueError("`widths` ends with 1 output; expected two classes at least")
    return x, np.ascontiguousarray(labels, dtype=np.int64)


def check_prior(posterior: GaussianMLP, prior: GaussianMLP) -> None:
    """Refuse a prior of another shape or type."""
    if prior.widths != posterior.widths:
        raise ValueError(f"`prior` has widths {prior.widths}; expected {posterior.widths}, those of the posterior")
    if prior.mean.dtype != posterior.mean.dtype:
        raise TypeError(f"`prior` has dtype {prior.mean.dtype}; expected {posterior.mean.dtype}, as the posterior")


def as_floor(pmin: float) -> float:
    """Return the floor of the bounded cross-entropy."""
    pmin = as_real("pmin", pmin)
    if not 0.0 < pmin < 1.0:
        raise ValueError(f"`pmin` is {pmin:g}; expected a probability in (0, 1), such as 1e-5")
    return pmin
