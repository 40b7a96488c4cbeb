"""Memory, progress and failure of the eigensolver, and what it refuses."""

import numpy as np
import pytest
from eigenpairs import Diagonal, assert_pairs, symmetric

from pyphenom.curvature import as_operator, eigsh


def test_memory_cap():
    values = np.random.default_rng(12).uniform(0, 1, 500)
    A = symmetric(values)
    pairs = eigsh(A, 2, max_bytes=12 * 500 * 8)
    assert pairs.restarts > 3
    # A dozen vectors cannot tell a copy of the largest from the bulk right below it, and the result says so.
    assert "basis_size" in pairs.status.message
    assert pairs.miss_probability > 1e-3
    assert_pairs(eigsh(A, 2, max_bytes=12 * 500 * 8, copies=False), A, values)
    with pytest.raises(ValueError, match=r"max_bytes.*bytes"):
        eigsh(A, 2, max_bytes=1000)


def test_progress_and_cancellation():
    A, seen = symmetric(np.arange(100.0)), []
    eigsh(A, 2, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 0) for done in range(1, len(seen) + 1)]

    def stop(done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        eigsh(A, 2, progress=stop)
    np.testing.assert_allclose(eigsh(A, 2).values, [99, 98], atol=1e-8)


def test_what_is_no_symmetric_operator_is_reported():
    rng = np.random.default_rng(13)
    matrix = np.diag(np.arange(50.0)) + 5 * np.triu(rng.standard_normal((50, 50)))
    skewed = eigsh(as_operator(lambda v: matrix @ v, size=50), 2)
    assert not skewed.status.converged
    assert "not symmetric" in skewed.status.message
    noisy = Diagonal(np.arange(50.0))
    noisy.rows = lambda V: V * noisy.values + 0.1 * rng.standard_normal(V.shape)
    assert "noise" in eigsh(noisy, 1).status.message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 11}, "`k` is 11"),
        ({"k": 0}, "`k` is 0"),
        ({"which": "XX"}, "`which` is 'XX'"),
        ({"tol": -1.0}, "`tol`"),
        ({"v0": np.ones(9)}, "`v0` has 9 rows"),
        ({"v0": np.ones((10, 11))}, "`v0` has 11 columns"),
        ({"v0": np.full(10, np.nan)}, "`v0` holds nan"),
        ({"basis_size": 3, "k": 3}, "expected at least"),
        ({"max_products": 0}, "`max_products`"),
        ({"block": 0}, "`block`"),
        ({"seed": -1}, "`seed`"),
    ],
)
def test_bad_arguments(arguments, message):
    operator = Diagonal(np.arange(10.0))
    with pytest.raises(ValueError, match=message):
        eigsh(operator, **{"k": 1, **arguments})
    assert operator.products == 0


def test_bad_operators():
    with pytest.raises(ValueError, match="shape"):
        eigsh(np.ones((3, 4)))
    broken = Diagonal(np.arange(10.0))
    broken.rows = lambda V: V * np.nan
    with pytest.raises(ValueError, match="not finite"):
        eigsh(broken)


def test_result():
    pairs = eigsh(np.diag(np.arange(1.0, 9.0)), 2)
    assert repr(pairs).startswith("Eigenpairs([8, 7], residuals <= ")
    assert set(pairs.to_dict()) >= {"values", "vectors", "residuals", "matvecs", "status"}
    assert str(pairs.status) == pairs.status.message
