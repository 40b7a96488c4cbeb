"""The binary relative entropy in 50 digits, and on which side of it a budget lies, for many points."""

import mpmath
import numpy as np

DIGITS = 50


def kl(q, p):
    """Return kl(q | p) of two floats, by the definition."""
    with mpmath.workdps(DIGITS):
        # The logarithms cancel to about (p - q)^2: as many digits more.
        gap = abs(mpmath.mpf(p) - mpmath.mpf(q))
        lost = 0 if gap == 0 else int(-mpmath.log10(gap / max(q, p, 1e-300))) + int(-mpmath.log10(max(q, p, 1e-300)))
        with mpmath.workdps(DIGITS + 2 * max(0, lost)):
            q, p, total = mpmath.mpf(q), mpmath.mpf(p), mpmath.mpf(0)
            if q > 0:
                total += q * mpmath.log(q / p) if p > 0 else mpmath.inf
            if q < 1:
                total += (1 - q) * mpmath.log((1 - q) / (1 - p)) if p < 1 else mpmath.inf
            return total


def inverse(q, c, side="upper"):
    """Return the inverse, by bisection of the logarithm of its distance from q; exact to 1e-50 of that distance."""
    with mpmath.workdps(4 * DIGITS):
        q, sign = mpmath.mpf(q), 1 if side == "upper" else -1
        low, high = mpmath.mpf(-800), mpmath.log(1 - q if side == "upper" else q)
        for _ in range(180):
            middle = (low + high) / 2
            p = q + sign * mpmath.exp(middle)
            value = q * mpmath.log(q / p) if q > 0 else 0
            value += (1 - q) * mpmath.log((1 - q) / (1 - p)) if q < 1 else 0
            low, high = (middle, high) if value <= c else (low, middle)
        return q + sign * mpmath.exp(low)


def _phi(x, y):
    """Return x - ln y for y = 1 + x, in long double."""
    small = np.abs(x) < 0.05
    t = np.where(small, x, 0)
    series = np.zeros_like(x)
    for j in range(17, 1, -1):
        series = (np.longdouble(1) / j if j % 2 == 0 else -np.longdouble(1) / j) + t * series
    return np.where(small, t * t * series, x - np.log(np.where(small, 1, y)))


def sign(q, p, c):
    """Return the sign of kl(q | p) - c for arrays of floats, without error.

    Long double decides where its own error leaves no doubt, 50 digits the rest.
    """
    q, p, c = (np.asarray(a, dtype=np.float64) for a in (q, p, c))
    with np.errstate(all="ignore"):
        a, s, one = q.astype(np.longdouble), p.astype(np.longdouble), np.longdouble(1)
        value = np.where(q > 0, a * _phi((s - a) / a, s / a), s - a)
        value = value + np.where(q < 1, (one - a) * _phi((a - s) / (one - a), (one - s) / (one - a)), a - s)
        excess = value / c - 1
    inside = (p > 0) & (p < 1)
    clear = np.abs(excess) > 100 * np.finfo(np.longdouble).eps
    result = np.where(inside, np.sign(np.where(clear, excess, 0)), np.where(p == q, -1, 1)).astype(int)
    doubtful = np.flatnonzero(inside & ~clear)
    for i in doubtful:
        result[i] = int(mpmath.sign(kl(q[i], p[i]) - mpmath.mpf(c[i])))
    return result
