import numpy as np
import pytest

import pyphenom as ph

b = ph.bounds


@pytest.mark.parametrize("seed", range(20))
def test_inequalities_between_vote_and_voters(seed):
    # With next to no complexity and endless points the bounds are inequalities between numbers that a table gives.
    rng = np.random.default_rng(seed)
    wrong = rng.random((15, 4000)) < rng.uniform(0.05, 0.45, (15, 1))
    weights = rng.dirichlet(np.ones(15))
    w = weights @ wrong
    gibbs, tandem, vote = w.mean(), (w**2).mean(), (w >= 0.5).mean()
    disagreement = 2 * (w * (1 - w)).mean()
    few, n = 1e-9, 10**9
    assert vote <= b.vote_first_order(gibbs, few, n, 0.05)
    assert vote <= b.vote_tandem(tandem, few, n, 0.05)
    assert vote <= b.vote_disagreement(gibbs, disagreement, few, n, 0.05)
    assert vote <= b.c_bound(gibbs, disagreement, few, n, 0.05)
    # e = R - D/2, so the two second-order forms agree; Cantelli is the best that two moments give.
    assert b.vote_disagreement(gibbs, disagreement, few, n, 0.05) == pytest.approx(4 * tandem, abs=1e-3)
    expected = 1 - (1 - 2 * gibbs) ** 2 / (1 - 2 * disagreement)
    assert b.c_bound(gibbs, disagreement, few, n, 0.05) == pytest.approx(expected, abs=2e-3)


def test_the_confidence_is_split_and_the_divergence_doubled():
    risk, d, kl, n, delta = 0.1, 0.12, 30.0, 5000, 0.05
    upper = b.maurer(risk, kl, n, delta / 2)
    lower = b.maurer(d, 2 * kl, n, delta / 2, side="lower")
    assert b.vote_disagreement(risk, d, kl, n, delta) == pytest.approx(4 * upper - 2 * lower, rel=1e-12)
    assert b.c_bound(risk, d, kl, n, delta) == pytest.approx(1 - (1 - 2 * upper) ** 2 / (1 - 2 * lower), rel=1e-12)
    assert b.vote_tandem(0.02, kl, n, delta) == pytest.approx(4 * b.maurer(0.02, 2 * kl, n, delta), rel=1e-14)
    assert b.vote_first_order(risk, kl, n, delta) == 2 * b.maurer(risk, kl, n, delta)


def test_vacuous_and_bad():
    assert b.c_bound(0.5, 0.1, 100.0, 100, 0.05) == 1.0
    assert b.vote_first_order(0.6, 100.0, 100, 0.05) == 1.0
    assert b.c_bound(0.1, 0.5, 0.0, 10**9, 0.05) <= 1.0
    with pytest.raises(ValueError, match=r"`disagreement` is 0.6"):
        b.c_bound(0.1, 0.6, 1.0, 100, 0.05)
    with pytest.raises(ValueError, match=r"`tandem_risk` is -1"):
        b.vote_tandem(-1.0, 1.0, 100, 0.05)
