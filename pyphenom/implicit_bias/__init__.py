"""Where gradient descent on separable data goes: descent to very long times, and the limits to compare it with."""

from pyphenom.implicit_bias.cnn import CNNDescent, cnn_descent
from pyphenom.implicit_bias.hard_margin import HardMargin, hard_margin

__all__ = ["CNNDescent", "HardMargin", "cnn_descent", "hard_margin"]
