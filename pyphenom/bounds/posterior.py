"""The weights behind a certificate: Gaussian posterior and prior, buffers, and which rows each has seen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyphenom._arrays import Float
from pyphenom.bounds.gaussian import gaussian_kl_layers
from pyphenom.bounds.ledger import Layer
from pyphenom.bounds.rows import Indices, digest, without_overlap


@dataclass(frozen=True, eq=False, repr=False)
class Posterior:
    r"""Independent normals :math:`N(\mu_i, e^{2\rho_i})` for all parameters of a network, and their prior.

    Attributes
    ----------
    names : tuple of str
        Of the parameter tensors, in the order of ``model.named_parameters()``.
    mean, log_scale, prior_mean : tuple of array
        One each: :math:`\mu`, :math:`\rho` and the prior's means.
    prior_scale : float
        Standard deviation of the prior, one for all parameters.
    buffers : dict of str to array
        State outside of the posterior, such as running statistics; fixed with the prior.
    prior_rows, bound_rows, test_rows : array of int
        Rows of the data that the prior has seen, that the bound is scored on, and that nothing has seen.
    widths, activation : tuple of int, str
        Inputs, hidden layers and classes of a fully connected network, and what stands between its layers; empty for
        other networks.
    sample : tuple of array
        The weights of the one network that was drawn, where the certificate speaks of it.
    """

    names: tuple[str, ...]
    mean: tuple[Float, ...]
    log_scale: tuple[Float, ...]
    prior_mean: tuple[Float, ...]
    prior_scale: float
    prior_rows: Indices
    bound_rows: Indices
    test_rows: Indices
    buffers: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    widths: tuple[int, ...] = ()
    activation: str = ""
    sample: tuple[Float, ...] = ()

    def __post_init__(self) -> None:
        for name, *arrays in zip(self.names, self.mean, self.log_scale, self.prior_mean, strict=True):
            if len({array.shape for array in arrays}) != 1:
                shapes = ", ".join(str(array.shape) for array in arrays)
                raise ValueError(f"mean, log-scale and prior mean of {name!r} have the shapes {shapes}; expected one")
        without_overlap(self.prior_rows, self.bound_rows)

    def divergences(self) -> tuple[Layer, ...]:
        """Return the relative entropy of every parameter tensor to its prior, with the number of its entries.

        With a sampled network, the logarithm of the density ratio of posterior and prior at it.

        Returns
        -------
        tuple of Layer
        """
        scales = [np.exp(rho.astype(np.float64)) for rho in self.log_scale]
        if self.sample:
            weights = [value.astype(np.float64) for value in self.sample]
            parts = zip(weights, self.mean, scales, self.prior_mean, strict=True)
            values: Any = [_log_ratio(h, mean, s, centre, self.prior_scale) for h, mean, s, centre in parts]
        else:
            values = gaussian_kl_layers(self.mean, scales, self.prior_mean, [self.prior_scale] * len(self.names))
        return tuple(
            Layer(name, mean.size, float(value))
            for name, mean, value in zip(self.names, self.mean, values, strict=True)
        )

    def digest(self) -> str:
        """Return the SHA-256 of means and scales, and of the sampled network."""
        return digest(*self.mean, *self.log_scale, *self.sample)

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Return the sampled network, or without one the mean network, by names as torch has them.

        Returns
        -------
        dict of str to array
            For ``model.load_state_dict`` after ``torch.from_numpy``.
        """
        return dict(zip(self.names, self.sample or self.mean, strict=True)) | dict(self.buffers)

    def prior_digest(self) -> str:
        """Return the SHA-256 of the prior's means."""
        return digest(*self.prior_mean)

    def buffer_digests(self) -> dict[str, str]:
        """Return the SHA-256 of each buffer."""
        return {name: digest(value) for name, value in self.buffers.items()}

    def save(self, path: Path) -> None:
        """Write an .npz file.

        Parameters
        ----------
        path : Path
        """
        arrays: dict[str, Any] = {"prior_rows": self.prior_rows, "bound_rows": self.bound_rows}
        arrays |= {"test_rows": self.test_rows, "prior_scale": np.float64(self.prior_scale)}
        arrays["network"] = np.array(json.dumps([self.names, self.widths, self.activation]))
        for i, values in enumerate(zip(self.mean, self.log_scale, self.prior_mean, strict=True)):
            arrays |= {f"{kind}.{i}": value for kind, value in zip(_KINDS, values, strict=True)}
        arrays |= {f"sample.{i}": value for i, value in enumerate(self.sample)}
        arrays |= {f"buffer.{name}": value for name, value in self.buffers.items()}
        np.savez(path, **arrays)

    @classmethod
    def load(cls, path: Path) -> Posterior:
        """Read what `save` wrote.

        Parameters
        ----------
        path : Path

        Returns
        -------
        Posterior
        """
        with np.load(path, allow_pickle=False) as file:
            names, widths, activation = json.loads(str(file["network"]))
            kinds: dict[str, Any] = {kind: tuple(file[f"{kind}.{i}"] for i in range(len(names))) for kind in _KINDS}
            buffers = {key.removeprefix("buffer."): file[key] for key in file.files if key.startswith("buffer.")}
            rows: dict[str, Any] = {key: file[key] for key in ("prior_rows", "bound_rows", "test_rows")}
            sample = tuple(file[f"sample.{i}"] for i in range(len(names)) if f"sample.{i}" in file.files)
            return cls(
                tuple(names), sample=sample, **kinds, **rows, prior_scale=float(file["prior_scale"]), buffers=buffers,
                widths=tuple(widths), activation=activation,
            )  # fmt: skip

    def __repr__(self) -> str:
        return f"Posterior({sum(mean.size for mean in self.mean)} parameters in {len(self.names)} tensors)"


def _log_ratio(h: Float, mean: Float, scale: Float, centre: Float, prior_scale: float) -> float:
    """Return the sum over the entries of ln N(h; mean, scale^2) / N(h; centre, prior_scale^2)."""
    away, own = (h - centre) / prior_scale, (h - mean) / scale
    return float(np.sum(0.5 * (away - own) * (away + own) + np.log(prior_scale / scale)))


_KINDS = ("mean", "log_scale", "prior_mean")
