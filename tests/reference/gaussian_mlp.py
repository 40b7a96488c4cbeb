"""A Gaussian network in plain loops: its noise from Philox words, one example and one unit at a time.

The normals of a layer's units come four to a counter (unit // 4, kind << 16 | layer, example, repetition): the words
(u, v) of a pair give sqrt(-2 ln u) cos(2 pi v) and sqrt(-2 ln u) sin(2 pi v), u and v centred in their cells.
"""

import math

import numpy as np
import scipy.optimize
import scipy.special
from philox import philox4x32

TRAINING, CERTIFICATION, ORDER = 1, 2, 3


def words(seed, counter):
    return philox4x32(counter, (seed & 0xFFFFFFFF, seed >> 32))


def normals(seed, kind, repetition, layer, example, count):
    drawn = []
    for block in range((count + 3) // 4):
        w = words(seed, (block, kind << 16 | layer, example, repetition))
        for u, v in ((w[0], w[1]), (w[2], w[3])):
            radius = math.sqrt(-2.0 * math.log((u + 0.5) / 2**32))
            angle = 2.0 * math.pi * (v + 0.5) / 2**32
            drawn += [radius * math.cos(angle), radius * math.sin(angle)]
    return drawn[:count]


def order(seed, epoch, n):
    """The examples of an epoch, sorted by 64 random bits each."""

    def key(i):
        w = words(seed, (i // 2, ORDER << 16, epoch & 0xFFFFFFFF, epoch >> 32))
        return (w[2 * (i % 2)] << 32 | w[2 * (i % 2) + 1], i)

    return sorted(range(n), key=key)


ACTIVATIONS = {
    "relu": lambda z: max(z, 0.0),
    "leaky_relu": lambda z: z if z > 0 else 0.01 * z,
    "tanh": math.tanh,
    "sigmoid": lambda z: 1.0 / (1.0 + math.exp(-z)),
    "gelu": lambda z: 0.5 * z * (1.0 + math.erf(z / math.sqrt(2.0))),
    "gelu_tanh": lambda z: 0.5 * z * (1.0 + math.tanh(math.sqrt(2.0 / math.pi) * (z + 0.044715 * z**3))),
    "silu": lambda z: z / (1.0 + math.exp(-z)),
    "identity": lambda z: z,
}


def outputs(network, x, noise, sign=1.0):
    """The outputs for one input, with ``noise(layer, count)`` the normals of a layer."""
    h = [float(value) for value in x]
    layers = len(network.widths) - 1
    for layer in range(layers):
        W, b, rho, rho_b = network.layer(layer)
        e, z = noise(layer, len(b)), []
        for j in range(len(b)):
            mean, variance = float(b[j]), math.exp(2.0 * float(rho_b[j]))
            for k, a in enumerate(h):
                mean += float(W[j, k]) * a
                variance += math.exp(2.0 * float(rho[j, k])) * a * a
            z.append(mean + math.sqrt(variance) * sign * e[j])
        h = z if layer == layers - 1 else [ACTIVATIONS[network.activation](u) for u in z]
    return h


def draw(network, X, seed, kind, repetition, sign=1.0):
    """The outputs of every row of X, each with a network of its own."""
    rows = []
    for i, x in enumerate(X):
        rows.append(
            outputs(network, x, lambda layer, count, i=i: normals(seed, kind, repetition, layer, i, count), sign)
        )
    return np.array(rows)


def loss(z, y, pmin):
    """min(-ln p_y, ln 1/pmin) / ln 1/pmin."""
    log_p = z[y] - scipy.special.logsumexp(z)
    return min(-log_p, -math.log(pmin)) / -math.log(pmin)


def kl(posterior, prior):
    """In nats, by the naive formula."""
    s, s0 = np.exp(2.0 * np.float64(posterior.log_scale)), np.exp(2.0 * np.float64(prior.log_scale))
    d = np.float64(posterior.mean) - np.float64(prior.mean)
    return 0.5 * float(np.sum(s / s0 - 1.0 - np.log(s / s0) + d**2 / s0))


def binary_kl(q, p):
    return scipy.special.rel_entr(q, p) + scipy.special.rel_entr(1.0 - q, 1.0 - p)


def objective(name, risk, divergence, n, delta, catoni=2.0, lambda_=1.0, log_variance=0.0):
    """The value of an objective."""
    budget = divergence + math.log(2.0 * math.sqrt(n) / delta)
    if name == "classic":
        return risk + math.sqrt(budget / (2 * n))
    if name == "quadratic":
        return (math.sqrt(risk + budget / (2 * n)) + math.sqrt(budget / (2 * n))) ** 2
    if name == "lambda":
        return risk / (1 - lambda_ / 2) + budget / (n * lambda_ * (1 - lambda_ / 2))
    if name == "catoni":
        return (1 - math.exp(-catoni * risk - (divergence + math.log(1 / delta)) / n)) / (1 - math.exp(-catoni))
    if name == "kl":
        return scipy.optimize.brentq(lambda p: binary_kl(risk, p) - budget / n, risk, 1.0 - 1e-15, xtol=1e-16)
    assert name == "dziugaite_roy"
    price = 2 * math.log(100 * (math.log(0.1) - log_variance)) + math.log(math.pi**2 * n / (6 * delta))
    return risk + math.sqrt((divergence + price) / (n - 1) / 2)
