"""A torch model's loss to second order: gradient, Hessian, Gauss-Newton, Fisher and tangent kernel, as operators."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import torch
import torch.distributed
from numpy.typing import NDArray
from torch import Tensor, nn

from pyphenom._arrays import Float, Progress, as_integer, one_of
from pyphenom.curvature._torch_autograd import AutogradProducts
from pyphenom.curvature._torch_backend import Products
from pyphenom.curvature._torch_data import Batches
from pyphenom.curvature._torch_loss import NO_LIKELIHOOD, Loss, as_loss
from pyphenom.curvature._torch_native import NativeProducts, native_products
from pyphenom.curvature._torch_parameters import plain, precision, select, slices
from pyphenom.curvature.operator import Operator, RectangularOperator, Reduced

BACKENDS, SIDES = ("auto", "native", "autograd"), ("auto", "parameters", "samples")

Part: TypeAlias = Callable[[Products, Tensor], Float]
"""What one batch and its targets add to a sum over the samples."""


def linearize(
    model: nn.Module,
    loss: Any,
    X: Any,
    y: Any = None,
    dtype: Any = None,
    *,
    parameters: Any = None,
    reduction: str | None = None,
    batch_size: int | None = None,
    backend: str = "auto",
    compress: bool | str = "auto",
    group: Any = None,
    progress: Progress | None = None,
) -> Linearization:
    r"""Linearise a model at its parameters: :math:`L(\theta)=\frac1N\sum_i\ell(f_\theta(x_i),y_i)` to second order.

    Parameters
    ----------
    model : torch.nn.Module
        As it stands: batch norm in train or eval mode, residual, attention, recurrent. Nothing of it is changed. In
        train mode batch norm takes its statistics from each batch, so that a cut of the data changes the loss.
    loss : str, torch.nn.Module or callable
        ``"mean_squared"``, ``"half_squared"`` (half the squared distance, mean over samples), ``"cross_entropy"``,
        ``"binary_cross_entropy"`` (of logits); ``MSELoss()``, ``CrossEntropyLoss()``, ``BCEWithLogitsLoss()`` or their
        functions; or any ``loss(outputs, targets) -> scalar`` that is a mean over the samples.
    X, y : tensor or array (n, ...)
        Inputs and targets. Or X alone: an iterable of batches (X, y) that can be read again, such as a DataLoader
        over a fixed set of samples; it is read once for every block product, so the data may be larger than memory.
    dtype : torch.float32 or torch.float64, optional
        In which everything is computed, on a copy of the parameters; that of the model by default.
    parameters : names, patterns or parameters, optional
        What is differentiated: all parameters that require a gradient by default; ``"layers.0.*"`` for one layer.
    reduction : {"mean", "sum"}, optional
        What a callable `loss` or a name does with the samples; the mean by default.
    batch_size : int, optional
        Cut tensors into batches, one of which is in memory at a time. One batch by default, whose graph is kept.
    backend : {"auto", "native", "autograd"}, optional
        Native kernels where the model and the loss have them, torch's autograd otherwise; or one of the two.
    compress : {"auto", True, False}, optional
        Whether solvers work in the row space of the inputs, where these are more than the samples of one batch and the
        native kernels cover the model. No result changes: what is left out is exactly zero. By default where it pays.
    group : torch.distributed process group, optional
        Each process holds its share of the samples; every product is summed over the processes by one all-reduce, so
        all of them must ask for the same products in the same order.
    progress : callable, optional
        Called with (batches done, batches) where there are several; the second is 0 while it is not known.

    Returns
    -------
    Linearization

    Raises
    ------
    TypeError, ValueError
        For a model with random numbers in its forward pass, data that do not fit, an unknown parameter or loss; the
        message names the argument.

    Notes
    -----
    Batches are weighted by their samples: any cut of the data gives the same operators up to rounding, a ragged last
    batch included. A sum over batches or processes accumulates in float64.

    Examples
    --------
    >>> model = nn.Linear(2, 1, bias=False)
    >>> X, y = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.zeros(2, 1)
    >>> H = linearize(model, "half_squared", X, y).hessian()  # X'X / n
    >>> H @ np.array([1.0, 1.0])
    array([0.5, 2. ])
    """
    return Linearization(
        model, as_loss(loss, reduction), X, y, dtype, parameters, batch_size, backend, compress, group, progress
    )


class Linearization:
    """A model's loss to second order at its parameters; made by `linearize`.

    Operators act on flat vectors of the selected parameters, in the order of ``model.parameters()``. They read the
    parameters as they were when this was made or last refreshed.

    Attributes
    ----------
    size : int
        P, the number of parameters.
    names : dict of str to slice
        Where each parameter lies in a flat vector.
    backend : str
        ``"native"`` or ``"autograd"``; that of the last batch.
    dtype : numpy.dtype
        Of the operators.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        X: Any,
        y: Any,
        dtype: Any,
        parameters: Any,
        batch_size: int | None,
        backend: str,
        compress: bool | str,
        group: Any,
        progress: Progress | None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"`model` is a {type(model).__name__}; expected a torch.nn.Module")
        self._model, self._group, self._progress = plain(model), group, progress
        self._asked, self._compress = one_of("backend", backend, BACKENDS), compress
        self._parameters = select(self._model, parameters)
        first = next(iter(self._parameters.values()))
        self._dtype = precision(first.dtype if dtype is None else dtype)
        self._loss = loss.at(first.device, self._dtype)
        self._batches = Batches(X, y, batch_size, first.device, self._dtype)
        self._samples = self._outputs = 0  # of this process; known after the first pass
        self.names = slices(self._parameters)
        self.size = sum(value.numel() for value in self._parameters.values())
        self.dtype: np.dtype[Any] = np.dtype(str(self._dtype).removeprefix("torch."))
        self.backend = backend
        self._readings = 0
        self._kept: tuple[Products, Tensor] | None = None
        self.refresh()

    def refresh(self, values: Float | None = None) -> None:
        """Read the model again, whose parameters `values` may repeat to save time; operators act at the new ones."""
        self._readings += 1
        kept, self._kept = self._kept, None
        again = getattr(kept[0], "refresh", None) if kept is not None else None
        if again is not None:  # native kernels keep their memory and what depends on the inputs alone
            again(values)
            self._kept = kept
        elif self._batches.single:
            del kept  # two graphs need not fit in memory
            self._point, self._theta = self._model, self._parameters
            ((X, y),) = self._batches
            self._kept = self._products(X, y), y
            self._samples = len(X)
        else:
            # Batches are linearised anew in every pass, while the user may train on: at a copy.
            self._point = copy.deepcopy(self._model)
            copies = dict(self._point.named_parameters())
            self._theta = {name: copies[name] for name in self._parameters}

    @property
    def loss(self) -> float:
        """The loss of all samples."""
        if self._kept is not None and self._group is None:  # what a descent reads at every step
            return float(self._kept[0].loss) / (self._kept[0].samples if self._loss.mean else 1)
        return float(self._total(lambda products, y: np.array(products.loss)))

    def outputs(self) -> Float:
        """Return the model's outputs (n, C) for the samples of this process, flattened to C a sample."""
        return np.concatenate(list(self._pass(lambda products, y: products.outputs)))

    def gradient(self) -> Float:
        """Return the gradient (P,) of the loss."""
        return self._total(lambda products, y: products.gradient())

    def hessian(self) -> Operator:
        r"""Return the Hessian :math:`H = \nabla^2 L` (P, P)."""
        return self._operator(lambda V: lambda products, y: products.hessian(V))

    def ggn(self) -> Operator:
        r"""Return the generalised Gauss-Newton matrix :math:`\frac1N\sum_i J_i^\top\nabla_f^2\ell_i J_i` (P, P)."""
        return self._operator(lambda V: lambda products, y: products.ggn(V))

    def fisher(self, samples: int | None = None, seed: int = 0) -> Operator:
        r"""Return the Fisher matrix :math:`\frac1N\sum_i\mathbb E_g[J_i^\top gg^\top J_i]` (P, P), or its estimate.

        Parameters
        ----------
        samples : int, optional
            Targets drawn for each sample from the model's likelihood :math:`e^{-\ell}`: g is the gradient of the loss
            in the outputs there, and the expectation over the draws is the Gauss-Newton matrix. With None, the
            empirical Fisher matrix: g at the given target.
        seed : int
            Of the draws, which are the same in every product and however the samples are cut into batches; processes
            of a group draw independently.

        Returns
        -------
        Operator

        Raises
        ------
        ValueError
            If `samples` is given for a user's own loss, whose likelihood is not known.
        """
        if samples is not None:
            samples = as_integer("samples", samples, 1)
            if self._loss.kind == "user":
                raise ValueError(NO_LIKELIHOOD)
        key = [as_integer("seed", seed, 0)]
        if self._group is not None:
            key.append(torch.distributed.get_rank(self._group))
        drawn: list[Any] = [0, None]  # with one batch, once for each reading of the parameters

        def parts(V: Float) -> Part:
            rng = np.random.default_rng(key)

            def part(products: Products, y: Tensor) -> Float:
                if self._kept is None or drawn[0] != self._readings:
                    drawn[:] = self._readings, self._output_gradients(products, y, samples, rng)
                g = drawn[1]
                along = np.einsum("mnc,knc->mkn", g, products.jacobian(V)) / len(g)
                return products.jacobian_transpose(np.einsum("mkn,mnc->knc", along, g))

            return part

        return self._operator(parts)

    def ntk(self, side: str = "auto") -> Operator:
        r"""Return the neural tangent kernel, on samples or on parameters; neither is divided by N.

        Parameters
        ----------
        side : {"auto", "parameters", "samples"}
            :math:`JJ^\top` (nC, nC), the kernel of the n samples with C outputs each, sample by sample; or
            :math:`J^\top J` (P, P), which has the same eigenvalues but for zeros. ``"auto"`` takes the smaller, and the
            parameters in a process group.

        Returns
        -------
        Operator

        Raises
        ------
        ValueError
            If the side of the samples is asked for in a process group, where no process has all of them.
        """
        one_of("side", side, SIDES)
        if side == "auto":
            side = "parameters" if self._group is not None or self.size <= self._rows() else "samples"
        if side == "parameters":
            return self._operator(lambda V: lambda p, y: p.jacobian_transpose(p.jacobian(V)), mean=False)
        J = self.jacobian()
        return Operator(J.shape[0], self.dtype, lambda U: J.rows(J.rows_of_transpose(U)))

    def jacobian(self) -> RectangularOperator:
        """Return the Jacobian (nC, P) of the outputs, sample by sample, with its transpose as ``rmatvec``.

        Raises
        ------
        ValueError
            In a process group, where no process has all rows.
        """
        if self._group is not None:
            raise ValueError(
                "the outputs of a process `group` lie in several processes; expected an operator on the parameters. "
                "Use ntk(side='parameters'), or linearize without `group` for the rows of this process"
            )
        width = self._rows() // self._samples

        def product(V: Float) -> Float:
            parts = list(self._pass(lambda products, y: products.jacobian(V).reshape(len(V), -1)))
            return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

        def adjoint(U: Float) -> Float:
            start = 0

            def part(products: Products, y: Tensor) -> Float:
                nonlocal start
                piece = U[:, start * width : (start + products.samples) * width]
                start += products.samples
                return products.jacobian_transpose(np.ascontiguousarray(piece).reshape(len(U), products.samples, width))

            return self._total(part, mean=False)

        return RectangularOperator((self._rows(), self.size), self.dtype, product, adjoint)

    @property
    def input_rank(self) -> int | None:
        """Dimension of the row space in which solvers see the inputs; None without one, or with several batches."""
        products = self._compressed()
        return None if products is None else products.input_rank

    def _compressed(self) -> NativeProducts | None:
        only = self._kept[0] if self._kept is not None and self._group is None else None
        return only if isinstance(only, NativeProducts) and only.input_rank is not None else None

    def _operator(self, parts: Callable[[Float], Part], mean: bool = True) -> Operator:
        def reduced() -> Reduced | None:
            products = self._compressed()
            if products is None:
                return None

            def product(V: Float) -> Float:
                return self._total(lambda p, y: parts(V)(p.row_space(), y), mean)  # type: ignore[attr-defined]

            return Reduced(Operator(products.row_space().size, self.dtype, product), products.lift, products.restrict)

        return Operator(self.size, self.dtype, lambda V: self._total(parts(V), mean), reduced)

    def _total(self, part: Part, mean: bool = True) -> Float:
        """Sum over all samples of all processes, divided by their number where the loss is a mean."""
        mean = mean and self._loss.mean
        if self._kept is not None and self._group is None:
            value = part(*self._kept)
            return value / value.dtype.type(self._kept[0].samples) if mean else value
        total: Any = None
        for value in self._pass(part):
            total = value.astype(np.float64) if total is None else total + value
        count = float(self._samples)
        if self._group is not None:
            # The Hessian of a sum is the sum of Hessians: each process's own product, then the count.
            buffer = torch.from_numpy(np.append(total, count)).to(next(iter(self._theta.values())).device)
            torch.distributed.all_reduce(buffer, group=self._group)
            summed = buffer.cpu().numpy()
            total, count = summed[:-1].reshape(total.shape), summed[-1]
        result: Float = (total / count if mean else total).astype(self.dtype if total.ndim else np.float64)
        return result

    def _pass(self, part: Part) -> Iterator[Float]:
        """Give the part of every batch of this process, one of which at a time is linearised and in memory."""
        if self._kept is not None:
            yield part(*self._kept)
            return
        seen, known = 0, self._samples
        for done, (X, y) in enumerate(self._batches, 1):
            products = self._products(X, y)
            seen += products.samples
            value = part(products, y)
            del products
            yield value
            if self._progress is not None:
                self._progress(done, self._batches.count)
        if seen == 0:
            raise ValueError("`X` gives no batch; expected at least one")
        if known and seen != known:
            raise RuntimeError(
                f"`X` gave {seen} samples in this pass and {known} before; expected the same data in every pass. "
                "A sampler that draws anew changes the operator between products"
            )
        self._samples = seen

    def _products(self, X: Tensor, y: Tensor) -> Products:
        made: Products | None = None
        if self._asked != "autograd":
            made = native_products(self._point, self._loss, X, y, self._dtype, self._theta, self._compress)
            if made is None and self._asked == "native":
                raise ValueError(
                    "`backend` is 'native', which has no kernel for this model, loss or selection of parameters. Use "
                    "backend='auto'"
                )
        self.backend = "autograd" if made is None else "native"
        return made if made is not None else AutogradProducts(self._point, self._loss, X, y, self._theta, self._dtype)

    def _rows(self) -> int:
        """Return the number of outputs of all samples of this process."""
        if self._kept is not None:
            return self._kept[0].outputs.size
        if self._outputs == 0:
            self._outputs = sum(value.size for value in self._pass(lambda products, y: products.outputs))
        return self._outputs

    def _output_gradients(
        self, products: Products, y: Tensor, samples: int | None, rng: np.random.Generator
    ) -> NDArray[Any]:
        """Gradients (M, n, C) of the samples' losses in the outputs: at the targets, or at M drawn ones."""
        f = torch.from_numpy(products.outputs).to(y.device).reshape(products.output_shape)
        if samples is None:
            g = self._loss.gradient(f, self._loss.prepared(f, y))[None]
        else:
            g = self._loss.sampled_gradients(f, samples, rng)
        return g.reshape(len(g), products.samples, -1).cpu().numpy()

    def __repr__(self) -> str:
        data = f"{self._samples} samples" if self._samples else "samples not yet counted"
        how = self.backend + ("" if self.input_rank is None else f", inputs compressed to {self.input_rank}")
        return f"Linearization({self.size} parameters, {data}, {self._loss.kind} loss, {self.dtype}, {how})"
