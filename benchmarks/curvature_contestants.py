"""What benchmarks/curvature.py compares: networks, Hessian products on them, and eigensolvers over these products.

Peers are optional: one that is not installed (``pip install ".[bench]"``) stands in MISSING and is left out.
"""

import copy
import importlib
import itertools
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import scipy.linalg.blas
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from sklearn.datasets import load_digits
from torch import nn

import pyphenom as ph

PEERS, MISSING = {}, {}
for _name in ("curvlinops", "pyhessian", "primme"):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they import what torch is about to drop
            PEERS[_name] = importlib.import_module(_name)
    except Exception as error:  # a peer that breaks on import is as good as a missing one
        MISSING[_name] = f"{type(error).__name__}: {error}"

OURS, TORCH, CURVLINOPS, PYHESSIAN = "pyphenom", "torch, retained graph", "curvlinops", "PyHessian"
ROW_SPACE, GEMM, ROW_SPACE_GEMM = "pyphenom, row space", "bare GEMMs", "bare GEMMs, row space"
OURS_ONCE = "pyphenom, copies=False"  # like its peers, without a search for further copies of multiple eigenvalues
OURS_WHOLE = "pyphenom, compress=False"  # on whole inputs, where these are more than the samples
ARPACK, ARPACK_STRICT, PRIMME = "ARPACK", "ARPACK, tol 1e-4", "PRIMME"  # over torch's retained graph
BLOCK = 16


# ---- networks


@dataclass(frozen=True)
class Problem:
    """A network of float32 at its first parameters, a loss that is a mean over the samples, and the data."""

    model: nn.Sequential
    loss: nn.Module
    X: torch.Tensor
    y: torch.Tensor

    @property
    def widths(self):
        """Inputs, hidden units, and outputs."""
        linear = [layer for layer in self.model if isinstance(layer, nn.Linear)]
        return [linear[0].in_features, *(layer.out_features for layer in linear)]

    @property
    def size(self):
        """P, the number of parameters."""
        return sum(value.numel() for value in self.model.parameters())

    def __str__(self):
        return f"{'-'.join(map(str, self.widths))}, {len(self.X)} samples"


def network(*widths, bias_of_outputs=True):
    """Return a tanh network with torch's own first parameters for seed 0."""
    torch.manual_seed(0)
    layers = []
    for i, (d, h) in enumerate(itertools.pairwise(widths)):
        last = i == len(widths) - 2
        layers += [nn.Linear(d, h, bias=bias_of_outputs or not last), nn.Identity() if last else nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def chebyshev(hidden=100, samples=20, degree=4):
    """Return the regression of Cohen et al. (2021), section 3: a Chebyshev polynomial on equidistant points."""
    model = network(1, hidden, 1, bias_of_outputs=False)
    nn.init.xavier_normal_(model[0].weight, gain=1.9)
    nn.init.zeros_(model[0].bias)
    nn.init.xavier_normal_(model[2].weight)
    x = torch.linspace(-1, 1, samples)[:, None]
    return Problem(model, nn.MSELoss(), x, torch.cos(degree * torch.arccos(x)))


def digits(hidden=128, samples=1797):
    X, y = load_digits(return_X_y=True)
    X = ((X - X.mean(axis=0)) / X.std()).astype(np.float32)[:samples]
    return Problem(
        network(64, hidden, hidden, 10), nn.CrossEntropyLoss(), torch.from_numpy(X), torch.from_numpy(y[:samples])
    )


def images(side=32, hidden=200, samples=1000):
    """Return ten classes of random images in three colours whose power spectrum falls as that of photographs does."""
    rng, labels = np.random.default_rng(0), np.arange(samples) % 10
    frequency = np.fft.fftfreq(side)
    amplitude = 1.0 / np.maximum(np.hypot.outer(frequency, frequency), 1.0 / side)

    def draw(count):
        noise = rng.standard_normal((count, 3, side, side))
        return np.fft.ifft2(np.fft.fft2(noise) * amplitude).real.reshape(count, -1)

    X = draw(10)[labels] + draw(samples)
    X = torch.from_numpy(((X - X.mean(axis=0)) / X.std()).astype(np.float32))
    one_hot = torch.eye(10)[torch.from_numpy(labels)]
    return Problem(network(3 * side**2, hidden, hidden, 10), nn.MSELoss(), X, one_hot)


# ---- products


class Retained:
    """The Hessian of torch's double-backward, whose graph is built once and kept."""

    def __init__(self, problem, dtype=torch.float32):
        model = copy.deepcopy(problem.model).to(dtype)
        y = problem.y.to(dtype) if problem.y.is_floating_point() else problem.y
        self.parameters = list(model.parameters())
        loss = problem.loss(model(problem.X.to(dtype)), y)
        self.gradients = torch.autograd.grad(loss, self.parameters, create_graph=True)

    def split(self, v):
        """Return a vector cut into the shapes of the parameters."""
        pieces = torch.split(torch.as_tensor(v, dtype=self.parameters[0].dtype), [p.numel() for p in self.parameters])
        return [piece.reshape(p.shape) for piece, p in zip(pieces, self.parameters, strict=True)]

    def product(self, pieces):
        """Return the product with one vector, both in pieces."""
        return torch.autograd.grad(self.gradients, self.parameters, pieces, retain_graph=True)

    def block(self, pieces):
        """Return the product with several vectors, stacked in the pieces."""
        return torch.autograd.grad(self.gradients, self.parameters, pieces, retain_graph=True, is_grads_batched=True)

    def __call__(self, v):
        """Return the product with one numpy vector."""
        return flat(self.product(self.split(np.ascontiguousarray(v).reshape(-1))))


def dense_sharpness(problem):
    """Return the largest eigenvalue of the dense Hessian in float64 at the model's parameters: the slow obvious way."""
    model = copy.deepcopy(problem.model).double()
    X, y = problem.X.double(), problem.y.double()
    names, values = zip(*((name, value.detach()) for name, value in model.named_parameters()), strict=True)

    def loss(theta):
        pieces = torch.split(theta, [value.numel() for value in values])
        state = {name: piece.reshape(v.shape) for name, piece, v in zip(names, pieces, values, strict=True)}
        return 0.5 * problem.loss(torch.func.functional_call(model, state, (X,)), y)

    theta = torch.cat([value.reshape(-1) for value in values])
    return float(np.linalg.eigvalsh(torch.func.hessian(loss)(theta).numpy())[-1])


def flat(result):
    """Return any contestant's product of one vector as a numpy vector."""
    if isinstance(result, tuple | list):
        result = torch.cat([piece.reshape(-1) for piece in result])
    return np.asarray(result).reshape(-1)


def hessian(problem, **options):
    return ph.curvature.linearize(problem.model, problem.loss, problem.X, problem.y, **options).hessian()


def curvlinops_hessian(problem):
    return PEERS["curvlinops"].HessianLinearOperator(
        problem.model,
        problem.loss,
        [*problem.model.parameters()],
        [(problem.X, problem.y)],
        check_deterministic=False,
    )


def pyhessian_hessian(problem):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the memory that its backward pass leaks
        return PEERS["pyhessian"].hessian(
            copy.deepcopy(problem.model), problem.loss, data=(problem.X, problem.y), cuda=False
        )


def gemms(widths, n):
    """Return a call of the matrix products of one cached Hessian product, and nothing else.

    An inner layer takes two products of each of the shapes forward, backward and weights; the first layer one forward
    and one of the weights, since its inputs have no tangent and need no gradient.
    """
    rng = np.random.default_rng(0)
    units = []
    for i, (d, h) in enumerate(itertools.pairwise(widths)):
        A, W, D = (rng.standard_normal(shape, dtype=np.float32) for shape in ((n, d), (h, d), (n, h)))
        Z, B, G = (np.zeros(shape, np.float32) for shape in ((n, h), (n, d), (h, d)))
        # Row-major products by column-major BLAS: A W', D W and D' A, transposed, without a copy.
        unit = [(W.T, A.T, Z.T, 1, 0), (A.T, D.T, G.T, 0, 1)]
        units += unit if i == 0 else 2 * [*unit, (W.T, D.T, B.T, 0, 0)]

    def call():
        for a, b, c, trans_a, trans_b in units:
            scipy.linalg.blas.sgemm(1.0, a, b, c=c, trans_a=trans_a, trans_b=trans_b, overwrite_c=1)

    return call


def product_contestants(problem, v):
    """Return name -> call of a product with v, each given its vector in the form that it likes best."""
    retained, H = Retained(problem), hessian(problem)
    pieces = retained.split(v)
    calls: dict[str, Callable[[], Any]] = {OURS: lambda: H @ v, TORCH: lambda: retained.product(pieces)}
    reduced = H.reduced()
    if reduced is not None:
        c = reduced.restrict(v[None])
        calls[ROW_SPACE] = lambda: reduced.operator.rows(c)
    if "curvlinops" in PEERS:
        C, tensor = curvlinops_hessian(problem), torch.from_numpy(v)
        calls[CURVLINOPS] = lambda: C @ tensor
    if "pyhessian" in PEERS:
        P = pyhessian_hessian(problem)
        product = sys.modules["pyhessian.hessian"].hessian_vector_product
        calls[PYHESSIAN] = lambda: product(P.gradsH, P.params, pieces)
    return calls, (lambda c: reduced.lift(c)[0])


def block_contestants(problem, V):
    """Return name -> call of a product with the rows of V (16, P)."""
    retained, H = Retained(problem), hessian(problem)
    columns = V.T
    pieces = [torch.stack(piece) for piece in zip(*map(retained.split, V), strict=True)]
    calls = {OURS: lambda: H @ columns, f"{OURS}, one by one": lambda: [H @ v for v in V]}
    calls[f"{TORCH}, vmap"] = lambda: retained.block(pieces)
    if "curvlinops" in PEERS:
        C, tensor = curvlinops_hessian(problem), torch.from_numpy(np.ascontiguousarray(columns))
        calls[CURVLINOPS] = lambda: C @ tensor
    return calls


# ---- eigensolvers


@dataclass(frozen=True)
class Found:
    """Eigenpairs, largest first, and the products that they took."""

    values: np.ndarray
    vectors: np.ndarray
    products: int


def counted(product, size):
    """Return SciPy's operator of a product, and the list that holds how often it was called."""
    count = [0]

    def matvec(v):
        count[0] += 1
        return product(v)

    return LinearOperator((size, size), matvec=matvec, dtype=np.float32), count


def ours(problem, k, tol, seed, copies=True, compress="auto"):
    pairs = ph.curvature.eigsh(hessian(problem, compress=compress), k, tol=tol, seed=seed, copies=copies)
    return Found(pairs.values, pairs.vectors, pairs.matvecs)


def arpack(problem, k, tol, seed):
    operator, count = counted(Retained(problem), problem.size)
    start = np.random.default_rng(seed).standard_normal(problem.size, dtype=np.float32)
    values, vectors = eigsh(operator, k, which="LA", tol=tol, v0=start)
    return Found(values[::-1], vectors[:, ::-1], count[0])


def primme(problem, k, tol, seed):
    operator, count = counted(Retained(problem), problem.size)
    start = np.random.default_rng(seed).standard_normal((problem.size, 1), dtype=np.float32)
    values, vectors = PEERS["primme"].eigsh(operator, k, which="LA", tol=tol, v0=start)
    return Found(values, vectors, count[0])


def pyhessian(problem, k, tol, seed):
    """Return the pairs of power iteration at PyHessian's own tolerance, which is of the change of the eigenvalue."""
    torch.manual_seed(seed)
    P, module = pyhessian_hessian(problem), sys.modules["pyhessian.hessian"]
    with mock.patch.object(module, "hessian_vector_product", wraps=module.hessian_vector_product) as product:
        values, vectors = P.eigenvalues(top_n=k)
    return Found(np.array(values), np.stack([flat(v) for v in vectors], axis=1), product.call_count)
