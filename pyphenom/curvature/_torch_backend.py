"""What computes the products of one batch."""

from __future__ import annotations

from typing import Protocol

from pyphenom._arrays import Float


class Products(Protocol):
    """Products on one batch at one parameter vector; sums over its samples. Blocks hold one vector a row."""

    size: int
    """P, the number of parameters."""
    samples: int
    """n"""
    outputs: Float
    """(n, C), flattened to C a sample; `output_shape` (n, ...) is as the model gives them."""
    output_shape: tuple[int, ...]
    loss: float

    def gradient(self) -> Float:
        """Return the gradient (P,)."""

    def hessian(self, V: Float) -> Float:
        """Return V H for rows V (K, P)."""

    def ggn(self, V: Float) -> Float:
        """Return V G for rows V (K, P)."""

    def jacobian(self, V: Float) -> Float:
        """Return J v for rows V (K, P), as (K, n, C)."""

    def jacobian_transpose(self, U: Float) -> Float:
        """Return the transpose of J times each of U (K, n, C), as (K, P)."""
