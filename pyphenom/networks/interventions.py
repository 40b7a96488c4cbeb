"""What is done to networks on purpose: weights reused, masked, or set back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import le

import torch
from torch import Tensor, nn

from pyphenom.networks.stack import check_masks


def reuse(smaller: nn.Module, larger: nn.Module) -> None:
    """Copy a network into the first units of a larger one, in place; the units added get no outgoing weights.

    The larger network then computes the same function: incoming weights of the units added stay as they are, those that
    lead from them to units of the smaller one become zero. Belkin, Hsu, Ma and Mandal (2019) grew networks by weight
    reuse below the interpolation threshold.

    Parameters
    ----------
    smaller, larger : torch.nn.Module
        Of one architecture of linear layers, with as many inputs and outputs, and no parameter smaller in the second.

    Raises
    ------
    ValueError
        If the one does not fit into the other.

    Examples
    --------
    >>> from pyphenom.networks import mlp
    >>> small, large, X = mlp((3, 4, 2), seed=1), mlp((3, 9, 2), seed=2), torch.randn(5, 3)
    >>> reuse(small, large)
    >>> bool(torch.allclose(small(X), large(X), atol=1e-6))
    True
    """
    own, others = dict(larger.named_parameters()), dict(smaller.named_parameters())
    shapes = [{name: tuple(value.shape) for name, value in each.items()} for each in (others, own)]
    matrices = [name for name, shape in shapes[0].items() if len(shape) == 2]
    fits = own.keys() == others.keys() and all(
        len(shape) in (1, 2) and len(shape) == len(shapes[1][name]) and all(map(le, shape, shapes[1][name]))
        for name, shape in shapes[0].items()
    )
    if not (
        fits
        and matrices
        and others[matrices[0]].shape[1] == own[matrices[0]].shape[1]
        and others[matrices[-1]].shape[0] == own[matrices[-1]].shape[0]
    ):
        raise ValueError(
            f"`smaller` with {shapes[0]} does not fit into `larger` with {shapes[1]}; expected one architecture of "
            "linear layers, with as many inputs and outputs, and no layer narrower"
        )
    with torch.no_grad():
        for name, value in others.items():
            place = tuple(map(slice, value.shape))
            if value.ndim == 2:
                own[name][: value.shape[0], value.shape[1] :] = 0.0
            own[name][place] = value


def mask(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Set parameters to zero where their mask is False, in place. Give `train` the masks too, or they will grow again.

    Parameters
    ----------
    model : torch.nn.Module
    masks : mapping of str to Tensor of bool
        Parameter name to a tensor of its shape; parameters without one stay as they are.

    Raises
    ------
    ValueError, TypeError
        If a name is not a parameter's, a mask is not boolean, or a shape is another.

    Examples
    --------
    >>> from pyphenom.networks import mlp
    >>> net = mlp((3, 4, 2))
    >>> mask(net, {"0.weight": net[0].weight.abs() > 0.3})
    >>> bool((net[0].weight == 0).any())
    True
    """
    check_masks(model, masks, "masks")
    with torch.no_grad():
        for name, kept in masks.items():
            model.get_parameter(name).mul_(kept)


def reset(model: nn.Module, source: nn.Module, names: Iterable[str] | None = None) -> None:
    """Set parameters to those of another network of the same shapes, in place: back to the start, or to random ones.

    Parameters
    ----------
    model, source : torch.nn.Module
        The one that changes, and the one that gives, such as a copy made before training.
    names : iterable of str, optional
        Parameters, as in ``model.named_parameters()``; all by default.

    Raises
    ------
    ValueError
        If a name is not a parameter's of both, or the shapes differ.

    Examples
    --------
    >>> from pyphenom.networks import mlp
    >>> net, start = mlp((3, 4, 2), seed=1), mlp((3, 4, 2), seed=0)
    >>> reset(net, start, ["0.weight", "0.bias"])
    >>> bool((net[0].weight == start[0].weight).all()), bool((net[2].weight == start[2].weight).all())
    (True, False)
    """
    names = [name for name, _ in model.named_parameters()] if names is None else list(names)
    own, others = _named(model, names), _named(source, names)
    for name in names:
        if own[name].shape != others[name].shape:
            raise ValueError(
                f"`source` has {name!r} of the shape {tuple(others[name].shape)}; expected {tuple(own[name].shape)}"
            )
    with torch.no_grad():
        for name in names:
            own[name].copy_(others[name])


def _named(model: nn.Module, names: Iterable[str]) -> dict[str, nn.Parameter]:
    parameters = dict(model.named_parameters())
    if unknown := [name for name in names if name not in parameters]:
        raise ValueError(f"no parameter is named {unknown}; expected names among {list(parameters)}")
    return parameters
