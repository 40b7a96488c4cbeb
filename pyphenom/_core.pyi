"""
Compiled kernels of pyphenom; use them through the Python packages that carry their names.
"""

from __future__ import annotations
import collections.abc
import numpy
import numpy.typing
import typing

__all__: list[str] = [
    "DenseDescent32",
    "DenseDescent64",
    "GaussianArchitecture",
    "GaussianEpoch",
    "GaussianProgress",
    "GaussianTraining",
    "GradientFlow",
    "LinearDescent",
    "Network32",
    "Network64",
    "WidthPath",
    "blas",
    "cnn_advance",
    "cuda_available",
    "descend",
    "draw_weights",
    "feature_sizes",
    "features",
    "flow",
    "gaussian_mlp_divergence",
    "gaussian_mlp_draws",
    "gaussian_mlp_loss_gradient",
    "gaussian_mlp_objective",
    "gaussian_mlp_order",
    "gaussian_mlp_outputs",
    "gaussian_mlp_train_epoch",
    "hard_margin",
    "kl_divergence",
    "kl_inverse",
    "kl_inverse_gradient",
    "lanczos",
    "orthogonalise",
    "project",
    "relu_evaluate",
    "relu_interpolate",
    "ridge_fit",
    "smallest_basis",
    "sort_projections",
]

class Network32:
    """
    A feed-forward network linearised at one parameter vector on one batch.
    """
    def __init__(
        self,
        X: numpy.typing.NDArray[numpy.float32],
        positions: typing.SupportsInt | typing.SupportsIndex,
        channels: typing.SupportsInt | typing.SupportsIndex,
        values: typing.SupportsInt | typing.SupportsIndex,
        parameters: typing.SupportsInt | typing.SupportsIndex,
        threads: typing.SupportsInt | typing.SupportsIndex,
        workspace: typing.SupportsInt | typing.SupportsIndex,
    ) -> None:
        """
        X (samples, positions, channels); workspace in bytes.
        """
    def activation(
        self,
        function: str,
        a: typing.SupportsFloat | typing.SupportsIndex = 0.0,
        b: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    ) -> None:
        """
        An elementwise activation.
        """
    def average(
        self,
        table: numpy.typing.NDArray[numpy.int32],
        positions: typing.SupportsInt | typing.SupportsIndex,
        channels: typing.SupportsInt | typing.SupportsIndex,
        weights: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex],
    ) -> None:
        """
        Weighted sums over windows.
        """
    def custom_hessian(
        self, V: numpy.typing.NDArray[numpy.float32], U: numpy.typing.NDArray[numpy.float32], reduced: bool = False
    ) -> numpy.typing.NDArray[numpy.float32]:
        """
        Hessian product with a custom loss.
        """
    def dense(
        self,
        outputs: typing.SupportsInt | typing.SupportsIndex,
        groups: typing.SupportsInt | typing.SupportsIndex,
        weight_value: typing.SupportsInt | typing.SupportsIndex,
        bias_value: typing.SupportsInt | typing.SupportsIndex,
        weight: typing.SupportsInt | typing.SupportsIndex,
        bias: typing.SupportsInt | typing.SupportsIndex,
    ) -> None:
        """
        A dense layer; where its weights and bias stand in values and directions, -1: nowhere.
        """
    def differentiate(self, gradients: numpy.typing.NDArray[numpy.float32]) -> None:
        """
        Deltas of a custom loss from its gradients (samples, outputs).
        """
    def flatten(self) -> None:
        """
        One position, channel after channel.
        """
    def ggn(
        self, V: numpy.typing.NDArray[numpy.float32], reduced: bool = False
    ) -> numpy.typing.NDArray[numpy.float32]: ...
    def gradient(self, reduced: bool = False) -> numpy.typing.NDArray[numpy.float32]: ...
    def hessian(
        self, V: numpy.typing.NDArray[numpy.float32], reduced: bool = False
    ) -> numpy.typing.NDArray[numpy.float32]: ...
    def jacobian(
        self, V: numpy.typing.NDArray[numpy.float32], reduced: bool = False
    ) -> numpy.typing.NDArray[numpy.float32]: ...
    def jacobian_transpose(
        self, U: numpy.typing.NDArray[numpy.float32], reduced: bool = False
    ) -> numpy.typing.NDArray[numpy.float32]: ...
    def linearize(self, values: numpy.typing.NDArray[numpy.float32]) -> None:
        """
        Linearise at all parameters of the network, frozen ones included.
        """
    def loss(
        self,
        kind: str,
        weight: typing.SupportsFloat | typing.SupportsIndex,
        targets: numpy.typing.NDArray[numpy.float32],
    ) -> None:
        """
        targets (samples, outputs).
        """
    def maximum(
        self,
        table: numpy.typing.NDArray[numpy.int32],
        positions: typing.SupportsInt | typing.SupportsIndex,
        channels: typing.SupportsInt | typing.SupportsIndex,
    ) -> None:
        """
        The largest entry of each window.
        """
    def outputs(self) -> numpy.typing.NDArray[numpy.float32]: ...
    def reduce(self, X: numpy.typing.NDArray[numpy.float32]) -> None:
        """
        X (samples, rank): the inputs in an orthonormal basis of their row space.
        """
    def size(self, reduced: bool = False) -> int: ...
    def unfold(
        self,
        table: numpy.typing.NDArray[numpy.int32],
        positions: typing.SupportsInt | typing.SupportsIndex,
        channels: typing.SupportsInt | typing.SupportsIndex,
    ) -> None:
        """
        Patches: the first half of a convolution.
        """
    @property
    def loss_value(self) -> float: ...

class Network64:
    """
    A feed-forward network linearised at one parameter vector on one batch.
    """
    def __init__(
        self,
        X: numpy.typing.NDArray[numpy.float64],
        positions: typing.SupportsInt | typing.SupportsIndex,
        channels: typing.SupportsInt | typing.SupportsIndex,
        values: typing.SupportsInt | typing.SupportsIndex,
        parameters: typing.SupportsInt | typing.SupportsIndex,
        threads: typing.SupportsInt | typing.SupportsIndex,
        workspace: typing.SupportsInt | typing.SupportsIndex,
    ) -> None:
        """
        X (samples, positions, channels); workspace in bytes.
        """
    def activation(
        self,
        function: str,
        a: typing.SupportsFloat | typing.SupportsIndex = 0.0,
        b: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    ) -> None:
        """
        An elementwise activation.
        """
    def average(
        self,
        table: numpy.typing.NDArray[numpy.int32],
        positions: typing.SupportsInt | typing.SupportsIndex,
        channels: typing.SupportsInt | typing.SupportsIndex,
        weights: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex],
    ) -> None:
        """
        Weighted sums over windows.
        """
    def custom_hessian(
        self, V: numpy.typing.NDArray[numpy.float64], U: numpy.typing.NDArray[numpy.float64], reduced: bool = False
    ) -> numpy.typing.NDArray[numpy.float64]:
        """
        Hessian product with a custom loss.
        """
    def dense(
        self,
        outputs: typing.SupportsInt | typing.SupportsIndex,
        groups: typing.SupportsInt | typing.SupportsIndex,
        weight_value: typing.SupportsInt | typing.SupportsIndex,
        bias_value: typing.SupportsInt | typing.SupportsIndex,
        weight: typing.SupportsInt | typing.SupportsIndex,
        bias: typing.SupportsInt | typing.SupportsIndex,
    ) -> None:
        """
        A dense layer; where its weights and bias stand in values and directions, -1: nowhere.
        """
    def differentiate(self, gradients: numpy.typing.NDArray[numpy.float64]) -> None:
        """
        Deltas of a custom loss from its gradients (samples, outputs).
        """
    def flatten(self) -> None:
        """
        One position, channel after channel.
        """
    def ggn(
        self, V: numpy.typing.NDArray[numpy.float64], reduced: bool = False
    ) -> numpy.typing.NDArray[numpy.float64]: ...
    def gradient(self, reduced: bool = False) -> numpy.typing.NDArray[numpy.float64]: ...
    def hessian(
        self, V: numpy.typing.NDArray[numpy.float64], reduced: bool = False
    ) -> numpy.typing.NDArray[numpy.float64]: ...
    def jacobian(
        self, V: numpy.typing.NDArray[numpy.float64], reduced: bool = False
    ) -> numpy.typing.NDArray[numpy.float64]: ...
    def jacobian_transpose(
        self, U: numpy.typing.NDArray[numpy.float64], reduced: bool = False
    ) -> numpy.typing.NDArray[numpy.float64]: ...
    def linearize(self, values: numpy.typing.NDArray[numpy.float64]) -> None:
        """
        Linearise at all parameters of the network, frozen ones included.
        """
    def loss(
        self,
        kind: str,
        weight: typing.SupportsFloat | typing.SupportsIndex,
        targets: numpy.typing.NDArray[numpy.float64],
    ) -> None:
        """
        targets (samples, outputs).
        """
    def maximum(
        self,
        table: numpy.typing.NDArray[numpy.int32],
        positions: typing.SupportsInt | typing.SupportsIndex,
        channels: typing.SupportsInt | typing.SupportsIndex,
    ) -> None:
        """
        The largest entry of each window.
        """
    def outputs(self) -> numpy.typing.NDArray[numpy.float64]: ...
    def reduce(self, X: numpy.typing.NDArray[numpy.float64]) -> None:
        """
        X (samples, rank): the inputs in an orthonormal basis of their row space.
        """
    def size(self, reduced: bool = False) -> int: ...
    def unfold(
        self,
        table: numpy.typing.NDArray[numpy.int32],
        positions: typing.SupportsInt | typing.SupportsIndex,
        channels: typing.SupportsInt | typing.SupportsIndex,
    ) -> None:
        """
        Patches: the first half of a convolution.
        """
    @property
    def loss_value(self) -> float: ...

class LinearDescent:
    """
    A run of full-batch descent on the margins A w.
    """
    def __init__(
        self,
        method: str,
        loss: str,
        step: typing.SupportsFloat | typing.SupportsIndex,
        decay: typing.SupportsFloat | typing.SupportsIndex,
        momentum: typing.SupportsFloat | typing.SupportsIndex,
        beta1: typing.SupportsFloat | typing.SupportsIndex,
        beta2: typing.SupportsFloat | typing.SupportsIndex,
        epsilon: typing.SupportsFloat | typing.SupportsIndex,
        A: numpy.typing.NDArray[numpy.float64],
        K: typing.Annotated[numpy.typing.ArrayLike, numpy.float64] | None,
        initial: numpy.typing.NDArray[numpy.float64],
        gain: typing.SupportsFloat | typing.SupportsIndex,
    ) -> None: ...
    def margins(self) -> numpy.typing.NDArray[numpy.float64]: ...
    def position(self) -> numpy.typing.NDArray[numpy.float64]:
        """
        Coefficients of the rows, or weights.
        """
    @property
    def dual(self) -> bool: ...
    @property
    def gain(self) -> float: ...

class GradientFlow:
    """
    A run of gradient flow on the margins A w.
    """
    def __init__(
        self,
        loss: str,
        A: numpy.typing.NDArray[numpy.float64],
        margins: numpy.typing.NDArray[numpy.float64],
        log_tau: typing.SupportsFloat | typing.SupportsIndex,
        tolerance: typing.SupportsFloat | typing.SupportsIndex,
        unit: typing.SupportsFloat | typing.SupportsIndex,
    ) -> None: ...
    def coordinates(self) -> numpy.typing.NDArray[numpy.float64]: ...
    @property
    def error(self) -> float: ...
    @property
    def failed(self) -> bool: ...
    @property
    def stalled(self) -> bool: ...
    @property
    def stationary(self) -> bool: ...
    @property
    def steps(self) -> int: ...

class GaussianArchitecture:
    """
    Widths and activation of a network.
    """
    def __init__(
        self,
        widths: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
        activation: str,
        slope: typing.SupportsFloat | typing.SupportsIndex,
    ) -> None: ...
    @property
    def parameters(self) -> int: ...

class GaussianProgress:
    """
    Where an optimisation stands, besides its arrays.
    """
    def __init__(
        self,
        epoch: typing.SupportsInt | typing.SupportsIndex,
        step: typing.SupportsInt | typing.SupportsIndex,
        lambda_: typing.SupportsFloat | typing.SupportsIndex,
        log_variance: typing.SupportsFloat | typing.SupportsIndex,
        log_variance_moment: typing.SupportsFloat | typing.SupportsIndex,
        log_variance_second: typing.SupportsFloat | typing.SupportsIndex,
    ) -> None: ...
    @property
    def epoch(self) -> int: ...
    @property
    def lambda_(self) -> float: ...
    @property
    def log_variance(self) -> float: ...
    @property
    def log_variance_moment(self) -> float: ...
    @property
    def log_variance_second(self) -> float: ...
    @property
    def step(self) -> int: ...

class GaussianEpoch:
    """
    Means over the examples of an epoch.
    """
    @property
    def diverged(self) -> bool: ...
    @property
    def error(self) -> float: ...
    @property
    def kl(self) -> float: ...
    @property
    def objective(self) -> float: ...
    @property
    def risk(self) -> float: ...

class GaussianTraining:
    """
    How an optimisation runs.
    """
    def __init__(
        self,
        objective: str,
        n: typing.SupportsFloat | typing.SupportsIndex,
        delta: typing.SupportsFloat | typing.SupportsIndex,
        catoni: typing.SupportsFloat | typing.SupportsIndex,
        adam: bool,
        rate: typing.SupportsFloat | typing.SupportsIndex,
        momentum: typing.SupportsFloat | typing.SupportsIndex,
        pmin: typing.SupportsFloat | typing.SupportsIndex,
        batch: typing.SupportsInt | typing.SupportsIndex,
        antithetic: bool,
        seed: typing.SupportsInt | typing.SupportsIndex,
        threads: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...

class WidthPath:
    """
    Regression on nested features, one row of statistics a width.
    """
    def __init__(
        self,
        y: numpy.typing.NDArray[numpy.float64],
        y_test: numpy.typing.NDArray[numpy.float64],
        max_width: typing.SupportsInt | typing.SupportsIndex,
        penalty: typing.SupportsFloat | typing.SupportsIndex,
        tolerance: typing.SupportsFloat | typing.SupportsIndex,
        norm2: typing.SupportsFloat | typing.SupportsIndex,
        threads: typing.SupportsInt | typing.SupportsIndex,
    ) -> None:
        """
        y (targets, n), y_test (targets, m).
        """
    def append(
        self,
        Z: numpy.typing.NDArray[numpy.float64],
        Z_test: numpy.typing.NDArray[numpy.float64],
        predictions: bool = False,
    ) -> dict:
        """
        Append features Z (b, n), Z_test (b, m), one a row; returns statistics of the b widths they complete.
        """

class DenseDescent32:
    """
    Descent of stacked fully connected networks on batches, in place.
    """
    def __init__(
        self,
        parameters: list[numpy.typing.NDArray[numpy.float32]],
        first: list[numpy.typing.NDArray[numpy.float32]],
        second: list[numpy.typing.NDArray[numpy.float32]],
        masks: list[numpy.typing.NDArray[numpy.float32]],
        functions: collections.abc.Sequence[str],
        sizes: collections.abc.Sequence[collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]],
        inputs: numpy.typing.NDArray[numpy.float32],
        targets: numpy.typing.NDArray[numpy.float32],
        labels: numpy.typing.NDArray[numpy.int64],
        loss: str,
        optimiser: str,
        momentum: typing.SupportsFloat | typing.SupportsIndex,
        decay: typing.SupportsFloat | typing.SupportsIndex,
    ) -> None: ...
    def advance(
        self,
        batches: numpy.typing.NDArray[numpy.int64] | None,
        rates: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex],
    ) -> None:
        """
        A step a rate, on batches (steps, b) or (steps, M, b), or on all samples.
        """

class DenseDescent64:
    """
    Descent of stacked fully connected networks on batches, in place.
    """
    def __init__(
        self,
        parameters: list[numpy.typing.NDArray[numpy.float64]],
        first: list[numpy.typing.NDArray[numpy.float64]],
        second: list[numpy.typing.NDArray[numpy.float64]],
        masks: list[numpy.typing.NDArray[numpy.float64]],
        functions: collections.abc.Sequence[str],
        sizes: collections.abc.Sequence[collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]],
        inputs: numpy.typing.NDArray[numpy.float64],
        targets: numpy.typing.NDArray[numpy.float64],
        labels: numpy.typing.NDArray[numpy.int64],
        loss: str,
        optimiser: str,
        momentum: typing.SupportsFloat | typing.SupportsIndex,
        decay: typing.SupportsFloat | typing.SupportsIndex,
    ) -> None: ...
    def advance(
        self,
        batches: numpy.typing.NDArray[numpy.int64] | None,
        rates: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex],
    ) -> None:
        """
        A step a rate, on batches (steps, b) or (steps, M, b), or on all samples.
        """

def cnn_advance(
    basis: numpy.typing.NDArray[numpy.float64],
    gram: numpy.typing.NDArray[numpy.float64],
    patches: numpy.typing.NDArray[numpy.int32],
    orientation: numpy.typing.NDArray[numpy.float64],
    labels: numpy.typing.NDArray[numpy.float64],
    signs: numpy.typing.NDArray[numpy.float64],
    *,
    activations: numpy.typing.NDArray[numpy.float64],
    coordinates: numpy.typing.NDArray[numpy.float64],
    weights: numpy.typing.NDArray[numpy.float64],
    first: numpy.typing.NDArray[numpy.float64],
    second: numpy.typing.NDArray[numpy.float64],
    scalars: numpy.typing.NDArray[numpy.float64],
    margins: numpy.typing.NDArray[numpy.float64],
    method: str,
    power: typing.SupportsFloat | typing.SupportsIndex,
    rate: typing.SupportsFloat | typing.SupportsIndex,
    decay: typing.SupportsFloat | typing.SupportsIndex,
    beta1: typing.SupportsFloat | typing.SupportsIndex,
    beta2: typing.SupportsFloat | typing.SupportsIndex,
    epsilon: typing.SupportsFloat | typing.SupportsIndex,
    log_stop: typing.SupportsFloat | typing.SupportsIndex,
    until: typing.SupportsInt | typing.SupportsIndex,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> None:
    """
    Advance every run to step `until`; scalars (runs, 1, 5) hold shrink, log unit, log loss, step and stopped.
    """

def cuda_available() -> bool:
    """
    Whether this build holds CUDA kernels.
    """

def descend(
    runs: collections.abc.Sequence[LinearDescent],
    steps: typing.SupportsInt | typing.SupportsIndex,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> None:
    """
    Moves every run by so many steps.
    """

@typing.overload
def draw_weights(
    W: numpy.typing.NDArray[numpy.float32],
    bias: numpy.typing.NDArray[numpy.float32],
    activation: str,
    distribution: str,
    bias_scale: typing.SupportsFloat | typing.SupportsIndex,
    seed: typing.SupportsInt | typing.SupportsIndex,
    first: typing.SupportsInt | typing.SupportsIndex,
    scale: typing.SupportsFloat | typing.SupportsIndex,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> None:
    """
    Fill W (width, d) and bias (width,) with features first, first + 1, ...
    """

@typing.overload
def draw_weights(
    W: numpy.typing.NDArray[numpy.float64],
    bias: numpy.typing.NDArray[numpy.float64],
    activation: str,
    distribution: str,
    bias_scale: typing.SupportsFloat | typing.SupportsIndex,
    seed: typing.SupportsInt | typing.SupportsIndex,
    first: typing.SupportsInt | typing.SupportsIndex,
    scale: typing.SupportsFloat | typing.SupportsIndex,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> None:
    """
    Fill W (width, d) and bias (width,) with features first, first + 1, ...
    """

def feature_sizes(Z: numpy.typing.NDArray[numpy.float64]) -> numpy.typing.NDArray[numpy.float64]:
    """
    The largest absolute entry of each column of Z (n, N); NaN stays.
    """

@typing.overload
def features(
    X: numpy.typing.NDArray[numpy.float32],
    W: numpy.typing.NDArray[numpy.float32],
    bias: numpy.typing.NDArray[numpy.float32],
    out: numpy.typing.NDArray[numpy.float32],
    activation: str,
    biased: bool,
    feature_major: bool,
    tiled: bool,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> None:
    """
    out <- activation(X W^T + bias), or its transpose with `feature_major`.
    """

@typing.overload
def features(
    X: numpy.typing.NDArray[numpy.float64],
    W: numpy.typing.NDArray[numpy.float64],
    bias: numpy.typing.NDArray[numpy.float64],
    out: numpy.typing.NDArray[numpy.float64],
    activation: str,
    biased: bool,
    feature_major: bool,
    tiled: bool,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> None:
    """
    out <- activation(X W^T + bias), or its transpose with `feature_major`.
    """

def flow(
    runs: collections.abc.Sequence[GradientFlow],
    until: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex],
    steps: typing.SupportsInt | typing.SupportsIndex,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> bool:
    """
    Moves every run to u = until, by so many attempted steps at most; whether all are there, or have failed.
    """

@typing.overload
def gaussian_mlp_divergence(
    mean: numpy.typing.NDArray[numpy.float32],
    log_scale: numpy.typing.NDArray[numpy.float32],
    prior_mean: numpy.typing.NDArray[numpy.float32],
    prior_log_scale: typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None,
    log_variance: typing.SupportsFloat | typing.SupportsIndex,
    cuts: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
    gradient: bool,
) -> tuple:
    """
    KL between the cuts, the variances, and the gradients of KL by mean and by log-scale.
    """

@typing.overload
def gaussian_mlp_divergence(
    mean: numpy.typing.NDArray[numpy.float64],
    log_scale: numpy.typing.NDArray[numpy.float64],
    prior_mean: numpy.typing.NDArray[numpy.float64],
    prior_log_scale: typing.Annotated[numpy.typing.ArrayLike, numpy.float64] | None,
    log_variance: typing.SupportsFloat | typing.SupportsIndex,
    cuts: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
    gradient: bool,
) -> tuple:
    """
    KL between the cuts, the variances, and the gradients of KL by mean and by log-scale.
    """

@typing.overload
def gaussian_mlp_draws(
    architecture: GaussianArchitecture,
    X: numpy.typing.NDArray[numpy.float32],
    y: numpy.typing.NDArray[numpy.int64],
    mean: numpy.typing.NDArray[numpy.float32],
    variance: numpy.typing.NDArray[numpy.float32],
    pmin: typing.SupportsFloat | typing.SupportsIndex,
    seed: typing.SupportsInt | typing.SupportsIndex,
    first: typing.SupportsInt | typing.SupportsIndex,
    passes: typing.SupportsInt | typing.SupportsIndex,
    threads: typing.SupportsInt | typing.SupportsIndex,
    progress: collections.abc.Callable | None,
) -> tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.int64]]:
    """
    Errors, summed bounded cross-entropies and rows without finite outputs of each pass.
    """

@typing.overload
def gaussian_mlp_draws(
    architecture: GaussianArchitecture,
    X: numpy.typing.NDArray[numpy.float64],
    y: numpy.typing.NDArray[numpy.int64],
    mean: numpy.typing.NDArray[numpy.float64],
    variance: numpy.typing.NDArray[numpy.float64],
    pmin: typing.SupportsFloat | typing.SupportsIndex,
    seed: typing.SupportsInt | typing.SupportsIndex,
    first: typing.SupportsInt | typing.SupportsIndex,
    passes: typing.SupportsInt | typing.SupportsIndex,
    threads: typing.SupportsInt | typing.SupportsIndex,
    progress: collections.abc.Callable | None,
) -> tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.int64]]:
    """
    Errors, summed bounded cross-entropies and rows without finite outputs of each pass.
    """

@typing.overload
def gaussian_mlp_loss_gradient(
    architecture: GaussianArchitecture,
    X: numpy.typing.NDArray[numpy.float32],
    y: numpy.typing.NDArray[numpy.int64],
    training: GaussianTraining,
    step: typing.SupportsInt | typing.SupportsIndex,
    mean: numpy.typing.NDArray[numpy.float32],
    variance: numpy.typing.NDArray[numpy.float32],
) -> tuple:
    """
    The mean loss of X as one minibatch, and its gradients by mean and by log-scale.
    """

@typing.overload
def gaussian_mlp_loss_gradient(
    architecture: GaussianArchitecture,
    X: numpy.typing.NDArray[numpy.float64],
    y: numpy.typing.NDArray[numpy.int64],
    training: GaussianTraining,
    step: typing.SupportsInt | typing.SupportsIndex,
    mean: numpy.typing.NDArray[numpy.float64],
    variance: numpy.typing.NDArray[numpy.float64],
) -> tuple:
    """
    The mean loss of X as one minibatch, and its gradients by mean and by log-scale.
    """

def gaussian_mlp_objective(
    objective: str,
    n: typing.SupportsFloat | typing.SupportsIndex,
    delta: typing.SupportsFloat | typing.SupportsIndex,
    catoni: typing.SupportsFloat | typing.SupportsIndex,
    risk: typing.SupportsFloat | typing.SupportsIndex,
    kl: typing.SupportsFloat | typing.SupportsIndex,
    lambda_: typing.SupportsFloat | typing.SupportsIndex,
    log_variance: typing.SupportsFloat | typing.SupportsIndex,
    kl_by_log_variance: typing.SupportsFloat | typing.SupportsIndex,
) -> tuple[float, float, float, float]:
    """
    The value of an objective and its slopes by risk, KL and log-variance of the prior.
    """

def gaussian_mlp_order(
    seed: typing.SupportsInt | typing.SupportsIndex,
    epoch: typing.SupportsInt | typing.SupportsIndex,
    n: typing.SupportsInt | typing.SupportsIndex,
) -> numpy.typing.NDArray[numpy.uint32]:
    """
    The examples of an epoch in their order.
    """

@typing.overload
def gaussian_mlp_outputs(
    architecture: GaussianArchitecture,
    X: numpy.typing.NDArray[numpy.float32],
    mean: numpy.typing.NDArray[numpy.float32],
    variance: numpy.typing.NDArray[numpy.float32],
    seed: typing.SupportsInt | typing.SupportsIndex,
    repetition: typing.SupportsInt | typing.SupportsIndex,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> numpy.ndarray:
    """
    Outputs (n, classes) of one repetition, a network of its own for each row.
    """

@typing.overload
def gaussian_mlp_outputs(
    architecture: GaussianArchitecture,
    X: numpy.typing.NDArray[numpy.float64],
    mean: numpy.typing.NDArray[numpy.float64],
    variance: numpy.typing.NDArray[numpy.float64],
    seed: typing.SupportsInt | typing.SupportsIndex,
    repetition: typing.SupportsInt | typing.SupportsIndex,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> numpy.ndarray:
    """
    Outputs (n, classes) of one repetition, a network of its own for each row.
    """

@typing.overload
def gaussian_mlp_train_epoch(
    architecture: GaussianArchitecture,
    X: numpy.typing.NDArray[numpy.float32],
    y: numpy.typing.NDArray[numpy.int64],
    training: GaussianTraining,
    progress: GaussianProgress,
    mean: numpy.typing.NDArray[numpy.float32],
    log_scale: numpy.typing.NDArray[numpy.float32],
    variance: numpy.typing.NDArray[numpy.float32],
    mean_moment: numpy.typing.NDArray[numpy.float32],
    log_scale_moment: numpy.typing.NDArray[numpy.float32],
    mean_second: typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None,
    log_scale_second: typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None,
    prior_mean: numpy.typing.NDArray[numpy.float32],
    prior_log_scale: typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None,
) -> GaussianEpoch:
    """
    One epoch; changes the arrays and `progress` in place.
    """

@typing.overload
def gaussian_mlp_train_epoch(
    architecture: GaussianArchitecture,
    X: numpy.typing.NDArray[numpy.float64],
    y: numpy.typing.NDArray[numpy.int64],
    training: GaussianTraining,
    progress: GaussianProgress,
    mean: numpy.typing.NDArray[numpy.float64],
    log_scale: numpy.typing.NDArray[numpy.float64],
    variance: numpy.typing.NDArray[numpy.float64],
    mean_moment: numpy.typing.NDArray[numpy.float64],
    log_scale_moment: numpy.typing.NDArray[numpy.float64],
    mean_second: typing.Annotated[numpy.typing.ArrayLike, numpy.float64] | None,
    log_scale_second: typing.Annotated[numpy.typing.ArrayLike, numpy.float64] | None,
    prior_mean: numpy.typing.NDArray[numpy.float64],
    prior_log_scale: typing.Annotated[numpy.typing.ArrayLike, numpy.float64] | None,
) -> GaussianEpoch:
    """
    One epoch; changes the arrays and `progress` in place.
    """

def hard_margin(
    K: numpy.typing.NDArray[numpy.float64],
    tol: typing.SupportsFloat | typing.SupportsIndex,
    max_exchanges: typing.SupportsInt | typing.SupportsIndex,
) -> tuple[numpy.typing.NDArray[numpy.float64], str, int, int]:
    """
    (alpha, end, sweeps, exchanges) of min 1/2 a'Ka - 1'a over a >= 0, K (n, n) symmetric.
    """

def kl_divergence(
    q: numpy.typing.NDArray[numpy.float64],
    p: numpy.typing.NDArray[numpy.float64],
    out: numpy.typing.NDArray[numpy.float64],
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> None:
    """
    out <- kl(q | p).
    """

def kl_inverse(
    risk: numpy.typing.NDArray[numpy.float64],
    budget: numpy.typing.NDArray[numpy.float64],
    out: numpy.typing.NDArray[numpy.float64],
    side: str,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> None:
    """
    out <- the p beyond `risk` with kl(risk | p) = budget, rounded outwards.
    """

def kl_inverse_gradient(
    risk: numpy.typing.NDArray[numpy.float64],
    budget: numpy.typing.NDArray[numpy.float64],
    out: numpy.typing.NDArray[numpy.float64],
    by_risk: numpy.typing.NDArray[numpy.float64],
    by_budget: numpy.typing.NDArray[numpy.float64],
    side: str,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> None:
    """
    The inverse and its derivatives by risk and budget.
    """

@typing.overload
def lanczos(
    basis: numpy.typing.NDArray[numpy.float32],
    start: typing.SupportsInt | typing.SupportsIndex,
    product: collections.abc.Callable,
    wanted: typing.SupportsInt | typing.SupportsIndex,
    which: str,
    tolerance: typing.SupportsFloat | typing.SupportsIndex,
    block: typing.SupportsInt | typing.SupportsIndex,
    max_products: typing.SupportsInt | typing.SupportsIndex,
    miss_probability: typing.SupportsFloat | typing.SupportsIndex,
    seed: typing.SupportsInt | typing.SupportsIndex,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> dict:
    """
    Extreme eigenpairs; basis (capacity, P) holds `start` start vectors, then the vectors. product(V, out): out <- V A for rows of the basis.
    """

@typing.overload
def lanczos(
    basis: numpy.typing.NDArray[numpy.float64],
    start: typing.SupportsInt | typing.SupportsIndex,
    product: collections.abc.Callable,
    wanted: typing.SupportsInt | typing.SupportsIndex,
    which: str,
    tolerance: typing.SupportsFloat | typing.SupportsIndex,
    block: typing.SupportsInt | typing.SupportsIndex,
    max_products: typing.SupportsInt | typing.SupportsIndex,
    miss_probability: typing.SupportsFloat | typing.SupportsIndex,
    seed: typing.SupportsInt | typing.SupportsIndex,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> dict:
    """
    Extreme eigenpairs; basis (capacity, P) holds `start` start vectors, then the vectors. product(V, out): out <- V A for rows of the basis.
    """

@typing.overload
def orthogonalise(
    V: numpy.typing.NDArray[numpy.float32],
    W: numpy.typing.NDArray[numpy.float32],
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]:
    """
    W <- W - (W V^T) V, twice, for orthonormal rows V (n, P); returns W V^T (s, n) and the norms left (s,).
    """

@typing.overload
def orthogonalise(
    V: numpy.typing.NDArray[numpy.float64],
    W: numpy.typing.NDArray[numpy.float64],
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]:
    """
    W <- W - (W V^T) V, twice, for orthonormal rows V (n, P); returns W V^T (s, n) and the norms left (s,).
    """

@typing.overload
def project(
    X: numpy.typing.NDArray[numpy.float32],
    center: numpy.typing.NDArray[numpy.float64],
    A: numpy.typing.NDArray[numpy.float64],
    Z: numpy.typing.NDArray[numpy.float64],
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> None:
    """
    Z (directions, n) <- A (X - center)^T, each entry with a fixed order of its additions.
    """

@typing.overload
def project(
    X: numpy.typing.NDArray[numpy.float64],
    center: numpy.typing.NDArray[numpy.float64],
    A: numpy.typing.NDArray[numpy.float64],
    Z: numpy.typing.NDArray[numpy.float64],
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> None:
    """
    Z (directions, n) <- A (X - center)^T, each entry with a fixed order of its additions.
    """

def relu_evaluate(
    q: numpy.typing.NDArray[numpy.float64],
    knots: numpy.typing.NDArray[numpy.float64],
    z: numpy.typing.NDArray[numpy.float64],
    Y: numpy.typing.NDArray[numpy.float64],
    slopes: numpy.typing.NDArray[numpy.float64],
    out: numpy.typing.NDArray[numpy.float64],
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> None:
    """
    out (m, targets) <- the interpolant at projections q (m,).
    """

def relu_interpolate(
    z: numpy.typing.NDArray[numpy.float64],
    Y: numpy.typing.NDArray[numpy.float64],
    first_knot: typing.SupportsFloat | typing.SupportsIndex,
    position: typing.SupportsFloat | typing.SupportsIndex,
) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]:
    """
    Knots (n,) and slopes (n, targets) through Y (n, targets) at ascending projections z (n,).
    """

def ridge_fit(
    Z: numpy.typing.NDArray[numpy.float64],
    y: numpy.typing.NDArray[numpy.float64],
    Z_test: numpy.typing.NDArray[numpy.float64],
    y_test: numpy.typing.NDArray[numpy.float64],
    penalty: typing.SupportsFloat | typing.SupportsIndex,
    predictions: bool = False,
) -> dict:
    """
    Ridge regression at one width: Z (n, N), y (targets, n); penalty > 0.
    """

def smallest_basis(
    size: typing.SupportsInt | typing.SupportsIndex,
    wanted: typing.SupportsInt | typing.SupportsIndex,
    start: typing.SupportsInt | typing.SupportsIndex,
    block: typing.SupportsInt | typing.SupportsIndex,
) -> int:
    """
    The fewest rows of a basis that `lanczos` takes.
    """

def sort_projections(
    Z: numpy.typing.NDArray[numpy.float64], threads: typing.SupportsInt | typing.SupportsIndex
) -> tuple[numpy.typing.NDArray[numpy.uint32], numpy.typing.NDArray[numpy.float64]]:
    """
    For each row of Z (directions, n), finite: the stable order, and the smallest positive gap over the range.
    """

__version__: str = "0.1.0"
blas: str = "scipy"
