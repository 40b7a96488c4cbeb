"""The spectrum of a kernel on a pool of points: an input of `eigenframework`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from . import _checks
from ._checks import Array


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues (M,), largest first, and target power (M,) or (T, M) of a kernel on a pool of M points."""

    eigenvalues: Array
    target_power: Array


def spectrum(kernel_matrix: ArrayLike, targets: ArrayLike) -> Spectrum:
    r"""Spectrum on a pool of M points: :math:`L_i = \lambda_i(K)/M` and :math:`v_i^2 = (u_i^\top y)^2/M`.

    The powers of one target sum to its mean square. Nothing is centred. Eigenvalues below the round-off of the solver,
    ``M * eps * max``, become exact zeros: the mode then cannot be learned, as it should be for a kernel of low rank.

    Parameters
    ----------
    kernel_matrix : array (M, M)
        Symmetric positive semi-definite, on all points of the pool.
    targets : array (M,) or (M, T)
        Values of one or T targets on the pool.

    Returns
    -------
    Spectrum
        Eigenvalues (M,), largest first; target power (M,), or (T, M) for T targets.

    Raises
    ------
    ValueError
        If the matrix is not square, symmetric and positive semi-definite, or the targets do not fit to it.

    Examples
    --------
    >>> pool = spectrum(np.diag([2.0, 8.0]), [1.0, 3.0])
    >>> pool.eigenvalues, pool.target_power
    (array([4., 1.]), array([4.5, 0.5]))
    """
    matrix, labels = _checks.real("kernel_matrix", kernel_matrix), _checks.real("targets", targets)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.size == 0:
        raise ValueError(f"kernel_matrix: got shape {matrix.shape}, expected (M, M); evaluate the kernel on all pairs")
    size = matrix.shape[0]
    if labels.ndim not in (1, 2) or labels.shape[0] != size:
        raise ValueError(f"targets: got shape {labels.shape}, expected ({size},) or ({size}, T); transpose if needed")
    asymmetry = float(np.abs(matrix - matrix.T).max())
    if not asymmetry <= 1e-8 * float(np.abs(matrix).max()):
        raise ValueError(f"kernel_matrix: got asymmetry {asymmetry:g}, expected a symmetric matrix; use (K + K.T) / 2")
    values, vectors = np.linalg.eigh(matrix)
    values, vectors = values[::-1], vectors[:, ::-1]
    precision = float(np.finfo(np.float64).eps)
    if not values[-1] >= -np.sqrt(precision) * values[0]:
        raise ValueError(
            f"kernel_matrix: got eigenvalue {values[-1]:g}, expected positive semi-definite; is it a distance matrix?"
        )
    eigenvalues = np.where(values > size * precision * values[0], values, 0.0) / size
    return Spectrum(eigenvalues, (labels.T @ vectors) ** 2 / size)
