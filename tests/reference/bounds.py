"""Bounds as the literature and released code state them, one number at a time, by math alone."""

import math


def kl(q, p):
    left = q * math.log(q / p) if q > 0 else 0.0
    return left + ((1 - q) * math.log((1 - q) / (1 - p)) if q < 1 else 0.0)


def bisect(f, low, high):
    """Return where f, positive at `low`, turns negative."""
    for _ in range(70):
        middle = (low + high) / 2
        low, high = (middle, high) if f(middle) > 0 else (low, middle)
    return high


def kl_inverse(q, c):
    return 1.0 if q >= 1 else bisect(lambda p: c - (kl(q, p) if p < 1 else math.inf), q, 1.0)


def xi(n):
    return sum(math.comb(n, k) * (k / n) ** k * (1 - k / n) ** (n - k) for k in range(n + 1))


def seeger(risk, divergence, n, delta):
    return kl_inverse(risk, (divergence + math.log(2 * math.sqrt(n) / delta)) / n)


def classic(risk, divergence, n, delta):
    return risk + math.sqrt((divergence + math.log(2 * math.sqrt(n) / delta)) / (2 * n))


def classic_minus_one(risk, divergence, n, delta):
    return risk + math.sqrt((divergence + math.log(n / delta)) / (2 * (n - 1)))


def classic_1999(risk, divergence, n, delta):
    return risk + math.sqrt((divergence + math.log(1 / delta) + 2.5 * math.log(n) + 8) / (2 * n - 1))


def thiemann(risk, divergence, n, delta):
    b = divergence + math.log(2 * math.sqrt(n) / delta)
    return min(
        risk / (1 - t / 2) + b / (n * t * (1 - t / 2)) for t in [2 / (math.sqrt(2 * n * risk / b + 1) + 1), 0.3, 1, 1.5]
    )


def quadratic(risk, divergence, n, delta):
    e = (divergence + math.log(2 * math.sqrt(n) / delta)) / (2 * n)
    return (math.sqrt(risk + e) + math.sqrt(e)) ** 2


def refined_pinsker(risk, divergence, n, delta):
    e = (divergence + math.log(2 * math.sqrt(n) / delta)) / n
    return risk + math.sqrt(2 * risk * e) + 2 * e


def catoni_for_all_gamma(risk, divergence, n, delta, alpha=1.0001):
    """Return the form for all gamma > 1, at the best of a fine grid."""

    def value(gamma):
        cost = divergence + math.log(1 / delta) + 2 * math.log(math.log(alpha**2 * gamma) / math.log(alpha))
        return math.expm1(-gamma / n * (risk + alpha / gamma * cost)) / math.expm1(-gamma / n)

    low, high = 0.01, math.log(40 * n)
    for _ in range(6):
        grid = [low + (high - low) * i / 60 for i in range(61)]
        best = min(range(61), key=lambda i: value(math.exp(grid[i])))
        low, high = grid[max(0, best - 1)], grid[min(60, best + 1)]
    return value(math.exp(low))


def dziugaite_roy(risk, divergence, n, delta, j=1):
    b = (divergence + 2 * math.log(j) + math.log(math.pi**2 * n / (6 * delta))) / (n - 1)
    return kl_inverse(risk, b)


def perez_ortiz(risk, divergence, n, delta, draws, delta_draws):
    return seeger(kl_inverse(risk, math.log(2 / delta_draws) / draws), divergence, n, delta)
