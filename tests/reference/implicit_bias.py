"""Full-batch descent as the formulas read, in floats or, with `MP`, in as many digits as mpmath is told to carry."""

from types import SimpleNamespace

import mpmath
import numpy as np


def entrywise(function):
    return lambda x: np.asarray(np.frompyfunc(function, 1, 1)(x))


FLOATS = SimpleNamespace(exp=np.exp, log1p=np.log1p, sqrt=np.sqrt, number=float)
MP = SimpleNamespace(
    exp=entrywise(mpmath.exp), log1p=entrywise(mpmath.log1p), sqrt=entrywise(mpmath.sqrt), number=mpmath.mpf
)


def array(values, of):
    return np.array(values) if of is FLOATS else np.vectorize(of.number, otypes=[object])(values)


def loss_and_slope(m, loss, of):
    """Return l(m) and -l'(m)."""
    if loss == "exponential":
        return of.exp(-m), of.exp(-m)
    if loss == "logistic":
        return of.log1p(of.exp(-m)), 1 / (1 + of.exp(m))
    return (1 - m) ** 2 / 2, 1 - m


def mean_loss_and_gradient(A, w, loss, of):
    n = len(A)
    values, slopes = loss_and_slope(A @ w, loss, of)
    return values.sum() / n, -(A.T @ slopes) / n


def descend(A, w, steps, step_size, method, loss, of=FLOATS, decay=0, **constants):
    """Return w, or (w, g) with batch norm, after `steps` steps of a method; A has the rows y_i x_i."""
    A, w = array(A, of), array(w, of)
    first, second, b = 0 * w, 0 * w, 0 * w
    g = of.number(constants.get("gain", 1))
    for t in range(steps):
        eta = of.number(step_size) * of.number(t + 1) ** of.number(-decay)
        value, gradient = mean_loss_and_gradient(A, w, loss, of)
        if method == "gradient":
            w = w - eta * gradient
        elif method == "momentum":
            mu = of.number(constants["momentum"])
            b = mu * b + gradient
            w = w - eta * (gradient + mu * b if constants.get("nesterov") else b)
        elif method == "normalized":
            w = w - eta * gradient / value
        elif method == "accelerated":
            if t > 0:
                b = of.number(t - 1) / of.number(t) * (b + gradient / value)
            w = w - eta * (b + gradient / value)
        elif method == "adam":
            beta1, beta2 = of.number(constants["beta1"]), of.number(constants["beta2"])
            first = beta1 * first + (1 - beta1) * gradient
            second = beta2 * second + (1 - beta2) * gradient**2
            size = of.sqrt(second / (1 - beta2 ** (t + 1))) + of.number(constants.get("epsilon", 0))
            safe = np.where(size == 0, of.number(1), size)
            w = w - eta * first / (1 - beta1 ** (t + 1)) / safe
        elif method == "batch_norm":
            # The gradient of L(g w / |w|_S), S = A'A / n, by the chain rule: g / |w|_S (I - S w w' / w'Sw) grad L.
            S = A.T @ A / len(A)
            size = of.sqrt(w @ S @ w)
            _, effective = mean_loss_and_gradient(A, g * w / size, loss, of)
            by_w = g / size * (effective - S @ w * (w @ effective) / size**2)
            w, g = w - eta * by_w, g - eta * (w @ effective) / size
    return (w, g) if method == "batch_norm" else w
