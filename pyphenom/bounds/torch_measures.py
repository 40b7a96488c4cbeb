"""All complexity measures of a trained network at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from pyphenom._arrays import Progress, as_integer, as_real
from pyphenom.bounds import _torch_models as models
from pyphenom.bounds.measures import norm_measures, pac_bayes_measures, steps_to_loss
from pyphenom.bounds.torch_gradients import fisher_rao_of, gradient_noise_of, input_derivative_of
from pyphenom.bounds.torch_norms import margins_of, norms_of, path_norm_of
from pyphenom.bounds.torch_perturbations import perturbation_scale, worst_case_scale


@dataclass(frozen=True, eq=False)
class ComplexityMeasures:
    r"""Measures of one network by name: scores, not bounds.

    Attributes
    ----------
    values : dict of str to float
        The larger, the worse the network should generalise, or so the measure says; infinite where it says nothing.
    undefined : dict of str to str
        Measures that this network does not have, and why.
    n : int
        Training samples.
    error : float
        Share of wrong labels among them.
    margin : float
        Tenth percentile of the margins.
    scales : dict of str to float
        ``sigma`` and ``relative_sigma`` of `perturbation_scale`, ``alpha`` and ``relative_alpha`` of
        `worst_case_scale`.
    """

    values: dict[str, float]
    undefined: dict[str, str]
    n: int
    error: float
    margin: float
    scales: dict[str, float]

    def __getitem__(self, name: str) -> float:
        return self.values[name]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)

    def __repr__(self) -> str:
        lines = [
            f"ComplexityMeasures of a network with training error {self.error:.4g} on {self.n} samples, "
            f"margin {self.margin:.4g}",
            *(f"  {name:<36}{value:.6g}" for name, value in self.values.items()),
            *(f"  {name:<36}undefined: {reason}" for name, reason in self.undefined.items()),
        ]
        return "\n".join(lines)


def complexity_measures(
    model: nn.Module,
    initial: nn.Module,
    X: Any,
    y: Any,
    *,
    target: float = 0.1,
    draws: int = 16,
    ascent_steps: int = 20,
    seed: int = 0,
    first_epoch: nn.Module | None = None,
    training_loss: tuple[Any, Any] | None = None,
    progress: Progress | None = None,
) -> ComplexityMeasures:
    r"""Complexity measures of a trained network on its training data, about fifty.

    Those of `norm_measures`, and, with the margin :math:`\gamma`, n samples and L layers:

    ========================================  =====================================================================
    ``path_norm``, ``path_norm_l1``           :math:`\sqrt{v/n}`, v the `path_norm` of power 2, and the square of that
                                              of power 1; ``_over_margin`` with :math:`v/\gamma^2`
    ``fisher_rao``                            :math:`\sqrt{v/n}`, v the square of `fisher_rao`
    ``pacbayes_{init,orig,flatness}``         `pac_bayes_measures` at ``sigma``; ``pacbayes_mag_`` at
                                              ``relative_sigma``
    ``sharpness_{init,orig,flatness}``        the same from ``alpha``, the box of the worst case; ``sharpness_mag_``
                                              from ``relative_alpha``
    ``cross_entropy``                         mean over the samples, in nats
    ``output_entropy``                        :math:`-` the mean entropy of the softmax: large if it is sure
    ``input_jacobian``, ``input_gradient``    roots of `input_derivative` of the outputs and of the loss;
                                              ``input_jacobian_over_margin`` divided by :math:`\gamma`
    ``gradient_norm``, ``gradient_noise``     roots of what `gradient_noise` gives, at the end of training
    ``gradient_noise_first_epoch``            of `first_epoch`
    ``steps_to_0.1``, ``steps_to_0.01``       `steps_to_loss` of `training_loss`
    ========================================  =====================================================================

    A measure over a margin that is not positive is infinite. Where a loss does not rise by `target` at any scale, the
    measures of that scale are undefined.

    Parameters
    ----------
    model, initial : torch.nn.Module
        As in `weight_norms`: trained, and before training.
    X, y : array or tensor (n, ...), (n,)
        The training data, labels from 0.
    target : float
        Rise of the training error that defines the scales.
    draws, ascent_steps : int
        Of `perturbation_scale` and `worst_case_scale`.
    seed : int
    first_epoch : torch.nn.Module, optional
        The model after the first epoch.
    training_loss : (array (K,), array (K,)), optional
        Steps, and the cross-entropy at them.
    progress : callable, optional
        Called with (groups of measures done, groups).

    Returns
    -------
    ComplexityMeasures

    Raises
    ------
    TypeError, ValueError
        As in `weight_norms`, `margins` and `perturbation_scale`.

    References
    ----------
    Jiang et al. 2020, appendix C; Dziugaite et al. 2020, appendix C.

    Examples
    --------
    >>> X, y = torch.eye(4), torch.arange(4) % 2
    >>> start, end = nn.Linear(4, 2), nn.Linear(4, 2)
    >>> _ = end.weight.data.copy_(torch.tensor([[2.0, 0.0, 2.0, 0.0], [0.0, 2.0, 0.0, 2.0]])), end.bias.data.zero_()
    >>> found = complexity_measures(end, start, X, y, draws=4)
    >>> found.margin, found["l2"]  # l2: the root of a norm of 4, over 4 samples
    (2.0, 1.0)
    """
    as_real("target", target), as_integer("draws", draws, 2), as_integer("ascent_steps", ascent_steps, 1)
    own = models.prepared("model", model)
    start = models.fitting("initial", initial, own)
    early = None if first_epoch is None else models.fitting("first_epoch", first_epoch, own)
    inputs, targets = models.tensors(own, X, y)
    targets, n, done = models.labels(own, inputs, targets), len(inputs), 0
    values: dict[str, float] = {}
    undefined: dict[str, str] = {}
    scales: dict[str, float] = {}

    def finished() -> None:
        nonlocal done
        done += 1
        if progress:
            progress(done, 2 + len(_SCALES))

    f = models.outputs(own, inputs)
    gaps, sizes = margins_of(f, targets), torch.linalg.vector_norm(inputs.flatten(1).double(), dim=1)
    margin = float(np.partition(gaps, max(n // 10 - 1, 0))[max(n // 10 - 1, 0)])
    rms = float((sizes**2).mean().sqrt())
    values |= norm_measures(norms_of(own, start), n, margin, float(sizes.max()), rms)
    per_margin = 1.0 / margin if margin > 0 else math.inf
    for name, path in (
        ("path_norm", math.sqrt(path_norm_of(own, inputs, 2))),
        ("path_norm_l1", path_norm_of(own, inputs, 1)),
    ):
        values[name] = path / math.sqrt(n)
        values[f"{name}_over_margin"] = values[name] * per_margin
    finished()
    values["fisher_rao"] = math.sqrt(fisher_rao_of(own, inputs, targets) / n)
    values["cross_entropy"] = float(functional.cross_entropy(f.double(), targets))
    log_p = functional.log_softmax(f.double(), dim=1)
    values["output_entropy"] = float((log_p.exp() * log_p).sum(dim=1).mean())
    values["input_jacobian"] = math.sqrt(input_derivative_of(own, inputs, targets, "outputs"))
    values["input_jacobian_over_margin"] = values["input_jacobian"] * per_margin
    values["input_gradient"] = math.sqrt(input_derivative_of(own, inputs, targets, "loss"))
    mean, noise = gradient_noise_of(own, inputs, targets)
    values["gradient_norm"], values["gradient_noise"] = math.sqrt(mean), math.sqrt(noise)
    if early is None:
        undefined["gradient_noise_first_epoch"] = "`first_epoch` was not given"
    else:
        values["gradient_noise_first_epoch"] = math.sqrt(gradient_noise_of(early, inputs, targets)[1])
    for loss in (0.1, 0.01):
        if training_loss is None:
            undefined[f"steps_to_{loss:g}"] = "`training_loss` was not given"
        else:
            values[f"steps_to_{loss:g}"] = steps_to_loss(*training_loss, loss)
    finished()
    w, w0 = (torch.cat([v.flatten() for v in models.parameters(each).values()]).cpu().numpy() for each in (own, start))
    options = {"target": target, "seed": seed}
    for key, prefix, relative, box in _SCALES:
        search: Callable[..., float] = worst_case_scale if box else perturbation_scale
        own_options = {"steps": ascent_steps} if box else {"draws": draws}
        scale = scales[key] = search(own, inputs, targets, relative=relative, **options, **own_options)
        if 0.0 < scale < math.inf:
            measures = pac_bayes_measures(w, w0, scale, n, relative, box)
            values |= {f"{prefix}_{name}": value for name, value in measures.items()}
        else:
            reason = f"{key} is {scale:g}: the error does not reach {target:g} more than without noise at some scale"
            undefined |= {f"{prefix}_{name}": reason for name in ("init", "orig", "flatness")}
        finished()
    error = float((f.argmax(dim=1) != targets).double().mean())
    return ComplexityMeasures(values, undefined, n, error, margin, scales)


_SCALES = (
    ("sigma", "pacbayes", False, False),
    ("relative_sigma", "pacbayes_mag", True, False),
    ("alpha", "sharpness", False, True),
    ("relative_alpha", "sharpness_mag", True, True),
)
