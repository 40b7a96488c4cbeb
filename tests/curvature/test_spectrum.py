import numpy as np
import pytest

from pyphenom.curvature.spectrum import spectrum

SIZE = 60


@pytest.fixture(scope="module")
def matrix():
    rng = np.random.default_rng(0)
    Q = np.linalg.qr(rng.standard_normal((SIZE, SIZE)))[0]
    # Large eigenvalues that are not taken out: the share and the sum that it is of vary together.
    values = np.concatenate([[40.0, 35.0], np.full(4, 30.0), np.full(40, -1.0), rng.standard_normal(SIZE - 46)])
    return (Q * values) @ Q.T


def share(matrix):
    values = np.linalg.eigvalsh(matrix)
    return -values[values < 0].sum() / np.abs(values).sum()


def test_with_every_direction_probed_nothing_is_left_to_chance(matrix):
    found = spectrum(matrix, k=2, probes=SIZE, steps=SIZE)
    assert found.top.values == pytest.approx(np.linalg.eigvalsh(matrix)[:-3:-1], rel=1e-6)
    assert found.trace.value == pytest.approx(np.trace(matrix), rel=1e-6)
    assert found.negative_share.value == pytest.approx(share(matrix), rel=1e-6)
    assert found.trace.standard_error == pytest.approx(0.0, abs=1e-9)
    assert found.negative_share.standard_error == pytest.approx(0.0, abs=1e-9)


def test_standard_errors_are_those_of_repetition(matrix):
    # 200 repetitions: their spread is known to 5 %. A ratio of means of 8 is off by a tenth of its spread.
    runs = [spectrum(matrix, k=2, probes=8, steps=SIZE, seed=seed) for seed in range(200)]
    for name, truth in (("trace", np.trace(matrix)), ("negative_share", share(matrix))):
        values = np.array([getattr(run, name).value for run in runs])
        stated = np.sqrt(np.mean([getattr(run, name).standard_error ** 2 for run in runs]))
        spread = values.std(ddof=1)
        assert stated == pytest.approx(spread, rel=0.2), name
        assert abs(values.mean() - truth) < 5 * spread / np.sqrt(len(runs)) + 0.2 * spread, name


def test_all_eigenvalues_asked_for():
    found = spectrum(np.diag([-1.0, 2.0, 3.0]), k=3)
    assert (found.trace.value, found.negative_share.value) == pytest.approx((4.0, 1 / 6))
    assert (found.trace.standard_error, found.negative_share.standard_error) == (0.0, 0.0)


def test_a_matrix_of_zeros_has_no_share():
    found = spectrum(np.zeros((4, 4)), k=1, probes=2)
    assert (found.trace.value, found.negative_share.value) == (0.0, 0.0)
    assert np.isfinite(found.curve.values).all()


@pytest.mark.parametrize(("name", "value"), [("probes", 1), ("steps", 0), ("k", 61)])
def test_bad_arguments_are_refused_before_any_product(matrix, name, value):
    def none(what, done, total):
        pytest.fail("a product was computed")

    with pytest.raises(ValueError, match=f"`{name}` is {value}"):
        spectrum(matrix, progress=none, **{name: value})
