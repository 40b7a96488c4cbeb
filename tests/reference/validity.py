"""How often a bound fails on a task whose true risk is known, and whether that can be chance.

The task has power: M independent hypotheses of one true risk r, a uniform prior, and a posterior that is all on the one
with the fewest errors on n points, so KL = ln M. Next to the prior, or with few hypotheses, even a bound with twice its
n would hardly ever fail. The fewest errors are drawn by the inverse of their law, so M may be huge.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

SURE = 1e-6  # how seldom a verdict may be wrong by chance


@dataclass(frozen=True)
class Failures:
    """Failures of a bound of confidence 1 - delta in independent repetitions."""

    count: int
    repetitions: int
    delta: float

    @property
    def rate(self):
        return self.count / self.repetitions

    @property
    def convicts(self):
        """Whether the rate is above delta for sure: the lower end of Clopper and Pearson's interval."""
        low = stats.beta.ppf(SURE, self.count, self.repetitions - self.count + 1) if self.count else 0.0
        return bool(low > self.delta)


def fewest_errors(rng, n, rate, hypotheses, repetitions):
    """Draw min(K_1, ..., K_M) of M binomial counts: Pr[min <= k] = 1 - (1 - F(k))^M."""
    return stats.binom.ppf(-np.expm1(np.log(rng.random(repetitions)) / hypotheses), n, rate)


def of_the_luckiest(bound, n, rate, hypotheses, delta=0.05, repetitions=20_000, seed=0):
    """Count how often ``bound(risk, kl, n, delta)`` is below the true risk of the luckiest hypothesis."""
    errors = fewest_errors(np.random.default_rng(seed), n, rate, hypotheses, repetitions)
    distinct, where = np.unique(errors, return_inverse=True)
    values = np.asarray(bound(distinct / n, np.log(hypotheses), n, delta))[where]
    return Failures(int((values < rate).sum()), repetitions, delta)


@dataclass(frozen=True)
class LinearVoters:
    """Linear classifiers w ~ N(mean, s^2 I) on n points, with the exact error probability of every point."""

    points: np.ndarray
    mean: np.ndarray
    scale: float

    @classmethod
    def example(cls, n=1000, dimension=20, scale=0.3, seed=0):
        rng = np.random.default_rng(seed)
        x, mean = rng.normal(size=(n, dimension)), rng.normal(size=dimension) / np.sqrt(dimension)
        return cls(x * np.sign(x @ rng.normal(mean, 0.05))[:, None], mean, scale)  # points times labels

    @property
    def risk(self):
        spread = self.scale * np.linalg.norm(self.points, axis=1)
        return float(stats.norm.cdf(-(self.points @ self.mean) / spread).mean())

    def independent(self, rng, repetitions):
        """Error rates of passes in which every point meets weights of its own."""
        p = stats.norm.cdf(-(self.points @ self.mean) / (self.scale * np.linalg.norm(self.points, axis=1)))
        return (rng.random((repetitions, len(p))) < p).mean(axis=1)

    def shared(self, rng, repetitions):
        """Error rates of passes in which all points meet the same weights."""
        w = self.mean + self.scale * rng.normal(size=(repetitions, len(self.mean)))
        return (self.points @ w.T < 0).mean(axis=0)


def of_draws(bound, voters, rates, delta):
    """Count how often ``bound(rates)`` is below the posterior's exact empirical risk."""
    values = np.array([bound(x) for x in rates])
    return Failures(int((values < voters.risk).sum()), len(values), delta)
