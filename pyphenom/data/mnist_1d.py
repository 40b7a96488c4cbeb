"""MNIST-1D, generated on the spot."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
from numpy.random.mtrand import get_bit_generator, set_bit_generator

from pyphenom._arrays import as_integer
from pyphenom.data.images import Images

# Threads of one process must not take turns at the global generators: that would change the data.
_GENERATING = threading.Lock()


@contextmanager
def _global_generators_kept() -> Iterator[None]:
    """Lend NumPy's and Python's global generators, and give them back as they were."""
    python, state, generator = random.getstate(), np.random.get_state(legacy=False), get_bit_generator()
    # The package seeds the global generator, which only the legacy one allows; the caller's may be another.
    set_bit_generator(np.random.MT19937())
    try:
        yield
    finally:
        set_bit_generator(generator)
        np.random.set_state(state)
        random.setstate(python)


@lru_cache(maxsize=8)
def _generate(samples: int, seed: int) -> Images:
    from mnist1d.data import get_dataset_args, make_dataset  # it imports matplotlib and requests

    arguments = get_dataset_args()
    arguments.num_samples, arguments.seed = samples, seed
    with _global_generators_kept():
        parts = make_dataset(arguments)
    return Images(np.concatenate([parts["x"], parts["x_test"]]), np.concatenate([parts["y"], parts["y_test"]]))


def mnist1d(samples: int = 5000, seed: int = 42) -> Images:
    """Return MNIST-1D: ten classes of signals of length 40, a template each, moved, scaled, sheared and noisy.

    The authors' package `mnist1d` makes it, offline; the default is that package's own. Rows come in random order, and
    the standard split is the first 4000 for training and the last 1000 for testing. Every signal depends on all
    arguments: 1000 samples are no subset of 5000.

    Parameters
    ----------
    samples : int
        Number of signals, a multiple of 10: all classes have the same size. 5000 take about a second; the last eight
        sets are kept for the next call.
    seed : int
        Of the generator, below 2**32. While a set is made, other threads must not draw from NumPy's or
        Python's global generators; afterwards these are as they were.

    Returns
    -------
    Images
        Signals with mean 0 and variance 1 over all of them, as rows of 40. The arrays are the caller's own.

    Raises
    ------
    TypeError, ValueError
        If an argument is no integer or out of range, or if the samples are no multiple of 10.

    References
    ----------
    Greydanus and Kobak, "Scaling down deep learning with MNIST-1D", ICML 2024.

    Examples
    --------
    >>> signals = mnist1d()
    >>> train, test = signals[:4000], signals[4000:]
    >>> train.pixels.shape, test.pixels.shape
    ((4000, 40), (1000, 40))
    """
    samples, seed = as_integer("samples", samples, 10), as_integer("seed", seed, 0, 2**32 - 1)
    if samples % 10:
        raise ValueError(f"`samples` is {samples}; expected a multiple of 10. Take {samples - samples % 10}")
    with _GENERATING:
        made = _generate(samples, seed)
    return Images(made.pixels.copy(), made.labels.copy())
