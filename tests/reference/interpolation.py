"""The 2n + d construction as the theorem reads: a triangular system, solved and summed in rational numbers."""

from fractions import Fraction
from itertools import pairwise


def biases(z, position):
    """Return b_1 = z_1 - (z_n - z_1), or z_1 - 1 for one point, and the interleaved others; z ascending fractions."""
    width = z[-1] - z[0] if len(z) > 1 else Fraction(1)
    return [z[0] - width] + [low + position * (high - low) for low, high in pairwise(z)]


def output_weights(z, y, b):
    """Return v of sum_j v_j (z_i - b_j)_+ = y_i by forward substitution."""
    v = []
    for i, target in enumerate(y):
        rest = target - sum((v[j] * max(z[i] - b[j], 0) for j in range(i)), Fraction(0))
        v.append(rest / (z[i] - b[i]))
    return v


def network(q, b, v):
    """Return the sum over neurons at a projection q."""
    return sum((weight * max(q - bias, 0) for weight, bias in zip(v, b, strict=True)), Fraction(0))
