"""MNIST-1D, generated on the spot."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.ndimage import gaussian_filter1d

from pyphenom._arrays import as_integer
from pyphenom.data.images import Images


@lru_cache(maxsize=8)
def _generate(samples: int, seed: int) -> Images:
    """Return the set of the authors' package to the last bit.

    Its own loop builds four interpolators for each signal and filters signal by signal, which takes six times as
    long; here only what depends on the order of the draws is done one by one.
    """
    from mnist1d.data import get_dataset_args, get_templates  # it imports matplotlib and requests

    given, templates = get_dataset_args(), get_templates()
    rng = np.random.RandomState(seed)
    shortest, longest = given.padding
    length = given.template_len + longest
    grid = np.linspace(0.0, 1.0, length)
    labels = np.repeat(templates["y"], samples // len(templates["y"]))
    clean, blurred, white, slopes = np.zeros((4, samples, length))
    for k, template in enumerate(templates["x"][labels]):
        padded = np.zeros(given.template_len + shortest + int(rng.rand() * (longest - shortest + 1)))
        padded[: given.template_len] = template
        padded[: given.template_len] += 1e-8  # what is 0 is padding, and becomes noise
        clean[k] = np.interp(grid, np.linspace(0.0, 1.0, len(padded)), padded)
        clean[k] *= 1.0 + given.scale_coeff * (rng.rand() - 0.5)
        clean[k] = np.roll(clean[k], rng.choice(given.max_translation))
        blurred[k], white[k] = rng.randn(2, length)
        slopes[k] = given.shear_scale * (rng.rand() - 0.5)
    noise = gaussian_filter1d(given.corr_noise_scale * blurred, 2.0)
    signals = np.where(clean != 0.0, clean, noise) + given.iid_noise_scale * white
    signals -= slopes * np.linspace(-0.5, 0.5, length)
    short = np.linspace(0.0, 1.0, given.final_seq_length)
    order = rng.permutation(samples)
    pixels = np.stack([np.interp(short, grid, signal) for signal in signals])[order]
    return Images((pixels - pixels.mean()) / pixels.std(), labels[order])


def mnist1d(samples: int = 5000, seed: int = 42) -> Images:
    """Return MNIST-1D: ten classes of signals of length 40, a template each, moved, scaled, sheared and noisy.

    The numbers are those of the authors' package `mnist1d`, offline; the default is that package's own. Rows come in
    random order, and the standard split is the first 4000 for training and the last 1000 for testing. Every signal
    depends on all arguments: 1000 samples are no subset of 5000.

    Parameters
    ----------
    samples : int
        Number of signals, a multiple of 10: all classes have the same size. The last eight sets are kept for
        the next call.
    seed : int
        Of the generator, below 2**32.

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
    made = _generate(samples, seed)
    return Images(made.pixels.copy(), made.labels.copy())
