"""
Compiled kernels of pyphenom; use them through the Python packages that carry their names.
"""

from __future__ import annotations
import numpy
import numpy.typing
import typing

__all__: list[str] = ["WidthPath", "blas", "cuda_available", "draw_weights", "features", "ridge_fit"]

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
        even: bool,
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

def cuda_available() -> bool:
    """
    Whether this build holds CUDA kernels.
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

@typing.overload
def features(
    X: numpy.typing.NDArray[numpy.float32],
    W: numpy.typing.NDArray[numpy.float32],
    bias: numpy.typing.NDArray[numpy.float32],
    out: numpy.typing.NDArray[numpy.float32],
    activation: str,
    biased: bool,
    feature_major: bool,
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
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> None:
    """
    out <- activation(X W^T + bias), or its transpose with `feature_major`.
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

__version__: str = "0.1.0"
blas: str = "scipy"
