r"""Kernel and random-feature regression predicted from a measured spectrum.

One formula serves kernels and finite widths, fresh data and a finite pool of points. Let :math:`L_i` be the
eigenvalues of the kernel, :math:`v_i^2` the power of the target in mode :math:`i`, :math:`\delta` the penalty,
:math:`\sigma^2` the label noise, :math:`n` samples, :math:`k` features, :math:`M` points in the population. The
effective ridge :math:`g` solves

.. math:: (n - z)(k - z)\, g = \delta k\,(1 - z/M), \qquad z = \sum_i \frac{L_i}{L_i + g},

and with :math:`a = n - z`, :math:`b = k - z`, :math:`e = \sum_i gL_i/(L_i+g)^2`, :math:`q_A = z - \frac{eb}{b+e}`,

.. math::
    A = \sum_i \frac{g\,(g + \frac{e}{b+e} L_i)}{(L_i+g)^2}\, v_i^2, \qquad
    G = \Bigl(1-\frac nM\Bigr)\Bigl(a + \frac{eb}{b+e}\Bigr) + \frac{a^2}{M}, \qquad
    \text{risk} = \frac{nA}{G} + \sigma^2\,\frac{q_A - z^2/M}{G}, \qquad
    \text{train} = \Bigl(\frac an\Bigr)^2 (\text{risk} + \sigma^2).

Every term of A and G is non-negative, so nothing cancels near the interpolation threshold. At :math:`M = \infty` it
is the theory of Simon et al., whose :math:`D` is :math:`1 - G/n`.

Derivation for a finite population (derived here, checked by simulation in the tests). :math:`n` of :math:`M` points
are drawn without replacement; :math:`P` projects on them and :math:`K` is the kernel matrix of the pool, of
eigenvalues :math:`\lambda_i = M L_i`. The vector of residuals :math:`r` (of training points and of held-out points)
is the limit :math:`h\to\infty` of :math:`D(K+D)^{-1}y` with :math:`D = \delta P + h(1-P)`: an infinite ridge on a
point leaves it out. If the eigenvectors are free of :math:`P` (Haar), then :math:`(K+D)^{-1} \simeq (K+c)^{-1}` where
:math:`c` obeys, with :math:`\tau_j = \frac1M\mathrm{tr}(K+c)^{-j}` and :math:`c + c_2 = 1/\tau_1`,

.. math:: \frac{n/M}{\delta + c_2} + \frac{1 - n/M}{h + c_2} = \tau_1 \quad\to\quad (c - \delta)\,\tau_1 = 1 - n/M,

that is :math:`(n - z)\,c = \delta (M - z)`. Differentiating :math:`y^\top(K+D)^{-1}y \simeq y^\top(K+c)^{-1}y` by
:math:`\delta` gives the training residuals, :math:`|Pr|^2 = \delta^2 \frac{dc}{d\delta}\, y^\top(K+c)^{-2}y`, and by
:math:`h` the held-out ones, :math:`|(1-P)r|^2 = \lim h^2 \frac{dc}{dh}\, y^\top(K+c)^{-2}y`. With :math:`Mc^2\tau_2 =
M - 2z + q_A` and :math:`MA = c^2 y^\top(K+c)^{-2}y` both are explicit, and

.. math::
    \frac{|(1-P)r|^2}{M-n} = \frac{nMA}{(M-z)^2 - (M-n)(M-2z+q_A)} = \frac{nA}{G}, \qquad
    \frac{|Pr|^2}{n} = \Bigl(\frac an\Bigr)^2 \frac{|(1-P)r|^2}{M-n} .

:math:`k` features replace :math:`K` by :math:`ZZ^\top/k` of mean :math:`K`; their own equivalent adds :math:`c = M g
(1 - z/k)`, and turns :math:`q` into :math:`q_A`. Label noise on the training points acts like power
:math:`\sigma^2/M` in each of the :math:`M` modes, also those of zero eigenvalue.

What the theory assumes is that eigenvectors are spread over the points like random directions. Data with rare features
(pixels that are almost always zero) have eigenvectors that sit on few points, and without a penalty the test error then
comes out too low, most of all next to the threshold. On 8x8 digit images as they are, measured errors exceed predicted
ones by 10 to 40% at most widths; on the same images centred and scaled to the sphere they agree to within 10%.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _checks, _modes
from ._checks import Array, Values
from .expected_kernels import arc_cosine_kernel, expected_kernel
from .risk import describe

__all__ = [
    "EigenRisk",
    "Spectrum",
    "VarianceDecomposition",
    "arc_cosine_kernel",
    "expected_kernel",
    "kernel_regression",
    "random_feature_regression",
    "spectrum",
    "variance_decomposition",
]


@dataclass(frozen=True, eq=False, repr=False)
class EigenRisk:
    """Prediction of the eigenvalue framework; floats for scalar parameters, else arrays of the broadcast shape.

    Attributes
    ----------
    bias, variance : float or array
        Excess risk on unseen points without label noise, and its part proportional to the noise variance.
    train_error : float or array
        Mean squared residual on the training labels, their noise included.
    effective_ridge : float or array
        g: mode i is learned to the fraction ``L_i / (L_i + g)``. In the units of the eigenvalues.
    degrees_of_freedom : float or array
        z, the sum of these fractions.
    sample_ridge : float or array
        kappa = g (1 - z/width), the ridge of the features at hand (of size `width`); equal to g for a kernel.
    residual : float or array
        Relative residual of the fixed point.
    """

    bias: Values
    variance: Values
    train_error: Values
    effective_ridge: Values
    degrees_of_freedom: Values
    sample_ridge: Values
    residual: Values

    @property
    def test_error(self) -> Values:
        """Excess risk on unseen points against noise-free labels: bias plus variance."""
        return self.bias + self.variance

    def to_dict(self) -> dict[str, Values]:
        """Return the test error and the fields by name, ready for a table."""
        return {"test_error": self.test_error} | {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __repr__(self) -> str:
        return describe("EigenRisk", self.to_dict())


@dataclass(frozen=True, eq=False, repr=False)
class VarianceDecomposition:
    r"""The excess risk of random features, split over initialisation P, inputs X and label noise E of the training set.

    A two-way (here three-way) analysis of variance of the prediction: `bias` is the squared error of its mean, the
    other terms are the variances of the main effects and of the interactions, averaged over fresh points. The label
    noise alone, and with the initialisation alone, has no effect: without the inputs its mean is zero.

    Attributes
    ----------
    bias : float or array
        :math:`B`, what the mean over everything misses.
    initialisation : float or array
        :math:`V_P`, of the random features.
    sample : float or array
        :math:`V_X`, of the training inputs.
    initialisation_sample : float or array
        :math:`V_{PX}`, of both together beyond the sum of their own effects.
    sample_label : float or array
        :math:`V_{XE}`.
    initialisation_sample_label : float or array
        :math:`V_{PXE}`.
    residual : float or array
        Relative residual of the fixed point.
    """

    bias: Values
    initialisation: Values
    sample: Values
    initialisation_sample: Values
    sample_label: Values
    initialisation_sample_label: Values
    residual: Values

    @property
    def total(self) -> Values:
        """Excess risk of one predictor: the sum of the six terms."""
        return self.averaged()

    def averaged(self, initialisations: float = 1, samples: float = 1) -> Values:
        r"""Excess risk of the mean of predictors over K initialisations times M training sets, all pairs.

        .. math:: B + \frac{V_P}{K} + \frac{V_X + V_{XE}}{M} + \frac{V_{PX} + V_{PXE}}{KM}

        K > 1 with one training set is an ensemble, M > 1 with one initialisation is bagging with fresh data. Each
        training set has its own labels. ``inf`` gives the limit.

        Raises
        ------
        ValueError, TypeError
            For counts that are not positive.

        Examples
        --------
        >>> split = VarianceDecomposition(1.0, 2.0, 0.0, 4.0, 0.0, 0.0, 0.0)
        >>> split.total, split.averaged(initialisations=2), split.averaged(initialisations=2, samples=2)
        (7.0, 4.0, 3.0)
        """
        k = float(_checks.positive("initialisations", initialisations, infinite=True))
        m = float(_checks.positive("samples", samples, infinite=True))
        main_effects = _share(self.initialisation, k) + _share(self.sample + self.sample_label, m)
        return self.bias + main_effects + _share(self.initialisation_sample + self.initialisation_sample_label, k * m)

    def to_dict(self) -> dict[str, Values]:
        """Return the total and the fields by name, ready for a table."""
        return {"total": self.total} | {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __repr__(self) -> str:
        return describe("VarianceDecomposition", self.to_dict())


def _share(value: Values, count: float) -> Values:
    """Divide; over infinitely many nothing remains, not even of an infinite term."""
    return _checks.unwrap(np.zeros(np.shape(value))) if np.isinf(count) else value / count


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues (M,), largest first, and target power (M,) or (T, M) of a kernel on a pool of M points."""

    eigenvalues: Array
    target_power: Array


def kernel_regression(
    eigenvalues: ArrayLike,
    target_power: ArrayLike,
    n: ArrayLike,
    penalty: ArrayLike = 0.0,
    noise_variance: ArrayLike = 0.0,
    tail_eigenvalue: ArrayLike = 0.0,
    tail_power: ArrayLike = 0.0,
    population: ArrayLike = np.inf,
) -> EigenRisk:
    r"""Risk of kernel ridge regression :math:`\hat f(x) = k(x, X)(K + \delta I)^{-1}y` from the kernel's spectrum.

    .. math::
        n = \sum_i \frac{L_i}{L_i+\kappa} + \frac{\delta}{\kappa}, \qquad
        R + \sigma^2 = \frac{n}{n - \sum_i L_i^2/(L_i+\kappa)^2}
        \Bigl[\sum_i \frac{\kappa^2 v_i^2}{(L_i+\kappa)^2} + \sigma^2\Bigr]

    for an infinite population; the module's head has the general case.

    Parameters
    ----------
    eigenvalues : array (p,)
        Eigenvalues of the kernel's integral operator (or of the kernel matrix of a pool divided by its size).
    target_power : array (p,) or (..., p)
        Squared coefficient of the noise-free target in each mode; leading axes broadcast with the other parameters.
    n : float or array
        Number of training points.
    penalty : float or array
        :math:`\delta`, added to the diagonal of the kernel matrix as it stands: **not** scaled by n. A `ridge` in
        this package's convention is ``penalty = n * ridge``. Zero is the limit from above (interpolation); ``inf``
        predicts zero.
    noise_variance : float or array
        :math:`\sigma^2`, on the training labels only.
    tail_eigenvalue : float or array
        Sum of the eigenvalues that are not listed: infinitely many tiny ones, or, for a finite population,
        ``population - p`` equal ones.
    tail_power : float or array
        Target power in that tail (or outside the kernel's span).
    population : float or array
        Number of points of the pool on which the eigenvalues were measured and from which the training points are
        drawn without replacement; the test error is then the error on the held-out points. ``inf`` for fresh data.

    Returns
    -------
    EigenRisk
        Its `test_error` excludes the label noise, its `train_error` includes it.

    Raises
    ------
    ValueError
        If a parameter is out of range, the shapes disagree, or the population is not larger than n and p allow.

    References
    ----------
    Canatar, Bordelon, Pehlevan 2021; Simon, Dickens, Karkada, DeWeese 2023, the eigenlearning equations.

    Examples
    --------
    >>> power_law = np.arange(1.0, 2001.0) ** -2
    >>> risk = kernel_regression(power_law, power_law, [50, 100], penalty=1e-3, noise_variance=0.01)
    >>> risk.test_error.round(5)
    array([0.05701, 0.03298])
    """
    return random_feature_regression(
        eigenvalues, target_power, n, np.inf, penalty, noise_variance, tail_eigenvalue, tail_power, population
    )


def random_feature_regression(
    eigenvalues: ArrayLike,
    target_power: ArrayLike,
    n: ArrayLike,
    width: ArrayLike,
    penalty: ArrayLike = 0.0,
    noise_variance: ArrayLike = 0.0,
    tail_eigenvalue: ArrayLike = 0.0,
    tail_power: ArrayLike = 0.0,
    population: ArrayLike = np.inf,
) -> EigenRisk:
    r"""Risk of ridge regression on k random features from the spectrum of their mean kernel :math:`E\,ZZ^\top/k`.

    The predictor is kernel ridge with the matrix :math:`ZZ^\top/k + \delta I`; formulas in the module's head.

    Parameters
    ----------
    eigenvalues, target_power, n, noise_variance, tail_eigenvalue, tail_power, population
        As in `kernel_regression`; the eigenvalues are those of the mean kernel.
    width : float or array
        Number of random features k; ``inf`` is the kernel.
    penalty : float or array
        :math:`\delta` in :math:`ZZ^\top/k + \delta I`. A penalty :math:`\ell|a|^2` beside :math:`|y - Za|^2` is
        :math:`\delta = \ell/k`.

    Returns
    -------
    EigenRisk
        ``inf`` at zero penalty where n = width (and both are below the number of modes), and where n is the number of
        modes, the width not smaller, and there is noise.

    Raises
    ------
    ValueError
        As in `kernel_regression`.

    References
    ----------
    Simon, Karkada, Ghosh, Belkin 2023, the random-feature eigenframework. Finite population: the module's head.

    Examples
    --------
    >>> power_law = np.arange(1.0, 2001.0) ** -2
    >>> risk = random_feature_regression(power_law, power_law, 100, 200, penalty=1e-3, noise_variance=0.01)
    >>> round(risk.test_error, 9), round(risk.train_error, 10), round(risk.degrees_of_freedom, 6)
    (0.057342108, 0.0003211871, 93.093855)
    """
    at = _solve(eigenvalues, target_power, n, width, penalty, noise_variance, tail_eigenvalue, tail_power, population)
    point, share = at.point, at.point.feature_share
    a = point.sample_gap
    amplitude = at.power(
        point.missed * (point.missed + share[..., None] * point.learned),
        point.tail_missed * (point.tail_missed + share * (1.0 - point.tail_missed)),
    )
    gap = (1.0 - at.n / at.population) * (a + point.spread_used) + a**2 / at.population
    q = point.squares + point.spread * share
    # q >= z^2/M by Cauchy-Schwarz; equality (a kernel proportional to the identity) may round below zero.
    noise_gain = _ratio(np.maximum(q - point.degrees**2 / at.population, 0.0), gap)
    bias, variance = _ratio(at.n * amplitude, gap), _checks.times(noise_gain, at.noise)
    # Zero-penalty interpolation fits exactly, also where the test error is infinite.
    with np.errstate(invalid="ignore"):
        train = np.where(a > 0, (a / at.n) ** 2 * (bias + variance + at.noise), 0.0)
    kernel = np.isinf(at.width)
    sample_ridge = point.ridge * np.where(kernel, 1.0, point.feature_gap / np.where(kernel, 1.0, at.width))
    return EigenRisk(
        bias=_checks.unwrap(bias, at.shape),
        variance=_checks.unwrap(variance, at.shape),
        train_error=_checks.unwrap(train, at.shape),
        effective_ridge=_checks.unwrap(point.ridge, at.shape),
        degrees_of_freedom=_checks.unwrap(point.degrees, at.shape),
        sample_ridge=_checks.unwrap(sample_ridge, at.shape),
        residual=_checks.unwrap(point.residual, at.shape),
    )


def variance_decomposition(
    eigenvalues: ArrayLike,
    target_power: ArrayLike,
    n: ArrayLike,
    width: ArrayLike,
    penalty: ArrayLike = 0.0,
    noise_variance: ArrayLike = 0.0,
    tail_eigenvalue: ArrayLike = 0.0,
    tail_power: ArrayLike = 0.0,
) -> VarianceDecomposition:
    r"""Split the risk of random-feature regression by the randomness that causes it.

    With :math:`A` and :math:`q_A` of the module's head and :math:`B = \sum_i \frac{g^2v_i^2}{(L_i+g)^2} + v_T^2`,

    .. math::
        V_P &= A - B, & V_X &= \frac{Bq}{n-q}, & V_{XE} &= \frac{\sigma^2 q}{n-q}, \\
        V_{PX} &= \frac{Aq_A}{n-q_A} - V_X, & V_{PXE} &= \frac{\sigma^2q_A}{n-q_A} - V_{XE}, & V_E &= V_{PE} = 0.

    The differences are evaluated as the sums of non-negative terms that they are: with :math:`s = e/(b+e)`,
    :math:`e = z - q`, :math:`b = k - z`, both are an amplitude times :math:`nes/((n-q_A)(n-q))`.

    Parameters
    ----------
    eigenvalues, target_power, n, width, penalty, noise_variance, tail_eigenvalue, tail_power
        As in `random_feature_regression`, for fresh data.

    Returns
    -------
    VarianceDecomposition
        At zero penalty and n = width only the two interactions of initialisation and sample are ``inf``.

    Raises
    ------
    ValueError
        As in `random_feature_regression`.

    References
    ----------
    Terms as in Adlam and Pennington 2020, "Understanding double descent requires a fine-grained bias-variance
    decomposition"; the expressions follow from the eigenframework.

    Examples
    --------
    >>> power_law = np.arange(1.0, 2001.0) ** -2
    >>> split = variance_decomposition(power_law, power_law, 100, [100, 200], noise_variance=0.01)
    >>> split.initialisation_sample, split.sample_label.round(4)
    (array([      inf, 0.0194998]), array([0.0103, 0.0103]))
    """
    at = _solve(eigenvalues, target_power, n, width, penalty, noise_variance, tail_eigenvalue, tail_power, np.inf)
    point, share = at.point, at.point.feature_share
    bias = at.power(point.missed**2, point.tail_missed**2)
    varying = at.power(point.missed * point.learned, point.tail_missed * (1.0 - point.tail_missed), null_factor=0.0)
    initialisation = share * varying
    kernel_gap, gap = point.sample_gap + point.spread, point.sample_gap + point.spread_used
    q, extra = point.squares, point.spread * share
    interaction = _ratio(_ratio(at.n * extra, kernel_gap), gap)
    parts = {
        "bias": bias,
        "initialisation": initialisation,
        "sample": _ratio(bias * q, kernel_gap),
        "initialisation_sample": _ratio(initialisation * (q + extra), gap) + _checks.times(interaction, bias),
        "sample_label": _checks.times(_ratio(q, kernel_gap), at.noise),
        "initialisation_sample_label": _checks.times(interaction, at.noise),
        "residual": point.residual,
    }
    return VarianceDecomposition(**{name: _checks.unwrap(value, at.shape) for name, value in parts.items()})


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


@dataclass(frozen=True, eq=False)
class _Solved:
    """Checked parameters, the fixed point on their grid, and the shape of the answer."""

    point: _modes.FixedPoint
    n: Array
    width: Array
    population: Array
    noise: Array
    shape: tuple[int, ...]
    target_power: Array
    tail_power: Array
    kept: NDArray[np.bool_]

    def power(self, factor: Array, tail_factor: Array, null_factor: float = 1.0) -> Array:
        """Sum the target power with a factor a mode; modes of zero eigenvalue are missed altogether."""
        null = null_factor * self.target_power[..., ~self.kept].sum(-1)
        return np.asarray((factor * self.target_power[..., self.kept]).sum(-1) + null + tail_factor * self.tail_power)


def _solve(
    eigenvalues: ArrayLike,
    target_power: ArrayLike,
    n: ArrayLike,
    width: ArrayLike,
    penalty: ArrayLike,
    noise_variance: ArrayLike,
    tail_eigenvalue: ArrayLike,
    tail_power: ArrayLike,
    population: ArrayLike,
) -> _Solved:
    eigenvalues = _checks.spectrum("eigenvalues", eigenvalues)
    power = _checks.nonnegative("target_power", target_power)
    _checks.same_length("target_power", power, "eigenvalues", eigenvalues.size)
    given = {
        "n": _checks.positive("n", n),
        "width": _checks.positive("width", width, infinite=True),
        "penalty": _checks.nonnegative("penalty", penalty, infinite=True),
        "population": _checks.positive("population", population, infinite=True),
        "tail_eigenvalue": _checks.nonnegative("tail_eigenvalue", tail_eigenvalue),
    }
    tail_power = _checks.nonnegative("tail_power", tail_power)
    noise = _checks.nonnegative("noise_variance", noise_variance)
    # The fixed point knows neither target nor noise, so only these five span the grid that is solved.
    grid = _checks.broadcast(**given)
    shape = _checks.broadcast(**given, tail_power=tail_power, noise_variance=noise, target_power=power[..., 0])
    n, width, penalty, population, tail = (np.broadcast_to(array, grid) for array in given.values())
    _check_population(population, n, tail, eigenvalues.size)

    kept = eigenvalues > 0
    if not (kept.any() or (tail > 0).all()):
        raise ValueError("eigenvalues: got only zeros, expected a positive one or a tail; a null kernel learns nothing")
    modes = _modes.Modes(eigenvalues[kept], np.array(tail), np.array(population - eigenvalues.size))
    point = _modes.solve(modes, n, width, penalty, population)
    return _Solved(point, n, width, population, noise, shape, power, tail_power, kept)


def _ratio(numerator: Array, gap: Array) -> Array:
    """Divide; at a vanishing gap the answer is inf, unless there is nothing to amplify."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(numerator > 0, numerator / gap, 0.0)


def _check_population(population: Array, n: Array, tail: Array, modes: int) -> None:
    if (population <= n).any():
        raise ValueError(
            f"population: got {population.min():g} points, expected more than n = {n.max():g}; "
            "held-out points must remain, or pass inf for fresh data"
        )
    if (population < modes).any():
        raise ValueError(
            f"population: got {population.min():g} points, expected at least the {modes} eigenvalues; "
            "a pool of M points has M modes"
        )
    if ((population == modes) & (tail > 0)).any():
        raise ValueError(
            "tail_eigenvalue: got a positive tail, expected 0 when every mode of the population is listed; "
            "leave the tail out or list fewer eigenvalues"
        )
